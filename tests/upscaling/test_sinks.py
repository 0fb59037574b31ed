"""What goes along with a video, the length of its last frame, and a run that goes on where an earlier one stopped."""

import json
import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from recordings import av, nearly_identity, packets, pictures, probe, record

from srgan_lib.errors import ImageError
from srgan_lib.upscaling import upscale_video
from srgan_lib.upscaling import segments as segments_module
from srgan_lib.upscaling import video as video_module
from srgan_lib.upscaling.files import upscale_files
from srgan_lib.upscaling.segments import decoding_stamps, part_of
from srgan_lib.upscaling.subtitles import words


@pytest.fixture(scope="module")
def generator():
    return nearly_identity()


def described(out, video, tracks):
    out.metadata.update({"title": "My film", "creation_time": "2020-01-02T03:04:05.000000Z", "comment": "a comment"})
    tracks[1].metadata["title"] = "Commentary"
    out.set_chapters([{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                      {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}}])


@pytest.mark.parametrize("before", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("after", [".mkv", ".mp4", ".mov"])
def test_tracks_titles_chapters_and_date(tmp_path, generator, before, after, capsys):
    source = record(tmp_path / f"a{before}", sound=("aac", "aac"), languages=("eng", "ger"), setup=described)
    upscale_video(source, tmp_path / f"b{after}", generator)
    report = probe(tmp_path / f"b{after}")
    assert report["languages"] == ["eng", "ger"] and report["titles"][1] == "Commentary" and report["chapters"] == ["One", "Two"]
    assert report["title"] == "My film" and report["date"] == "2020-01-02T03:04:05.000000Z"
    assert report["sound_bytes"] == probe(source)["sound_bytes"] and capsys.readouterr().out == ""


def test_chapters_are_cut_with_the_video(tmp_path, generator):
    source = record(tmp_path / "a.mkv", sound=("aac", "aac"), setup=described)
    upscale_video(source, tmp_path / "b.mkv", generator, start=0.6)
    with av.open(str(tmp_path / "b.mkv")) as film:
        chapters = [(chapter["metadata"]["title"], float(chapter["end"] * chapter["time_base"])) for chapter in film.chapters()]
    assert chapters == [("Two", 0.4)]


@pytest.mark.parametrize("codec, options, suffix, copied", [
    ("pcm_s16le", dict(format="avi", codec="mpeg4", layout="stereo"), ".mp4", None), ("flac", {}, ".mov", False), ("libopus", dict(audio_rate=48000), ".mov", False),
    ("pcm_u8", {}, ".mp4", False), ("ac3", dict(audio_rate=48000), ".mp4", True), ("libopus", dict(audio_rate=48000), ".mp4", True), ("libmp3lame", dict(audio_rate=44100), ".mkv", True)])
def test_sound_is_copied_or_reencoded_and_said(tmp_path, generator, codec, options, suffix, copied, capsys):
    source = record(tmp_path / "a.mkv", sound=(codec,), **options)
    upscale_video(source, tmp_path / f"b{suffix}", generator)
    said, report = "re-encoded as AAC" in capsys.readouterr().out, probe(tmp_path / f"b{suffix}")
    assert said == (report["sound"] != probe(source)["sound"]) and (copied is None or copied != said)
    assert said or packets(source) == packets(tmp_path / f"b{suffix}")

    def loudness(path):
        with av.open(str(path)) as film:
            sound = np.concatenate([frame.to_ndarray().astype(float).ravel() / (1 if "flt" in frame.format.name else 128 if frame.format.name == "u8" else 32768)
                                    for frame in film.decode(audio=0)])
        return sound.std()
    assert loudness(tmp_path / f"b{suffix}") == pytest.approx(loudness(source), rel=0.2)


def with_subtitles(path, lines="1\n00:00:00,200 --> 00:00:00,700\nGuten Tag\n", kind=".srt", font=b"a font"):
    """A .mkv with one line of text between 0.2 and 0.7 s, and a font if there is one."""
    plain, words = record(path.with_name("plain.mkv")), path.with_name(f"words{kind}")
    words.write_text(lines)
    with av.open(str(plain)) as film, av.open(str(words)) as text, av.open(str(path), "w") as out:
        copies = {(one.name, stream.index): out.add_stream_from_template(stream) for one in (film, text) for stream in one.streams}
        copies[text.name, 0].metadata["language"] = "ger"
        if font:
            out.add_attachment("font.ttf", "application/x-truetype-font", font)
        out.start_encoding()
        for one in (text, film):
            for packet in one.demux():
                if packet.size:
                    packet.stream = copies[one.name, packet.stream.index]
                    out.mux(packet)
    return path


def test_subtitles_and_fonts_stay_in_matroska_and_are_named_elsewhere(tmp_path, generator, capsys):
    source = with_subtitles(tmp_path / "a.mkv")
    upscale_video(source, tmp_path / "b.mkv", generator)
    with av.open(str(tmp_path / "b.mkv")) as film:
        assert [stream.metadata.get("language") for stream in film.streams.subtitles] == ["ger"]
        assert [bytes(stream.data) for stream in film.streams.attachments] == [b"a font"]
        texts = [(packet.pts, bytes(packet)) for packet in film.demux(subtitles=0) if packet.size]
    assert texts == [(200, b"Guten Tag")] and capsys.readouterr().out == ""
    upscale_video(source, tmp_path / "b.mp4", generator)
    said = capsys.readouterr().out
    assert "subtitles" in said and "left out" in said and "fonts" in said


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_strip_leaves_no_tag_but_the_languages(tmp_path, generator, suffix, capsys):
    source = record(tmp_path / f"a{suffix}", setup=described, sound=("aac", "aac"), languages=("eng", "ger"))
    assert upscale_files([str(source)], str(tmp_path / f"b{suffix}"), generator, strip=True) == 0
    after = probe(tmp_path / f"b{suffix}")
    assert after["languages"] == probe(source)["languages"] and not after["title"] and not after["date"] and len(after["chapters"]) == 2
    with av.open(str(tmp_path / f"b{suffix}")) as film:
        assert not any("Commentary" in value or "comment" in value for one in (film, *film.streams) for value in one.metadata.values())
    assert "does not hold" not in capsys.readouterr().out


def test_what_stands_in_the_frames_and_cannot_be_kept_is_said(tmp_path, generator, capsys):
    record(tmp_path / "a.mp4", options={"x264-params": "frame-packing=3"}, sound=())  # H.264, D.2.26: side by side
    upscale_video(tmp_path / "a.mp4", tmp_path / "b.mp4", generator)
    assert "the mark of a stereoscopic video cannot be kept" in capsys.readouterr().out
    captions = bytes.fromhex("0000000106040eb50031474139340341ff") + b"\xfc\x94\x2c\xff\x80"  # H.264, D.2.6, and ATSC A/53 part 4, 6.2.3
    record(tmp_path / "c.h264", format="h264", options={"x264-params": "annexb=1:repeat-headers=1:aud=0:keyint=1:bframes=0"}, sound=())
    data = (tmp_path / "c.h264").read_bytes().replace(b"\0\0\0\x01\x67", captions + b"\0\0\0\x01\x67")
    (tmp_path / "c.h264").write_bytes(data)
    upscale_video(tmp_path / "c.h264", tmp_path / "d.mp4", generator)
    assert "the closed captions inside its frames cannot be kept" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_time_code(tmp_path, generator, suffix):
    source = record(tmp_path / "a.mov", rate=25, setup=lambda out, video, tracks: video.metadata.update(timecode="10:00:00:00"))
    upscale_video(source, tmp_path / f"b{suffix}", generator)
    with av.open(str(tmp_path / f"b{suffix}")) as film:
        assert "10:00:00:00" in [value for stream in film.streams for key, value in stream.metadata.items() if key.lower() == "timecode"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_last_image_of_a_slide_show_stays_as_long(tmp_path, generator, suffix):
    # 1 s, 1 s and 1.1 s: without a duration for the last frame it lasts as long as the one before, or not at all
    source = record(tmp_path / f"a{suffix}", frames=3, stamps=[0, 1000, 2000], durations=[1000, 1000, 1100], sound=(), options={"bf": "0"})
    assert probe(source)["seconds"] == pytest.approx(3.1, abs=0.01)
    for after in (".mp4", ".mov", ".mkv"):
        upscale_video(source, tmp_path / f"b{after}", generator)
        assert probe(tmp_path / f"b{after}")["seconds"] == pytest.approx(3.1, abs=0.01)
    upscale_video(source, tmp_path / "cut.mp4", generator, end=2.5)
    assert probe(tmp_path / "cut.mp4")["seconds"] == pytest.approx(2.5, abs=0.01)


def test_slow_frames_out_of_order_are_not_called_damaged(tmp_path, generator, capsys):
    source = record(tmp_path / "a.mp4", frames=6, stamps=[10_000 * number for number in range(6)], durations=[10_000] * 6, sound=(), options={"bf": "3"})
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert "damaged" not in capsys.readouterr().out and probe(tmp_path / "b.mp4")["seconds"] == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_with_frames_out_of_order_keeps_its_length(tmp_path, generator, suffix):
    stamps = [0, 40, 80, 300, 900, 910, 950, 1500, 1540, 1600]
    source = record(tmp_path / "a.mkv", frames=10, stamps=stamps, durations=[100] * 10, sound=(), rate=10)
    upscale_video(source, tmp_path / f"b{suffix}", generator)
    report = probe(tmp_path / f"b{suffix}")
    assert [round(1000 * time) for time in report["times"]] == stamps and report["seconds"] == pytest.approx(1.7, abs=0.011)


def test_decoding_stamps_rise_and_never_pass_the_frames():
    for order in ([0, 40, 20, 10, 30, 80, 60, 50, 70], [0, 10, 20], [5], [0, 900, 40, 950, 910, 1600, 1500, 1540]):
        stamps = decoding_stamps(order)
        assert all(a < b for a, b in zip(stamps, stamps[1:])) and all(dts <= pts for dts, pts in zip(stamps, order))


class Stop(BaseException):
    """What a kill looks like from inside."""


@pytest.fixture
def short_pieces(monkeypatch):
    """Pieces of 8 frames."""
    import srgan_lib.upscaling.encoding as encoding
    monkeypatch.setattr(encoding, "FRAMES", 8)


def stop_after(monkeypatch, frames: int):
    original, count = video_module.enlarged_frame, [0]

    def enlarged(*arguments):
        count[0] += 1
        if count[0] > frames:
            raise Stop
        return original(*arguments)
    monkeypatch.setattr(video_module, "enlarged_frame", enlarged)
    return count


@pytest.mark.parametrize("suffix, options", [(".mp4", {}), (".ts", dict(container={"output_ts_offset": "3600"}, sound=("mp2",), audio_rate=48000)), (".mkv", {})])
def test_a_stopped_run_goes_on_from_the_last_piece(tmp_path, generator, monkeypatch, short_pieces, suffix, options, capsys):
    source = record(tmp_path / f"a{suffix}", frames=40, **options)
    upscale_video(source, tmp_path / "whole.mp4", generator)
    with monkeypatch.context() as patch:
        stop_after(patch, 29)
        with pytest.raises(Stop):
            upscale_video(source, tmp_path / "b.mp4", generator)
    assert not (tmp_path / "b.mp4").exists() and part_of(tmp_path / "b.mp4").is_dir()
    with monkeypatch.context() as patch:
        count = stop_after(patch, 1000)
        upscale_video(source, tmp_path / "b.mp4", generator)
        assert count[0] == 40 - 24  # three pieces of eight were kept
    assert "24 frames that an earlier run has finished" in capsys.readouterr().out and not part_of(tmp_path / "b.mp4").exists()
    one, two = probe(tmp_path / "whole.mp4"), probe(tmp_path / "b.mp4")
    assert one == two
    for (_, a), (_, b) in zip(pictures(tmp_path / "whole.mp4"), pictures(tmp_path / "b.mp4")):
        assert np.abs(a.astype(float) - b).mean() < 1


def test_pieces_of_another_network_or_source_are_not_used(tmp_path, generator, monkeypatch, short_pieces, capsys):
    source = record(tmp_path / "a.mp4", frames=24)
    for change in ("network", "source", "crf"):
        with monkeypatch.context() as patch:
            stop_after(patch, 20)
            with pytest.raises(Stop):
                upscale_video(source, tmp_path / "b.mp4", generator)
        capsys.readouterr()
        if change == "source":
            os.utime(source, (1, 1))
        other = nearly_identity()
        if change == "network":
            other.tail.bias.data.add_(0.1) if other.tail.bias is not None else other.tail.weight.data.mul_(0.9)
        upscale_video(source, tmp_path / "b.mp4", other, crf=20 if change == "crf" else 18)
        assert "earlier run" not in capsys.readouterr().out and len(pictures(tmp_path / "b.mp4")) == 24


def test_a_damaged_piece_is_not_counted(tmp_path, generator, monkeypatch, short_pieces):
    source = record(tmp_path / "a.mp4", frames=24)
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(Stop):
            upscale_video(source, tmp_path / "b.mp4", generator)
    (part_of(tmp_path / "b.mp4") / "1.json").write_text("{half")
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert len(pictures(tmp_path / "b.mp4")) == 24


@pytest.mark.parametrize("length", [241, 248, 251])
def test_long_names(tmp_path, generator, length):
    source, name = record(tmp_path / "a.mp4", frames=2), "n" * (length - 4) + ".mp4"
    upscale_video(source, tmp_path / name, generator)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.mp4", name])


def test_a_long_video_says_how_long(tmp_path, generator, monkeypatch, capsys):
    monkeypatch.setattr(video_module, "LONG", 0)
    upscale_video(record(tmp_path / "a.mp4", frames=30), tmp_path / "b.mp4", generator)
    assert "this will take about 1 min" in capsys.readouterr().out
    assert video_module.spoken(12_000) == "3 h 20 min" and segments_module.FRAMES == 250


def test_a_folder_of_videos_tells_what_is_left(tmp_path, generator, capsys):
    for name in ("a.mp4", "b.mkv", "c.ts"):
        record(tmp_path / "in" / name if (tmp_path / "in").mkdir(exist_ok=True) is None else "", frames=12)
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "d.png")
    assert upscale_files([str(tmp_path / "in")], str(tmp_path / "out"), generator) == 0
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if " left:" in line] == ["3 videos left", "2 videos left", "1 video left"]
    assert "at the pace so far" in said and len(list((tmp_path / "out").glob("[!.]*"))) == 4


def test_made_from_is_readable(tmp_path, generator, monkeypatch, short_pieces):
    source = record(tmp_path / "a.mp4", frames=24)
    stop_after(monkeypatch, 20)
    with pytest.raises(Stop):
        upscale_video(source, tmp_path / "b.mp4", generator)
    record_of = json.loads((part_of(tmp_path / "b.mp4") / "made_from.json").read_text())
    assert record_of["crf"] == 18 and len(record_of["networks"]) == 64


def test_a_full_disk_keeps_the_finished_frames(tmp_path, generator, monkeypatch, capsys):
    import errno

    source = record(tmp_path / "a.mp4", frames=12)

    def full(*arguments):
        raise av.FFmpegError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(video_module, "join", full)
        with pytest.raises(ImageError, match="No space left"):
            upscale_video(source, tmp_path / "b.mp4", generator)
    assert part_of(tmp_path / "b.mp4").is_dir() and not (tmp_path / "b.mp4").exists()
    with monkeypatch.context() as patch:
        assert stop_after(patch, 0) == [0]  # not one frame is computed again
        upscale_video(source, tmp_path / "b.mp4", generator)
    assert len(pictures(tmp_path / "b.mp4")) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_that_an_edit_list_hides_is_not_heard(tmp_path, generator, suffix):
    # half a second of sound lies before the first frame and is hidden (ISO 14496-12, 8.6.6); Matroska has no such list
    source = record(tmp_path / "a.mp4", sound_at=-0.5, seconds=1.5, options={"bf": "0"})

    def sound(path):
        with av.open(str(path)) as film:
            first = next(film.decode(video=0)).time
        with av.open(str(path)) as film:
            frames = list(film.decode(audio=0))
        return frames[0].time - first, frames[-1].time + frames[-1].samples / frames[-1].sample_rate - first
    (begin, end), (begin_after, end_after) = sound(source), sound(tmp_path / upscale_and_name(source, tmp_path / f"b{suffix}", generator))
    assert begin >= 0 and begin_after > begin - 0.13 and end_after == pytest.approx(end, abs=0.03)  # less than two packets of 64 ms, with which a decoder runs up


def upscale_and_name(source, target, generator) -> str:
    upscale_video(source, target, generator)
    return target.name


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_sound_without_a_length_is_kept(tmp_path, generator, suffix):
    source = record(tmp_path / "a.nut", codec="ffv1", sound=("flac",))  # NUT states no duration of a packet
    upscale_video(source, tmp_path / f"b{suffix}", generator)
    assert packets(tmp_path / f"b{suffix}") == packets(source)


def test_apples_tags_into_matroska_without_noise(tmp_path, generator, capfd):
    def phone(out, video, tracks):
        out.metadata["com.apple.quicktime.make"] = "a phone"
    source = record(tmp_path / "a.mov", setup=phone, container={"movflags": "use_metadata_tags"}, frames=2)
    upscale_video(source, tmp_path / "b.mkv", generator)
    assert "not used" not in (said := capfd.readouterr()).out + said.err
    upscale_video(source, tmp_path / "b.mov", generator)
    for name in ("b.mkv", "b.mov"):
        with av.open(str(tmp_path / name)) as film:
            assert "a phone" in film.metadata.values()


def texts(path) -> list[tuple[float, float, str]]:
    """(begin, end, words) of every line of the first subtitles, by FFmpeg's own decoder; seconds since the first frame."""
    with av.open(str(path)) as film:
        first = next(film.decode(video=0)).time  # Matroska puts the run-up of sound before it
    with av.open(str(path)) as film:
        stream, found = film.streams.subtitles[0], []
        for packet in film.demux(stream):
            for line in (packet.decode() if packet.size else ()):
                spoken = b"".join(getattr(part, "dialogue", b"") or b"" for part in (line if hasattr(line, "__iter__") else [line])).decode().strip()
                begin = float(packet.pts * packet.time_base) - first
                found += [(round(begin, 2), round(begin + float(packet.duration * packet.time_base), 2), spoken)] if spoken else []
    return found


ASS = "[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n" \
    "Dialogue: 0,0:00:00.20,0:00:00.70,Default,,0,0,0,,{\\i1}Guten{\\i0} Tag, Welt\n"
LINES = {".srt": "1\n00:00:00,200 --> 00:00:00,700\n<i>Guten</i> Tag, Welt\n", ".vtt": "WEBVTT\n\n00:00.200 --> 00:00.700\n<i>Guten</i> Tag, Welt\n", ".ass": ASS}


@pytest.mark.parametrize("kind", sorted(LINES))
def test_subtitles_of_text_go_into_every_container(tmp_path, generator, kind, capsys):
    with_subtitles(tmp_path / "a.mkv", LINES[kind], kind, font=b"")
    for before, after in (("a.mkv", "b.mp4"), ("a.mkv", "c.mov"), ("b.mp4", "d.mkv")):
        capsys.readouterr()
        upscale_video(tmp_path / before, tmp_path / after, generator)
        assert "become plain text" in capsys.readouterr().out
        assert texts(tmp_path / after) == [(0.2, 0.7, "Guten Tag, Welt")]
        with av.open(str(tmp_path / after)) as film:
            assert film.streams.subtitles[0].metadata["language"] == "ger"


def test_the_words_of_a_line():
    assert words(b"\0\x02Hi\0\0\0\x08styl", "mov_text") == "Hi" and words(b"\0\0", "mov_text") == ""  # 3GPP TS 26.245, 5.17
    assert words(b"0,0,Default,,0,0,0,,{\\an8}One,\\Ntwo", "ass") == "One,\ntwo" and words(b"3 < 4 <b>and</b> 5 > 4", "subrip") == "3 < 4 and 5 > 4"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_line_that_start_or_end_meets_is_cut(tmp_path, generator, suffix):
    source = with_subtitles(tmp_path / "a.mkv")  # from 0.2 to 0.7 s
    for start, end, line in ((0.5, None, (0, 0.2)), (None, 0.5, (0.2, 0.5)), (0.3, 0.6, (0, 0.3))):
        upscale_video(source, tmp_path / f"b{suffix}", generator, start=start, end=end)
        with av.open(str(tmp_path / f"b{suffix}")) as film:
            lines = [(float(packet.pts * packet.time_base), float(packet.duration * packet.time_base)) for packet in film.demux(subtitles=0) if packet.size > 2]
        assert len(lines) == 1 and lines[0] == pytest.approx((line[0], line[1] - line[0]), abs=0.002)
