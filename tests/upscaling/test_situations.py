"""What people have: folders of any kind, deep colour, cut-outs, pages, names of any length, runs that are repeated."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import lively, photograph

from srgan_lib import images
from srgan_lib.__main__ import main
from srgan_lib.errors import ImageError
from srgan_lib.images import open_picture
from srgan_lib.models import SRResNet
from srgan_lib.formats.sixteen import DeepImage
from srgan_lib.upscaling import Upscaler, upscale, upscale_files
from srgan_lib.upscaling.cutouts import filled

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (9, 11, 4)).astype(np.uint16)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return lively(SRResNet(scale=2, blocks=1, channels=4))


@pytest.fixture(scope="module")
def model(generator, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("net")
    generator.save_pretrained(folder)
    return str(folder)


def command(*arguments) -> int:
    return main(["upscale", "--device", "cpu", *map(str, arguments)])


def store(path: Path, picture=None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph(12, 16) if picture is None else picture).save(path, **options)
    return path


# ---------------------------------------------------------------- deep colour


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_colour_is_computed_without_an_8_bit_step(generator, channels, suffix, tmp_path, capsys):
    DeepImage.of(DEEP[..., :channels] | 0x4000 if channels == 3 else DEEP[..., :channels]).save(tmp_path / "in.png")
    source = open_picture(tmp_path / "in.png")
    colours = source.deep if channels > 2 else source.deep[..., None].repeat(3, -1)
    colours = filled(colours, source.alpha) if source.alpha is not None else colours
    with torch.no_grad():
        sr = generator(torch.from_numpy(colours.astype(np.float32) / 65535).permute(2, 0, 1)[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert upscale_files([tmp_path / "in.png"], str(tmp_path / f"out{suffix}"), generator) == 0
    result = open_picture(tmp_path / f"out{suffix}")
    expected = sr if channels > 2 else (sr @ np.float32([0.299, 0.587, 0.114]))[..., None]
    got = result.deep.reshape(18, 22, -1)[..., :expected.shape[-1]]
    assert result.bits == 16 and np.abs(got - 65535.0 * expected).max() <= 2
    assert (result.alpha is not None) == (channels in (2, 4)) and "8 bits" not in capsys.readouterr().out
    assert upscale_files([tmp_path / "in.png"], str(tmp_path / "out.jpg"), generator) == 0
    assert "JPEG holds 8 bits" in capsys.readouterr().out


def test_a_deep_result_in_python_keeps_its_16_bits(generator, tmp_path):
    DeepImage.of(DEEP[..., :3]).save(tmp_path / "in.png")
    result = upscale(tmp_path / "in.png", generator)
    assert result.deep.shape == (18, 22, 3) and result.mode == "RGB"
    result.save(tmp_path / "a.png"), result.save(str(tmp_path / "a.tif"))
    assert np.array_equal(open_picture(tmp_path / "a.png").deep, result.deep) and np.array_equal(open_picture(tmp_path / "a.tif").deep, result.deep)


# ---------------------------------------------------------------- cut-outs


@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 0, 255)])
def test_hidden_colours_do_not_bleed_into_the_rim(generator, hidden):
    y, x = np.mgrid[:40, :40]
    alpha = (255 * np.clip(14 - np.hypot(x - 20, y - 20), 0, 1)).astype(np.uint8)
    colour = np.array([240, 230, 60], np.uint8)
    rgba = np.dstack([np.where(alpha[..., None] > 0, colour, np.array(hidden, np.uint8)), alpha])
    result, plain = upscale(rgba, generator), upscale(np.broadcast_to(colour, (40, 40, 3)).copy(), generator)
    assert np.abs(np.asarray(result)[..., :3].astype(int) - np.asarray(plain)).max() <= 1  # as if the colour went on for ever


def test_visible_colours_stay_and_the_nearest_fill_the_rest():
    colours, alpha = RANDOM.integers(0, 256, (70, 90, 3), dtype=np.uint8), np.zeros((70, 90), np.uint8)
    alpha[30:40, 40:50] = 128
    colours[30:40, 40:50] = (10, 200, 30)
    assert np.array_equal(filled(colours, alpha), np.broadcast_to(np.uint8([10, 200, 30]), colours.shape))
    alpha[:, 60:] = 1
    assert np.array_equal(filled(colours, alpha)[alpha > 0], colours[alpha > 0])
    for whole in (0, 255):
        assert np.array_equal(filled(colours, np.full_like(alpha, whole)), colours)


# ---------------------------------------------------------------- folders


def test_a_folder_says_what_it_leaves_out_and_passes_system_folders_by(tmp_path, model, capsys):
    album = tmp_path / "album"
    for name in ("a.jfif", "b/c.tga", "b/e.JPG", ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png", "__MACOSX/._a.png", "real/linked.png"):
        store(album / name)
    store(album / "x.png").rename(album / "without suffix")
    (album / "notes.txt").write_text("no picture"), (album / "Thumbs.db").write_text("nothing")
    (album / "dead.jpg").symlink_to(tmp_path / "nowhere.jpg")
    store(tmp_path / "elsewhere/f.png")
    (album / "link").symlink_to(tmp_path / "elsewhere"), (album / "b/loop").symlink_to(album)
    assert command(album, "--model", model) == 0
    found = sorted(str(p.relative_to(tmp_path / "album-x2")) for p in (tmp_path / "album-x2").rglob("*") if p.is_file())
    assert found == ["a-x2.png", "b/c-x2.png", "b/e-x2.png", "link/f-x2.png", "real/linked-x2.png", "without suffix-x2.png"]
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last == "left out: 6 files (no picture or film: 1 .txt; 1 dead link; 4 hidden or of the system)"


def test_a_folder_of_other_things_says_so(tmp_path, model, capsys):
    (tmp_path / "notes.txt").write_text("no picture")
    assert command(tmp_path, "--model", model) == 2 and "no pictures or films in this folder (left out: 1 file" in capsys.readouterr().err


@pytest.mark.parametrize("options, again", [((), 0), (("--quality", "80"), 1), (("--ensemble",), 1), (("--scale", "4"), 1), (("--strip",), 1)])
@pytest.mark.parametrize("format", ["png", "jpg", "webp"])
def test_what_another_option_made_is_computed_again(tmp_path, model, options, again, format, capsys):
    store(tmp_path / "in/a.png")
    fixed = ("-o", tmp_path / "out", "--model", model, "--format", format)
    assert command(tmp_path / "in", *fixed) == 0
    capsys.readouterr()
    assert command(tmp_path / "in", *fixed, *options) == 0
    assert ("1 already done" in capsys.readouterr().out) == (not again)
    assert command(tmp_path / "in", *fixed, *options) == 0
    assert "1 already done" in capsys.readouterr().out


def test_another_model_or_an_older_source_is_computed_again(tmp_path, model, capsys):
    source = store(tmp_path / "in/a.png")
    torch.manual_seed(1)
    lively(SRResNet(scale=2, blocks=1, channels=4)).save_pretrained(tmp_path / "other")
    results = []
    for name in (model, tmp_path / "other"):
        assert command(tmp_path / "in", "-o", tmp_path / "out", "--model", name) == 0
        results.append((tmp_path / "out/a-x2.png").read_bytes())
    assert results[0] != results[1] and "already" not in capsys.readouterr().out
    store(source, photograph(12, 16, 5))
    os.utime(source, (10**9, 10**9))  # as unzip and cp -p do
    assert command(tmp_path / "in", "-o", tmp_path / "out", "--model", tmp_path / "other") == 0
    assert "already" not in capsys.readouterr().out


# ---------------------------------------------------------------- output


def test_pages_become_files_of_their_own(tmp_path, model, capsys):
    pages = [Image.fromarray(photograph(8, 9, seed)) for seed in range(3)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in/scan.tif", save_all=True, append_images=pages[1:])
    assert command(tmp_path / "in/scan.tif", "-o", tmp_path / "one.png", "--model", model) == 0
    assert "holds 3 pages; the first is used" in capsys.readouterr().out
    for _ in range(2):
        assert command(tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--pages", "all") == 0
    assert "1 already done" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == ["scan-x2-1.png", "scan-x2-2.png", "scan-x2-3.png"]
    with Image.open(tmp_path / "out/scan-x2-3.png") as third:
        assert np.array_equal(np.asarray(third), np.asarray(upscale(pages[2], model)))


@pytest.mark.parametrize("wanted, size", [(("--size", "20x15"), (20, 15)), (("--size", "40x30"), (40, 30)), (("--long-side", "33"), (33, 25)),
                                          (("--long-side", "128"), (128, 96)), (("--long-side", "10"), (10, 8)), (("--size", "33x33"), (33, 33))])
def test_exact_sizes(tmp_path, model, wanted, size, capsys):
    store(tmp_path / "a.png")
    assert command(tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model, *wanted) == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == size
    assert ("stretched" in capsys.readouterr().out) == (wanted[1] == "33x33")


def test_sizes_that_cannot_be_had(tmp_path, model, capsys):
    store(tmp_path / "a.png")
    for wanted, words in ((("--size", "20"), "--size"), (("--size", "0x5"), "--size"), (("--long-side", "200"), "does not reach"), (("--long-side", "0"), "--long-side"),
                          (("--size", "20x20", "--long-side", "9"), "not both"), (("--scale", "2", "--long-side", "50"), "does not reach"),
                          (("--format", "docx"), "cannot write"), (("--max-megapixels", "many"), "--max-megapixels")):
        assert command(tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model, *wanted) == 2, wanted
        assert words in capsys.readouterr().err, wanted
    assert not (tmp_path / "b.png").exists()


def test_the_shrink_of_deep_and_grey_pictures(tmp_path, generator):
    flat = np.full((9, 11, 3), 40000, np.uint16)
    DeepImage.of(flat).save(tmp_path / "a.png")
    torch.manual_seed(0)
    assert upscale_files([tmp_path / "a.png"], str(tmp_path / "b.png"), generator, size=(15, 13)) == 0
    assert open_picture(tmp_path / "b.png").deep.shape == (13, 15, 3)
    Image.fromarray(flat[..., 0]).save(tmp_path / "g.png")
    assert upscale_files([tmp_path / "g.png"], str(tmp_path / "h.png"), generator, size=(15, 13)) == 0
    assert open_picture(tmp_path / "h.png").deep.shape == (13, 15)


@pytest.mark.parametrize("stem", ["x" * 241, "猫" * 80])
def test_long_names_work(tmp_path, model, stem):
    store(tmp_path / "in" / f"{stem}.jpg")
    assert command(tmp_path / "in", "-o", tmp_path / "out", "--model", model) == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_too_long_a_name_is_refused_before_computing(tmp_path, model, monkeypatch, capsys):
    monkeypatch.setattr(Upscaler, "__call__", lambda *_: pytest.fail("computed"))
    store(tmp_path / f"{'x' * 250}.jpg")
    assert command(tmp_path / f"{'x' * 250}.jpg", "--model", model) == 2 and "too long" in capsys.readouterr().err


def test_quality_100_keeps_the_colour_of_every_pixel(tmp_path, model, capsys):
    store(tmp_path / "a.png", RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for name, quality in (("a.jpg", 100), ("b.jpg", 95), ("a.webp", 100), ("a.avif", 100)):
        assert command(tmp_path / "a.png", "-o", tmp_path / name, "--model", model, "--quality", quality) == 0
    with Image.open(tmp_path / "a.jpg") as best, Image.open(tmp_path / "b.jpg") as good:
        assert {layer[1:3] for layer in best.layer} == {(1, 1)} and good.layer[0][1:3] == (2, 2)  # sampling factors of JPEG's frame header
    expected = np.asarray(upscale(tmp_path / "a.png", model)).astype(int)
    assert "lossless" in capsys.readouterr().out and np.array_equal(np.asarray(Image.open(tmp_path / "a.webp")), expected)
    assert np.abs(np.asarray(Image.open(tmp_path / "a.avif")) - expected).mean() < 2


def test_more_megapixels_on_request(tmp_path, model, monkeypatch, capsys):
    store(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # Pillow's own limit does not stand in the way
    assert command(tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model) == 2 and "--max-megapixels" in capsys.readouterr().err
    assert command(tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model, "--max-megapixels", "0.001") == 0
    assert Image.MAX_IMAGE_PIXELS == 60


def test_an_empty_path_is_never_this_folder(tmp_path, model, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "a.png")
    for arguments in (["upscale", ""], ["upscale", "a.png", "-o", ""], ["upscale", "a.png", "--model", ""], ["train", "--data", "", "--run", "r"],
                      ["evaluate", "--model", "bicubic", "--data="], ["grade", ""]):
        assert main(arguments) == 2, arguments
        assert "empty" in capsys.readouterr().err, arguments
    for call in (lambda: upscale_files([""], generator=model), lambda: upscale_files([], generator=model), lambda: upscale("", model)):
        with pytest.raises(ImageError, match="empty"):
            call()
    assert os.listdir(tmp_path) == ["a.png"]


def test_what_a_format_does_not_hold_is_said_whatever_the_format(tmp_path, model, capsys):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    store(tmp_path / "a.jpg", exif=exif, icc_profile=b"a profile", dpi=(300, 300))
    for suffix, words in ((".jp2", "the colour profile, EXIF"), (".ico", "the colour profile, EXIF"), (".gif", "256 colours"), (".bmp", "the colour profile, EXIF")):
        assert command(tmp_path / "a.jpg", "--model", model, "-o", tmp_path / f"b{suffix}") == 0
        assert words in capsys.readouterr().out
        with Image.open(tmp_path / f"b{suffix}") as image:
            assert image.size == (32, 24) and not image.info.get("icc_profile") and not image.getexif()
    store(tmp_path / "grey.png", photograph(12, 16)[..., 0])
    assert command(tmp_path / "grey.png", "--model", model, "-o", tmp_path / "grey.gif") == 0 and "colours" not in capsys.readouterr().out
    store(tmp_path / "wide.png", photograph(12, 140))
    assert command(tmp_path / "wide.png", "--model", model, "-o", tmp_path / "b.ico") == 2 and "256 a side" in capsys.readouterr().err


def test_writing_heic_names_its_plugin(tmp_path, model, capsys):
    from srgan_lib.formats import known
    if "HEIF" in known.formats():
        pytest.skip("pillow-heif is installed")
    assert command(store(tmp_path / "a.png"), "--model", model, "-o", tmp_path / "b.heic") == 2
    assert "b.heic: writing .heic needs a plugin: pip install pillow-heif" in capsys.readouterr().err
