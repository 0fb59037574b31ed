"""Degradation beyond bicubic: each fault does what it says, and a batch stays a pure function of (seed, step)."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import photograph

from srgan_lib.__main__ import main
from srgan_lib.training import TINY, TrainConfig
from srgan_lib.data import patches
from srgan_lib.data import photographed, shrink
from srgan_lib.data.degradation import KERNELS, Damage, damaged_patches, draw, shrunk_levels
from srgan_lib.errors import DataError, TrainingError
from srgan_lib.images import crop_to_multiple, degrade, to_tensor
from srgan_lib.metrics import evaluate
from srgan_lib.training import train
from srgan_lib.training import Validation

HR = crop_to_multiple(to_tensor(photograph(120, 160)), 4)
CONFIG = TrainConfig(batch=6, hr_size=24, seed=3, degradation="camera")


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def damaged(**faults) -> torch.Tensor:
    return photographed(HR, 4, Damage(**faults), random())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_no_damage_is_bicubic_but_for_the_border(scale):
    hr = crop_to_multiple(HR, scale)
    difference = (photographed(hr, scale, Damage(), random()) - degrade(hr, scale)).abs() * 255
    assert difference[..., 3:-3, 3:-3].max() <= 2.01  # bicubic rounds after each axis, a camera once


@pytest.mark.parametrize("damage", [Damage(), *(Damage(2.0, kernel) for kernel in KERNELS)], ids=str)
def test_shrinking_keeps_a_flat_picture_and_its_place(damage):
    flat = torch.full((1, 3, 40, 64), 77.0)
    assert (shrunk_levels(flat, 4, [damage]) - 77).abs().max() < 1e-3
    symmetric = torch.rand(1, 3, 40, 64)
    symmetric = symmetric + symmetric.flip(-1)
    small = shrunk_levels(symmetric, 4, [damage])
    assert small.shape == (1, 3, 10, 16) and (small - small.flip(-1)).abs().max() < 1e-4  # no shift of half a pixel


def test_area_is_the_mean_of_the_block():
    means = HR.reshape(1, 3, 30, 4, 40, 4).mean((3, 5))
    assert (shrunk_levels(HR, 4, [Damage(kernel="area")]) - means).abs().max() < 1e-5


def test_blur_widens_a_line_as_a_gaussian():
    line = torch.zeros(1, 3, 8, 240)
    line[..., 120] = 1
    profile = shrunk_levels(line, 1, [Damage(blur=3.0)])[0, 0, 4].double()
    place = torch.arange(240) - 120.0
    assert profile.sum() == pytest.approx(1, abs=1e-5) and (profile * place**2).sum().sqrt() == pytest.approx(3, abs=0.01)


def test_noise_has_the_strength_that_it_names_and_jpeg_shows_its_blocks():
    grey = torch.full((1, 3, 400, 400), 0.5)
    assert 255 * photographed(grey, 4, Damage(noise=8.0), random()).std() == pytest.approx(8, abs=0.2)
    ramp = torch.linspace(0, 1, 512).expand(1, 3, 512, 512)
    steps = photographed(ramp, 4, Damage(quality=10), random()).diff(dim=-1).abs().mean((0, 1, 2))
    borders = torch.arange(steps.numel()) % 8 == 7
    assert steps[borders].mean() > 1.3 * steps[~borders].mean()


def test_every_fault_costs_fidelity():
    clean = damaged()
    for faults in ({"blur": 2.0}, {"noise": 8.0}, {"quality": 40}):
        assert (damaged(**faults) - clean).abs().mean() * 255 > 1


def test_draws_are_within_their_ranges_and_each_fault_is_left_out_one_time_in_five():
    rng = random()
    drawn = [draw(rng) for _ in range(2000)]
    blur, kernel, noise, quality = (list(column) for column in zip(*drawn))
    assert max(blur) <= 3 and max(noise) <= 12 and set(kernel) == set(KERNELS) and {q for q in quality if q} == set(range(40, 96))
    for fault in (blur, noise, quality):
        assert 0.17 < fault.count(0) / 2000 < 0.23


def test_patches_are_a_pure_function_of_seed_and_step(bank):
    first, hr = patches(bank, 7, CONFIG)
    patches(bank, 8, CONFIG)
    assert torch.equal(first, patches(bank, 7, CONFIG)[0])
    assert not torch.equal(first, patches(bank, 7, replace(CONFIG, seed=4))[0])
    plain, same = patches(bank, 7, replace(CONFIG, degradation="bicubic"))
    assert torch.equal(hr, same) and not torch.equal(first, plain) and first.shape == plain.shape == (6, 3, 6, 6)
    assert torch.equal(first, torch.floor(first * 255 + 0.5) / 255)  # whole grey levels


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_global_batch(bank, world):
    whole = patches(bank, 2, CONFIG)
    shares = [patches(bank, 2, CONFIG, rank, world) for rank in range(world)]
    assert all(torch.equal(torch.cat(parts), all_of_it) for parts, all_of_it in zip(zip(*shares), whole))


def test_jpeg_blocks_begin_anywhere_in_a_patch():
    hr = (crop_to_multiple(HR, 8)[..., :64, :64] * 255).floor()
    first = {tuple(random(seed).integers(0, 8, 2)) for seed in range(200)}
    assert len(first) > 55  # of 64 corners
    assert damaged_patches(hr.to(torch.uint8), 4, [random(5)]).shape == (1, 3, 16, 16)


def test_shrink_by_name():
    assert torch.equal(shrink(HR, 4), degrade(HR, 4))
    assert torch.equal(shrink(HR, 4, "camera", 1), shrink(HR, 4, "camera", 1))
    assert not torch.equal(shrink(HR, 4, "camera", 1), shrink(HR, 4, "camera", 2))
    with pytest.raises(DataError, match="degradation 'phone': want one of bicubic, camera"):
        shrink(HR, 4, "phone")


def test_validation_and_evaluation_degrade_alike(bank):
    plain, camera = (Validation(bank, 4, degradation=name) for name in ("bicubic", "camera"))
    assert camera.bicubic_psnr < plain.bicubic_psnr
    rows = {name: evaluate("bicubic", [("a", photograph(120, 160))], 4, progress=False, degradation=name)[0]["psnr"] for name in ("bicubic", "camera")}
    assert rows["camera"] < rows["bicubic"]


def test_a_run_on_damaged_patches_learns_to_clean_them(bank, tmp_path):
    config = replace(TINY.srresnet, degradation="camera", steps=40, log_every=10, checkpoint_every=20)
    records = list(train(config, bank, tmp_path / "run", device="cpu"))
    assert records[-1]["content"] < records[0]["content"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["degradation"] == "camera"
    with pytest.raises((TrainingError, DataError), match="degradation 'phone'"):
        next(train(replace(config, degradation="phone"), bank, tmp_path / "other", device="cpu"))


def test_the_command_evaluates_on_damaged_pictures(tmp_path, capsys):
    from PIL import Image
    Image.fromarray(photograph(80, 96)).save(tmp_path / "a.png")
    for name in ("bicubic", "camera"):
        arguments = ["evaluate", "--model", "bicubic", "--data", str(tmp_path), "--degradation", name, "--json", str(tmp_path / f"{name}.json")]
        assert main(arguments) == 0 and f"{name} degradation" in capsys.readouterr().out
    psnr = {name: json.loads((tmp_path / f"{name}.json").read_text())["mean"]["psnr"] for name in ("bicubic", "camera")}
    assert psnr["camera"] < psnr["bicubic"]
