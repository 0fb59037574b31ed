"""From an opened file to a `Picture`: upright pixels, alpha aside, 16 bits where there are more than 8, and what belongs to them."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ..notes import note
from . import metadata
from .deep import deep_colour, eight_bits, grey_values, is_signed, rare_tiff, tiff_page, turned
from .known import contents, depth, head, pages

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")  # not by band name: the A of LAB is a colour


@dataclass
class Picture:
    """A decoded picture with what must survive upscaling.

    rgb: uint8 (H, W, 3), EXIF orientation applied; alpha: uint8 (H, W), uint16 beside `deep`, or None; grey: the source had
    no colour; icc, exif: raw bytes of the colour profile and of the EXIF block (orientation removed), or None; bits: per
    channel, as stored; deep: the same pixels as uint16, (H, W) of greys or (H, W, 3), where 8 bits do not hold them;
    info: dpi, XMP and more, see `metadata.read`; notes: what was left out or guessed, one sentence each; page and pages: which
    picture of the file this is, counted from 0, and how many there are.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    bits: int = 8
    deep: np.ndarray | None = None
    info: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    page: int = 0
    pages: list[int] = field(default_factory=lambda: [0])


def decode(image: Image.Image, name: str, source, page: int = 0) -> Picture:
    """The picture number `page` of an opened file; source: the path, bytes or file object, or the image itself. Raises ImageError."""
    if source is image and getattr(image, "tile", None) and getattr(image, "fp", None):  # opened by the caller, and not read yet
        source = head(image.fp, -1)
    data = b"" if source is image else head(source)
    if page == 0:
        for text in contents(image, data):
            note(f"{name}: {text}")
    own, bits = pages(image), depth(image, data)
    if page or len(own) > 1:
        image.seek(own[page])
    if image.format == "TIFF":
        image.filename = ""  # else Pillow (12.3) maps the file into memory with the turned size, and scrambles its rows
    deep = deep_colour(image, source, data, name)
    picture = _from_levels(image, deep) if deep is not None else _from_pillow(image, data, name, bits)
    picture.bits, picture.page, picture.pages, picture.exif = bits, page, own, metadata.exif_of(image)
    if image.mode not in ("CMYK", "LAB"):  # pixels become RGB, its profile would lie
        picture.icc = image.info.get("icc_profile")
    elif "icc_profile" in image.info:
        note(f"{name}: the colours are turned from {image.mode} into RGB without its profile")
    if bits > 8 and picture.deep is None and not image.mode.startswith(("I", "F")):  # those were looked at value by value
        note(f"{name}: {bits} bits a channel, of which Pillow reads 8; the result has 8")
    used = len(image.getbands()) if picture.alpha is not None else 1 if picture.grey else 3
    if image.format == "TIFF" and image.mode not in ("CMYK", "P", "PA") and image.tag_v2.get(277, 1) > used:
        note(f"{name}: {image.tag_v2[277]} bands; the first {'one is' if used == 1 else f'{used} are'} used")
    picture.info = metadata.read(image, data)
    return picture


def decode_rare_tiff(source, name: str, page: int, check) -> Picture:
    """A TIFF that Pillow does not read; check(size, name) refuses what is too large before anything is decoded."""
    with tiff_page(source, name, page) as found:
        check((found.imagewidth, found.imagelength), name)
        picture, tags = _from_levels(None, rare_tiff(found, name)), found.tags
        picture.bits, picture.icc = int(found.bitspersample), tags.valueof(34675)
        if 0x8769 in tags or 0x8825 in tags:
            note(f"{name}: EXIF of this rare kind of TIFF is left out")
    return picture


def _from_levels(image: Image.Image, deep: np.ndarray) -> Picture:
    """A picture of uint16 levels (H, W) or (H, W, 2..4)."""
    deep = deep if deep.ndim == 3 else deep[..., None]
    key = image and image.info.get("transparency")
    if deep.shape[2] == 3 and isinstance(key, tuple):
        deep = np.dstack([deep, np.where((deep == key).all(-1), 0, 65535).astype(np.uint16)])
    if image and image.format not in ("TIFF", "HEIF"):  # those are upright already
        deep = turned(deep, image.getexif().get(metadata.ORIENTATION, 1))
    alpha = np.ascontiguousarray(deep[..., -1]) if deep.shape[2] in (2, 4) else None
    colours = np.ascontiguousarray(deep[..., :3] if deep.shape[2] > 2 else deep[..., 0])
    rgb = eight_bits(colours)
    return Picture(rgb if rgb.ndim == 3 else rgb[..., None].repeat(3, -1), alpha, deep.shape[2] < 3, deep=colours)


def _from_pillow(image: Image.Image, data: bytes, name: str, bits: int) -> Picture:
    """A picture that Pillow decodes whole: greys of any depth, or 8 bits a channel."""
    image.load()
    grey, key = image.mode in GREY_MODES, image.info.get("transparency")
    if image.mode.startswith(("I", "F")) or is_signed(image):
        values, shallow = grey_values(image, data, name)
        alpha = np.where(np.asarray(image) == key, 0, 65535).astype(np.uint16) if isinstance(key, int) else None
        if image.format != "TIFF":
            turn = image.getexif().get(metadata.ORIENTATION, 1)
            values, alpha = turned(values, turn), None if alpha is None else turned(alpha, turn)
        rgb = eight_bits(values)[..., None].repeat(3, -1)
        return Picture(rgb, alpha if not shallow or alpha is None else eight_bits(alpha), True, deep=None if shallow else values)
    image = metadata.upright(image)
    has_alpha = image.mode in ALPHA_MODES or "transparency" in image.info
    rgba = np.array(image.convert("RGBA")) if has_alpha else np.array(image.convert("RGB"))
    return Picture(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].copy() if has_alpha else None, grey)
