"""Videos: time stamps, sound, rotation, colour, and what is left when something breaks."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recordings import nearly_identity, record

from srgan_lib.errors import ImageError
from srgan_lib.models import SRResNet
from srgan_lib.upscaling import upscale_video
from srgan_lib.upscaling.sheets import comparison_sheet

av = pytest.importorskip("av")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator():
    """x2, nearly the identity: colours survive, so that they can be compared."""
    return nearly_identity()


def film(path, frames=10, size=(32, 24), rate=10, sound="aac", stamps=None, full=False, codec="libx264"):
    """Write a synthetic film: a moving ramp, and a sine of the same length."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=rate, options={"crf": "1", "g": "5"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        video.codec_context.color_range = 2 if full else 1
        audio = out.add_stream(sound, rate=16000, layout="mono") if sound else None
        for number in range(frames):
            ramp = (np.add.outer(np.arange(size[1]) * 5, np.arange(size[0]) * 3) + 4 * number).clip(0, 255).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(np.repeat(ramp[..., None], 3, 2), format="rgb24")
            picture = picture.reformat(format="yuv420p", src_color_range="JPEG", dst_color_range="JPEG" if full else "MPEG")
            picture.pts = stamps[number] if stamps else number * 1000 // rate
            picture.time_base = Fraction(1, 1000)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        for block in range(16000 * frames // rate // 1024 if audio else 0):
            wave = np.sin(np.arange(block * 1024, (block + 1) * 1024) / 20).astype(np.float32)[None] / 2
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 16000, block * 1024, Fraction(1, 16000)
            out.mux(audio.encode(tone))
        out.mux(audio.encode(None)) if audio else None
    return path


def pictures(path):
    with av.open(str(path)) as container:
        return [(round(frame.time, 4), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_time_stamps_size_and_sound(tmp_path, generator, capsys):
    source, target = film(tmp_path / "a.mp4"), tmp_path / "out" / "a-x2.mp4"
    capsys.readouterr()
    assert upscale_video(source, target, generator) == (64, 48)
    before, after = pictures(source), pictures(target)
    assert [t for t, _ in after] == [t for t, _ in before] and after[0][1].shape == (48, 64, 3)
    assert packets(target) == packets(source) and len(packets(source)) > 5
    with av.open(str(source)) as a, av.open(str(target)) as b:
        assert abs(a.duration - b.duration) <= 100_000  # a frame
    assert os.listdir(target.parent) == ["a-x2.mp4"] and capsys.readouterr().out == ""


def test_variable_frame_rate(tmp_path, generator):
    stamps = [0, 40, 200, 210, 500, 900]
    source = film(tmp_path / "a.mkv", frames=6, stamps=stamps, sound=None)
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert [round(1000 * t) for t, _ in pictures(tmp_path / "b.mp4")] == stamps


@pytest.mark.parametrize("full", [False, True])
def test_colours_and_range_are_kept(tmp_path, generator, full):
    source = film(tmp_path / "a.mp4", frames=2, full=full)
    upscale_video(source, tmp_path / "b.mp4", generator)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.color_range == (2 if full else 1)
    before, after = pictures(source)[0][1], pictures(tmp_path / "b.mp4")[0][1]
    assert np.abs(before.astype(float) - after[::2, ::2]).mean() < 4


def test_rotation_is_applied(tmp_path, generator):
    source = film(tmp_path / "a.mp4", frames=2, sound=None)
    data = bytearray(source.read_bytes())
    place = data.index(b"tkhd") + 44  # version 0: the display matrix
    turned = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    data[place:place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    source.write_bytes(data)
    with av.open(str(source)) as container:
        rotation = next(container.decode(video=0)).rotation
    assert abs(rotation) == 90
    assert upscale_video(source, tmp_path / "b.mp4", generator) == (48, 64)
    before, after = pictures(source)[0][1], pictures(tmp_path / "b.mp4")[0][1]
    upright = np.rot90(before, -1)  # this matrix asks for a quarter turn clockwise
    assert np.abs(upright.astype(float) - after[::2, ::2]).mean() < 4


def test_start_and_end(tmp_path, generator):
    source = film(tmp_path / "a.mp4", frames=20)
    upscale_video(source, tmp_path / "b.mp4", generator, start=0.7, end=1.3)
    before, after = dict(pictures(source)), pictures(tmp_path / "b.mp4")
    assert [t for t, _ in after] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert np.abs(before[0.7].astype(float) - after[0][1][::2, ::2]).mean() < 4
    assert 0 < len(packets(tmp_path / "b.mp4")) < len(packets(source))
    with pytest.raises(ImageError, match="no picture"):
        upscale_video(source, tmp_path / "c.mp4", generator, start=99)
    assert not (tmp_path / "c.mp4").exists()


def test_sound_that_the_container_cannot_hold(tmp_path, generator, capsys):
    source = film(tmp_path / "a.mkv", sound="pcm_u8")
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert "re-encoded as AAC" in capsys.readouterr().out and packets(tmp_path / "b.mp4")


def test_odd_sizes_become_even(tmp_path):
    source = film(tmp_path / "a.mkv", size=(34, 22), frames=2, sound=None)
    assert upscale_video(source, tmp_path / "b.mp4", SRResNet(scale=3, blocks=1, channels=4)) == (102, 66)
    from srgan_lib.upscaling.video import even
    assert even(np.zeros((5, 7, 3), np.uint8)).shape == (6, 8, 3)


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_broken_stream_keeps_what_could_be_read(tmp_path, generator, share, capsys):
    source = film(tmp_path / "a.mkv", frames=30)
    data = source.read_bytes()
    source.write_bytes(data[:int(len(data) * share)])
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert 0 < len(pictures(tmp_path / "b.mp4")) < 30
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize("codec, suffix", [("libx264", ".mp4"), ("libx264", ".mkv"), ("libx264", ".flv"), ("mpeg4", ".avi"), ("libvpx-vp9", ".webm")])
@pytest.mark.parametrize("result", [".mp4", ".mkv"])
def test_a_slow_video_whose_frames_were_all_read_is_not_called_damaged(tmp_path, generator, codec, suffix, result, capsys):
    """One frame a second, and one in five: the frame that is decoded last is not the one that is shown last (FFmpeg's AVPacket: dts and pts)."""
    for rate in (Fraction(1), Fraction(1, 5)):
        source = tmp_path / f"a{suffix}"
        record(source, codec, frames=9, rate=rate, sound=())
        upscale_video(source, tmp_path / f"b{result}", generator)
        assert len(pictures(tmp_path / f"b{result}")) == 9 and "damaged" not in capsys.readouterr().out


def test_a_slow_video_that_is_cut_off_is_called_damaged(tmp_path, generator, capsys):
    source = record(tmp_path / "a.mkv", frames=9, rate=1, sound=(), options={"bf": "0", "g": "1"})
    data = source.read_bytes()
    source.write_bytes(data[:len(data) * 2 // 3])
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert "damaged" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_video_written_through_a_link_keeps_the_link(tmp_path, generator):
    source = film(tmp_path / "a.mp4", frames=2, sound=None)
    (tmp_path / "there").mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "there" / "b.mp4")
    for _ in range(2):  # the second time there is a file behind it
        upscale_video(source, tmp_path / "link.mp4", generator)
        assert (tmp_path / "link.mp4").is_symlink() and len(pictures(tmp_path / "there" / "b.mp4")) == 2


def test_damaged_middle_is_survived(tmp_path, generator):
    source = film(tmp_path / "a.mkv", frames=30)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle:middle + 300] = os.urandom(1) * 300
    source.write_bytes(data)
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert len(pictures(tmp_path / "b.mp4")) > 10


def test_bad_inputs_are_sentences(tmp_path, generator):
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "file").write_text("")
    film(tmp_path / "a.mp4", frames=2)
    cases = [("text.mp4", "b.mp4"), ("missing.mp4", "b.mp4"), ("a.mp4", "b.xyz"), ("a.mp4", "file/b.mp4"), ("a.mp4", "a.mp4")]
    for source, target in ((tmp_path / source, target) for source, target in cases):
        with pytest.raises((ImageError, OSError)):
            upscale_video(source, tmp_path / target, generator)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "file", "text.mp4"]


def test_missing_pyav_is_a_sentence(tmp_path, generator, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImageError, match="pip install av"):
        upscale_video(tmp_path / "a.mp4", tmp_path / "b.mp4", generator)


def test_too_old_a_pyav_is_a_sentence(tmp_path, generator, monkeypatch):
    monkeypatch.setattr("av.__version__", "17.0.1")
    with pytest.raises(ImageError, match="videos need PyAV 17.1 or newer, and this is 17.0.1"):
        upscale_video(tmp_path / "a.mp4", tmp_path / "b.mp4", generator)


def test_killed_half_way_leaves_nothing_under_the_name(tmp_path, generator):
    source = film(tmp_path / "a.mkv", frames=100, sound=None)
    generator.save_pretrained(tmp_path / "net")
    code = f"from srgan_lib.upscaling import upscale_video; upscale_video({str(source)!r}, {str(tmp_path / 'b.mp4')!r}, {str(tmp_path / 'net')!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=os.getcwd(), env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    part = tmp_path / ".b.mp4.part"
    while process.poll() is None and not part.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "b.mp4").exists() and part.exists()
    upscale_video(source, tmp_path / "b.mp4", generator)  # the next run replaces what was left
    assert len(pictures(tmp_path / "b.mp4")) == 100 and not part.exists()


def test_comparison_sheet(tmp_path, generator):
    source = film(tmp_path / "a.mp4")
    upscale_video(source, tmp_path / "b.mp4", generator)
    comparison_sheet(source, tmp_path / "b.mp4", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (128, 144)


@pytest.mark.slow
def test_ten_seconds_of_film_and_a_kill(tmp_path, subprocess_environment):
    """`python tests/runs/films.py` on 320 x 180 with sound: length, sound, memory at two lengths."""
    out = tmp_path / "films.json"
    subprocess.run([sys.executable, "tests/runs/films.py", "--json", out], check=True, cwd=ROOT, env=subprocess_environment)
    report = json.loads(out.read_text())
    for film in report["films"]:
        (before, after), (small, large) = film["duration"], film["size"]
        assert abs(before - after) < 1 / report["rate"] and film["frames"][0] == film["frames"][1] and film["same_sound_bytes"]
        assert small == [320, 180] and large == [1280, 720]
    short, long = (film["peak_mb"] for film in report["films"])
    assert long < 1.15 * short  # four times the length
    assert not report["killed"]["under_the_name_after_the_kill"] and not report["killed"]["left_over"]
