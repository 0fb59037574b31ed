"""The command `train`: a profile, a data set and a few fields become a run."""

import argparse
import difflib
import os
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

from tqdm import tqdm

from ..errors import TrainingError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, help="named set, folder, archive or hf://datasets/OWNER/REPO/FILE.zip")
    parser.add_argument("--run", required=True, help="folder of the run; the same command goes on with it after a stop")
    parser.add_argument("--stage", choices=("srresnet", "srgan"), default="srresnet")
    parser.add_argument("--profile", choices=("tiny", "live", "colab", "paper"), default="colab")
    parser.add_argument("--valid", help="held-out pictures (default: the named set's own valid split, if it has one)")
    parser.add_argument("--pairs", metavar="LR_FOLDER", help="folder or archive with the LR images of --data, used instead of shrunk ones")
    parser.add_argument("--limit", type=int, help="take the first N pictures only")
    parser.add_argument("--init", help="generator to start from: shipped name, folder or Hub repo (stage 2 wants one)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field of the config")
    parser.add_argument("--backup", help="second folder that receives each checkpoint, such as a mounted Drive")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), help="of the computing; auto: what this device does "
                        "fastest, and what the run began with where it goes on")
    parser.add_argument("--accept-changes", action="store_true", help="go on in a folder whose config or data differ")


def run(arguments: argparse.Namespace) -> int:
    from ..data import open_bank
    from ..training import PROFILES, decided, make_accelerator, train
    config = getattr(PROFILES[arguments.profile], arguments.stage)
    if arguments.init:
        config = replace(config, init=arguments.init)
    config = with_fields(config, arguments.set)
    if arguments.precision:
        config = replace(config, precision=arguments.precision)
    accelerator = make_accelerator(arguments.device)
    main_process, config = accelerator.is_main_process, decided(config, accelerator, arguments.run, arguments.backup)
    if main_process:
        print("config: " + ", ".join(f"{name}={value}" for name, value in asdict(config).items() if value not in ("", 0.0)))
        if arguments.stage == "srgan" and not config.init:
            print("note: stage 2 starts from random weights; --init RUN/generator starts it from stage 1", file=sys.stderr)
    bank = open_bank(arguments.data, "train", arguments.limit, progress=main_process, pairs=arguments.pairs)
    if main_process:
        print(data_line(bank, config))
    valid = _validation(arguments, main_process)
    _apart(arguments)
    records = train(config, bank, arguments.run, valid, arguments.backup, arguments.device, arguments.accept_changes)
    with tqdm(total=config.steps, unit="step", disable=not main_process or None, smoothing=0.05) as bar:
        for record in records:
            bar.update(record["step"] - bar.n)
            if main_process:
                tqdm.write(describe(record))
    if main_process:
        print(f"done: {arguments.run}/generator holds the averaged generator")
    return 0


def _apart(arguments) -> None:
    """Raise TrainingError for a run or backup inside a folder of images: its samples would be images of the data when it goes on."""
    for place in filter(None, (arguments.run, arguments.backup)):
        for data in filter(None, (arguments.data, arguments.valid, arguments.pairs)):
            here, there = Path(os.path.realpath(place)), Path(os.path.realpath(data))
            if there.is_dir() and (here == there or there in here.parents):
                raise TrainingError(f"{place}: lies in {data}, whose images the run's own samples would be counted among; name a folder beside it")


def epochs(bank, config) -> float:
    """How often a run of config.steps sees each pixel of the images that are large enough, on average."""
    pixels = sum(bank.sizes[i][0] * bank.sizes[i][1] for i in bank.usable(config.hr_size, config.scale, config.pad_small)[0])
    return config.steps * config.batch * config.hr_size**2 / pixels


def data_line(bank, config) -> str:
    """What the run is made of: how many images, how many of them are too small, how often each pixel is seen."""
    size = f"{config.hr_size} x {config.hr_size}"
    unused = len(bank) - len(bank.usable(config.hr_size, config.scale, config.pad_small)[0])
    words = f", {unused} of them smaller than {size if not config.pad_small else f'{config.scale} x {config.scale}'} and never used" if unused else ""
    padded = sum(min(sides) // config.scale * config.scale < config.hr_size for sides in bank.sizes) - unused
    words += f", {padded} of them smaller than {size} and continued by their mirror image" if padded else ""
    return f"data: {len(bank)} pictures{words}; the run looks at every pixel{' of the others' * bool(unused)} {epochs(bank, config):.3g} times on average"


def _validation(arguments, progress: bool):
    from ..data import DATASETS, open_bank
    own_split = arguments.data == "sample" or "valid" in getattr(DATASETS.get(arguments.data), "files", {})
    if arguments.valid:
        if not own_split and os.path.realpath(arguments.valid) == os.path.realpath(arguments.data):
            raise TrainingError(f"--valid {arguments.valid}: these are the training pictures; name others, or leave --valid out")
        return open_bank(arguments.valid, "valid", progress=progress)
    return open_bank(arguments.data, "valid", arguments.limit, progress) if own_split else None


def describe(record: dict) -> str:
    """One line of a training log for people: step, losses, PSNR when measured, speed, time left."""
    known = {"content": "content {:.4f}", "adversarial": "adversarial {:.3f}", "d_hr": "D(HR) {:.2f}", "d_sr": "D(SR) {:.2f}",
             "psnr": "PSNR {:.2f} dB"}
    parts = [text.format(record[name]) for name, text in known.items() if name in record]
    return (f"step {record['step']:>7}  " + "  ".join(parts) + f"  {record['images_per_s']:.1f} images/s, "
            f"{record['data_wait']:.1%} waiting for data, {record['eta_s'] / 60:.0f} min left")


def with_fields(config, assignments: list[str]):
    """A config with FIELD=VALUE texts applied, each value read as its field's type. Raises TrainingError."""
    types = {field.name: field.type for field in fields(config)}
    changes = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator or name not in types:
            nearest = difflib.get_close_matches(name, types, 1)
            raise TrainingError(f"--set {text}: want FIELD=VALUE with a field of the config{f'; did you mean {nearest[0]}?' if nearest else ''}")
        changes[name] = _read_value(text, types[name], value)
    return replace(config, **changes)


def _read_value(text: str, kind: type, value: str):
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        return kind(value)
    except (KeyError, ValueError):
        raise TrainingError(f"--set {text}: want a value of type {kind.__name__}") from None
