"""Enlarge tensors of any size in bounded memory, by tiles whose seams are exact.

A tile is computed with a halo as wide as the network sees, and the halo is cut off. Zero padding then happens where the
whole picture has it, at its true border, and nowhere else.
"""

import copy
import time

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from tqdm import tqdm

from ..errors import ImageError
from ..models import Outside, RRDBNet, SRResNet
from ..models.precision import DTYPES
from .halos import ALIGNMENT, alignment_of, halo_of, sees_everything, split
from .halves import Half, halve
from .memory import free_memory, moved, out_of_memory

SMALLEST_TILE = 16    # LR pixels; below this an out-of-memory error is final
LARGEST_AREA = 2**20  # LR pixels of a tile with its halo; larger ones gain under 10 % and freeze the bar for longer
INNER_TILE = 256       # the upsampler's own tiles: 0.4 GB at 64 to 256 channels, 3 % more arithmetic
CPU_BUDGET = 2 * 2**30    # bytes of activations at most
BAR = "{desc}{percentage:3.0f}% |{bar}| {n:.1f}/{total:.1f} MP [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"


def enlarge(lr: torch.Tensor, generator: nn.Module, tile: int | None = None, progress: bool | str = False) -> torch.Tensor:
    """(N, 3, H, W) in [0, 1], H and W at least 1 -> (N, 3, scale H, scale W) on `lr`'s device, not clamped.

    tile: side of a tile in LR pixels without its halo; None takes what free memory allows. An out-of-memory error halves
    it and goes on. progress: a bar on standard error, or its label. Raises ValueError for other shapes and ImageError
    when even the smallest tile does not fit, or when the result is not finite.
    """
    if lr.ndim != 4 or lr.shape[1] != 3 or min(lr.shape) < 1 or not lr.is_floating_point():
        raise ValueError(f"want (N, 3, H, W) in [0, 1] with H and W at least 1, got {tuple(lr.shape)} of {lr.dtype}")
    out = torch.empty(*lr.shape[:2], *(generator.scale * side for side in lr.shape[-2:]), device=lr.device)

    def keep(sr, top, left):
        out[..., top:top + sr.shape[-2], left:left + sr.shape[-1]] = sr

    each_tile(lr, generator, keep, tile, progress)
    return out


@torch.inference_mode()
def each_tile(lr: torch.Tensor, generator: nn.Module, keep, tile: int | None = None, progress: bool | str = False) -> None:
    """Call `keep(sr, top, left)` with every finished tile (N, 3, h, w) and its place in the result."""
    if tile is not None and (not isinstance(tile, int) or tile < 1):
        raise ImageError(f"tile {tile}: want a whole number of pixels, from 1 on")
    network = prepare(generator)
    halo = halo_of(network)
    whole = sees_everything(network)
    if whole:
        tile = fitting(network, lr, tile)
    tile = tile or largest_tile(network, halo, len(lr))
    boxes = [(0, 0, *lr.shape[-2:])] if whole else split((0, 0, *lr.shape[-2:]), tile, alignment_of(network))
    scale, device, (height, width) = network.scale, _device(network), lr.shape[-2:]
    with _bar(network, lr, boxes, halo, progress) as bar:
        while boxes:
            try:
                sr = compute(network, scale, lr, boxes[0], halo, device)
            except (RuntimeError, MemoryError) as error:
                if whole and out_of_memory(error):
                    raise ImageError(too_large(height, width)) from None
                tile = _halved(tile, height, width, error)
                boxes = [part for box in boxes for part in split(box, tile, alignment_of(network))]
                continue
            top, left, bottom, right = boxes.pop(0)
            if not torch.isfinite(sr).all():
                raise ImageError("the network's result is not finite (NaN or infinite), and would be black; use another model"
                                 + ", or --precision float32" * any(isinstance(part, Half) for part in network.modules()))
            keep(sr, scale * top, scale * left)
            bar.set_postfix_str("", refresh=False)
            bar.update(scale**2 * (bottom - top) * (right - left) * len(lr) / 1e6)


def compute(network: nn.Module, scale: int, lr: torch.Tensor, box: tuple[int, int, int, int], halo: int, device) -> torch.Tensor:
    """The network's output for one box (top, left, bottom, right), as it is inside the whole picture's."""
    top, left, bottom, right = box
    first_row, first_column = max(top - halo, 0), max(left - halo, 0)
    crop = lr[..., first_row:bottom + halo, first_column:right + halo]
    sr = network(moved(crop, device))
    rows = slice(scale * (top - first_row), scale * (bottom - first_row))
    columns = slice(scale * (left - first_column), scale * (right - first_column))
    return sr[..., rows, columns]


def fitting(network: nn.Module, lr: torch.Tensor, tile: int | None) -> int:
    """The side of an image that must be computed in one go. Raises ImageError where it is told to be cut, or memory does not suffice."""
    height, width = lr.shape[-2:]
    if tile and tile < max(height, width):
        raise ImageError(f"this network looks at the whole image at once: tiles of {tile} would show seams; leave --tile out")
    if bytes_per_pixel(network) * lr.shape[0] * height * width > free_memory(_device(network)):
        raise ImageError(too_large(height, width))
    return max(height, width)


def too_large(height: int, width: int) -> str:
    return (f"{width} x {height} pixels do not fit into memory at once, and this network looks at the whole image, so that tiles would "
            "show seams; give it a smaller image, or use another model")


def fold_batch_norm(generator: nn.Module) -> nn.Module:
    """A copy in eval mode whose batch norms have moved into the convolutions before them: equal to 1e-5, and faster.

    A convolution's batch norm must be the next child of the same module, as it is in every network here.
    """
    folded = copy.deepcopy(generator).eval()
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (name, layer), (next_name, following) in zip(children, children[1:]):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(layer, following))
                setattr(parent, next_name, nn.Identity())
    return folded


def prepare(generator: nn.Module, precision: str = "float32") -> nn.Module:
    """The copy that tiles run: batch norm folded, channels_last, activations in place, the upsampler in its own tiles.

    precision: "bfloat16" or "float16" computes most products so (see `halves.py`).
    A prepared network is returned as it is, so whoever enlarges many pictures prepares once.
    """
    if getattr(generator, "prepared", False):
        return generator
    network = fold_batch_norm(generator).requires_grad_(False).to(memory_format=torch.channels_last)
    for part in list(network.modules()):
        if isinstance(part, SRResNet):
            _reuse_memory(part)
        elif isinstance(part, RRDBNet):
            _enlarge_in_tiles(part)
    if precision != "float32":
        halve(network, DTYPES[precision])
    network.prepared = True
    return network


def _reuse_memory(network: SRResNet) -> None:
    """In place where nobody reads the old values, and 16 times fewer activations at full resolution at once."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
                setattr(parent, name, nn.LeakyReLU(layer.weight.item(), inplace=True))
    network.upsample = InnerTiles(nn.Sequential(*network.upsample, network.tail), network.scale)
    network.tail = nn.Identity()


def _enlarge_in_tiles(network: RRDBNet) -> None:
    """The same for RRDBNet, whose names are those of published weights: its layers again, in one module."""
    layers = []
    for number in range(network.doublings):
        layers += [nn.Upsample(scale_factor=2), getattr(network, f"conv_up{number + 1}"), nn.LeakyReLU(0.2, inplace=True)]
    layers += [network.conv_hr, nn.LeakyReLU(0.2, inplace=True), network.conv_last]
    network.inner = InnerTiles(nn.Sequential(*layers), network.scale)
    object.__setattr__(network, "enlarge", network.inner)  # a module would not be found before the method of that name


class InnerTiles(nn.Module):
    """The upsampler and tail over small tiles of the trunk's features: little memory, and it stays in the cache.

    Its radius is 3 LR pixels at most (the tail's 4 fine pixels, then one per convolution on coarser grids; RRDBNet's is 2), so
    these tiles may be small where the whole network's may not.
    """

    def __init__(self, layers: nn.Module, scale: int):
        super().__init__()
        self.layers, self.scale, self.radius = layers, scale, 3

    def forward(self, x):
        if max(x.shape[-2:]) <= INNER_TILE:
            return self.layers(x)
        out, scale = None, self.scale
        for box in split((0, 0, *x.shape[-2:]), INNER_TILE):
            sr = compute(self.layers, scale, x, box, ALIGNMENT, x.device)
            out = x.new_empty(*sr.shape[:2], *(scale * side for side in x.shape[-2:])) if out is None else out
            out[..., scale * box[0]:scale * box[2], scale * box[1]:scale * box[3]] = sr
        return out


def largest_tile(network: nn.Module, halo: int, pictures: int = 1) -> int:
    """The side of a tile, without its halo, whose activations fit the memory that is free."""
    device = _device(network)
    budget = free_memory(device) // 2
    area = min((min(budget, CPU_BUDGET) if device.type == "cpu" else budget) / (bytes_per_pixel(network) * pictures), LARGEST_AREA)
    return max(int(area**0.5) - 2 * halo, SMALLEST_TILE)


def bytes_per_pixel(network: nn.Module) -> float:
    """Bytes of activations alive at once for each LR pixel: thrice what the widest layer reads and writes, by a small trial."""
    side, sizes = 16, []

    def note(layer, inputs, output):
        sizes.append(output.nbytes + (0 if output.data_ptr() == inputs[0].data_ptr() else inputs[0].nbytes))  # in place: one of the two

    inside = {part for layer in network.modules() if isinstance(layer, InnerTiles) for part in layer.layers.modules()}
    leaves = {part for part in network.modules() if isinstance(part, InnerTiles) or not any(part.children())}
    hooks = [part.register_forward_hook(note) for part in leaves - inside]
    network(torch.zeros(1, 3, side, side, device=_device(network)))
    for hook in hooks:
        hook.remove()
    return max([3 * max(sizes) / side**2, *(part.bytes_per_pixel for part in leaves if isinstance(part, Outside))])


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _halved(tile: int, height: int, width: int, error: Exception) -> int:
    """The next tile to try after an error, which is raised again unless it says that memory ran out."""
    if not out_of_memory(error):
        raise error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if min(tile, max(height, width)) // 2 < SMALLEST_TILE:
        raise ImageError(f"not enough memory for tiles of {tile} pixels; close other programs, or use a smaller model") from None
    return min(tile, max(height, width)) // 2


def _bar(network, lr, boxes, halo, progress) -> tqdm:
    """A bar in output megapixels. A trial on 2 % of the work makes the first estimate, before any tile is done; what is small needs none."""
    scale, pixels = network.scale, len(lr) * lr.shape[-2] * lr.shape[-1]
    label = f"{progress}: " if isinstance(progress, str) else ""
    bar = tqdm(total=scale**2 * pixels / 1e6, desc=label, bar_format=BAR, unit=" MP", smoothing=0, leave=False, disable=not progress)
    if progress:
        rows, columns = lr.shape[-2:]
        computed = len(lr) * sum((min(bottom + halo, rows) - max(top - halo, 0)) * (min(right + halo, columns) - max(left - halo, 0))
                                 for top, left, bottom, right in boxes)
        side = min(int((0.02 * computed) ** 0.5), 384, boxes[0][2] + halo)
        if side >= 32:  # a very small one would run too fast, in the cache
            bar.set_postfix_str(f"about {seconds_per_pixel(network, side) * computed:.0f} s in all")
    return bar


@torch.inference_mode()
def seconds_per_pixel(network: nn.Module, side: int) -> float:
    """Seconds for each LR pixel computed, by a trial on a picture of side x side after a small one to warm up."""
    for side in (16, side):
        start = time.perf_counter()
        network(torch.zeros(1, 3, side, side, device=_device(network)).contiguous(memory_format=torch.channels_last)).sum().item()
    return (time.perf_counter() - start) / side**2  # .item() waited for the GPU
