"""A blind test: held-out crops enlarged by two models, side by side in random order, judged by looking before the key is opened.

python tests/runs/blind.py write FOLDER --valid PHOTOS    numbered pairs (01.png ...) and key.json, which stays closed
python tests/runs/blind.py open FOLDER ANSWERS.txt        lines such as "07 B": which is sharper and more natural

Places are drawn by a seed among those that hold some detail, two in each of the last 12 photographs by name; no result decides
which are shown. Only the two enlarged crops are shown, at three times their size.
"""

import argparse
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from PIL import Image

from srgan_lib.images import crop_to_multiple, degrade, open_picture, to_image, to_tensor
from srgan_lib.models import load_generator, usual_strength
from srgan_lib.upscaling.tiles import compute, prepare

SIDE, ZOOM, GAP, DETAIL = 128, 3, 24, 12  # HR pixels; grey levels of standard deviation


@torch.no_grad()
def write(folder: Path, photographs: Path, models: list[str], seed: int) -> None:
    draw, key = random.Random(seed), {}
    networks = [prepare(load_generator(name, strength=usual_strength(name))) for name in models]
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(photographs.glob("*.webp"))[-12:]:
        hr = crop_to_multiple(to_tensor(open_picture(path).rgb), 4)
        lr = degrade(hr, 4)
        for place in places(to_image(hr), draw):
            order, number = draw.sample(range(2), 2), f"{len(key) + 1:02}"
            pair([crop(lr, networks[which], *place) for which in order]).save(folder / f"{number}.png")
            key[number] = {"A": models[order[0]], "B": models[order[1]], "photograph": path.name, "place": place}
    (folder / "key.json").write_text(json.dumps(key, indent=1))


def crop(lr: torch.Tensor, network, top: int, left: int) -> np.ndarray:
    """A crop of the enlarged image, computed from the part of LR that it depends on."""
    scale = network.scale
    box = top // scale, left // scale, -(-(top + SIDE) // scale), -(-(left + SIDE) // scale)
    sr = compute(network, scale, lr, box, network.radius, lr.device)
    return to_image(sr)[top - scale * box[0]:, left - scale * box[1]:][:SIDE, :SIDE]


def places(hr: np.ndarray, draw: random.Random) -> list[tuple[int, int]]:
    """Two places (top, left) with detail, one in the left half and one in the right."""
    found = []
    for first, last in ((0, hr.shape[1] // 2 - SIDE), (hr.shape[1] // 2, hr.shape[1] - SIDE)):
        candidates = [(draw.randrange(0, hr.shape[0] - SIDE), draw.randrange(first, last)) for _ in range(200)]
        detail = (place for place in candidates if hr[place[0]:place[0] + SIDE, place[1]:place[1] + SIDE].std() >= DETAIL)
        found.append(next(detail, candidates[0]))
    return found


def pair(crops: list[np.ndarray]) -> Image.Image:
    """A on the left, B on the right, each pixel as ZOOM x ZOOM."""
    side = SIDE * ZOOM
    sheet = Image.new("RGB", (2 * side + GAP, side), "white")
    for number, crop in enumerate(crops):
        sheet.paste(Image.fromarray(crop).resize((side, side), Image.Resampling.NEAREST), (number * (side + GAP), 0))
    return sheet


def open_key(folder: Path, answers: Path) -> dict[str, int]:
    """How often each model was chosen."""
    key, chosen = json.loads((folder / "key.json").read_text()), {}
    for number, letter in (line.split()[:2] for line in answers.read_text().splitlines() if line.strip()):
        chosen[key[number][letter]] = chosen.get(key[number][letter], 0) + 1
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("write", "open"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("answers", type=Path, nargs="?")
    parser.add_argument("--valid", type=Path)
    parser.add_argument("--models", nargs=2, default=["srresnet-x4", "srgan-x4"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.command == "write":
        write(given.folder, given.valid, given.models, given.seed)
    else:
        print(json.dumps(open_key(given.folder, given.answers)))
