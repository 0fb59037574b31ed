"""The second copy of a run: taken over whole or not at all, and never overwritten by less than it holds."""

import json
import os
import shutil
import warnings
from pathlib import Path

import torch

from ..errors import TrainingError
from ..images import atomic_write

KEPT = ("config.json", "run.json", "log.jsonl", "checkpoint.pt")  # in the order in which they are copied to a backup
FETCHING = ".fetching"
TORN = (".checkpoint*.part", ".config.json.*.part", ".run.json.*.part", ".log.jsonl.*.part")  # ours alone: the folder may be anybody's


class Backup:
    """A folder, such as a mounted Drive, that receives a copy of each checkpoint of the run in `run`.

    While writing, a backup that fails is a warning and the run goes on. Before a run begins, one that cannot be read, that
    holds another run or a later step stops it: TrainingError, and nothing has been changed.
    """

    def __init__(self, folder: str | Path, run: Path):
        self.folder, self.run = Path(folder), run
        if os.path.realpath(self.folder) == os.path.realpath(run):
            raise TrainingError(f"--backup {folder}: is the folder of the run itself; name another one")

    def fetch(self) -> None:
        """Where the run folder has no checkpoint, take over what the backup holds; the config comes last."""
        if (self.run / "config.json").is_file() and any((self.run / name).is_file() for name in ("checkpoint.pt", "checkpoint.previous.pt")):
            return
        partial = self.run / FETCHING
        try:
            found = [name for name in KEPT if self._there(name)]
            if not found:
                print(f"note: {self.folder} holds no run yet; what is trained here will be copied to it")
                return
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name in found:
                shutil.copyfile(self.folder / name, partial / name)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise TrainingError(f"{self.folder}: the backup cannot be read ({error.strerror or error}); nothing was begun, so that it is "
                                "not overwritten: make it readable, or leave --backup out") from None
        if "checkpoint.pt" in found:
            self._whole(partial / "checkpoint.pt", found)
        for name in reversed(found):
            os.replace(partial / name, self.run / name)
        partial.rmdir()

    def check(self, here: int, identity: str | None) -> None:
        """Refuse a backup of another run, or of a later step than `here`. identity: the run's own, None where it has none."""
        there, other = self.step(), self._read("run.json").get("id")
        mine = _fields(self.run / "config.json")
        older = other is None and here > 0 and self._read("config.json") not in ({}, mine)  # from before runs had an identity
        if older or (identity and other and identity != other):
            raise TrainingError(f"{self.folder}: is the backup of another run than {self.run}; name another --backup")
        if there is not None and there > here:
            raise TrainingError(f"{self.folder}: the backup is at step {there}, {self.run} at step {here}; to go on from the backup name a "
                                "new --run folder, to keep this one name another --backup")

    def step(self) -> int | None:
        """The step of the backup's checkpoint; None where there is none. Raises TrainingError for one that cannot be read."""
        try:
            if not self._there("checkpoint.pt"):
                return None
            return step_of(self.folder / "checkpoint.pt")
        except Exception as error:
            raise TrainingError(f"{self.folder / 'checkpoint.pt'}: the backup cannot be read ({str(error)[:80]}); it is not overwritten: "
                                "move it away, or name another --backup") from None

    def store(self) -> None:
        """Copy the run's files there, each whole or not at all."""
        try:
            for torn in [path for pattern in TORN for path in self.folder.glob(pattern)]:
                torn.unlink(missing_ok=True)
            for name in KEPT:
                if (self.run / name).is_file():
                    with open(self.run / name, "rb") as source:
                        atomic_write(self.folder / name, lambda file: shutil.copyfileobj(source, file))
        except OSError as error:
            warnings.warn(f"{self.folder}: backup failed ({error.strerror or error}); the run goes on in {self.run}", stacklevel=3)

    def _there(self, name: str) -> bool:
        """Whether the backup has a file; an error that says anything but "not there" is raised."""
        try:
            os.stat(self.folder / name)
            return True
        except FileNotFoundError:
            return False

    def _whole(self, checkpoint: Path, found: list[str]) -> None:
        try:
            if "config.json" not in found:
                raise ValueError("its config.json is missing")
            step_of(checkpoint)
        except Exception as error:
            shutil.rmtree(self.run / FETCHING, ignore_errors=True)
            raise TrainingError(f"{self.folder}: the backup's checkpoint is of no use ({str(error)[:80]}); nothing was begun, so that it is "
                                "not overwritten: move it away, or name another --backup") from None

    def _read(self, name: str) -> dict:
        return _fields(self.folder / name)


def _fields(path: Path) -> dict:
    """What a JSON file holds; {} where there is none, or a broken one."""
    try:
        value = json.loads(path.read_text())
        return value if isinstance(value, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, its tensors left on the disk. Raises whatever a broken file raises."""
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["step"])
