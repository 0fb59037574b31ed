"""The layers that the generators are built from."""

import math

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


class DenseBlock(nn.Module):
    """x + 0.2 * the last of five 3x3 convolutions, each of which reads all that came before it (Wang et al. 2018, fig. 4).

    No batch norm; LeakyReLU 0.2 behind the first four. (N, channels, H, W) kept; each of the four adds `growth` channels.
    """

    def __init__(self, channels: int = 64, growth: int = 32):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(channels + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(channels + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(channels + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(channels + 4 * growth, channels, 3, padding=1)

    def forward(self, x):
        known = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known = torch.cat([known, F.leaky_relu(conv(known), 0.2)], 1)  # (N, 64, H, W) -> (N, 96, H, W) -> ...
        return x + 0.2 * self.conv5(known)                                 # (N, 192, H, W) -> (N, 64, H, W)


class RRDB(nn.Module):
    """Residual in residual: x + 0.2 * (what three dense blocks in a row make of x) (Wang et al. 2018, fig. 4)."""

    def __init__(self, channels: int = 64, growth: int = 32):
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, x):
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


def shrink_initial(network: nn.Module, factor: float = 0.1) -> None:
    """Kaiming's initial weights times `factor`, biases zero: residual paths start out small (Wang et al. 2018, sec. 3.1)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data *= factor
            nn.init.zeros_(layer.bias)


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
        y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)  # (N, out factor^2, H, W)
        return F.pixel_shuffle(y, self.factor)


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
    """The layers that enlarge, and the pixel-shuffle factor that is left for the tail to apply; 0 where no tail is needed.

    "pixelshuffle": conv to factor^2 channels, PReLU, shuffle (Shi et al. 2016; one slope, so PReLU and shuffle commute);
    "pixelshuffledirect": one conv to the colours of all phases, shuffle (Shi et al. 2016); "transposed": stride = factor;
    "resize": nearest neighbour, then conv (Odena et al. 2016).
    """
    if kind == "pixelshuffledirect":
        factor = math.prod(factors)
        return [nn.Conv2d(channels, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor)], 0
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
            raise ValueError(f"upsampling {kind!r}: want 'pixelshuffle', 'pixelshuffledirect', 'transposed' or 'resize'")
    return layers, factors[-1] if kind == "pixelshuffle" else 1
