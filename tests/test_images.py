"""Pixels: the degradation against MATLAB's, reading whatever people have, and writing all or nothing."""

import errno
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from samples import photograph
from PIL import Image
from skimage.color import rgb2ycbcr

from srgan_lib import images, locks
from srgan_lib.errors import CourseError, ImageError
from srgan_lib.images import (atomic_write, check_place, crop_to_multiple, degrade, eight_bit, luma, mirror, open_picture, read_image, resize_bicubic, to_image,
                              to_tensor, write_image)

# ---------------------------------------------------------------- MATLAB's imresize


def keys_cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def imresize_axis(levels: np.ndarray, scale: float) -> np.ndarray:
    """Rows of grey levels resized as MATLAB's imresize does for uint8: float64, pixel by pixel, rounded half up."""
    size, shrink = levels.shape[0], min(scale, 1)
    out = np.empty((round(size * scale), *levels.shape[1:]))
    for i in range(len(out)):
        centre = (i + 0.5) / scale - 0.5
        taps = np.arange(np.floor(centre - 2 / shrink), np.ceil(centre + 2 / shrink) + 1)
        weights = keys_cubic((centre - taps) * shrink)
        weights /= weights.sum()
        mirrored = np.pad(np.arange(size), 4 * size, mode="symmetric")[taps.astype(int) + 4 * size]
        out[i] = np.tensordot(weights, levels[mirrored], 1)
    return np.floor(out.clip(0, 255) + 0.5)


def imresize(picture: np.ndarray, scale: float) -> np.ndarray:
    rows = imresize_axis(picture.astype(np.float64), scale)
    return imresize_axis(rows.swapaxes(0, 1), scale).swapaxes(0, 1).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_degrade_is_matlabs_imresize(scale, seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(scale * 3, 60, 2)
    picture = [photograph(height, width, seed), random.integers(0, 256, (height, width, 3), np.uint8)][seed % 2]
    cropped = picture[:height // scale * scale, :width // scale * scale]
    assert np.array_equal(to_image(degrade(to_tensor(picture), scale)), imresize(cropped, 1 / scale))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlarging_is_matlabs_imresize(scale):
    for seed, (height, width) in enumerate([(5, 7), (1, 1), (17, 12)]):
        picture = photograph(height, width, seed)
        assert np.array_equal(to_image(resize_bicubic(to_tensor(picture), scale)), imresize(picture, scale))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_degrade_matches_the_published_lr_files(dev_data, scale):
    folder = dev_data / "benchmarks" / "Set5"
    for path in sorted((folder / "HR").glob("*.png")):
        published = read_image(folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png")
        ours = to_image(degrade(to_tensor(read_image(path)), scale))
        assert np.count_nonzero(ours != published) == 0, path.name


def test_degrade_keeps_constants_and_crops_what_does_not_divide():
    for level in (0, 1, 127, 128, 255):
        picture = torch.full((1, 3, 14, 19), level / 255)
        assert torch.equal(degrade(picture, 4), torch.full((1, 3, 3, 4), level / 255))


def test_pictures_of_a_batch_do_not_touch():
    batch = torch.cat([to_tensor(photograph(24, 24, seed)) for seed in range(3)])
    assert torch.equal(degrade(batch, 4), torch.cat([degrade(one[None], 4) for one in batch]))


def test_resize_refuses_what_it_cannot_do_exactly():
    picture = torch.zeros(1, 3, 12, 12)
    for scale in (1.5, 0.3, 2 / 3):
        with pytest.raises(ValueError, match="whole number"):
            resize_bicubic(picture, scale)
    with pytest.raises(ValueError, match="do not divide by 5"):
        resize_bicubic(picture, 1 / 5)


def test_mirror_repeats_the_border_pixel():
    for size in (1, 2, 5):
        assert np.array_equal(mirror(-9, size + 9, size), np.pad(np.arange(size), 9, mode="symmetric"))


# ---------------------------------------------------------------- levels


def test_luma_is_studio_range_bt601():
    picture = photograph(20, 30)
    assert np.allclose(luma(to_tensor(picture))[0, 0].numpy(), rgb2ycbcr(picture)[..., 0], atol=1e-4)
    black_and_white = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert torch.allclose(luma(black_and_white).flatten(), torch.tensor([16.0, 235.0]))


def test_rounding_is_half_up_never_truncation_and_never_to_even():
    levels = torch.arange(255, dtype=torch.float64) + 0.5
    values = levels / 255
    exact = values * 255 == levels
    assert exact.sum() > 100 and (levels[exact].long() % 2 == 0).any()  # half to even would send these down
    rounded = to_image(values[exact].view(1, 1, 1, -1).expand(1, 3, 1, -1))[0, :, 0]
    assert np.array_equal(rounded, (levels[exact] + 0.5).numpy())
    assert np.array_equal(rounded / 255, eight_bit(values[exact]))
    assert to_image(torch.tensor([-0.5, 0.99, 1.7]).view(3, 1, 1)).tolist() == [[[0, 252, 255]]]


def test_every_level_survives_the_round_trip():
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_image(to_tensor(picture)), picture)
    assert to_tensor(picture).shape == (1, 3, 16, 16) and to_tensor(picture).dtype == torch.float32
    assert crop_to_multiple(to_tensor(picture), 5).shape == (1, 3, 15, 15)


# ---------------------------------------------------------------- reading


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


COLOURS = Image.fromarray(photograph(23, 17))


@pytest.mark.parametrize("mode, format", [("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("P", "GIF"),
                                          ("CMYK", "TIFF"), ("LAB", "TIFF"), ("F", "TIFF"), ("I;16", "PNG"), ("I;16", "TIFF"), ("RGB", "BMP"),
                                          ("RGB", "WEBP"), ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PPM")])
def test_every_mode_is_read_as_rgb(mode, format):
    if mode == "I;16":
        source = Image.fromarray(np.asarray(COLOURS.convert("L")).astype(np.uint16) * 257)
    elif mode == "LAB":
        from PIL import ImageCms
        source = ImageCms.profileToProfile(COLOURS, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    else:
        source = COLOURS.convert(mode)
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    picture = open_picture(encoded(source, format, **options))
    wanted = COLOURS.convert("L") if mode in ("L", "LA", "F", "I;16") else COLOURS if mode == "LAB" else source
    error = np.abs(picture.rgb.astype(int) - np.asarray(wanted.convert("RGB")).astype(int))
    assert picture.rgb.shape == (23, 17, 3) and picture.rgb.dtype == np.uint8
    assert picture.grey == (mode in ("L", "LA", "1", "F", "I;16"))
    assert error.mean() < {"JPEG": 2.5, "TIFF": 2.5}.get(format, 0.001) and (picture.alpha is not None) == (mode in ("RGBA", "LA"))


def test_alpha_and_transparent_palettes_are_kept_aside():
    alpha = np.tile(np.arange(17, dtype=np.uint8) * 15, (23, 1))
    layered = COLOURS.copy()
    layered.putalpha(Image.fromarray(alpha))
    picture = open_picture(encoded(layered))
    assert np.array_equal(picture.alpha, alpha) and np.array_equal(picture.rgb, np.asarray(COLOURS))
    palette = Image.fromarray((alpha > 100).astype(np.uint8)).convert("P")
    assert set(np.unique(open_picture(encoded(palette, transparency=0)).alpha)) == {0, 255}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}
    stored = COLOURS.transpose(undo[orientation]) if orientation > 1 else COLOURS
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = orientation, "somebody"
    picture = open_picture(encoded(stored, exif=exif))
    assert np.array_equal(picture.rgb, np.asarray(COLOURS))
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept.get(0x0112, 1) == 1 and kept[0x013B] == "somebody"


def test_one_pixel_paths_arrays_files_and_pil_images(tmp_path):
    dot = np.array([[[1, 2, 3]]], np.uint8)
    write_image(dot, tmp_path / "dot.png")
    for source in (dot, tmp_path / "dot.png", str(tmp_path / "dot.png"), (tmp_path / "dot.png").read_bytes(), Image.fromarray(dot),
                   io.BytesIO((tmp_path / "dot.png").read_bytes())):
        assert np.array_equal(read_image(source), dot)
    grey = photograph(9, 8)[..., 0]
    assert open_picture(grey).grey and open_picture(grey[..., None]).grey and not open_picture(dot).grey
    assert open_picture(np.dstack([photograph(9, 8), grey])).alpha is not None


def test_of_an_animation_the_first_frame_is_taken_and_that_is_said():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="2 frames; the first is used"):
        assert read_image(animation)[0, 0].tolist() == [255, 0, 0]


# ---------------------------------------------------------------- bad input


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes that promise a picture of any size."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


BROKEN = {
    "text.png": (b"this is a letter, not a picture\n", "not a picture"),
    "empty.png": (b"", "not a picture"),
    "cut.jpg": (encoded(COLOURS, "JPEG")[:-300], "broken picture"),
    "cut.png": (encoded(COLOURS)[:200], "broken picture"),
    "large.png": (png_claiming(9_000, 9_000), "9000 x 9000 pixels, larger than the limit of 80 megapixels"),
    "bomb.png": (png_claiming(60_000, 60_000), "larger than the limit of 80 megapixels"),
    "flipped.png": (encoded(COLOURS)[:60] + b"\xff" * 20 + encoded(COLOURS)[80:], "broken picture"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_files_are_one_sentence_with_the_path(tmp_path, name):
    content, reason = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, CourseError) and caught.value.exit_code == 2


def test_missing_files_folders_and_foreign_arrays(tmp_path):
    with pytest.raises(ImageError, match="nothing.png: no such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="broken picture"):
        read_image(tmp_path)
    for array in (np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ImageError, match="want uint8"):
            read_image(array)
    with pytest.raises(ImageError, match="empty picture"):
        read_image(np.zeros((0, 4, 3), np.uint8))


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp"])
def test_written_pictures_come_back(tmp_path, suffix):
    picture = photograph(13, 11)
    write_image(picture, tmp_path / "new" / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_image(tmp_path / "new" / f"a{suffix}"), picture)


def failing_fsync(descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")


def half_written(self, file, **options):
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("target, name, failure", [(Image.Image, "save", half_written), (os, "fsync", failing_fsync),
                                                   (os, "replace", lambda *_: failing_fsync(0))])
def test_a_failing_write_leaves_the_old_picture_and_nothing_else(tmp_path, monkeypatch, target, name, failure):
    path = tmp_path / "a.png"
    write_image(photograph(8, 8), path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(target, name, failure)
        with pytest.raises(ImageError, match="a.png: cannot be written .*No space left"):
            write_image(photograph(9, 9), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path):
    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        images.atomic_write(tmp_path / "log", interrupted)
    assert os.listdir(tmp_path) == []


def test_unwritable_places_and_unknown_formats(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(photograph(4, 4), tmp_path / "file" / "a.png")
    for name in ("a.docx", "a"):
        with pytest.raises(ImageError, match="cannot write the format"):
            write_image(photograph(4, 4), tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_a_turned_tiff_is_the_same_from_a_path_and_from_bytes(tmp_path, mode):
    """Pillow maps uncompressed TIFFs into memory when it knows their path, and got the rows of turned ones wrong."""
    levels = np.arange(35, dtype=np.uint16 if mode == "I;16" else np.uint8).reshape(5, 7)
    exif, file = Image.Exif(), tmp_path / "turned.tif"
    exif[0x0112] = 6
    picture = Image.fromarray(levels)
    (picture if mode == "I;16" else picture.convert(mode)).save(file, exif=exif)
    by_path, by_bytes = open_picture(file), open_picture(file.read_bytes())
    assert by_path.rgb.shape == (7, 5, 3) and np.array_equal(by_path.rgb, by_bytes.rgb)
    if mode != "I;16":
        assert np.array_equal(by_path.rgb[..., 0], np.rot90(levels, -1))


# --- a file is whole, and where it was meant to be ---------------------------------------------------------------------

KILLED = """
import os, signal, sys
from srgan_lib.images import atomic_write
atomic_write(sys.argv[1], lambda file: (file.write(b"half"), file.flush(), os.kill(os.getpid(), signal.SIGKILL)))
"""


@pytest.mark.skipif(os.name == "nt", reason="a kill, and locks")
def test_what_a_kill_has_left_of_a_file_is_removed_by_the_next_who_writes_it(tmp_path, subprocess_environment):
    for name in ("a.png", "b.png"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], env=subprocess_environment)
    (tmp_path / ".holiday.part").write_text("another program's")
    assert len(list(tmp_path.glob(".?.png.*.part"))) == 2
    locks.orphans.cache_clear()
    atomic_write(tmp_path / "a.png", lambda file: file.write(b"whole"))
    assert sorted(path.name for path in tmp_path.iterdir() if ".b.png" not in path.name) == [".holiday.part", "a.png"]
    assert len(list(tmp_path.glob(".b.png.*.part"))) == 1  # its own next run will


@pytest.mark.skipif(os.name == "nt", reason="locks")
def test_what_is_being_written_is_not_removed_by_another(tmp_path):
    def write(file):
        locks.orphans.cache_clear()
        atomic_write(tmp_path / "a.png", lambda other: other.write(b"second"))
        file.write(b"first")

    atomic_write(tmp_path / "a.png", write)
    assert (tmp_path / "a.png").read_bytes() == b"first" and os.listdir(tmp_path) == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="links, rights and pipes")
def test_links_rights_and_pipes_stay_what_they_are(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.json").write_text("old")
    (tmp_path / "there" / "a.json").chmod(0o600)
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "a.json")
    atomic_write(tmp_path / "link.json", lambda file: file.write(b"new"))
    assert (tmp_path / "link.json").is_symlink() and (tmp_path / "there" / "a.json").read_text() == "new"
    assert (tmp_path / "there" / "a.json").stat().st_mode & 0o777 == 0o600
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    atomic_write(tmp_path / "pipe", lambda file: file.write(b"through"))
    assert os.read(reader, 100) == b"through" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
    before = os.umask(0o077)
    try:
        atomic_write(tmp_path / "private.json", lambda file: file.write(b"mine"))
    finally:
        os.umask(before)
    assert (tmp_path / "private.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError):
        atomic_write(tmp_path / "loop" / "a.json", lambda file: file.write(b"x"))


PRINTING = """
import sys
from pathlib import Path
from srgan_lib.images import atomic_write
for path in sys.argv[1:]:
    print("before", flush=False)
    atomic_write(Path(path), lambda file: file.write(b"result\\n"))
    print("after", flush=False)
"""


@pytest.mark.skipif(os.name == "nt", reason="names of open files")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link", "out.txt"])
@pytest.mark.parametrize("mode", ["w", "a"])
def test_what_is_printed_into_is_written_to_where_it_stands(name, mode, tmp_path, subprocess_environment):
    """As if it were printed: opened anew, a file is written from its beginning (Linux, proc_pid_fd(5))."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "out.txt").write_text("earlier\n")
    with open(tmp_path / "out.txt", mode) as out:
        subprocess.run([sys.executable, "-c", PRINTING, name, name], env=subprocess_environment, stdout=out, cwd=tmp_path, check=True)
    assert (tmp_path / "out.txt").read_text() == "earlier\n" * (mode == "a") + "before\nresult\nafter\n" * 2
    assert sorted(os.listdir(tmp_path)) == ["link", "out.txt"]


@pytest.mark.skipif(os.name == "nt", reason="names of open files")
def test_what_fails_half_way_writes_nothing_into_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ZeroDivisionError):
        atomic_write(tmp_path / "pipe", lambda file: file.write(b"half") / 0)
    atomic_write(tmp_path / "pipe", lambda file: (file.write(b"whole"), file.seek(0), file.write(b"W")))  # as some formats do
    assert os.read(reader, 100) == b"Whole"
    os.close(reader)
    for name in ("/dev/fd/987", "/dev/fd/98765432109"):
        with pytest.raises(OSError):
            atomic_write(name, lambda file: file.write(b"x"))


@pytest.mark.skipif(os.name == "nt", reason="links, rights and pipes")
def test_a_finished_file_is_moved_through_a_link_and_into_a_pipe(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "there.bin").write_bytes(b"old")
    (tmp_path / "there.bin").chmod(0o600)
    (tmp_path / "link").symlink_to("there.bin")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for target in ("link", "pipe"):
        (tmp_path / "part" / "whole").write_bytes(b"new")
        images.move(tmp_path / "part" / "whole", tmp_path / target)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there.bin").read_bytes() == b"new" and os.read(reader, 100) == b"new"
    assert (tmp_path / "there.bin").stat().st_mode & 0o777 == 0o600
    os.close(reader)


def test_memory_that_runs_out_is_not_called_a_broken_image(monkeypatch):
    def short(*_):
        raise MemoryError

    monkeypatch.setattr(images, "decode", short)
    with pytest.raises(ImageError, match="not enough memory to decode it"):
        open_picture(Image.new("RGB", (4, 4)))


def test_a_place_is_checked_without_a_trace(tmp_path):
    """What fails between the check and the writing leaves no empty folder; a folder that was there stays."""
    (tmp_path / "old").mkdir()
    for place in ("new/folder/a.png", "old/a.png"):
        check_place(tmp_path / place)
    assert os.listdir(tmp_path) == ["old"] and not os.listdir(tmp_path / "old")
