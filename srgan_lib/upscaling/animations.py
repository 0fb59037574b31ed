"""Animated GIF, WebP, APNG and AVIF: every frame enlarged, into the same format, with its duration."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from ..errors import ImageError
from ..formats.deep import eight_bits
from ..formats.known import depth, head
from ..formats.metadata import PERSONAL, WORDS
from ..images import Picture, atomic_write
from ..notes import note
from .sinks import CONTAINERS
from .streams import is_video

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG", ".avif": "AVIF", ".avifs": "AVIF"}
KINDS = ["GIF", "WEBP", "PNG", "AVIF"]
BY_FFMPEG = (".gif", ".png", ".apng")  # animations that FFmpeg reads with their durations
OPAQUE = 128  # of 255, from which on a pixel of a GIF is visible
PASSED_ON = {"GIF": ("loop", "comment"), "WEBP": ("loop", "background", "icc_profile", "exif", "xmp"), "AVIF": ("icc_profile", "exif", "xmp"), "PNG": ("loop", "icc_profile", "exif", "default_image", "dpi")}


def is_animation(source) -> bool:
    """Whether Pillow finds several moments in a GIF, WebP, PNG or AVIF file."""
    if Path(source).suffix.lower() not in FORMATS:
        return False
    try:
        with Image.open(source, formats=KINDS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # decoders raise almost anything on hostile bytes; the reader of images says what is wrong
        return False


def own_suffix(source) -> str | None:
    """The suffix that keeps an animation moving, or None for what does not move."""
    return Path(source).suffix.lower() if is_animation(source) else None


def stays_animation(source, target) -> bool:
    return Path(target).suffix.lower() in FORMATS and is_animation(source)


def becomes_video(source, target) -> bool:
    """Whether `upscale_video` makes this target: from a video, or from an animation."""
    if Path(source).suffix.lower() in FORMATS and Path(target).suffix.lower() in CONTAINERS:
        return is_animation(source)
    return is_video(source)


@contextmanager
def for_ffmpeg(source) -> Iterator[str]:
    """A file that FFmpeg reads frame by frame: the source, or a copy of a WebP or AVIF animation as APNG, which is without loss.

    Raises ImageError.
    """
    suffix = Path(source).suffix.lower()
    if suffix not in FORMATS or suffix in BY_FFMPEG:
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = str(Path(folder, "animation.png"))
        durations, _ = _looked_through(source)
        with Image.open(source, formats=KINDS) as image:
            frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(image)]
        frames[0].save(copy, save_all=True, append_images=frames[1:], duration=durations, blend=0)
        yield copy


def upscale_animation(source, target, upscaler, quality: int = 95, label: bool | str = False, strip: bool = False) -> tuple[int, int]:
    """Enlarge every frame -> (width, height) of the result. strip: without EXIF, XMP and comments. Raises ImageError."""
    name, (durations, has_texts) = FORMATS[Path(target).suffix.lower()], _looked_through(source)
    with Image.open(source, formats=KINDS) as image:
        first = image.format
        if (bits := depth(image, head(source))) > 8:
            note(f"{source}: {bits} bits a channel; the frames of the result have 8")
        hidden = 1 if image.info.get("default_image") else 0  # APNG: the first picture is for viewers without animation
        if hidden and name != "PNG":
            note(f"the still image of this APNG does not fit {name} and is left out")
        frames = _enlarged(image, upscaler, name, label, hidden if name != "PNG" else 0)
        kept = [key for key in PASSED_ON[name] if key in image.info and not (strip and key in PERSONAL)]
        options = {key: image.info[key] for key in kept if key != "background" or first == name}
        if first == "GIF" != name and "loop" in PASSED_ON[name]:
            options.setdefault("loop", 1)  # a GIF that says nothing plays once; elsewhere nothing said is for ever
        elif name == "GIF" != first and options.get("loop") == 1:
            del options["loop"]
        durations = hundredths(durations) if name == "GIF" else durations
        if name == "GIF" != first:
            note("GIF holds 256 colours a frame; each frame is reduced to them")
        lost = [word for key, word in WORDS.items() if image.info.get(key) and key not in PASSED_ON[name] and not (strip and key in PERSONAL)]
        lost += ["the texts"] if has_texts and not strip else []
        if lost:
            note(f"{', '.join(lost)} of the animation {'is' if len(lost) == 1 and lost != ['the texts'] else 'are'} left out")
        options |= {"WEBP": {"lossless": True} if quality == 100 else {"quality": quality}, "AVIF": {"quality": quality}, "GIF": {"disposal": 2, "optimize": False}, "PNG": {"disposal": 0, "blend": 0}}[name]
        try:
            start, frames = next(frames), list(frames) if name == "PNG" else frames  # Pillow walks over a PNG's frames twice
            atomic_write(target, lambda file: start.save(file, name, save_all=True, append_images=frames, duration=durations[hidden:], **options))
        except (OSError, SyntaxError, EOFError) as error:
            raise ImageError(f"{source}: broken animation ({error})") from None
        return start.size


def _looked_through(source) -> tuple[list[float], bool]:
    """(milliseconds of each frame, whether a PNG has texts), by a reader of its own: Pillow (13.0) loses a PNG's palette on its way back.

    Raises ImageError.
    """
    found = []
    try:
        with Image.open(source, formats=KINDS) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()  # WebP tells a frame's duration once it is decoded
                found.append(frame.info.get("duration", 0))
            return found, bool(getattr(image, "text", {}))
    except Exception as error:
        raise ImageError(f"{source}: broken animation ({error})") from None


def hundredths(durations: list[float]) -> list[int]:
    """Milliseconds that a GIF can hold (GIF89a, 23, c, vii): each frame ends at the hundredth nearest to its own end, so that the sum stays."""
    held, now = [], 0
    for duration, end in zip(durations, accumulate(durations)):
        then = max(int(end / 10 + 0.5), now + (duration > 0))
        held, now = [*held, 10 * (then - now)], then
    if any(abs(a - b) > 0.5 for a, b in zip(held, durations)):
        note("a GIF counts in hundredths of a second; the durations are rounded to them, and their sum stays")
    return held


def _enlarged(image, upscaler, name: str, label, skip: int):
    """Each frame of an open animation, enlarged, in a mode that the format holds."""
    for number in range(skip, image.n_frames):
        image.seek(number)
        rgba = _rgba(image)
        alpha = None if (rgba[..., 3] == 255).all() else np.ascontiguousarray(rgba[..., 3])
        text = f"{label}, frame {number + 1} of {image.n_frames}" if isinstance(label, str) else label
        result = upscaler(Picture(np.ascontiguousarray(rgba[..., :3]), alpha), progress=text)
        yield _for_gif(result) if name == "GIF" else result.convert("RGBA")


def _rgba(image) -> np.ndarray:
    """The frame that an open animation stands at, uint8 (H, W, 4). Pillow (13.0) would make white of most greys of 16 bits."""
    if not image.mode.startswith("I"):
        return np.array(image.convert("RGBA"))
    levels, key = np.asarray(image), image.info.get("transparency")
    grey = eight_bits(levels.astype(np.uint16))
    return np.dstack([grey, grey, grey, np.where(levels == key, 0, 255).astype(np.uint8)])


def _for_gif(image: Image.Image) -> Image.Image:
    """255 colours of the frame's own, and one that is transparent where less than half of a pixel is visible."""
    few = image.convert("RGB").quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    if image.mode != "RGBA":
        return few
    levels = np.asarray(few).copy()
    levels[np.asarray(image.getchannel("A")) < OPAQUE] = 255
    colours = (few.getpalette() + [0] * 768)[:768]
    few = Image.fromarray(levels, "L")
    few.putpalette(colours)
    few.info["transparency"] = 255
    return few


