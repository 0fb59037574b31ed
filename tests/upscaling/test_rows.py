"""A large result is written by rows of tiles: the same pixels and metadata as in one piece, in memory that stays small."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from samples import photograph

from srgan_lib.errors import ImageError
from srgan_lib.formats.sixteen import write_png
from srgan_lib.images import open_picture
from srgan_lib.models import SRResNet
from srgan_lib.upscaling import Upscaler, rows, tiles
from srgan_lib.upscaling.files import upscale_files

HEIGHT, WIDTH = 61, 83


@pytest.fixture(scope="module")
def upscaler():
    torch.manual_seed(0)
    return Upscaler(SRResNet(blocks=1, channels=8).eval())


def levels(kind: str) -> np.ndarray:
    """uint8 or uint16 (H, W, C) of an image of a kind."""
    rgb = photograph(HEIGHT, WIDTH)
    channels = {"L": [0], "LA": [0, 1], "RGB": [0, 1, 2], "RGBA": [0, 1, 2, 0]}[kind.split(";")[0]]
    values = rgb[..., channels].copy()
    if len(channels) in (2, 4):
        values[:20, :30, -1] = 0  # a cut-out: colours that nobody sees
    return values.astype(np.uint16) * 257 + np.arange(WIDTH, dtype=np.uint16)[:, None] % 97 if kind.endswith(";16") else values


def packed(kind: str) -> bytes:
    file, values = io.BytesIO(), levels(kind)
    if kind.endswith(";16"):
        write_png(file, values)
    else:
        exif = Image.Exif()
        exif[0x010F] = "a camera"
        Image.fromarray(values.squeeze(-1) if values.shape[2] == 1 else values).save(file, "PNG", exif=exif, icc_profile=b"a profile", dpi=(300, 300))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["L", "LA", "RGB", "RGBA", "L;16", "LA;16", "RGB;16", "RGBA;16"])
@pytest.mark.parametrize("tile", [16, 24, 400])
def test_rows_are_what_one_piece_is(kind, tile, upscaler, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(packed(kind))
    results = []
    for share in (0, 10**12):  # never by rows, always by rows
        monkeypatch.setattr(rows, "SHARE", share or 1e-12)
        target = tmp_path / f"{share}.png"
        assert upscale_files([tmp_path / "a.png"], str(target), upscaler_of(upscaler, monkeypatch), tile=tile) == 0
        results.append(open_picture(target))
    whole, by_rows = results
    assert np.array_equal(whole.rgb, by_rows.rgb) and whole.grey == by_rows.grey
    for first, second in ((whole.deep, by_rows.deep), (whole.alpha, by_rows.alpha)):
        assert (first is None) == (second is None) and (first is None or np.array_equal(first, second))
    assert (whole.icc, whole.exif, whole.info.get("dpi")) == (by_rows.icc, by_rows.exif, by_rows.info.get("dpi"))


@pytest.mark.parametrize("kind", ["L", "LA", "RGB", "RGBA", "L;16", "LA;16", "RGB;16", "RGBA;16"])
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_jpeg_and_tiff_by_rows_are_the_same_file(kind, suffix, upscaler, tmp_path, monkeypatch):
    """Byte for byte what Pillow (12.3, 13.0) and our own writer make of the whole image; what JPEG cannot hold goes another way."""
    (tmp_path / "a.png").write_bytes(packed(kind))
    for share in (1e-12, 10**12):
        monkeypatch.setattr(rows, "SHARE", share)
        assert upscale_files([tmp_path / "a.png"], str(tmp_path / f"{share}{suffix}"), upscaler_of(upscaler, monkeypatch), tile=24) == 0
    whole, by_rows = ((tmp_path / f"{share}{suffix}").read_bytes() for share in (1e-12, 10**12))
    assert whole == by_rows
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".png", suffix, suffix])


def test_a_format_that_wants_the_whole_image_says_which_do_not(upscaler, tmp_path, monkeypatch, capsys):
    from srgan_lib.upscaling import pictures
    Image.fromarray(photograph(40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "free_memory", lambda *_: 1000)
    assert upscale_files([tmp_path / "a.png"], str(tmp_path / "a.webp"), upscaler_of(upscaler, monkeypatch)) == 1
    assert "a .png or .tif is written while it is made" in capsys.readouterr().err and not (tmp_path / "a.webp").exists()


def upscaler_of(upscaler, monkeypatch):
    """The generator's name for a run over files, which stands for the one of the fixture."""
    from srgan_lib.upscaling import files
    monkeypatch.setattr(files, "Upscaler", lambda *_, **__: upscaler)
    return "srresnet-x4"


def test_memory_that_runs_out_between_two_tiles_changes_no_row(upscaler, monkeypatch):
    picture, file, compute, calls = open_picture(photograph(HEIGHT, WIDTH)), io.BytesIO(), tiles.compute, []

    def short_of_memory(network, scale, lr, box, *rest):
        calls.append(box)
        if len(calls) in (2, 6):
            raise MemoryError
        return compute(network, scale, lr, box, *rest)

    monkeypatch.setattr(tiles, "compute", short_of_memory)
    png = rows.Rows(file, 4 * WIDTH, 4 * HEIGHT, 3, 1, {})
    rows._each_band(upscaler, picture, png.write, 64, False)
    png.close()
    monkeypatch.setattr(tiles, "compute", compute)
    assert len(calls) > 6
    found, whole = np.asarray(Image.open(io.BytesIO(file.getvalue()))).astype(int), np.asarray(upscaler(picture)).astype(int)
    assert found.shape == whole.shape and abs(found - whole).max() <= 1  # tiles of other sizes: rounding alone


@pytest.mark.parametrize("channels, sample", [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (3, 2), (4, 2)])
def test_a_png_by_rows_is_read_by_others(channels, sample):
    random = np.random.default_rng(0)
    values = random.integers(0, 256**sample, (50, 37, channels)).astype(np.uint8 if sample == 1 else np.uint16)
    file = io.BytesIO()
    png = rows.Rows(file, 37, 50, channels, sample, {})
    for top, bottom in ((0, 1), (1, 30), (30, 50)):
        png.write(values[top:bottom])
    png.close()
    found = open_picture(file.getvalue())
    colours = (found.rgb if found.deep is None else found.deep if found.deep.ndim == 3 else found.deep[..., None])
    assert np.array_equal(colours[..., :1 if channels < 3 else 3], values[..., :1 if channels < 3 else 3])


def test_a_full_disk_leaves_nothing_behind(upscaler, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rows.Rows, "write", full)
    with pytest.raises(ImageError, match="No space left"):
        rows.write_by_rows(upscaler, open_picture(photograph(20, 20)), str(tmp_path / "a.png"))
    assert list(tmp_path.iterdir()) == []


LITTLE = """
import resource, sys
from srgan_lib.models import SRResNet
from srgan_lib.upscaling import files, memory
SRResNet(blocks=1, channels=4).eval().save_pretrained(sys.argv[2])
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
limit = used + (150 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
now = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
memory._left_in_groups = lambda: [limit - now()]
sys.exit(files.upscale_files([sys.argv[1]], sys.argv[3], sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA")
def test_a_result_larger_than_the_memory_is_made_all_the_same(tmp_path, subprocess_environment):
    Image.fromarray(photograph(1500, 2000)).save(tmp_path / "a.png", compress_level=1)  # 3 megapixels; the result as one image has 192 MB
    command = [sys.executable, "-c", LITTLE, tmp_path / "a.png", tmp_path / "net", tmp_path / "large.png"]
    done = subprocess.run(command, env={**subprocess_environment, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (8000, 6000)
