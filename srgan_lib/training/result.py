"""What a finished run leaves: generator/, whole and equal to the checkpoint's average, or an error."""

import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError

from ..errors import ModelError, NotFiniteError, TrainingError
from ..models import Generator, load_generator
from ..models.loading import not_finite, settings


def export(average: Generator, run: Path) -> None:
    """Write RUN/generator as `save_pretrained` does, unless it is there already; no file of it is ever half-written.

    Raises NotFiniteError for weights that are NaN or infinite, TrainingError where it cannot be written.
    """
    if broken := not_finite(average.state_dict()):
        raise NotFiniteError(f"{run}: the averaged generator is not finite (NaN or infinite at {broken}), so it is not exported; train again with "
                             "a lower learning rate")
    target, partial = run / "generator", run / ".generator.part"
    if equal(average, target):
        return
    try:
        shutil.rmtree(partial, ignore_errors=True)
        average.save_pretrained(partial)
        target.mkdir(exist_ok=True)
        for file in sorted(partial.iterdir()):
            flush(file)
            os.replace(file, target / file.name)
        partial.rmdir()
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingError(f"{target}: cannot be written ({getattr(error, 'strerror', None) or error}); the checkpoint is whole: make room and "
                            "run the same command again") from None


def equal(average: Generator, folder: Path) -> bool:
    """Whether a folder holds this generator, to the last bit."""
    if not (folder / "config.json").is_file():
        return False
    try:
        there = load_generator(folder.resolve())
    except ModelError:
        return False
    mine, theirs = average.state_dict(), there.state_dict()
    return settings(there) == settings(average) and all(torch.equal(value.cpu(), theirs[name]) for name, value in mine.items())


def flush(file: Path) -> None:
    """To the disk, before its name says that it is there."""
    with open(file, "rb+") as stream:
        os.fsync(stream.fileno())
