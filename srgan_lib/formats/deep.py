"""Values of more than 8 bits, read without an 8-bit step.

Pillow stores colour with 8 bits only, so its own safe decoders run twice here: once for the high byte of every value and once
for the low byte. JPEG 2000 goes to PyAV (Pillow 12.3 and 13.0 round white to 256 and store 0), colour in separate planes of a
TIFF to tifffile, which scikit-image brings, HEIC to pillow-heif. Everything is stretched to 0..65535.
"""

import logging
import re
import sys
from contextlib import contextmanager

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..notes import note
from .known import as_file, depth, head, siz_depths

OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
NODATA = 42113  # GDAL's tag for the value that means "nothing was measured here"
TURNS = {2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (3, 1), 6: (3, 0), 7: (1, 1), 8: (1, 0)}  # EXIF: quarter turns to the left, mirrored after


def deep_colour(image: Image.Image, source, data: bytes, name: str) -> np.ndarray | None:
    """uint16 (H, W, 2..4), or (H, W) of greys, of an opened picture that Pillow would cut to 8 bits; None for all others.

    Not turned yet, unless it is a TIFF. Raises ImageError where the values cannot be had.
    """
    bits, raw = depth(image, data), str([tile.args for tile in image.tile]) if hasattr(image, "tile") else ""
    if image.format == "JPEG2000" and image.mode != "I;16" and any(not 0 < one <= 8 for one in siz_depths(data)):
        return _by_pyav(source, siz_depths(data), name)
    if image.format == "TIFF" and bits > 8 and image.tag_v2.get(284) == 2 and len(image.getbands()) > 1:
        return _planes(image, source, name)
    if image.format == "PPM" and bits > 8 and image.mode == "RGB":
        return _plain_ppm(image, source, name)
    if image.format == "HEIF" and bits > 8:
        import pillow_heif
        stored = np.asarray(pillow_heif.open_heif(as_file(source), convert_hdr_to_8bit=False))
        return scaled(stored >> (16 - bits), bits) if stored.dtype == np.uint16 else None
    if re.search(r"(RGB|RGBA|RGBX|RGBa|LA);16[BLN]", raw) and not isinstance(source, Image.Image):
        return _two_passes(image, source, raw)
    return None


def _two_passes(image: Image.Image, source, raw: str) -> np.ndarray:
    """High bytes as Pillow reads them, low bytes by the same decoder with the other byte order."""
    passes = []
    for change in (_whole_byte, _other_byte):
        again = Image.open(as_file(source), formats=[image.format])
        again.filename = ""  # else Pillow (12.3) maps a TIFF into memory with the turned size
        again.seek(image.tell())
        again.tile = [tile._replace(args=_renamed(tile.args, change)) for tile in again.tile]
        again.load()
        passes.append(np.array(again))
        if "LA;16" in raw:  # 4 bytes a pixel, taken as RGBA: grey high, grey low, alpha high, alpha low
            return passes[0].view(">u2").astype(np.uint16)
    levels = passes[0].astype(np.uint16) << 8 | passes[1]
    if "RGBa" in raw:  # colours come multiplied by alpha
        alpha = np.maximum(levels[..., 3:].astype(np.float32), 1)
        levels[..., :3] = np.floor((levels[..., :3] / alpha).clip(0, 1) * 65535 + 0.5)
    return levels


def _whole_byte(raw: str) -> str:
    return "RGBA" if raw.startswith("LA;") else raw.replace("RGBa", "RGBA")


def _other_byte(raw: str) -> str:
    return raw[:-1].replace("RGBa", "RGBA") + OTHER_BYTE[raw[-1]]


def _renamed(arguments, change):
    """A tile's arguments with another raw mode, which stands first or alone."""
    return (change(arguments[0]), *arguments[1:]) if isinstance(arguments, tuple) else change(arguments)


def _by_pyav(source, depths: list[int], name: str) -> np.ndarray:
    """Colour JPEG 2000 of 9 to 16 bits: FFmpeg puts the values at the upper end of 16 bits."""
    import av
    av.logging.set_level(av.logging.PANIC)
    decoder, bits, frames = av.CodecContext.create("jpeg2000", "r"), depths[0], []
    decoder.thread_type = "NONE"
    try:
        if set(depths) == {bits} and 8 < bits <= 16:
            frames = [*decoder.decode(av.Packet(head(source, -1))), *decoder.decode(None)]
    except (av.FFmpegError, ValueError) as error:
        raise ImageError(f"{name}: broken picture ({getattr(error, 'strerror', None) or error})") from None
    if not frames or frames[0].format.name not in ("gray16le", "rgb48le", "rgba64le", "ya16le"):
        raise ImageError(f"{name}: a JPEG 2000 whose values ({', '.join(map(str, depths))} bits) are not read right here; save it as PNG with 16 bits first")
    return scaled(_values(frames[0]) >> (16 - bits), bits)


def _values(frame) -> np.ndarray:
    """uint16 of a decoded frame; PyAV (18.1) makes no array of greys with alpha."""
    if frame.format.name != "ya16le":
        return frame.to_ndarray()
    rows = np.frombuffer(frame.planes[0], "<u2").reshape(frame.height, -1)
    return rows[:, :2 * frame.width].reshape(frame.height, frame.width, 2)


def _planes(image: Image.Image, source, name: str) -> np.ndarray:
    """A TIFF whose colours stand in planes of their own, which Pillow 13.0 takes for noise beyond 8 bits."""
    with tiff_page(source, name, image.tell()) as page:
        planes = _pixels(page, name)
    if planes.dtype != np.uint16 or planes.shape[:2] not in (image.size, image.size[::-1]):
        raise ImageError(f"{name}: a TIFF with colours in separate planes of a kind that is not read here ({planes.dtype} {planes.shape})")
    return turned(planes[..., :4], image.tag_v2.get(0x0112, 1))


@contextmanager
def tiff_page(source, name: str, number: int):
    """A page of a TIFF by tifffile, for what Pillow does not read. Raises ImageError."""
    import tifffile
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(as_file(source)) as file:
            yield file.pages[number]
    except ImageError:
        raise
    except Exception as error:  # hostile bytes
        raise ImageError(f"{name}: broken picture ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None


def _pixels(page, name: str) -> np.ndarray:
    """(H, W, C) of a page, the channels last."""
    try:
        pixels = page.asarray()
    except Exception as error:  # a decoder that is not there, or hostile bytes
        raise ImageError(f"{name}: a TIFF of a rare kind that cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
                         "save it without compression and with 8 or 16 bits a channel first") from None
    if pixels.ndim == 3 and page.planarconfig == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels if pixels.ndim == 3 else pixels.reshape(page.imagelength, page.imagewidth, -1)


def rare_tiff(page, name: str) -> np.ndarray:
    """uint16 (H, W, 1..4), upright, of a TIFF that Pillow does not read: greys with alpha, colour as floats, many bands.

    Of more bands the first three are used, said aloud. Raises ImageError for complex values and the like.
    """
    if page.samplesperpixel > 32 or page.photometric not in (0, 1, 2) or page.bitspersample > 64:
        raise ImageError(f"{name}: a TIFF of a kind that is not read here ({page.samplesperpixel} bands, photometric {int(page.photometric)})")
    pixels = _pixels(page, name)
    if pixels.dtype.kind not in "uif":
        raise ImageError(f"{name}: a TIFF of {pixels.dtype} values, which are no levels of a picture")
    alpha, bands = any(int(kind) in (1, 2) for kind in page.extrasamples), pixels.shape[2]
    colours, pixels = 1 if bands < 3 else 3, with_data(pixels, page.tags.valueof(NODATA), name)
    if bands > colours + alpha:
        note(f"{name}: {bands} bands; the first {'one is' if colours == 1 else '3 are'} used")
    shown = levels(pixels[..., :colours], page.bitspersample, name, whole_byte=True)
    if alpha:
        shown = np.dstack([shown, levels(pixels[..., colours:colours + 1], page.bitspersample, name, whole_byte=True)])
    return turned(65535 - shown if page.photometric == 0 else shown, int(page.tags.valueof(0x0112, 1)))


def _plain_ppm(image: Image.Image, source, name: str) -> np.ndarray:
    """Netpbm's P6 beyond 255 levels: two bytes a value, the high one first; Pillow keeps one."""
    data, tile, count = head(source, -1), image.tile[0], image.size[0] * image.size[1] * 3
    if not data.startswith(b"P6") or len(data) < tile.offset + 2 * count:
        raise ImageError(f"{name}: broken picture (text values beyond 255, or cut off)")
    values = np.frombuffer(data, ">u2", count, tile.offset).reshape(*image.size[::-1], 3)
    most = int(tile.args[-1])
    return np.floor(values.astype(np.float32).clip(0, most) * (65535 / most) + 0.5).astype(np.uint16)


def scaled(values: np.ndarray, bits: int) -> np.ndarray:
    """Unsigned values of so many bits -> uint16 over the whole range, white on white."""
    most = 2**bits - 1
    return values.astype(np.uint16) if bits == 16 else ((values.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W[, C]) as EXIF's orientation 1..8 wants it shown."""
    turns, mirrored = TURNS.get(orientation, (0, 0))
    array = np.rot90(array, turns)
    return (array[:, ::-1] if mirrored else array).copy()  # ascontiguousarray leaves a negative stride where a side is 1, and torch refuses it


def grey_values(image: Image.Image, data: bytes, name: str) -> tuple[np.ndarray, bool]:
    """(uint16 (H, W), whether 8 bits hold it) of a picture of mode I, I;16 or F; what is guessed or stretched is said."""
    values, bits = np.asarray(image), depth(image, data)
    if image.format == "JPEG2000" and bits < 16:
        values = values >> (16 - bits)  # Pillow shifts fewer bits up, which leaves white below 65535
    signed = is_signed(image)
    values = values.view(np.int8) if signed and values.dtype == np.uint8 else values
    if image.format == "TIFF":
        values = values.view(np.uint32) if bits == 32 and values.dtype == np.int32 and not signed else values  # Pillow has no unsigned mode of 32 bits
        values = with_data(values, image.tag_v2.get(NODATA), name)
    known = bits if image.format in ("JPEG2000", "TIFF") and bits < 16 else 16
    out = levels(values, known, name, signed)
    if image.format == "TIFF" and image.tag_v2.get(262) == 0 and values.dtype.kind != "f":
        out = 65535 - out  # white is zero; Pillow turns 8 bits round, and not 16
    return out, bool(values.dtype.kind == "f" and values.max() > 1 and (out % 257 == 0).all())


def is_signed(image: Image.Image) -> bool:
    return image.format == "TIFF" and image.mode in ("L", "I", "I;16", "I;16B") and 2 in image.tag_v2.get(339, (1,))


def with_data(values: np.ndarray, nodata, name: str) -> np.ndarray:
    """Values with a number in place of those that a GeoTIFF calls missing (GDAL's tag 42113): the least of the others, and it is said."""
    try:
        mark = float(str(nodata).strip("\0 "))
    except ValueError:
        return values
    gaps = (np.isnan(values) if np.isnan(mark) else values == np.array(mark, values.dtype)) if values.dtype.kind == "f" else np.zeros(1, bool)
    if not gaps.any() or gaps.all():
        return values
    note(f"{name}: {int(gaps.sum())} values are missing ({mark:g}); they become the least of the others")
    return np.where(gaps, values[~gaps].min(), values)


def levels(values: np.ndarray, bits: int, name: str, signed: bool = False, whole_byte: bool = False) -> np.ndarray:
    """Values of any kind -> uint16 over 0..65535; what is guessed or stretched is said. whole_byte: uint8 are levels to 255.

    Unsigned integers keep their level. Floats in [0, 1] are shares of white, whole ones up to 255 levels. Other ranges are
    stretched from their least to their greatest value. Raises ImageError for what has no range.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError(f"{name}: holds values that are not finite numbers (NaN or infinity); replace them first")
    least, most, is_float = values.min().item(), values.max().item(), values.dtype.kind == "f"
    signed = signed or whole_byte and values.dtype.kind == "i"
    if not is_float and least >= 0 and most <= 65535 and not signed:
        return scaled(values, 8 if whole_byte and values.dtype == np.uint8 else min(bits, 16))
    if is_float and 0 <= least and most <= 1:
        return np.floor(values.astype(np.float64) * 65535 + 0.5).astype(np.uint16)
    whole = is_float and bool((values == np.floor(values)).all())
    if is_float and 0 <= least and (whole or most >= 64) and most <= 255:
        if not whole:
            note(f"{name}: values from {least:g} to {most:g} are taken as levels 0 to 255")
        return np.floor(values.astype(np.float64) * 257 + 0.5).astype(np.uint16)
    if least == most and not is_float and 0 <= least <= 65535:
        return scaled(values, min(bits, 16))
    if least == most:
        raise ImageError(f"{name}: every value is {least:g}, which is no level from 0 to 1 or 0 to 255; scale the values first")
    note(f"{name}: values from {least:g} to {most:g} are stretched to black and white")
    return np.floor((values.astype(np.float64) - least) * (65535 / (most - least)) + 0.5).astype(np.uint16)


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, to the nearest level, half up."""
    return ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
