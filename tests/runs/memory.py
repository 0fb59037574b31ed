"""Memory of training: the peak of each stage at the paper's batch, and whether it stays flat.

python tests/runs/memory.py --steps 2000        exit code 1 when the process grows by more than 5 % after the first quarter
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from srgan_lib.data import ImageBank
from srgan_lib.data import images
from srgan_lib.training import PAPER, train

SMALL = {"blocks": 2, "channels": 32, "batch": 4, "hr_size": 64, "discriminator_channels": 16, "content": "mse"}


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(stage: str, changes: dict, folder: Path, answers) -> None:
    """Train and send (step, resident megabytes) of every record, then the peak."""
    config = replace(getattr(PAPER, stage), vgg_weights="random", **changes)
    bank = ImageBank(folder / "bank")
    for record in train(config, bank, folder / f"{stage}-{config.steps}", device="cpu"):
        answers.put((record["step"], resident()))
    answers.put(("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))


def run(stage: str, changes: dict, folder: Path) -> list[tuple]:
    """`measure` in a process of its own -> what it sent."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=measure, args=(stage, changes, folder, answers))
    child.start()
    sent = []
    while not sent or sent[-1][0] != "peak":
        sent.append(answers.get(timeout=3600))
    child.join()
    return sent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    steps, grown = parser.parse_args().steps, False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ImageBank.build(images("sample", "train", 2), folder / "bank", progress=False)
        for stage in ("srresnet", "srgan"):
            peak = run(stage, {"steps": 4, "log_every": 1, "checkpoint_every": 4}, folder)[-1][1]
            print(f"{stage}: peak {peak:.0f} MB, batch 16 of 96 x 96 pixels, torch {torch.__version__}", flush=True)
            every = max(1, steps // 8)
            held = run(stage, {**SMALL, "steps": steps, "log_every": every, "checkpoint_every": every}, folder)[:-1]
            print(f"{stage}, a small setting: " + ", ".join(f"{mb:.0f} MB at step {step}" for step, mb in held), flush=True)
            grown |= held[-1][1] > 1.05 * held[len(held) // 4][1]
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
