"""Upscale films frame by frame with PyAV: constant memory, time stamps and sound as they were."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import ImageError
from ..images import write_image
from .pictures import Upscaler
from .tiles import BAR

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".m4v", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv")
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # those that hold H.264 with its time stamps
MATRICES = {1: "ITU709", 4: "FCC", 7: "SMPTE240M", 9: "BT2020"}  # H.273 code: swscale's name; BT.601 for all others
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}  # by channels: raw sound often does not name its own
BT601, FULL_RANGE, STUDIO_RANGE = 6, 2, 1  # codes of FFmpeg's, as H.273's


def upscale_video(source, target, generator="srresnet-x4", start: float | None = None, end: float | None = None,
                  progress: bool | str = False, crf: int = 18, **options) -> tuple[int, int]:
    """Upscale a film, or its seconds `start` to `end`, into H.264 (.mp4, .mov, .mkv) -> (width, height).

    Frames stream through, so memory does not depend on the length. Time stamps, colour range and matrix are kept, rotation
    is applied, sound is copied (re-encoded, said aloud, where the container cannot hold it). The film appears under its
    name when it is whole; a broken stream ends with what could be read, and a note. generator, options: see `upscale`.
    Raises ImageError for what cannot be read or written.
    """
    av, target = _pyav(), Path(target)
    if target.suffix.lower() not in CONTAINERS:
        raise ImageError(f"{target}: cannot write this kind of film; use {', '.join(CONTAINERS)}")
    if target.resolve() == Path(source).resolve():
        raise ImageError(f"{target}: is the input, which is never overwritten")
    upscaler = generator if isinstance(generator, Upscaler) else Upscaler(generator, **options)
    part = target.with_name(f".{target.name}.part")  # one name, so that the next run replaces what a killed one left
    try:
        with _open(av, source) as film:
            target.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(part), "w", format=CONTAINERS[target.suffix.lower()]) as out:
                size = _Copy(av, film, out, upscaler, start or 0.0, end, crf).run(progress)
        if size is None:
            raise ImageError(f"{source}: no picture could be read{' between --start and --end' if start or end else ''}")
        os.replace(part, target)
        return size
    except av.FFmpegError as error:
        raise ImageError(f"{target}: the film cannot be written ({error.strerror})") from None
    finally:
        if part.exists():
            part.unlink()


def _pyav():
    try:
        import av
    except ImportError:
        raise ImageError("films need PyAV: pip install av") from None
    av.logging.set_level(av.logging.PANIC)  # what FFmpeg would print is said in our own words
    return av


def _open(av, source):
    try:
        film = av.open(str(source))
    except (av.FFmpegError, OSError) as error:
        raise ImageError(f"{source}: not a film that can be read ({error.strerror or error})") from None
    if not film.streams.video:
        raise ImageError(f"{source}: no video stream in this file")
    return film


class _Copy:
    """One pass over an open film into an open output."""

    def __init__(self, av, film, out, upscaler, start: float, end: float | None, crf: int):
        self.av, self.film, self.out, self.upscaler = av, film, out, upscaler
        self.start, self.end, self.crf = start, end, crf
        self.video = film.streams.video[0]
        self.video.thread_type = "NONE"  # decoding is a thousandth of the work, and closing early can hang on frame threads
        self.encoder, self.size, self.frames, self.broken, self.last, self.reached = None, None, 0, 0, -1, start
        self.sinks, self.waiting = {}, []  # an output takes no packet before all its streams are known
        if film.streams.subtitles:
            print(f"note: subtitles of {film.name} are left out")

    def run(self, progress: bool | str) -> tuple[int, int] | None:
        """Copy until the end -> the size of the frames, or None when there was none."""
        if self.start:
            self.film.seek(int(self.start * 1e6), backward=True)
        with self._bar(progress) as bar:
            open_streams = {stream.index for stream in (self.video, *self.film.streams.audio)}
            for packet in self._packets():
                past = self._pictures(packet, bar) if packet.stream.type == "video" else self._hear(packet)
                open_streams -= {packet.stream.index} if past else set()
                if not open_streams:
                    break
        if self.encoder is not None:
            self.out.mux(self.encoder.encode(None))
            for sink, resampler in self.sinks.values():
                self.out.mux(sink.encode(None)) if resampler else None
        missing = float(self.film.duration or 0) / 1e6 - self.reached if self.end is None else 0
        if self.frames and (self.broken or missing > 0.5):
            print(f"note: {self.film.name} is damaged; the {self.frames} frames that could be read, up to {self.reached:.1f} s, were kept")
        return self.size

    def _packets(self):
        """Demuxed packets of the streams in use; a stream that breaks off ends here."""
        try:
            yield from self.film.demux([self.video, *self.film.streams.audio])
        except self.av.FFmpegError:
            self.broken += 1
            last, last.stream = self.av.Packet(), self.video  # empty: asks the decoder for the frames that it holds back
            yield last

    def _pictures(self, packet, bar) -> bool:
        """Decode, upscale and encode the frames of a packet -> whether the end is behind us."""
        try:
            frames = packet.decode()
        except self.av.FFmpegError as error:
            self.broken += not isinstance(error, self.av.error.EOFError)
            frames = []
        for frame in frames:
            if frame.pts is None or frame.time < self.start - 1e-9:
                continue
            if self.end is not None and frame.time >= self.end:
                return True
            self._write(frame)
            bar.update(self.size[0] * self.size[1] / 1e6)
        return False

    def _write(self, frame) -> None:
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        matrix = frame.colorspace if frame.colorspace in MATRICES else BT601
        ranges = ("MPEG", "JPEG")
        rgb = frame.reformat(format="rgb24", src_colorspace=MATRICES.get(matrix, "ITU601"), src_color_range=ranges[full],
                             dst_color_range="JPEG", interpolation="BICUBIC").to_ndarray()
        sr = even(self.upscaler.frame(np.rot90(rgb, round(frame.rotation / 90))))
        if self.encoder is None:
            self._start_encoder(frame, sr.shape[1::-1], matrix, full)
        if sr.shape[1::-1] != self.size:  # the film changes its size
            sr = np.asarray(Image.fromarray(sr).resize(self.size, Image.Resampling.BICUBIC))
        picture = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(sr), format="rgb24")
        picture = picture.reformat(format="yuv420p", src_color_range="JPEG", dst_color_range=ranges[full],
                                   dst_colorspace=MATRICES.get(matrix, "ITU601"), interpolation="BICUBIC")
        picture.time_base = frame.time_base
        picture.pts = max(frame.pts - round(self.start / frame.time_base), self.last + 1)
        picture.duration, self.last = frame.duration, picture.pts
        self.reached = max(self.reached, frame.time + float((frame.duration or 0) * frame.time_base))
        self.out.mux(self.encoder.encode(picture))
        self.frames += 1

    def _start_encoder(self, frame, size: tuple[int, int], matrix: int, full: bool) -> None:
        rate = self.video.average_rate or self.video.guessed_rate or Fraction(25)
        self.encoder = self.out.add_stream("libx264", rate=rate, options={"crf": str(self.crf), "preset": "medium"})
        context, self.size = self.encoder.codec_context, tuple(size)
        context.width, context.height, context.pix_fmt = *size, "yuv420p"
        context.time_base = frame.time_base
        context.color_range, context.colorspace = (FULL_RANGE if full else STUDIO_RANGE), matrix
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        if ratio := self.video.sample_aspect_ratio:
            context.sample_aspect_ratio = 1 / ratio if round(frame.rotation / 90) % 2 else ratio
        if max(component.bits for component in frame.format.components) > 8:
            print(f"note: {self.film.name} has more than 8 bits a channel; the result has 8")
        self.sinks = {stream.index: self._sink(stream) for stream in self.film.streams.audio}
        for packet in self.waiting:
            self._mux_sound(packet)

    def _sink(self, stream):
        """(output stream, None), or (output stream, resampler) when the sound is re-encoded as AAC."""
        try:
            return self.out.add_stream_from_template(stream), None
        except (ValueError, self.av.FFmpegError):
            print(f"note: sound in {stream.codec_context.name} does not fit this container and is re-encoded as AAC")
            rate, layout = stream.rate if stream.rate in AAC_RATES else 48000, LAYOUTS.get(stream.channels, "stereo")
            return self.out.add_stream("aac", rate=rate, layout=layout), self.av.AudioResampler("fltp", layout, rate)

    def _hear(self, packet) -> bool:
        """Pass one packet of sound on -> whether the end is behind us."""
        if packet.pts is None or packet.size == 0:
            return False
        time = float(packet.pts * packet.time_base)
        past, self.reached = self.end is not None and time >= self.end, max(self.reached, time)
        if not past and (time >= self.start or not self.start):
            (self.waiting.append if self.encoder is None else self._mux_sound)(packet)
        return past

    def _mux_sound(self, packet) -> None:
        sink, resampler = self.sinks[packet.stream.index]
        shift = round(self.start / packet.time_base)
        if resampler is None:
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift if packet.dts is not None else None
            packet.stream = sink
            return self.out.mux(packet)
        try:
            for frame in packet.decode():
                frame.pts = None if frame.pts is None else frame.pts - shift
                for part in resampler.resample(frame):
                    self.out.mux(sink.encode(part))
        except self.av.FFmpegError:
            self.broken += 1

    def _bar(self, progress: bool | str) -> tqdm:
        """A bar in output megapixels, from the length that the file states."""
        context, label = self.video.codec_context, f"{progress}: " if isinstance(progress, str) else ""
        seconds = float(self.film.duration or 0) / 1e6
        seconds = max(min(seconds, self.end if self.end is not None else seconds) - self.start, 0)
        total = seconds * float(self.video.average_rate or 25) * self.upscaler.scale**2 * context.width * context.height / 1e6
        return tqdm(total=total or None, desc=label, bar_format=BAR if total else None, unit=" MP", smoothing=0.1, leave=False,
                    disable=not progress)


def even(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd: H.264's 4:2:0 wants even sides."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else picture


def comparison_sheet(source, target, out, count: int = 3, start: float = 0, side: int = 480) -> None:
    """Write a picture of `count` rows, each a moment of the film: bicubic at the left, upscaled at the right, same crop.

    start: where in the source the target begins, in seconds. Raises ImageError.
    """
    av, rows = _pyav(), []
    with _open(av, target) as film:
        seconds = float(film.duration or 0) / 1e6
    for number in range(count):
        moment = seconds * (number + 0.5) / count
        after = _frame_at(av, target, moment)
        before = Image.fromarray(_frame_at(av, source, moment + start)).resize(after.shape[1::-1], Image.Resampling.BICUBIC)
        top, left = max(after.shape[0] - side, 0) // 2, max(after.shape[1] - side, 0) // 2
        crop = (slice(top, top + side), slice(left, left + side))
        rows.append(np.concatenate([np.asarray(before)[crop], after[crop]], axis=1))
    write_image(np.concatenate(rows), out)


def _frame_at(av, path, moment: float) -> np.ndarray:
    """The frame shown at a moment, upright, uint8 (H, W, 3)."""
    with _open(av, path) as film:
        film.seek(int(moment * 1e6), backward=True)
        shown = None
        try:
            for frame in film.decode(film.streams.video[0]):
                if shown is not None and frame.time > moment:
                    break
                shown = frame
        except av.FFmpegError as error:
            raise ImageError(f"{path}: no frame at {moment:.1f} s ({error.strerror})") from None
        return np.rot90(shown.to_ndarray(format="rgb24"), round(shown.rotation / 90))
