"""How strong should the GAN be? Its image and that of the generator it started from, mixed pixel by pixel, most of it in texture."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..images import luma

COARSE = 0.42              # LR pixels: the Gaussian that parts what LR already tells from what may be invented
WINDOW, AROUND = 5, 15     # HR pixels: where the energy of edges is measured, and where the kind of ground is
EDGE, GRAIN = 110.0, 6.0   # squared levels of luma a pixel: see `share`; srgan_lib/weights/README.md tells how all of these were chosen
EVEN, SEEN = 0.3, 2.5      # the evenness that texture has; the slope, in squared levels a pixel, that texture has at least
MANY_WAYS = 0.4            # 1 - coherence of slopes that do not all point one way
FLOOR = 0.05               # squared levels a pixel that are no structure


class Mixed(nn.Module):
    """Between the image that is safe, psnr(lr), and the one that is sharp, gan(lr): see `mix`.

    psnr, gan: generators of one scale. (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped; it costs what both cost.
    Mixing the images keeps colours. Mixing the weights of two networks does not (see `interpolate`).
    """

    def __init__(self, psnr: nn.Module, gan: nn.Module, strength: float):
        super().__init__()
        self.psnr, self.gan, self.strength = psnr, gan, strength
        self.scale, reach = gan.scale, max(AROUND // 2 + 1, len(bell(COARSE * gan.scale)) // 2)
        self.radius = max(psnr.radius, gan.radius) + math.ceil(reach / gan.scale)

    def forward(self, lr):
        return mix(self.psnr(lr), self.gan(lr), self.strength, self.scale)

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"  # what tells two mixes of the same networks apart


def mix(safe: torch.Tensor, sharp: torch.Tensor, strength: float, scale: int = 4) -> torch.Tensor:
    """Two images of one scene, (N, 3, H, W) in [0, 1], mixed: strength 0 is `safe`, 1 is `sharp` as it is.

    Between them each pixel has a share of its own of what the sharp image adds in fine luma. Colour and coarse luma stay those
    of `safe`: LR tells them already, a GAN sees to them last, and what it changes there only costs PSNR.
    """
    if strength in (0, 1):
        return sharp if strength else safe
    return safe + share(safe, strength) * fine(luma(sharp) - luma(safe), scale) / 219  # equal steps in R, G and B are a step of luma alone


def fine(values: torch.Tensor, scale: int) -> torch.Tensor:
    """Less their blur by a Gaussian of COARSE LR pixels: (N, 1, H, W) -> (N, 1, H, W). Half is left at 0.45 / scale cycles a pixel."""
    weights, (height, width) = bell(COARSE * scale), values.shape[-2:]
    reach = len(weights) // 2
    padded = F.pad(values, (reach, reach, 0, 0), mode="replicate")
    coarse = sum(weight * padded[..., k:k + width] for k, weight in enumerate(weights))  # sums, since autocast would halve a convolution
    padded = F.pad(coarse, (0, 0, reach, reach), mode="replicate")
    return values - sum(weight * padded[..., k:k + height, :] for k, weight in enumerate(weights))


def bell(sigma: float) -> list[float]:
    """The weights of a Gaussian at whole pixels, out to three sigma; their sum is 1."""
    reach = math.ceil(3 * sigma)
    weights = [math.exp(-(k / sigma)**2 / 2) for k in range(-reach, reach + 1)]
    return [weight / sum(weights) for weight in weights]


def share(safe: torch.Tensor, strength: float) -> torch.Tensor:
    """The share of the sharp image in each pixel, (N, 3, H, W) in [0, 1] -> (N, 1, H, W), for a strength between 0 and 1.

    The odds, share / (1 - share), are (strength / (1 - strength))**2 times EDGE / (E + GRAIN), E being the mean squared slope of
    luma in the small window around a pixel: at edges the safe image is sharp already, and a false stroke is seen and costs most.
    Three factors, each at most 1, hold the GAN back where the large window shows no texture. A and G are the arithmetic and the
    geometric mean of the squared slopes there. (G / A / EVEN)**2 is small beside a single edge on an even ground, where GANs draw
    second lines and dots. (G / SEEN)**4 is small where there is hardly anything, such as in a clear sky. ((1 - coherence) /
    MANY_WAYS)**2 is small where all slopes point one way, as beside wires (Weickert 1999: coherence of the structure tensor).
    """
    across, down = slopes(safe)
    energy = across**2 + down**2
    xx, xy, yy = around(across**2, AROUND), around(across * down, AROUND), around(down**2, AROUND)
    arithmetic, geometric = xx + yy + FLOOR, torch.exp(around((energy + FLOOR).log(), AROUND))
    ways = 1 - ((xx - yy)**2 + 4 * xy**2).sqrt() / arithmetic
    odds = (strength / (1 - strength))**2 * EDGE / (around(energy, WINDOW) + GRAIN)
    odds = odds * (geometric / arithmetic / EVEN).clamp(max=1)**2 * (geometric / SEEN).clamp(max=1)**4 * (ways / MANY_WAYS).clamp(max=1)**2
    return odds / (1 + odds)


def slopes(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The slopes of luma in each pixel along x and along y: (N, 3, H, W) in [0, 1] -> twice (N, 1, H, W), levels a pixel."""
    levels = luma(image)
    across, down = F.pad(levels, (1, 1, 0, 0), mode="replicate"), F.pad(levels, (0, 0, 1, 1), mode="replicate")
    return (across[..., 2:] - across[..., :-2]) / 2, (down[..., 2:, :] - down[..., :-2, :]) / 2


def around(values: torch.Tensor, side: int) -> torch.Tensor:
    """The mean over side x side pixels around each; at the border over those that are there."""
    rows = F.avg_pool2d(values, (side, 1), stride=1, padding=(side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, side // 2), count_include_pad=False)
