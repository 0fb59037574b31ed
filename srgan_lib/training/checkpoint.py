"""The run folder: config, log, samples, and checkpoints that survive a kill at any instant."""

import errno
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from ..errors import TrainingError
from ..images import atomic_write, write_image
from ..locks import hold, release
from .backup import FETCHING, TORN, Backup
from .config import BEFORE

TORN_HERE = (".generator.part", "samples/.*.png.*.part", "generator/.*.part", "checkpoint.previous.link")  # besides `TORN`, of a kill inside a write
STATE = {"step": int, "networks": dict}  # what no checkpoint lacks


class RunFolder:
    """One run on disk.

    config.json, run.json (an identity, and the data that it is made of), log.jsonl (one record a line), checkpoint.pt and
    checkpoint.previous.pt, samples/*.png, generator/ (the exported weights). `backup`, when given (a mounted Drive, say),
    receives a copy of each checkpoint: see `Backup`. Only the main process writes, and only one `train` at a time.
    """

    def __init__(self, folder: str | Path, backup: str | Path | None = None, writes: bool = True):
        if str(folder) == "" or str(backup) == "":
            raise TrainingError("the name of the run folder or of its backup is empty; was a variable not set?")
        for place in filter(None, (folder, backup)):
            if (Path(place) / "model.safetensors").is_file():
                raise TrainingError(f"{place}: holds a model, whose config a run would write over; name another folder")
        self.folder, self.writes = Path(folder), writes
        self.backup = Backup(backup, self.folder) if backup and writes else None
        self.board = None
        self.checkpoint, self.previous = self.folder / "checkpoint.pt", self.folder / "checkpoint.previous.pt"
        if writes:
            try:
                (self.folder / "samples").mkdir(parents=True, exist_ok=True)
                self._sweep()
            except OSError as error:
                raise TrainingError(f"{folder}: cannot be written ({error.strerror})") from None

    def _sweep(self) -> None:
        """Remove what a kill inside a write has left, unless somebody is writing here now."""
        handle = hold(self.folder / ".lock")
        if handle is None:
            return
        for torn in [path for pattern in (*TORN, *TORN_HERE) for path in self.folder.glob(pattern)]:
            shutil.rmtree(torn) if torn.is_dir() else torn.unlink(missing_ok=True)
        shutil.rmtree(self.folder / FETCHING, ignore_errors=True)
        release(handle)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else trains in the folder meanwhile. Raises TrainingError when somebody does; a process that dies lets go."""
        handle = hold(self.folder / ".lock") if self.writes else -1
        if handle is None:
            raise TrainingError(f"{self.folder}: another train is at work in this folder; wait for it, end it, or name another folder")
        try:
            yield
        finally:
            release(handle)

    def check_config(self, config, accept_changes: bool = False, data: dict | None = None) -> None:
        """`compare`, then `describe`: what a new folder needs, and nothing where another run is refused."""
        self.compare(config, accept_changes, data)
        self.describe(config, data)

    def compare(self, config, accept_changes: bool = False, data: dict | None = None) -> None:
        """Refuse a folder that holds another run, naming the differing fields, or one on other data. Writes nothing of its own.

        data: see `ImageBank.identity`. A new folder takes over its backup first, so that a change is refused there too.
        """
        if self.backup:
            self.backup.fetch()
            self.backup.check(self._step(), self._read("run.json").get("id"))
        if not (self.folder / "config.json").is_file():
            if self.checkpoint.is_file() and not accept_changes:
                raise TrainingError(f"{self.folder}: holds a checkpoint, but no config.json that says of what; use another folder, or, with train, --accept-changes")
            return
        fields, stored = asdict(config), asdict(type(config)()) | BEFORE | self._read("config.json")  # a run older than a field had its default
        names = [name for name in sorted({*stored, *fields}) if stored.get(name) != fields.get(name)]
        there = self._read("run.json").get("data")
        other = [f"data: {named(there)} there, {named(data)} here"] if data and there and there.get("fingerprint") != data["fingerprint"] else []
        differing = "; ".join([f"{name}: {stored.get(name)!r} there, {fields.get(name)!r} here" for name in names] + other)
        if differing and not accept_changes:
            what = "another config" if names else "other data"
            raise TrainingError(f"{self.folder}: holds a run with {what} ({differing}); use another folder, the same command as before to go on, "
                                "or, with train, --accept-changes")

    def describe(self, config, data: dict | None = None) -> None:
        """Store config, identity and data, once everything has been checked."""
        if not self.writes:
            return
        run = self._read("run.json")
        wanted = {"id": run.get("id") or uuid.uuid4().hex, "data": data or run.get("data")}
        for name, value in (("run.json", wanted), ("config.json", asdict(config))):
            if self._read(name) != value:
                text = json.dumps(value, indent=2).encode()
                atomic_write(self.folder / name, lambda file: file.write(text))

    def _read(self, name: str) -> dict:
        """What a JSON file of the folder holds, {} where there is none. Raises TrainingError for a broken one."""
        path = self.folder / name
        try:
            value = json.loads(path.read_text()) if path.is_file() else {}
            if not isinstance(value, dict) or not isinstance(value.get("data") or {}, dict):
                raise ValueError("it holds no names with values")
            return value
        except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
            raise TrainingError(f"{path}: broken ({str(error)[:80]}); mend it, or use another folder") from None

    def _step(self) -> int:
        return (self.load() or {"step": 0})["step"]

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
        if self.backup:
            self.backup.store()

    def _keep_previous(self) -> None:
        """A hard link costs nothing, and at every instant at least one of the two names is a whole checkpoint."""
        link = self.previous.with_suffix(".link")
        link.unlink(missing_ok=True)
        try:
            os.link(self.checkpoint, link)
        except OSError:  # file systems without hard links (some mounted drives)
            shutil.copyfile(self.checkpoint, link)
        os.replace(link, self.previous)

    def load(self) -> dict | None:
        """The newest checkpoint that is whole; None where there is none. Raises TrainingError where all are broken."""
        broken = []
        for path in (self.checkpoint, self.previous):
            if path.is_file():
                try:
                    return whole(torch.load(path, map_location="cpu", weights_only=True))
                except Exception as error:  # a torn file fails in the zip reader, the unpickler or the storage
                    broken.append(path)
                    warnings.warn(f"{path}: broken checkpoint, trying the one before it ({str(error)[:80]})", stacklevel=2)
        if broken:
            raise TrainingError(f"{' and '.join(map(str, broken))}: broken, and no other checkpoint is left; move it away to begin anew, or go on "
                                "from a --backup in a new folder")
        return None

    def log(self, record: dict) -> None:
        """Append one record as a JSON line, and to TensorBoard where it is installed."""
        if self.writes:
            try:
                with open(self.folder / "log.jsonl", "a") as file:
                    file.write(json.dumps(record) + "\n")
            except OSError as error:
                raise TrainingError(f"{self.folder / 'log.jsonl'}: cannot be written ({error.strerror or error})") from None
            if self.board is None:
                self.board = tensorboard(self.folder / "tensorboard", record["step"])
            for name in (record.keys() - {"step", "precision"}) if self.board else ():
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


def whole(state) -> dict:
    """A checkpoint's content. Raises ValueError for anything else."""
    missing = [name for name, kind in STATE.items() if not isinstance(state, dict) or not isinstance(state.get(name), kind)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return state


def named(data: dict | None) -> str:
    """The data of a run for a sentence: their name, how many, and the fingerprint's beginning."""
    data = data or {}
    limit = f", limit {data['limit']}" if data.get("limit") else ""
    return f"{data.get('data')} ({data.get('pictures')} images{limit}, fingerprint {str(data.get('fingerprint'))[:8]})"


def read_log(run: str | Path) -> list[dict]:
    """The records of a run folder's log.jsonl, in order; [] when there is none. Lines that are no record are left out."""
    path = Path(run) / "log.jsonl"
    records = []
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records
