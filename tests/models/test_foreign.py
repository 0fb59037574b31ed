"""Other people's model files of any architecture: tiled equals whole to one grey level, or it is said why not."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from samples import photograph
from torch import nn

from srgan_lib.__main__ import main
from srgan_lib.errors import ImageError, ModelError
from srgan_lib.images import to_tensor
from srgan_lib.models import Outside, RRDBNet, load_generator, measured
from srgan_lib.models.foreign import check_scale
from srgan_lib.models.outside import looks_everywhere
from srgan_lib.upscaling import enlarge, upscale
from srgan_lib.upscaling.pictures import SelfEnsemble, Shrunk

ONE_LEVEL = 1 / 255


def compact():
    from spandrel.architectures.Compact import Compact
    return Compact(num_feat=8, num_conv=6, upscale=4)


def span():
    from spandrel.architectures.SPAN import SPAN
    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2)


def esrgan():
    from spandrel.architectures.ESRGAN import ESRGAN
    return ESRGAN(num_filters=8, num_blocks=1, scale=4)


def unshuffled():
    """RealESRGAN_x2plus' kind: sides that 2 must divide."""
    from spandrel.architectures.ESRGAN import ESRGAN
    return ESRGAN(in_nc=12, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2)


def swinir():
    from spandrel.architectures.SwinIR import SwinIR
    return SwinIR(img_size=64, embed_dim=24, depths=[2, 2], num_heads=[2, 2], window_size=8, mlp_ratio=2, upscale=2, upsampler="pixelshuffledirect")


def dat():
    from spandrel.architectures.DAT import DAT
    return DAT(img_size=64, embed_dim=24, split_size=[8, 8], depth=[2], num_heads=[2], expansion_factor=2, upscale=2, upsampler="pixelshuffledirect")


def realplksr():
    from spandrel.architectures.PLKSR import RealPLKSR
    return RealPLKSR(dim=16, n_blocks=3, upscaling_factor=4, kernel_size=9)


def plksr():
    from spandrel.architectures.PLKSR import PLKSR
    return PLKSR(dim=16, n_blocks=2, upscaling_factor=3, kernel_size=9)


BOUNDED = {"compact": compact, "span": span, "esrgan": esrgan, "unshuffled": unshuffled, "swinir": swinir, "plksr": plksr}
UNBOUNDED = {"dat": dat, "realplksr": realplksr}


def saved(make, folder, name="model.safetensors", lively: float = 1.5) -> str:
    """A file with random weights, a little larger than an initialisation's, so that what is far away counts."""
    pytest.importorskip("spandrel", reason="spandrel is not installed")
    torch.manual_seed(0)
    network = make()
    for value in network.parameters():
        value.data *= lively if value.ndim > 1 else 1
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / name) if name.endswith("safetensors") else torch.save({"params_ema": state}, folder / name)
    return str(folder / name)


@pytest.mark.parametrize("make", BOUNDED.values(), ids=BOUNDED)
def test_tiles_equal_the_whole(make, tmp_path):
    generator = load_generator(saved(make, tmp_path))
    lr = to_tensor(photograph(47, 61))
    whole = enlarge(lr, generator, 1000)
    assert whole.shape[-2:] == (47 * generator.scale, 61 * generator.scale) and not getattr(generator, "whole", False) and whole.std() > 0
    assert (enlarge(lr, generator, 24) - whole).abs().max() <= ONE_LEVEL


def test_tiles_of_a_shrunk_one_equal_the_whole(tmp_path):
    network, lr = Shrunk(load_generator(saved(compact, tmp_path)), 2), to_tensor(photograph(47, 61))
    assert (enlarge(lr, network, 24) - enlarge(lr, network, 1000)).abs().max() <= ONE_LEVEL


@pytest.mark.parametrize("make", UNBOUNDED.values(), ids=UNBOUNDED)
def test_a_network_that_looks_everywhere_is_run_whole_or_refused(make, tmp_path, monkeypatch):
    generator = load_generator(saved(make, tmp_path))
    lr = to_tensor(photograph(45, 61))
    assert generator.whole
    assert torch.equal(enlarge(lr, generator), generator(lr))
    with pytest.raises(ImageError, match="looks at the whole image at once: tiles of 16 would show seams"):
        enlarge(lr, generator, 16)
    monkeypatch.setattr("srgan_lib.upscaling.tiles.free_memory", lambda device: 2**20)
    with pytest.raises(ImageError, match="61 x 45 pixels do not fit into memory at once, and this network looks at the whole image"):
        enlarge(lr, generator)


def test_windows_of_a_turned_image_begin_elsewhere(tmp_path):
    generator = load_generator(saved(swinir, tmp_path))
    assert generator.alignment == 8
    with pytest.raises(ImageError, match="whole image at once"):
        enlarge(to_tensor(photograph(45, 61)), SelfEnsemble(generator), 16)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (10, 10), (1, 40)], ids=str)
@pytest.mark.parametrize("make", [swinir, unshuffled, span], ids=lambda make: make.__name__)
def test_any_size(make, size, tmp_path):
    generator = load_generator(saved(make, tmp_path))
    assert enlarge(to_tensor(photograph(*size)), generator).shape == (1, 3, *(generator.scale * side for side in size))


def test_the_command_and_a_pth(tmp_path):
    path = saved(span, tmp_path, "2x_span.pth")
    Image.fromarray(photograph(20, 30)).save(tmp_path / "a.png")
    assert main(["upscale", str(tmp_path / "a.png"), "--model", path]) == 0
    assert Image.open(tmp_path / "a-x2.png").size == (60, 40)
    assert np.asarray(upscale(str(tmp_path / "a.png"), path, scale=4)).shape == (80, 120, 3)


def test_old_and_new_esrgan_keys_give_the_same_through_both_readers(tmp_path):
    """spandrel 0.4.2 and our own reader."""
    spandrel = pytest.importorskip("spandrel", reason="spandrel is not installed")
    from srgan_lib.models.foreign import from_state
    torch.manual_seed(0)
    ours = RRDBNet(blocks=1, channels=8, growth=32).eval()  # spandrel knows no other growth
    new = ours.state_dict()
    names = {"conv_first": "model.0", "conv_body": "model.1.sub.1", "conv_up1": "model.3", "conv_up2": "model.6", "conv_hr": "model.8", "conv_last": "model.10"}
    old = {}
    for key, value in new.items():
        layer, _, kind = key.rpartition(".")
        number = layer.split(".")
        old[f"{names[layer]}.{kind}" if layer in names else f"model.1.sub.0.{number[2].upper()}.{number[3]}.0.{kind}"] = value
    lr = to_tensor(photograph(20, 24))
    with torch.no_grad():
        for state in (new, old):
            assert (from_state(spandrel, state, "a")(lr) - ours(lr).clamp(0, 1)).abs().max() < 1e-5


@pytest.mark.parametrize("name, scale, wrong", [("3x_toon.pth", 2, True), ("toon-x3.safetensors", 2, True), ("4x_toon.pth", 4, False), ("x2.pth", 2, False),
                                                ("toon.pth", 2, False), ("RealESRGAN_x4plus.pth", 4, False), ("1x_2x_toon.pth", 2, False), ("box3.pth", 2, False)])
def test_a_name_that_says_another_scale(name, scale, wrong):
    """An RRDB network of scale 3 has the tensors of one of scale 2, and spandrel 0.4.2 runs it as such."""
    if wrong:
        with pytest.raises(ModelError, match="its name says x3, and its tensors read as x2"):
            check_scale(name, scale)
    else:
        check_scale(name, scale)


def test_a_scale_that_is_not_what_comes_out():
    with pytest.raises(ModelError, match="says that it enlarges by 4, and makes 20 x 20 pixels of 10 x 10"):
        measured(Outside(lambda x: nn.functional.interpolate(x, scale_factor=2), 4, "liar"))
    with pytest.raises(ModelError, match="liar: cannot compute 10 x 10 pixels"):
        measured(Outside(lambda x: x.reshape(7, 7), 1, "liar"))


@pytest.mark.parametrize("run, radius, alignment, whole", [
    (lambda x: nn.functional.avg_pool2d(x, 7, 1, 3), 3, 1, False),
    (lambda x: nn.functional.interpolate(nn.functional.avg_pool2d(x, 4, ceil_mode=True), scale_factor=4)[..., :x.shape[-2], :x.shape[-1]], 0, 4, False),
    (lambda x: x - x.mean((2, 3), keepdim=True), 0, 1, True),
    (lambda x: nn.functional.instance_norm(x), 0, 1, True),
], ids=["mean of 7", "blocks of 4", "minus the mean", "instance norm"])
def test_radius_alignment_and_a_reach_without_end_are_measured(run, radius, alignment, whole):
    network = measured(Outside(run, 1, "a"))
    assert network.whole == whole
    if not whole:
        assert radius <= network.radius <= 2 * radius + 2 and network.alignment == alignment


def test_a_gradient_shows_a_mean_that_does_next_to_nothing():
    assert looks_everywhere(lambda x: x + 1e-4 * x.mean((2, 3), keepdim=True), 16, 192)
    assert not looks_everywhere(lambda x: nn.functional.avg_pool2d(x, 15, 1, 7), 16, 192)


@pytest.mark.parametrize("state, words", [
    ({"a": torch.zeros(3)}, "of no architecture that spandrel"), ({"conv_first.weight": torch.full((4, 3, 3, 3), torch.nan)}, "no plain tensor"),
], ids=["unknown", "nan"])
def test_a_file_that_nobody_reads_is_one_sentence(state, words, tmp_path, capsys):
    pytest.importorskip("spandrel", reason="spandrel is not installed")
    save_file(state, tmp_path / "a.safetensors")
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.png")
    assert main(["upscale", str(tmp_path / "a.png"), "--model", str(tmp_path / "a.safetensors")]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and said.count("\n") == 0 and not (tmp_path / "a-x4.png").exists()


def test_without_spandrel_it_is_one_sentence(tmp_path, monkeypatch, capsys):
    path = saved(span, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.png")
    assert main(["upscale", str(tmp_path / "a.png"), "--model", path]) == 2
    assert "pip install spandrel" in capsys.readouterr().err


def test_weights_decide_what_is_done_already(tmp_path):
    """Two files of one name are two models to a folder that is upscaled again."""
    from srgan_lib.upscaling import Upscaler
    first = Upscaler(saved(span, tmp_path)).fingerprint()
    assert Upscaler(saved(span, tmp_path)).fingerprint() == first != Upscaler(saved(span, tmp_path, lively=1.2)).fingerprint()
