"""Strength: the images of a GAN and of its start, mixed; and where the start is known from."""

import json

import pytest
import torch

from samples import lively
from srgan_lib.errors import ModelError
from srgan_lib.models import Mixed, SRResNet, load_generator, usual_strength
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
            torch.testing.assert_close(mixed(lr), (1 - strength) * base(lr) + strength * gan(lr), rtol=1e-5, atol=1e-6)
    assert isinstance(load_generator(pair[1]), SRResNet) and usual_strength(pair[1]) == 0.3 and usual_strength(pair[0]) == 1


def test_tiles_of_a_mix_are_exact(pair):
    mixed = prepare(load_generator(pair[1], strength=0.5))
    lr = torch.rand(1, 3, 70, 60)
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
