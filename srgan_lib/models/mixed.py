"""How strong should the GAN be? Its image and that of the generator it started from, mixed pixel by pixel."""

import torch
from torch import nn


class Mixed(nn.Module):
    """(1 - strength) * psnr(lr) + strength * gan(lr): between the image that is safe and the one that is sharp.

    psnr, gan: generators of one scale. (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped; it costs what both cost.
    Mixing the images keeps colours. Mixing the weights of two networks does not (see `interpolate`).
    """

    def __init__(self, psnr: nn.Module, gan: nn.Module, strength: float):
        super().__init__()
        self.psnr, self.gan, self.strength = psnr, gan, strength
        self.scale, self.radius = gan.scale, max(psnr.radius, gan.radius)

    def forward(self, lr):
        return torch.lerp(self.psnr(lr), self.gan(lr), self.strength)

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"  # what tells two mixes of the same networks apart
