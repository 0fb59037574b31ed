"""Does half precision cost quality? The same runs in float32 and in another precision, from the same start, judged on held-out images.

python tests/runs/precision.py                      300 steps of 8 blocks of 32 channels from bicubic, three seeds
python tests/runs/precision.py --init srresnet-x4   300 steps onwards from a shipped generator, as its own training would go on
python tests/runs/precision.py --other float16      the same with a scaled loss

A third run of each seed is float32 once more, its start changed by one part in a million: so far apart do two runs end that differ
in nothing that matters. Exit code 1 when half precision ends more than 0.03 dB from float32, and further than that third run.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from srgan_lib.data import open_bank
from srgan_lib.models import PRECISIONS, WEIGHTS
from srgan_lib.training import COLAB, LIVE, TrainConfig, make_generator, train

FAR = 0.03  # dB


def recipe(init: str, steps: int) -> TrainConfig:
    """300 steps from bicubic, or onwards from a generator, at a rate that does not undo what it has learned."""
    if not init:
        return replace(LIVE.srresnet, steps=steps, blocks=8, channels=32, log_every=steps, valid_every=steps, checkpoint_every=steps)
    stored = json.loads((WEIGHTS / init / "config.json").read_text())
    own = {name: stored[name] for name in ("blocks", "channels", "upsampling", "normalization", "scale")}
    return replace(COLAB.srresnet, **own, init=init, frozen_batch_norm=own["normalization"] == "batch", batch=8, steps=steps, learning_rate=1e-4,
                   warmup=30, ema=0.98, log_every=steps, valid_every=steps, checkpoint_every=steps)


def starts(config: TrainConfig, folder: Path) -> tuple[str, str]:
    """The start as a folder, and the same with weights that are one part in a million larger or smaller."""
    generator = make_generator(config)
    generator.save_pretrained(folder / "start")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in generator.parameters():
            weight *= 1 + 1e-6 * torch.randn_like(weight).sign()
    generator.save_pretrained(folder / "moved")
    return str(folder / "start"), str(folder / "moved")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--other", choices=PRECISIONS[2:], default="bfloat16")
    parser.add_argument("--init", default="", help="a shipped generator to go on from")
    parser.add_argument("--data", default="sample")
    parser.add_argument("--valid", default="sample")
    arguments = parser.parse_args()
    bad, other = False, arguments.other
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bank, valid = open_bank(arguments.data, "train", progress=False), open_bank(arguments.valid, "valid", progress=False)
        for seed in range(arguments.seeds):
            config = replace(recipe(arguments.init, arguments.steps), seed=seed)
            start, moved = starts(config, folder / str(seed))
            ends = {}
            for label, init, precision in (("float32", start, "float32"), ("float32 moved", moved, "float32"), (other, start, other)):
                one = replace(config, init=init, start="random", precision=precision)
                ends[label] = list(train(one, bank, folder / f"{seed}-{label}", valid, device="cpu"))[-1]["psnr"]
            own, far = (abs(ends[label] - ends["float32"]) for label in ("float32 moved", other))
            bad |= far > max(FAR, own)
            print(f"seed {seed}: " + ", ".join(f"{label} {value:.3f} dB" for label, value in ends.items())
                  + f"; {other} {ends[other] - ends['float32']:+.3f}, float32 moved {ends['float32 moved'] - ends['float32']:+.3f}", flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
