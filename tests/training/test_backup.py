"""A backup is never overwritten by less; one train a folder; data belong to a run; what is finished is whole."""

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples import photograph, save_photographs

from srgan_lib.__main__ import main
from srgan_lib.data import ImageBank, patches
from srgan_lib.errors import NotFiniteError, TrainingError
from srgan_lib.models import load_generator
from srgan_lib.training import RunFolder, TINY, Trainer, backup, make_accelerator, result, train
from srgan_lib.training.config import AT_MOST

SMALL = replace(TINY.srresnet, blocks=1, channels=4, batch=2, hr_size=32, steps=4, log_every=2, valid_every=4, checkpoint_every=2)


def made(folder: Path, name: str, count: int = 2, seed: int = 0) -> ImageBank:
    return ImageBank.build([(f"{n}.png", photograph(60, 70, seed + n)) for n in range(count)], folder / name, progress=False)


@pytest.fixture
def bank(tmp_path):
    return made(tmp_path, "bank")


def finish(config, bank, run, **options):
    return list(train(config, bank, run, device="cpu", **options))


def step_at(drive: Path) -> int:
    return backup.step_of(drive / "checkpoint.pt")


# --- the backup ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "checkpoint.pt"])
def test_a_fetch_that_is_cut_off_leaves_a_new_folder_and_the_backup_whole(name, bank, tmp_path, monkeypatch):
    finish(SMALL, bank, tmp_path / "run", backup=tmp_path / "drive")
    copy = backup.shutil.copyfile

    def dies(source, target):
        if Path(source).name == name:
            raise KeyboardInterrupt
        return copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(backup.shutil, "copyfile", dies)
        with pytest.raises(KeyboardInterrupt):
            finish(SMALL, bank, tmp_path / "other", backup=tmp_path / "drive")
    assert not (tmp_path / "other" / "config.json").exists() and step_at(tmp_path / "drive") == 4
    assert finish(SMALL, bank, tmp_path / "other", backup=tmp_path / "drive") == []  # finished there, so finished here
    assert RunFolder(tmp_path / "other").load()["step"] == 4 and not (tmp_path / "other" / backup.FETCHING).exists()


@pytest.mark.parametrize("spoil", ["a folder", "torn", "no config"])
def test_a_backup_that_cannot_be_read_stops_the_run_and_stays(spoil, bank, tmp_path):
    finish(SMALL, bank, tmp_path / "run", backup=tmp_path / "drive")
    checkpoint = tmp_path / "drive" / "checkpoint.pt"
    if spoil == "a folder":
        checkpoint.unlink()
        checkpoint.mkdir()
    elif spoil == "torn":
        checkpoint.write_bytes(checkpoint.read_bytes()[:300])
    else:
        (tmp_path / "drive" / "config.json").unlink()
    before = {path.name: path.is_file() and path.read_bytes() for path in (tmp_path / "drive").iterdir()}
    with pytest.raises(TrainingError, match="the backup"):
        finish(SMALL, bank, tmp_path / "other", backup=tmp_path / "drive")
    assert {path.name: path.is_file() and path.read_bytes() for path in (tmp_path / "drive").iterdir()} == before
    assert not (tmp_path / "other" / "config.json").exists()


def test_an_earlier_step_is_never_written_over_a_later_one(bank, tmp_path):
    run = train(SMALL, bank, tmp_path / "early", device="cpu")
    next(run)
    run.close()
    finish(SMALL, bank, tmp_path / "late", backup=tmp_path / "drive")
    (tmp_path / "drive" / "run.json").unlink()
    with pytest.raises(TrainingError, match="the backup is at step 4, .*early at step 2"):
        finish(SMALL, bank, tmp_path / "early", backup=tmp_path / "drive")
    assert step_at(tmp_path / "drive") == 4


def test_the_backup_of_another_run_is_refused_even_at_an_earlier_step(bank, tmp_path):
    finish(replace(SMALL, steps=2), bank, tmp_path / "one", backup=tmp_path / "drive")
    finish(SMALL, bank, tmp_path / "two")
    for accept in (False, True):
        with pytest.raises(TrainingError, match="is the backup of another run"):
            finish(SMALL, bank, tmp_path / "two", backup=tmp_path / "drive", accept_changes=accept)
    with pytest.raises(TrainingError, match="folder of the run itself"):
        finish(SMALL, bank, tmp_path / "two", backup=tmp_path / "two")


def test_what_a_kill_has_left_in_the_backup_is_removed_by_the_next_copy(bank, tmp_path):
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / ".checkpoint.pt.a.part").write_bytes(b"half")
    finish(SMALL, bank, tmp_path / "run", backup=tmp_path / "drive")
    assert sorted(path.name for path in (tmp_path / "drive").iterdir()) == sorted(backup.KEPT)


# --- one train, one folder -------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from srgan_lib.training import RunFolder
with RunFolder(sys.argv[1]).held():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_a_second_train_is_refused_until_the_first_is_dead(bank, tmp_path, python, subprocess_environment):
    first = subprocess.Popen([python, "-c", HOLDER, str(tmp_path / "run")], env=subprocess_environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "held\n"
    (tmp_path / "run" / ".checkpoint.pt.abc.part").write_text("being written")
    with pytest.raises(TrainingError, match="another train is at work"):
        finish(SMALL, bank, tmp_path / "run")
    assert (tmp_path / "run" / ".checkpoint.pt.abc.part").exists() and not (tmp_path / "run" / "config.json").exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(finish(SMALL, bank, tmp_path / "run")) == 2 and not list((tmp_path / "run").rglob("*.part"))


def test_in_one_process_too_and_the_first_goes_on(bank, tmp_path):
    first = train(SMALL, bank, tmp_path / "run", device="cpu")
    assert next(first)["step"] == 2
    with pytest.raises(TrainingError, match="another train is at work"):
        finish(SMALL, bank, tmp_path / "run")
    assert next(first)["step"] == 4


def test_what_a_kill_has_left_is_removed_by_the_next_run(tmp_path):
    RunFolder(tmp_path)
    for name in (".checkpoint.pt.a.part", "samples/.0000010.png.a.part", ".fetching/config.json", ".generator.part/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    RunFolder(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".lock", "samples"]


# --- data and changes ------------------------------------------------------------------------------------------------

def test_other_data_are_refused_named_and_accepted(bank, tmp_path):
    finish(SMALL, bank, tmp_path / "run")
    assert finish(SMALL, made(tmp_path / "elsewhere", "bank"), tmp_path / "run") == []  # the same pixels in another place
    for other in (made(tmp_path, "three", 3), made(tmp_path, "others", 2, seed=5)):
        with pytest.raises(TrainingError, match=r"other data \(data: bank \(2 images.*there.*accept-changes"):
            finish(SMALL, other, tmp_path / "run")
    assert len(finish(replace(SMALL, steps=6), other, tmp_path / "run", accept_changes=True)) == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"] == other.identity()


def test_one_changed_pixel_changes_the_fingerprint_and_a_copy_does_not(tmp_path):
    picture = photograph(60, 70)
    banks = [ImageBank.build([("a.png", one)], tmp_path / name, progress=False) for name, one in (("a", picture), ("b", picture), ("c", 255 - picture))]
    assert len({bank.identity()["fingerprint"] for bank in banks}) == 2


@pytest.mark.parametrize("change", [{"blocks": 2}, {"channels": 8}, {"scale": 2}, {"architecture": "EncoderDecoder"},
                                    {"stage": "srgan", "content": "mse", "discriminator_head": "pooled", "discriminator_channels": 4}])
def test_changes_that_do_not_fit_leave_the_run_as_it_was(change, bank, tmp_path):
    finish(SMALL, bank, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match="other networks than this config"):
        finish(replace(SMALL, **change), bank, tmp_path / "run", accept_changes=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    assert finish(SMALL, bank, tmp_path / "run") == []


@pytest.mark.parametrize("name, content", [("config.json", b"{"), ("config.json", b"[]"), ("config.json", b"\xff\xfe"), ("run.json", b"3"),
                                           ("run.json", b'{"data": 7}')])
def test_a_broken_config_is_one_sentence(name, content, bank, tmp_path):
    finish(SMALL, bank, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(TrainingError, match=f"{name}: broken"):
        finish(SMALL, bank, tmp_path / "run")


def test_a_log_with_odd_lines_is_read_past_them(bank, tmp_path):
    finish(SMALL, bank, tmp_path / "run")
    with open(tmp_path / "run" / "log.jsonl", "ab") as file:
        file.write(b'\xff\n[1]\n7\n{"step": "x"}\n{"loss": 1}\nnull\n')
    assert [record["step"] for record in RunFolder(tmp_path / "run").records()] == [2, 4]
    assert finish(SMALL, bank, tmp_path / "run") == []


@pytest.mark.parametrize("content", [b"", b"text", 7, [1], {"step": 4}, {"step": "x", "networks": {}}])
def test_checkpoints_that_are_all_broken_stop_the_run(content, bank, tmp_path):
    finish(SMALL, bank, tmp_path / "run")
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / "run" / name).write_bytes(content) if isinstance(content, bytes) else torch.save(content, tmp_path / "run" / name)
    with pytest.warns(UserWarning, match="broken checkpoint"), pytest.raises(TrainingError, match="no other checkpoint is left"):
        finish(SMALL, bank, tmp_path / "run")


# --- done ------------------------------------------------------------------------------------------------------------

def spoilt(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    if how == "missing":
        weights.unlink()
    elif how == "empty":
        weights.write_bytes(b"")
    elif how == "half":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "no config":
        (folder / "config.json").unlink()
    else:
        generator = load_generator(folder)
        next(generator.parameters()).data.add_(1)
        generator.save_pretrained(folder)


@pytest.mark.parametrize("how", ["missing", "empty", "half", "no config", "another"])
def test_done_is_said_of_a_whole_result_only(how, bank, tmp_path):
    finish(SMALL, bank, tmp_path)
    spoilt(tmp_path / "generator", how)
    assert finish(SMALL, bank, tmp_path) == []
    exported, average = load_generator(tmp_path / "generator").state_dict(), RunFolder(tmp_path).load()["networks"]["average"]
    assert all(torch.equal(value, exported[name]) for name, value in average.items())


@pytest.mark.parametrize("occurrence", [1, 2, 3])
def test_a_death_inside_the_export_is_made_good_by_the_next_run(occurrence, bank, tmp_path, monkeypatch):
    seen = []

    def dies(file):
        seen.append(file)
        if len(seen) == occurrence:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(result, "flush", dies)
        try:
            finish(SMALL, bank, tmp_path)
        except KeyboardInterrupt:
            pass
    assert finish(SMALL, bank, tmp_path) == []
    assert load_generator(tmp_path / "generator") and not list(tmp_path.glob(".generator.part"))


# --- not finite ------------------------------------------------------------------------------------------------------

def test_an_average_that_is_not_finite_is_never_done(bank, tmp_path):
    finish(SMALL, bank, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["networks"]["average"]["head.0.bias"][0] = float("nan")
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(NotFiniteError, match="average.head.0.bias"):
        finish(SMALL, bank, tmp_path)
    average = load_generator(tmp_path / "generator")
    average.head[0].bias.data[0] = float("inf")
    with pytest.raises(NotFiniteError, match="is not exported"):
        result.export(average, tmp_path)


@pytest.mark.parametrize("which", ["gradient", "average"])
def test_a_gradient_or_average_that_is_not_finite_stops_at_the_next_record(which, bank, tmp_path, monkeypatch):
    real = Trainer.step

    def poisoned(self, lr, hr, step):
        if step == 1 and which == "average":
            self.average.head[0].bias.data[0] = float("nan")
        losses = real(self, lr, hr, step)
        if step == 1 and which == "gradient":
            self.updates.norms["generator"] = torch.tensor(float("nan"))
        return losses

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(NotFiniteError, match="step 2: .*(the gradient of the generator|average.head.0.bias) is not finite"):
        finish(SMALL, bank, tmp_path)
    assert not (tmp_path / "generator").exists() and RunFolder(tmp_path).load() is None


def test_the_gradient_is_measured_where_a_record_is_written_and_nowhere_else(bank):
    trainer, measured = Trainer(SMALL, make_accelerator("cpu")), []
    for step in range(4):
        trainer.step(*patches(bank, step, SMALL), step)
        measured.append({name: float(norm) for name, norm in trainer.updates.norms.items()})
    assert measured[0] == measured[2] == {} and measured[1]["generator"] > 0 and measured[3]["generator"] > 0


# --- what no machine can do ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", sorted(AT_MOST))
def test_a_number_beyond_all_machines_is_one_sentence(name):
    with pytest.raises(TrainingError, match=f"{name} {10**30}: want {AT_MOST[name]} or less"):
        replace(SMALL, **{name: 10**30})


def test_what_does_not_fit_the_memory_is_one_sentence_before_it_is_built(bank, tmp_path, monkeypatch):
    from srgan_lib.training import trainer
    monkeypatch.setattr(trainer, "free_memory", lambda device: 10_000)
    with pytest.raises(TrainingError, match="needs 0.0 GB of memory to be trained"):
        finish(SMALL, bank, tmp_path / "run")
    monkeypatch.undo()

    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Trainer, "step", full)
    with pytest.raises(TrainingError, match="not enough memory for batch 2"):
        finish(SMALL, bank, tmp_path / "run")


@pytest.mark.parametrize("arguments", [("", None), ("run", "")])
def test_empty_names_are_refused(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match="is empty"):
        RunFolder(*arguments)
    assert not list(tmp_path.iterdir())


# --- folders that are not a run's own ----------------------------------------------------------------------------------

def test_a_run_in_somebodys_folder_removes_nothing_of_theirs(bank, tmp_path):
    theirs = [".holiday.part", "a.link", "photos/.a.jpg.part", ".generator.parts/x"]
    for name in theirs:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("mine")
    finish(SMALL, bank, tmp_path / "run", backup=tmp_path / "run" / "photos")
    assert [(tmp_path / "run" / name).read_text() for name in theirs] == ["mine"] * len(theirs)


@pytest.mark.parametrize("which", ["run", "backup"])
def test_a_folder_that_holds_a_model_is_no_runs_folder(bank, tmp_path, which):
    finish(SMALL, bank, tmp_path / "first")
    model = tmp_path / "first" / "generator"
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    with pytest.raises(TrainingError, match="holds a model"):
        finish(SMALL, bank, **({"run": model} if which == "run" else {"run": tmp_path / "second", "backup": model}))
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before and not (tmp_path / "second").exists()


@pytest.mark.parametrize("options", [["--run", "set"], ["--run", "set/run"], ["--run", "run", "--backup", "set"], ["--run", "valid/run", "--valid", "valid"]])
def test_a_run_does_not_lie_among_its_own_images(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("set", "valid"):
        save_photographs(tmp_path / name, 1)
    assert main(["train", "--data", "set", "--profile", "tiny", "--device", "cpu", *options]) == 2
    assert "name a folder beside it" in capsys.readouterr().err and os.listdir("set") == ["00.png"] and sorted(os.listdir(".")) == ["set", "valid"]
