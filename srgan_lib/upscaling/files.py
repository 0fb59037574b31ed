"""Upscale anything: files, folders, streams, films.

`tiles.py` enlarges a tensor, `pictures.py` one picture, `video.py` a film; `listing.py` says which files, `saving.py` writes,
and `records.py` knows what is done.
"""

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import CourseError, ImageError
from ..images import format_of, open_picture
from ..notes import note
from .animations import becomes_video, for_ffmpeg, stays_animation, upscale_animation
from .listing import STREAM, counted, jobs
from .memory import without_memory
from .pictures import SCALES, Upscaler, plan, shrunk_to, siblings
from .records import is_done, key_of, remember
from .rows import by_rows, write_by_rows
from .saving import check_target, save
from .video import upscale_video
from .workload import Workload

FIRST, ALL = "first", "all"


@dataclass(frozen=True)
class Options:
    """What to do with each picture besides enlarging it; see `upscale_files`."""

    quality: int = 95
    format: str = "png"
    size: tuple[int, int] | None = None
    long_side: int | None = None
    strip: bool = False
    pages: str = FIRST

    @property
    def resized(self) -> bool:
        return bool(self.size or self.long_side)

    def target_size(self, width: int, height: int) -> tuple[int, int] | None:
        """(width, height) that a picture of this size shall get; None for what the scale gives."""
        if self.long_side:
            factor = self.long_side / max(width, height)
            return tuple(self.long_side if side == max(width, height) else max(round(side * factor), 1) for side in (width, height))
        return self.size

    def tag(self, scale: int) -> str:
        """What is added to a result's name."""
        return "{}x{}".format(*self.size) if self.size else f"{self.long_side}px" if self.long_side else f"x{scale}"


def upscale_files(inputs, output: str | None = None, generator="srresnet-x4", scale: int | None = None, device=None,
                  ensemble: bool = False, tile: int | None = None, quality: int = 95, start: float = 0,
                  end: float | None = None, progress: bool = False, *, format: str | None = None, size: tuple[int, int] | None = None,
                  long_side: int | None = None, strip: bool = False, pages: str = FIRST, most_pixels: int | None = None,
                  strength: float | None = None, precision: str = "auto") -> int:
    """Upscale files, folders (structure kept, what is done already skipped) and `-`; returns how many inputs failed.

    format: suffix of the results where `output` names none; size, long_side: exactly this many pixels, by the nearest larger
    scale and an antialiased shrink; strip: no metadata but the colour profile; pages: "all" writes every page of a file, as
    NAME-1, NAME-2, ...; most_pixels: refuse larger inputs. A failed input is a sentence on standard error, and the others go
    on. A result counts as done when the same source, model, scale and options made it. No input is overwritten, and nothing
    half-written is left. Raises CourseError for what concerns all of them, such as an unknown model.
    """
    options = _checked(Options(quality, str(format or "png").lower().lstrip("."), size, long_side, strip, pages))
    inputs, output = _names(inputs), None if output is None else os.fspath(output)
    upscalers, left_out, failed = Upscalers(generator, scale, device, ensemble, strength, precision), Counter(), 0
    listed = jobs(inputs, output, options.tag(upscalers.scale), f".{options.format}", left_out)
    keys = {job: key_of(job[0], upscalers.fingerprint(), (options, start, end)) for job in listed if job[2]}
    todo = [job for job in listed if not (job[2] and is_done(job[1], keys[job]))]
    if len(todo) < len(listed):
        print(f"note: {len(listed) - len(todo)} already done")
    videos = Workload([source for source, _, _ in todo], upscalers.scale)
    for number, job in enumerate(todo, 1):
        videos.say_what_is_left(job[0])
        label = progress and (f"{number}/{len(todo)} " if len(todo) > 1 else "") + Path(job[0]).name
        try:
            began, done = time.monotonic(), 0
            for target, made in _one(*job[:2], upscalers, label, tile, options, start, end, most_pixels, keys.get(job)):
                print(f"{job[0]} -> {target} ({made[0]} x {made[1]}, {time.monotonic() - began:.1f} s)")
                began, done = time.monotonic(), done + 1
        except (CourseError, OSError, MemoryError, RuntimeError) as error:
            failed, error = failed + 1, without_memory(error)
            text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
            text += "; --max-megapixels raises it" if "larger than the limit" in text else ""
            print(f"srgan_lib: {text if str(job[0]) in text or job[0] == STREAM else f'{job[0]}: {text}'}", file=sys.stderr)
    if left_out:
        print(counted(left_out))
    return failed


def _names(inputs) -> list[str]:
    """The inputs as texts; a name alone is not the list of its letters. Raises ImageError for an empty one."""
    names = [os.fspath(name) for name in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)]
    if not names or not all(names):
        raise ImageError("the path of the input is empty")
    return names


def _checked(options: Options) -> Options:
    """Raise ImageError for options that no picture can follow."""
    format_of(f"--format .{options.format}")
    sides = [*(options.size or ()), *([] if options.long_side is None else [options.long_side])]
    if options.size and len(options.size) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ImageError(f"size {options.size or options.long_side}: want whole numbers of pixels, from 1 on")
    if not isinstance(options.quality, int) or not 1 <= options.quality <= 100:
        raise ImageError(f"quality {options.quality}: want a whole number from 1 to 100")
    if options.size and options.long_side:
        raise ImageError("give a size or a long side, not both")
    if options.pages not in (FIRST, ALL):
        raise ImageError(f"pages {options.pages}: want {FIRST} or {ALL}")
    return options


class Upscalers:
    """One upscaler a scale, loaded when a picture needs it."""

    def __init__(self, generator, scale: int | None, device, ensemble: bool, strength: float | None = None,
                 precision: str = "auto"):
        self.arguments, self.asked = (device, ensemble, strength, precision), scale
        self.generator, first = generator, Upscaler(generator, scale, *self.arguments)
        self.scale, self.loaded = first.scale, {first.scale: first}
        self.own = {first.scale} | (set() if scale or not isinstance(generator, str) else set(siblings(generator)))

    def fingerprint(self) -> str:
        return self.loaded[self.scale].fingerprint()

    def reaching(self, size: tuple[int, int], wanted: tuple[int, int] | None) -> Upscaler:
        """The upscaler whose result of a picture of `size` is at least as large as wanted. Raises ImageError."""
        if wanted is None:
            return self.loaded[self.scale]
        factor = max(wanted[0] / size[0], wanted[1] / size[1])
        able = [scale for scale in SCALES if scale >= factor]
        if self.asked:
            able = [self.scale] if self.scale >= factor else []
        if not able:
            raise ImageError(f"{wanted[0]} x {wanted[1]} pixels are {factor:.1f} times {size[0]} x {size[1]}; "
                             f"{f'--scale {self.asked}' if self.asked else f'the largest scale, {max(SCALES)},'} does not reach that")
        exact = [scale for scale in able if scale in self.own or _is_exact(scale, self.own)]
        scale = (exact or able)[0]
        if scale not in self.loaded:
            self.loaded[scale] = Upscaler(self.generator, scale, *self.arguments)
        return self.loaded[scale]


def _is_exact(scale: int, own: set[int]) -> bool:
    try:
        product = 1
        for step in plan(scale, own):
            product *= step
        return product == scale
    except ImageError:
        return False


def _one(source: str, target: str, upscalers: Upscalers, label, tile, options: Options, start, end, most_pixels, key):
    """Upscale one input; yields (target, size) for every file that is written."""
    if STREAM not in (source, target) and not options.resized and options.pages == FIRST and stays_animation(source, target):
        yield target, upscale_animation(source, target, upscalers.loaded[upscalers.scale], options.quality, label, options.strip)
        return remember(target, key)
    if source != STREAM and becomes_video(source, target):
        if options.resized:
            raise ImageError("a size in pixels can be had for images, not for films; use --scale")
        with for_ffmpeg(source) as readable:
            yield target, upscale_video(readable, target, upscalers.loaded[upscalers.scale], start=start, end=end, progress=label, shown=source, strip=options.strip)
        return remember(target, key)
    data = _standard_input() if source == STREAM else source
    picture = open_picture(data, most_pixels, quiet=True)
    if options.pages == ALL and len(picture.pages) > 1:
        if target == STREAM:
            raise ImageError("several pages need a file or a folder as their output")
        files = []
        for page in range(len(picture.pages)):
            picture = open_picture(data, most_pixels, page, quiet=True) if page else picture
            numbered = str(Path(target).with_stem(f"{Path(target).stem}-{page + 1}"))
            yield numbered, _written(picture, numbered, upscalers, label, tile, options, None)
            files.append(Path(numbered).name)
        return remember(target, key, files)
    yield target, _written(picture, target, upscalers, label, tile, options, key)
    if not (Path(target).suffix.lower() == ".png" and not options.strip):
        remember(target, key)


def _written(picture, target: str, upscalers: Upscalers, label, tile, options: Options, key) -> tuple[int, int]:
    """Enlarge, shrink to a size that was asked for, save -> (width, height)."""
    for text in picture.notes:
        if not (options.pages == ALL and "--pages all" in text):
            note(text)
    size = picture.rgb.shape[1::-1]
    wanted = options.target_size(*size)
    upscaler = upscalers.reaching(size, wanted)
    final = wanted or tuple(upscaler.scale * side for side in size)
    check_target(target, final)
    if options.size and abs(final[0] / size[0] - final[1] / size[1]) > max(1 / size[0], 1 / size[1]):
        note(f"{size[0]} x {size[1]} pixels become {final[0]} x {final[1]}, which has another shape: the picture is stretched")
    if wanted is None and by_rows(upscaler, picture, target):
        return write_by_rows(upscaler, picture, target, tile, label, options.strip, key, options.quality)
    try:
        image = shrunk_to(upscaler(picture, tile, label), final)
    except ImageError as error:
        if "GB are free" in str(error) and wanted is None and len(upscaler.networks) == 1:
            raise ImageError(f"{error}; a .png or .tif is written while it is made, and needs little") from None
        raise
    save(image, target, options.quality, options.strip, key)
    return image.size


def _standard_input() -> bytes:
    return sys.stdin.buffer.read()
