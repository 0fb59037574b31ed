"""Which files are videos, which stream is the video, how clocks run, fields and the display matrix."""

import os
from fractions import Fraction

import numpy as np
import pytest
from recordings import MATRICES, as_seen, av, nearly_identity, packets, pictures, probe, record, scene, turned

from srgan_lib.errors import ImageError
from srgan_lib.upscaling import upscale_video
from srgan_lib.upscaling.files import upscale_files
from srgan_lib.upscaling.frames import Frames, upright
from srgan_lib.upscaling.streams import is_cut_off, is_video, looks_like_video, open_film, pyav


@pytest.fixture(scope="module")
def generator():
    return nearly_identity()


CONTAINERS = {"phone.3gp": dict(codec="h263", size=(176, 144), format="3gp"), "camcorder.mts": dict(format="mpegts", sound=("ac3",), audio_rate=48000),
              "disc.m2ts": dict(format="mpegts", container={"mpegts_m2ts_mode": "1"}, sound=("ac3",), audio_rate=48000),
              "windows.asf": dict(codec="wmv2", format="asf", sound=("wmav2",), audio_rate=44100),
              "dvd.vob": dict(codec="mpeg2video", format="vob", rate=25, sound=("mp2",), audio_rate=48000),
              "broadcast.mxf": dict(codec="mpeg2video", format="mxf", rate=25, sound=("pcm_s16le",), audio_rate=48000),
              "free.ogv": dict(codec="libvpx", format="ogg", sound=("libopus",), audio_rate=48000), "raw.y4m": dict(codec="wrapped_avframe", format="yuv4mpegpipe", sound=()),
              "flash.flv": dict(codec="flv1", format="flv", sound=("libmp3lame",), audio_rate=44100)}


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_containers_by_content(tmp_path, generator, name):
    options = CONTAINERS[name]
    try:
        source = record(tmp_path / name, **options)
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV cannot write it: {error}")
    hidden = tmp_path / "without-a-suffix"
    hidden.write_bytes(source.read_bytes())
    assert is_video(source) and is_video(hidden)
    assert upscale_files([str(hidden)], str(tmp_path / "out") + os.sep, generator) == 0
    report = probe(next((tmp_path / "out").iterdir()))
    assert len(report["times"]) == len(pictures(source)) and report["size"] == tuple(2 * side for side in options.get("size", (64, 48)))
    assert len(report["sound"]) == len(options.get("sound", ("aac",)))


def test_what_is_no_video_is_none(tmp_path):
    texts = {"code.ts": "export const a = 1;\n" * 100, "notes.txt": "words\n" * 100, "list.m3u8": "#EXTM3U\n#EXTINF:1,\nother.ts\n", "empty.mod": "",
             "script.ffconcat": "ffconcat version 1.0\nfile other.mp4\n", "page.html": "<html></html>"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert not is_video(tmp_path / name) and not looks_like_video(tmp_path / name)
    assert not is_video(tmp_path / "missing") and not is_video(tmp_path)
    record(tmp_path / "other.mp4", frames=2)
    for name in ("list.m3u8", "script.ffconcat"):  # they name other files, which a stranger could choose
        with pytest.raises(ImageError):
            open_film(pyav(), tmp_path / name)


@pytest.mark.parametrize("suffix", [".ts", ".mts", ".mpg", ".mkv"])
@pytest.mark.parametrize("cut", [(None, None, 36), (1, 2, 12), (1, None, 24), (None, 2, 24)])
def test_clocks_that_do_not_begin_at_zero(tmp_path, generator, suffix, cut):
    begin, end, frames = cut
    options = {".mpg": dict(codec="mpeg2video", format="vob", rate=25, frames=75, sound=("mp2",), audio_rate=48000)}.get(suffix, dict(frames=36, sound=("mp2",), audio_rate=48000))
    if suffix == ".mpg":
        frames = {36: 75, 12: 25, 24: 50}[frames]
    source = record(tmp_path / f"a{suffix}", **options, container={"output_ts_offset": "3600"}, **({} if suffix == ".mpg" else {"options": {"g": "6"}}))
    with av.open(str(source)) as film:
        origin = film.start_time / 1e6
    assert origin > 3000
    upscale_video(source, tmp_path / "b.mp4", generator, start=begin, end=end)
    before, after = probe(source), probe(tmp_path / "b.mp4")
    assert abs(len(after["times"]) - frames) <= 1
    assert abs(after["seconds"] - ((end or 3) - (begin or 0))) < 0.13
    if not begin and not end:
        assert np.allclose(before["times"], after["times"], atol=0.002) and after["sound_bytes"] == before["sound_bytes"]
    seen = dict(pictures(source))
    first = min(time for time in seen if time >= origin + (begin or 0) - 1e-3)
    assert np.abs(pictures(tmp_path / "b.mp4")[0][1][::2, ::2].astype(float) - seen[first]).mean() < 6


@pytest.mark.parametrize("offset", [0.5, 1.0])
def test_sound_keeps_its_distance(tmp_path, generator, offset):
    def distance(path):
        with av.open(str(path)) as film:
            frames = [frame.time for frame in film.decode(video=0)]
        with av.open(str(path)) as film:
            return next(film.decode(audio=0)).time - frames[0]
    source = record(tmp_path / "a.ts", sound=("mp2",), audio_rate=48000, sound_at=offset, container={"output_ts_offset": "100"})
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert abs(distance(tmp_path / "b.mp4") - distance(source)) < 0.002


def test_two_recordings_in_one_stream_follow_each_other(tmp_path, generator):
    one = record(tmp_path / "one.ts", frames=24, sound=("mp2",), audio_rate=48000)
    (tmp_path / "two.ts").write_bytes(one.read_bytes() * 2)
    upscale_video(tmp_path / "two.ts", tmp_path / "b.mp4", generator)
    times = probe(tmp_path / "b.mp4")["times"]
    assert len(times) > 40 and np.diff(times).max() < 0.2 and np.diff(times).min() > 0.04


@pytest.mark.parametrize("fields", ["tff", "bff"])
def test_fields_are_taken_apart_and_it_is_said(tmp_path, generator, fields, capsys):
    params = {"tff": "interlaced=1:tff=1", "bff": "interlaced=1:bff=1"}[fields]
    source = record(tmp_path / "a.mp4", rate=25, frames=8, fields=fields, options={"x264-params": params, "crf": "1", "flags": "+ilme+ildct"})
    assert probe(source)["fields"] == 8
    upscale_video(source, tmp_path / "b.mp4", generator)
    before, after = probe(source), probe(tmp_path / "b.mp4")
    assert "interlaced" in capsys.readouterr().out
    assert after["fields"] == 0 and after["times"] == before["times"]  # the last frame too
    whole = pictures(tmp_path / "b.mp4")

    def combs(picture):  # rows that differ from both neighbours alike
        grey = picture.astype(float).mean(2)
        return np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean()
    woven = pictures(source)
    assert np.mean([combs(picture[::2, ::2]) for _, picture in whole[1:-1]]) < 0.5 * np.mean([combs(picture) for _, picture in woven[1:-1]])


def test_progressive_frames_pass_untouched(tmp_path, generator, capsys):
    source = record(tmp_path / "a.mp4", frames=3)
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert "interlaced" not in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(MATRICES))
def test_the_whole_display_matrix(tmp_path, generator, name):
    # ISO 14496-12, 6.2.2: x' = a x + c y, y' = b x + d y
    plain = record(tmp_path / "plain.mp4", frames=2, options={"crf": "1"})
    source = turned(plain, tmp_path / "a.mp4", name)
    upscale_video(source, tmp_path / "b.mp4", generator)
    want, report = as_seen(pictures(plain)[0][1], name), probe(tmp_path / "b.mp4")
    assert report["size"] == (2 * want.shape[1], 2 * want.shape[0]) and report["rotation"] == 0
    assert np.abs(pictures(tmp_path / "b.mp4")[0][1][::2, ::2].astype(float) - want).mean() < 5


@pytest.mark.parametrize("name", sorted(MATRICES))
def test_upright_is_what_the_standard_says(name):
    picture = scene(0, (10, 6))
    a, b, c, d = (value << 16 for value in MATRICES[name])
    assert np.array_equal(upright(picture, (a, b, 0, c, d, 0, 0, 0, 1 << 30)), as_seen(picture, name))
    assert np.array_equal(upright(picture, None), picture)


def test_turned_pixels_turn_their_aspect(tmp_path, generator):
    def wide(out, video, tracks):
        video.codec_context.sample_aspect_ratio = Fraction(64, 45)
    plain = record(tmp_path / "plain.mp4", frames=2, setup=wide)
    upscale_video(plain, tmp_path / "b.mp4", generator)
    assert probe(tmp_path / "b.mp4")["aspect"] == Fraction(64, 45)
    upscale_video(turned(plain, tmp_path / "a.mp4", "90"), tmp_path / "c.mp4", generator)
    assert probe(tmp_path / "c.mp4")["aspect"] == Fraction(45, 64)


def with_thumbnail(source, target, first: bool, attached: bool):
    """The video and a still image of 80 x 80 before or behind it."""
    import io

    from PIL import Image
    cover = io.BytesIO()
    Image.fromarray(scene(0, (80, 80))).save(cover, "JPEG")
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        def still():
            stream = out.add_stream("mjpeg", rate=1)
            stream.width, stream.height, stream.pix_fmt = 80, 80, "yuvj420p"
            if attached:
                stream.disposition = av.stream.Disposition.attached_pic
            return stream
        stream = still() if first else None
        copies = {one: out.add_stream_from_template(one) for one in film.streams if one.type in ("video", "audio")}
        stream = stream or still()
        out.start_encoding()
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base, packet.is_keyframe = stream, 0, 0, Fraction(1, 1), True
        out.mux(packet)
        for packet in film.demux(list(copies)):
            if packet.dts is not None:
                packet.stream = copies[packet.stream]
                out.mux(packet)
    return target


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cover_is_no_film_and_stays_a_cover(tmp_path, generator, first, suffix):
    source = with_thumbnail(record(tmp_path / "a.mp4"), tmp_path / "b.mp4", first, attached=True)
    upscale_video(source, tmp_path / f"c{suffix}", generator)
    report = probe(tmp_path / f"c{suffix}")
    assert len(report["times"]) == 12 and report["size"] == (128, 96) and report["covers"] == 1


def test_a_cover_that_mov_does_not_store_is_named(tmp_path, generator, capsys):
    source = with_thumbnail(record(tmp_path / "a.mp4", frames=2), tmp_path / "b.mp4", False, attached=True)
    upscale_video(source, tmp_path / "c.mov", generator)
    assert "a cover in mjpeg does not fit this container and is left out" in capsys.readouterr().out and probe(tmp_path / "c.mov")["covers"] == 0


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_thumbnail_that_does_not_call_itself_one(tmp_path, generator, first, suffix, capsys):
    source = with_thumbnail(record(tmp_path / "a.mp4"), tmp_path / f"b{suffix}", first, attached=False)
    capsys.readouterr()
    upscale_video(source, tmp_path / "c.mp4", generator)
    report = probe(tmp_path / "c.mp4")
    assert len(report["times"]) == 12 and report["size"] == (128, 96)
    assert "another video stream" in capsys.readouterr().out


def test_a_sound_file_with_a_cover_is_no_video(tmp_path, generator):
    source = with_thumbnail(record(tmp_path / "a.mp4"), tmp_path / "b.mp4", True, attached=True)
    with av.open(str(source)) as film, av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as out:
        streams = {one: out.add_stream_from_template(one) for one in film.streams if one.type == "audio" or int(one.disposition) & 1024}
        for old, new in streams.items():
            new.disposition = old.disposition
        out.start_encoding()
        for packet in film.demux(list(streams)):
            if packet.size:
                packet.pts, packet.dts = (0, 0) if packet.dts is None else (packet.pts, packet.dts)
                packet.stream = streams[packet.stream]
                out.mux(packet)
    with pytest.raises(ImageError, match="no video stream"):
        upscale_video(tmp_path / "song.m4a", tmp_path / "c.mp4", generator)


def test_a_cut_off_matroska_file_is_seen(tmp_path):
    source = record(tmp_path / "a.mkv", frames=5)
    assert not is_cut_off(source)
    (tmp_path / "b.mkv").write_bytes(source.read_bytes()[:-100])
    assert is_cut_off(tmp_path / "b.mkv")


def test_frames_before_a_place_that_seeking_misses(tmp_path):
    source = record(tmp_path / "a.mkv", frames=40, options={"g": "40"}, sound=())
    times = [round(time, 2) for _, time in Frames(pyav(), source, Fraction(0)).since(2.5)]
    assert times[0] <= 2.5 and times[-1] == 3.25
    assert packets(record(tmp_path / "b.mkv", frames=4))


@pytest.mark.parametrize("share", [0.45, 0.75])
def test_an_mp4_that_breaks_off_behind_its_index_is_called_damaged(tmp_path, generator, share, capsys):
    # the index at the beginning (FFmpeg's faststart) promises 3 s; FFmpeg 8.1 reads what is there and says nothing
    whole = record(tmp_path / "a.mp4", frames=36, container={"movflags": "faststart"}, sound=("aac",))
    data = whole.read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[:int(len(data) * share)])
    assert is_cut_off(tmp_path / "b.mp4") and not is_cut_off(whole)
    for suffix in (".mp4", ".mkv"):
        capsys.readouterr()
        upscale_video(tmp_path / "b.mp4", tmp_path / f"c{suffix}", generator)
        frames = pictures(tmp_path / f"c{suffix}")
        assert f"b.mp4 is damaged; the {len(frames)} frames" in capsys.readouterr().out and len(frames) < 36
        with av.open(str(tmp_path / f"c{suffix}")) as film:
            last = [frame for frame in film.decode(video=0)][-1]
        assert last.duration * last.time_base < 0.2  # it is not frozen up to the promised end


def test_boxes_that_end_with_the_file_are_whole(tmp_path):
    # ISO 14496-12, 4.2: a size of 0 goes up to the end of the file, a size of 1 stands behind the kind
    box = b"\0\0\0\x08free"
    for name, data, cut in (("zero", box + b"\0\0\0\0mdat....", False), ("long", box + b"\0\0\0\1mdat" + (24).to_bytes(8, "big") + b"........", False),
                            ("cut", box + b"\0\0\1\0mdat", True), ("rubbish", box + b"no boxes any more", False)):
        (tmp_path / name).write_bytes(data)
        assert is_cut_off(tmp_path / name) == cut


def test_what_a_file_holds_counts_more_than_its_name(tmp_path, generator, capsys):
    from PIL import Image
    record(tmp_path / "a.mp4", frames=2)
    for name in ("video.jpg", "video.avi", "video.png"):
        (tmp_path / name).write_bytes((tmp_path / "a.mp4").read_bytes())
        assert is_video(tmp_path / name)
    Image.fromarray(scene(0)).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.mp4")
    assert not is_video(tmp_path / "photo.mp4")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert is_video(tmp_path / "pipe.mp4")  # by its name: it would wait for ever for somebody who writes
    assert upscale_files([str(tmp_path / "photo.mp4"), str(tmp_path / "video.jpg")], str(tmp_path / "out"), generator) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["photo-x2.png", "video-x2.mp4"]


def test_a_change_of_size_is_said(tmp_path, generator, capsys):
    raw = dict(format="h264", options={"x264-params": "annexb=1:repeat-headers=1"}, sound=(), frames=4)
    parts = [record(tmp_path / f"{size[0]}.h264", size=size, **raw).read_bytes() for size in ((64, 48), (96, 64))]
    (tmp_path / "a.h264").write_bytes(b"".join(parts))
    assert upscale_video(tmp_path / "a.h264", tmp_path / "b.mp4", generator) == (128, 96)
    assert "its frames change from 64 x 48 to 96 x 64; all become 128 x 96" in capsys.readouterr().out
    assert len(probe(tmp_path / "b.mp4")["times"]) == 8


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_below_zero_are_those_that_ffmpeg_shows(tmp_path, generator, suffix):
    # FFmpeg 8.1 stores times below zero in .mp4 and hides them by an edit list (ISO 14496-12, 8.6.6): 7 of 10 are decoded
    source = record(tmp_path / "a.mp4", frames=10, stamps=[100 * number - 300 for number in range(10)], options={"bf": "0"}, sound=())
    before = probe(source)
    upscale_video(source, tmp_path / f"b{suffix}", generator)
    after = probe(tmp_path / f"b{suffix}")
    assert len(after["times"]) == len(before["times"]) and np.allclose(after["times"], before["times"], atol=0.002)
