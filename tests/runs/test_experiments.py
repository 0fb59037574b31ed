"""The experiments' script and its committed record: one field differs, and what is stored is what the script would make."""

import json

import experiments
import pytest
import torch
from experiments import CROPS, FIRST, GAN, RECORD, SECOND, VARIANTS, changes, mean_psnr, slug, snapshots, squares

from srgan_lib.training import make_generator
from srgan_lib.data import patches
from srgan_lib.images import degrade, read_image, resize_bicubic, to_tensor
from srgan_lib.metrics import compared, psnr
from srgan_lib.training import train

COMMON = {"pixel shuffle": FIRST, "mse": SECOND, "bce": GAN}


@pytest.fixture(scope="module")
def record() -> dict:
    path = RECORD / "results.json"
    if not path.is_file():
        pytest.skip("no record of the experiments here")
    return json.loads(path.read_text())


def test_each_variant_differs_in_one_choice():
    assert {name for name in VARIANTS if not changes(name)} >= set(COMMON)
    assert all(len(changes(name)) <= 1 or "architecture" in changes(name) for name in VARIANTS)
    assert {VARIANTS[name][1].steps for name in VARIANTS if VARIANTS[name][1].init} == {SECOND.steps}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_its_generator(name):
    assert make_generator(VARIANTS[name][1])(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)


def test_the_record_is_of_these_variants(record):
    for row in record["rows"]:
        assert (row["question"], row["steps"], row["changes"]) == (VARIANTS[row["variant"]][0], VARIANTS[row["variant"]][1].steps, changes(row["variant"]))
    assert len({(row["variant"], row["seed"]) for row in record["rows"]}) == len(record["rows"])
    assert {name: tuple(place) for name, place in record["setting"]["crops"].items()} == CROPS


def test_each_variant_has_its_crops(record):
    for name in {row["variant"] for row in record["rows"]}:
        assert read_image(RECORD / f"{slug(name)}.webp").shape == (72, 108 * len(CROPS), 3)


def test_squares_are_the_patches_and_are_scored_one_by_one(bank, tmp_path):
    config = experiments.replace(FIRST, seed=7, batch=5, hr_size=32, flips=False)
    few = squares(bank, 7, tmp_path / "few", 5)
    _, hr = patches(bank, 0, config)
    assert len(few) == 5 and all(torch.equal(to_tensor(picture)[0], patch) for picture, patch in zip(few, hr))
    by_hand = [psnr(*(compared(p, 4) / 255 for p in (resize_bicubic(degrade(to_tensor(x), 4), 4), to_tensor(x)))) for x in few]
    assert mean_psnr(experiments.bicubic, few) == pytest.approx(sum(by_hand) / 5, abs=1e-6)


def test_snapshots_are_the_run_that_nobody_looks_at(bank, tmp_path):
    config = experiments.replace(FIRST, blocks=1, channels=8, batch=2, hr_size=32, steps=4, log_every=2, schedule="constant", min_detail=0.0)
    for _ in range(2):  # the second time a finished run lies there
        states = {step: generator.state_dict() for step, generator in snapshots(config, bank, tmp_path / "watched")}
    list(train(config, bank, tmp_path / "whole", device="cpu"))
    whole = experiments.load_generator(tmp_path / "whole" / "generator").state_dict()
    assert list(states) == [2, 4] and all(torch.equal(value, states[4][name]) for name, value in whole.items())
    assert not torch.equal(states[2]["tail.weight"], states[4]["tail.weight"])
