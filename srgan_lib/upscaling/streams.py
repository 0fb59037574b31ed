"""Open a video with PyAV: what counts as one, which of its streams is the video, and how its clock runs."""

import os
import re
from fractions import Fraction
from pathlib import Path

from ..errors import ImageError
from ..formats.known import HEIF_BRANDS
from ..images import SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".m4v", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp", ".3g2", ".mts", ".m2ts", ".m2t",
                  ".asf", ".vob", ".mxf", ".ogv", ".ogm", ".dv", ".qt", ".divx", ".f4v", ".rm", ".rmvb", ".wtv", ".y4m", ".nut", ".ivf", ".mpe",
                  ".m1v", ".m2v", ".mpv", ".mod", ".tod", ".evo", ".mjpeg", ".mj2", ".gxf", ".h264", ".264", ".h265", ".265", ".hevc", ".obu")
DOUBTFUL = (".ts", ".mod", ".tod", ".evo", ".rm", ".dv", ".obu", ".264", ".265")  # names that other things bear too: these are looked into
FORMATS = ("mov", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "live_flv", "ogg", "mxf", "gxf", "rm", "nut", "dv", "ivf", "h264", "hevc",
           "yuv4mpegpipe", "wtv", "m4v", "mjpeg", "mjpeg_2000", "obu", "av1", "vc1", "dirac", "swf", "nsv", "amv", "gif", "apng", "h263", "h261", "cavsvideo", "roq", "film_cpk")
STILLS = ("gif", "apng")  # Pillow's, when it knows the file
STILL_BRANDS = (b"avif", b"avis", *HEIF_BRANDS)  # of files with boxes (ISO 14496-12, 4.3) that hold images
SIGNS = {b"\x1a\x45\xdf\xa3": "video", b"\x89PNG\r\n": "image", b"\xff\xd8\xff": "image", b"GIF8": "image", b"II*\0": "image", b"MM\0*": "image"}  # EBML; images
BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"wide", b"skip", b"styp")  # with which files of boxes begin
JUMP = 1  # seconds that a clock may run back before it is taken for that of a new recording


OLDEST_PYAV = (17, 1)  # versions before crash on what is done here


def pyav():
    try:
        import av
    except ImportError:
        raise ImageError("films need PyAV: pip install av") from None
    if tuple(map(int, re.findall(r"\d+", av.__version__)[:2])) < OLDEST_PYAV:
        raise ImageError(f"videos need PyAV {'.'.join(map(str, OLDEST_PYAV))} or newer, and this is {av.__version__}: pip install -U av")
    av.logging.set_level(av.logging.PANIC)  # what FFmpeg would print is said in our own words
    return av


def is_video(path) -> bool:
    """Whether a file is for `upscale_video`: by its suffix, and by what it holds where the suffix says nothing."""
    suffix, named = Path(path).suffix.lower(), looks_like_by_head(path)
    if suffix in SUFFIXES:
        return named == "video" and looks_like_video(path)
    if suffix in VIDEO_SUFFIXES and suffix not in DOUBTFUL:
        return named != "image"
    return looks_like_video(path)


def looks_like_by_head(path) -> str | None:
    """"video" or "image" where the first bytes of a file say so, whatever it is called; None where they do not."""
    try:
        if not os.path.isfile(path):  # what is read from a pipe is gone
            return None
        with open(path, "rb") as file:
            data = file.read(16)
    except (OSError, ValueError):
        return None
    if data[4:8] == b"ftyp":
        return None if data[8:12] in STILL_BRANDS else "video"
    kinds = {kind for sign, kind in SIGNS.items() if data.startswith(sign)}
    return "video" if data.startswith(b"RIFF") and data[8:12] == b"AVI " else next(iter(kinds), None)


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
    counted_from_zero = film.format.name.startswith(("matroska", "flv"))
    return max(length - (float(origin_of(film, video)) if counted_from_zero else 0), 0)


def end_of(film, video) -> float | None:
    """The second at which a video stream says that it ends, on its own clock; None when nothing trustworthy is said."""
    kind = film.format.name
    if kind.startswith("mov") and video.duration and not is_cut_off(film.name):
        return float(((video.start_time or 0) + video.duration) * video.time_base)
    if not kind.startswith("matroska") or is_cut_off(film.name):
        return None
    parts = video.metadata.get("DURATION", "").split(":")  # what FFmpeg writes into Matroska
    try:
        return sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    except ValueError:
        return None


def is_cut_off(path) -> bool:
    """Whether a file ends before its media do: an .mp4 in a box (ISO 14496-12, 4.2), a Matroska file in its segment.

    A segment that does not say where it ends (RFC 9559, 4.5; RFC 8794, 4) counts too.
    """
    with open(str(path).removeprefix("file:"), "rb") as file:
        head = file.read(4096)
        if head[4:8] in BOXES:
            return _ends_within_a_box(file)
        place = head.find(b"\x18\x53\x80\x67") + 4
        if place < 4 or place >= len(head) or not head[place]:
            return True
        length = 9 - head[place].bit_length()
        size = int.from_bytes(head[place:place + length], "big") & ((1 << 7 * length) - 1)
        unknown = size == (1 << 7 * length) - 1
        return unknown or place + length + size > file.seek(0, os.SEEK_END)


def _ends_within_a_box(file) -> bool:
    """Whether an outer box that holds media or their index goes on behind the end of its file."""
    place, end, kind = 0, file.seek(0, os.SEEK_END), b""
    while place + 8 <= end:
        file.seek(place)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        if size < 8:  # 0: up to the end of the file
            return False
        place += size
    return place > end and kind in (b"mdat", b"moov", b"moof")
