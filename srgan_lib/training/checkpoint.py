"""The run folder: config, log, samples, and checkpoints that survive a kill at any instant."""

import errno
import json
import os
import shutil
import warnings
from dataclasses import asdict
from pathlib import Path

import torch

from ..errors import TrainingError
from ..images import atomic_write, write_image

KEPT = ("config.json", "log.jsonl", "checkpoint.pt")  # what a backup holds


class RunFolder:
    """One run on disk.

    config.json, log.jsonl (one record a line), checkpoint.pt and checkpoint.previous.pt, samples/*.png, generator/ (the
    exported weights). `backup`, when given (a mounted Drive, say), receives a copy of each checkpoint; a backup that
    fails is a warning and the run goes on. Only the main process writes.
    """

    def __init__(self, folder: str | Path, backup: str | Path | None = None, writes: bool = True):
        self.folder, self.backup, self.writes = Path(folder), Path(backup) if backup else None, writes
        self.board = None
        self.checkpoint, self.previous = self.folder / "checkpoint.pt", self.folder / "checkpoint.previous.pt"
        if writes:
            try:
                (self.folder / "samples").mkdir(parents=True, exist_ok=True)
                for torn in self.folder.glob(".*.part"):  # what a kill inside a write left behind
                    torn.unlink(missing_ok=True)
            except OSError as error:
                raise TrainingError(f"{folder}: cannot be written ({error.strerror})") from None

    def check_config(self, config, accept_changes: bool = False) -> None:
        """Refuse a folder that holds another run, naming the differing fields; store the config of a new one."""
        self._fetch_backup()
        path, fields = self.folder / "config.json", asdict(config)
        if path.is_file():
            stored = asdict(type(config)()) | json.loads(path.read_text())  # a run older than a field had its default
            names = [name for name in sorted({*stored, *fields}) if stored.get(name) != fields.get(name)]
            if names and not accept_changes:
                differing = "; ".join(f"{name}: {stored.get(name)!r} there, {fields.get(name)!r} here" for name in names)
                raise TrainingError(f"{self.folder}: holds a run with another config ({differing}); use another folder, or "
                                    "the same config to go on")
            if not names:
                return
        if self.writes:
            atomic_write(path, lambda file: file.write(json.dumps(fields, indent=2).encode()))

    def _fetch_backup(self) -> None:
        """A new folder takes over config, log and checkpoint of its backup, so that a change is refused there too."""
        if not (self.backup and self.writes) or (self.folder / "config.json").is_file():
            return
        try:
            for name in KEPT:
                if (self.backup / name).is_file():
                    shutil.copyfile(self.backup / name, self.folder / name)
        except OSError as error:
            warnings.warn(f"{self.backup}: backup cannot be read ({error.strerror or error})", stacklevel=3)

    def save(self, state: dict) -> None:
        """Write a checkpoint beside the old one, flush it to the disk, then rename: the last good one always stands."""
        if not self.writes:
            return
        try:
            if self.checkpoint.is_file():
                shutil.copyfile(self.checkpoint, self.previous) if not hasattr(os, "link") else self._keep_previous()
            atomic_write(self.checkpoint, lambda file: torch.save(state, file))
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch's zip writer hides it behind its own
            if not isinstance(cause, OSError):
                raise
            reason = "the disk is full" if cause.errno == errno.ENOSPC else cause.strerror or str(cause)
            earlier = "the checkpoint before it is whole" if self.checkpoint.is_file() else "it would have been the first"
            raise TrainingError(f"{self.checkpoint}: cannot be written ({reason}); {earlier}: make room and run the same "
                                "command again") from None
        self._copy_to_backup()

    def _keep_previous(self) -> None:
        """A hard link costs nothing, and at every instant at least one of the two names is a whole checkpoint."""
        link = self.previous.with_suffix(".link")
        link.unlink(missing_ok=True)
        try:
            os.link(self.checkpoint, link)
        except OSError:  # file systems without hard links (some mounted drives)
            shutil.copyfile(self.checkpoint, link)
        os.replace(link, self.previous)

    def _copy_to_backup(self) -> None:
        if self.backup is None:
            return
        try:
            for name in KEPT:
                if (self.folder / name).is_file():
                    with open(self.folder / name, "rb") as source:
                        atomic_write(self.backup / name, lambda file: shutil.copyfileobj(source, file))
        except OSError as error:
            warnings.warn(f"{self.backup}: backup failed ({error.strerror or error}); the run goes on in {self.folder}", stacklevel=2)

    def load(self) -> dict | None:
        """The newest checkpoint that is whole, or None."""
        for path in (self.checkpoint, self.previous):
            if path.is_file():
                try:
                    return torch.load(path, map_location="cpu", weights_only=True)
                except Exception as error:  # a torn file fails in the zip reader, the unpickler or the storage
                    warnings.warn(f"{path}: broken checkpoint, trying the one before it ({str(error)[:80]})", stacklevel=2)
        return None

    def log(self, record: dict) -> None:
        """Append one record as a JSON line, and to TensorBoard where it is installed."""
        if self.writes:
            with open(self.folder / "log.jsonl", "a") as file:
                file.write(json.dumps(record) + "\n")
            if self.board is None:
                self.board = tensorboard(self.folder / "tensorboard", record["step"])
            for name in (record.keys() - {"step"}) if self.board else ():
                self.board.add_scalar(name, record[name], record["step"])

    def records(self) -> list[dict]:
        """All records so far; a line torn by a kill is left out."""
        return read_log(self.folder)

    def forget_after(self, step: int) -> None:
        """Drop records of steps that the checkpoint does not know: they will be run, and logged, again."""
        kept = [record for record in self.records() if record["step"] <= step]
        if self.writes and (self.folder / "log.jsonl").is_file():
            lines = "".join(json.dumps(record) + "\n" for record in kept)
            atomic_write(self.folder / "log.jsonl", lambda file: file.write(lines.encode()))

    def sample(self, step: int, image) -> None:
        """Store the validation crops of one moment as samples/STEP.png."""
        if self.writes:
            write_image(image, self.folder / "samples" / f"{step:07d}.png")


def tensorboard(folder: Path, step: int):
    """A writer whose records from `step` on replace earlier ones (a resumed run's), or False where there is no TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    return SummaryWriter(str(folder), purge_step=step)


def read_log(run: str | Path) -> list[dict]:
    """The records of a run folder's log.jsonl, in order; [] when there is none."""
    path = Path(run) / "log.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
