"""Videos of many kinds through `upscale`: containers, codecs, turns and mirrors, fields, clocks and tags.

    python tests/runs/film_matrix.py [--write]

Each result is read by FFmpeg through PyAV: length, frames and their times, bytes of sound, languages, chapters, tags. A line
a video; the exit code is 1 when one differs from what its source promises.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from datetime import date
from fractions import Fraction
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from recordings import MATRICES, av, nearly_identity, probe, record, turned  # noqa: E402

from srgan_lib.errors import ImageError  # noqa: E402
from srgan_lib.upscaling import Upscaler, upscale_video  # noqa: E402

QUIET = {"x265-params": "log-level=none"}
HDR = {"x265-params": "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"}
CD, DVD = dict(audio_rate=44100, layout="stereo"), dict(audio_rate=48000, layout="stereo")
CODECS = {
    "h264.mp4": {}, "h264.mov": {}, "h264.mkv": {}, "h264.m4v": dict(format="mp4"), "h264.ts": dict(sound=("mp2",), **DVD), "h264.mts": dict(format="mpegts", sound=("ac3",), **DVD),
    "hevc.mp4": dict(codec="libx265", options=QUIET), "hevc.mkv": dict(codec="libx265", options=QUIET, sound=("flac",)), "vp8.webm": dict(codec="libvpx", sound=("libopus",), audio_rate=48000),
    "vp9.webm": dict(codec="libvpx-vp9", sound=("libopus",), audio_rate=48000), "mpeg4.avi": dict(codec="mpeg4", sound=("libmp3lame",), **CD), "mjpeg.avi": dict(codec="mjpeg", pix_fmt="yuvj420p", sound=("pcm_s16le",), **CD),
    "mpeg2.mpg": dict(codec="mpeg2video", format="vob", rate=25, frames=25, sound=("mp2", "mp2"), **DVD), "mpeg2.vob": dict(codec="mpeg2video", format="vob", rate=25, frames=25, sound=("ac3",), **DVD),
    "mpeg2.mxf": dict(codec="mpeg2video", format="mxf", rate=25, frames=25, sound=("pcm_s16le",), audio_rate=48000), "h263.3gp": dict(codec="h263", size=(176, 144), format="3gp"),
    "wmv2.asf": dict(codec="wmv2", format="asf", sound=("pcm_s16le",), **CD), "ffv1.nut": dict(codec="ffv1", pix_fmt="yuv420p", format="nut", sound=("flac",), **CD),
    "grey.mov": dict(codec="png", pix_fmt="gray16be"), "rgb.mov": dict(codec="png", pix_fmt="rgb48be"), "av1.mp4": dict(codec="libsvtav1", pix_fmt="yuv420p10le", options={"preset": "10"}),
    "anamorphic.mkv": dict(setup=lambda out, video, tracks: setattr(video.codec_context, "sample_aspect_ratio", Fraction(64, 45))), "flv1.flv": dict(codec="flv1", format="flv", sound=("libmp3lame",), **CD),
    "prores.mov": dict(codec="prores_ks", pix_fmt="yuv422p10le", sound=("pcm_s16le",), **DVD), "ffv1.mkv": dict(codec="ffv1", pix_fmt="yuv444p", sound=("pcm_s24le",), **DVD),
    "hdr.mp4": dict(codec="libx265", pix_fmt="yuv420p10le", options=HDR, tags=(9, 9, 16, 1)), "silent.mp4": dict(sound=())}
TAGS = {"untagged": (2, 2, 2, 0), "bt709": (1, 1, 1, 1), "bt601": (6, 6, 6, 1), "full": (1, 1, 1, 2), "bt2020": (9, 9, 14, 1)}
CLOCKS = {"variable": dict(stamps=[0, 40, 80, 300, 900, 910, 950, 1500, 1540, 1600, 1700, 1900], durations=[100] * 12, sound=("aac",), seconds=2),
          "slide show": dict(frames=3, stamps=[0, 1000, 2000], durations=[1000, 1000, 1100], sound=()), "longer sound": dict(seconds=3), "shorter sound": dict(seconds=0.5),
          "late sound": dict(sound_at=0.5), "hidden sound": dict(sound_at=-0.5, seconds=1.5, options={"bf": "0"}), "one frame": dict(frames=1, sound=()),
          "frames below zero": dict(frames=10, stamps=[100 * number - 300 for number in range(10)], options={"bf": "0"}, sound=())}
LANGUAGES = dict(sound=("aac", "aac"), languages=("eng", "ger"))


def described(out, video, tracks):
    out.metadata.update({"title": "A title", "creation_time": "2020-01-02T03:04:05.000000Z"})
    out.set_chapters([{"id": number, "start": 500 * number, "end": 500 * number + 500, "time_base": Fraction(1, 1000), "metadata": {"title": f"Part {number}"}} for number in (0, 1)])


def sources(folder: Path):
    """(what is tried, source, targets' suffixes) for every situation; what this PyAV cannot write is left out by name."""
    for name, options in CODECS.items():
        yield f"codec {name}", lambda name=name, options=options: record(folder / name, **options), (".mp4", ".mov", ".mkv")
    plain = record(folder / "plain.mp4", frames=4)
    for name in MATRICES:
        yield f"turn {name}", lambda name=name: turned(plain, folder / f"{name}.mp4", name), (".mp4",)
    for fields, suffix in product(("tff", "bff"), (".mp4", ".mkv", ".ts")):
        options = {"x264-params": f"interlaced=1:{fields}=1", "flags": "+ilme+ildct"}
        yield (f"fields {fields} {suffix}", lambda fields=fields, suffix=suffix, options=options: record(
            folder / f"{fields}{suffix}", rate=25, fields=fields, options=options, sound=("mp2",), **DVD), (".mp4",))
    for name, options in CLOCKS.items():
        yield f"times {name}", lambda name=name, options=options: record(folder / f"{name.replace(' ', '-')}.mp4", **options), (".mp4", ".mov", ".mkv")
    for begin, suffix in product((10, 3600, 90_000), (".ts", ".mkv", ".mpg")):
        kind = dict(codec="mpeg2video", format="vob", rate=25, frames=25) if suffix == ".mpg" else {}
        yield (f"clock from {begin} {suffix}", lambda begin=begin, suffix=suffix, kind=kind: record(
            folder / f"{begin}{suffix}", sound=("mp2",), container={"output_ts_offset": str(begin)}, **kind, **DVD), (".mp4", ".mkv"))
    for name, tags in TAGS.items():
        yield f"tags {name}", lambda name=name, tags=tags: record(folder / f"{name}.mp4", tags=tags), (".mp4", ".mkv")
    for suffix in (".mp4", ".mov", ".mkv"):
        yield f"tracks {suffix}", lambda suffix=suffix: record(folder / f"tracks{suffix}", setup=described, **LANGUAGES), (".mp4", ".mov", ".mkv")


def faults(name: str, before: dict, after: dict, said: str) -> list[str]:
    """What a result lacks that its source has."""
    turned_round = name.split()[-1] in ("90", "270", "transpose", "transverse")
    size, step = before["size"][::-1] if turned_round else before["size"], 1.5 / 90
    begun = [max(time - (after["times"][0] - before["times"][0]) - other, 0) for time, other in zip(after["times"], before["times"])]
    tests = {"size": after["size"] == (2 * size[0], 2 * size[1]), "frames": len(after["times"]) == len(before["times"]), "times": max(begun) < step,
             "length": abs(after["seconds"] - before["seconds"]) < 0.14, "sound": said.count("re-encoded") > 0 or after["sound"] == before["sound"],
             "sound bytes": said.count("re-encoded") > 0 or after["sound_bytes"] == before["sound_bytes"] or name.startswith(("codec h264.ts", "codec mpeg")) and after["sound_bytes"]
             or name == "times hidden sound" and after["sound_bytes"] < before["sound_bytes"],  # what nobody hears does not go into Matroska
             "tags": after["tags"] == before["tags"] or before["tags"][0] in (0, 2, 5), "bits": after["pix_fmt"].endswith("10le") == before["pix_fmt"].endswith(("10le", "16be", "48be")),
             "fields": not after["fields"] and ("interlaced" in said) == bool(before["fields"]), "turned": after["rotation"] == 0,
             "words": all(after[key] == before[key] for key in ("languages", "chapters", "title", "date")), "aspect": (before["aspect"] or 1) == (after["aspect"] or 1)}
    return [test for test, passed in tests.items() if not passed]


def main(arguments: argparse.Namespace) -> int:
    upscaler, lines, wrong = Upscaler(nearly_identity()), [], 0
    with tempfile.TemporaryDirectory() as name:
        for title, write, suffixes in sources(Path(name)):
            try:
                source = write()
            except (av.FFmpegError, ValueError) as error:
                lines.append(f"{title}: cannot be written here ({error})")
                continue
            for suffix in suffixes:
                said, target = io.StringIO(), Path(name) / f"result{suffix}"
                try:
                    with contextlib.redirect_stdout(said):
                        upscale_video(source, target, upscaler)
                    found = faults(title, probe(source), probe(target), said.getvalue())
                except ImageError as error:
                    found = [str(error).replace(name, "")]
                wrong += bool(found)
                lines.append(f"{title} -> {suffix}: {', '.join(found) or 'as it should be'}")
                print(lines[-1], flush=True)
    lines.append(f"{sum(' -> ' in line for line in lines)} results, {wrong} with a fault; {date.today()}, PyAV {av.__version__}, FFmpeg's libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}")
    print(lines[-1])
    if arguments.write:
        Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="write tests/runs/film_matrix.txt")
    sys.exit(main(parser.parse_args()))
