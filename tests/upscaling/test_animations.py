"""Animated GIF, WebP and APNG: frames, durations, loops and transparency, and the way into a video."""

import numpy as np
import pytest
from PIL import Image
from recordings import nearly_identity, probe, scene

from srgan_lib.upscaling.animations import hundredths, is_animation, upscale_animation
from srgan_lib.upscaling.files import upscale_files
from srgan_lib.upscaling.pictures import Upscaler

DURATIONS = [100, 40, 250, 70]


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(nearly_identity())


def animation(path, clear=False, durations=DURATIONS, **options):
    frames = []
    for number in range(len(durations)):
        image = Image.fromarray(scene(3 * number, (48, 32)))
        if clear:
            image.putalpha(Image.fromarray(np.where(np.hypot(*np.mgrid[-16:16, -24:24]) < 12 + number, 255, 0).astype(np.uint8)))
        frames.append(image)
    extra = {".webp": {"lossless": True}, ".gif": {"disposal": 2}}.get(path.suffix, {})
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, **extra | options)
    return path


def read(path):
    with Image.open(path) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            frames.append((round(image.info.get("duration", 0)), np.array(image.convert("RGBA")).astype(int)))
        return frames, image.info.get("loop")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("clear", [False, True])
def test_frames_durations_and_loop(tmp_path, upscaler, suffix, clear):
    source, target = animation(tmp_path / f"a{suffix}", clear), tmp_path / f"b{suffix}"
    assert upscale_animation(source, target, upscaler, 100) == (96, 64)
    (before, loop), (after, again) = read(source), read(target)
    assert [duration for duration, _ in after] == [duration for duration, _ in before] and loop == again == 0
    for (_, a), (_, b) in zip(before, after):
        small = b[::2, ::2]
        seen = (a[..., 3] > 200) & (small[..., 3] > 200)
        assert np.abs(a - small)[seen][:, :3].mean() < 4 and np.abs(a[..., 3] - small[..., 3]).mean() < 12


def test_gif_counts_in_hundredths(tmp_path, upscaler):
    # GIF89a, 23, c, vii: the delay is in hundredths of a second
    source = animation(tmp_path / "a.gif", durations=[30, 70, 1230, 20])
    upscale_animation(source, tmp_path / "b.gif", upscaler)
    assert [duration for duration, _ in read(tmp_path / "b.gif")[0]] == [30, 70, 1230, 20]


def test_the_still_image_of_an_apng(tmp_path, upscaler, capsys):
    # PNG (third edition), 11.3.6.2: without an fcTL before IDAT the image is no part of the animation
    still = Image.new("RGB", (48, 32), (255, 0, 0))
    others = [Image.fromarray(scene(3 * number, (48, 32))) for number in range(3)]
    still.save(tmp_path / "a.png", save_all=True, default_image=True, append_images=others, duration=[90, 60, 30], loop=0)
    upscale_animation(tmp_path / "a.png", tmp_path / "b.png", upscaler)
    (before, _), (after, _) = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert [duration for duration, _ in before[1:]] == [duration for duration, _ in after[1:]] == [90, 60, 30]
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["default_image"] and np.abs(np.array(image.convert("RGB")).astype(int) - (255, 0, 0)).max() < 3
    upscale_animation(tmp_path / "a.png", tmp_path / "b.webp", upscaler)
    assert len(read(tmp_path / "b.webp")[0]) == 3 and "still image" in capsys.readouterr().out


def test_a_folder_keeps_them_moving(tmp_path, upscaler):
    (tmp_path / "in").mkdir()
    for suffix in (".gif", ".webp", ".png"):
        animation(tmp_path / "in" / f"a{suffix[1:]}{suffix}")
    Image.fromarray(scene(0)).save(tmp_path / "in" / "still.gif")
    assert upscale_files([str(tmp_path / "in")], str(tmp_path / "out"), nearly_identity()) == 0
    assert {path.name: is_animation(path) for path in (tmp_path / "out").glob("[!.]*")} == {
        "agif-x2.gif": True, "awebp-x2.webp": True, "apng-x2.png": True, "still-x2.png": False}


def test_into_a_video(tmp_path):
    animation(tmp_path / "a.gif")
    assert upscale_files([str(tmp_path / "a.gif")], str(tmp_path / "b.mp4"), nearly_identity()) == 0
    report = probe(tmp_path / "b.mp4")
    assert report["times"] == [0, 0.1, 0.14, 0.39] and report["seconds"] == pytest.approx(0.46, abs=0.011)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_what_ffmpeg_does_not_read_as_an_animation_becomes_a_video_too(tmp_path, suffix, capsys):
    animation(tmp_path / f"a{suffix}", clear=suffix == ".webp")
    assert upscale_files([str(tmp_path / f"a{suffix}")], str(tmp_path / "b.mp4"), nearly_identity()) == 0
    report = probe(tmp_path / "b.mp4")
    assert report["times"] == [0, 0.1, 0.14, 0.39] and report["seconds"] == pytest.approx(0.46, abs=0.011)
    assert (f"{tmp_path / 'a.webp'} has transparency" in capsys.readouterr().out) == (suffix == ".webp")


def test_avif_stays_moving(tmp_path, upscaler):
    source, target = animation(tmp_path / "a.avif"), tmp_path / "b.avif"
    assert upscale_animation(source, target, upscaler) == (96, 64)
    (before, _), (after, _) = read(source), read(target)
    assert [duration for duration, _ in after] == [duration for duration, _ in before]
    assert all(np.abs(a - b[::2, ::2])[..., :3].mean() < 6 for (_, a), (_, b) in zip(before, after))


def test_metadata_of_an_animation_is_kept_said_or_stripped(tmp_path, capsys):
    exif, frames = Image.Exif(), [Image.fromarray(scene(3 * number, (48, 32))) for number in range(2)]
    exif[0x8298] = "(c) somebody"
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=90, exif=exif.tobytes(), xmp=b"<x:xmpmeta/>")
    for target, strip, words in (("b.webp", False, ""), ("c.webp", True, ""), ("d.gif", False, "XMP, EXIF of the animation are left out"), ("e.gif", True, "")):
        assert upscale_files([str(tmp_path / "a.webp")], str(tmp_path / target), nearly_identity(), strip=strip) == 0
        assert words in (said := capsys.readouterr().out) and ("left out" in said) == bool(words)
        with Image.open(tmp_path / target) as image:
            assert (image.getexif().get(0x8298) == "(c) somebody") == ("xmp" in image.info) == (target == "b.webp") and image.n_frames == 2


def test_broken_animations_are_a_sentence(tmp_path, capsys):
    for suffix in (".gif", ".webp", ".png"):
        source = animation(tmp_path / f"a{suffix}")
        data = source.read_bytes()
        source.write_bytes(data[:len(data) * 2 // 3])
        upscale_files([str(source)], str(tmp_path / f"b{suffix}"), nearly_identity())
        assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path, upscaler):
    # Pillow 13.0 loses the palette of an animated PNG once it goes back to an earlier frame, and every colour becomes black
    ramp = np.linspace(40, 220, 48)[None].repeat(32, 0)
    first = Image.fromarray(np.stack([ramp, ramp[:, ::-1], np.linspace(0, 200, 32)[:, None].repeat(48, 1), np.full_like(ramp, 250)], -1).astype(np.uint8)).quantize(64)
    frames = [first, first.transpose(Image.Transpose.FLIP_TOP_BOTTOM), first.transpose(Image.Transpose.ROTATE_180)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=80, loop=0)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P" and "transparency" in image.info
        want = [(image.seek(number), np.array(image.convert("RGBA")).astype(int))[1] for number in range(3)]
    for suffix in (".png", ".webp", ".gif"):
        upscale_animation(tmp_path / "a.png", tmp_path / f"b{suffix}", upscaler, 100)
        for before, (_, after) in zip(want, read(tmp_path / f"b{suffix}")[0]):
            assert np.abs(before - after[::2, ::2])[..., :3].mean() < 4


def test_gif_rounds_durations_so_that_their_sum_stays(tmp_path, upscaler, capsys):
    # GIF89a, 23, c, vii: hundredths of a second; each frame ends at the hundredth nearest to its own end
    assert hundredths([33, 17, 33, 34, 1, 66]) == [30, 20, 30, 40, 10, 50] and hundredths([40, 0, 250]) == [40, 0, 250]
    assert sum(hundredths([33.4] * 30)) == 1000
    upscale_animation(animation(tmp_path / "a.webp", durations=[33, 33, 34]), tmp_path / "b.gif", upscaler)
    assert [duration for duration, _ in read(tmp_path / "b.gif")[0]] == [30, 40, 30] and "hundredths" in capsys.readouterr().out


def test_what_plays_once_plays_once(tmp_path, upscaler):
    # a GIF without Netscape's block plays once; WebP (ANIM) and PNG (acTL) say 1 for that, and 0 for ever
    frames = [Image.fromarray(scene(3 * number, (48, 32))) for number in range(2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=90)
    for suffix, loop in ((".gif", None), (".webp", 1), (".png", 1)):
        upscale_animation(tmp_path / "a.gif", tmp_path / f"b{suffix}", upscaler)
        assert read(tmp_path / f"b{suffix}")[1] == loop
    upscale_animation(tmp_path / "b.webp", tmp_path / "c.gif", upscaler)
    assert read(tmp_path / "c.gif")[1] is None


def test_greys_of_16_bits_do_not_become_white(tmp_path, upscaler, capsys):
    # Pillow 13.0 clips I;16 at 255 on the way to RGBA
    ramp = np.linspace(0, 65535, 48).astype(np.uint16)[None].repeat(32, 0)
    frames = [Image.fromarray(ramp), Image.fromarray(ramp[:, ::-1].copy())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=80)
    upscale_animation(tmp_path / "a.png", tmp_path / "b.png", upscaler)
    assert "16 bits a channel; the frames of the result have 8" in capsys.readouterr().out
    for frame, (_, after) in zip((ramp, ramp[:, ::-1]), read(tmp_path / "b.png")[0]):
        assert np.abs(after[::2, ::2, :3] - frame[..., None] / 257).max() < 3 and (after[..., 3] == 255).all()
