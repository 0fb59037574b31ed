"""RRDBNet: its mathematics, its reach, the published layouts, tiles, both stages of training, and network interpolation."""

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from experiments import digest
from safetensors.torch import save_file
from torch import nn

from srgan_lib.upscaling import tiles
from srgan_lib.__main__ import main
from srgan_lib.training import RunFolder
from srgan_lib.training import make_generator
from srgan_lib.data import ImageBank, images
from srgan_lib.models import from_published, interpolate, load_published
from srgan_lib.models.loading import sample_patches
from srgan_lib.models.published import current_names, infer_options
from srgan_lib.upscaling import enlarge, fold_batch_norm
from srgan_lib.errors import ModelError
from srgan_lib.models import RRDB, WEIGHTS, DenseBlock, RRDBNet, SRResNet, load_generator
from srgan_lib.upscaling.pictures import SelfEnsemble, Shrunk
from srgan_lib.training import TINY, train


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def small(**options) -> RRDBNet:
    return RRDBNet(**{"blocks": 1, "channels": 4, "growth": 2, **options}).eval()


def wild(network: nn.Module) -> nn.Module:
    """Weights ten times the initial ones in the blocks: nothing is small enough to be overlooked."""
    for part in network.modules():
        if isinstance(part, DenseBlock):
            for layer in part.children():
                layer.weight.data *= 10
    return network


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# ---------------------------------------------------------------- the network


def test_rrdbnet_has_16697987_parameters():
    with torch.device("meta"):
        assert parameters(RRDBNet()) == 16_697_987
        assert parameters(RRDBNet(blocks=6)) == 16_697_987 - 17 * parameters(RRDB()) == 4_467_779


@pytest.mark.parametrize("scale", (2, 4, 8))
@pytest.mark.parametrize("size", ((1, 1), (5, 7)))
def test_every_scale_gives_its_size(scale, size):
    sr = small(scale=scale)(torch.rand(2, 3, *size))
    assert sr.shape == (2, 3, scale * size[0], scale * size[1]) and sr.isfinite().all()


@pytest.mark.parametrize("scale", (1, 3, 5, "4"))
def test_other_scales_are_refused(scale):
    with pytest.raises(ValueError, match=f"scale {scale}"):
        small(scale=scale)


def plain_forward(state: dict, lr: torch.Tensor, blocks: int, doublings: int) -> torch.Tensor:
    """Fig. 3 and 4 of Wang et al. 2018 re-stated: functional, every sum written out."""
    def conv(x, name):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    def active(x):
        return torch.where(x > 0, x, 0.2 * x)

    first = x = conv(lr, "conv_first")
    for block in range(blocks):
        entered = x
        for dense in (1, 2, 3):
            kept = [x]
            for number in (1, 2, 3, 4):
                kept.append(active(conv(torch.cat(kept, 1), f"body.{block}.rdb{dense}.conv{number}")))
            x = x + 0.2 * conv(torch.cat(kept, 1), f"body.{block}.rdb{dense}.conv5")
        x = entered + 0.2 * x
    x = first + conv(x, "conv_body")
    for number in range(1, doublings + 1):
        x = active(conv(x.repeat_interleave(2, -1).repeat_interleave(2, -2), f"conv_up{number}"))
    return conv(active(conv(x, "conv_hr")), "conv_last")


@pytest.mark.parametrize("scale, doublings", ((2, 1), (4, 2), (8, 3)))
def test_it_equals_its_plain_restatement(scale, doublings):
    network, lr = wild(small(scale=scale, blocks=2)).double(), torch.rand(2, 3, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(network(lr), plain_forward(network.state_dict(), lr, 2, doublings), rtol=1e-12, atol=1e-12)


def test_blocks_without_corrections_multiply_and_add():
    """With the last convolution at zero a dense block is the identity, and a block of three is x + 0.2 x."""
    x, block = torch.randn(1, 4, 6, 6), RRDB(4, 2)
    for dense in (block.rdb1, block.rdb2, block.rdb3):
        nn.init.zeros_(dense.conv5.weight), nn.init.zeros_(dense.conv5.bias)
        assert torch.equal(dense(x), x)
    torch.testing.assert_close(block(x), 1.2 * x)


def test_the_initial_weights_of_the_blocks_are_a_tenth_of_kaimings():
    network = RRDBNet(blocks=1)
    assert network.body[0].rdb2.conv5.weight.std().item() == pytest.approx(0.1 * (2 / (192 * 9)) ** 0.5, rel=0.02)
    assert network.body[0].rdb1.conv1.bias.abs().max() == 0


def test_there_is_no_batch_norm_in_it_and_pictures_do_not_see_each_other():
    network, batch = small().train(), torch.rand(3, 3, 6, 6)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
    torch.testing.assert_close(network(batch)[:1], network(batch[:1]))


@pytest.mark.parametrize("scale", (2, 4, 8))
@pytest.mark.parametrize("blocks", (0, 1, 2))
def test_the_radius_by_perturbation_equals_the_derived_one(scale, blocks):
    network = wild(small(scale=scale, blocks=blocks)).double()
    size = 2 * network.radius + 5
    lr = torch.rand(1, 3, size, size, dtype=torch.float64)
    poked = lr.clone()
    poked[..., size // 2, size // 2] += 1e6
    changed = (network(poked) != network(lr)).any(1)[0].nonzero() // scale - size // 2
    assert changed.abs().max() == network.radius == 15 * blocks + 4


# ---------------------------------------------------------------- tiles


@pytest.mark.parametrize("scale", (2, 4))
@pytest.mark.parametrize("size", ((1, 1), (1, 71), (70, 45)))
def test_tiles_equal_the_whole(scale, size, monkeypatch):
    network, lr = wild(small(scale=scale)), torch.rand(1, 3, *size)
    monkeypatch.setattr(tiles, "INNER_TILE", 8)
    for tile in (None, 16, 21):
        assert (enlarge(lr, network, tile) - network(lr)).abs().max() < 1e-5


def test_tiles_of_a_deep_one_whose_halo_is_narrower_than_its_reach():
    network, lr = wild(small(blocks=23, channels=8, growth=4)), torch.rand(1, 3, 12, 220)
    assert tiles.halo_of(network) == tiles.halo_of(Shrunk(network, 2)) == 64 < network.radius == 349
    with torch.no_grad():
        expected = network(lr)
    assert (enlarge(lr, network, 16) - expected).abs().max() < 1e-5 * max(1, expected.abs().max())


def test_too_small_a_halo_would_be_seen(monkeypatch):
    network, lr = wild(small(blocks=6)), torch.rand(1, 3, 12, 90)
    monkeypatch.setattr(tiles, "halo_of", lambda prepared: 4)
    assert (enlarge(lr, network, 16) - network(lr)).abs().max() > 1e-5


def test_tiles_of_wrapped_generators():
    network, lr = wild(small()), torch.rand(2, 3, 41, 35)
    for wrapped in (SelfEnsemble(network), Shrunk(network, 2)):
        assert (enlarge(lr, wrapped, 16) - wrapped(lr)).abs().max() < 1e-5


def test_preparing_leaves_the_original_and_bounds_the_memory_of_a_pixel():
    network, lr = small(channels=8, growth=4), torch.rand(1, 3, 9, 8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    prepared = tiles.prepare(network)
    assert torch.equal(fold_batch_norm(network)(lr), network(lr))
    assert "enlarge" not in vars(network) and all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert tiles.bytes_per_pixel(prepared) < tiles.bytes_per_pixel(network) / 2


# ---------------------------------------------------------------- published layouts


def published(layout: str = "now", blocks: int = 2, channels: int = 4, growth: int = 3, doublings: int = 2) -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of the published files, made from their description and not from RRDBNet."""
    first, dense, trunk, up, hr, last = {
        "now": ("conv_first", "body.{}.rdb{}.conv{}", "conv_body", "conv_up{}", "conv_hr", "conv_last"),
        "trunk": ("conv_first", "RRDB_trunk.{}.RDB{}.conv{}", "trunk_conv", "upconv{}", "HRconv", "conv_last"),
        "model": ("model.0", "model.1.sub.{}.RDB{}.conv{}.0", f"model.1.sub.{blocks}", "model.{}", f"model.{3 * doublings + 2}",
                  f"model.{3 * doublings + 4}"),
    }[layout]
    shapes = {first: (channels, 3), trunk: (channels, channels), hr: (channels, channels), last: (3, channels)}
    for block in range(blocks):
        for number in range(15):
            inputs, outputs = channels + number % 5 * growth, channels if number % 5 == 4 else growth
            shapes[dense.format(block, number // 5 + 1, number % 5 + 1)] = (outputs, inputs)
    for number in range(1, doublings + 1):
        shapes[up.format(3 * number if layout == "model" else number)] = (channels, channels)
    torch.manual_seed(3)
    named = {}
    for name, (outputs, inputs) in sorted(shapes.items()):
        named |= {f"{name}.weight": 0.2 * torch.randn(outputs, inputs, 3, 3), f"{name}.bias": torch.randn(outputs)}
    return named


LAYOUTS = ("now", "trunk", "model")


def test_the_published_files_have_702_tensors_and_these_names():
    """23 blocks of 64 channels and growth 32: what the papers' own files hold."""
    for layout in LAYOUTS:
        assert len(published(layout, 23, 2, 2)) == 702
    assert {"model.0.weight", "model.1.sub.22.RDB3.conv5.0.bias", "model.1.sub.23.weight", "model.3.bias", "model.6.weight",
            "model.8.weight", "model.10.bias"} <= set(published("model", 23, 2, 2))
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in RRDBNet().state_dict().items()}
    assert shapes == {key: tuple(value.shape) for key, value in published("now", 23, 64, 32).items()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("doublings", (1, 2, 3))
def test_every_layout_loads_strictly_and_means_the_same(layout, doublings):
    state = published(layout, doublings=doublings)
    generator, lr = from_published(state), torch.rand(1, 3, 6, 5)
    assert infer_options(current_names(state)) == {"scale": 2**doublings, "blocks": 2, "channels": 4, "growth": 3}
    assert not generator.training and generator.scale == 2**doublings
    torch.testing.assert_close(generator(lr), plain_forward(current_names(state), lr, 2, doublings))
    names = [key for key, value in state.items() if any(torch.equal(value, kept) for kept in generator.state_dict().values())]
    assert len(names) == len(state) == len(generator.state_dict())


def test_todays_layout_is_rrdbnets_own():
    RRDBNet(4, 2, 4, 3).load_state_dict(published("now"), strict=True)


@pytest.mark.parametrize("suffix", (".pth", ".safetensors"))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_load_by_their_name(layout, suffix, tmp_path):
    state, path = published(layout), tmp_path / f"esrgan{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save({"params_ema": state}, path)
    lr = torch.rand(1, 3, 6, 5)
    assert torch.equal(load_generator(str(path))(lr), from_published(state)(lr))
    assert torch.equal(load_published(path)(lr), from_published(state)(lr))


def refusal(state, name="x.pth") -> str:
    with pytest.raises(ModelError) as caught:
        from_published(state, name)
    message = str(caught.value)
    assert message.startswith(name) and "\n" not in message and len(message) < 500
    return message


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrong_one_is_refused_with_the_keys_that_differ(layout):
    state = published(layout)
    lacking = {key: value for key, value in state.items() if "conv3" not in key}
    assert "lacks body.0.rdb1.conv3.weight, body.0.rdb1.conv3.bias" in refusal(lacking) and "and 9 more" in refusal(lacking)
    assert "has besides stranger.weight" in refusal(state | {"stranger.weight": torch.zeros(1)})
    key = next(key for key in state if "conv4" in key and "weight" in key)
    assert re.search(r"other shapes body\.0\.rdb1\.conv4\.weight \(3, 99, 3, 3\) for \(3, 13, 3, 3\)",
                     refusal(state | {key: torch.zeros(3, 99, 3, 3)}))


@pytest.mark.parametrize("state", (
    {}, [], None, {"params": 3}, {"a": 1}, {"conv_first.weight": torch.zeros(())}, {"conv_first.weight": torch.zeros(0, 0, 0, 0)},
    {"body.900000000.x": torch.zeros(1)}, {f"body.{n}.x": torch.zeros(1) for n in range(200)}, {"model.1.weight": torch.zeros(1)},
    SRResNet(blocks=1, channels=2).state_dict(), {"conv_first.weight": torch.zeros(10**7, 1, 1, 1)}), ids=lambda state: str(state)[:30])
def test_what_is_no_rrdbnet_is_one_sentence(state):
    refusal(state)


def test_other_kinds_of_published_files_are_called_by_their_names():
    assert "compact network" in refusal({"body.0.weight": torch.zeros(8, 3, 3, 3), "body.1.weight": torch.zeros(8)})
    assert "a discriminator, which is not supported" in refusal({"conv0.weight": torch.zeros(8, 3, 3, 3), "conv9.weight": torch.zeros(1, 8, 3, 3)})


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ""])
def test_a_file_counts_whatever_its_suffix_and_what_else_is_in_it(suffix, tmp_path, capsys, monkeypatch):
    torch.save({"params_ema": published(), "optimizer": {"lr": 0.1}, "iter": 5}, tmp_path / f"net{suffix}")
    assert load_generator(tmp_path / f"net{suffix}").scale == 4 and capsys.readouterr().out == ""
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.0+cpu"))
    load_generator(tmp_path / f"net{suffix}")
    assert "CVE-2026-24747" in capsys.readouterr().out


def test_x2_files_that_unshuffle_first_are_refused_by_shape():
    state = published() | {"conv_first.weight": torch.zeros(4, 12, 3, 3)}
    assert "conv_first.weight (4, 12, 3, 3) for (4, 3, 3, 3)" in refusal(state)


class Trap:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", (
    lambda trap, path: path.write_bytes(pickle.dumps(trap)), lambda trap, path: torch.save({"params": trap}, path),
    lambda trap, path: torch.save(trap, path)))
@pytest.mark.parametrize("suffix", (".pth", ".safetensors"))
def test_a_strangers_pickle_is_never_executed(write, suffix, tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / f"esrgan{suffix}"
    write(Trap(sprung), path)
    for load in (load_published, load_generator):
        with pytest.raises(ModelError, match="tensors alone") as caught:
            load(path)
        assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
    assert not sprung.exists()


def test_an_absent_file_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_generator(tmp_path / "absent.pth")


def test_the_command_line_takes_a_published_file(tmp_path, capsys):
    from samples import save_photographs
    folder = save_photographs(tmp_path / "in", 1, 12, 16)
    torch.save(published("model"), tmp_path / "old.pth")
    assert main(["upscale", str(folder / "00.png"), "--model", str(tmp_path / "old.pth"), "--device", "cpu"]) == 0
    assert (folder / "00-x4.png").is_file()
    assert main(["upscale", str(folder / "00.png"), "--model", str(tmp_path / "no.pth"), "--device", "cpu"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_save_and_load_round_trip(tmp_path):
    network, lr = small(blocks=2), torch.rand(1, 3, 5, 7)
    network.save_pretrained(tmp_path)
    loaded = load_generator(tmp_path)
    assert isinstance(loaded, RRDBNet) and loaded.radius == network.radius
    assert torch.equal(loaded(lr), network(lr))


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("stage", ("srresnet", "srgan"))
def test_both_stages_train_resume_and_export(stage, tmp_path):
    bank = ImageBank.build(images("sample", "train", 1), tmp_path / "bank", progress=False)
    config = replace(getattr(TINY, stage), architecture="RRDBNet", blocks=1, channels=8, batch=2, hr_size=32, steps=4, log_every=2,
                     checkpoint_every=2, content="l1", adversarial="relativistic", discriminator_head="pooled", discriminator_channels=8)
    for _ in train(config, bank, tmp_path / "cut", device="cpu"):
        break
    for run in ("cut", "whole"):
        list(train(config, bank, tmp_path / run, device="cpu"))
    whole, cut = (RunFolder(tmp_path / run).load()["networks"]["generator"] for run in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    exported = load_generator(tmp_path / "whole" / "generator")
    assert isinstance(exported, RRDBNet) and exported.body[0].rdb1.conv1.out_channels == 4


def test_a_config_makes_the_papers_network_and_starts_from_published_weights(tmp_path):
    config = replace(TINY.srresnet, architecture="RRDBNet", blocks=2, channels=4)
    torch.save(published("trunk", growth=2), tmp_path / "esrgan.pth")
    generator = make_generator(replace(config, init=str(tmp_path / "esrgan.pth")))
    assert torch.equal(generator.conv_hr.weight, published("trunk", growth=2)["HRconv.weight"])
    with torch.device("meta"):
        assert parameters(make_generator(replace(config, blocks=23, channels=64))) == 16_697_987


# ---------------------------------------------------------------- network interpolation


def trained(seed: int, **options) -> SRResNet:
    """Batch norms with statistics and counts of their own."""
    torch.manual_seed(seed)
    network = SRResNet(**{"blocks": 1, "channels": 4, **options}).train()
    for _ in range(seed + 1):
        network(torch.rand(2, 3, 8, 8))
    return network.eval()


def test_both_ends_are_exact_and_statistics_are_included():
    psnr, gan = trained(0), trained(1)
    for alpha, wanted in ((0, psnr), (1, gan)):
        state = interpolate(psnr, gan, alpha).state_dict()
        assert all(torch.equal(value, wanted.state_dict()[key]) for key, value in state.items())
        assert any("running_mean" in key for key in state) and any("num_batches_tracked" in key for key in state)


def test_between_the_ends_every_weight_lies_between():
    psnr, gan = trained(0), trained(1)
    state, mixed = psnr.state_dict(), interpolate(psnr, gan, 0.3)
    for key, value in mixed.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.7 * state[key] + 0.3 * gan.state_dict()[key])
    assert not mixed.training and all(torch.equal(value, psnr.state_dict()[key]) for key, value in state.items())
    assert not torch.equal(mixed.body[0].norm1.running_mean, state["body.0.norm1.running_mean"])
    assert torch.equal(psnr.body[0].norm1.running_mean, state["body.0.norm1.running_mean"])  # the ends stay as they were


@pytest.mark.parametrize("other, words", (
    (lambda: trained(1, blocks=2), "blocks"), (lambda: trained(1, output="tanh"), "output"), (lambda: trained(1, scale=2), "scale"),
    (lambda: small(channels=4), "architecture")))
def test_different_architectures_are_refused(other, words):
    with pytest.raises(ModelError, match=f"cannot be interpolated: they differ in .*{words}"):
        interpolate(trained(0), other(), 0.5)


@pytest.mark.parametrize("alpha", (-0.1, 1.1, float("nan"), "half"))
def test_alpha_is_checked(alpha):
    with pytest.raises(ModelError, match=f"alpha {alpha}"):
        interpolate(trained(0), trained(1), alpha)


def test_names_and_the_command_line_take_it_too(tmp_path, capsys):
    for seed in (0, 1):
        trained(seed).save_pretrained(tmp_path / f"net{seed}")
    name, lr = f"{tmp_path / 'net0'},{tmp_path / 'net1'},0.25", torch.rand(1, 3, 6, 6)
    expected = interpolate(trained(0), trained(1), 0.25)(lr)
    assert torch.equal(interpolate(trained(0), tmp_path / "net1", 0.25)(lr), expected)
    repaired = interpolate(trained(0), trained(1), 0.25, sample_patches())  # by a name, a network with batch norm is put right
    assert torch.equal(load_generator(name)(lr), repaired(lr))
    assert not torch.equal(repaired(lr), expected)
    from samples import save_photographs
    folder = save_photographs(tmp_path / "in", 1, 60, 60)
    assert main(["evaluate", "--model", name, "--data", str(folder)]) == 0
    assert main(["evaluate", "--model", name + "x", "--data", str(folder)]) == 2
    assert "alpha 0.25x" in capsys.readouterr().err


def test_the_record_of_the_interpolation_is_of_the_shipped_weights():
    measured = json.loads((WEIGHTS / "esrgan.json").read_text())["interpolation"]["weights"]
    assert measured == {name: digest(WEIGHTS / name / "model.safetensors") for name in measured}, \
        "esrgan.json is of other weights: run tests/runs/esrgan_record.py"
