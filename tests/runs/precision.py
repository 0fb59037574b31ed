"""Does half precision cost quality? The same runs in float32 and in another precision, from the same start, judged on held-out images.

python tests/runs/precision.py                    300 steps of 8 blocks of 32 channels from bicubic, three seeds; exit code 1 beyond 0.03 dB
python tests/runs/precision.py --other float16    the same with a scaled loss
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from srgan_lib.data import ImageBank, images
from srgan_lib.models import PRECISIONS
from srgan_lib.training import LIVE, train

FAR = 0.03  # dB


def psnr(seed: int, precision: str, steps: int, bank: ImageBank, valid: ImageBank, folder: Path) -> float:
    """The last record's PSNR of one run."""
    config = replace(LIVE.srresnet, seed=seed, precision=precision, steps=steps, blocks=8, channels=32, log_every=steps, valid_every=steps, checkpoint_every=steps)
    return list(train(config, bank, folder / f"{seed}-{precision}", valid, device="cpu"))[-1]["psnr"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--other", choices=PRECISIONS[2:], default="bfloat16")
    arguments = parser.parse_args()
    far = 0.0
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bank, valid = (ImageBank.build(images("sample", split), folder / split, progress=False) for split in ("train", "valid"))
        for seed in range(arguments.seeds):
            plain, other = (psnr(seed, kind, arguments.steps, bank, valid, folder) for kind in ("float32", arguments.other))
            far = max(far, abs(plain - other))
            print(f"seed {seed}: float32 {plain:.3f} dB, {arguments.other} {other:.3f} dB, {other - plain:+.3f}", flush=True)
    return int(far > FAR)


if __name__ == "__main__":
    sys.exit(main())
