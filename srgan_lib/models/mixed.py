"""How strong should the GAN be? Its image and that of the generator it started from, mixed pixel by pixel, less of it at edges."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..images import luma

WINDOW = 5                # HR pixels: the surroundings over which edges are measured
EDGE, GRAIN = 60.0, 6.0   # squared levels of luma a pixel: see `share`; chosen on held-out photographs


class Mixed(nn.Module):
    """psnr(lr) + share * (gan(lr) - psnr(lr)): between the image that is safe and the one that is sharp.

    psnr, gan: generators of one scale. (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped; it costs what both cost.
    Mixing the images keeps colours. Mixing the weights of two networks does not (see `interpolate`).
    """

    def __init__(self, psnr: nn.Module, gan: nn.Module, strength: float):
        super().__init__()
        self.psnr, self.gan, self.strength = psnr, gan, strength
        self.scale, self.radius = gan.scale, max(psnr.radius, gan.radius) + math.ceil((WINDOW // 2 + 1) / gan.scale)

    def forward(self, lr):
        return mix(self.psnr(lr), self.gan(lr), self.strength)

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"  # what tells two mixes of the same networks apart


def mix(safe: torch.Tensor, sharp: torch.Tensor, strength: float) -> torch.Tensor:
    """Two images of one scene, (N, 3, H, W) in [0, 1], mixed: strength 0 is `safe`, 1 is `sharp`, and between them edges stay safe."""
    if strength in (0, 1):
        return sharp if strength else safe
    return torch.lerp(safe, sharp, share(safe, strength))


def share(safe: torch.Tensor, strength: float) -> torch.Tensor:
    """The share of the sharp image in each pixel, (N, 3, H, W) in [0, 1] -> (N, 1, H, W), for a strength between 0 and 1.

    E, the energy of edges, is the mean of the squared slope of luma in the window around a pixel. The odds of the sharp image,
    share / (1 - share), are strength / (1 - strength) times EDGE / (E + GRAIN). Where luma changes by some 7 levels a pixel the
    share is the strength itself. In calm places it is larger: there invented grain costs few decibels and is what is missed.
    At edges it is smaller: there the safe image is sharp already, and a false stroke is seen and costs most.
    """
    return 1 / (1 + (1 / strength - 1) * (edges(safe) + GRAIN) / EDGE)


def edges(image: torch.Tensor) -> torch.Tensor:
    """The mean squared slope of luma around each pixel: (N, 3, H, W) in [0, 1] -> (N, 1, H, W), squared levels a pixel."""
    levels = luma(image)
    across, down = F.pad(levels, (1, 1, 0, 0), mode="replicate"), F.pad(levels, (0, 0, 1, 1), mode="replicate")
    energy = ((across[..., 2:] - across[..., :-2])**2 + (down[..., 2:, :] - down[..., :-2, :])**2) / 4
    return F.avg_pool2d(energy, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
