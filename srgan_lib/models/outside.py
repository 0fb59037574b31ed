"""Networks from outside: what we know of them is what we measure, so that their tiles have no seams.

A tile is right when it equals the same place of the whole image. So that is what is tried, on a strip that ends in the
middle of an image: from which column on do the strip and the image agree? If they agree nowhere, the network looks at the
whole image (instance norm, pooling or attention over everything), and it is never cut.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import ModelError

ALIGNMENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)  # of tiles: windows of attention start at multiples of such numbers
START = 96         # a multiple of all of them
REACHES = (96, 256)  # LR pixels: a network that sees further counts as one that sees everything
ROWS = 16          # of the strip
SMALL = 0.1 / 255  # a difference that nobody sees, a tenth of a grey level
FLOOR = 2e-6     # below it stands rounding: a difference of the last bits, wherever it comes from
TRIAL = 10         # LR pixels a side of the trial that proves the scale


class Outside(nn.Module):
    """A network that is not ours, as tiles want it: (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), float32, any H and W.

    run: the function that computes it. It is no submodule: nothing in it is folded, changed or copied. radius, alignment and
    whole (it sees the whole image) come from `measure`, bytes_per_pixel too. label: names it, and its weights, for `repr`.
    """

    def __init__(self, run: Callable[[torch.Tensor], torch.Tensor], scale: int, label: str, minimum: int = 1, multiple: int = 1):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)  # where it computes
        self.run, self.scale, self.label, self.minimum, self.multiple = run, scale, label, minimum, multiple
        self.radius, self.alignment, self.whole, self.bytes_per_pixel, self.prepared = 0, multiple, False, 0.0, True

    def __deepcopy__(self, memo):
        return self  # it is only read

    @torch.no_grad()
    def forward(self, lr):
        return self.run(lr.float().contiguous()).to(lr.dtype)

    def extra_repr(self) -> str:
        return self.label.rpartition(": ")[2]  # not where its file lies


def measured(network: Outside) -> Outside:
    """Prove the scale, find radius, alignment and memory -> the same network. Raises ModelError where the scale is not what it says."""
    image = noise(TRIAL, TRIAL)
    wanted = (1, 3, TRIAL * network.scale, TRIAL * network.scale)
    try:
        found = tuple(network(image).shape)
    except Exception as error:  # of any library behind it
        raise ModelError(f"{network.label}: cannot compute {TRIAL} x {TRIAL} pixels ({type(error).__name__}: {str(error)[:200]})") from None
    if found != wanted:
        raise ModelError(f"{network.label}: says that it enlarges by {network.scale}, and makes {found[-1]} x {found[-2]} pixels of {TRIAL} x {TRIAL}")
    side = max(16, network.minimum)
    with Largest() as largest:
        network(noise(side, side))
    network.bytes_per_pixel = 3 * largest.bytes / side**2
    for reach in REACHES if not network.whole else ():
        network.alignment, network.radius, network.whole = reach_of(network, reach)
        if not network.whole:
            break
    network.radius = max(network.radius + network.radius // 4 + 2, network.minimum)  # no tile is smaller than it wants
    return network


def looks_everywhere(run: Callable[[torch.Tensor], torch.Tensor], rows: int, columns: int) -> bool:
    """Whether the gradient of one end of a strip at the other end is there and does not fade: a mean over the whole image.

    Unlike a difference, a gradient does not drown in rounding, so weights that do little hide nothing.
    """
    strip = uneven(rows, columns).requires_grad_()
    end = run(strip)[..., -1:]
    found = torch.autograd.grad((end * noise(*end.shape[-2:])).sum(), strip)[0].abs().amax((0, 1, 2))
    farthest, far = found[:columns // 4].median(), found[columns // 4:columns // 2].median()
    return bool(farthest > 1e-9 * found.max() and farthest > 0.5 * far)


def reach_of(network: Outside, most: int) -> tuple[int, int, bool]:
    """(alignment, radius, whether it sees more than `most` LR pixels) by comparing strips with the image that they are cut from."""
    strips = [uneven(ROWS, START + most), uneven(ROWS, START + most).transpose(-2, -1)]
    wholes = [network(strip) for strip in strips]
    ends = [reach for strip, whole in zip(strips, wholes) for reach in (_right(network, strip, whole), _changed(network, strip, whole))]
    for alignment in (a for a in ALIGNMENTS if a % network.multiple == 0):
        starts = [_left(network, strip, whole, START - alignment) for strip, whole in zip(strips, wholes)]
        if max(starts) < most // 2:
            break
    radius = max(*starts, *ends)
    return alignment, radius, max(starts) >= most // 2 or max(ends) >= most // 2


def _left(network: Outside, strip: torch.Tensor, whole: torch.Tensor, start: int) -> int:
    """How many LR pixels from its cut edge a strip that begins at `start` differs from the whole."""
    axis = -1 if strip.shape[-1] > strip.shape[-2] else -2
    length = strip.shape[axis] - start
    return _reach(whole.narrow(axis, start * network.scale, length * network.scale) - network(strip.narrow(axis, start, length)), axis, network.scale)


def _right(network: Outside, strip: torch.Tensor, whole: torch.Tensor) -> int:
    """The same for a strip that ends early."""
    axis = -1 if strip.shape[-1] > strip.shape[-2] else -2
    length = strip.shape[axis] - START
    difference = whole.narrow(axis, 0, length * network.scale) - network(strip.narrow(axis, 0, length))
    return _reach(difference.flip(axis), axis, network.scale)


def _changed(network: Outside, strip: torch.Tensor, whole: torch.Tensor) -> int:
    """How far one changed pixel at the beginning reaches, however little it does there: the whole length for a mean over everything."""
    axis = -1 if strip.shape[-1] > strip.shape[-2] else -2
    other = strip.clone()
    other[..., 0, 0] = 1 - other[..., 0, 0].round()
    difference = (whole - network(other)).abs().amax((0, 1, -3 - axis)).unflatten(0, (-1, network.scale)).amax(1)
    half, quarter = len(difference) // 2, 3 * len(difference) // 4
    far, further = difference[half:quarter].max(), difference[quarter:].max()
    return len(difference) if further > FLOOR and further > 0.5 * far else 0


def _reach(difference: torch.Tensor, axis: int, scale: int) -> int:
    """Up to which LR pixel along an axis a difference (1, 3, h, w) can be seen."""
    along = difference.abs().amax((0, 1, -3 - axis)).unflatten(0, (-1, scale)).amax(1)
    seen = (~(along <= SMALL)).nonzero()  # NaN is seen
    return int(seen[-1]) + 1 if len(seen) else 0


def noise(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def uneven(height: int, width: int) -> torch.Tensor:
    """Noise on a ground that is dark at one end and bright at the other: what is cut off has another mean than what stays."""
    ground = torch.linspace(0, 0.6, width).expand(1, 3, height, width)
    return ground + 0.4 * noise(height, width)


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest result of any operation inside; attention's matrices are no layer's output."""

    bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor):
                self.bytes = max(self.bytes, 2 * value.nbytes)
        return result
