"""HR and LR side by side, given pairs, small pictures, and keys that change with their source."""

import io
import os
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from samples import photograph

from srgan_lib.apps.train import data_line, epochs
from srgan_lib.data import ImageBank, bank as rooms, images, open_bank, patches
from srgan_lib.data.hub import listing
from srgan_lib.errors import DataError, TrainingError
from srgan_lib.images import degrade, to_image, to_tensor
from srgan_lib.training import TrainConfig, Validation

CONFIG = TrainConfig(batch=6, hr_size=24, scale=4, seed=3)


def put(folder, names: dict[str, int], scale: int = 4, number=lambda name: 0):
    """Write pictures {name: 1 for HR, 0 for LR}: HR of 96 x 80, LR of it divided by the scale."""
    for name, high in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        side = 1 if high else scale
        Image.fromarray(photograph(80 // side, 96 // side, number(name))).save(folder / name)


LAYOUTS = {
    "HR and LR": {"HR/0.png": 1, "HR/1.png": 1, "LR/0.png": 0, "LR/1.png": 0},
    "DIV2K": {"DIV2K_train_HR/0001.png": 1, "DIV2K_train_HR/0002.png": 1, "DIV2K_train_LR_bicubic/X4/0001x4.png": 0, "DIV2K_train_LR_bicubic/X4/0002x4.png": 0},
    "one folder": {"0001.png": 1, "0001x4.png": 0, "0002.png": 1, "0002x4.png": 0},
    "ends of names": {"a_HR.png": 1, "a_LR.png": 0, "b_HR.png": 1, "b_LR.png": 0},
    "GT and LQ": {"GT/a.png": 1, "LQ/a.png": 0},
    "no telling names": {"first/a.png": 1, "first/b.png": 1, "second/a.png": 0, "second/b.png": 0},
    "HR in two": {"HR/x/a.png": 1, "HR/y/b.png": 1, "LR/x/a.png": 0, "LR/y/b.png": 0},
    "train and valid": {"train/HR/a.png": 1, "train/LR/a.png": 0, "valid/HR/a.png": 1, "valid/LR/a.png": 0},
    "above": {"a.png": 1, "b.png": 1, "LR/a.png": 0, "LR/b.png": 0},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [2, 4])
def test_of_hr_and_lr_side_by_side_hr_alone_is_used_and_that_is_said(layout, scale, tmp_path, capsys):
    put(tmp_path / "set", LAYOUTS[layout], scale)
    wanted = sorted(name for name, high in LAYOUTS[layout].items() if high)
    assert [name for name, _ in images(str(tmp_path / "set"))] == wanted
    assert "are used as HR" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in LAYOUTS[layout]:
            archive.write(tmp_path / "set" / name, name)
    assert [name for name, _ in images(str(tmp_path / "set.zip"))] == wanted


@pytest.mark.parametrize("names", [{"a.png": 1, "b.png": 0}, {"x/a.png": 1, "y/a.png": 1}, {"cats/1.png": 1, "dogs/2.png": 0},
                                   {"a.png": 1, "ax4.png": 1}, {"LR/a.png": 0, "LR/b.png": 0}, {"X4/a.png": 1, "X4/b.png": 1}])
def test_sets_that_are_no_pairs_stay_whole(names, tmp_path, capsys):
    put(tmp_path, names)
    assert [name for name, _ in images(str(tmp_path))] == sorted(names)
    assert capsys.readouterr().out == ""


def test_lr_beside_what_it_does_not_belong_to_is_refused_with_both_named(tmp_path):
    put(tmp_path, {"photos/a.png": 1, "photos/b.png": 1, "LR/x.png": 0, "LR/y.png": 0})
    with pytest.raises(DataError, match="images in LR and in photos; which are the HR ones"):
        images(str(tmp_path))


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """HR in one folder, and in another LR versions of them that no bicubic gives."""
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    for number in range(3):
        hr = photograph(60 + number, 80 + 3 * number, number)
        lr = 255 - to_image(degrade(to_tensor(hr), 4))
        for folder, name, picture in (("hr", f"{number}.png", hr), ("low", f"{number}x4.png", lr)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / folder / name)
    return tmp_path


def test_given_pairs_are_cut_at_the_same_places(pair):
    bank = open_bank(str(pair / "hr"), progress=False, pairs=str(pair / "low"))
    assert bank.lr.names == bank.names and bank.identity()["pairs"] == str(pair / "low")
    lr, hr = patches(bank, 3, replace(CONFIG, flips=True))
    plain = patches(open_bank(str(pair / "hr"), progress=False), 3, CONFIG)
    assert torch.equal(hr, plain[1]) and (1 - lr - plain[0]).abs().max() < 1e-6  # the negative of the shrunk ones
    assert torch.equal(patches(bank, 3, CONFIG, 1, 2)[0], lr[3:])
    assert bank.identity()["fingerprint"] != open_bank(str(pair / "hr"), progress=False).identity()["fingerprint"]


def test_pairs_that_do_not_fit_are_one_sentence(pair):
    with pytest.raises(DataError, match="the LR of 0.png has 20 x 15 pixels; at scale 2"):
        patches(open_bank(str(pair / "hr"), progress=False, pairs=str(pair / "low")), 0, replace(CONFIG, scale=2))
    (pair / "low" / "1x4.png").unlink()
    with pytest.raises(DataError, match="low: no image, or several, for 1.png"):
        open_bank(str(pair / "hr"), progress=False, pairs=str(pair / "low"))


# --- small pictures --------------------------------------------------------------------------------------------------

def test_many_small_pictures_and_one_large_one(tmp_path):
    pictures = [(f"{n}.png", photograph(20, 22, n)) for n in range(400)] + [("large.png", photograph(60, 70))]
    bank = ImageBank.build(pictures, tmp_path / "bank", progress=False)
    assert {rooms._place(bank, np.random.default_rng(n), CONFIG)[0] for n in range(50)} == {400}
    assert "401 pictures, 400 of them smaller than 24 x 24 and never used" in data_line(bank, CONFIG)
    assert epochs(bank, replace(CONFIG, steps=100)) == pytest.approx(100 * 6 * 24 * 24 / (60 * 70))


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("device", [False, True])
def test_small_pictures_are_padded_on_request(tmp_path, scale, device):
    small = photograph(18, 13)
    bank = ImageBank.build([("small", small), ("dot", photograph(1, 1))], tmp_path / "bank", progress=False)
    bank.on_device = torch.from_numpy(bank.pixels.copy()) if device else None
    config = replace(CONFIG, pad_small=True, scale=scale, flips=False, batch=2)
    with pytest.raises(DataError, match="pad_small=true"):
        patches(bank, 0, replace(config, pad_small=False))
    lr, hr = patches(bank, 0, config)
    cropped = small[:18 // scale * scale, :13 // scale * scale]
    padded = np.pad(cropped, ((0, 24 - cropped.shape[0]), (0, 24 - cropped.shape[1]), (0, 0)), mode="symmetric")  # numpy's word for the border repeated
    assert torch.equal(hr[0], to_tensor(padded)[0]) and torch.equal(hr[0], hr[1])
    inside = cropped.shape[0] // scale - 2, cropped.shape[1] // scale - 2  # where the kernel does not reach the padding
    wanted = degrade(to_tensor(padded), scale)[0, :, :inside[0], :inside[1]]
    assert torch.equal(lr[0, :, :inside[0], :inside[1]], wanted) and lr.shape[-1] == 24 // scale
    line = data_line(bank, config)
    assert "1 of them smaller than {0} x {0} and never used, 1 of them smaller than 24 x 24 and continued".format(scale) in line


def test_held_out_pictures_that_are_too_small_are_counted(tmp_path, capsys):
    bank = ImageBank.build([("a", photograph(60, 60)), ("b", photograph(16, 90)), ("c", photograph(19, 19))], tmp_path / "bank", progress=False)
    assert np.isfinite(Validation(bank, 4).bicubic_psnr) and "2 of 3 held-out images are smaller than 19 x 19" in capsys.readouterr().out
    small = ImageBank.build([("b", photograph(16, 90)), ("c", photograph(19, 19))], tmp_path / "small", progress=False)
    with pytest.raises(TrainingError, match="small: none of the held-out images"):
        Validation(small, 4)


# --- sources ---------------------------------------------------------------------------------------------------------

def test_a_change_of_the_source_changes_its_key(tmp_path):
    put(tmp_path / "set", {"a.png": 1, "b.png": 1})

    def key():
        return listing(str(tmp_path / "set"))[0]

    keys, place = [key()], tmp_path / "set" / "a.png"
    stat, content = place.stat(), bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1  # the same size, and below the same time
    place.write_bytes(content)
    os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    keys.append(key())
    place.rename(tmp_path / "set" / "c.png")
    keys.append(key())
    os.utime(tmp_path / "set" / "c.png", (1, 1))
    keys.append(key())
    assert len({*keys}) == 4 and key() == keys[-1]


def test_hidden_and_system_folders_are_left_alone_and_links_followed_once(tmp_path):
    put(tmp_path / "set", {"a.png": 1, ".ipynb_checkpoints/a-checkpoint.png": 1, "@eaDir/a.png": 1, "__MACOSX/set/a.png": 1, "._a.png": 1})
    put(tmp_path / "elsewhere", {"b.png": 1})
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "circle").symlink_to(tmp_path / "set")
    (tmp_path / "set" / ".cache").mkdir()
    (tmp_path / "set" / ".cache" / "way").symlink_to(tmp_path / "elsewhere")  # a link in a hidden folder takes nothing away
    assert [name for name, _ in images(str(tmp_path / "set"))] == ["a.png", "linked/b.png"]


def test_what_is_left_out_of_a_folder_or_an_archive_is_counted(tmp_path, capsys):
    put(tmp_path / "set", {"a.png": 1, "b/c.jfif": 1, "@eaDir/a.png": 1, "__pycache__/x.png": 1})
    for name in ("a.txt", "b/labels.txt", "data.npy", "._a.png"):
        (tmp_path / "set" / name).write_text("no picture")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as zipped, tarfile.open(tmp_path / "set.tar", "w") as tarred:
        for path in sorted((tmp_path / "set").rglob("*")):
            zipped.write(path, path.relative_to(tmp_path / "set")), tarred.add(path, path.relative_to(tmp_path / "set"), recursive=False)
    for kind in ("", ".zip", ".tar"):
        assert [name for name, _ in images(str(tmp_path / f"set{kind}"))] == ["a.png", "b/c.jfif"]
        assert "left out: 6 files (no image: 1 .npy, 2 .txt; 3 hidden or of the system)" in capsys.readouterr().out


def test_a_file_without_a_suffix_counts_by_its_content(tmp_path):
    put(tmp_path / "set", {"a.png": 1})
    (tmp_path / "set" / "a.png").rename(tmp_path / "set" / "0f3a")
    assert [name for name, _ in images(str(tmp_path / "set"))] == ["0f3a"]


def test_an_archive_of_archives_says_what_is_in_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("pictures.zip", b"PK")
    with pytest.raises(DataError, match="no pictures in this archive .left out: 1 file .no image: 1 .zip"):
        list(images(str(tmp_path / "set.zip")))


@pytest.mark.parametrize("index", ['{"names": ["a"], "sizes": [[1]]}', '{"names": ["a"], "sizes": [[-1, 2]]}', '{"names": [], "sizes": []}', "7",
                                   '{"names": ["a"], "sizes": [["x", 2]]}', '{"names": ["a", "b"], "sizes": [[1, 2]]}', '{"names": [1], "sizes": [[1, 2]]}'])
def test_a_broken_bank_in_the_cache_is_built_anew(index, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    put(tmp_path / "set", {"a.png": 1})
    open_bank(str(tmp_path / "set"), progress=False)
    path, = (tmp_path / "cache" / "banks").glob("*.json")
    path.write_text(index)
    with pytest.raises(DataError, match="no usable image bank"):
        ImageBank(path)
    assert open_bank(str(tmp_path / "set"), progress=False).names == ["a.png"] and "built anew" in "".join(capsys.readouterr())


def test_what_a_killed_build_has_left_is_removed_and_a_living_one_is_not(tmp_path):
    from srgan_lib.locks import hold, release
    (tmp_path / ".bank.1.part").write_bytes(b"half")
    (tmp_path / ".other.1.part").write_bytes(b"another bank's")
    held = hold(tmp_path / ".bank.2.part")
    ImageBank.build([("a", photograph(20, 20))], tmp_path / "bank", progress=False)
    assert sorted(os.listdir(tmp_path)) == [".bank.2.part", ".other.1.part", "bank.bin", "bank.json"]
    release(held)


@pytest.mark.parametrize("source", ["", "hf://datasets/../x/y.zip", "hf://datasets/a/b/../../c.zip", "hf://datasets/a/b@../c.zip", "hf://datasets/a//c.zip",
                                    "hf://datasets/a b/c/d.zip", "hf://models/a/b/c.zip", "~nosuchuser/photos"])
def test_names_that_lead_nowhere_are_one_sentence(source):
    with pytest.raises(DataError) as caught:
        images(source)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_utf8_become_a_bank(tmp_path, monkeypatch):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    packed = io.BytesIO()
    Image.fromarray(photograph(30, 30)).save(packed, "PNG")
    (tmp_path / "set").mkdir()
    try:
        with open(os.fsencode(tmp_path / "set") + b"/\xff\xe9.png", "wb") as file:
            file.write(packed.getvalue())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    bank = open_bank(str(tmp_path / "set"), progress=False)
    assert os.fsencode(bank.names[0]) == b"\xff\xe9.png" and open_bank(str(tmp_path / "set"), progress=False).names == bank.names


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_one_sentence(limit):
    with pytest.raises(DataError, match="want 1 or more"):
        images("sample", limit=limit)
