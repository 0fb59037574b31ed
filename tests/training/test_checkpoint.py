"""Run folders: atomic checkpoints, refusal of another config, backups, logs, and the crash test at small size."""

import errno
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import crash
import pytest
import torch

from srgan_lib import images
from srgan_lib.training import checkpoint
from srgan_lib.training import RunFolder
from srgan_lib.errors import TrainingError
from srgan_lib.training import TINY


def state(number: int) -> dict:
    return {"step": number, "networks": {"generator": {"weight": torch.full((1000,), float(number))}}}


def test_a_checkpoint_comes_back_and_the_one_before_it_is_kept(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save(state(1))
    folder.save(state(2))
    assert folder.load()["step"] == 2
    assert torch.load(folder.previous, weights_only=True)["step"] == 1


class Killed(BaseException):
    """Stands for the process dying at this very call."""


@pytest.mark.parametrize("call", ["link", "replace", "fsync", "fdopen"])
@pytest.mark.parametrize("occurrence", [1, 2])
def test_death_at_any_write_point_leaves_a_whole_checkpoint(tmp_path, monkeypatch, call, occurrence):
    folder = RunFolder(tmp_path)
    folder.save(state(1))
    folder.save(state(2))
    real, seen = getattr(os, call), []

    def dies(*arguments, **options):
        seen.append(arguments)
        if len(seen) == occurrence:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, dies)
        try:
            folder.save(state(3))
        except Killed:
            pass
    again = RunFolder(tmp_path)
    assert again.load()["step"] in (2, 3)
    assert not list(tmp_path.glob(".*.part"))


def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save(state(1))
    folder.save(state(2))
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:500])
    with pytest.warns(UserWarning, match="broken checkpoint"):
        assert folder.load()["step"] == 1


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stands(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.save(state(1))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(TrainingError, match="disk is full.*checkpoint before it is whole"):
        folder.save(state(2))
    assert folder.load()["step"] == 1
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_inside_the_write(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.save(state(1))
    with open("/dev/full", "wb", buffering=0) as full, monkeypatch.context() as patch:
        patch.setattr(checkpoint, "atomic_write", lambda path, write: write(full))
        with pytest.raises(TrainingError, match="disk is full.*checkpoint before it is whole"):
            folder.save(state(2))
    assert folder.load()["step"] == 1


def test_a_vanished_backup_is_a_warning_and_the_run_goes_on(tmp_path):
    (tmp_path / "drive").write_text("a file where a folder should be")
    folder = RunFolder(tmp_path / "run", backup=tmp_path / "drive" / "run")
    with pytest.warns(UserWarning, match="backup failed"):
        folder.save(state(1))
    assert folder.load()["step"] == 1


def test_a_new_machine_goes_on_from_the_backup(tmp_path):
    first = RunFolder(tmp_path / "run", backup=tmp_path / "drive")
    first.check_config(TINY.srresnet)
    first.log({"step": 5})
    first.save(state(5))
    other = RunFolder(tmp_path / "other", backup=tmp_path / "drive")
    other.check_config(TINY.srresnet)
    assert other.load()["step"] == 5 and other.records() == [{"step": 5}]
    with pytest.raises(TrainingError, match="seed: 0 there, 1 here"):
        RunFolder(tmp_path / "third", backup=tmp_path / "drive").check_config(replace(TINY.srresnet, seed=1))


def test_another_config_is_refused_with_the_fields_named(tmp_path):
    config = TINY.srresnet
    RunFolder(tmp_path).check_config(config)
    RunFolder(tmp_path).check_config(config)
    with pytest.raises(TrainingError, match="batch: 4 there, 8 here; seed: 0 there, 3 here"):
        RunFolder(tmp_path).check_config(replace(config, batch=8, seed=3))
    RunFolder(tmp_path).check_config(replace(config, batch=8), accept_changes=True)


def test_a_run_from_before_a_field_goes_on_with_its_default(tmp_path):
    RunFolder(tmp_path).check_config(TINY.srresnet)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    del stored["generator_every"]
    path.write_text(json.dumps(stored))
    RunFolder(tmp_path).check_config(TINY.srresnet)
    with pytest.raises(TrainingError, match="generator_every: 1 there, 5 here"):
        RunFolder(tmp_path).check_config(replace(TINY.srresnet, generator_every=5))


def test_records_of_lost_steps_are_forgotten_and_torn_lines_skipped(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (10, 20, 30):
        folder.log({"step": step})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 4')
    assert [record["step"] for record in folder.records()] == [10, 20, 30]
    folder.forget_after(20)
    assert [record["step"] for record in folder.records()] == [10, 20]


def test_an_unwritable_run_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run")


def test_only_the_main_process_writes(tmp_path):
    folder = RunFolder(tmp_path / "run", writes=False)
    folder.save(state(1))
    folder.log({"step": 1})
    assert not (tmp_path / "run").exists()


def kill_for_real(python, environment, *arguments: str) -> None:
    """Run crash.py in a Python of its own: a process that has used autograd's threads cannot fork trainers."""
    done = subprocess.run([python, crash.__file__, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
@pytest.mark.parametrize("stage", ["srresnet", "srgan"])
def test_four_real_kills_lose_nothing(stage, python, subprocess_environment):
    kill_for_real(python, subprocess_environment, "--stage", stage, "--kills", "4")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["srresnet", "srgan"])
def test_sixty_real_kills_lose_nothing(stage, python, subprocess_environment):
    kill_for_real(python, subprocess_environment, "--stage", stage, "--kills", "60", "--seed", "1")


def test_atomic_write_keeps_the_old_file_when_the_new_one_fails(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half(file):
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        images.atomic_write(path, half)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
