"""NIQE against published values, its invariances, and what it refuses."""

import numpy as np
import pytest
import torch

from srgan_lib.data import images
from srgan_lib.images import crop_to_multiple, degrade, open_picture, resize_bicubic, to_tensor
from srgan_lib.metrics import compared
from srgan_lib.niqe import _fit, fits, niqe


def levels(source, blurred: bool = False) -> torch.Tensor:
    picture = open_picture(source)
    hr = crop_to_multiple(to_tensor(picture.rgb), 4)
    return compared(resize_bicubic(degrade(hr, 4), 4) if blurred else hr, 4, picture.grey)


def test_known_values(dev_data):
    """Mean over Set5's originals: 5.51 by the authors' formula with their model, luma, 8 bit, 4 pixels shaved (BasicSR 1.4.2's port agrees)."""
    found = {path.stem: niqe(levels(path)) for path in sorted((dev_data / "benchmarks" / "Set5" / "HR").glob("*.png"))}
    assert np.mean(list(found.values())) == pytest.approx(5.505, abs=0.01)
    assert found["baby"] == pytest.approx(3.323, abs=0.005)


def test_blur_and_noise_are_less_natural_than_the_original():
    source = dict(images("sample", "valid"))["chelsea.png"]
    original = niqe(levels(source))
    noisy = levels(source) + torch.randn(levels(source).shape, generator=torch.Generator().manual_seed(0)) * 25
    assert niqe(levels(source, blurred=True)) > original + 1
    assert niqe(noisy.clamp(0, 255).round()) > original + 1


def test_a_generalised_gaussian_is_fitted():
    """A normal distribution has shape 2 and a Laplacian 1; twice the width on the right is seen on the right."""
    random = np.random.default_rng(0)
    assert _fit(random.normal(0, 1, 200_000))[0] == pytest.approx(2, abs=0.05)
    assert _fit(random.laplace(0, 1, 200_000))[0] == pytest.approx(1, abs=0.03)
    values = random.normal(0, 1, 200_000)
    _, left, right = _fit(np.where(values > 0, 2 * values, values))
    assert right / left == pytest.approx(2, rel=0.02)


def test_two_blocks_are_wanted_and_flat_ones_are_left_out():
    assert not fits(torch.zeros(96, 191)) and fits(torch.zeros(96, 192))
    with pytest.raises(ValueError, match="fewer than two blocks"):
        niqe(torch.zeros(100, 100))
    picture = levels(dict(images("sample", "valid"))["chelsea.png"]).clone()
    picture[:96, :96] = 128
    assert np.isfinite(niqe(picture))
