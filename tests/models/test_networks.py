"""The networks: counts, sizes, the folded tail, reach, saving and loading, and the notebook that builds them in view."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from srgan_lib import models
from srgan_lib.models import loading
from srgan_lib.errors import ModelError, TrainingError
from srgan_lib.models import (Discriminator, EncoderDecoder, PatchDiscriminator, RRDBNet, ResidualBlock, ShuffleConv2d, SRResNet, fold_shuffle, load_generator,
                              normalize, upsampler)
from srgan_lib.training import TINY
from srgan_lib.training.config import make_discriminator

UPSAMPLINGS = ("pixelshuffle", "pixelshuffledirect", "transposed", "resize")
SCALES = (2, 3, 4, 8)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def small(**options) -> SRResNet:
    return SRResNet(**{"blocks": 1, "channels": 4, **options})


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# Parameters and sizes


def test_generator_has_1549462_parameters():
    with torch.device("meta"):
        assert parameters(SRResNet()) == 1_549_462


def test_discriminator_has_23565505_parameters():
    with torch.device("meta"):
        assert parameters(Discriminator()) == 23_565_505
        assert parameters(Discriminator(head="pooled")) == 23_565_505 - 35 * 512 * 1024
        assert parameters(Discriminator(256)) == 23_565_505 + (16**2 - 6**2) * 512 * 1024


@pytest.mark.parametrize("blocks", (0, 1, 8))
def test_generator_parameters_follow_the_hand_count(blocks):
    channels = 8
    conv = lambda inputs, outputs, kernel: inputs * outputs * kernel**2 + outputs
    block = 2 * (conv(channels, channels, 3) + 2 * channels) + 1
    expected = (conv(3, channels, 9) + 1 + blocks * block + conv(channels, channels, 3) + 2 * channels
                + 2 * (conv(channels, 4 * channels, 3) + 1) + conv(channels, 3, 9))
    assert parameters(SRResNet(blocks=blocks, channels=channels)) == expected


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", ((1, 1), (5, 7), (8, 3)))
def test_every_scale_and_upsampling_gives_its_size(scale, upsampling, size):
    sr = small(scale=scale, upsampling=upsampling).eval()(torch.rand(2, 3, *size))
    assert sr.shape == (2, 3, scale * size[0], scale * size[1])
    assert sr.isfinite().all()


def test_direct_pixel_shuffle_computes_nothing_beyond_the_size_of_lr():
    generator = small(upsampling="pixelshuffledirect").eval()
    sizes = []
    for layer in generator.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, inputs, output: sizes.append(tuple(output.shape[-2:])))
    assert generator(torch.rand(1, 3, 6, 5)).shape == (1, 3, 24, 20)
    assert set(sizes) == {(6, 5)} and len(sizes) == 1 + 2 + 1 + 1  # head, one block, its end, one that enlarges


@pytest.mark.parametrize("scale", (2, 4, 8))
@pytest.mark.parametrize("size", ((1, 1), (1, 9), (4, 4), (5, 7), (10, 6)))
def test_encoder_decoder_takes_any_size(scale, size):
    generator = EncoderDecoder(scale, channels=4).eval()
    assert generator(torch.rand(1, 3, *size)).shape == (1, 3, scale * size[0], scale * size[1])


@pytest.mark.parametrize("options", ({"scale": 5}, {"scale": "4"}, {"output": "sigmoid"}, {"upsampling": "bilinear"}, {"normalization": "layer"}))
def test_generator_refuses_unknown_options(options):
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        small(**options)


def test_encoder_decoder_refuses_scale_3():
    with pytest.raises(ValueError, match="scale 3"):
        EncoderDecoder(3)


# The folded tail


@pytest.mark.parametrize("kernel", (3, 5, 9))
@pytest.mark.parametrize("factor", (1, 2, 3, 4))
def test_shuffle_convolution_equals_the_plain_one(factor, kernel):
    """Forward, and the gradients of weight, bias and input, against nn.PixelShuffle then nn.Conv2d."""
    folded = ShuffleConv2d(5, 3, kernel, factor).double()
    plain = nn.Conv2d(5, 3, kernel, padding=kernel // 2).double()
    plain.load_state_dict(folded.state_dict())
    x = torch.randn(2, 5 * factor**2, 4, 6, dtype=torch.float64, requires_grad=True)
    results = []
    for y, layer in ((folded(x), folded), (plain(nn.PixelShuffle(factor)(x)), plain)):
        direction = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        results.append((y, *torch.autograd.grad((y * direction).sum(), (layer.weight, layer.bias, x))))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_shuffle_convolution_in_single_precision_agrees_to_1e_5():
    folded, x = ShuffleConv2d(64, 3, 9, factor=2), torch.rand(1, 256, 12, 12)
    plain = F.conv2d(F.pixel_shuffle(x, 2), folded.weight, folded.bias, padding=4)
    assert (folded(x) - plain).abs().max() < 1e-5


def test_fold_moves_every_weight_and_invents_none():
    weight = torch.arange(1.0, 2 * 3 * 25 + 1).reshape(2, 3, 5, 5)
    folded = fold_shuffle(weight, 2)
    assert folded.shape == (8, 12, 3, 3)
    for phase in range(4):
        mine = folded.reshape(2, 4, -1)[:, phase]
        assert torch.equal(mine[mine > 0].sort().values, weight.flatten())


def plain_forward(state: dict, lr: torch.Tensor, blocks: int, factors: list[int]) -> torch.Tensor:
    """Fig. 4 re-stated from its caption: functional, in eval mode, every shuffle in its own place."""
    def conv(x, name):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=state[f"{name}.weight"].shape[-1] // 2)

    def norm(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    head = x = F.prelu(conv(lr, "head.0"), state["head.1.weight"])
    for number in range(blocks):
        y = norm(conv(x, f"body.{number}.conv1"), f"body.{number}.norm1")
        y = F.prelu(y, state[f"body.{number}.prelu.weight"])
        x = x + norm(conv(y, f"body.{number}.conv2"), f"body.{number}.norm2")
    x = head + norm(conv(x, "body_end.0"), "body_end.1")
    for number, factor in enumerate(factors):
        x = F.pixel_shuffle(conv(x, f"upsample.{3 * number}"), factor)
        x = F.prelu(x, state[f"upsample.{3 * number + 1}.weight"])
    return conv(x, "tail")


@pytest.mark.parametrize("scale, factors", ((2, [2]), (3, [3]), (4, [2, 2]), (8, [2, 2, 2])))
def test_generator_equals_its_plain_restatement(scale, factors):
    generator = SRResNet(scale=scale, blocks=2, channels=6).double()
    generator.train()(torch.rand(4, 3, 8, 8, dtype=torch.float64))  # batch norms get statistics of their own
    for index, prelu in enumerate(m for m in generator.modules() if isinstance(m, nn.PReLU)):
        nn.init.constant_(prelu.weight, 0.1 * index - 0.2)
    lr = torch.rand(2, 3, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(generator.eval()(lr), plain_forward(generator.state_dict(), lr, 2, factors), rtol=1e-9, atol=1e-9)


# What implementations get wrong


def test_training_forward_is_not_clamped():
    generator = small().train()
    nn.init.constant_(generator.tail.bias, 3.0)
    sr = generator(torch.rand(1, 3, 6, 6))
    gradient, = torch.autograd.grad(sr.sum(), sr)
    assert sr.max() > 1 and gradient.min() == 1
    generator.zero_grad()
    (sr - 1).square().mean().backward()
    assert generator.tail.bias.grad.abs().min() > 0.1


@pytest.mark.parametrize("scale, layers", ((2, 18), (3, 18), (4, 19), (8, 20)))
def test_each_layer_owns_its_prelu(scale, layers):
    generator = SRResNet(scale=scale, channels=2)
    slopes = [m.weight for m in generator.modules() if isinstance(m, nn.PReLU)]
    assert len({id(slope) for slope in slopes}) == len({slope.data_ptr() for slope in slopes}) == layers
    assert all(slope.numel() == 1 and slope.item() == 0.25 for slope in slopes)
    assert not {id(s) for s in slopes} & {id(p) for p in small().parameters()}


def test_tanh_output_stays_in_0_to_1():
    generator = small(output="tanh").train()
    nn.init.normal_(generator.tail.weight, std=5.0)
    sr = generator(torch.rand(2, 3, 6, 6))
    assert 0 <= sr.min() < 0.01 and 0.99 < sr.max() <= 1


def test_residual_block_without_a_correction_is_the_identity():
    block, x = ResidualBlock(4), torch.randn(2, 4, 5, 5)
    nn.init.zeros_(block.norm2.weight)
    assert torch.equal(block(x), x)


def test_without_normalization_pictures_do_not_see_each_other():
    generator, batch = small(normalization="none").train(), torch.rand(3, 3, 6, 6)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in generator.modules())
    torch.testing.assert_close(generator(batch)[:1], generator(batch[:1]))


def test_batch_norm_has_the_usual_epsilon_and_momentum():
    norm = normalize("batch", 4)
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)


def test_long_skip_carries_the_head_around_the_body():
    generator, lr = small().eval(), torch.rand(1, 3, 6, 6)
    nn.init.zeros_(generator.body_end[1].weight)
    torch.testing.assert_close(generator(lr), generator.tail(generator.upsample(generator.head(lr))))


@pytest.mark.parametrize("kind, uneven", (("pixelshuffle", False), ("transposed", True), ("resize", False)))
def test_only_the_transposed_upsampler_has_a_checkerboard_built_in(kind, uneven):
    (layer, *rest), left = upsampler(kind, 1, [2])
    for module in (layer, *rest):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.ones_(module.weight), nn.init.zeros_(module.bias)
    answer = F.pixel_shuffle(nn.Sequential(layer, *rest)(torch.ones(1, 1, 6, 6)), left)[0, 0, 2:-2, 2:-2]
    assert (answer.std() > 0.1) == uneven


# Discriminator


@pytest.mark.parametrize("hr_size", (96, 128, 256))
def test_discriminator_takes_its_size(hr_size):
    assert Discriminator(hr_size, channels=2)(torch.rand(2, 3, hr_size, hr_size)).shape == (2, 1)


@pytest.mark.parametrize("hr_size", (0, 8, 100))
def test_discriminator_refuses_sizes_that_do_not_halve_four_times(hr_size):
    with pytest.raises(ValueError, match=f"hr_size {hr_size}"):
        Discriminator(hr_size)
    with pytest.raises(ValueError, match="'mean'"):
        Discriminator(96, head="mean")


def test_pooled_head_takes_any_size():
    discriminator = Discriminator(head="pooled", channels=4).eval()
    for height, width in ((16, 16), (40, 33), (96, 96)):
        assert discriminator(torch.rand(1, 3, height, width)).shape == (1, 1)


def test_discriminator_takes_channels_last():
    discriminator, picture = Discriminator(32, channels=8).eval(), torch.rand(2, 3, 32, 32)
    expected = discriminator(picture)
    turned = picture.to(memory_format=torch.channels_last)
    torch.testing.assert_close(discriminator(turned), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(discriminator.to(memory_format=torch.channels_last)(turned), expected, rtol=1e-4, atol=1e-5)


def test_discriminator_returns_logits():
    discriminator = Discriminator(16, channels=8).eval()
    assert isinstance(discriminator.head[-1], nn.Linear)
    assert not any(isinstance(m, (nn.Sigmoid, nn.Softmax)) for m in discriminator.modules())
    nn.init.constant_(discriminator.head[-1].bias, -7.0)
    assert discriminator(torch.rand(2, 3, 16, 16)).max() < -5


def test_discriminator_layers_are_those_of_the_figure():
    with torch.device("meta"):
        discriminator = Discriminator()
    convolutions = [m for m in discriminator.features if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0]) for c in convolutions] == [
        (64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)]
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert sum(isinstance(m, nn.BatchNorm2d) for m in discriminator.modules()) == 7
    assert isinstance(discriminator.features[1], nn.LeakyReLU)  # no norm after the first convolution


# Reach: the halo that tiles need


def reach(generator: models.Generator, size: int, centre: int) -> int:
    """How many LR pixels away a change of one LR pixel is seen, by perturbation in double precision."""
    generator = generator.double().eval()
    lr = torch.rand(1, 3, size, size, dtype=torch.float64)
    poked = lr.clone()
    poked[..., centre, centre] += 1000
    with torch.no_grad():
        changed = (generator(poked) != generator(lr)).any(1)[0]
    places = changed.nonzero() // generator.scale - centre
    return int(places.abs().max())


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("blocks", (0, 2))
def test_radius_covers_everything_that_an_output_pixel_sees(scale, upsampling, blocks):
    generator = SRResNet(scale=scale, blocks=blocks, channels=3, upsampling=upsampling)
    size = 2 * generator.radius + 5
    measured = reach(generator, size, size // 2)
    assert measured <= generator.radius
    if upsampling == "pixelshuffle":
        assert measured == 2 * blocks + 8  # 4 + 2 blocks + 1 in the trunk, at most 3 behind it at every scale


@pytest.mark.parametrize("upsampling, behind", (("pixelshuffle", 3), ("pixelshuffledirect", 1), ("transposed", 2), ("resize", 2)))
def test_the_reach_at_scale_4_is_the_derived_one(upsampling, behind):
    """4 pixels of the head, 2 a block, 1 of the trunk's end, and what upsamplers and tail look at, counted by hand."""
    generator = SRResNet(blocks=1, channels=3, upsampling=upsampling)
    assert max(reach(generator, 31, 15 + offset) for offset in range(2)) == 4 + 2 + 1 + behind


def test_full_depth_reaches_40():
    assert reach(SRResNet(channels=4), 89, 44) == 40
    with torch.device("meta"):
        assert SRResNet().radius >= 40


@pytest.mark.parametrize("scale", (2, 4, 8))
def test_encoder_decoder_radius_covers_its_reach(scale):
    generator = EncoderDecoder(scale, channels=2)
    assert all(reach(generator, 84, 40 + offset) <= generator.radius for offset in range(4))


# Saving and loading


def saved(generator: models.Generator, folder: Path) -> Path:
    generator.save_pretrained(folder)
    return folder


def settings(folder: Path, **changes) -> Path:
    """Change values of a saved config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def refusal(name) -> str:
    """The message with which a name is refused: one short sentence."""
    with pytest.raises(ModelError) as caught:
        load_generator(name)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message and len(message) < 500
    return message


@pytest.mark.parametrize("make", (
    lambda: small(scale=3, upsampling="resize", output="tanh"), lambda: small(blocks=2, normalization="none"),
    lambda: EncoderDecoder(2, channels=4)))
def test_round_trip_is_bit_for_bit(make, tmp_path):
    generator = make()
    generator.train()(torch.rand(2, 3, 8, 8))  # running statistics are part of it
    loaded = load_generator(saved(generator, tmp_path))
    assert type(loaded) is type(generator) and not loaded.training
    assert loaded.scale == generator.scale and loaded.radius == generator.radius
    assert loaded.state_dict().keys() == generator.state_dict().keys()
    assert all(torch.equal(value, generator.state_dict()[key]) for key, value in loaded.state_dict().items())
    lr = torch.rand(1, 3, 7, 5)
    assert torch.equal(loaded(lr), generator.eval()(lr))


def test_half_precision_weights_load_as_float32(tmp_path):
    generator = small()
    loaded = load_generator(saved(generator.half(), tmp_path))
    assert load_file(tmp_path / "model.safetensors")["tail.weight"].dtype == torch.float16
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.tail.weight, generator.tail.weight.float())


def test_shipped_generators_load(tmp_path):
    for name in loading.shipped():
        generator = load_generator(name)
        assert not any(module.training for module in generator.modules())  # or batch norm would look at the company
        sr = generator(torch.rand(1, 3, 8, 8))
        assert sr.shape[-1] in (16, 24, 32, 64) and sr.isfinite().all()


def test_other_number_of_blocks_is_refused_naming_keys(tmp_path):
    folder = settings(saved(small(blocks=3), tmp_path), blocks=5)
    message = refusal(folder)
    assert "body.3.conv1.weight" in message and str(folder) in message
    assert "body.1.conv1.weight" in refusal(settings(folder, blocks=1))


def test_other_width_is_refused(tmp_path):
    assert "size mismatch" in refusal(settings(saved(small(), tmp_path), channels=6))


def test_a_missing_and_a_foreign_tensor_are_refused(tmp_path):
    path = saved(small(), tmp_path) / "model.safetensors"
    state = load_file(path)
    save_file({key: value for key, value in state.items() if key != "tail.bias"}, path)
    assert "tail.bias" in refusal(tmp_path)
    save_file(state | {"extra": torch.zeros(1)}, path)
    assert "extra" in refusal(tmp_path)


def test_unknown_name_gives_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    saved(small(), tmp_path / "srresnet-x4")
    assert loading.shipped() == ["srresnet-x4"]
    assert load_generator("srresnet-x4").scale == 4
    message = refusal("sresnet-x4")
    assert "did you mean srresnet-x4?" in message and "sresnet-x4: no such model" in message
    assert "did you mean" not in refusal("zzzzzz")


@pytest.mark.parametrize("file", ("config.json", "model.safetensors"))
def test_missing_file_is_named(file, tmp_path):
    (saved(small(), tmp_path) / file).unlink()
    assert f"{file} missing" in refusal(tmp_path)


@pytest.mark.parametrize("damage", (lambda data: b"", lambda data: data[:100], lambda data: data[:-50],
                                    lambda data: b"not a tensor " * 50, lambda data: b"\xff" * 8 + data[8:]))
def test_damaged_weights_are_refused(damage, tmp_path):
    path = saved(small(), tmp_path) / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert str(tmp_path) in refusal(tmp_path)


class Trap:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("file", ("pytorch_model.bin", "model.safetensors", "generator.pth"))
def test_pickles_are_never_read(file, tmp_path):
    sprung = tmp_path / "sprung"
    folder = saved(small(), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / file).write_bytes(pickle.dumps(Trap(sprung)))
    refusal(folder)
    assert not sprung.exists()
    pickle.loads((folder / file).read_bytes())
    assert sprung.exists()  # the trap works; nobody stepped into it


@pytest.mark.parametrize("architecture", ("RRDBNet2", "", "__import__", None, ["SRResNet"], 4))
def test_foreign_architecture_is_refused(architecture, tmp_path):
    refusal(settings(saved(small(), tmp_path), architecture=architecture))


@pytest.mark.parametrize("changes", (
    {"scale": 5}, {"scale": "4"}, {"scale": None}, {"blocks": -3}, {"blocks": "many"}, {"blocks": 1.5}, {"channels": -4},
    {"channels": "wide"}, {"upsampling": "magic"}, {"normalization": 7}, {"output": {}}))
def test_nonsense_values_are_refused(changes, tmp_path):
    refusal(settings(saved(small(), tmp_path), **changes))


@pytest.mark.parametrize("text", ("", "{", "[]", "null", "\"SRResNet\"", "\xff\xfe"))
def test_config_that_is_no_object_is_refused(text, tmp_path):
    (saved(small(), tmp_path) / "config.json").write_bytes(text.encode("latin-1"))
    assert str(tmp_path) in refusal(tmp_path)


def test_config_without_architecture_means_srresnet(tmp_path):
    path = saved(small(), tmp_path) / "config.json"
    config = json.loads(path.read_text())
    assert config.pop("architecture") == "SRResNet"
    path.write_text(json.dumps(config))
    assert isinstance(load_generator(tmp_path), SRResNet)


# The discriminator of patches


def test_patch_discriminator_counts_and_judges_every_place_by_the_same_rule():
    discriminator = PatchDiscriminator().eval()
    assert parameters(discriminator) == 1_739_969
    assert discriminator(torch.rand(2, 3, 96, 96)).shape == (2, 1, 12, 12)
    small = PatchDiscriminator("none", 4).eval()
    picture = torch.rand(1, 3, 160, 160)
    here, moved = small(picture), small(torch.roll(picture, (8, 16), (2, 3)))
    torch.testing.assert_close(moved[..., 6:-4, 7:-4], torch.roll(here, (1, 2), (2, 3))[..., 6:-4, 7:-4], rtol=1e-4, atol=1e-6)


def test_a_discriminator_goes_on_from_its_file(tmp_path):
    config = replace(TINY.srgan, discriminator_head="patch", discriminator_channels=4)
    first = make_discriminator(config)
    save_file(first.state_dict(), tmp_path / "d.safetensors")
    torch.manual_seed(7)
    again = make_discriminator(replace(config, discriminator_init=str(tmp_path / "d.safetensors")))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    for wrong, channels in ((tmp_path / "none.safetensors", 4), (tmp_path / "d.safetensors", 8)):
        with pytest.raises(TrainingError, match="discriminator_init .* does not load"):
            make_discriminator(replace(config, discriminator_init=str(wrong), discriminator_channels=channels))


@pytest.mark.parametrize("make", [SRResNet, EncoderDecoder, RRDBNet])
def test_shapes_are_known_on_the_meta_device(make):
    with torch.device("meta"):
        assert make()(torch.rand(1, 3, 8, 12)).shape == (1, 3, 32, 48)
