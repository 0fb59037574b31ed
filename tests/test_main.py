"""The command line: what it does, and one sentence with exit code 2 for bad input, never a traceback."""

import json
import re
import os
import subprocess
import sys

import numpy as np
import pytest
from address import ROOT, address, places, stored
from PIL import Image

from srgan_lib.__main__ import main
from srgan_lib.training import read_log
from srgan_lib.models import SRResNet, shipped

TINY = ["--profile", "tiny", "--device", "cpu", "--set", "steps=4", "--set", "log_every=2", "--set", "blocks=1", "--set", "channels=8"]


def refused(capsys, *arguments) -> str:
    """Run a command that must fail -> its one sentence."""
    assert main([str(a) for a in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("srgan_lib: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(random.integers(0, 256, (67, 90, 3), np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_evaluate_writes_the_documented_json(folder, capsys):
    out = folder / "scores" / "bicubic.json"
    assert main(["evaluate", "--model", "bicubic", "--data", str(folder), "--scale", "2", "--json", str(out)]) == 0
    record = json.loads(out.read_text())
    assert record["model"] == "bicubic" and record["scale"] == 2 and record["mean"] == record["bicubic"]
    assert {"name", "psnr", "ssim", "paper_ssim", "niqe", "bands"} == record["images"][0].keys() and len(record["images"]) == 2
    assert "bicubic" in capsys.readouterr().out


def test_train_twice_goes_on_and_prints_its_config(folder, tmp_path, capsys):
    command = ["train", "--data", "sample", "--limit", "2", "--run", str(tmp_path / "run"), *TINY]
    assert main(command) == 0
    assert "config: stage=srresnet" in capsys.readouterr().out
    assert [record["step"] for record in read_log(tmp_path / "run")] == [2, 4]
    assert main(command) == 0
    assert main(["evaluate", "--model", str(tmp_path / "run" / "generator"), "--data", str(folder)]) == 0


@pytest.mark.parametrize("arguments, words", [
    (["evaluate", "--model", "bicubik", "--data", "sample"], "no such model"),
    (["evaluate", "--model", "bicubic", "--data", "set6"], "did you mean set5"),
    (["evaluate", "--model", "bicubic", "--data", "nowhere/at/all"], "no such data set, folder or archive"),
    (["evaluate", "--model", "bicubic"], "want --model and --data"),
    (["upscale", "missing.png"], "missing.png"),
    (["train", "--data", "div3k", "--run", "r"], "did you mean div2k"),
    (["train", "--data", "sample", "--run", "r", "--set", "batchsize=3"], "did you mean batch"),
    (["train", "--data", "sample", "--run", "r", "--set", "batch=many"], "want a value of type int"),
    (["train", "--data", "sample", "--run", "r", "--limit", "2", "--init", "srresnet-x5", *TINY], "no such model"),
])
def test_bad_input_is_one_sentence(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)


def test_an_empty_folder_and_a_broken_picture(tmp_path, capsys):
    assert "no pictures in this folder" in refused(capsys, "evaluate", "--model", "bicubic", "--data", tmp_path)
    (tmp_path / "text.png").write_text("not a picture")
    assert "text.png" in refused(capsys, "evaluate", "--model", "bicubic", "--data", tmp_path)


@pytest.mark.parametrize("command", [["upscale", "0.png"], ["evaluate", "--data", "."]])
def test_a_checkpoint_of_another_architecture_is_one_sentence(command, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    SRResNet(blocks=1, channels=4).save_pretrained("other")
    config = json.loads((folder / "other" / "config.json").read_text())
    (folder / "other" / "config.json").write_text(json.dumps(config | {"blocks": 2}))
    before = sorted(folder.iterdir())
    assert "other: does not load" in refused(capsys, *command, "--model", "other")
    assert sorted(folder.iterdir()) == before


def test_unwritable_outputs_are_one_sentence(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "file").write_text("in the way")
    (folder / "taken").mkdir()
    before = sorted(folder.iterdir())
    for target in ("file/scores.json", "taken"):
        words = refused(capsys, "evaluate", "--model", "bicubic", "--data", ".", "--json", target)
        assert words.startswith(f"srgan_lib: {target}: cannot be written")
    assert "file/run: cannot be written" in refused(capsys, "train", "--data", "sample", "--limit", "2", "--run", "file/run", *TINY)
    assert sorted(folder.iterdir()) == before and os.listdir("taken") == []


def test_training_pictures_are_no_validation_pictures(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    command = ["train", "--data", ".", "--run", "run", "--valid", str(folder), *TINY]
    assert "these are the training pictures" in refused(capsys, *command)
    assert not (folder / "run").exists()


def test_another_config_in_the_run_folder(tmp_path, capsys):
    command = ["train", "--data", "sample", "--limit", "2", "--run", str(tmp_path / "run"), *TINY]
    assert main(command) == 0
    assert "batch: 4 there, 2 here" in refused(capsys, *command, "--set", "batch=2")


def test_usage_errors_exit_with_two_and_help_with_zero(capsys):
    for arguments, code in ((["evaluate", "--scale", "5"], 2), ([], 2), (["upscail"], 2), (["--help"], 0), (["train", "--help"], 0)):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_nan_run_exits_with_three(tmp_path, capsys):
    command = ["train", "--data", "sample", "--limit", "2", "--run", str(tmp_path / "run"), *TINY, "--set", "learning_rate=1e30"]
    assert main(command) == 3
    assert "is not finite" in capsys.readouterr().err


def test_importing_the_library_imports_no_torch():
    code = "import sys, srgan_lib; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_benchmark_runs_and_writes_its_fields(tmp_path, monkeypatch):
    from srgan_lib.apps import benchmark
    out = tmp_path / "benchmark.json"
    assert main(["benchmark", "--quick", "--device", "cpu", "--json", str(out)]) == 0
    record = json.loads(out.read_text())
    assert {"device", "torch", "ceiling_gflops", "bank_patches_per_s", "naive_patches_per_s", "stage1_step_s", "stage1_eager_step_s",
            "stage2_step_s", "stage2_eager_step_s", "data_wait_share", "inference_mp_per_s", "peak_memory_mb"} <= record.keys()
    assert benchmark.step_gflop("srresnet") == pytest.approx(122.4, abs=0.5)
    assert benchmark.step_gflop("srgan") == pytest.approx(691.7, abs=1)


def test_one_address_everywhere():
    assert stored() == address()
    for path in places():
        if path.suffix == ".ipynb" or path.name == "README.md":
            text = path.read_text()
            assert "colab.research.google.com/github/" not in text or f"colab.research.google.com/github/{address()}/" in text


def test_the_readme_states_what_results_json_holds():
    from srgan_lib.apps.tables import RESULTS, summary, table
    if not RESULTS.is_file():
        pytest.skip("no results yet")
    from srgan_lib.apps.cards import shelf
    records, results = json.loads(RESULTS.read_text()), (ROOT / "docs" / "results.md").read_text()
    assert table(records) in results and shelf() in results
    assert summary(records) in (ROOT / "README.md").read_text()


def test_links_between_pages_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "tests").glob("*.md"), *(ROOT / "notebooks").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_short():
    text = re.sub(r"\[?!\[[^]]*\]\([^)]*\)(\]\([^)]*\))?|<!--.*?-->|\]\([^)]*\)|[|`#*-]+", " ", (ROOT / "README.md").read_text())
    assert len(text.split()) <= 600


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_give_the_stated_numbers(name, dev_data):
    """On Set5, to a hundredth of a decibel."""
    from srgan_lib.apps.evaluate import score
    from srgan_lib.apps.tables import RESULTS
    stated = {(r["model"], r["data"]): r["mean"] for r in json.loads(RESULTS.read_text())}
    if (name, "set5") not in stated:
        pytest.skip(f"{name} was scored otherwise: see its card")
    assert score(name, "set5")["mean"]["psnr"] == pytest.approx(stated[name, "set5"]["psnr"], abs=0.01)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_model_has_its_record(name):
    folder = ROOT / "srgan_lib" / "weights" / name
    for file in ("config.json", "model.safetensors", "README.md", "log.jsonl", "training.json"):
        assert (folder / file).is_file(), file


def test_packaging_carries_the_weights():
    import tomllib
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["srgan_lib"]
    assert {"weights/*", "weights/*/*"} <= set(data)
