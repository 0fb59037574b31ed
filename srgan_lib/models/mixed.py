"""How strong should the GAN be? Its image and that of the generator it started from, mixed pixel by pixel, most of it in texture."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..images import luma

WINDOW, AROUND = 5, 15    # HR pixels: where the energy of edges is measured, and where their evenness is
EDGE, GRAIN = 60.0, 6.0   # squared levels of luma a pixel: see `share`; chosen on held-out photographs, as is all that follows
EVEN, SEEN = 0.4, 1.0     # the evenness that texture has; the slope, in squared levels a pixel, below which nothing is seen
FLOOR = 0.05              # squared levels a pixel that are no structure


class Mixed(nn.Module):
    """Between the image that is safe, psnr(lr), and the one that is sharp, gan(lr): see `mix`.

    psnr, gan: generators of one scale. (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped; it costs what both cost.
    Mixing the images keeps colours. Mixing the weights of two networks does not (see `interpolate`).
    """

    def __init__(self, psnr: nn.Module, gan: nn.Module, strength: float):
        super().__init__()
        self.psnr, self.gan, self.strength = psnr, gan, strength
        self.scale, self.radius = gan.scale, max(psnr.radius, gan.radius) + math.ceil((AROUND // 2 + 1) / gan.scale)

    def forward(self, lr):
        return mix(self.psnr(lr), self.gan(lr), self.strength)

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"  # what tells two mixes of the same networks apart


def mix(safe: torch.Tensor, sharp: torch.Tensor, strength: float) -> torch.Tensor:
    """Two images of one scene, (N, 3, H, W) in [0, 1], mixed: strength 0 is `safe`, 1 is `sharp` as it is.

    Between them each pixel of luma has a share of its own, and colour stays that of `safe`: a GAN sees to colour last.
    """
    if strength in (0, 1):
        return sharp if strength else safe
    return safe + share(safe, strength) * (luma(sharp) - luma(safe)) / 219  # equal steps in R, G and B are a step of luma alone


def share(safe: torch.Tensor, strength: float) -> torch.Tensor:
    """The share of the sharp image in each pixel, (N, 3, H, W) in [0, 1] -> (N, 1, H, W), for a strength between 0 and 1.

    The odds, share / (1 - share), are strength / (1 - strength) times EDGE / (E + GRAIN) times min(1, G / A / EVEN)**2 times
    min(1, G / SEEN)**4. E is the mean squared slope of luma in the small window around a pixel: at edges the safe image is sharp
    already, and a false stroke is seen and costs most. A and G are the arithmetic and the geometric mean of the squared slopes
    in the large window. G / A is small beside a single edge on an even ground, where GANs draw second lines and dots. G itself is
    small where there is no texture, such as in a clear sky; there nothing shall be invented.
    """
    energy = squared_slopes(safe)
    arithmetic, geometric = around(energy, AROUND) + FLOOR, torch.exp(around((energy + FLOOR).log(), AROUND))
    odds = strength / (1 - strength) * EDGE / (around(energy, WINDOW) + GRAIN)
    odds = odds * (geometric / arithmetic / EVEN).clamp(max=1)**2 * (geometric / SEEN).clamp(max=1)**4
    return odds / (1 + odds)


def squared_slopes(image: torch.Tensor) -> torch.Tensor:
    """The squared slope of luma in each pixel: (N, 3, H, W) in [0, 1] -> (N, 1, H, W), squared levels a pixel."""
    levels = luma(image)
    across, down = F.pad(levels, (1, 1, 0, 0), mode="replicate"), F.pad(levels, (0, 0, 1, 1), mode="replicate")
    return ((across[..., 2:] - across[..., :-2])**2 + (down[..., 2:, :] - down[..., :-2, :])**2) / 4


def around(values: torch.Tensor, side: int) -> torch.Tensor:
    """The mean over side x side pixels around each; at the border over those that are there."""
    rows = F.avg_pool2d(values, (side, 1), stride=1, padding=(side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, side // 2), count_include_pad=False)
