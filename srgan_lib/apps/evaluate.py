"""The command `evaluate`: one model on one set, or everything that the README and the model cards state."""

import argparse
import json
import sys
from pathlib import Path

import torch

from ..data import DEGRADATIONS, images
from ..data.hub import listing
from ..data.pairs import matched
from ..errors import DataError, ModelError
from ..figures import strip
from ..images import crop_to_multiple, degrade, luma, read_image, resize_bicubic, to_image, to_tensor, write_image
from ..metrics import BASELINES, band_energies, evaluate, mean
from ..models import PRECISIONS, WEIGHTS, choose_precision, load_generator, shipped, usual_strength
from ..models.precision import default_device
from ..upscaling import enlarge
from ..upscaling.pictures import with_strength
from ..upscaling.tiles import prepare
from .cards import public_name, shelf, write_card
from .field import PREFIX, FieldMetrics
from .tables import MORE_SETS, PAPER, RESULTS, TEST_SETS, check_output, more_sets, put_between_markers, summary, table, write_json


EXAMPLE = (140, 180)  # rows and columns of the README's crop
SPLITS = {"sample": "valid", "div2k": "valid"} | {name: "test" for name in (*TEST_SETS, "bsd100", "urban100")}  # of the named sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help=f"shipped name, folder, Hub repo OWNER/NAME, ESRGAN .pth, PSNR,GAN,ALPHA, or {', '.join(BASELINES)}")
    parser.add_argument("--data", help="named set or folder; the pictures are the HR ground truth")
    parser.add_argument("--pairs", metavar="LR_FOLDER", help="the LR images of --data, enlarged in place of shrunk HR ones")
    parser.add_argument("--sr", metavar="FOLDER", help="finished results of any program, scored as they are against --hr")
    parser.add_argument("--hr", metavar="FOLDER", help="the ground truth of --sr")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4, 8), help="default: the model's, 4 for a baseline")
    parser.add_argument("--degradation", choices=DEGRADATIONS, default="bicubic", help="how LR is made: bicubic (the protocol), or camera")
    parser.add_argument("--strength", type=float, help="of a GAN: 0 to 1 (default: what it was released with)")
    parser.add_argument("--json", metavar="FILE", help="write the rows and means as JSON")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default=None)
    parser.add_argument("--metrics", metavar="NAMES", help="of pyiqa beside ours, for example lpips,dists,niqe (pip install pyiqa)")
    parser.add_argument("--sets", help="with --all: these sets besides, for example bsd100,urban100,manga109=FOLDER,div2k; the others keep their rows")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the computing (default float32, in which all figures are stated)")
    parser.add_argument("--all", action="store_true", help="every baseline and shipped model named after its scale on Set5 and Set14 -> "
                                                           "weights/results.json, example.webp, the tables of README and model cards")


def run(arguments: argparse.Namespace) -> int:
    if arguments.sets and not arguments.all:
        raise ModelError("evaluate: --sets belongs to --all")
    if arguments.all:
        records = everything(arguments.sets, arguments.device)
        write_json(RESULTS, records)
        print(table(records))
        restate(records)
        return 0
    if bool(arguments.sr) != bool(arguments.hr) or (arguments.sr and (arguments.model or arguments.data or arguments.pairs)):
        raise ModelError("evaluate: --sr and --hr belong together, and take the place of --model and --data")
    if not arguments.sr and not (arguments.model and arguments.data):
        raise ModelError("evaluate: want --model and --data, or --sr and --hr, or --all")
    check_output(arguments.json)
    also = FieldMetrics(arguments.metrics, arguments.device or "cpu") if arguments.metrics is not None else None
    if arguments.sr:
        record = score_results(arguments.sr, arguments.hr, arguments.scale or 4, arguments.degradation, also)
    else:
        record = score(arguments.model, arguments.data, arguments.scale, arguments.device, arguments.degradation, arguments.pairs, arguments.strength,
                       also, arguments.precision)
    print_rows(record)
    if also:
        print(also.protocol())
    if arguments.json:
        write_json(Path(arguments.json), record)
    wrong = sum("error" in row for row in record["images"])
    if wrong:  # what could be scored is kept, and a script hears that the mean is not of all
        print(f"evaluate: {wrong} of {len(record['images'])} images could not be scored; the means are of the others", file=sys.stderr)
    return 2 if wrong else 0


def everything(sets: str | None, device: str | None) -> list[dict]:
    """The records of every contestant: on Set5 and Set14, or, where `sets` names others, on those, beside what was measured before.

    A set that cannot be had is said aloud, and its rows stay empty.
    """
    wanted = {"set5": "set5", "set14": "set14"} if sets is None else named(sets)
    kept = json.loads(RESULTS.read_text()) if sets is not None and RESULTS.is_file() else []
    found = {}
    for name, source in wanted.items():
        try:
            found[name] = [score(model, source, scale, device) | {"data": name} for scale, models in contestants().items() for model in models if truth(source)]
        except DataError as error:
            if sets is None:
                raise
            print(f"{name}: not at hand here ({error})", file=sys.stderr)
    merged = [record for record in kept if record["data"] not in found] + [record for records in found.values() for record in records]
    order = [*contestants()], [*TEST_SETS, *MORE_SETS]
    place = {(scale, model): number for number, (scale, model) in enumerate((scale, model) for scale, models in contestants().items() for model in models)}
    return sorted(merged, key=lambda record: (order[0].index(record["scale"]), order[1].index(record["data"]), place.get((record["scale"], record["model"]), 99)))


def named(sets: str) -> dict[str, str]:
    """{set: where it is} of "bsd100,manga109=FOLDER". Raises DataError for another set."""
    pairs = [part.strip().partition("=") for part in sets.split(",") if part.strip()]
    unknown = [name for name, _, _ in pairs if name not in (*TEST_SETS, *MORE_SETS)]
    if unknown or not pairs:
        raise DataError(f"--sets {', '.join(unknown) or sets}: want some of {', '.join((*TEST_SETS, *MORE_SETS))}, or NAME=FOLDER")
    return {name: source or name for name, _, source in pairs}


def contestants() -> dict[int, list[str]]:
    """{scale: the baselines and the shipped generators named after it}, x4 first, the paper's generators before others."""
    found = {4: [*BASELINES]}
    for name in dict.fromkeys([*PAPER, *shipped()]):
        if name in shipped() and name[-3:-1] == "-x":
            found.setdefault(int(name[-1]), [*BASELINES]).append(name)
    return found


def score(model: str, data: str, scale: int | None = None, device: str | None = None, degradation: str = "bicubic", pairs: str | None = None,
          strength: float | None = None, also=None, precision: str = "float32") -> dict:
    """Evaluate a model's name on a set's name -> the record that `--json` writes. pairs: where the LR images are, if they are given."""
    used = 1.0 if model in BASELINES else usual_strength(model) if strength is None else strength
    generator = model if model in BASELINES else load_generator(model, device or default_device(), used)
    own = 4 if isinstance(generator, str) else generator.scale
    if scale and not isinstance(generator, str) and scale != own:
        raise ModelError(f"{model}: enlarges by {own}, not by {scale}")
    if precision != "float32" and not isinstance(generator, str):
        precision = choose_precision(precision, next(generator.parameters()).device)
        generator = prepare(generator, precision)
    scale, pictures = scale or own, truth(data)
    given = {"perception": True, "also": also} | ({"lr": partners(pictures, pairs)} if pairs else {})
    rows = evaluate(generator, pictures, scale, degradation=degradation, **given)
    bicubic = rows if model == "bicubic" else evaluate("bicubic", pictures, scale, degradation=degradation, **given)
    where = "cpu" if isinstance(generator, str) else next(generator.parameters()).device.type
    return {**record_of(model, data, scale, f"given LR of {public_name(pairs)}" if pairs else degradation, where, rows, bicubic), "strength": used,
            **({"precision": precision} if precision != "float32" else {})}


def score_results(sr: str, hr: str, scale: int, degradation: str = "bicubic", also=None) -> dict:
    """Score finished results against their ground truth -> the record that `--json` writes."""
    pictures = truth(hr)
    found = partners(pictures, sr)
    rows = evaluate("bicubic", pictures, scale, sr=found, perception=True, also=also)
    return record_of(sr, hr, scale, degradation, "cpu", rows, evaluate("bicubic", pictures, scale, degradation=degradation, perception=True, also=also))


def truth(data: str) -> list[tuple[str, object]]:
    return list(images(data, SPLITS.get(data, "train")))


def partners(pictures: list[tuple[str, object]], folder: str) -> dict[str, object]:
    """{HR name: the source in `folder` that belongs to it}. Raises DataError where one has none, or several."""
    found = dict(listing(folder, sort_out=False)[2]())
    return {name: found[other] for name, other in matched([name for name, _ in pictures], [*found], folder).items()}


def record_of(model: str, data: str, scale: int, degradation: str, device: str, rows: list[dict], bicubic: list[dict]) -> dict:
    """What `--json` writes. Raises DataError where no image could be scored."""
    wrong = [row for row in rows if "error" in row]
    if len(wrong) == len(rows):
        first = f"{wrong[0]['name']}: {wrong[0]['error']}" if wrong else "there is none"
        raise DataError(f"{data}: no image could be scored ({first})")
    return {"model": model, "data": data, "scale": scale, "degradation": degradation, "device": device, "torch": torch.__version__, "mean": mean(rows),
            "images": rows, "bicubic": mean([row for row, other in zip(bicubic, rows) if "error" not in other])}


def print_rows(record: dict) -> None:
    """The table for people: a line a picture, the mean, and bicubic's mean for comparison."""
    print(f"{record['model']} on {record['data']}, x{record['scale']}, luma, {record['scale']} pixels shaved ({record['degradation']} degradation, "
          f"{record['device']}, {record.get('precision', 'float32')}, torch {record['torch']})")
    width = max(len(row["name"]) for row in record["images"]) + 2
    others = [key for key in record["mean"] if key.startswith(PREFIX)]
    print(f"{'':{width}}{'PSNR dB':>9}{'SSIM':>9}{'paper SSIM':>12}{'NIQE':>8}" + "".join(f"{key:>{len(key) + 2}}" for key in others))
    rows = [*record["images"], {"name": "mean", **record["mean"]}, {"name": "bicubic", **record["bicubic"]}]
    for row in rows:
        if "error" in row:
            print(f"{row['name']:{width}}  left out: {row['error']}")
            continue
        natural = f"{row['niqe']:8.2f}" if row.get("niqe") else f"{'-':>8}"
        print(f"{row['name']:{width}}{row['psnr']:9.3f}{row['ssim']:9.4f}{row['paper_ssim']:12.4f}{natural}" + "".join(
            f"{row[key]:{len(key) + 2}.4f}" if row.get(key) is not None else f"{'-':>{len(key) + 2}}" for key in others))
    if bands := record["mean"].get("bands"):
        print(f"energy over the original's, by frequency from 1/8 to 1/2 cycle a pixel: {' '.join(f'{share:.2f}' for share in bands)}")


def restate(records: list[dict]) -> None:
    """Carry the figures to wherever they are stated: the README, each shipped model's card, and the example picture."""
    for name in shipped():
        write_card(name)
    root = WEIGHTS.parent.parent
    for name, marker, text in (("README.md", "summary", summary(records)), ("docs/results.md", "results", table(records)),
                               ("docs/results.md", "more", more_sets(records)), ("docs/results.md", "weights", shelf())):
        if not put_between_markers(root / name, text, marker):
            print(f"{root / name}: no {marker} markers in it, left as it is", file=sys.stderr)
    write_image(strip(example()), WEIGHTS / "example.webp", lossless=True)


def example() -> dict:
    """The README's crop: bicubic, the shipped x4 generators, and the original, uint8 arrays.

    It is no favourite of ours: of all windows of the three held-out images of `sample`, the one in which SRGAN gains most.
    """
    names = {"srresnet-x4": "SRResNet", "srgan-x4": "SRGAN"}
    generators = {label: with_strength(name) for name, label in names.items() if name in shipped()}
    candidates = []
    for _, source in images("sample", "valid"):
        hr = crop_to_multiple(to_tensor(read_image(source)), 4)
        lr = degrade(hr, 4)
        pictures = {"bicubic": resize_bicubic(lr, 4), **{label: enlarge(lr, generator) for label, generator in generators.items()}, "original": hr}
        arrays = {label: to_image(picture) for label, picture in pictures.items()}
        plain, gan, truth = (luma(pictures[label])[0, 0] for label in ("SRResNet", "SRGAN", "original"))
        gain, (top, left) = most_gained(plain, gan, truth, EXAMPLE)
        candidates.append((gain, {label: array[top:top + EXAMPLE[0], left:left + EXAMPLE[1]] for label, array in arrays.items()}))
    return max(candidates, key=lambda candidate: candidate[0])[1]


def most_gained(plain: torch.Tensor, gan: torch.Tensor, truth: torch.Tensor, size: tuple[int, int], step: int = 20) -> tuple[float, tuple[int, int]]:
    """The window (rows, columns) in which a GAN adds most of the detail that the original has -> (gain, (top, left)).

    Three grey images (H, W). The gain is the share of the original's energy in each frequency band, of the GAN less the other's, on
    average; what is beyond the original's counts for nothing. Windows with less detail than the median of all are left out.
    """
    found = []
    for top in range(0, truth.shape[0] - size[0] + 1, step):
        for left in range(0, truth.shape[1] - size[1] + 1, step):
            window = (slice(top, top + size[0]), slice(left, left + size[1]))
            goal = band_energies(truth[window])
            shares = [(band_energies(image[window]) / goal).clamp(max=1).mean() for image in (plain, gan)]
            found.append((float(goal.sum()), float(shares[1] - shares[0]), (top, left)))
    detailed = sorted(found)[len(found) // 2:]
    return max((gain, place) for _, gain, place in detailed)
