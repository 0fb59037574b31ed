"""Small videos to test on, written with PyAV, and what FFmpeg finds in one."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from srgan_lib.models import SRResNet

av = pytest.importorskip("av")
MATRICES = {"0": (1, 0, 0, 1), "90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0),
            "hflip": (-1, 0, 0, 1), "vflip": (1, 0, 0, -1), "transpose": (0, 1, 1, 0), "transverse": (0, -1, -1, 0)}  # a, b, c, d of ISO 14496-12, 6.2.2


def nearly_identity() -> SRResNet:
    """x2: every pixel becomes four of its colour, so that colours can be compared."""
    torch.manual_seed(0)
    network = SRResNet(scale=2, blocks=1, channels=8).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0)
        network.head[1].weight.fill_(1)
        network.upsample[1].weight.fill_(1)
        for colour in range(3):
            network.head[0].weight[colour, colour, 4, 4] = 1
            for phase in range(4):
                network.upsample[0].weight[4 * colour + phase, colour, 1, 1] = 1
            network.tail.weight[colour, colour, 4, 4] = 1
    return network


def scene(number: int, size=(64, 48)) -> np.ndarray:
    """Frame `number`: two ramps over which a bright square moves; uint8 RGB, different in each corner."""
    ramp = np.add.outer(np.arange(size[1]) * 2, np.arange(size[0])).clip(0, 235)
    picture = np.stack([ramp, ramp[::-1], np.full_like(ramp, 90)], -1).astype(np.uint8)
    left = 4 * number % (size[0] - 12)
    picture[12:28, left:left + 12] = 235
    return picture


def record(path, codec="libx264", size=(64, 48), frames=12, rate=12, pix_fmt="yuv420p", options=None, sound=("aac",), sound_at=0.0, seconds=None,
           container=None, format=None, stamps=None, durations=None, setup=None, audio_rate=16000, layout="mono", languages=(), fields="", pictures=None,
           tags=(2, 2, 2, 0), tag="") -> Path:
    """Write a video with a tone for each codec in `sound`, which begins at `sound_at` seconds.

    stamps, durations: milliseconds; fields: "tff" or "bff" puts two moments into each frame; tags: matrix, primaries,
    transfer and range, H.273's codes; setup(out, video, tracks) sees everything before the first packet.
    """
    with av.open(str(path), "w", format=format, options=container or {}) as out:
        video = out.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        context, base = video.codec_context, Fraction(1, 1000) if stamps else Fraction(1, rate)
        context.time_base = base
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        if durations:
            context.flags |= 1 << 8  # FFmpeg's frame-duration flag
        if tag:
            context.codec_tag = tag
        tracks = [out.add_stream(name, rate=audio_rate, layout=layout) for name in sound]
        for track, language in zip(tracks, languages):
            track.metadata["language"] = language
        setup and setup(out, video, tracks)
        packets = []
        for number, frame in enumerate(_frames(pictures, frames, size, pix_fmt, fields, rate)):
            frame.time_base, frame.pts = base, stamps[number] if stamps else number
            frame.duration = durations[number] if durations else 0
            packets += video.encode(frame)
        packets += video.encode(None)
        for number, track in enumerate(tracks):
            packets += _tone(track, seconds or frames / rate, sound_at, 440 + 220 * number)
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            out.mux(packet)
    return Path(path)


def _frames(pictures, count, size, pix_fmt, fields, rate):
    pictures = list(pictures if pictures is not None else (scene(number, size) for number in range(count * (2 if fields else 1))))
    if fields:
        pairs = zip(pictures[::2], pictures[1::2]) if fields == "tff" else ((b, a) for a, b in zip(pictures[::2], pictures[1::2]))
        pictures = [np.stack([even[::2], odd[1::2]], 1).reshape(even.shape) for even, odd in pairs]
    for picture in pictures:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgba" if picture.shape[2] == 4 else "rgb24").reformat(format=pix_fmt)
        yield _marked(frame, fields, rate) if fields else frame


def _marked(frame, fields, rate):
    graph = av.filter.Graph()
    entry = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, rate))
    graph.link_nodes(entry, graph.add("setfield", fields), graph.add("buffersink")).configure()
    frame.pts, frame.duration = 0, 1
    graph.push(frame)
    return graph.pull()


def _tone(track, seconds, begin, pitch):
    context, rate = track.codec_context, track.rate
    block, channels = context.frame_size or 1024, len(context.layout.channels)
    resampler, packets = av.AudioResampler(context.format.name, context.layout.name, rate), []
    for start in range(0, round(seconds * rate) - block + 1, block):
        wave = np.sin(np.arange(start, start + block) * 2 * math.pi * pitch / rate) / 3
        tone = av.AudioFrame.from_ndarray(np.repeat(wave[None], channels, 0).astype(np.float32), format="fltp", layout=context.layout.name)
        tone.sample_rate, tone.pts, tone.time_base = rate, start + round(begin * rate), Fraction(1, rate)
        for part in resampler.resample(tone):
            part.pts, part.time_base = tone.pts, tone.time_base
            packets += track.encode(part)
    return packets + track.encode(None)


def turned(source, target, name: str) -> Path:
    """The same .mp4 with another display matrix in the header of its first track (version 0)."""
    a, b, c, d = (value << 16 for value in MATRICES[name])
    data = bytearray(Path(source).read_bytes())
    place = data.index(b"tkhd") + 44
    data[place:place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    Path(target).write_bytes(data)
    return Path(target)


def as_seen(picture: np.ndarray, name: str) -> np.ndarray:
    """What a player shows of a picture under a display matrix, pixel by pixel: x' = a x + c y, y' = b x + d y."""
    a, b, c, d = MATRICES[name]
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    across, down = a * x + c * y, b * x + d * y
    seen = np.zeros((np.ptp(down) + 1, np.ptp(across) + 1, *picture.shape[2:]), picture.dtype)
    seen[down - down.min(), across - across.min()] = picture
    return seen


def pictures(path, matrix="ITU601") -> list:
    """(second, uint8 RGB) of every frame, converted by FFmpeg with its careful settings."""
    with av.open(str(path)) as film:
        careful = 4 | 0x2000 | 0x4000 | 0x40000  # bicubic, full chroma in and out, accurate rounding
        return [(round(frame.time, 4), frame.reformat(format="rgb24", src_colorspace=matrix, interpolation=careful).to_ndarray())
                for frame in film.decode(film.streams.best("video"))]


def packets(path, track: int = 0) -> list[bytes]:
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(audio=track) if packet.size]


def probe(path) -> dict:
    """What FFmpeg finds: seconds, frames and their times from the beginning, size, tags, sound, languages, chapters."""
    with av.open(str(path), metadata_errors="replace") as film:
        video = film.streams.best("video")
        context, start = video.codec_context, (film.start_time or 0) / 1e6
        counted_from_zero = start if film.format.name.startswith("matroska") else 0  # Matroska's length includes what lies before its first frame
        report = {"seconds": (film.duration or 0) / 1e6 - counted_from_zero, "size": (context.width, context.height), "codec": context.name, "pix_fmt": context.pix_fmt,
                  "tags": (context.colorspace, context.color_primaries, context.color_trc), "range": context.color_range,
                  "aspect": video.sample_aspect_ratio, "title": film.metadata.get("title"), "date": film.metadata.get("creation_time"),
                  "languages": [track.metadata.get("language", "und") for track in film.streams.audio],
                  "titles": [track.metadata.get("title", track.metadata.get("name")) for track in film.streams.audio],
                  "sound": [track.codec_context.name.replace("mp3float", "mp2") for track in film.streams.audio],  # .mp4 has one name for both
                  "chapters": [chapter["metadata"].get("title") for chapter in film.chapters()], "covers": sum(bool(int(s.disposition) & 1024) for s in film.streams.video)}
        report["times"], report["fields"] = [], 0
        for frame in film.decode(video):
            report["times"].append(round(frame.time - start, 3))
            report["fields"] += frame.interlaced_frame
            report["rotation"] = frame.rotation
    report["sound_bytes"] = [sum(map(len, packets(path, track))) for track in range(len(report["sound"]))]
    return report
