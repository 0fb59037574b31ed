"""Which picture formats are opened, how deep their values are, and what a file holds besides one picture.

A stranger's file meets only the decoders in SAFE: Pillow knows 20 more formats, which hardly anybody uses or tests. HEIC and
JPEG XL are read where their plugins are installed, and the sentence for a file of theirs names the pip line where they are not.
"""

import io
import os
import re
import warnings
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ..errors import ImageError

COMMON = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000", "BMP", "DIB", "PPM", "ICO", "QOI", "PCX", "SGI")
BY_NAME = ("TGA",)  # its files begin with no signature: only a name that says so is believed
PLUGINS = {"HEIF": ("pillow_heif", "pillow-heif", (".heic", ".heics", ".heif", ".heifs", ".hif")),
           "JXL": ("pillow_jxl", "pillow-jxl-plugin", (".jxl",))}  # format: (module, package, suffixes)
SAFE = (*COMMON, *BY_NAME, *PLUGINS)
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # ISO/IEC 23008-12, annex B
JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")  # ISO/IEC 18181-1 and -2
WEBP_IN_TIFF = 50001  # a compression that Pillow's libtiff is built without (13.0)
BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF"}
HEAD = 2**18  # bytes from which depth and kind are told


@lru_cache(maxsize=1)
def formats() -> tuple[str, ...]:
    """The formats that are opened here: SAFE, as far as Pillow and its installed plugins know them."""
    Image.init()
    for module, _, _ in PLUGINS.values():
        try:
            plugin = __import__(module)
        except (ImportError, OSError):
            continue
        getattr(plugin, "register_heif_opener", lambda: None)()  # pillow_jxl registers itself
    return tuple(name for name in SAFE if name in Image.OPEN)


def _suffixes() -> tuple[str, ...]:
    """Every suffix that Pillow or a plugin registers for a format of SAFE; those of absent plugins too, to say what to install."""
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in SAFE}
    return tuple(sorted(known.union(*(suffixes for _, _, suffixes in PLUGINS.values()))))


SUFFIXES = _suffixes()


def opened(source, name: str) -> Image.Image | None:
    """A path, bytes or file object as a Pillow image whose pixels are not read yet; None for a TIFF of a kind that Pillow does not read.

    Raises ImageError for other formats.
    """
    wanted = [kind for kind in formats() if kind not in BY_NAME or Image.registered_extensions().get(Path(name).suffix.lower()) == kind]
    try:
        image = Image.open(as_file(source), formats=wanted)
        return None if image.format == "TIFF" and image.tag_v2.get(259) == WEBP_IN_TIFF else image
    except Image.UnidentifiedImageError:
        if head(source, 4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return None
        raise ImageError(f"{name}: {unknown(head(source), name)}") from None


def as_file(source):
    """What Pillow opens: bytes as a file, a file from its beginning, a path as it is."""
    if isinstance(source, (bytes, bytearray)):
        return io.BytesIO(source)
    if hasattr(source, "seek"):
        source.seek(0)
    return source


def head(source, count: int = HEAD) -> bytes:
    """The first bytes of a path, bytes or file object; all of them with a count of -1."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return file.read(count)
    return as_file(source).read(count)


def unknown(data: bytes, name: str) -> str:
    """Why a file that no decoder took is no picture here, and what helps."""
    for kind, (_, package, _) in PLUGINS.items():
        if _looks_like(kind, data) and kind not in formats():
            return f"a picture in {'HEIC' if kind == 'HEIF' else 'JPEG XL'}, which needs a plugin: pip install {package}"
    if data[4:12] in (b"ftypavif", b"ftypavis") and "AVIF" not in formats():
        return "an AVIF picture, which needs a newer Pillow: pip install -U pillow"
    rare = [kind for kind in Image.OPEN if kind not in SAFE and Image.OPEN[kind][1] and _accepts(kind, data)]
    named = Image.registered_extensions().get(Path(name).suffix.lower())
    if rare or named in set(Image.OPEN) - set(SAFE):
        return f"a file in {(rare or [named])[0]}, a rare format that is not opened here, for safety; save it as PNG first"
    for sign, kind in BEGINNINGS.items():
        if data.startswith(sign):
            return f"a {kind} that Pillow does not read: its beginning is broken, or it is of a rare kind{' (12 bits, lossless)' if kind == 'JPEG' else ''}"
    return "not a picture in a format that Pillow knows" if data else "not a picture: the file is empty"


def _looks_like(kind: str, data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS if kind == "HEIF" else data.startswith(JXL_SIGNATURES)


def _accepts(kind: str, data: bytes) -> bool:
    try:
        return Image.OPEN[kind][1](data[:16]) is True
    except Exception:  # a signature check of Pillow's on too few bytes
        return False


def is_picture(path: Path) -> bool:
    """Whether a file's name or, where the name says nothing, its beginning is that of a picture. Nothing is decoded."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        data = head(path, 64)
        if any(_looks_like(kind, data) for kind in PLUGINS):
            return True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on the tags of what is no picture
            Image.open(path, formats=[kind for kind in formats() if kind not in BY_NAME]).close()
        return True
    except Exception:  # whatever a decoder raises on what is no picture
        return False


# ---------------------------------------------------------------- depth and contents


def depth(image: Image.Image, data: bytes) -> int:
    """Bits a channel as stored, told from the file's head before anything is decoded; 8 where nothing says more."""
    layout, kind = str(getattr(image, "tile", "")), image.format
    if kind in ("BMP", "DIB", "TGA", "ICO"):
        return 8  # a 16 in their layout counts the bits of a whole pixel
    if kind == "JPEG2000":
        return max(siz_depths(data), default=8)
    if kind == "AVIF" and (at := data.find(b"av1C")) >= 0 and len(data) > at + 6:  # AV1-ISOBMFF 2.3.3
        return (12 if data[at + 6] & 0x20 else 10) if data[at + 6] & 0x40 else 8
    if kind == "JXL":
        return jxl_depth(data)
    if kind == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if kind == "TIFF":
        return max(image.tag_v2.get(258, (8,)))
    if kind == "PPM" and (most := re.search(r"\d{3,}(?=\)\))", layout)):
        return int(most.group()).bit_length()
    deep = image.mode.startswith("I") or re.search(r";16|SGI16", layout)
    return 16 if deep else 32 if image.mode == "F" else 8


def siz_depths(data: bytes) -> list[int]:
    """Bits of each component by the SIZ marker of a JPEG 2000 codestream (ISO/IEC 15444-1, A.5.1); negative when signed."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 42:
        return []
    count = int.from_bytes(data[at + 40:at + 42], "big")
    stored = data[at + 42:at + 42 + 3 * min(count, 64):3]
    return [((value & 0x7F) + 1) * (-1 if value & 0x80 else 1) for value in stored]


def jxl_depth(data: bytes) -> int:
    """Bits a channel of a JPEG XL codestream (ISO/IEC 18181-1, annex D: SizeHeader, ImageMetadata); 8 where it is not told early."""
    at = data.find(b"\xff\x0a")
    bits = int.from_bytes(data[at + 2:at + 34], "little") if at >= 0 else 1

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)
    for side in (0, 1):
        if side == 0 or take(3) == 0:  # a ratio stands for the width
            take(5 if small else (9, 13, 18, 30)[take(2)])
    if take(1) or (take(1) and (take(3), take(1), take(1), take(1))[1:] != (0, 0, 0)):
        return 8  # all defaults; or a preview or an animation, whose header would follow first
    is_float, choice = take(1), take(2)
    return (32, 16, 24)[choice] if is_float and choice < 3 else (8, 10, 12)[choice] if choice < 3 else 1 + take(6)


def chunks(data: bytes, start: int = 8):
    """(kind, content) of every whole chunk of a PNG."""
    while len(data) >= start + 12:
        length = int.from_bytes(data[start:start + 4], "big")
        if len(data) < start + 12 + length:
            return
        yield data[start + 4:start + 8], data[start + 8:start + 8 + length]
        start += 12 + length


def pages(image: Image.Image) -> list[int]:
    """Numbers of the pictures in a file that stand for themselves: smaller copies, gain maps and depth maps are none."""
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format not in ("TIFF", "MPO"):
        return list(range(count))
    found, first = [], image.size
    for number in range(count):
        image.seek(number)
        reduced = image.format == "TIFF" and int(image.tag_v2.get(254, 0)) & 1 or image.format == "MPO" and image.size != first
        found += [] if reduced else [number]
    image.seek(0)
    return found or [0]


def contents(image: Image.Image, data: bytes) -> list[str]:
    """What of the file the first picture does not hold, one clause each."""
    count, info, kind = getattr(image, "n_frames", 1), image.info, image.format
    gain = b"hdrgm:Version" in data or b"urn:iso:std:iso:ts:21496:-1" in data or any("gainmap" in str(name).lower() for name in info.get("aux") or ())
    said = []
    if count > 1 and kind == "MPO":
        alone = len(pages(image)) == 1
        what = "the second is a gain map, which makes it HDR" if gain else "the second is a gain map or a depth map" if alone else "the second is another view"
        said.append(f"holds {count} images; the first is used ({what})")
    elif gain:
        said.append("holds a gain map, which makes it HDR; it is left out")
    if re.search(rb"(MotionPhoto|MicroVideo)\W{1,3}1", data + _xmp(info)):
        said.append("holds a short video behind the photograph; it is left out")
    if info.get("depth_images"):
        said.append("holds a depth map; it is left out")
    if count > 1 and kind in ("TIFF", "HEIF", "ICO"):
        own = len(pages(image))
        said += [f"holds {own} {'pages' if kind == 'TIFF' else 'images'}; the first is used (--pages all takes each)"] if own > 1 else []
    elif count > 1 and kind != "MPO":
        said.append(f"animated, {count} frames; the first is used")
    return said


def _xmp(info: dict) -> bytes:
    xmp = info.get("xmp") or b""
    return xmp.encode() if isinstance(xmp, str) else bytes(xmp)
