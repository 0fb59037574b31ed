"""Pictures of 16 bits a channel, which Pillow cannot hold: a class that saves them, and the writers of PNG and TIFF.

By hand, because Pillow writes colour with 8 bits, and tifffile and PyAV would lose EXIF or the colour profile. What stands
around the pixels is Pillow's: it writes a picture of one pixel with the same options, whose pixels are then replaced.
"""

import io
import shutil
import struct
import tempfile
import zlib
from itertools import accumulate

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from ..notes import note
from .deep import eight_bits
from .known import chunks

SPOOL = 1 << 26  # bytes of packed strips that stay in memory
CLUSTER = 1 << 22  # bytes of rows that are filtered and packed at once


class DeepImage(Image.Image):
    """A picture of 16 bits a channel: `deep` is uint16 (H, W, 2..4). Pillow sees 8 bits; `save` writes 16 as PNG and TIFF."""

    deep: np.ndarray

    @classmethod
    def of(cls, deep: np.ndarray, info: dict | None = None) -> "DeepImage":
        plain, image = Image.fromarray(eight_bits(deep)), cls()
        image.im, image._mode, image._size = plain.im, plain.mode, plain.size
        image.deep, image.info = deep, dict(info or {})
        return image

    def save(self, fp, format=None, **options):
        kind = format or Image.registered_extensions().get(str(fp)[str(fp).rfind("."):].lower())
        if kind not in ("PNG", "TIFF"):
            note(f"{kind} holds 8 bits; 16 are kept in .png and .tif")
            return super().save(fp, format, **options)
        if not hasattr(fp, "write"):
            with open(fp, "wb") as file:
                return self.save(file, kind, **options)
        (write_png if kind == "PNG" else write_tiff)(fp, self.deep, **options)


def write_png(file, levels: np.ndarray, **options) -> None:
    """Write uint16 (H, W, 1..4) as PNG of 16 bits; options as for Pillow's `save`, which writes the chunks before the pixels.

    Rows are filtered by Paeth's rule (PNG, third edition, 9.4), which suits photographs.
    """
    height, width, channels = levels.shape
    packed = io.BytesIO()
    Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels], (1, 1)).save(packed, "PNG", **options)
    file.write(packed.getvalue()[:8])
    for kind, content in chunks(packed.getvalue()):
        if kind == b"IHDR":
            content = struct.pack(">IIBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels]) + content[10:]
        if kind == b"IDAT":
            packer, rows = zlib.compressobj(options.get("compress_level", 6)), max(CLUSTER // (2 * width * channels), 1)
            for top in range(0, height, rows):
                above = levels[top - 1:top] if top else np.zeros_like(levels[:1])
                _chunk(file, b"IDAT", packer.compress(_paeth(np.concatenate([above, levels[top:top + rows]]))))
            content = packer.flush()
        _chunk(file, kind, content)


def _chunk(file, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


def _paeth(levels: np.ndarray) -> bytes:
    """Rows 1.. of levels as PNG stores them: the filter's number 4, then bytes less the best guess from left, above, above left."""
    height, width, channels = levels.shape
    stored = levels.astype(">u2").view(np.uint8).reshape(height, -1)
    left = np.pad(stored, ((0, 0), (2 * channels, 0)))[:, :-2 * channels].astype(np.int16)
    a, b, c = left[1:], stored[:-1].astype(np.int16), left[:-1]
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    guess = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    rows = np.full((height - 1, stored.shape[1] + 1), 4, np.uint8)
    rows[:, 1:] = stored[1:] - guess.astype(np.uint8)
    return rows.tobytes()


def write_tiff(file, levels: np.ndarray, **options) -> None:
    """Write uint8 or uint16 (H, W, 1..4) as TIFF, deflated, CLUSTER bytes a strip, each value less its left neighbour's.

    options: as for Pillow's `save`. Pillow (13.0) itself fails on EXIF with folders of its own once the pixels are compressed.
    """
    bands = [0, 0, 0, 1] if levels.shape[2] == 2 and levels.dtype == np.uint16 else slice(None)  # Pillow does not read greys with alpha of 16 bits back
    height, width, channels = *levels.shape[:2], levels[:1, :1, bands].shape[2]
    rows, tags = max(CLUSTER // (levels.itemsize * width * channels), 1), _tags(options)
    packed = tempfile.SpooledTemporaryFile(SPOOL)  # the tags, which come before the strips, say how long each of them is
    lengths = [packed.write(zlib.compress(_differences(levels[top:top + rows][..., bands]), 4)) for top in range(0, height, rows)]
    tags[256], tags[257], tags[258], tags[259], tags[262], tags[277] = width, height, (8 * levels.itemsize,) * channels, 8, 2 if channels > 2 else 1, channels
    tags.tagtype[273] = tags.tagtype[279] = TiffTags.LONG
    tags[278], tags[279], tags[317] = rows, tuple(lengths), 2
    tags[273] = tuple(accumulate(lengths[:-1], initial=0))  # from the end of the directory: `save` adds that
    if channels in (2, 4):
        tags[338] = 2  # ExtraSamples: alpha that is not multiplied into the colours
    tags.save(file)
    packed.seek(0)
    with packed:
        shutil.copyfileobj(packed, file)


def _tags(options: dict) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of a picture of one pixel that Pillow writes with these options."""
    packed = io.BytesIO()
    Image.new("RGB", (1, 1)).save(packed, "TIFF", **{**options, "compression": "raw"})
    small, tags = Image.open(packed), TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in small.tag_v2.items():
        tags.tagtype[tag] = small.tag_v2.tagtype[tag]
        tags[tag] = value
    for folder in (0x8769, 0x8825):
        if inside := dict(small.getexif().get_ifd(folder)):
            tags.tagtype[folder], tags[folder] = TiffTags.LONG, inside
    return tags


def _differences(levels: np.ndarray) -> bytes:
    """TIFF's predictor 2: every value less the one before it in its row, modulo its range."""
    levels = levels.astype(levels.dtype.newbyteorder("<"))
    levels[:, 1:] -= levels[:, :-1].copy()
    return levels.tobytes()
