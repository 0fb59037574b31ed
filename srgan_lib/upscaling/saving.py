"""Write a result in the format that its name asks for, with what belongs to it; what a format cannot hold is said."""

import io
import sys

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..formats import metadata
from ..formats.deep import eight_bits
from ..formats.sixteen import DeepImage
from ..images import check_place, format_of, write_image
from ..notes import note
from .listing import STREAM

WITH_ALPHA, WITH_16_BITS = ("PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "HEIF", "JXL"), ("PNG", "TIFF")
SQUARES = ("ICNS",)  # Pillow (12.3, 13.0) writes squares of a few sizes, whatever the image's, without a word
LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536, "HEIF": 16384, "ICO": 256}


def check_target(target: str, size: tuple[int, int]) -> None:
    """Refuse an output that cannot be written, before minutes are spent on it. Raises ImageError."""
    if target == STREAM:
        if sys.__stdout__.isatty():
            raise ImageError("standard output is a terminal; redirect it into a file, or use -o FILE")
        return
    name = format_of(target)
    if name in SQUARES:
        raise ImageError(f"{target}: {name} holds icons of a few fixed sizes, and would shrink the result; use .png or .tif")
    if max(size) > LONGEST_SIDE.get(name, max(size)):
        raise ImageError(f"{target}: {size[0]} x {size[1]} pixels are too many for {name} ({LONGEST_SIDE[name]} a side); use .png or .tif")
    try:
        check_place(target)
    except OSError as error:
        raise ImageError(f"{target}: cannot be written ({error.strerror or error})") from None


def save(image: Image.Image, target: str, quality: int = 95, strip: bool = False, key: str | None = None) -> None:
    """Write a result of `upscale` with its metadata; the suffix names the format, `-` is standard output as PNG.

    quality: 1 to 100 for lossy formats; 100 keeps every pixel's own colour (4:4:4), and is without loss in WebP and JPEG XL.
    strip: without EXIF, XMP, IPTC, texts and dpi; the colour profile stays, since the colours are wrong without it. key: see
    `records.py`. Raises ImageError.
    """
    name = "PNG" if target == STREAM else format_of(target)
    image = fitted(image, name)
    info = dict(image.info)
    if key and name == "PNG" and not strip:
        info["texts"] = {**info.get("texts", {}), metadata.RECORD: key}
    options = metadata.options(info, name, strip) | coding(name, quality) | ({"sizes": [image.size]} if name == "ICO" else {})  # else smaller copies alone
    image.info = {}  # Pillow writes some of it on its own
    try:
        if target != STREAM:
            return write_image(image, target, **options)
        packed = io.BytesIO()
        image.save(packed, name, **options)
    finally:
        image.info = info
    sys.__stdout__.buffer.write(packed.getbuffer())
    sys.__stdout__.buffer.flush()


def coding(name: str, quality: int) -> dict:
    """Pillow's options for a format and a quality."""
    best = quality == 100
    if best and name in ("WEBP", "JXL"):
        note(f"{name} of quality 100 is written without loss (lossless)")
    jpeg = {"quality": quality, **({"subsampling": 0} if best else {})}
    return {"JPEG": jpeg, "MPO": jpeg, "PDF": jpeg, "WEBP": {"lossless": True} if best else {"quality": quality},
            "AVIF": {"quality": quality, **({"subsampling": "4:4:4"} if best else {})}, "HEIF": {"quality": quality, **({"chroma": 444} if best else {})},
            "JXL": {"lossless": True} if best else {"quality": quality},
            "TIFF": {"compression": "tiff_adobe_deflate"}, "PNG": {"compress_level": 4}}.get(name, {})


def fitted(image: Image.Image, name: str) -> Image.Image:
    """The picture in a mode that a format can hold: alpha on white, 16 bits to 8, each said aloud. Its `info` stays."""
    info = dict(image.info)
    if (image.mode == "I;16" or isinstance(image, DeepImage)) and name not in WITH_16_BITS:
        note(f"{name} holds 8 bits; 16 are kept in .png and .tif")
        image = Image.fromarray(eight_bits(np.asarray(image)) if image.mode == "I;16" else np.array(image))
    if image.mode in ("LA", "RGBA") and name not in WITH_ALPHA:
        note(f"{name} holds no transparency; the picture is put on white")
        white = Image.new(image.mode, image.size, "white")
        image = Image.alpha_composite(white.convert("RGBA"), image.convert("RGBA")).convert(image.mode.rstrip("A"))
    if name == "GIF" and image.mode != "L":
        note("GIF holds 256 colours, and the picture is reduced to them; use .png for all of them")
    image.info = info
    return image
