"""The bicubic start: SRResNet begins as (almost) bicubic interpolation, and what cannot is refused in a sentence."""

from dataclasses import replace

import pytest
import torch

from srgan_lib.data import images
from srgan_lib.errors import CourseError, ModelError, TrainingError
from srgan_lib.images import degrade, read_image, resize_bicubic, to_tensor
from srgan_lib.metrics import protocol_psnr
from srgan_lib.models import EncoderDecoder, RRDBNet, SRResNet, begin_as_bicubic
from srgan_lib.models.start import cubic_weights, phase_taps
from srgan_lib.training import LIVE, PROFILES, TINY, TrainConfig, make_generator
from srgan_lib.training.validation import centre

SCALES = (2, 3, 4, 8)


@pytest.fixture(scope="module")
def held_out():
    return [read_image(source) for _, source in images("sample", "valid")]


def started(**options) -> SRResNet:
    torch.manual_seed(0)
    generator = SRResNet(**{"blocks": 2, "channels": 16, **options}).eval()
    begin_as_bicubic(generator)
    return generator


def mean_psnr(enlarge, pictures, scale) -> float:
    values = []
    for picture in pictures:
        hr = to_tensor(centre(picture, 240, scale))
        values.append(protocol_psnr(enlarge(degrade(hr, scale)), hr, scale))
    return sum(values) / len(values)


# What it is


@pytest.mark.parametrize("upsampling", ("pixelshuffle", "pixelshuffledirect"))
@pytest.mark.parametrize("scale", SCALES)
@torch.no_grad()
def test_step_0_is_within_0_3_dB_of_bicubic_on_the_sample(scale, upsampling, held_out):
    bicubic = mean_psnr(lambda lr: resize_bicubic(lr, scale), held_out, scale)
    assert mean_psnr(started(scale=scale, upsampling=upsampling), held_out, scale) == pytest.approx(bicubic, abs=0.3)


@pytest.mark.parametrize("options", ({"blocks": 0}, {"blocks": 16, "channels": 64}, {"normalization": "none"}, {"channels": 3}))
@torch.no_grad()
def test_it_is_the_same_function_whatever_the_size_of_the_network(options):
    picture = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(started(**options)(picture), started()(picture), atol=1e-5)


@torch.no_grad()
def test_training_mode_changes_nothing_at_the_start():
    """The residual path is zero, so the statistics of a batch do not matter."""
    picture = torch.rand(4, 3, 12, 10)
    assert torch.allclose(started().train()(picture), started()(picture), atol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@torch.no_grad()
def test_a_plain_area_stays_plain_and_colours_stay_apart(scale):
    picture = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    middle = started(scale=scale)(picture)[..., 6 * scale:-6 * scale, 6 * scale:-6 * scale]
    assert torch.allclose(middle, torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand_as(middle), atol=1e-5)


def test_the_kernel_is_keys_cubic_convolution():
    """Keys 1981, eq. 15 (a = -1/2): 1 at 0, 0 at 1 and 2, 9/16 at a half, -1/16 at one and a half."""
    assert cubic_weights(torch.tensor([0.0, 1.0, 2.0, 3.0, 0.5, -0.5, 1.5])).tolist() == [1, 0, 0, 0, 9 / 16, 9 / 16, -1 / 16]


def test_each_phase_weighs_to_one_and_opposite_phases_mirror():
    for factor in (2, 3):
        taps = phase_taps(factor)
        assert taps.shape == (factor, 3) and torch.allclose(taps.sum(1), torch.ones(factor))
        assert torch.allclose(taps, taps.flip(0, 1), atol=1e-6)
    assert torch.allclose(phase_taps(3)[1], torch.tensor([0.0, 1.0, 0.0]))


def test_every_weight_can_still_learn():
    """Zeros could be a dead end: after two steps of training, every tensor has moved."""
    generator = started().train()
    before = {name: tensor.clone() for name, tensor in generator.named_parameters()}
    optimizer = torch.optim.Adam(generator.parameters(), 1e-3)
    lr, hr = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    for _ in range(3):
        optimizer.zero_grad()
        (generator(lr) - hr).abs().mean().backward()
        optimizer.step()
    assert [name for name, tensor in generator.named_parameters() if torch.equal(tensor, before[name])] == []


# What cannot


@pytest.mark.parametrize("generator", (EncoderDecoder(channels=4), RRDBNet(blocks=1, channels=4, growth=2), SRResNet(blocks=1, channels=2),
                                       SRResNet(blocks=1, channels=4, upsampling="transposed"), SRResNet(blocks=1, channels=4, upsampling="resize"),
                                       SRResNet(blocks=1, channels=4, output="tanh")), ids=range(6))
def test_a_network_that_cannot_is_refused_and_left_alone(generator):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    with pytest.raises(ModelError, match="start bicubic: .* begin as bicubic interpolation") as refused:
        begin_as_bicubic(generator)
    assert "\n" not in str(refused.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


# The field of the config


@pytest.mark.parametrize("change", ({"architecture": "RRDBNet"}, {"architecture": "EncoderDecoder"}, {"upsampling": "resize"}, {"upsampling": "transposed"},
                                    {"output": "tanh"}, {"channels": 2}))
def test_a_config_that_cannot_begin_so_is_refused(change):
    with pytest.raises(TrainingError, match="start bicubic: wants .*start=random takes any"):
        replace(TINY.srresnet, start="bicubic", **change)
    replace(TINY.srresnet, start="bicubic", init="srresnet-x4", **change)  # init brings the weights, and start is not asked


@pytest.mark.parametrize("value", ("bilinear", "", None, 1))
def test_an_unknown_start_is_refused(value):
    with pytest.raises(CourseError, match="start"):
        replace(TINY.srresnet, start=value)


def test_random_is_the_papers_and_the_default():
    assert TrainConfig().start == "random"
    assert {name: profile.srresnet.start for name, profile in PROFILES.items()} == {
        "tiny": "random", "live": "bicubic", "colab": "random", "paper": "random"}


@torch.no_grad()
def test_the_live_profile_begins_as_bicubic_and_its_second_stage_from_the_shipped_network():
    picture = torch.rand(1, 3, 12, 10)
    assert torch.allclose(make_generator(LIVE.srresnet).eval()(picture), started()(picture), atol=1e-5)
    assert LIVE.srgan.init == "srresnet-x4" and LIVE.srgan.stage == "srgan"
    make_generator(LIVE.srgan)  # the shipped weights fit
