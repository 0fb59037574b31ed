"""Upscaling: tiles without seams, every kind of picture, and every way in which input can be bad."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from samples import lively
from torch import nn

from srgan_lib import images
from srgan_lib.upscaling import tiles
from srgan_lib.__main__ import main
from srgan_lib.errors import ImageError
from srgan_lib.upscaling import enlarge, fold_batch_norm, upscale, upscale_files
from srgan_lib.models import EncoderDecoder, SRResNet, load_generator, shipped
from srgan_lib.upscaling import Upscaler
from srgan_lib.upscaling.pictures import SelfEnsemble, Shrunk, plan

SIZES = [(1, 1), (1, 37), (53, 1), (2, 3), (41, 35), (64, 48)]
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return lively(SRResNet(blocks=1, channels=4))


@pytest.fixture(scope="module")
def model(generator, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("net")
    generator.save_pretrained(folder)
    return str(folder)


def noise(*shape) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def whole(network, lr):
    with torch.no_grad():
        return network(lr)


# --- tensors ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"scale": 2}, {"scale": 3}, {"scale": 8}, {"upsampling": "transposed"},
                                     {"upsampling": "resize"}, {"normalization": "none", "output": "tanh"}], ids=str)
def test_tiles_equal_the_whole(size, options, monkeypatch):
    torch.manual_seed(2)
    network, lr = lively(SRResNet(blocks=1, channels=4, **options)), torch.rand(1, 3, *size)
    expected = whole(network, lr)
    monkeypatch.setattr(tiles, "INNER_TILE", 8)
    for tile in (None, 16, 21):
        assert (enlarge(lr, network, tile) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 71), (70, 45)])
def test_tiles_of_the_encoder_decoder(scale, size):
    network, lr = EncoderDecoder(scale, channels=4).eval(), torch.rand(1, 3, *size)
    assert (enlarge(lr, network, 20) - whole(network, lr)).abs().max() < 1e-5


def test_tiles_of_wrapped_generators(generator):
    lr = torch.rand(2, 3, 41, 35)
    for network in (SelfEnsemble(generator), Shrunk(generator, 2), Shrunk(SelfEnsemble(generator), 3)):
        assert (enlarge(lr, network, 16) - whole(network, lr)).abs().max() < 1e-5


def test_too_small_a_halo_would_be_seen(generator, monkeypatch):
    lr = torch.rand(1, 3, 64, 64)
    monkeypatch.setattr(tiles, "halo_of", lambda network: 4)
    assert (enlarge(lr, generator, 16) - whole(generator, lr)).abs().max() > 1e-4


@pytest.mark.skipif("srresnet-x4" not in shipped(), reason="srresnet-x4 is not shipped yet")
def test_trained_weights_need_no_more_than_32(monkeypatch):
    network, lr = load_generator("srresnet-x4"), torch.from_numpy(noise(20, 112, 3)).permute(2, 0, 1)[None] / 255
    monkeypatch.setattr(tiles, "halo_of", lambda prepared: 32)
    assert (enlarge(lr, network, 16) - whole(network, lr)).abs().max() < 1e-5


def test_radius_of_the_inner_tiles_is_enough():
    for scale in (2, 3, 4, 8):
        upsampler = tiles.prepare(SRResNet(scale=scale, blocks=1, channels=4)).upsample
        x = torch.zeros(1, 4, 21, 21)
        x[..., 10, 10] = torch.nan
        touched = upsampler.layers(x).isnan().any(1)[0].nonzero() // scale - 10
        assert touched.abs().max() <= upsampler.radius


def test_folding_changes_nothing_and_leaves_the_original(generator):
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    folded, lr = fold_batch_norm(generator), torch.rand(1, 3, 20, 24)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert (folded(lr) - whole(generator, lr)).abs().max() < 1e-5
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    trained = SRResNet(blocks=1, channels=4).train()
    enlarge(lr, trained)
    assert trained.training and trained.body[0].norm1.num_batches_tracked == 0


def test_wrong_shapes_are_refused(generator):
    for shape in ((3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8)):
        with pytest.raises(ValueError, match="want"):
            enlarge(torch.rand(shape), generator)


class Limited(nn.Module):
    """A network that runs out of memory above an area."""

    def __init__(self, network, area, error):
        super().__init__()
        self.network, self.area, self.error = network, area, error
        self.scale, self.radius, self.refused = network.scale, network.radius, []

    def forward(self, lr):
        if lr.shape[-1] * lr.shape[-2] > self.area:
            self.refused.append(lr.shape)
            raise self.error
        return self.network(lr)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
                                   RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")], ids=str)
def test_out_of_memory_halves_the_tile(generator, error):
    network = tiles.prepare(Limited(generator, 3600, error))
    lr = torch.rand(1, 3, 90, 130)
    assert (enlarge(lr, network) - whole(generator, lr)).abs().max() < 1e-5
    assert 1 <= len(network.refused) <= 3


def test_hopeless_memory_and_other_errors(generator):
    lr = torch.rand(1, 3, 90, 130)
    with pytest.raises(ImageError, match="not enough memory"):
        enlarge(lr, tiles.prepare(Limited(generator, 300, MemoryError())))
    with pytest.raises(RuntimeError, match="another"):
        enlarge(lr, tiles.prepare(Limited(generator, 300, RuntimeError("another fault"))))


def test_tiles_shrink_with_free_memory(generator, monkeypatch):
    network = tiles.prepare(SRResNet(blocks=1))
    sides = []
    for free in (10**7, 10**9, 10**12):
        monkeypatch.setattr(tiles, "free_memory", lambda device, free=free: free)
        sides.append(tiles.largest_tile(network, 40))
    assert sides == sorted(sides) and sides[0] == tiles.SMALLEST_TILE and (sides[-1] + 80) ** 2 <= tiles.LARGEST_AREA
    monkeypatch.undo()
    assert tiles.free_memory(torch.device("cpu")) > 10**8


def test_bar_foretells_before_the_first_tile(generator, capsys):
    enlarge(torch.rand(1, 3, 240, 240), generator, 120, progress="label")
    text = capsys.readouterr().err
    assert "label" in text and "s in all" in text and "MP/s" in text


def test_a_small_image_is_done_without_a_trial(generator, capsys, monkeypatch):
    """On 64 x 64 pixels the trial took as long as the work."""
    monkeypatch.setattr(tiles, "seconds_per_pixel", None)
    enlarge(torch.rand(1, 3, 64, 64), generator, progress="label")
    assert "label" in capsys.readouterr().err


# --- one picture -----------------------------------------------------------------------------------------------------

MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB", "I;16": "I;16", "YCbCr": "RGB"}


@pytest.mark.parametrize("mode", MODES)
def test_modes(generator, mode):
    picture = Image.fromarray(RANDOM.integers(0, 65536, (5, 7)).astype(np.uint16)) if mode == "I;16" else Image.fromarray(noise(5, 7, 3)).convert(mode)
    result = upscale(picture, generator)
    assert result.mode == MODES[mode] and result.size == (28, 20)


def test_values_equal_the_network(generator):
    rgb = noise(9, 11, 3)
    expected = images.to_image(whole(generator, images.to_tensor(rgb)))
    assert np.abs(np.asarray(upscale(rgb, generator)).astype(int) - expected).max() <= 1
    deep = RANDOM.integers(0, 65536, (9, 11)).astype(np.uint16)
    sr = whole(generator, torch.from_numpy(deep.astype(np.float32) / 65535).expand(1, 3, 9, 11))[0].clamp(0, 1)
    grey = 0.299 * sr[0] + 0.587 * sr[1] + 0.114 * sr[2]
    assert np.abs(np.asarray(upscale(Image.fromarray(deep), generator)).astype(float) - 65535 * grey.numpy()).max() <= 2


def test_alpha_is_upscaled(generator):
    rgba = noise(6, 6, 4)
    rgba[..., 3] = 77
    assert set(np.asarray(upscale(rgba, generator))[..., 3].ravel()) == {77}
    palette = Image.fromarray(noise(6, 6)).convert("P")
    packed = io.BytesIO()
    palette.save(packed, "PNG", transparency=0)
    assert upscale(packed.getvalue(), generator).mode == "RGBA"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_removed(generator, kind, orientation):
    exif, packed = Image.Exif(), io.BytesIO()
    exif[0x0112], exif[0x010E] = orientation, "a photograph"
    Image.new("RGB", (3, 5)).save(packed, kind, exif=exif)
    result = upscale(packed.getvalue(), generator)
    assert result.size == ((12, 20) if orientation < 5 else (20, 12))
    kept = Image.Exif()
    kept.load(result.info["exif"])
    assert kept.get(0x010E) == "a photograph" and kept.get(0x0112, 1) == 1 and 0x0111 not in kept


def test_scales(generator, capsys):
    for scale in (2, 3, 4, 8):
        assert upscale(noise(5, 7, 3), generator, scale=scale).size == (7 * scale, 5 * scale)
    assert "shrunk to x3" in capsys.readouterr().out
    assert (plan(8, {2, 4}), plan(8, {2}), plan(2, {4}), plan(3, {4}), plan(8, {4})) == ((4, 2), (2, 2, 2), (4,), (4,), (4, 4))
    with pytest.raises(ImageError, match="cannot be reached"):
        plan(8, {3})
    with pytest.raises(ImageError, match="want 2, 3, 4, 8"):
        upscale(noise(5, 7, 3), generator, scale=5)


def test_ensemble_commutes_with_flips(generator):
    rgb = noise(8, 12, 3)
    upscaler = Upscaler(generator, ensemble=True)
    assert np.abs(upscaler.frame(rgb[:, ::-1].copy())[:, ::-1].astype(int) - upscaler.frame(rgb)).max() <= 1


def test_result_that_memory_cannot_hold(generator, monkeypatch):
    monkeypatch.setattr("srgan_lib.upscaling.pictures.free_memory", lambda device: 1000)
    with pytest.raises(ImageError, match="GB of memory"):
        upscale(noise(50, 50, 3), generator)


# --- files and the command line --------------------------------------------------------------------------------------

def command(*arguments) -> int:
    return main(["upscale", "--device", "cpu", *map(str, arguments)])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm"])
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_formats(tmp_path, model, suffix, mode, capsys):
    picture = Image.fromarray(RANDOM.integers(0, 65536, (5, 6)).astype(np.uint16)) if mode == "I;16" else Image.fromarray(noise(5, 6, 3)).convert(mode)
    picture.save(tmp_path / "in.png")
    assert command(tmp_path / "in.png", "-o", tmp_path / f"out{suffix}", "--model", model) == 0
    with Image.open(tmp_path / f"out{suffix}") as result:
        assert result.size == (24, 20)
        kept = mode in ("L", "RGBA", "I;16") and suffix in (".png", ".tif")
        assert not kept or result.mode == mode
    said = capsys.readouterr().out
    assert ("8 bits" in said) == (mode == "I;16" and not kept) and ("on white" in said) == (mode == "RGBA" and suffix in (".jpg", ".bmp", ".ppm"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_survive(tmp_path, model, suffix):
    from PIL import ImageCms
    profile, exif = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), Image.Exif()
    exif[0x010E] = "kept"
    source = tmp_path / f"in{suffix}"
    Image.fromarray(noise(5, 6, 3)).save(source, icc_profile=profile, exif=exif)
    assert command(source, "-o", tmp_path / f"out{suffix}", "--model", model) == 0
    with Image.open(tmp_path / f"out{suffix}") as result:
        assert result.info["icc_profile"] == profile and result.getexif()[0x010E] == "kept"


def test_folder_keeps_structure_and_skips_what_is_done(tmp_path, model, capsys):
    source = tmp_path / "set"
    (source / "deep").mkdir(parents=True)
    for name in ("a.png", "a.jpg", "deep/b.png", ".hidden.png"):
        Image.fromarray(noise(4, 4, 3)).save(source / name)
    (source / "notes.txt").write_text("no picture")
    assert command(source, "--model", model) == 0
    found = sorted(str(p.relative_to(tmp_path / "set-x4")) for p in (tmp_path / "set-x4").rglob("*.*"))
    assert found == ["a-jpg-x4.png", "a-png-x4.png", "deep/b-x4.png"]
    stamp = (tmp_path / "set-x4/deep/b-x4.png").stat().st_mtime_ns
    (tmp_path / "set-x4/a-jpg-x4.png").unlink()
    capsys.readouterr()
    assert command(source, "--model", model) == 0
    assert "2 already done" in capsys.readouterr().out
    assert (tmp_path / "set-x4/deep/b-x4.png").stat().st_mtime_ns == stamp and (tmp_path / "set-x4/a-jpg-x4.png").exists()
    for _ in range(2):  # results in the same folder are not upscaled again
        assert command(source / "deep", "-o", source / "deep", "--model", model) == 0
    assert sorted(os.listdir(source / "deep")) == ["b-x4.png", "b.png"]


def test_one_bad_file_does_not_stop_the_others(tmp_path, model, capsys):
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("a text")
    assert command(tmp_path / "bad.png", tmp_path / "good.png", tmp_path / "gone.png", "-o", tmp_path / "out", "--model", model) == 2
    errors = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("srgan_lib:")]
    assert len(errors) == 2 and "bad.png" in errors[0] and "no such file" in errors[1]
    assert os.listdir(tmp_path / "out") == ["good-x4.png"]


def test_bad_input_is_one_sentence(tmp_path, model, capsys, monkeypatch):
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "good.jpg")
    good = tmp_path / "good.jpg"
    (tmp_path / "text.png").write_text("a text")
    (tmp_path / "half.jpg").write_bytes(good.read_bytes()[:1500])
    (tmp_path / "empty").mkdir()
    cases = [([tmp_path / "gone.png"], "no such file"), ([tmp_path / "text.png"], "not a picture"), ([tmp_path / "half.jpg"], "half.jpg"),
             ([tmp_path / "empty"], "no pictures"), ([good, "-o", good], "never overwritten"), ([good, "-o", good / "x.png"], "cannot be written"),
             ([good, "-o", "x.xyz"], "cannot write the format"), ([good, "--tile", "many"], "--tile"), ([good, "--tile", "3"], "--tile"),
             ([good, "--scale", "5"], "scale 5"), ([good, "--quality", "0"], "--quality"), ([good, "--device", "abacus"], "abacus"),
             ([good, good.with_name("gone.png"), "-o", "-"], "folder"), ([good, "--model", "srgan-x5"], "no such model")]
    before = sorted(os.listdir(tmp_path))
    for arguments, words in cases:
        assert main(["upscale", "--model", model, *map(str, arguments)]) == 2, arguments
        lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.strip()]
        assert len(lines) == 1 and words in lines[0], (arguments, lines)
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    assert command(good, "--model", model) == 2 and "larger than the limit" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_too_long_a_side_for_the_format(tmp_path, model, capsys):
    Image.new("L", (4200, 1)).save(tmp_path / "long.png")
    assert command(tmp_path / "long.png", "-o", tmp_path / "long.webp", "--model", model) == 2
    assert "too many for WEBP" in capsys.readouterr().err


def test_standard_input_to_standard_output(model, subprocess_environment):
    packed = io.BytesIO()
    Image.fromarray(noise(5, 7, 3)).save(packed, "PNG")
    done = subprocess.run([sys.executable, "-m", "srgan_lib", "upscale", "-", "-o", "-", "--model", model, "--scale", "2"],
                          input=packed.getvalue(), capture_output=True, env=subprocess_environment)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as result:
        assert result.format == "PNG" and result.size == (14, 10)
    assert b"shrunk to x2" in done.stderr


def test_names_that_clash(tmp_path, model):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        Image.fromarray(noise(4, 4, 3)).save(tmp_path / folder / "x.png")
    with pytest.raises(ImageError, match="different output folders"):
        upscale_files([tmp_path / "a/x.png", tmp_path / "b/x.png"], str(tmp_path / "out"), model)
