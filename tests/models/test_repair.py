"""REPAIR: two networks mixed weight by weight keep the size of their activations, and so their colours."""

import pytest
import torch

from srgan_lib.images import degrade
from srgan_lib.models import RRDBNet, SRResNet, interpolate, load_generator
from srgan_lib.models.repair import _layers, _measured


@pytest.fixture(scope="module")
def lr():
    """Smooth LR images (3, 3, 20, 24)."""
    return degrade(torch.rand(3, 3, 80, 96, generator=torch.Generator().manual_seed(0)), 4)


def stirred(network, seed: int):
    """A network in eval mode whose weights and statistics are those of no other seed."""
    draw = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.add_(0.05 * torch.rand(value.shape, generator=draw))
    return network.eval()


@pytest.mark.parametrize("make", (lambda: SRResNet(blocks=2, channels=6), lambda: SRResNet(blocks=2, channels=6, normalization="none"),
                                  lambda: SRResNet(scale=3, blocks=1, channels=6, upsampling="pixelshuffledirect"),
                                  lambda: RRDBNet(blocks=1, channels=6, growth=3)), ids=range(4))
def test_every_layer_gets_the_statistics_between_those_of_the_two(make, lr):
    first, second = stirred(make(), 0), stirred(make(), 1)
    one, other = _measured(first, lr), _measured(second, lr)
    for name, (mean, deviation) in _measured(interpolate(first, second, 0.3, lr), lr).items():
        torch.testing.assert_close(mean, torch.lerp(one[name][0], other[name][0], 0.3), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(deviation, torch.lerp(one[name][1], other[name][1], 0.3), rtol=1e-3, atol=1e-4)


def test_a_batch_norm_and_its_convolution_are_one_layer():
    layers = _layers(SRResNet(blocks=2, channels=6))
    assert [name for name in layers if name.startswith("body.0")] == ["body.0.norm1", "body.0.norm2"]
    assert {"head.0", "body_end.1", "upsample.0", "tail"} < {*layers} and "body_end.0" not in layers


def test_the_ends_and_the_two_networks_stay_as_they_are(lr):
    first, second = stirred(SRResNet(blocks=1, channels=6), 0), stirred(SRResNet(blocks=1, channels=6), 1)
    before = [{key: value.clone() for key, value in network.state_dict().items()} for network in (first, second)]
    interpolate(first, second, 0.5, lr)
    for alpha, network in ((0, first), (1, second)):
        end = interpolate(first, second, alpha, lr).state_dict()
        assert all(torch.equal(end[key], value) for key, value in network.state_dict().items())
    assert all(torch.equal(value, network.state_dict()[key]) for network, state in zip((first, second), before) for key, value in state.items())


@torch.no_grad()
def test_the_shipped_pair_darkens_without_it_and_not_with_it():
    """Measured on Set5's centres at 0.6 (torch 2.14.1): -9.0 grey levels and 26.97 dB without, -0.7 and 30.06 dB with it."""
    from srgan_lib.data import images
    from srgan_lib.images import read_image, to_tensor
    hr = to_tensor(next(read_image(source) for name, source in images("sample", "valid") if "chelsea" in name or "cat" in name)[100:228, 150:278])
    shift = lambda network: float((network(degrade(hr, 4)) - hr).mean()) * 255
    assert shift(interpolate("srresnet-x4", "srgan-x4", 0.6)) < -4
    assert abs(shift(load_generator("srresnet-x4,srgan-x4,0.6"))) < 2
