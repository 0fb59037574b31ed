"""The crash test: the trainer is killed with SIGKILL again and again, and must lose nothing.

python tests/runs/crash.py --kills 60            both stages, 60 kills each; exit code 1 when a weight differs
python tests/runs/crash.py --precision bfloat16  the same in half precision

The process imports everything once and forks a trainer for each attempt, so that a kill falls into training or into the
writing of a checkpoint, not into the import of torch. Every run has a backup; between two kills its folder is sometimes thrown
away, so that the next attempt fetches the backup, and is killed in that too. The backup's step may never fall, and at the
end generator/ must be the checkpoint's average.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from srgan_lib.training import RunFolder
from srgan_lib.data import ImageBank
from srgan_lib.data import images
from srgan_lib.models import PRECISIONS, load_generator
from srgan_lib.training import TINY, train
from srgan_lib.training.backup import step_of

torch.set_num_threads(1)
warnings.simplefilter("ignore")  # D has lost, and so on: these networks are tiny


def configs(precision: str) -> dict:
    """Both stages, small, with a checkpoint at nearly every step."""
    common = {"precision": precision, "blocks": 1, "channels": 8, "batch": 2, "hr_size": 32, "steps": 40, "log_every": 2, "valid_every": 10, "checkpoint_every": 2}
    return {"srresnet": replace(TINY.srresnet, **common), "srgan": replace(TINY.srgan, **common, discriminator_head="pooled", discriminator_channels=8, content="mse")}


def weights(run: Path) -> dict:
    """The networks of a finished run's last checkpoint."""
    return RunFolder(run).load()["networks"]


def drive_of(run: Path) -> Path:
    return run.with_name(f"{run.name}-drive")


def backup_step(run: Path) -> int:
    """The step that the backup holds, 0 for none."""
    checkpoint = drive_of(run) / "checkpoint.pt"
    return step_of(checkpoint) if checkpoint.is_file() else 0


def exported(run: Path) -> bool:
    """Whether generator/ is the average of the checkpoint."""
    there, average = load_generator(run / "generator").state_dict(), weights(run)["average"]
    return all(torch.equal(value, there[name]) for name, value in average.items())


def attempt(config, bank, run: Path, seconds: float | None) -> int:
    """Fork a trainer, kill it after `seconds` (None: let it finish) -> its exit status."""
    child = os.fork()
    if child == 0:
        try:
            for _ in train(config, bank, run, backup=drive_of(run), device="cpu"):
                pass
            os._exit(0)
        except BaseException as error:
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def crash_test(stage: str, kills: int, folder: Path, bank: ImageBank, seed: int = 0, precision: str = "auto") -> dict:
    """Kill `kills` times at random instants, restarting from nothing whenever a run got to its end; compare weights."""
    config, instants = configs(precision)[stage], random.Random(seed)
    begun = time.monotonic()
    assert attempt(config, bank, folder / f"{stage}-whole", None) == 0, "the uninterrupted run failed"
    span, whole = time.monotonic() - begun, weights(folder / f"{stage}-whole")
    done, different, finished, torn, fetched, fallen = 0, 0, 0, 0, 0, 0
    while done < kills:
        run = folder / f"{stage}-{finished}"
        for _ in range(min(8, kills - done)):
            if instants.random() < 0.3 and run.exists() and backup_step(run):  # a new machine, which has the backup alone
                shutil.rmtree(run)
                fetched += 1
            before = backup_step(run)
            status = attempt(config, bank, run, instants.uniform(0.02, span))
            torn += any(run.rglob(".*.part")) or any(run.glob(".fetching"))
            fallen += backup_step(run) < before
            done += os.WIFSIGNALED(status)
            if not os.WIFSIGNALED(status):
                break
        assert attempt(config, bank, run, None) == 0, "a resumed run failed"
        resumed = weights(run)
        same = all(torch.equal(value, resumed[network][name]) for network in whole for name, value in whole[network].items())
        different += not (same and exported(run) and not any(run.rglob(".*.part")))
        finished += 1
    return {"stage": stage, "precision": precision, "kills": done, "runs": finished, "killed_inside_a_write": torn, "fetched": fetched, "backups_that_fell": fallen, "different": different}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--stage", choices=("srresnet", "srgan", "both"), default="both")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bank = ImageBank.build(images("sample", "train", 2), Path(folder) / "bank", progress=False)
        stages = ("srresnet", "srgan") if arguments.stage == "both" else (arguments.stage,)
        results = [crash_test(stage, arguments.kills, Path(folder), bank, arguments.seed, arguments.precision) for stage in stages]
    for result in results:
        print(", ".join(f"{name} {value}" for name, value in result.items()))
    return int(any(result["different"] or result["backups_that_fell"] or result["kills"] < arguments.kills for result in results))


if __name__ == "__main__":
    sys.exit(main())
