"""Where a run computes, and in which precision: decided once, kept by every resume."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..models import choose_precision
from .config import BEFORE, TrainConfig

SHARED = 50e6  # multiplications of one 3x3 convolution from which threads of a processor share it: see `threads_for`


def make_accelerator(device: str | None = None) -> Accelerator:
    """The device and the processes of a run. Precision is the trainer's: see `decided`."""
    return Accelerator(cpu=device == "cpu", mixed_precision="no")


def decided(config: TrainConfig, accelerator: Accelerator, run: str | Path, backup: str | Path | None = None) -> TrainConfig:
    """The config with `precision=auto` decided: as the run began, else what this device computes fastest; one for all processes.

    Raises ModelError where this device cannot compute in the precision that the run began with.
    """
    began = begun_with(run, backup) if config.precision == "auto" else None
    chosen = [choose_precision(config.precision, accelerator.device, training=True, began=began)]
    if accelerator.num_processes > 1:  # their timings may differ
        chosen = broadcast_object_list(chosen)
    return replace(config, precision=chosen[0])


def begun_with(run: str | Path, backup: str | Path | None = None) -> str | None:
    """The precision of the run in a folder, or in its backup; None where none has begun, or its config says nothing."""
    for folder in filter(None, (run, backup)):
        try:
            stored = json.loads((Path(folder) / "config.json").read_text())
            return str(stored.get("precision", BEFORE["precision"]))
        except (OSError, ValueError, AttributeError, RecursionError):  # what is broken is told by the run folder
            continue
    return None


@contextmanager
def threads_for(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """One thread for a step of small convolutions on a processor; as many as before for all others, and afterwards.

    Threads wait for each other after every operation. Where one of theirs has no core to itself for a moment, each such wait takes
    milliseconds, and a convolution of `SHARED` multiplications takes about one. Gains of a second thread are small there anyway.
    """
    before = torch.get_num_threads()
    small = 9 * config.channels**2 * config.batch * (config.hr_size // config.scale) ** 2 < SHARED
    if device.type == "cpu" and small and before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
