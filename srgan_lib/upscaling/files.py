"""Upscale anything: files, folders, streams, films.

`tiles.py` enlarges a tensor, `pictures.py` one picture, `video.py` a film; here they meet files.
"""

import io
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import CourseError, ImageError
from ..images import SUFFIXES, format_of, open_picture, write_image
from .animations import becomes_video, own_suffix, stays_animation, upscale_animation
from .pictures import Upscaler
from .streams import is_video
from .video import upscale_video
from .workload import Workload

STREAM = "-"
WITH_ALPHA, WITH_16_BITS = ("PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"), ("PNG", "TIFF")
LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}
LONGEST_EXIF = 65527  # bytes that fit a JPEG's segment


def upscale_files(inputs, output: str | None = None, generator="srgan-x4", scale: int | None = None, device=None,
                  ensemble: bool = False, tile: int | None = None, quality: int = 95, start: float = 0,
                  end: float | None = None, progress: bool = False) -> int:
    """Upscale files, folders (structure kept, finished ones skipped) and `-`; returns how many inputs failed.

    A failed one is a sentence on standard error, and the others go on. No input is overwritten, and nothing half-written
    is left. Raises CourseError for what concerns all of them, such as an unknown model.
    """
    upscaler = Upscaler(generator, scale, device, ensemble)
    listed, failed = jobs([str(name) for name in inputs], output, upscaler.scale), 0
    todo = [job for job in listed if not (job[2] and _finished(*job[:2]))]
    if len(todo) < len(listed):
        print(f"note: {len(listed) - len(todo)} already done")
    videos = Workload([source for source, _, _ in todo], upscaler.scale)
    for number, (source, target, _) in enumerate(todo, 1):
        videos.say_what_is_left(source)
        label = progress and (f"{number}/{len(todo)} " if len(todo) > 1 else "") + Path(source).name
        try:
            began, size = time.monotonic(), _one(source, target, upscaler, label, tile, quality, start, end)
            print(f"{source} -> {target} ({size[0]} x {size[1]}, {time.monotonic() - began:.1f} s)")
        except (CourseError, OSError) as error:
            failed += 1
            text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
            print(f"srgan_lib: {text if str(source) in text or source == STREAM else f'{source}: {text}'}", file=sys.stderr)
    return failed


def _one(source: str, target: str, upscaler, label, tile, quality, start, end) -> tuple[int, int]:
    if STREAM not in (source, target) and stays_animation(source, target):
        return upscale_animation(source, target, upscaler, quality, label)
    if source != STREAM and becomes_video(source, target):
        return upscale_video(source, target, upscaler, start=start, end=end, progress=label)
    picture = open_picture(_standard_input() if source == STREAM else source)
    check_target(target, [upscaler.scale * side for side in picture.rgb.shape[1::-1]])
    image = upscaler(picture, tile, label)
    save(image, target, quality)
    return image.size


def jobs(inputs: list[str], output: str | None, scale: int) -> list[tuple[str, str, bool]]:
    """-> (source, target, may be skipped when done) for every file. Raises ImageError for targets that clash."""
    if STREAM in inputs and len(inputs) > 1:
        raise ImageError("- (standard input) must be the only input")
    if inputs == [STREAM]:
        return [(STREAM, output or STREAM, False)]
    several = len(inputs) > 1 or Path(inputs[0]).is_dir()
    if several and output and (output == STREAM or Path(output).is_file()):
        raise ImageError(f"{output}: several inputs need a folder as their output")
    if not several and output == STREAM:
        return [(inputs[0], STREAM, False)]
    if not several and output and Path(output).suffix and not (Path(output).is_dir() or output.endswith(("/", os.sep))):
        return _checked([(inputs[0], output, False)])
    found = [pair for name in inputs for pair in _within(name, output, scale)]
    places = Counter(_place(*pair, scale) for pair in found)
    targets = {(source, folder): _place(source, folder, scale, places[_place(source, folder, scale)] > 1) for source, folder in found}
    written = {Path(target).resolve() for target in targets.values()}  # results of an earlier run are no inputs
    return _checked([(source, target, several) for (source, _), target in targets.items() if Path(source).resolve() not in written])


def _within(name: str, output: str | None, scale: int) -> list[tuple[str, str]]:
    """(file, folder of its result) for a file or for everything in a folder."""
    path = Path(name)
    if not path.is_dir():
        return [(name, output or str(path.parent))]
    out = Path(output) if output else path.resolve().with_name(f"{path.resolve().name}-x{scale}")
    files = sorted(p for p in path.rglob("*") if not p.name.startswith(".") and (p.suffix.lower() in SUFFIXES or is_video(p)))
    inside = out.resolve() != path.resolve()
    files = [p for p in files if p.is_file() and not (inside and out.resolve() in p.resolve().parents)]
    if not files:
        raise ImageError(f"{name}: no pictures or films in this folder")
    return [(str(p), str(out / p.relative_to(path).parent)) for p in files]


def _place(source: str, folder: str, scale: int, shared: bool = False) -> str:
    """FOLDER/NAME-x4.png, or FOLDER/NAME-jpg-x4.png where a.jpg and a.png stand side by side; films keep their container."""
    path = Path(source)
    kept = path.suffix if path.suffix.lower() in (".mp4", ".mov", ".mkv", ".m4v") else ".mp4"
    suffix = kept if is_video(path) else own_suffix(path) or ".png"
    return str(Path(folder) / f"{path.stem}{f'-{path.suffix[1:]}' if shared else ''}-x{scale}{suffix}")


def _checked(listed: list[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    sources = {Path(source).resolve() for source, _, _ in listed}
    seen: dict[Path, str] = {}
    for source, target, _ in listed:
        place = Path(target).resolve()
        if place in sources:
            raise ImageError(f"{target}: is an input, which is never overwritten; name another output")
        if place in seen:
            raise ImageError(f"{target}: would be written from {seen[place]} and from {source}; give them different output folders")
        seen[place] = source
    return listed


def _finished(source: str, target: str) -> bool:
    """A result is whole when it exists, since writing is atomic; it counts unless its source has changed since."""
    try:
        return os.path.getmtime(target) >= os.path.getmtime(source)
    except OSError:
        return False


def _standard_input() -> bytes:
    return sys.stdin.buffer.read()


def check_target(target: str, size: tuple[int, int]) -> None:
    """Refuse an output that cannot be written, before minutes are spent on it. Raises ImageError."""
    if target == STREAM:
        if sys.__stdout__.isatty():
            raise ImageError("standard output is a terminal; redirect it into a file, or use -o FILE")
        return
    name = format_of(target)
    if max(size) > LONGEST_SIDE.get(name, max(size)):
        raise ImageError(f"{target}: {size[0]} x {size[1]} pixels are too many for {name} ({LONGEST_SIDE[name]} a side); use .png or .tif")
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=Path(target).parent):
            pass
        if Path(target).is_dir():
            raise IsADirectoryError(None, "it is a folder")
    except OSError as error:
        raise ImageError(f"{target}: cannot be written ({error.strerror or error})") from None


def save(image: Image.Image, target: str, quality: int = 95) -> None:
    """Write a result of `upscale` with its profile and EXIF; the suffix names the format, `-` is standard output as PNG."""
    name = "PNG" if target == STREAM else format_of(target)
    image, options = fitted(image, name), {key: image.info[key] for key in ("icc_profile", "exif") if key in image.info}
    options |= {"JPEG": {"quality": quality}, "WEBP": {"quality": quality}, "AVIF": {"quality": quality},
                "TIFF": {"compression": "tiff_adobe_deflate"}, "PNG": {"compress_level": 4}}.get(name, {})
    if name == "JPEG" and len(options.get("exif", b"")) > LONGEST_EXIF:
        print(f"note: {len(options.pop('exif'))} bytes of EXIF do not fit a JPEG and are left out")
    if target == STREAM:
        packed = io.BytesIO()
        image.save(packed, name, **options)
        sys.__stdout__.buffer.write(packed.getbuffer())
        sys.__stdout__.buffer.flush()
        return
    write_image(image, target, **options)


def fitted(image: Image.Image, name: str) -> Image.Image:
    """The picture in a mode that a format can hold: alpha on white, 16 bits to 8, each said aloud."""
    if image.mode == "I;16" and name not in WITH_16_BITS:
        print(f"note: {name} holds 8 bits; 16 are kept in .png and .tif")
        return Image.fromarray(np.floor(np.asarray(image) / 257 + 0.5).astype(np.uint8))
    if image.mode in ("LA", "RGBA") and name not in WITH_ALPHA:
        print(f"note: {name} holds no transparency; the picture is put on white")
        white = Image.new(image.mode, image.size, "white")
        return Image.alpha_composite(white.convert("RGBA"), image.convert("RGBA")).convert(image.mode.rstrip("A"))
    return image
