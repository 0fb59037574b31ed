"""Upscale videos frame by frame with PyAV: constant memory, time stamps and sound as they were, and a killed run goes on.

The frames are enlarged and encoded in pieces (`segments.py`); at the end they are joined with everything else of the source.
"""

import errno
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ..errors import ImageError
from .colour import HDR, WEIGHTS, Look, Reader, depth, guess, has_alpha, look_of, to_frame
from .encoding import Encoder, light_of
from .frames import BESIDE, Frames, is_oblique, matrix_of, turn, upright
from .joining import join
from .pictures import Upscaler
from .pipeline import Ahead, Behind
from .segments import Segments, part_of
from .sinks import CONTAINERS, plan
from .streams import best_video, end_of, is_cut_off, open_film, origin_of, pyav, seconds_of
from .tiles import BAR
from .workload import faster_model

OFTEN_OPAQUE = ("gif", "png", "apng")  # these decode to transparent formats whatever they hold
SOON, LONG, MEASURED = 60, 600, 5  # a video that takes longer (seconds) says so, once so many frames are done; a long one names a faster model
WAITING = 2**28  # bytes of frames that may wait between two threads


def upscale_video(source, target, generator="srresnet-x4", start: float | None = None, end: float | None = None,
                  progress: bool | str = False, crf: int = 18, shown: str | None = None, strip: bool = False,
                  **options) -> tuple[int, int]:
    """Upscale a video, or its seconds `start` to `end`, into H.264 or, beyond 8 bits, H.265 (.mp4, .mov, .mkv) -> (width, height).

    Frames stream through, so memory does not depend on the length. Time stamps and colours are kept, the display matrix is
    applied, fields are taken apart. Sound, subtitles, chapters and tags go along, or it is said that they do not. The video
    appears under its name when it is whole; the same call after a kill goes on from the last finished piece; a broken
    stream ends with what could be read, and a note. shown: the source's name in notes; strip: without
    tags such as date and place; languages stay. generator, options: see `upscale`.
    Raises ImageError for what cannot be read or written.
    """
    av, target = pyav(), Path(target)
    if target.suffix.lower() not in CONTAINERS:
        raise ImageError(f"{target}: cannot write this kind of film; use {', '.join(CONTAINERS)}")
    if target.resolve() == Path(source).resolve():
        raise ImageError(f"{target}: is the input, which is never overwritten")
    upscaler = generator if isinstance(generator, Upscaler) else Upscaler(generator, **options)
    job = Job(av, source, target, upscaler, start or 0.0, end, crf)
    job.name, job.strip = shown or job.name, strip
    segments, useless = Segments(part_of(target), job.made_from()), True
    try:
        job.enlarge(segments, progress)
        join(job, segments)
        return segments.look.size
    except ImageError:
        raise
    except av.FFmpegError as error:
        useless = error.errno != errno.ENOSPC or not segments.infos
        raise ImageError(f"{target}: the film cannot be written ({error.strerror})") from None
    except BaseException:
        useless = not segments.infos  # a full disk, a stopped run: the next one goes on from here
        raise
    finally:
        if useless:
            segments.remove()


class Job:
    """One video on its way: what is known of the source, and the frames that become pieces."""

    def __init__(self, av, source, target: Path, upscaler, start: float, end: float | None, crf: int):
        self.av, self.source, self.target, self.upscaler = av, source, target, upscaler
        self.start, self.end, self.crf, self.format, self.strip = start, end, crf, CONTAINERS[target.suffix.lower()], False
        with open_film(av, source) as film:
            video = best_video(film)
            self.index, self.base, self.rate = video.index, video.time_base, video.average_rate or video.guessed_rate or Fraction(25)
            self.origin, self.seconds, self.stop = origin_of(film, video), seconds_of(film, video), end_of(film, video)
            self.codec, self.aspect = video.codec_context.name, video.sample_aspect_ratio
            self.cut_off, self.size = film.format.name.startswith("mov") and is_cut_off(film.name), None
            self.pixels, self.name = video.codec_context.width * video.codec_context.height, film.name
        self.carried = plan(av, source, self.format, self.index)  # tried before the first frame
        self.shift = self.origin + Fraction(start)
        self.frames, self.reader = Frames(av, source, self.origin), Reader(av, self.codec)

    def made_from(self) -> dict:
        """What the result depends on: a change of any of it begins anew."""
        stat = os.stat(self.source)
        return {"source": os.path.abspath(self.source), "bytes": stat.st_size, "changed": stat.st_mtime_ns, "start": self.start, "end": self.end,
                "crf": self.crf, "format": self.format, "networks": self.upscaler.fingerprint(), "pyav": self.av.__version__}

    def enlarge(self, segments: Segments, progress: bool | str) -> None:
        """Decode, upscale and encode the frames that no finished piece holds."""
        done, self.look, self.began = segments.state, segments.look, time.monotonic()
        self.state = {"source": None, "last": -1, "moment": self.start, "frames": 0, "broken": 0, "more": 0} | done
        self.encoder, first = Encoder(self.av, segments, self.crf, self.rate, self.base), self.state["frames"]
        if done:
            print(f"note: going on behind {first} frames that an earlier run has finished, at {done['moment']:.1f} s")
        if not done.get("whole"):
            self._flow(done, first, progress)
            self.encoder.state |= {"broken": self.state["broken"] + self.frames.broken, "whole": True}
            self.encoder.finish(self._last_duration())
        if self.frames.beside:
            print(f"note: {self.name}: {', '.join(sorted({BESIDE[kind] for kind in self.frames.beside}))} cannot be kept")
        if not segments.infos:
            raise ImageError(f"{self.source}: no picture could be read{' between --start and --end' if self.start or self.end else ''}")

    def _flow(self, done: dict, first: int, progress: bool | str) -> None:
        """Frame after frame through the network, while the next ones are read and the last ones encoded in threads of their own."""
        depth = max(1, min(4, WAITING // (12 * self.pixels * self.upscaler.scale**2)))
        read, encoded = Ahead(self._read(done), depth), Behind(self._encode, depth)
        try:
            with self._bar(progress) as bar:
                for item in read:
                    encoded.put(*self._take(*item))
                    bar.update(self.look.size[0] * self.look.size[1] / 1e6)
                    if self.state["frames"] - first == MEASURED:
                        self._say_how_long(time.monotonic() - self.began)
            encoded.finish()
        finally:
            read.close()
            encoded.close()

    def _read(self, done: dict):
        """(frame, second, display matrix, float32 RGB, alpha or None), made in the thread that decodes."""
        for frame, moment in self._wanted(done):
            yield frame, moment, matrix_of(frame), self.reader(frame), self.reader.alpha(frame) if has_alpha(frame) else None

    def _encode(self, sr: np.ndarray, alpha: np.ndarray | None, times: tuple, look: Look, state: dict) -> None:
        """One enlarged frame into the pieces, in the thread that encodes."""
        picture = to_frame(self.av, resized(even(sr), look.size), look, alpha)
        picture.time_base, picture.pts, picture.duration = times
        self.encoder.put(picture, look, state)

    def _wanted(self, done: dict):
        """(frame, second) from --start, or behind the last finished frame, to --end."""
        for frame, moment in self.frames.since(max(done["moment"] - 1, self.start) if done else self.start):
            if (self.start and moment < self.start - 1e-6) or (done and frame.pts <= done["source"]):
                continue
            if self.end is not None and moment >= self.end - 1e-6:
                return
            yield frame, moment

    def _take(self, frame, moment: float, matrix, rgb: np.ndarray, alpha: np.ndarray | None) -> tuple:
        """One frame through the network -> what `_encode` takes."""
        height, width = (self.upscaler.scale * side for side in upright(rgb, matrix).shape[:2])
        if self.look is None:
            self.look = self._first(frame, matrix, (width + width % 2, height + height % 2), alpha)
        self._say_new_size((frame.width, frame.height))
        if alpha is not None and not self.look.alpha:
            rgb, alpha = 1 - alpha[..., None] * (1 - rgb), None  # on white
        sr = enlarged_frame(self.upscaler.for_depth(self.look.deep), upright(rgb, matrix))
        alpha = None if alpha is None else resized(upright(alpha, matrix)[..., None], self.look.size)[..., 0]
        pts = max(frame.pts - round(self.shift / frame.time_base), self.state["last"] + 1)
        times = frame.time_base, pts, frame.duration or round(1 / self.rate / frame.time_base)
        self.state = self.state | {"source": frame.pts, "last": pts, "moment": moment, "frames": self.state["frames"] + 1}
        return sr, alpha, times, self.look, self.state

    def _say_new_size(self, size: tuple[int, int]) -> None:
        """A recording may change its size; the result keeps one, as a player's window does."""
        if self.size not in (None, size):
            print(f"note: {self.name}: its frames change from {self.size[0]} x {self.size[1]} to {size[0]} x {size[1]}; all become {self.look.size[0]} x {self.look.size[1]}")
        self.size = size

    def _first(self, frame, matrix, size: tuple[int, int], alpha: np.ndarray | None) -> Look:
        """How the result looks, from the first frame; what it cannot be, is said."""
        clear, ratio = alpha is not None and bool(self.codec not in OFTEN_OPAQUE or alpha.min() < 1), self.aspect
        try:
            found = look_of(frame, self.codec, size, clear and self.format == "mov")
        except ImageError as error:
            raise ImageError(f"{self.source}: {error}") from None
        found.light, found.aspect = light_of(frame), str((1 / ratio if turn(matrix)[0] else ratio) or "") if ratio else ""
        if clear and not found.alpha:
            print(f"note: {self.name} has transparency, which {self.format} with H.264 does not hold; it is put on white, and -o NAME.mov keeps it")
        if found.deep and not found.alpha:
            print(f"note: {self.name} has {depth(frame)} bits a channel{f' and {HDR[frame.color_trc]}' if frame.color_trc in HDR else ''}; the result has 10, in H.265")
        if found.matrix not in WEIGHTS and guess(frame.height) != guess(size[1]):
            print("note: the video does not name its colour matrix; its colours become BT.709, which players expect from 720 lines on")
        if is_oblique(matrix):
            print(f"note: {self.name} asks to be turned by something else than quarter turns; the nearest is used")
        return found

    def _last_duration(self) -> int | None:
        """The last frame lasts as long as the stream says, or until --end; None: as long as it says itself."""
        held = self.encoder.held
        if held is None:
            return None
        if self.end is not None:
            return max(min(held.duration, round((Fraction(self.end) - Fraction(self.start)) / held.time_base) - held.pts), 1)
        if self.stop is None or self.frames.broken:
            return None
        ends = [Fraction(self.stop) - self.shift] + ([Fraction(self.seconds) - Fraction(self.start)] if self.seconds else [])
        return max(held.duration, round(min(ends) / held.time_base) - held.pts)

    def _say_how_long(self, elapsed: float) -> None:
        """A line for a video that takes more than a minute, once its pace is known."""
        until = min(self.seconds, self.end if self.end is not None else self.seconds)
        left = (until - self.state["moment"]) * float(self.rate) * elapsed / MEASURED
        if left > min(SOON, LONG):
            faster = faster_model(self.upscaler) if left > LONG else ""
            print(f"note: this will take about {spoken(left)}; when it is stopped, the same command goes on from there{faster}", flush=True)

    def _bar(self, progress: bool | str) -> tqdm:
        """A bar in output megapixels, from the length that the file states."""
        label = f"{progress}: " if isinstance(progress, str) else ""
        seconds = max(min(self.seconds, self.end if self.end is not None else self.seconds) - self.start, 0)
        total = seconds * float(self.rate) * self.upscaler.scale**2 * self.pixels / 1e6
        done = self.state["frames"] * self.upscaler.scale**2 * self.pixels / 1e6
        return tqdm(total=total or None, initial=done, desc=label, bar_format=BAR if total else None, unit=" MP", smoothing=0.1, leave=False,
                    disable=not progress)


def enlarged_frame(upscaler, rgb: np.ndarray) -> np.ndarray:
    """float32 RGB (H, W, 3) -> (scale H, scale W, 3), both in [0, 1], without a step of 8 bits."""
    height, width = rgb.shape[:2]
    out = np.empty((upscaler.scale * height, upscaler.scale * width, 3), np.float32)

    def put(sr, top, left):
        out[top:top + sr.shape[-2], left:left + sr.shape[-1]] = sr[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()

    upscaler.run(torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None], put)
    return out


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 (H, W, C) brought to (width, height) by bicubic, as it is when it has that size."""
    if picture.shape[1::-1] == tuple(size):
        return picture
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return F.interpolate(tensor, size[::-1], mode="bicubic", antialias=True).clamp(0, 1)[0].permute(1, 2, 0).numpy()


def even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd: H.264's 4:2:0 wants even sides."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else picture


def spoken(seconds: float) -> str:
    """3 h 20 min, or 25 min."""
    minutes = max(round(seconds / 60), 1)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
