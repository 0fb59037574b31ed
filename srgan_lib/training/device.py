"""Where a run computes, and in which precision: decided once, kept by every resume."""

import json
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..models import choose_precision
from .config import BEFORE, TrainConfig


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
