"""The command `evaluate`: one model on one set, or everything that the README and the model cards state."""

import argparse
import sys
from pathlib import Path

import torch

from ..data import DEGRADATIONS, images
from ..data.hub import listing
from ..data.pairs import matched
from ..errors import DataError, ModelError
from ..figures import strip
from ..images import crop_to_multiple, degrade, read_image, resize_bicubic, to_image, to_tensor, write_image
from ..metrics import BASELINES, evaluate, mean
from ..models import PRECISIONS, WEIGHTS, choose_precision, load_generator, shipped, usual_strength
from ..models.precision import default_device
from ..upscaling import enlarge
from ..upscaling.pictures import with_strength
from ..upscaling.tiles import prepare
from .cards import public_name, shelf, write_card
from .tables import PAPER, RESULTS, TEST_SETS, put_between_markers, summary, table, write_json


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
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the computing (default float32, in which all figures are stated)")
    parser.add_argument("--all", action="store_true", help="every baseline and shipped model named after its scale on Set5 and Set14 -> "
                                                           "weights/results.json, example.webp, the tables of README and model cards")


def run(arguments: argparse.Namespace) -> int:
    if arguments.all:
        records = [score(model, data, scale, arguments.device) for scale, models in contestants().items() for data in TEST_SETS for model in models]
        write_json(RESULTS, records)
        print(table(records))
        restate(records)
        return 0
    if bool(arguments.sr) != bool(arguments.hr) or (arguments.sr and (arguments.model or arguments.data or arguments.pairs)):
        raise ModelError("evaluate: --sr and --hr belong together, and take the place of --model and --data")
    if not arguments.sr and not (arguments.model and arguments.data):
        raise ModelError("evaluate: want --model and --data, or --sr and --hr, or --all")
    if arguments.sr:
        record = score_results(arguments.sr, arguments.hr, arguments.scale or 4, arguments.degradation)
    else:
        record = score(arguments.model, arguments.data, arguments.scale, arguments.device, arguments.degradation, arguments.pairs, arguments.strength,
                       arguments.precision)
    print_rows(record)
    if arguments.json:
        write_json(Path(arguments.json), record)
    return 0


def contestants() -> dict[int, list[str]]:
    """{scale: the baselines and the shipped generators named after it}, x4 first, the paper's generators before others."""
    found = {4: [*BASELINES]}
    for name in dict.fromkeys([*PAPER, *shipped()]):
        if name in shipped() and name[-3:-1] == "-x":
            found.setdefault(int(name[-1]), [*BASELINES]).append(name)
    return found


def score(model: str, data: str, scale: int | None = None, device: str | None = None, degradation: str = "bicubic", pairs: str | None = None,
          strength: float | None = None, precision: str = "float32") -> dict:
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
    given = {"perception": True} | ({"lr": partners(pictures, pairs)} if pairs else {})
    rows = evaluate(generator, pictures, scale, degradation=degradation, **given)
    bicubic = rows if model == "bicubic" else evaluate("bicubic", pictures, scale, degradation=degradation, **given)
    where = "cpu" if isinstance(generator, str) else next(generator.parameters()).device.type
    return {**record_of(model, data, scale, f"given LR of {public_name(pairs)}" if pairs else degradation, where, rows, bicubic), "strength": used,
            **({"precision": precision} if precision != "float32" else {})}


def score_results(sr: str, hr: str, scale: int, degradation: str = "bicubic") -> dict:
    """Score finished results against their ground truth -> the record that `--json` writes."""
    pictures = truth(hr)
    found = partners(pictures, sr)
    rows = evaluate("bicubic", pictures, scale, sr=found, perception=True)
    return record_of(sr, hr, scale, degradation, "cpu", rows, evaluate("bicubic", pictures, scale, degradation=degradation, perception=True))


def truth(data: str) -> list[tuple[str, object]]:
    return list(images(data, "test" if data in TEST_SETS else "valid" if data == "sample" else "train"))


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
    print(f"{'':{width}}{'PSNR dB':>9}{'SSIM':>9}{'paper SSIM':>12}{'NIQE':>8}")
    rows = [*record["images"], {"name": "mean", **record["mean"]}, {"name": "bicubic", **record["bicubic"]}]
    for row in rows:
        if "error" in row:
            print(f"{row['name']:{width}}  left out: {row['error']}")
            continue
        natural = f"{row['niqe']:8.2f}" if row.get("niqe") else f"{'-':>8}"
        print(f"{row['name']:{width}}{row['psnr']:9.3f}{row['ssim']:9.4f}{row['paper_ssim']:12.4f}{natural}")
    if bands := record["mean"].get("bands"):
        print(f"energy over the original's, by frequency from 1/8 to 1/2 cycle a pixel: {' '.join(f'{share:.2f}' for share in bands)}")


def restate(records: list[dict]) -> None:
    """Carry the figures to wherever they are stated: the README, each shipped model's card, and the example picture."""
    for name in shipped():
        write_card(name)
    root = WEIGHTS.parent.parent
    for name, marker, text in (("README.md", "summary", summary(records)), ("docs/results.md", "results", table(records)), ("docs/results.md", "weights", shelf())):
        if not put_between_markers(root / name, text, marker):
            print(f"{root / name}: no {marker} markers in it, left as it is", file=sys.stderr)
    write_image(strip(example()), WEIGHTS / "example.webp", lossless=True)


def example() -> dict:
    """The README's crop, of scikit-image's cat: bicubic, the shipped x4 generators, and the original, uint8 arrays."""
    hr = crop_to_multiple(to_tensor(read_image(dict(images("sample", "valid"))["chelsea.png"])), 4)
    lr = degrade(hr, 4)
    pictures = {"bicubic": resize_bicubic(lr, 4)}
    names = {"srresnet-x4": "SRResNet", "srgan-x4": "SRGAN"}
    pictures |= {label: enlarge(lr, with_strength(name)) for name, label in names.items() if name in shipped()}
    pictures["original"] = hr
    return {label: to_image(picture)[60:200, 130:310] for label, picture in pictures.items()}
