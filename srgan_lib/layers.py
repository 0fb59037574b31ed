"""The layers that the generators are built from."""

import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), all 3x3, size kept (Ledig et al. 2017, fig. 4; Gross & Wilber 2016)."""

    def __init__(self, channels: int = 64, normalization: str = "batch"):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = normalize(normalization, channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = normalize(normalization, channels)

    def forward(self, x):
        y = self.prelu(self.norm1(self.conv1(x)))
        return x + self.norm2(self.conv2(y))


def normalize(name: str, channels: int) -> nn.Module:
    """A normalization layer by name: "batch" or "none"; ValueError otherwise."""
    if name not in ("batch", "none"):
        raise ValueError(f"normalization {name!r}: want 'batch' or 'none'")
    return nn.BatchNorm2d(channels) if name == "batch" else nn.Identity()


class ShuffleConv2d(nn.Conv2d):
    """`conv(pixel_shuffle(x, factor))`, computed before the shuffle: the same numbers, several times faster.

    A k x k kernel on the fine grid is a smaller kernel on the coarse one, once for each of the factor**2 phases of the
    output. (N, C factor**2, H, W) -> (N, out, factor H, factor W); the weight keeps the shape of the plain convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, factor: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.factor = factor

    def forward(self, x):
        if self.factor == 1:
            return super().forward(x)
        weight = fold_shuffle(self.weight, self.factor)
        bias = self.bias.repeat_interleave(self.factor**2)
        y = self._conv_forward(x, weight, bias)  # (N, out factor^2, H, W)
        return F.pixel_shuffle(y, self.factor)

    def _conv_forward(self, x, weight, bias):
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def fold_shuffle(weight: torch.Tensor, factor: int) -> torch.Tensor:
    """Kernel (O, C, k, k) after a pixel shuffle -> kernel (O factor^2, C factor^2, j, j) before it.

    Output phase p reads tap t from fine position p + t - k // 2 = factor * coarse + phase: shift the kernel by p inside
    a canvas of j whole coarse pixels, then split each canvas axis into (coarse, phase).
    """
    out, channels, size, _ = weight.shape
    reach = -(-(size // 2) // factor)  # coarse pixels on each side
    taps, first = 2 * reach + 1, reach * factor - size // 2
    phases = []
    for row in range(factor):
        for column in range(factor):
            top, left, canvas = first + row, first + column, taps * factor - size
            phases.append(F.pad(weight, (left, canvas - left, top, canvas - top)))
    folded = torch.stack(phases, 1)  # (O, f^2, C, j f, j f)
    folded = folded.reshape(out * factor**2, channels, taps, factor, taps, factor)
    return folded.permute(0, 1, 3, 5, 2, 4).reshape(out * factor**2, channels * factor**2, taps, taps)


def upsampler(kind: str, channels: int, factors: list[int]) -> tuple[list[nn.Module], int]:
    """The layers that enlarge, and the pixel-shuffle factor that is left for the tail to apply.

    "pixelshuffle": conv to factor^2 channels, PReLU, shuffle (Shi et al. 2016; one slope, so PReLU and shuffle commute);
    "transposed": stride = factor; "resize": nearest neighbour, then conv (Odena et al. 2016).
    """
    layers = []
    for number, factor in enumerate(factors, 1):
        if kind == "pixelshuffle":
            layers += [nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PReLU()]
            layers += [nn.PixelShuffle(factor)] if number < len(factors) else []
        elif kind == "transposed":
            layers += [nn.ConvTranspose2d(channels, channels, 3, factor, padding=1, output_padding=factor - 1), nn.PReLU()]
        elif kind == "resize":
            layers += [nn.Upsample(scale_factor=factor, mode="nearest"), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()]
        else:
            raise ValueError(f"upsampling {kind!r}: want 'pixelshuffle', 'transposed' or 'resize'")
    return layers, factors[-1] if kind == "pixelshuffle" else 1
