"""The field's metrics through pyiqa, and who agrees with our PSNR-Y and SSIM on the same images, and why the others do not (docs/metrics.md)."""

import json
import sys

import numpy as np
import pytest
import torch
from samples import save_photographs
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan_lib.__main__ import main
from srgan_lib.apps import evaluate as command
from srgan_lib.apps import field, tables
from srgan_lib.images import crop_to_multiple, degrade, eight_bit, luma, resize_bicubic, to_tensor
from srgan_lib.metrics import compared, psnr, scores


@pytest.fixture(scope="module")
def pair() -> dict:
    """A crop of scikit-image's cat, and bicubic's idea of it: RGB, shaved RGB, rounded luma, and what we measure."""
    hr = crop_to_multiple(to_tensor(data.chelsea()[:128, :160]), 4)
    sr = eight_bit(resize_bicubic(degrade(hr, 4), 4))
    return {"rgb": (sr, hr), "shaved": tuple(image[..., 4:-4, 4:-4] for image in (sr, hr)), "luma": tuple(compared(image, 4) for image in (sr, hr)),
            "ours": scores(sr, hr, 4)}


def planes(pair, top: float = 255.0):
    return [image[None, None].float() * top / 255 for image in pair["luma"]]


def test_ours_are_the_numbers_of_the_table(pair):
    assert round(pair["ours"]["psnr"], 3) == 31.702 and round(pair["ours"]["ssim"], 4) == 0.7922


def test_scikit_image(pair):
    """0.26: agrees; its SSIM only with the paper's window, which is not its default, and with the population's variance."""
    a, b = (image.numpy() for image in pair["luma"])
    assert peak_signal_noise_ratio(b, a, data_range=255) == pytest.approx(pair["ours"]["psnr"], abs=1e-5)
    gaussian = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5}
    assert structural_similarity(a, b, **gaussian, use_sample_covariance=False) == pytest.approx(pair["ours"]["ssim"], abs=1e-7)
    assert round(structural_similarity(a, b, **gaussian), 4) == 0.7916
    assert round(structural_similarity(a, b, data_range=255), 4) == 0.8089  # a square window of 7


def test_pyiqa(pair):
    """0.1.16: SSIM agrees, on MATLAB's luma, which is not its default; PSNR does not round the luma; both defaults take another luma, without MATLAB's 16..235."""
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed")
    y = {"test_y_channel": True, "color_space": "ycbcr"}
    found = {(name, bool(options)): float(pyiqa.create_metric(name, **options)(*pair["shaved"])) for name in ("psnr", "psnry", "ssim") for options in ({}, y)}
    unrounded = [luma(image) / 255 for image in pair["shaved"]]
    assert found["psnr", True] == pytest.approx(psnr(*unrounded), abs=1e-3) and found["psnr", True] == pytest.approx(pair["ours"]["psnr"], abs=0.03)
    assert found["ssim", True] == pytest.approx(pair["ours"]["ssim"], abs=1e-5)
    assert found["psnry", False] == pytest.approx(found["psnr", True] + 20 * np.log10(219 / 255), abs=0.01)  # 1.32 dB lower by the range of the luma alone
    assert abs(found["ssim", False] - pair["ours"]["ssim"]) > 0.01


def test_torchmetrics(pair):
    """1.9: PSNR agrees; SSIM is averaged over the border too, where the window hangs over a mirrored image."""
    functional = pytest.importorskip("torchmetrics.functional", reason="torchmetrics is not installed")
    a, b = planes(pair)
    assert float(functional.peak_signal_noise_ratio(a, b, data_range=255.0)) == pytest.approx(pair["ours"]["psnr"], abs=1e-4)
    assert float(functional.structural_similarity_index_measure(a, b, data_range=255.0)) - pair["ours"]["ssim"] > 0.003


def test_piq(pair):
    """0.8: PSNR agrees (it adds 1e-8 to the error), and SSIM to 2e-5; its own luma has another range."""
    piq = pytest.importorskip("piq", reason="piq is not installed")
    a, b = planes(pair, 1.0)
    assert float(piq.psnr(a, b)) == pytest.approx(pair["ours"]["psnr"], abs=2e-3)
    assert float(piq.ssim(a, b, downsample=False)) == pytest.approx(pair["ours"]["ssim"], abs=5e-5)
    assert float(piq.psnr(*pair["shaved"], convert_to_greyscale=True)) < pair["ours"]["psnr"] - 1


# --- evaluate --metrics ----------------------------------------------------------------------------------------------

class Metric:
    """What `pyiqa.create_metric` gives."""

    def __init__(self, name):
        self.name, self.metric_mode, self.lower_better, self.seen = name, "NR" if name == "niqe" else "FR", name != "psnr", []

    def eval(self):
        return self

    def __call__(self, *images):
        self.seen.append([tuple(image.shape) for image in images])
        if images[0].shape[-1] > 82 and self.name == "dists":
            raise RuntimeError("too large\nfor me")
        return torch.tensor(float(len(images)))


class Package:
    __version__ = "9.9"
    made: dict = {}

    @staticmethod
    def list_models():
        return ["lpips", "dists", "niqe", "psnr", "away", "fid"]

    @classmethod
    def create_metric(cls, name, **options):
        if name == "away":
            raise OSError("no route\nto anywhere")
        cls.made[name] = Metric(name)
        if name == "fid":
            cls.made[name].metric_mode = "set"
        return cls.made[name]


@pytest.fixture
def package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", Package)
    return Package


def test_each_metric_gets_the_protocol_of_the_field(package, tmp_path, capsys):
    folder = save_photographs(tmp_path / "hr", 2)
    assert main(["evaluate", "--model", "bicubic", "--data", str(folder), "--metrics", "lpips, DISTS,niqe,lpips", "--json", str(tmp_path / "a.json")]) == 0
    assert package.made["lpips"].seen[0] == [(1, 3, 60, 80)] * 2 and package.made["niqe"].seen[0] == [(1, 3, 52, 72)]
    record, said = json.loads((tmp_path / "a.json").read_text()), capsys.readouterr()
    assert record["mean"]["pyiqa_lpips"] == 2 and record["mean"]["pyiqa_niqe"] == 1 and record["bicubic"]["pyiqa_lpips"] == 2
    assert "pyiqa_lpips" in said.out and "lower is better" in said.out and "pyiqa 9.9" in said.out


def test_an_image_that_a_metric_cannot_take_is_said_and_the_others_count(package, tmp_path, capsys):
    folder = save_photographs(tmp_path / "hr", 3)
    assert main(["evaluate", "--model", "bicubic", "--data", str(folder), "--metrics", "dists", "--json", str(tmp_path / "a.json")]) == 0
    rows = json.loads((tmp_path / "a.json").read_text())["images"]
    assert [row["pyiqa_dists"] for row in rows] == [2, 2, None]
    assert "note: dists is left out for an image of 84 x 60 pixels: too large for me" in capsys.readouterr().err


@pytest.mark.parametrize("names, words", [("lpis", "did you mean lpips?"), ("", "is empty"), (",", "names none"), ("away", "weights cannot be had here (OSError: no route to anywhere)"),
                                          ("fid", "compares sets of images")])
def test_a_metric_that_cannot_be_had_is_one_sentence(names, words, package, tmp_path, capsys):
    folder = save_photographs(tmp_path / "hr", 1)
    assert main(["evaluate", "--model", "bicubic", "--data", str(folder), "--metrics", names, "--json", str(tmp_path / "a.json")]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1 and not (tmp_path / "a.json").exists()


def test_without_pyiqa_it_is_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    assert main(["evaluate", "--model", "bicubic", "--data", str(save_photographs(tmp_path / "hr", 1)), "--metrics", "lpips"]) == 2
    assert "pip install pyiqa" in capsys.readouterr().err


def test_the_real_package(pair):
    """pyiqa's metrics without weights, where it is installed."""
    pytest.importorskip("pyiqa", reason="pyiqa is not installed")
    row = field.FieldMetrics("psnr,ssim,gmsd")(*pair["rgb"], 4)
    assert row["pyiqa_ssim"] == pytest.approx(pair["ours"]["ssim"], abs=1e-5) and row["pyiqa_psnr"] == pytest.approx(pair["ours"]["psnr"], abs=0.03)
    assert field.FieldMetrics("gmsd")(pair["rgb"][1], pair["rgb"][1], 4)["pyiqa_gmsd"] == pytest.approx(0, abs=1e-6)


# --- evaluate --all --sets -------------------------------------------------------------------------------------------

@pytest.fixture
def few(monkeypatch, tmp_path):
    """Two contestants, and records of their own."""
    monkeypatch.setattr(command, "contestants", lambda: {4: ["nearest", "bicubic"]})
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(command, "restate", lambda records: None)
    before = [{"model": model, "data": data, "scale": 4, "mean": {"psnr": 1.0, "ssim": 0.5, "paper_ssim": 0.5, "niqe": 5.0}} for data in tables.TEST_SETS for model in ("nearest", "bicubic")]
    (tmp_path / "results.json").write_text(json.dumps(before))
    return before


def test_sets_at_hand_fill_their_rows_and_the_others_stay(few, tmp_path, hub, capsys):
    folder = save_photographs(tmp_path / "manga", 2)
    assert main(["evaluate", "--all", "--sets", f"manga109={folder},bsd100"]) == 0
    records = json.loads((tmp_path / "results.json").read_text())
    assert records[:4] == few and [(record["data"], record["model"]) for record in records[4:]] == [("manga109", "nearest"), ("manga109", "bicubic")]
    assert "bsd100: not at hand here" in capsys.readouterr().err
    rows = tables.more_sets(records).splitlines()
    assert sum("not at hand here" in row for row in rows) == 3 and any("| Manga109 | 4 | bicubic | 2" in row for row in rows)
    assert main(["evaluate", "--all", "--sets", f"manga109={folder}"]) == 0
    assert len(json.loads((tmp_path / "results.json").read_text())) == 6


def test_an_unknown_set_is_one_sentence(few, capsys):
    assert main(["evaluate", "--all", "--sets", "manga110"]) == 2
    assert main(["evaluate", "--sets", "bsd100", "--model", "bicubic", "--data", "set5"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "manga110: want some of set5, set14, bsd100, urban100, manga109, div2k" in said[0] and "belongs to --all" in said[1]


def test_the_docs_have_a_row_for_every_set_and_generator():
    from pathlib import Path
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    assert tables.more_sets(json.loads(tables.RESULTS.read_text())) in text
