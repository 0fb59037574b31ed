"""What a picture file says beside its pixels: read from any format, handed to another as far as that can hold it, and said.

dpi is kept as it was: a print of the result is larger, and as fine as before.
"""

import re

from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from ..notes import note
from .known import chunks

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128  # EXIF tags
TIFF_LAYOUT = {*range(254, 260), 262, 266, 273, *range(277, 285), 317, *range(320, 326), 338, 339, 347, 529, 530, 531, 532,
               700, 33723, 34377, 34675}  # TIFF tags that describe the old file's pixels, not the photograph, or are carried apart
DESCRIPTION = 0x010E  # in which programs of microscopy keep sizes and pages
PIXELS_HIGH_AND_WIDE = (0xA002, 0xA003)  # EXIF's own copy of the old size
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP")  # PNG, third edition, 11.3.2
PLAIN_GAMMA = range(45000, 46001)  # about 1 / 2.2: what everybody shows without being told
USUAL_PRIMARIES, USUAL_TRANSFER = (1, 2, 5, 6), (1, 2, 6, 13, 14, 15)  # H.273: BT.709, BT.601 or unsaid; sRGB's curve or a camera's near to it
SECOND_IN_XMP = (  # what XMP says of a second picture or a video behind the photograph, which the result does not have
    re.compile(rb"\s(?:hdrgm|G?Camera|GContainer|Container|Item):\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')"),
    re.compile(rb"<((?:hdrgm|G?Camera|GContainer|Container):\w+)\b[^>]*>.*?</\1>", re.DOTALL))
IPTC_RESOURCE = 0x0404  # of a Photoshop block
HOLDS = {  # what Pillow writes into each format; `texts` are a PNG's
    "PNG": {"dpi", "xmp", "texts", "comment", "colour"}, "JPEG": {"dpi", "xmp", "iptc", "comment"}, "WEBP": {"xmp"}, "AVIF": {"xmp"},
    "TIFF": {"dpi", "xmp", "iptc"}, "GIF": {"comment"}, "BMP": {"dpi"}, "HEIF": {"xmp"}, "JXL": {"xmp"}, "JPEG2000": {"comment"}}
WITH_PROFILE_AND_EXIF = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "AVIF", "HEIF", "JXL")  # where Pillow (13.0) and the plugins write both
DPI_IN_EXIF = ("WEBP", "AVIF", "HEIF", "JXL")  # they have no place of their own for it
WORDS = {"dpi": "the resolution (dpi)", "xmp": "XMP", "iptc": "IPTC (title, keywords)", "comment": "the comment", "colour": "gAMA, cHRM or cICP (brightness, colours)",
         "icc_profile": "the colour profile", "exif": "EXIF"}
LONGEST = 65500  # bytes of a JPEG's segment, less its names
RECORD = "srgan-result"  # the text in which a result of ours says what made it, see upscaling/records.py
EXIF_AND_XMP_TEXTS = (RECORD, "XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1", "Raw profile type xmp")
PERSONAL = ("exif", "xmp", "iptc", "texts", "comment", "dpi")  # what --strip removes


def read(image: Image.Image, data: bytes) -> dict:
    """dpi, xmp, iptc, texts, comment, colour (a PNG's chunks by name) of an opened picture, as far as it has them."""
    info, tags = image.info, getattr(image, "tag_v2", {})
    xmp = info.get("xmp", tags.get(700))
    xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp) if xmp else None
    for words in SECOND_IN_XMP:
        xmp = xmp and words.sub(b"", xmp)
    xmp = xmp and re.sub(rb"(tiff:Orientation(?:=[\"']|>))\d", rb"\g<1>1", xmp)  # the result stands upright
    texts = {str(key): str(value) for key, value in getattr(image, "text", {}).items() if key not in EXIF_AND_XMP_TEXTS}
    colour = {kind: content for kind, content in (chunks(data) if image.format == "PNG" else ()) if kind in COLOUR_CHUNKS}
    if image.format in ("AVIF", "HEIF") and "icc_profile" not in info:
        colour = nclx(data)
    if set(colour) == {b"gAMA"} and int.from_bytes(colour[b"gAMA"], "big") in PLAIN_GAMMA:
        colour = {}
    found = {"dpi": _dpi(image), "xmp": xmp, "iptc": _iptc(info, tags), "texts": texts, "comment": info.get("comment"), "colour": colour}
    return {name: value for name, value in found.items() if value}


def nclx(data: bytes) -> dict[bytes, bytes]:
    """The colours that an AVIF or HEIC states by H.273's codes (ISO 14496-12, 12.1.5), as a PNG's cICP; {} for those that everybody assumes."""
    at = data.find(b"colrnclx") + 8
    if at < 8 or len(data) < at + 7:
        return {}
    primaries, transfer = (int.from_bytes(data[place:place + 2], "big") for place in (at, at + 2))
    plain = primaries in USUAL_PRIMARIES and transfer in USUAL_TRANSFER or max(primaries, transfer) > 255
    return {} if plain else {b"cICP": bytes([primaries, transfer, 0, 1])}


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch where the file states them: not the 72 that Pillow takes from nowhere, nor a mere shape of pixels."""
    if image.format == "TIFF" and (282 not in image.tag_v2 or image.tag_v2.get(296, 2) == 1):
        return None
    exif, dpi = image.getexif(), image.info.get("dpi")
    if dpi is None and image.format != "TIFF" and X_RESOLUTION in exif and exif.get(RESOLUTION_UNIT, 2) == 2:
        dpi = exif[X_RESOLUTION], exif.get(Y_RESOLUTION, exif[X_RESOLUTION])
    try:
        return tuple(round(float(value), 2) for value in dpi) if dpi and all(1 <= float(value) <= 65535 for value in dpi) else None
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _iptc(info: dict, tags) -> bytes | None:
    block = info.get("photoshop")
    value = block.get(IPTC_RESOURCE) if isinstance(block, dict) else tags.get(33723)
    return bytes(value) if isinstance(value, bytes) else None


def exif_of(image: Image.Image) -> bytes | None:
    """The EXIF block without orientation and without the old file's size and layout."""
    if image.format == "TIFF":
        exif = _tiff_exif(image.getexif())  # Pillow turned a TIFF while loading it
    else:
        exif = Image.Exif()
        exif.load(image.getexif().tobytes())  # a copy: the image may be the caller's
        exif.pop(ORIENTATION, None)
    if inside := exif.get_ifd(ExifTags.IFD.Exif) if ExifTags.IFD.Exif in exif else {}:
        for tag in PIXELS_HIGH_AND_WIDE:
            inside.pop(tag, None)
    return exif.tobytes() if len(exif) else None


def _tiff_exif(tags: Image.Exif) -> Image.Exif:
    """A TIFF keeps its layout and its EXIF in one list; take what is about the photograph."""
    kept = Image.Exif()
    for tag, value in tags.items():
        if tag not in TIFF_LAYOUT and not (tag == DESCRIPTION and _tells_layout(str(value))) and tag not in (ORIENTATION, 296, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            kept[tag] = value
    for folder in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if tags.get_ifd(folder):
            kept.get_ifd(folder).update(tags.get_ifd(folder))
    return kept


def _tells_layout(text: str) -> bool:
    """Whether programs read a description for the size of the image: tifffile's, and those of ImageJ and OME, which is said."""
    said = [who for who, found in (("ImageJ", text.startswith("ImageJ=")), ("OME-XML", "<OME" in text[:2000])) if found]
    for who in said:
        note(f"the description in {who} tells of the old size and is left out")
    return bool(said) or text.startswith('{"shape": [')


def options(info: dict, kind: str, strip: bool = False) -> dict:
    """What of a result's `info` goes into Pillow's `save` for a format. What the format cannot hold is said."""
    info = {name: value for name, value in info.items() if not (strip and name in PERSONAL)}
    held, out = HOLDS.get(kind, set()), {}
    lost = [WORDS[name] for name in WORDS if name in info and name not in held and name not in ("icc_profile", "exif")]
    out |= {name: info[name] for name in ("icc_profile", "exif") if name in info}
    if kind not in WITH_PROFILE_AND_EXIF:
        lost += [WORDS[name] for name in out]
        out = {}
    out |= {name: info[name] for name in ("dpi", "xmp", "comment") if name in info and name in held}
    if kind == "PNG":
        out |= {"pnginfo": _png_info(info)}
        out.pop("xmp", None), out.pop("comment", None)
    elif info.get("texts"):
        lost.append(f"the texts {', '.join(sorted(info['texts'])[:5])}")
    if kind in DPI_IN_EXIF and "dpi" in info:
        exif = Image.Exif()
        exif.load(out.get("exif", b""))
        exif[X_RESOLUTION], exif[Y_RESOLUTION], exif[RESOLUTION_UNIT] = *info["dpi"], 2
        out["exif"] = exif.tobytes()
        lost.remove(WORDS["dpi"])
    if kind == "JPEG":
        _into_jpeg(out, info, lost)
    if kind == "TIFF":
        out |= _into_tiff(out, info)
    if lost:
        note(f"{kind} does not hold {', '.join(lost)}; left out")
    return out


def _png_info(info: dict) -> PngImagePlugin.PngInfo:
    written = PngImagePlugin.PngInfo()
    for kind, content in info.get("colour", {}).items():
        if not (kind == b"sRGB" and "icc_profile" in info):
            written.add(kind, content)
    texts = dict(info.get("texts", {}))
    if "comment" in info:
        texts.setdefault("Comment", info["comment"].decode("utf-8", "replace") if isinstance(info["comment"], bytes) else str(info["comment"]))
    for key, text in texts.items():
        written.add_itxt(key, text) if not text.isascii() else written.add_text(key, text)
    if "xmp" in info:
        written.add_itxt("XML:com.adobe.xmp", info["xmp"].decode("utf-8", "replace"))
    return written


def _into_tiff(out: dict, info: dict) -> dict:
    """A TIFF keeps EXIF, XMP and IPTC in one list of tags."""
    exif = Image.Exif()
    exif.load(out.pop("exif", b""))
    for tag, value in ((700, out.pop("xmp", None)), (33723, info.get("iptc"))):
        if value:
            exif[tag] = value
    return {"exif": exif} if len(exif) else {}


def _into_jpeg(out: dict, info: dict, lost: list[str]) -> None:
    """A JPEG's segments hold 64 KiB each; IPTC goes into a Photoshop block of its own."""
    if "iptc" in info:
        data = info["iptc"]
        block = b"Photoshop 3.0\0" + b"8BIM" + IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big") + data + b"\0" * (len(data) % 2)
        if len(block) < LONGEST:
            out["extra"] = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
        else:
            lost.append(WORDS["iptc"])
    for name in ("exif", "xmp", "comment"):
        if len(out.get(name, b"")) > LONGEST:
            note(f"{len(out.pop(name))} bytes of {WORDS[name].removeprefix('the ')} do not fit a JPEG and are left out")


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; a TIFF was turned by Pillow while loading."""
    return image if image.format == "TIFF" else ImageOps.exif_transpose(image)
