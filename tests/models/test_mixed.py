"""Strength: the images of a GAN and of its start, mixed; and where the start is known from."""

import json
import math

import pytest
import torch

from samples import lively
from srgan_lib.errors import ModelError
from srgan_lib.models import Mixed, SRResNet, load_generator, usual_strength
from srgan_lib.images import luma
from srgan_lib.models.mixed import AROUND, COARSE, EDGE, EVEN, FLOOR, GRAIN, MANY_WAYS, SEEN, WINDOW, around, bell, fine, mix, share, slopes
from srgan_lib.upscaling import enlarge, upscale
from srgan_lib.upscaling.tiles import prepare


@pytest.fixture
def pair(tmp_path):
    """Two saved generators, the second with a record that names the first."""
    torch.manual_seed(0)
    for name in ("base", "gan"):
        lively(SRResNet(blocks=1, channels=8)).save_pretrained(tmp_path / name)
    (tmp_path / "gan" / "training.json").write_text(json.dumps({"init": str(tmp_path / "base"), "strength": 0.3}))
    return tmp_path / "base", tmp_path / "gan"


def test_strength_mixes_the_images(pair):
    base, gan = (load_generator(path) for path in pair)
    lr = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        for strength in (0, 0.3, 1):
            mixed = load_generator(pair[1], strength=strength)
            torch.testing.assert_close(mixed(lr), mix(base(lr), gan(lr), strength), rtol=1e-5, atol=1e-6)
    assert isinstance(load_generator(pair[1]), SRResNet) and usual_strength(pair[1]) == 0.3 and usual_strength(pair[0]) == 1


def step(levels: float, height: int = 40) -> torch.Tensor:
    """A grey image of 40 columns with one vertical edge in the middle, `levels` of luma high."""
    return (0.3 + (torch.arange(40) >= 20).float() * levels / 219).expand(1, 3, height, 40)


def test_the_ends_are_the_images_themselves():
    safe, sharp = torch.rand(2, 1, 3, 20, 24)
    assert mix(safe, sharp, 0) is safe and mix(safe, sharp, 1) is sharp


def test_the_energy_of_an_edge_is_the_mean_of_its_squared_slopes():
    """By hand: a step of 40 levels has a slope of 20 in two columns, so 2 columns of 5 hold 400 where the window covers both."""
    energy = around(sum(slope**2 for slope in slopes(step(40))), WINDOW)
    assert energy.shape == (1, 1, 40, 40)
    torch.testing.assert_close(energy[0, 0, :, 19], torch.full((40,), 160.0), rtol=1e-4, atol=1e-3)
    assert float(energy[..., :17].abs().max()) < 1e-3 and float(energy[..., 23:].abs().max()) < 1e-3  # at the border too


@pytest.mark.parametrize("strength", [0.2, 0.5, 0.8])
def test_the_odds_of_the_gan_fall_with_the_edge_and_with_its_loneliness(strength):
    for levels in (0, 10, 40, 100):
        slope, part = (levels / 2)**2, 2 / AROUND  # two columns of the window have a slope
        geometric, arithmetic = (slope + FLOOR)**part * FLOOR**(1 - part), part * slope + FLOOR
        coherence = part * slope / arithmetic  # all slopes point along x
        odds = (strength / (1 - strength))**2 * EDGE / (2 / WINDOW * slope + GRAIN) * min(1, geometric / arithmetic / EVEN)**2
        odds *= min(1, geometric / SEEN)**4 * min(1, (1 - coherence) / MANY_WAYS)**2
        assert float(share(step(levels), strength)[0, 0, 20, 19]) == pytest.approx(odds / (1 + odds), rel=1e-3)


def test_the_gan_is_for_texture():
    """Noise of three levels is texture. In a flat image and beside a single edge hardly anything is taken; an image of one pixel is flat."""
    texture = (0.3 + torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0)) * 0.05).expand(1, 3, 40, 40)
    assert float(share(texture, 0.9)[..., 10:30, 10:30].mean()) > 0.8
    assert float(share(step(100), 0.9).max()) < 0.02 and float(share(torch.full((1, 3, 1, 1), 0.5), 0.9)) < 0.02


def test_colour_is_that_of_the_safe_image_and_luma_is_mixed():
    safe, sharp = 0.3 + 0.4 * torch.rand(2, 1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    mixed = mix(safe, sharp, 0.6)
    torch.testing.assert_close(mixed[:, 0] - mixed[:, 1], safe[:, 0] - safe[:, 1])
    torch.testing.assert_close(mixed[:, 2] - mixed[:, 1], safe[:, 2] - safe[:, 1])
    torch.testing.assert_close(luma(mixed), luma(safe) + share(safe, 0.6) * fine(luma(sharp) - luma(safe), 4), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_coarse_stays_and_the_fine_passes(scale):
    """A wave along x keeps 1 - exp(-2 (pi sigma f)^2) of its height: nothing of a tint, half at 0.45 / scale, nearly all of the finest."""
    x, sigma = torch.arange(20 * scale, dtype=torch.float64), COARSE * scale
    inner = slice(4 * scale, 16 * scale)
    for frequency in (0, 0.1 / scale, 0.45 / scale, 0.5):
        wave = torch.cos(2 * math.pi * frequency * x).expand(1, 1, 5, -1)
        kept = fine(wave, scale)[0, 0, 2, inner] @ wave[0, 0, 2, inner] / (wave[0, 0, 2, inner] @ wave[0, 0, 2, inner])
        assert float(kept) == pytest.approx(1 - math.exp(-2 * (math.pi * sigma * frequency)**2), abs=0.06)
    assert sum(bell(sigma)) == pytest.approx(1) and fine(torch.ones(1, 1, 1, 1), scale).abs().max() < 1e-6


def test_more_strength_is_more_of_the_gan_everywhere():
    safe = 0.3 + 0.1 * torch.rand(1, 3, 24, 24)
    shares = torch.stack([share(safe, strength) for strength in (0.1, 0.4, 0.7, 0.95)])
    assert bool((shares.diff(dim=0) > 0).all()) and float(shares.min()) > 0 and float(shares.max()) < 1


def test_tiles_of_a_mix_are_exact(pair):
    mixed = prepare(load_generator(pair[1], strength=0.5))
    lr = torch.rand(1, 3, 70, 60)
    assert mixed.radius == load_generator(pair[1]).radius + 2  # eight pixels of HR more
    torch.testing.assert_close(enlarge(lr, mixed, tile=24), enlarge(lr, mixed, tile=200), rtol=0, atol=1e-5)


def test_upscale_takes_the_released_strength_unless_told_otherwise(pair, tmp_path):
    rgb = (torch.rand(12, 14, 3) * 255).byte().numpy()
    released, alone, same = (upscale(rgb, str(pair[1]), strength=strength, progress=False).tobytes() for strength in (None, 1, 0.3))
    assert released == same != alone


@pytest.mark.parametrize("strength, words", [(1.5, "want a number from 0"), ("much", "want a number from 0"), (float("nan"), "want a number from 0")])
def test_a_wrong_strength_is_one_sentence(pair, strength, words):
    with pytest.raises(ModelError, match=words):
        load_generator(pair[1], strength=strength)


def test_a_generator_without_a_start_has_no_strength(pair):
    with pytest.raises(ModelError, match="strength is for a GAN with a record"):
        load_generator(pair[0], strength=0.5)


def test_the_shipped_gan_names_a_shipped_start():
    assert isinstance(load_generator("srgan-x4", strength=usual_strength("srgan-x4")), Mixed)
