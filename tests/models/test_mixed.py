"""Strength: the images of a GAN and of its start, mixed; and where the start is known from."""

import json
import math

import pytest
import torch

from samples import lively
from srgan_lib.errors import ModelError
from srgan_lib.models import Mixed, SRResNet, load_generator, usual_strength
from srgan_lib.images import luma
from srgan_lib.models.mixed import (ANGLES, AROUND, COARSE, EDGE, EVEN, FLOOR, GAIN, GRAIN, LINE, LOUD, MANY_WAYS, SEEN, WIDE, WINDOW, along, around, bell, direction,
                                    fine, geometric_mean, line, loudest, mix, share, steepness)
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


def step(levels: float, side: int = 40) -> torch.Tensor:
    """A grey image with one vertical edge in the middle, `levels` of luma high."""
    return (0.3 + (torch.arange(side) >= side // 2).float() * levels / 219).expand(1, 3, side, side)


def noise(height: float, side: int = 96) -> torch.Tensor:
    """A grey image of independent pixels, up to `height` apart in [0, 1]."""
    return (0.3 + torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0)) * height).expand(1, 3, side, side)


def test_the_ends_are_the_images_themselves():
    safe, sharp = torch.rand(2, 1, 3, 20, 24)
    assert mix(safe, sharp, 0) is safe and mix(safe, sharp, 1) is sharp


def test_the_energy_of_an_edge_is_the_mean_of_its_squared_slopes():
    """By hand: a step of 40 levels has a slope of 20 in two columns, so 2 columns of 5 hold 400 where the window covers both."""
    energy = around(steepness(step(40)), WINDOW)
    assert energy.shape == (1, 1, 40, 40)
    torch.testing.assert_close(energy[0, 0, :, 19], torch.full((40,), 160.0), rtol=1e-4, atol=1e-3)
    assert float(energy[..., :17].abs().max()) < 1e-3 and float(energy[..., 23:].abs().max()) < 1e-3  # at the border too


@pytest.mark.parametrize("strength", [0.2, 0.5, 0.8])
def test_the_odds_of_the_gan_fall_with_the_edge_and_with_its_loneliness(strength):
    for levels in (0, 10, 40, 100):
        slope, part = (levels / 2)**2, 2 / WIDE  # two columns of the window have a slope
        geometric, arithmetic = (slope + FLOOR)**part * FLOOR**(1 - part), part * slope + FLOOR
        coherence = 2 / AROUND * slope / (2 / AROUND * slope + FLOOR)  # all slopes point along x
        odds = (strength / (1 - strength))**3 * EDGE / (2 / WINDOW * slope + GRAIN) * min(1, geometric / arithmetic / EVEN)**4
        odds *= min(1, (1 - coherence) / MANY_WAYS)**2
        expected = odds / (1 + odds) * min(1, geometric / SEEN)**3
        assert float(share(step(levels, 100), strength)[0, 0, 50, 49]) == pytest.approx(expected, rel=2e-3, abs=1e-9)


def test_the_gan_is_for_texture():
    """Noise of a few levels is texture. In a flat image and beside a single edge hardly anything is taken; an image of one pixel is flat."""
    assert float(share(noise(0.05), 0.9)[..., 20:-20, 20:-20].mean()) > 0.8
    for quiet in (noise(0.003), step(100), torch.full((1, 3, 1, 1), 0.5)):
        assert float(share(quiet, 0.9).max()) < 0.001 and float(share(quiet, 0.999).max()) < 0.001  # whatever the strength


def test_what_is_added_is_no_louder_than_the_ground():
    """A speck of 200 levels on fine noise is pressed below what LOUD allows there; a grain of one level passes nearly whole."""
    safe, speck = noise(0.06), torch.zeros(1, 1, 96, 96)
    limit = float(loudest(safe)[0, 0, 48, 48])
    assert limit == pytest.approx(LOUD * min(float(geometric_mean(steepness(safe), side)[0, 0, 48, 48]) for side in (AROUND, WIDE))**0.5, rel=1e-4)
    speck[..., 48, 48] = 1
    for height, expected in ((200.0, limit), (1.0, GAIN * float(fine(speck, 4)[0, 0, 48, 48]))):
        added = luma(mix(safe, safe + speck * height / 219, 0.999))[0, 0, 48, 48] - luma(safe)[0, 0, 48, 48]
        assert float(added) == pytest.approx(expected, rel=0.1) and float(added) <= 1.01 * limit


@pytest.mark.parametrize("angle", [0, 30, 45, 75, 90, 120, 165])
def test_along_an_edge_stripes_across_it_vanish_and_a_ridge_on_it_stays(angle):
    """What alternates along an edge is no edge. Directions in degrees, the edge runs along them; x goes right and y down."""
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    ahead, aside = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    forward, sideways = (x - 30) * ahead + (y - 30) * aside, (y - 30) * ahead - (x - 30) * aside
    safe = (0.5 + 0.3 * torch.tanh(sideways / 2)).expand(1, 3, 60, 60)
    inner = (..., slice(24, 36), slice(24, 36))
    cosine, sine = (part[inner].mean() for part in direction(safe, 7))
    assert float(cosine) == pytest.approx(-math.cos(2 * math.radians(angle)), abs=0.02) and float(sine) == pytest.approx(-math.sin(2 * math.radians(angle)), abs=0.02)
    stripes, ridge = torch.cos(2 * math.pi * forward / 5)[None, None], torch.exp(-(sideways / 2)**2 / 2)[None, None]
    assert float(along(stripes, safe)[inner].abs().max()) < 0.2
    assert float(along(ridge, safe)[..., 30, 30]) > 0.8


def test_lines_are_means_and_their_weights_favour_no_direction():
    assert all(sum(map(sum, line(angle))) == pytest.approx(1) for angle in (0, 0.3, 1.5)) and len(line(0)) == len(line(0)[0]) == LINE
    sums = [sum(math.cos(math.pi * k / ANGLES - edge)**(2 * ANGLES - 2) for k in range(ANGLES)) for edge in (0, 0.05, 0.13, 1, 3)]
    assert sums == pytest.approx([sums[0]] * 5)


def test_edges_grow_steeper_and_nothing_new_is_drawn_beside_them():
    """The GAN draws the same edge sharply, with a bright line beside it and dots along it: only the steepness arrives."""
    columns = torch.arange(60.0)
    safe = (0.5 + 0.2 * torch.tanh((columns - 30) / 3)).expand(1, 3, 60, 60)
    sharp = (0.5 + 0.2 * (columns - 30).sign() + 0.2 * (columns == 40)).expand(1, 3, 60, 60).clone()
    sharp[..., ::3, 20] = 1
    mixed = mix(safe, sharp, 0.95)
    slope = lambda image: float((image[0, 0, 30, 31] - image[0, 0, 30, 29]))
    assert slope(mixed) > 1.5 * slope(safe)
    low, high = -torch.nn.functional.max_pool2d(-safe, 3, 1, 1), torch.nn.functional.max_pool2d(safe, 3, 1, 1)
    assert bool((mixed >= low - 0.01).all() and (mixed <= high + 0.01).all())


def test_colour_is_that_of_the_safe_image_and_luma_is_mixed():
    safe, sharp = 0.3 + 0.4 * torch.rand(2, 1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    mixed = mix(safe, sharp, 0.6)
    torch.testing.assert_close(mixed[:, 0] - mixed[:, 1], safe[:, 0] - safe[:, 1])
    torch.testing.assert_close(mixed[:, 2] - mixed[:, 1], safe[:, 2] - safe[:, 1])
    ground, difference, part = luma(safe), luma(sharp) - luma(safe), share(safe, 0.6)
    pressed = GAIN * fine(difference, 4) / (1 + (GAIN * fine(difference, 4) / loudest(safe))**2).sqrt()
    beside = torch.nn.functional.pad(ground, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1)
    edge = (ground + along(difference, safe)).clamp(beside.amin((4, 5)), beside.amax((4, 5))) - ground
    torch.testing.assert_close(luma(mixed), ground + part * pressed + (1 - part) * 0.6 * edge, rtol=1e-4, atol=1e-2)


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
    assert mixed.radius == load_generator(pair[1]).radius + 11  # 41 pixels of HR more
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
