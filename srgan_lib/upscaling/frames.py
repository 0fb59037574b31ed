"""The frames of a video in the order they are shown: their times, fields taken apart, and how they are turned."""

from collections import deque
from fractions import Fraction

import numpy as np

from .colour import linked
from .streams import JUMP, best_video, open_film


BESIDE = {"A53_CC": "the closed captions inside its frames", "DYNAMIC_HDR_PLUS": "its HDR10+ data", "DYNAMIC_HDR_VIVID": "its HDR Vivid data",
          "DOVI_RPU_BUFFER": "its Dolby Vision data", "DOVI_METADATA": "its Dolby Vision data", "SPHERICAL": "the mark of a 360-degree video",
          "STEREO3D": "the mark of a stereoscopic video", "ICC_PROFILE": "its colour profile"}  # FFmpeg's kinds of data in frames that no encoder here takes


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
    """The frames of a film's video from a second on, in the order they are shown.

    broken counts what could not be read; beside: the kinds of BESIDE that were met.
    """

    def __init__(self, av, source, origin: Fraction):
        self.av, self.source, self.origin, self.broken, self.beside = av, source, origin, 0, set()

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
                self.beside |= {data.type.name for data in map(frame.side_data.__getitem__, range(len(frame.side_data)))} & {*BESIDE}
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
            if time < following - JUMP - usual:
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
