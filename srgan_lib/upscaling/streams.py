"""Open a video with PyAV: what counts as one, which of its streams, its clock, its fields and its display matrix."""

import os
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import ImageError
from ..images import SUFFIXES
from .colour import linked

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".m4v", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".3g2", ".mts", ".m2ts", ".m2t",
                  ".asf", ".vob", ".mxf", ".ogv", ".ogm", ".dv", ".qt", ".divx", ".f4v", ".rm", ".rmvb", ".wtv", ".y4m", ".nut", ".ivf", ".mpe",
                  ".m1v", ".m2v", ".mpv", ".mod", ".tod", ".evo", ".mjpeg", ".mj2", ".gxf", ".h264", ".264", ".h265", ".265", ".hevc", ".obu")
DOUBTFUL = (".ts", ".mod", ".tod", ".evo", ".rm", ".dv", ".obu", ".264", ".265")  # names that other things bear too: these are looked into
FORMATS = ("mov", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "live_flv", "ogg", "mxf", "gxf", "rm", "nut", "dv", "ivf", "h264", "hevc",
           "yuv4mpegpipe", "wtv", "m4v", "mjpeg", "mjpeg_2000", "obu", "av1", "vc1", "dirac", "swf", "nsv", "amv", "gif", "apng", "h263", "h261", "cavsvideo", "roq", "film_cpk")
STILLS = ("gif", "apng")  # Pillow's, when it knows the file
PTS_JUMP = 1  # seconds that a clock may run back before it is taken for a new recording


def pyav():
    try:
        import av
    except ImportError:
        raise ImageError("films need PyAV: pip install av") from None
    av.logging.set_level(av.logging.PANIC)  # what FFmpeg would print is said in our own words
    return av


def is_video(path) -> bool:
    """Whether a file is for `upscale_video`: by its suffix, and by what it holds where the suffix says nothing."""
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES or suffix in VIDEO_SUFFIXES and suffix not in DOUBTFUL:
        return suffix not in SUFFIXES
    return looks_like_video(path)


def looks_like_video(path) -> bool:
    """Whether FFmpeg finds moving pictures in this file."""
    try:
        with open_film(pyav(), path) as film:
            return film.format.name not in STILLS
    except (ImageError, OSError, ValueError):
        return False


def open_film(av, source):
    """An open film with a video stream. Only files: no playlist or script that names other places. Raises ImageError."""
    try:
        film = av.open(str(source) if os.path.exists(source) else f"file:{source}", metadata_errors="replace",
                       options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ImageError(f"{source}: not a film that can be read ({getattr(error, 'strerror', None) or error})") from None
    if not moving(film):
        film.close()
        raise ImageError(f"{source}: no video stream in this file")
    return film


def moving(film) -> list:
    """The video streams that are not pictures attached to something."""
    return [stream for stream in film.streams.video if not is_attached(stream) and stream.codec_context is not None]


def is_attached(stream) -> bool:
    return stream.type == "video" and bool(int(stream.disposition) & 0x400 or int(stream.disposition) & 0x800)  # attached_pic, timed_thumbnails


def best_video(film):
    """The stream that is the film: FFmpeg's choice among those that move."""
    several = moving(film)
    lively = [stream for stream in several if stream.frames != 1] or several
    chosen = film.streams.best("video")
    indices = [stream.index for stream in lively]
    if chosen is not None and chosen.index in indices:
        return chosen
    return max(lively, key=lambda stream: stream.width * stream.height)


def origin_of(film, video) -> Fraction:
    """Where the film's clock begins, in seconds. Sound below zero is the decoder's run-up and stays there."""
    start = Fraction(film.start_time or 0, 1_000_000)
    exact = [stream.start_time * stream.time_base for stream in film.streams if stream.start_time is not None and stream.time_base]
    if start > 0:  # in microseconds; a stream knows it better
        return min((begin for begin in exact if abs(begin - start) < Fraction(1, 100_000)), default=start)
    first = (video.start_time or 0) * video.time_base
    return min(first, Fraction(0))


def seconds_of(film, video) -> float:
    """The length that the file states, 0 when it states none."""
    length = float(film.duration or 0) / 1e6
    counted_from_zero = film.format.name.startswith("matroska")
    return max(length - (float(origin_of(film, video)) if counted_from_zero else 0), 0)


def end_of(film, video) -> float | None:
    """The second at which a video stream says that it ends, on its own clock; None when nothing trustworthy is said."""
    kind = film.format.name
    if kind.startswith("mov") and video.duration:
        return float(((video.start_time or 0) + video.duration) * video.time_base)
    if not kind.startswith("matroska") or is_cut_off(film.name):
        return None
    parts = video.metadata.get("DURATION", "").split(":")  # what FFmpeg writes into Matroska
    try:
        return sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    except ValueError:
        return None


def is_cut_off(path) -> bool:
    """Whether a Matroska file ends before its segment does, or does not say where that is (RFC 9559, 4.5; RFC 8794, 4)."""
    with open(str(path).removeprefix("file:"), "rb") as file:
        head = file.read(4096)
        place = head.find(b"\x18\x53\x80\x67") + 4
        if place < 4 or place >= len(head) or not head[place]:
            return True
        length = 9 - head[place].bit_length()
        size = int.from_bytes(head[place:place + length], "big") & ((1 << 7 * length) - 1)
        unknown = size == (1 << 7 * length) - 1
        return unknown or place + length + size > file.seek(0, os.SEEK_END)


class Fields:
    """Takes the two fields of interlaced frames apart (FFmpeg's bwdif); others pass."""

    def __init__(self, av):
        self.av, self.graph, self.waiting = av, None, deque()

    def push(self, frame) -> list:
        if self.graph is None and not frame.interlaced_frame:
            return [frame]
        if self.graph is None:
            print("note: the video is interlaced; its fields are taken apart (bwdif), one frame for two fields")
            self.graph = linked(self.av, frame, ("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
        frame.duration = frame.duration or 1  # without one, the filter drops the last frame
        self.waiting.append(frame)
        self.graph.push(frame)
        return self._pull()

    def flush(self) -> list:
        if self.graph is None:
            return []
        self.graph.push(None)
        return self._pull()

    def _pull(self) -> list:
        """What the filter has finished, with the time stamps of the frames that went in."""
        done = []
        while self.waiting:
            try:
                frame = self.graph.pull()
            except (self.av.error.BlockingIOError, self.av.error.EOFError):
                break
            source = self.waiting.popleft()
            frame.pts, frame.time_base, frame.duration = source.pts, source.time_base, source.duration
            done.append((frame, source))
        return [merged(frame, source) for frame, source in done]


def merged(frame, source):
    """The picture of one frame with what PyAV tells of the other only: its display matrix."""
    frame.opaque = matrix_of(source)
    return frame


def matrix_of(frame) -> tuple[int, ...] | None:
    """The nine numbers of a frame's display matrix (ISO 14496-12, 6.2.2), or None."""
    if isinstance(frame.opaque, tuple):
        return frame.opaque
    try:
        data = bytes(frame.side_data["DISPLAYMATRIX"])
    except KeyError:
        return None
    return tuple(np.frombuffer(data, np.int32)[:9].tolist())


def turn(matrix: tuple[int, ...] | None) -> tuple[bool, bool, bool]:
    """(rows and columns change places, then mirror left-right, then upside down) for a display matrix."""
    if matrix is None:
        return False, False, False
    a, b, _, c, d = matrix[:5]  # x' = a x + c y, y' = b x + d y, y downwards
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if swapped else (False, a < 0, d < 0)


def upright(picture: np.ndarray, matrix: tuple[int, ...] | None) -> np.ndarray:
    """A picture (H, W, ...) as it is meant to be seen."""
    swapped, mirrored, upside_down = turn(matrix)
    picture = picture.swapaxes(0, 1) if swapped else picture
    return picture[::-1 if upside_down else 1, ::-1 if mirrored else 1]


def is_oblique(matrix: tuple[int, ...] | None) -> bool:
    """Whether a display matrix asks for something else than quarter turns and mirrors."""
    if matrix is None:
        return False
    a, b, _, c, d = matrix[:5]
    return min(abs(a) + abs(d), abs(b) + abs(c)) > 0.01 * max(abs(a) + abs(d), abs(b) + abs(c))


class Frames:
    """The frames of a film's video from a second on, in the order they are shown; `broken` counts what could not be read."""

    def __init__(self, av, source, origin: Fraction):
        self.av, self.source, self.origin, self.broken = av, source, origin, 0

    def since(self, begin: float):
        """Yield (frame, seconds since the film's beginning); starts at `begin` or some frames before."""
        if begin > 0:
            frames = self._read(begin)
            first = next(frames, None)
            if first is not None and first[1] <= begin:
                yield first
                yield from frames
                return
            frames.close()
            self.broken = 0  # no index, or one that leads too far: read from the beginning
        yield from self._read(0)

    def _read(self, begin: float):
        with open_film(self.av, self.source) as film:
            video = best_video(film)
            video.thread_type = "NONE"  # decoding is a thousandth of the work, and closing early can hang on frame threads
            if begin > 0:
                try:
                    film.seek(int((begin + float(self.origin) - 1) * 1e6), backward=True)
                except self.av.FFmpegError:
                    return
            yield from self._timed(self._decoded(film, video), video)

    def _decoded(self, film, video):
        fields = Fields(self.av)
        decoder = transparent_decoder(self.av, video)
        for packet in self._packets(film, video):
            try:
                frames = decoder.decode(packet if packet.size else None) if decoder else packet.decode()
            except self.av.FFmpegError as error:
                self.broken += not isinstance(error, self.av.error.EOFError)
                continue
            for frame in frames:
                yield from fields.push(frame)
        yield from fields.flush()

    def _packets(self, film, video):
        """Demuxed packets; a stream that breaks off ends here."""
        try:
            yield from film.demux(video)
        except self.av.FFmpegError:
            self.broken += 1
            last = self.av.Packet()  # empty: asks the decoder for the frames that it holds back
            last.stream = video
            yield last

    def _timed(self, frames, video):
        """Give a time to frames without one, and let a clock that starts anew run on."""
        usual = 1 / (video.average_rate or video.guessed_rate or Fraction(25))
        shift, following = Fraction(0), Fraction(0)
        for frame in frames:
            base = frame.time_base or video.time_base
            if frame.pts is None:
                frame.time_base, frame.pts = base, round((following - shift + self.origin) / base)
            time = frame.pts * base - self.origin + shift
            if time < following - PTS_JUMP - usual:
                shift += following - time
                frame.pts += round((following - time) / base)
                time = following
            elif shift:
                frame.pts += round(shift / base)
            following = time + ((frame.duration or 0) * base or usual)
            yield frame, float(time)


def transparent_decoder(av, video):
    """FFmpeg's own VP8 and VP9 decoders leave transparency out; libvpx reads it."""
    if video.metadata.get("alpha_mode", video.metadata.get("ALPHA_MODE")) != "1" or video.codec_context.name not in ("vp8", "vp9"):
        return None
    try:
        return av.CodecContext.create({"vp8": "libvpx", "vp9": "libvpx-vp9"}[video.codec_context.name], "r")
    except (av.FFmpegError, ValueError):
        return None
