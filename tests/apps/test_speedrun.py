"""The speedrun on a tiny budget: it stops at the target, goes on after a stop, and keeps its table."""

import json

import pytest
from samples import save_photographs

from srgan_lib.__main__ import main
from srgan_lib.apps import speedrun

SMALL = [part for field in ("blocks=1", "channels=4", "batch=2", "hr_size=48", "steps=6", "valid_every=2", "log_every=2", "min_detail=0") for part in ("--set", field)]


@pytest.fixture
def command(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.setattr(speedrun, "RECORDS", tmp_path / "records.json")
    monkeypatch.setattr(speedrun, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("# A page\n<!-- records -->\nold\n<!-- /records -->\nend\n")
    for name in ("train", "valid"):
        save_photographs(tmp_path / name, 2)
    return ["speedrun", "--run", str(tmp_path / "run"), "--data", str(tmp_path / "train"), "--valid", str(tmp_path / "valid"), *SMALL]


def test_it_stops_at_the_target_and_the_record_holds_what_it_took(command, tmp_path, capsys):
    assert main([*command, "--target", "0", "--seeds", "2", "--start", "bicubic"]) == 0
    record = json.loads((tmp_path / "run" / "speedrun.json").read_text())
    assert [(run["seed"], run["step"]) for run in record["runs"]] == [(0, 2), (1, 2)] and record["start"] == "bicubic"
    assert all(run["psnr"] >= 0 and 0 < run["seconds"] <= run["wall_seconds"] for run in record["runs"])
    assert record["config"]["blocks"] == 1 and record["commit"] and record["device"] and "init" not in record["config"]
    assert "| cpu | 0 dB on valid, learned from train | bicubic |" in capsys.readouterr().out
    assert (record["data"], record["valid"]) == ("train", "valid") and str(tmp_path) not in json.dumps(record), "nothing of this machine's folders"
    assert (tmp_path / "page.md").read_text() == "# A page\n<!-- records -->\nold\n<!-- /records -->\nend\n"


def test_the_same_command_goes_on(command, tmp_path):
    assert main([*command, "--target", "0"]) == 0
    before = json.loads((tmp_path / "run" / "speedrun.json").read_text())["runs"][0]
    log = (tmp_path / "run" / "seed-0" / "log.jsonl").read_text()
    assert main([*command, "--target", "0"]) == 0
    after = json.loads((tmp_path / "run" / "speedrun.json").read_text())["runs"][0]
    assert after["seconds"] == before["seconds"] and (tmp_path / "run" / "seed-0" / "log.jsonl").read_text() == log


def test_a_run_that_ends_below_the_target_is_no_record(command, tmp_path, capsys):
    assert main([*command, "--target", "99"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("srgan_lib: ")]
    assert len(said) == 1 and "seed 0 came to" in said[0] and "dB in 6 steps, not to 99" in said[0]
    assert not (tmp_path / "run" / "speedrun.json").exists()


def test_a_record_is_added_and_the_page_restated(command, tmp_path, monkeypatch):
    monkeypatch.setitem(speedrun.TRACKS, "cpu", speedrun.TRACKS["cpu"]._replace(target=0.0))
    for number in (1, 2):
        assert main([*command, "--record"]) == 0
        assert len(json.loads((tmp_path / "records.json").read_text())) == number
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("# A page\n<!-- records -->\n| track |") and page.endswith("<!-- /records -->\nend\n") and page.count("| cpu |") == 2


@pytest.mark.parametrize("arguments, words", [
    (["--target", "20", "--record"], "a record only for 30.5 dB"), (["--seeds", "0"], "one seed or more"), (["--set", "init=srresnet-x4"], "starts from random weights"),
    (["--set", "stage=srgan"], "trains stage 1"), (["--set", "blocs=1"], "did you mean blocks"),
])
def test_what_is_no_speedrun_is_one_sentence(arguments, words, command, tmp_path, capsys):
    assert main([*command, *arguments]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1] and not (tmp_path / "run").exists()


def test_the_fastest_stands_first_and_energy_is_told(tmp_path, monkeypatch, capsys):
    run = {"seed": 0, "step": 10, "psnr": 31.0, "wall_seconds": 100.0}
    record = {"track": "cpu", "target": 30.5, "data": "sample", "valid": "sample", "start": "random", "commit": "abc", "device": "a machine", "torch": "2.14", "config": {"blocks": 8}}
    found = [record | {"runs": [run | {"seconds": 120.0, "joules": None}]}, record | {"runs": [run | {"seconds": 60.0, "joules": 7200.0}, run | {"seconds": 120.0, "joules": 7200.0}]}]
    lines = speedrun.table(found).splitlines()
    assert "| 1.0, 2.0 | 1.5 | 10, 10 | 2 Wh |" in lines[2] and "| 2.0 | 2.0 | 10 | not known |" in lines[3]
    monkeypatch.setattr(speedrun, "RECORDS", tmp_path / "none.json")
    assert main(["speedrun", "--table"]) == 0 and "No record yet" in capsys.readouterr().out
    (tmp_path / "none.json").write_text("{")
    assert main(["speedrun", "--table"]) == 2


def test_the_page_in_the_docs_shows_the_records():
    assert speedrun.table(speedrun.records()) in speedrun.PAGE.read_text()


def test_a_finished_run_counts_for_its_own_config_and_images_alone(command, tmp_path, capsys):
    other = str(save_photographs(tmp_path / "other", 1))
    assert main([*command, "--target", "1"]) == 0
    for change, words in ((["--set", "channels=5"], "another config"), (["--data", other], "other data"), (["--valid", other], "other images")):
        assert main([*command, "--target", "1", *change]) == 2
        assert words in capsys.readouterr().err
    assert main([*command, "--target", "nan"]) == 2
