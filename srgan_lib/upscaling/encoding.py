"""The encoder of a video: H.264, H.265 beyond 8 bits, ProRes 4444 with transparency; its packets go into pieces."""

import os
import struct
import time
from fractions import Fraction

from .colour import Look, pixel_format
from .segments import FEWEST, FRAMES, SECONDS, Segments, store

GLOBAL_HEADER = 1 << 22  # FFmpeg's flag: what all packets share stands before them, as the containers want it
PQ = 16  # H.273, table 3


def add_encoder(out, look: Look, crf: int, rate: Fraction, time_base: Fraction):
    """The video stream of an output."""
    name = "prores_ks" if look.alpha else "libx265" if look.deep else "libx264"
    options = {"crf": str(crf), "preset": "medium", "x264-params": "videoformat=component"}  # else x264 leaves studio range unsaid
    if look.alpha:
        options = {"profile": "4444", "alpha_bits": "16"}
    elif look.deep:
        options = {"crf": str(crf), "preset": "medium"}
        options["x265-params"] = "log-level=none" + (":hdr10=1" if look.transfer == PQ else "") + look.light
    stream = out.add_stream(name, rate=rate, options=options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt, context.time_base = *look.size, pixel_format(look), time_base
    context.color_range, context.colorspace = look.range, look.matrix
    context.color_primaries, context.color_trc = look.primaries, look.transfer
    if name == "libx265" and out.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # the name under which Apple's players look for it
    if look.aspect:
        context.sample_aspect_ratio = Fraction(look.aspect)
    context.flags |= GLOBAL_HEADER
    return stream


def light_of(frame) -> str:
    """x265's words for the light of the mastering screen (SMPTE ST 2086) and of the content (CTA-861.3)."""
    words, found = "", {data.type.name: bytes(data) for data in map(frame.side_data.__getitem__, range(len(frame.side_data)))}
    if screen := found.get("MASTERING_DISPLAY_METADATA"):
        *numbers, has_primaries, has_luminance = struct.unpack("<22i", screen[:88])
        if has_primaries and has_luminance:
            ratios = [n / (d or 1) for n, d in zip(numbers[::2], numbers[1::2])]
            rx, ry, gx, gy, bx, by, wx, wy = (round(ratio * 50_000) for ratio in ratios[:8])
            least, most = (round(ratio * 10_000) for ratio in ratios[8:])
            words += f":master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"
    if light := found.get("CONTENT_LIGHT_LEVEL"):
        words += ":max-cll={},{}".format(*struct.unpack("<2I", light[:8]))
    return words


class Encoder:
    """Encodes frames into pieces. One frame waits, since the duration of the last one is known at the end only.

    state: of the job behind the frame that was put last; it is stored with each finished piece.
    """

    def __init__(self, av, segments: Segments, crf: int, rate: Fraction, time_base: Fraction):
        self.av, self.segments, self.settings = av, segments, (crf, rate, time_base)
        self.context, self.held, self.state = None, None, {}

    def put(self, frame, look: Look, state: dict) -> None:
        self._encode()
        self.held, self.look, self.state = frame, look, state

    def finish(self, duration: int | None = None) -> None:
        """Encode the frame that waits, with its duration, and end the last piece."""
        if self.held is not None:
            self.held.duration = duration or self.held.duration
            self._encode()
        self._close()

    def _encode(self) -> None:
        if self.held is None:
            return
        if self.context is None:
            self._open()
        self.durations[self.held.pts] = self.held.duration
        self._store(self.context.encode(self.held))
        self.count, self.held = self.count + 1, None
        if self.count >= FRAMES or self.count >= FEWEST and time.monotonic() - self.opened > SECONDS:
            self._close()

    def _open(self) -> None:
        self.scratch = self.av.open(os.devnull, "w", format="null")  # an encoder wants a container; this one stays empty
        self.context = add_encoder(self.scratch, self.look, *self.settings).codec_context
        self.file, self.count, self.opened, self.durations = self.segments.begin(), 0, time.monotonic(), {}

    def _store(self, packets) -> None:
        for packet in packets:
            store(self.file, packet, self.durations.pop(packet.pts, 0))

    def _close(self) -> None:
        if self.context is not None:
            self._store(self.context.encode(None))
            self.segments.finish(self.file, self.state | {"look": self.look.asdict()})
            self.context = None
            self.scratch.close()
