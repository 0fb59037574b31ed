"""The command `speedrun`: from random weights to a fixed quality, against the clock; and the table of records.

The clock is the log's `seconds`: batches, steps and the running average. Making the bank, validating and writing checkpoints do not count;
what passed in all is noted beside it.
"""

import argparse
import json
import math
import platform
import subprocess
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from ..errors import TrainingError
from ..models import WEIGHTS
from .tables import check_output, put_between_markers, write_json

RECORDS = WEIGHTS / "speedrun.json"
PAGE = WEIGHTS.parent.parent / "docs" / "speedrun.md"
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")  # joules of the processor times a million, where the system lets us read it
STARTS = ("random", "bicubic")


class Track(NamedTuple):
    """What is to be reached, and on what."""

    target: float   # dB, luma, x4, the mean over the held-out images
    device: str
    data: str
    valid: str
    changes: dict   # of the profile `colab`


TRACKS = {
    "cpu": Track(30.5, "cpu", "sample", "sample", {"batch": 8, "steps": 15_000, "learning_rate": 8e-4, "warmup": 200, "min_detail": 6.0}),
    "gpu": Track(32.05, "cuda", "div2k", "set5", {"batch": 32, "steps": 200_000}),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--track", choices=TRACKS, default="cpu", help="cpu: 30.5 dB on held-out images; gpu: 32.05 dB on Set5, the paper's")
    parser.add_argument("--run", help="folder of the runs, one for each seed; the same command goes on with them after a stop")
    parser.add_argument("--data", help="what is learned from (default: sample on the CPU, div2k on the GPU)")
    parser.add_argument("--valid", help="what is measured on (default: sample's held-out photographs, and Set5)")
    parser.add_argument("--start", choices=STARTS, default="random", help="random weights, or a network that begins as bicubic interpolation")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs; a record has three")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field of the config")
    parser.add_argument("--target", type=float, help="another quality in dB: practice, never a record")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--record", action="store_true", help="add the result to the table of records")
    parser.add_argument("--table", action="store_true", help="print the table of records and do nothing else")


def run(arguments: argparse.Namespace) -> int:
    if arguments.table:
        print(table(records()))
        return 0
    track = TRACKS[arguments.track]
    if not arguments.run:
        raise TrainingError("speedrun: want --run FOLDER")
    if arguments.target is not None and not math.isfinite(arguments.target):
        raise TrainingError(f"speedrun: --target {arguments.target}: want a number of dB")
    if arguments.seeds < 1 or arguments.record and arguments.target not in (None, track.target):
        raise TrainingError(f"speedrun: want one seed or more, and a record only for {track.target:g} dB")
    result = race(arguments, track)
    write_json(Path(arguments.run) / "speedrun.json", result)
    print(table([result]))
    if arguments.record:
        write_json(RECORDS, [*records(), result])
        if not put_between_markers(PAGE, table(records()), "records"):
            print(f"{PAGE}: no records markers in it, left as it is", file=sys.stderr)
    return 0


def race(arguments, track: Track) -> dict:
    """Every seed to the target -> a record. Raises TrainingError where a run ends below it."""
    import torch
    from ..data import open_bank
    from ..training import COLAB
    from .benchmark import name_of
    from .cards import public_name
    from .train import with_fields
    changes = {"valid_every": 250, "checkpoint_every": 250, "log_every": 50, "start": arguments.start, **track.changes}
    config = with_fields(replace(COLAB.srresnet, **changes), arguments.set)
    if config.init or config.stage != "srresnet":
        raise TrainingError("speedrun: starts from random weights and trains stage 1; leave init and stage alone")
    check_output(Path(arguments.run) / "speedrun.json")
    config = replace(config, checkpoint_every=config.valid_every)  # what reached the target is kept
    device, target = arguments.device or track.device, track.target if arguments.target is None else arguments.target
    data, valid = arguments.data or track.data, arguments.valid or track.valid
    bank, held_out = open_bank(data, "train", progress=True), open_bank(valid, "test" if valid == "set5" else "valid", progress=True)
    _same_images(Path(arguments.run), held_out)
    runs = [one(replace(config, seed=seed), bank, Path(arguments.run) / f"seed-{seed}", held_out, device, target) for seed in range(arguments.seeds)]
    own, usual = asdict(config), {field.name: field.default for field in fields(config)}
    return {"track": arguments.track, "target": target, "data": public_name(data), "valid": public_name(valid), "start": config.start, "runs": runs, "commit": commit(),
            "device": name_of(torch.device(device)), "torch": torch.__version__, "python": platform.python_version(),
            "config": {name: value for name, value in own.items() if value != usual[name] and name != "seed"}}


def _same_images(folder: Path, held_out) -> None:
    """Remember on which images the runs of a folder are measured. Raises TrainingError where it was on others."""
    path, now = folder / "valid.json", held_out.identity()
    try:
        before = json.loads(path.read_text()) if path.is_file() else now
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path}: broken ({str(error)[:80]}); use another folder") from None
    if not isinstance(before, dict) or before.get("fingerprint") != now["fingerprint"]:
        raise TrainingError(f"{folder}: was measured on other images than {now['data']}; use another folder")
    write_json(path, now)


def one(config, bank, folder: Path, valid, device: str, target: float) -> dict:
    """One run, until a validation reaches the target -> seconds on the clock and in all, step, PSNR, joules where they are known."""
    from ..training import RunFolder, decided, make_accelerator, train
    began, joules = time.monotonic(), energy()
    reached = crossing(folder, target)
    if reached is not None:
        RunFolder(folder).compare(decided(config, make_accelerator(device), folder), data=bank.identity())
    else:
        records = train(config, bank, folder, valid, device=device)
        for record in records:
            if "psnr" in record:
                print(f"seed {config.seed}, step {record['step']}: {record['psnr']:.2f} dB after {record['seconds'] / 60:.1f} min", flush=True)
            if record.get("psnr", float("-inf")) >= target:
                records.close()
                break
        reached = crossing(folder, target)
    if reached is None:
        best = max((row["psnr"] for row in logged(folder) if "psnr" in row), default=float("nan"))
        raise TrainingError(f"seed {config.seed} came to {best:.2f} dB in {config.steps} steps, not to {target:g}; give it more steps or other fields, in another folder")
    used = None if joules is None or energy() is None else energy() - joules
    return {"seed": config.seed, "seconds": reached["seconds"], "step": reached["step"], "psnr": reached["psnr"],
            "wall_seconds": time.monotonic() - began, "joules": used if used is None or used > 0 else None}


def crossing(folder: Path, target: float) -> dict | None:
    """The first record of a run's log that reaches the target."""
    return next((row for row in logged(folder) if row.get("psnr", float("-inf")) >= target), None)


def logged(folder: Path) -> list[dict]:
    from ..training import read_log
    rows = read_log(folder) if (folder / "log.jsonl").is_file() else []
    return [row for row in rows if all(isinstance(row.get(name, 0.0), (int, float)) for name in ("psnr", "seconds"))]


def energy() -> float | None:
    """Joules that the processor has used since some moment; None where the system does not say."""
    try:
        return int(RAPL.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def commit() -> str:
    """The checkout's commit, with a + where files differ from it; "unknown" elsewhere."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(WEIGHTS), *arguments], capture_output=True, text=True, check=True).stdout.strip()
    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def records() -> list[dict]:
    """The table's records. Raises TrainingError for a file that holds none."""
    try:
        return json.loads(RECORDS.read_text()) if RECORDS.is_file() else []
    except ValueError as error:
        raise TrainingError(f"{RECORDS}: holds no records ({error})") from None


def table(found: list[dict]) -> str:
    """Markdown, the fastest of each track first: minutes of every seed, their mean, and what it took."""
    lines = ["| track | reaches | start | minutes, each seed | mean | steps | energy | device | commit | config |", "|---" * 10 + "|"]
    for record in sorted(found, key=lambda one: (one["track"], mean(run["seconds"] for run in one["runs"]))):
        minutes = [run["seconds"] / 60 for run in record["runs"]]
        joules = [run["joules"] for run in record["runs"] if run["joules"]]
        lines.append(f"| {record['track']} | {record['target']:g} dB on {Path(record['valid']).name}, learned from {Path(record['data']).name} | {record['start']} | "
                     f"{', '.join(f'{value:.1f}' for value in minutes)} | {mean(minutes):.1f} | {', '.join(str(run['step']) for run in record['runs'])} | "
                     f"{f'{mean(joules) / 3600:.0f} Wh' if joules else 'not known'} | {record['device']}, torch {record['torch']} | {record['commit']} | "
                     f"{' '.join(f'{name}={value}' for name, value in record['config'].items())} |")
    return "\n".join(lines) if found else "No record yet: the first one is yours."
