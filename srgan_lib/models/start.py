"""A generator that begins as what is already known: (almost) bicubic interpolation."""

import torch
from torch import nn

from ..errors import ModelError
from .layers import ResidualBlock
from .networks import SRResNet

COLOURS = 3  # the channels that carry red, green and blue through the network


@torch.no_grad()
def begin_as_bicubic(generator: nn.Module) -> None:
    """Set an SRResNet's weights so that it enlarges as bicubic interpolation does, in place; the rest stays random.

    The head copies the three colours, every residual path begins at zero, each upsampling convolution holds the cubic
    kernel of its phases, and the tail, if there is one, passes the colours on. Three differences from exact bicubic remain: each phase has
    the three nearest taps of four, borders are zeros, and PReLU damps values below 0.
    Raises ModelError for a network that cannot begin so.
    """
    if not isinstance(generator, SRResNet):
        raise ModelError(f"start bicubic: {type(generator).__name__} cannot begin as bicubic interpolation, SRResNet can")
    convolutions = [layer for layer in generator.upsample if isinstance(layer, nn.Conv2d)]
    channels = generator.head[0].out_channels
    factors = [generator.scale] if isinstance(generator.tail, nn.Identity) else {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[generator.scale]
    outputs = COLOURS if isinstance(generator.tail, nn.Identity) else channels
    sizes = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    if channels < COLOURS or generator.output != "linear" or sizes != [(channels, outputs * factor**2) for factor in factors]:
        raise ModelError("start bicubic: SRResNet needs upsampling pixelshuffle or pixelshuffledirect, output linear and 3 or more channels "
                         "to begin as bicubic interpolation")
    _pass_on(generator.head[0])
    for block in generator.body:
        _silence(block)
    _silence_layers(*generator.body_end)
    for convolution, factor in zip(convolutions, factors):
        _interpolate(convolution, factor)
    if isinstance(generator.tail, nn.Conv2d):
        nn.init.zeros_(generator.tail.weight)
        _pass_on(generator.tail)


def _pass_on(convolution: nn.Conv2d) -> None:
    """The first three outputs become copies of the first three inputs."""
    middle = convolution.kernel_size[0] // 2
    convolution.weight[:COLOURS] = 0
    convolution.bias[:COLOURS] = 0
    for colour in range(COLOURS):
        convolution.weight[colour, colour, middle, middle] = 1


def _silence(block: ResidualBlock) -> None:
    """The block's correction becomes zero, so the block becomes the identity."""
    _silence_layers(block.conv2, block.norm2)


def _silence_layers(convolution: nn.Conv2d, norm: nn.Module) -> None:
    last = convolution if isinstance(norm, nn.Identity) else norm
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def _interpolate(convolution: nn.Conv2d, factor: int) -> None:
    """The phases of the first three channels become the colours, interpolated at the places of the phases."""
    taps = phase_taps(factor)
    kernels = torch.einsum("ri,cj->rcij", taps, taps).flatten(0, 1)  # (factor^2, 3, 3): a row's taps times a column's
    convolution.weight[:COLOURS * factor**2] = 0
    convolution.bias[:COLOURS * factor**2] = 0
    for colour in range(COLOURS):  # pixel shuffle: channel c, phase p is output c factor^2 + p
        convolution.weight[colour * factor**2:(colour + 1) * factor**2, colour] = kernels


def phase_taps(factor: int) -> torch.Tensor:
    """(factor, 3): for each phase, the cubic kernel at the pixel before, the pixel itself and the pixel after; each row sums to 1."""
    places = (torch.arange(factor) + 0.5) / factor - 0.5     # of the phases inside a pixel: a quarter left and right for 2
    weights = cubic_weights(places[:, None] - torch.arange(-1.0, 2.0))
    return weights / weights.sum(1, keepdim=True)


def cubic_weights(x: torch.Tensor, a: float = -0.5) -> torch.Tensor:
    """Keys' cubic kernel (Keys 1981), MATLAB's choice of `a`."""
    x = x.abs()
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
