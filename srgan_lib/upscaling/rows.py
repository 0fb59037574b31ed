"""A large result, written while it is made: rows of tiles go to the file as they are finished, and never all exist at once.

A photograph of 12 megapixels becomes 192, which are 0.8 GB as one image and a few dozen MB as one row of tiles. A PNG takes its
rows one after the other. JPEG and TIFF are written from a file of plain pixels, which the system keeps on the disk.
"""

import io
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..errors import CourseError, ImageError
from ..formats import metadata
from ..formats.known import chunks
from ..formats.sixteen import write_tiff
from ..images import Picture, atomic_write, format_of
from .cutouts import filled
from .listing import STREAM
from .memory import free_memory, out_of_memory
from .pictures import _levels as levels_of
from .saving import coding
from .tiles import SMALLEST_TILE, each_tile, halo_of, largest_tile, split

SHARE = 4             # a result of more than a quarter of the free memory is written by rows
BAND_SHARE = 8        # a row of tiles takes no more than an eighth of it
PIECE = 1 << 20       # bytes of rows that are filtered and packed at once
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of a PNG by its channels: PNG, third edition, 11.2.1
ALPHA_MARGIN = 4      # rows of it that are enlarged besides: the cubic kernel reaches 2
LEVEL = 4             # of compression, as in `saving.py`
KINDS = ("PNG", "TIFF", "JPEG")


def kind_of(target: str) -> str:
    return "PNG" if target == STREAM else format_of(target)


def by_rows(upscaler, picture: Picture, target: str) -> bool:
    """Whether a result is better written while it is made: one network makes it, its format can, and it is large for this machine."""
    plain = picture.alpha is None and picture.deep is None
    if len(upscaler.networks) > 1 or kind_of(target) not in KINDS or kind_of(target) == "JPEG" and not plain:
        return False
    height, width = (upscaler.scale * side for side in picture.rgb.shape[:2])
    return height * width * 5 * (1 if picture.deep is None else 3) > free_memory(torch.device("cpu")) / SHARE


def write_by_rows(upscaler, picture: Picture, target: str, tile: int | None = None, progress: bool | str = False, strip: bool = False,
                  key: str | None = None, quality: int = 95) -> tuple[int, int]:
    """Upscale into a PNG, TIFF or JPEG, whole or not at all -> (width, height). key: see `records.py`. Raises ImageError.

    The pixels are those that `Upscaler` gives, to the last one.
    """
    kind, channels = kind_of(target), (1 if picture.grey else 3) + (picture.alpha is not None)
    height, width = (upscaler.scale * side for side in picture.rgb.shape[:2])
    info = {name: value for name, value in {"icc_profile": picture.icc, "exif": picture.exif, **picture.info}.items() if value}
    if key and kind == "PNG" and not strip:
        info["texts"] = {**info.get("texts", {}), metadata.RECORD: key}
    options = metadata.options(info, kind, strip) | coding(kind, quality)

    def write(file):
        beside = Path(target).parent if target != STREAM else None
        rows = Rows(file, width, height, channels, 1 if picture.deep is None else 2, options) if kind == "PNG" else Pixels(file, kind, beside, options)
        _each_band(upscaler, picture, rows.write, tile, progress)
        rows.close()

    try:
        if target == STREAM:
            write(sys.__stdout__.buffer)
            sys.__stdout__.buffer.flush()
        else:
            atomic_write(Path(target), write)
    except (OSError, ValueError, RuntimeError, struct.error) as error:  # the last three: metadata or a size that a format refuses
        if isinstance(error, CourseError) or out_of_memory(error):
            raise
        raise ImageError(f"{target}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    return width, height


def _each_band(upscaler, picture: Picture, write, tile: int | None, progress) -> None:
    """Call `write(levels)` with row after row of finished tiles, uint8 or uint16 (h, W, C)."""
    colours = picture.rgb if picture.deep is None else picture.deep
    if picture.alpha is not None:
        colours = filled(colours, picture.alpha)
    lr = torch.from_numpy(colours if colours.ndim == 3 else colours[..., None]).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
    network = FromLevels(upscaler.networks[0], 255 if picture.deep is None else 65535)
    rows = free_memory(torch.device("cpu")) // (BAND_SHARE * upscaler.scale**2 * colours.shape[1] * 4 * (1 if picture.deep is None else 2))
    tile = tile or max(min(largest_tile(network, halo_of(network)), rows), SMALLEST_TILE)
    band = Band(upscaler, picture, tile, write)
    each_tile(lr, network, band.keep, tile, progress and (progress if isinstance(progress, str) else "upscaling"))


class FromLevels(nn.Module):
    """A prepared network that takes 8 or 16 bits as they are stored, so that the whole picture need not exist as floats."""

    def __init__(self, network: nn.Module, most: int):
        super().__init__()
        self.network, self.most, self.scale, self.radius, self.prepared = network, most, network.scale, network.radius, True

    def forward(self, lr):
        return self.network(lr.float().div_(self.most).contiguous(memory_format=torch.channels_last))


class Band:
    """One row of tiles, handed on once each of its pixels is there."""

    def __init__(self, upscaler, picture: Picture, tile: int, write):
        self.scale, self.picture, self.write = upscaler.scale, picture, write
        (_, _, rows, _), *_ = split((0, 0, *picture.rgb.shape[:2]), tile)
        self.kind = np.uint8 if picture.deep is None else np.uint16
        channels = (1 if picture.grey else 3) + (picture.alpha is not None)
        self.levels = np.empty((self.scale * rows, self.scale * picture.rgb.shape[1], channels), self.kind)
        self.top, self.bottom, self.done = 0, 0, 0

    def keep(self, sr: torch.Tensor, top: int, left: int) -> None:
        """A finished tile; those of one row come before those of the next, however memory has cut them."""
        mode = ("L" if self.kind == np.uint8 else "I;16") if self.picture.grey else ("RGB" if self.kind == np.uint8 else "RGB;16")
        tile = levels_of(sr, mode)
        tile = tile.reshape(*tile.shape[:2], -1)
        self.levels[top - self.top:top - self.top + tile.shape[0], left:left + tile.shape[1], :tile.shape[2]] = tile
        self.bottom, self.done = max(self.bottom, top + tile.shape[0]), self.done + tile.shape[0] * tile.shape[1]
        if self.done == (self.bottom - self.top) * self.levels.shape[1]:
            self._hand_on()

    def _hand_on(self) -> None:
        rows = self.levels[:self.bottom - self.top]
        if self.picture.alpha is not None:
            rows[..., -1] = self._alpha()
        self.write(rows)
        self.top, self.done = self.bottom, 0

    def _alpha(self) -> np.ndarray:
        """These rows of the alpha channel, enlarged by bicubic as the whole of it would be."""
        first, last = self.top // self.scale, self.bottom // self.scale
        margin = slice(max(first - ALPHA_MARGIN, 0), last + ALPHA_MARGIN)
        alpha = self.picture.alpha[margin]
        source = Image.fromarray(alpha if self.kind == np.uint8 else alpha.astype(np.float32))
        rows = np.asarray(source.resize((self.levels.shape[1], self.scale * len(alpha)), Image.Resampling.BICUBIC))
        rows = rows[self.top - self.scale * margin.start:self.bottom - self.scale * margin.start]
        return rows if self.kind == np.uint8 else np.floor(rows.clip(0, 65535) + 0.5)


class Rows:
    """A PNG that takes its rows a few at a time. options: as for Pillow's `save`, which writes the chunks around the pixels.

    Rows are filtered by Paeth's rule (PNG, third edition, 9.4), which suits photographs.
    """

    def __init__(self, file, width: int, height: int, channels: int, sample: int, options: dict):
        packed = io.BytesIO()
        Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels], (1, 1)).save(packed, "PNG", **options)
        around = [*chunks(packed.getvalue())]
        pixels = [kind for kind, _ in around].index(b"IDAT")
        self.file, self.pixel, self.row = file, channels * sample, width * channels * sample
        self.above, self.packer = np.zeros((1, self.row), np.uint8), zlib.compressobj(LEVEL)
        self.after = around[pixels + 1:]
        file.write(packed.getvalue()[:8])
        for kind, content in around[:pixels]:
            if kind == b"IHDR":
                content = struct.pack(">IIBB", width, height, 8 * sample, COLOUR_TYPES[channels]) + content[10:]
            self._chunk(kind, content)

    def write(self, levels: np.ndarray) -> None:
        """Rows uint8 or uint16 (h, width, channels), from the top down."""
        stored = levels.astype(levels.dtype.newbyteorder(">"), copy=False).view(np.uint8).reshape(len(levels), self.row)
        step = max(PIECE // self.row, 1)
        for top in range(0, len(stored), step):
            piece = np.concatenate([self.above, stored[top:top + step]])
            self.above = piece[-1:].copy()
            if packed := self.packer.compress(_paeth(piece, self.pixel)):
                self._chunk(b"IDAT", packed)

    def close(self) -> None:
        self._chunk(b"IDAT", self.packer.flush())
        for kind, content in self.after:
            self._chunk(kind, content)

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self.file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


class Pixels:
    """Rows of plain pixels in a file without a name, from which JPEG or TIFF is written at the end: the system need not keep them in memory."""

    def __init__(self, file, kind: str, folder: Path | None, options: dict):
        self.file, self.kind, self.options, self.height = file, kind, options, 0
        self.pixels = tempfile.TemporaryFile(dir=folder)

    def write(self, levels: np.ndarray) -> None:
        """Rows uint8 or uint16 (h, width, channels), from the top down."""
        if self.kind == "JPEG" and levels.shape[2] == 3:
            levels = np.pad(levels, ((0, 0), (0, 0), (0, 1)))  # four bytes a pixel, which Pillow reads where they are
        self.shape, self.levels, self.height = levels.shape, levels.dtype, self.height + len(levels)
        self.pixels.write(np.ascontiguousarray(levels))

    def close(self) -> None:
        self.pixels.flush()
        levels = np.memmap(self.pixels, self.levels, "r", shape=(self.height, *self.shape[1:]))
        if self.kind == "TIFF":
            write_tiff(self.file, levels, **self.options)
        else:
            mode = "L" if levels.shape[2] == 1 else "RGBX"
            Image.frombuffer(mode, levels.shape[1::-1], levels, "raw", mode, 0, 1).save(self.file, "JPEG", **self.options)
        self.pixels.close()


def _paeth(rows: np.ndarray, pixel: int) -> bytes:
    """Rows 1.. of bytes as PNG stores them: the filter's number, then each byte less the best guess from left, above and above left."""
    left = np.pad(rows, ((0, 0), (pixel, 0)))[:, :-pixel].astype(np.int16)
    a, b, c = left[1:], rows[:-1].astype(np.int16), left[:-1]
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    guess = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    out = np.full((len(rows) - 1, rows.shape[1] + 1), 4, np.uint8)
    out[:, 1:] = rows[1:] - guess.astype(np.uint8)
    return out.tobytes()
