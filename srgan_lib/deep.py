"""Values of more than 8 bits, read without an 8-bit step.

Pillow stores colour with 8 bits only, so its own safe decoders run twice here: once for the high byte of every value and once
for the low byte. JPEG 2000 goes to PyAV (Pillow 12.3 and 13.0 round white to 256 and store 0), colour in separate planes of a
TIFF to tifffile, which scikit-image brings, HEIC to pillow-heif. Everything is stretched to 0..65535.
"""

import re
import sys

import numpy as np
from PIL import Image

from .errors import ImageError
from .formats import as_file, depth, head, siz_depths
from .notes import note

OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
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
    return scaled(frames[0].to_ndarray() >> (16 - bits), bits)


def _planes(image: Image.Image, source, name: str) -> np.ndarray:
    """A TIFF whose colours stand in planes of their own, which Pillow 13.0 takes for noise beyond 8 bits."""
    try:
        import tifffile
        with tifffile.TiffFile(as_file(source)) as file:
            planes = file.pages[image.tell()].asarray()
    except Exception as error:  # a decoder that is not there, or hostile bytes
        raise ImageError(f"{name}: a TIFF with 16-bit colours in separate planes that cannot be read ({str(error).splitlines()[0]}); "
                         "save it with the colours of a pixel together") from None
    if planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[1:] != image.size[::-1]:
        raise ImageError(f"{name}: a TIFF with colours in separate planes of a kind that is not read here ({planes.dtype} {planes.shape})")
    return turned(np.moveaxis(planes, 0, -1)[..., :4], image.tag_v2.get(0x0112, 1))


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
    return np.ascontiguousarray(array[:, ::-1] if mirrored else array)


def grey_values(image: Image.Image, data: bytes, name: str) -> tuple[np.ndarray, bool]:
    """(uint16 (H, W), whether 8 bits hold it) of a picture of mode I, I;16 or F; what is guessed or stretched is said.

    Unsigned integers keep their level. Floats in [0, 1] are shares of white, whole ones up to 255 levels. Other ranges are
    stretched from their least to their greatest value. Raises ImageError for what has no range.
    """
    values, bits = np.asarray(image), depth(image, data)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError(f"{name}: holds values that are not finite numbers; replace them first")
    least, most = values.min().item(), values.max().item()
    signed = image.format == "TIFF" and 2 in image.tag_v2.get(339, (1,))
    if values.dtype.kind != "f" and least >= 0 and most <= 65535 and not signed:
        if bits < 16 and image.format in ("JPEG2000", "TIFF"):  # Pillow leaves 12 bits of a TIFF at 0..4095, and shifts those of a JPEG 2000 up
            values = scaled(values >> (16 - bits) if image.format == "JPEG2000" else values, bits)
        values = values.astype(np.uint16)
        inverted = image.format == "TIFF" and image.tag_v2.get(262) == 0  # white is zero; Pillow turns 8 bits round, and not 16
        return (65535 - values if inverted else values), False
    if values.dtype.kind == "f" and 0 <= least and most <= 1:
        return np.floor(values.astype(np.float64) * 65535 + 0.5).astype(np.uint16), False
    whole = bool((values == np.floor(values)).all())
    if values.dtype.kind == "f" and 0 <= least and (whole or most >= 64) and most <= 255:
        if not whole:
            note(f"{name}: values from {least:g} to {most:g} are taken as levels 0 to 255")
        return np.floor(values.astype(np.float64) * 257 + 0.5).astype(np.uint16), whole
    if least == most:
        raise ImageError(f"{name}: every value is {least:g}, which is no level from 0 to 1 or 0 to 255; scale the values first")
    note(f"{name}: values from {least:g} to {most:g} are stretched to black and white")
    return np.floor((values.astype(np.float64) - least) * (65535 / (most - least)) + 0.5).astype(np.uint16), False


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, to the nearest level, half up."""
    return ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
