"""What goes along with the frames of a video: sound, subtitles, covers, fonts, chapters and tags, each copied, re-encoded or named."""

import io
from fractions import Fraction

from .streams import JUMP, is_attached, open_film, pyav
from .subtitles import Subtitles, can_become

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # those that hold H.264 with its time stamps
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # by channels: raw sound often does not name its own
OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_frames", "number_of_bytes", "bps", "rotate", "vendor_id",
            "operational_pattern_ul", "uid", "generation_uid", "company_name", "product_name", "product_version", "product_version_num", "product_uid",
            "toolkit_version_num", "material_package_umid", "file_package_umid",  # of an MXF
            "alpha_mode", "timecode", "_statistics_writing_app", "_statistics_writing_date_utc", "_statistics_tags")  # of the old file, not of the video
COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}  # pictures that Matroska holds as attachments
FIRST_PACKETS = 3  # tried in the throw-away file


def carried(av, out, stream, copied: bool, strip: bool = False):
    """Where the packets of a stream go: copied, sound as AAC, or subtitles as plain text."""
    if stream.type == "subtitle" and not copied:
        return Subtitles(av, out, stream, kept_tags(stream.metadata, strip))
    return Carried(av, out, stream, copied, strip)


class Carried:
    """One stream of the source that goes along: copied when the container holds it, sound else as AAC."""

    def __init__(self, av, out, stream, copied: bool, strip: bool = False):
        self.out, self.resampler, self.last, self.jump = out, None, None, 0
        if copied:
            self.sink = out.add_stream_from_template(stream)
        else:
            rate, layout = stream.rate if stream.rate in AAC_RATES else 48000, LAYOUTS.get(stream.channels, "stereo")
            self.sink = out.add_stream("aac", rate=rate, layout=layout)
            self.sink.bit_rate = 96_000 * len(self.sink.codec_context.layout.channels)
            self.resampler = av.AudioResampler("fltp", layout, rate)
        self.sink.metadata.update(kept_tags(stream.metadata, strip))
        self.sink.disposition = stream.disposition

    def mux(self, packet, shift: int) -> None:
        """Pass a packet on, `shift` ticks earlier. A clock that starts anew runs on, as the frames' does."""
        shift -= self.jump
        if self.last is not None and packet.dts - shift <= self.last:
            back = self.last + 1 - (packet.dts - shift)
            self.jump, shift = (self.jump + back, shift - back) if back * packet.time_base > JUMP else (self.jump, shift)
        if self.resampler is None:
            packet.pts, packet.dts = packet.pts - shift, max(packet.dts - shift, self.last + 1 if self.last is not None else packet.dts - shift)
            if not packet.duration and self.last is not None and packet.stream.type == "audio":
                packet.duration = packet.dts - self.last  # as the one before: .mp4 would not play a last one without a length
            packet.pts, self.last = max(packet.pts, packet.dts), packet.dts
            packet.stream = self.sink
            self.out.mux(packet)
            return
        self.last = packet.dts - shift
        for frame in packet.decode():
            frame.pts = None if frame.pts is None else frame.pts - shift
            self._encode(frame)

    def _encode(self, frame) -> None:
        for part in self.resampler.resample(frame):
            self.out.mux(self.sink.encode(part))

    def close(self) -> None:
        if self.resampler is not None:
            self._encode(None)
            self.out.mux(self.sink.encode(None))


def plan(av, source, target_format: str, video_index: int) -> dict[int, bool]:
    """{index of a stream that goes along: whether it is copied}; what does not, is said."""
    chosen = {}
    with open_film(av, source) as film:
        for stream in film.streams:
            if stream.index == video_index or stream.type == "attachment":
                continue
            if stream.type == "data" or (stream.type == "video" and not is_attached(stream)) or stream.codec_context is None:
                if not is_bookkeeping(stream):
                    print(f"note: {_called(stream)} is left out")
            elif stream.type == "video" and target_format == "matroska" and stream.codec_context.name in COVERS:
                continue  # an attachment there
            elif fits(av, source, stream.index, target_format):
                chosen[stream.index] = True
            elif stream.type == "audio":
                print(f"note: {_called(stream)} does not fit this container and is re-encoded as AAC")
                if stream.channels not in LAYOUTS:
                    print(f"note: its {stream.channels} channels become 2")
                chosen[stream.index] = False
            elif can_become(stream, target_format):
                print(f"note: {_called(stream)} do not fit this container and become plain text")
                chosen[stream.index] = False
            else:
                fits_not = "do not fit this container and are" if stream.type == "subtitle" else "does not fit this container and is"
                print(f"note: {_called(stream)} {fits_not} left out{'' if target_format == 'matroska' else '; .mkv may hold ' + ('them' if stream.type == 'subtitle' else 'it')}")
        if film.streams.attachments and target_format != "matroska":
            print(f"note: {len(film.streams.attachments)} attached files (fonts) are left out; .mkv holds them")
    return chosen


def is_bookkeeping(stream) -> bool:
    """Streams that the output gets anew: chapters and time code of QuickTime."""
    handler = stream.metadata.get("handler_name", "")
    return stream.type == "data" and ("timecode" in stream.metadata or handler in ("SubtitleHandler", "TimeCodeHandler") or _is_text(stream))


def _is_text(stream) -> bool:
    return getattr(stream, "codec_tag", "") in ("text", "tmcd") or bool(stream.container.chapters())


def _called(stream) -> str:
    kinds = {"audio": "sound", "subtitle": "subtitles", "video": "another video stream", "data": "a data stream", "attachment": "an attached file"}
    codec, language = getattr(stream.codec_context, "name", None), stream.metadata.get("language", "und")
    words = ("a cover" if is_attached(stream) else kinds.get(stream.type, "a stream of unknown kind")) + (f" in {codec}" if codec else "")
    return words + ("" if language == "und" else f" ({language})")


def fits(av, source, index: int, target_format: str) -> bool:
    """Whether a container holds a stream: its head and first packets are written into a throw-away file and read again."""
    packed = io.BytesIO()
    try:
        with open_film(av, source) as film, av.open(packed, "w", format=target_format) as out:
            stream, first = film.streams[index], None
            sink = out.add_stream_from_template(stream)
            sink.disposition = stream.disposition
            out.start_encoding()
            for number, packet in enumerate(real_packets(film.demux(stream))):
                first = packet.dts if first is None else first
                packet.pts, packet.dts = max(packet.pts - first, 0), packet.dts - first
                packet.stream = sink
                out.mux(packet)
                if number + 1 == FIRST_PACKETS:
                    break
            wanted = stream.type
        packed.seek(0)
        with av.open(packed) as again:
            return any(stream.type == wanted for stream in again.streams)  # .mov takes a cover, and does not store it
    except (ValueError, OSError, NotImplementedError, av.FFmpegError):
        return False


def real_packets(packets):
    """Those with bytes, each with both time stamps."""
    for packet in packets:
        if packet.size == 0:
            continue
        if is_attached(packet.stream):
            packet.pts = packet.dts = 0
        packet.pts = packet.dts if packet.pts is None else packet.pts
        packet.dts = packet.pts if packet.dts is None else packet.dts
        if packet.pts is not None:
            yield packet


def kept_tags(metadata: dict, strip: bool = False) -> dict:
    """The tags that speak of the video, without those of the old file. strip: the language alone."""
    if strip:
        return {key: value for key, value in metadata.items() if key.lower() == "language"}
    kept = {key: value for key, value in metadata.items() if key.lower().split("-eng")[0] not in OWN_TAGS and not value.startswith("Lavf")}
    if "name" in kept:  # the title of a track, as .mp4 and .mov call it
        kept.setdefault("title", kept.pop("name"))
    return kept


def container_options(film, target_format: str, strip: bool = False) -> dict:
    """Apple's and Android's own tags need another kind of list in .mp4 and .mov."""
    own = not strip and target_format in ("mp4", "mov") and any(key.startswith(("com.apple.", "com.android.")) for key in film.metadata)
    return {"movflags": "use_metadata_tags"} if own else {}


def dress(film, video, out, sink, shift: Fraction, length: float | None, cut: bool, strip: bool = False) -> None:
    """Tags of film and video, chapters and fonts into an output that has not begun. shift: of the clock; cut: by --start."""
    out.metadata.update(kept_tags(film.metadata, strip))
    sink.metadata.update(kept_tags(video.metadata, strip))
    sink.disposition = video.disposition
    codes = (stream.metadata.get("timecode") for stream in (video, film, *film.streams))
    code = next(filter(None, codes), None)
    if strip:
        pass
    elif code and cut:
        print("note: the time code is left out, since --start cuts off what it counts from")
    elif code:
        sink.metadata["timecode"] = code
    if chapters := [chapter for chapter in (_cut(chapter, shift, length) for chapter in film.chapters()) if chapter]:
        out.set_chapters(chapters)
    if out.format.name != "matroska":
        return
    for name, kind, data in covers(film):
        out.add_attachment(name, kind, data)
    for stream in film.streams.attachments:
        out.add_attachment(stream.metadata.get("filename") or stream.name or "attachment", stream.mimetype or "application/octet-stream", bytes(stream.data))


def covers(film):
    """(name, kind, bytes) of the pictures attached to a film that Matroska takes."""
    for stream in filter(is_attached, film.streams.video):
        if stream.codec_context is not None and stream.codec_context.name in COVERS:
            suffix, kind = COVERS[stream.codec_context.name]
            with open_film(pyav(), film.name) as again:
                yield f"cover.{suffix}", kind, bytes(next(real_packets(again.demux(again.streams[stream.index]))))


def _cut(chapter: dict, shift: Fraction, length: float | None) -> dict | None:
    """A chapter on the clock of the result, in milliseconds, or None when it lies outside."""
    base = chapter["time_base"] or Fraction(1, 1000)
    first, last = (max(round((chapter[edge] * base - shift) * 1000), 0) for edge in ("start", "end"))
    last = last if length is None else min(last, round(length * 1000))
    return chapter | {"start": first, "end": last, "time_base": Fraction(1, 1000)} if last > first else None


def lost(av, source, target, video_index: int, cut: bool, strip: bool = False) -> list[str]:
    """The tags and chapters of the source that a finished result does not hold; strip: and was asked to hold."""
    with open_film(av, source) as film, open_film(av, target) as result:
        names = {key.lower() for key in result.metadata}
        gone = [key for key in kept_tags(film.metadata, strip) if key.lower() not in names]
        before = {"video": [film.streams[video_index]], "audio": film.streams.audio}
        for kind, streams in before.items():
            for old, new in zip(streams, getattr(result.streams, kind)):
                old, new = kept_tags(old.metadata, strip), kept_tags(new.metadata)
                gone += [f"the {key} of a track" for key in ("title", "language") if old.get(key, "und") not in ("und", new.get(key))]
        coded = [any("timecode" in {key.lower() for key in stream.metadata} for stream in (one, *one.streams)) for one in (film, result)]
        gone += ["the time code"] if coded == [True, False] and not cut and not strip else []
        return gone + (["the chapters"] if film.chapters() and not result.chapters() and not cut else [])
