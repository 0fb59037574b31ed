"""How strong should a GAN be? PSNR, NIQE and energy by frequency at strengths from 0 to 1: srgan_lib/weights/strength.json.

python tests/runs/strength.py [--valid FOLDER]        needs set5 and set14 (downloaded, or under SRGAN_DEV_DATA)

--valid: held-out photographs, of which the last 12 by name are taken, centres of 480 pixels. The strength that a GAN is released
with is chosen on these; the test sets only report. A row holds what the library does, with a share for each pixel;
`even` in it is what one share for all pixels would give.
"""

import argparse
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from experiments import digest

from srgan_lib.apps.tables import write_json
from srgan_lib.data import images
from srgan_lib.images import crop_to_multiple, degrade, eight_bit, open_picture, to_tensor
from srgan_lib.metrics import band_ratios, mean, perceived, scores
from srgan_lib.models import WEIGHTS, load_generator, mix
from srgan_lib.training.validation import centre
from srgan_lib.upscaling import enlarge

STRENGTHS = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 1)
RINGS = tuple(k * 0.06 for k in range(2, 9))  # 0.12 to 0.48 cycles a pixel
PSNR, GAN = "srresnet-x4", "srgan-x4"


def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    sets = {"set5": (images("set5", "test"), None), "set14": (images("set14", "test"), None)}
    if arguments.valid:
        sets["held-out"] = ([(path.name, path) for path in sorted(Path(arguments.valid).glob("*.webp"))[-12:]], 480)
    rows = [row for name, (pictures, size) in sets.items() for row in curve(name, pictures, size)]
    write_json(WEIGHTS / "strength.json", {"weights": {name: digest(WEIGHTS / name / "model.safetensors") for name in (PSNR, GAN)}, "rings": RINGS,
                                           "device": f"{platform.machine()}, {arguments.threads} threads", "torch": torch.__version__, "rows": rows})


@torch.no_grad()
def curve(name: str, pictures, size: int | None) -> list[dict]:
    """One row a strength: the means over a set of images."""
    psnr, gan = load_generator(PSNR), load_generator(GAN)
    found, evenly = ({strength: [] for strength in STRENGTHS} for _ in range(2))
    for _, source in pictures:
        picture = open_picture(source)
        hr = crop_to_multiple(to_tensor(centre(picture.rgb, size, 4) if size else picture.rgb), 4)
        safe, sharp = (enlarge(degrade(hr, 4), generator) for generator in (psnr, gan))
        for strength in STRENGTHS:
            found[strength].append(measured(mix(safe, sharp, strength), hr, picture.grey))
            evenly[strength].append(measured(torch.lerp(safe, sharp, strength), hr, picture.grey))
    return [{"set": name, "strength": strength, **mean(rows), "even": mean(evenly[strength])} for strength, rows in found.items()]


def measured(sr: torch.Tensor, hr: torch.Tensor, grey: bool) -> dict:
    shift = (eight_bit(sr) - hr).mean((0, 2, 3)) * 255
    return {"name": "", **scores(sr, hr, 4, grey), **perceived(sr, hr, 4, grey), "rings": band_ratios(sr, hr, 4, grey, RINGS), "shift": shift.tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--valid")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", 1)))
    main(parser.parse_args())
