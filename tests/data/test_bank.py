"""The bank and the patches: pairs are never misaligned, batches are pure functions, a bank is whole or is not there."""

import copy
import hashlib
import json
import os
import signal
import subprocess
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import photograph, save_photographs
from PIL import Image

from srgan_lib.data import bank as data
from srgan_lib.training import TrainConfig
from srgan_lib.data import ImageBank, open_bank, patches, photometric
from srgan_lib.apps.train import epochs
from srgan_lib.data.bank import cut
from srgan_lib.errors import DataError
from srgan_lib.data import DATASETS, images
from srgan_lib.data.hub import SAMPLE
from srgan_lib.images import degrade, read_image, to_tensor

CONFIG = TrainConfig(batch=6, hr_size=24, scale=4, seed=3)


def make_bank(folder, *pictures) -> ImageBank:
    return ImageBank.build([(f"{n}.png", picture) for n, picture in enumerate(pictures)], folder / "bank", progress=False)


# ---------------------------------------------------------------- patches


def turned(x: torch.Tensor, turn: int) -> torch.Tensor:
    """The eight symmetries of the square, by numpy."""
    x = x.flip(-1) if turn >= 4 else x
    return torch.from_numpy(np.rot90(x.numpy(), turn % 4, (-2, -1)).copy())


@pytest.mark.parametrize("scale, size", [(2, 24), (3, 24), (4, 24), (4, 48), (2, 6), (3, 57)])
def test_the_lr_of_a_patch_is_the_patch_of_the_lr(bank, scale, size):
    for i, (height, width) in enumerate(bank.sizes):
        hr = to_tensor(bank[i])
        lr = degrade(hr, scale)
        last_y, last_x = ((side // scale * scale - size) for side in (height, width))
        ys, xs = {0, scale, last_y // 2 // scale * scale, last_y}, {0, scale, last_x // 2 // scale * scale, last_x}
        places = [(i, y, x) for y in sorted(ys) for x in sorted(xs) if 0 <= y <= last_y and 0 <= x <= last_x]
        turns = [number % 8 for number in range(len(places))]
        lr_patches, hr_patches = cut(bank, places, turns, scale, size)
        for (_, y, x), turn, lr_patch, hr_patch in zip(places, turns, lr_patches, hr_patches):
            assert torch.equal(hr_patch, turned(hr[0, :, y:y + size, x:x + size], turn))
            y, x, small = y // scale, x // scale, size // scale
            assert torch.equal(lr_patch, turned(lr[0, :, y:y + small, x:x + small], turn))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_batch_on_the_device_is_the_batch_through_the_map(bank, scale):
    on_device = copy.copy(bank)
    on_device.on_device = torch.from_numpy(np.array(bank.pixels))
    config = replace(CONFIG, scale=scale, batch=32, hr_size=48)
    for step in range(4):
        for one, other in zip(patches(bank, step, config), patches(on_device, step, config)):
            assert torch.equal(one, other)


def test_the_bank_stays_where_it_is_without_a_gpu(bank):
    assert bank.to("cpu") is bank and bank.on_device is None


@pytest.mark.gpu
def test_the_batch_on_a_gpu_is_the_batch_on_the_cpu(bank):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    moved = copy.copy(bank).to("cuda")
    for one, other in zip(patches(bank, 5, CONFIG), patches(moved, 5, CONFIG)):
        assert other.is_cuda and torch.equal(one, other.cpu())


def test_a_batch_is_a_pure_function_of_seed_and_step(bank):
    first = patches(bank, 7, CONFIG)
    torch.rand(3), np.random.rand(3), patches(bank, 8, CONFIG)  # whatever else is drawn must not matter
    for one, other in zip(first, patches(bank, 7, CONFIG)):
        assert torch.equal(one, other)
    assert not torch.equal(first[1], patches(bank, 8, CONFIG)[1])
    assert not torch.equal(first[1], patches(bank, 7, replace(CONFIG, seed=4))[1])
    assert first[0].shape == (6, 3, 6, 6) and first[1].shape == (6, 3, 24, 24) and first[1].dtype == torch.float32


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_the_ranks_slices_make_up_the_global_batch(bank, world):
    whole = patches(bank, 2, CONFIG)
    shares = [patches(bank, 2, CONFIG, rank, world) for rank in range(world)]
    for number in (0, 1):
        assert torch.equal(torch.cat([share[number] for share in shares]), whole[number])


def test_a_step_is_reproduced_by_another_process(bank, python, subprocess_environment):
    code = ("import sys, hashlib; from dataclasses import replace; from srgan_lib.training import TrainConfig; from srgan_lib.data import *\n"
            "lr, hr = patches(ImageBank(sys.argv[1]), 9, TrainConfig(batch=6, hr_size=24, scale=4, seed=3))\n"
            "print(hashlib.sha256(lr.numpy().tobytes() + hr.numpy().tobytes()).hexdigest())")
    out = subprocess.run([python, "-c", code, str(bank.pixels.filename)], capture_output=True, text=True, check=True,
                         env=subprocess_environment, timeout=120).stdout
    lr, hr = patches(bank, 9, CONFIG)
    assert out.strip() == hashlib.sha256(lr.numpy().tobytes() + hr.numpy().tobytes()).hexdigest()


def test_crops_reach_the_first_and_the_last_row_and_column(tmp_path):
    rows, columns = np.mgrid[:27, :30].astype(np.uint8)
    bank = make_bank(tmp_path, np.dstack([rows, columns, columns]))
    config = replace(CONFIG, scale=2, hr_size=20, flips=False, batch=16)
    corners = torch.cat([patches(bank, step, config)[1][:, :2, 0, 0] for step in range(20)]) * 255
    assert sorted({round(y) for y in corners[:, 0].tolist()}) == [0, 2, 4, 6]  # 26 of 27 rows: a multiple of the scale
    assert sorted({round(x) for x in corners[:, 1].tolist()}) == [0, 2, 4, 6, 8, 10]


def test_every_turn_is_drawn_and_none_without_flips(tmp_path):
    picture = photograph(24, 24)
    bank = make_bank(tmp_path, picture)
    hr = to_tensor(picture)[0]
    drawn = torch.cat([patches(bank, step, CONFIG)[1] for step in range(20)])
    assert {turn for patch in drawn for turn in range(8) if torch.equal(patch, turned(hr, turn))} == set(range(8))
    plain = patches(bank, 0, replace(CONFIG, flips=False))[1]
    assert all(torch.equal(patch, hr) for patch in plain)


def test_a_picture_as_large_as_the_patch_serves_and_smaller_ones_do_not(tmp_path):
    exact = make_bank(tmp_path, photograph(24, 24))
    assert patches(exact, 0, CONFIG)[1].shape == (6, 3, 24, 24)
    mixed = ImageBank.build([("small", photograph(20, 90)), ("large", photograph(40, 40))], tmp_path / "mixed", progress=False)
    assert {data._place(mixed, np.random.default_rng(n), CONFIG)[0] for n in range(20)} == {1}
    for side, scale in ((23, 4), (26, 3)):
        small = ImageBank.build([("small", photograph(side, 40))], tmp_path / f"small{side}", progress=False)
        with pytest.raises(DataError, match="no picture is as large as a patch of 27 x 27|no picture is as large as a patch of 24 x 24"):
            patches(small, 0, replace(CONFIG, scale=scale, hr_size=27 if scale == 3 else 24))


def test_pictures_are_drawn_in_proportion_to_their_pixels(tmp_path):
    bank = make_bank(tmp_path, photograph(30, 30), photograph(60, 90))
    drawn = [data._place(bank, np.random.default_rng(n), CONFIG)[0] for n in range(700)]
    assert abs(np.mean(drawn) - 6 / 7) < 0.05
    assert epochs(bank, replace(CONFIG, steps=1050)) == pytest.approx(1050 * 6 * 24 * 24 / (7 * 900))


def test_min_detail_passes_over_flat_places(tmp_path):
    half = np.full((120, 240, 3), 90, np.uint8)
    half[:, 160:] = photograph(120, 80)
    bank = make_bank(tmp_path, half)

    def detail(least):
        config = replace(CONFIG, min_detail=least, flips=False)
        hr = torch.cat([patches(bank, step, config)[1] for step in range(10)])
        return (hr[:, 1].std((1, 2)) * 255).numpy()
    plain, chosen = detail(0.0), detail(8.0)
    assert (plain < 1).mean() > 0.4 and (chosen < 1).mean() < 0.15 and chosen.mean() > 1.5 * plain.mean()


# ---------------------------------------------------------------- photometric


def test_photometric_is_bounded_and_the_same_for_lr_and_hr():
    config = replace(CONFIG, photometric=0.8)
    flat = torch.rand(32, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    lr, hr = photometric(flat.expand(-1, -1, 6, 6), flat.expand(-1, -1, 24, 24), config, 4)
    assert torch.equal(lr[..., 0, 0], hr[..., 0, 0]) and not torch.equal(hr[..., 0, 0], flat[..., 0, 0])
    assert 0 <= hr.min() and hr.max() <= 1
    assert torch.equal(photometric(lr, hr, config, 4)[1], photometric(lr, hr, config, 4)[1])
    assert not torch.equal(photometric(lr, hr, config, 4)[1], photometric(lr, hr, config, 5)[1])
    assert not torch.equal(photometric(lr, hr, config, 4, rank=0)[1], photometric(lr, hr, config, 4, rank=1)[1])


def test_photometric_leaves_alone_what_was_not_drawn():
    hr = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(photometric(hr, hr, replace(CONFIG, photometric=0.0), 0)[1], hr, atol=1e-6)
    changed = (photometric(hr, hr, replace(CONFIG, photometric=0.3), 0)[1] - hr).abs().amax((1, 2, 3)) > 1e-5
    assert 0.4 < changed.float().mean() < 0.9  # 1 - 0.7^3 = 0.66


# ---------------------------------------------------------------- the bank


def test_a_bank_holds_every_pixel(tmp_path):
    folder = save_photographs(tmp_path / "pictures")
    bank = ImageBank.build(images(str(folder)), tmp_path / "bank", progress=False)
    assert bank.names == ["00.png", "01.png", "02.png"] and len(bank) == 3
    for i, name in enumerate(bank.names):
        assert np.array_equal(bank[i], read_image(folder / name)) and not bank[i].flags.writeable
    assert sorted(os.listdir(tmp_path)) == ["bank.bin", "bank.json", "pictures"]


def test_broken_pictures_are_left_out_and_that_is_said(tmp_path, capsys):
    folder = save_photographs(tmp_path / "pictures")
    (folder / "01.png").write_bytes(b"not a picture")
    bank = ImageBank.build(images(str(folder)), tmp_path / "bank", progress=False)
    assert bank.names == ["00.png", "02.png"]
    assert "left out" in (said := "".join(capsys.readouterr())) and "01.png" in said
    assert np.array_equal(bank[1], read_image(folder / "02.png"))


def test_an_image_that_is_there_twice_is_named(tmp_path, capsys):
    folder = save_photographs(tmp_path / "pictures")
    (folder / "copy.png").write_bytes((folder / "01.png").read_bytes())
    assert len(ImageBank.build(images(str(folder)), tmp_path / "bank", progress=False)) == 4
    assert "1 image stands there more than once (such as copy.png is 01.png)" in "".join(capsys.readouterr())


def test_without_any_picture_there_is_no_bank(tmp_path):
    with pytest.raises(DataError, match="no pictures"):
        ImageBank.build([("a", b"text")], tmp_path / "bank", progress=False)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(data.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    with pytest.raises(DataError, match="disk nearly full.*limit=N"):
        make_bank(tmp_path, photograph(20, 20))
    assert os.listdir(tmp_path) == []


def test_a_failing_source_leaves_nothing(tmp_path):
    def pictures():
        yield "a.png", photograph(20, 20)
        raise DataError("the network went away")
    with pytest.raises(DataError, match="went away"):
        ImageBank.build(pictures(), tmp_path / "bank", progress=False)
    assert os.listdir(tmp_path) == []


KILLED_BUILD = """
import os, signal, sys
import numpy as np
from srgan_lib.data import ImageBank

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def pictures(moment):
    yield "a.png", np.full((40, 40, 3), 7, np.uint8)
    if moment == "second picture":
        die()

replace = os.replace
for moment in sys.argv[2:]:
    if os.fork() == 0:
        os.replace = lambda old, new: die() if str(new).endswith(moment) else replace(old, new)
        ImageBank.build(pictures(moment), f"{sys.argv[1]}/{moment.strip('.')}/bank", progress=False)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_a_killed_build_leaves_no_bank_and_the_next_one_succeeds(tmp_path, python, subprocess_environment):
    moments = ["second picture", ".bin", ".json"]
    done = subprocess.run([python, "-c", KILLED_BUILD, str(tmp_path), *moments], env=subprocess_environment, timeout=120,
                          capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * 3
    for moment in moments:
        folder = tmp_path / moment.strip(".")
        with pytest.raises(DataError, match="no usable image bank"):
            ImageBank(folder / "bank")
        assert np.array_equal(make_bank(folder, photograph(30, 30))[0], photograph(30, 30))


def test_damaged_banks_are_refused(tmp_path):
    make_bank(tmp_path, photograph(20, 20))
    pixels = tmp_path / "bank.bin"
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(DataError, match="1199 bytes where the index promises 1200; delete both files"):
        ImageBank(tmp_path / "bank")
    for index in ("{", "{}", "[]", json.dumps({"names": ["a"]})):
        (tmp_path / "bank.json").write_text(index)
        with pytest.raises(DataError, match="no usable image bank"):
            ImageBank(tmp_path / "bank")
    pixels.unlink()
    with pytest.raises(DataError, match="no usable image bank"):
        ImageBank(tmp_path / "bank")


def test_a_bank_is_built_once_and_anew_when_the_folder_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    folder = save_photographs(tmp_path / "pictures", 2)
    first = open_bank(str(folder), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(ImageBank, "build", None)  # reused: nothing is decoded again
        assert open_bank(str(folder), progress=False).names == first.names
    assert open_bank(str(folder), limit=1, progress=False).names == ["00.png"]
    Image.fromarray(photograph(33, 33)).save(folder / "02.png")
    assert len(open_bank(str(folder), progress=False)) == 3


# ---------------------------------------------------------------- validation is not training data


def test_the_samples_splits_share_no_picture():
    prints = {split: {hashlib.sha256(read_image(source).tobytes()).digest() for _, source in images("sample", split)} for split in SAMPLE}
    assert prints["train"] and prints["valid"] and not prints["train"] & prints["valid"]
    assert not {name for name in SAMPLE["train"]} & {name for name in SAMPLE["valid"]}
    assert not {name.split("_")[0] for name in SAMPLE["train"]} & {name.split("_")[0] for name in SAMPLE["valid"]}  # nor a stereo twin


def test_no_named_set_validates_on_its_training_file():
    for name, row in DATASETS.items():
        assert len(set(row.files.values())) == len(row.files), name
        assert not ({"train", "test"} <= set(row.files)), name
    assert set(DATASETS["div2k"].files) == {"train", "valid"}
