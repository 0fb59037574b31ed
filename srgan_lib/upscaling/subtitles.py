"""Subtitles of text in a container that has another kind for them: their words and times go along, their looks do not."""

import re
from fractions import Fraction

KINDS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}  # what each container takes
TEXTS = ("subrip", "srt", "text", "ass", "ssa", "webvtt", "mov_text")
BEFORE_THE_WORDS = 8  # commas in a line of ASS as Matroska stores it: order, layer, style, name, three margins, effect
HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""  # FFmpeg's encoders of text want one


def can_become(stream, target_format: str) -> bool:
    """Whether a stream's words can be written into a container that does not take it as it is."""
    return stream.type == "subtitle" and getattr(stream.codec_context, "name", "") in TEXTS and target_format in KINDS


def words(data: bytes, kind: str) -> str:
    """The plain text of a packet."""
    if kind == "mov_text":  # 3GPP TS 26.245, 5.17: two bytes of length, the text, boxes of style
        data = data[2:2 + int.from_bytes(data[:2], "big")]
    text = data.decode("utf-8", "replace")
    if kind in ("ass", "ssa"):
        text = text.split(",", BEFORE_THE_WORDS)[-1]
        text = re.sub(r"\{[^}]*\}", "", text).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return re.sub(r"</?[a-zA-Z][^<>]*>", "", text).replace("\r\n", "\n").strip("\n")


class Subtitles:
    """A stream of text, written as the container's own kind. The interface is that of `sinks.Carried`."""

    def __init__(self, av, out, stream, metadata: dict):
        self.av, self.out, self.kind = av, out, stream.codec_context.name
        self.sink = out.add_stream(KINDS[out.format.name])
        self.sink.codec_context.subtitle_header = HEADER
        self.sink.metadata.update(metadata)
        self.sink.disposition = stream.disposition

    def mux(self, packet, shift: int) -> None:
        if not (text := words(bytes(packet), self.kind)):
            return  # .mp4 stores the time between two lines as an empty one
        data = text.encode()
        new = self.av.Packet(len(data).to_bytes(2, "big") + data if KINDS[self.out.format.name] == "mov_text" else data)
        new.stream, new.time_base = self.sink, Fraction(1, 1000)
        new.pts = new.dts = max(round((packet.pts - shift) * packet.time_base * 1000), 0)
        new.duration = round((packet.duration or 0) * packet.time_base * 1000)
        self.out.mux(new)

    def close(self) -> None:
        """Nothing waits here."""
