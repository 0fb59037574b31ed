"""`evaluate`: one bad image is a row with a reason, JSON stays JSON, given pairs and finished results are scored."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from samples import photograph, save_photographs

from srgan_lib.__main__ import main
from srgan_lib.apps.evaluate import most_gained
from srgan_lib.images import degrade, resize_bicubic, to_image, to_tensor


def refused(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 2
    line, = [line for line in capsys.readouterr().err.splitlines() if line.startswith("srgan_lib: ")]
    return line


def strict(path) -> dict:
    def never(name):
        raise AssertionError(f"{name} is not JSON")
    return json.loads(path.read_text(), parse_constant=never)


@pytest.fixture
def folder(tmp_path):
    return save_photographs(tmp_path / "good", 3)


def test_a_broken_and_a_tiny_image_are_rows_and_the_others_count(folder, tmp_path, capsys):
    command = ["evaluate", "--model", "bicubic", "--data", str(folder), "--json", str(tmp_path / "a.json")]
    assert main(command) == 0
    alone = strict(tmp_path / "a.json")
    Image.fromarray(photograph(16, 16)).save(folder / "icon.png")
    (folder / "half.jpg").write_bytes((folder / "00.png").read_bytes()[:500])
    assert main(command) == 2
    record, (said, complaint) = strict(tmp_path / "a.json"), capsys.readouterr()
    assert "2 of 5 images could not be scored" in complaint
    assert record["mean"] == alone["mean"] and record["bicubic"] == alone["bicubic"]
    errors = {row["name"]: row["error"] for row in record["images"] if "error" in row}
    assert errors.keys() == {"icon.png", "half.jpg"} and "16 x 16 pixels are too few" in errors["icon.png"] and "left out" in said


def test_where_none_can_be_scored_it_is_one_sentence(tmp_path, capsys):
    Image.fromarray(photograph(16, 16)).save(tmp_path / "icon.png")
    assert "no image could be scored (icon.png: 16 x 16" in refused(capsys, "evaluate", "--model", "bicubic", "--data", tmp_path)


def test_infinite_is_a_text_in_json(tmp_path):
    (tmp_path / "flat").mkdir()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "flat" / "a.png")
    assert main(["evaluate", "--model", "bicubic", "--data", str(tmp_path / "flat"), "--json", str(tmp_path / "a.json")]) == 0
    assert strict(tmp_path / "a.json")["mean"]["psnr"] == "inf"


@pytest.mark.parametrize("ending", [".png", "x4.png", "-x4.png", "_SR.png"])
def test_results_of_ones_own_are_scored_as_they_are(ending, folder, tmp_path):
    (tmp_path / "mine").mkdir()
    for path in folder.iterdir():
        sr = resize_bicubic(degrade(to_tensor(np.asarray(Image.open(path))), 4), 4)
        Image.fromarray(to_image(sr)).save(tmp_path / "mine" / f"{path.stem}{ending}")
    assert main(["evaluate", "--sr", str(tmp_path / "mine"), "--hr", str(folder), "--json", str(tmp_path / "a.json")]) == 0
    record = strict(tmp_path / "a.json")
    assert record["mean"] == record["bicubic"] and len(record["images"]) == 3


def test_results_of_another_size_are_a_row_and_missing_ones_a_sentence(folder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        image = Image.open(path)
        (image if number else image.resize((10, 10))).save(tmp_path / "mine" / path.name)
    assert main(["evaluate", "--sr", str(tmp_path / "mine"), "--hr", str(folder), "--json", str(tmp_path / "a.json")]) == 2
    assert "the image given for it has 10 x 10 pixels" in strict(tmp_path / "a.json")["images"][0]["error"]
    (tmp_path / "mine" / "01.png").unlink()
    assert "for 01.png" in refused(capsys, "evaluate", "--sr", tmp_path / "mine", "--hr", folder)
    assert "belong together" in refused(capsys, "evaluate", "--sr", tmp_path / "mine")
    assert "belong together" in refused(capsys, "evaluate", "--sr", tmp_path / "mine", "--hr", folder, "--model", "bicubic")


def test_given_pairs_are_enlarged_in_place_of_shrunk_ones(folder, tmp_path):
    for kind in ("same", "black"):
        (tmp_path / kind).mkdir()
        for path in folder.iterdir():
            lr = to_image(degrade(to_tensor(np.asarray(Image.open(path))), 4))
            Image.fromarray(lr if kind == "same" else 0 * lr).save(tmp_path / kind / f"{path.stem}x4.png")
    records = {}
    for kind in ("shrunk", "same", "black"):
        pairs = [] if kind == "shrunk" else ["--pairs", str(tmp_path / kind)]
        assert main(["evaluate", "--model", "bicubic", "--data", str(folder), "--json", str(tmp_path / "a.json"), *pairs]) == 0
        records[kind] = strict(tmp_path / "a.json")["mean"]["psnr"]
    assert records["same"] == records["shrunk"] > records["black"] + 3


def test_the_example_is_where_the_gan_gains_most():
    """Of four squares with grain, the other network lacks all of it and the GAN has that of one; a flat one and invented grain count for nothing."""
    grain = 20 * torch.randn(120, 160, generator=torch.Generator().manual_seed(0))
    truth = grain.clone()
    truth[:, :40] = 0
    gan = torch.zeros_like(truth)
    gan[60:100, 80:120], gan[:, :40] = truth[60:100, 80:120], 3 * grain[:, :40]
    gain, place = most_gained(torch.zeros_like(truth), gan, truth, (40, 40))
    assert place == (60, 80) and gain == pytest.approx(1, abs=1e-6)
