"""Model cards: what a generator is, how it was trained, how good it is, where it fails, and whose pictures it has seen.

Every sentence follows from files beside the weights. `training.json` holds the config of the run and, where somebody has
written them, the texts that no run can know: `about`, `note`, `chosen` (how the weights were picked), `limits`, `data`.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from statistics import pstdev
from typing import NamedTuple

from safetensors import safe_open

from ..data import DATASETS
from ..errors import PublishError
from ..images import atomic_write
from ..models import WEIGHTS, Generator, load_generator, shipped
from ..training import PAPER, TrainConfig, read_log
from .recipes import losses, recipes
from .tables import RESULTS, TEST_SETS, checked, is_number, table

ABOUT = {"srresnet": "Stage 1 of SRGAN: trained on the content loss alone. It wins on PSNR and looks soft.",
         "srgan": "Stage 2 of SRGAN: trained on against a discriminator and a content loss. It looks sharper, invents texture, and loses PSNR.",
         "": "A generator for super-resolution."}
LIMITS = {"srresnet": "Fine texture is averaged away rather than invented.",
          "srgan": "It invents detail that was never there: not for faces of people, documents, medicine or evidence.",
          "": "Nothing is recorded about how it was trained."}
CLEAN = "It was trained on clean pictures shrunk by MATLAB's bicubic. Noise, JPEG blocks and blur are enlarged with everything else. "
CAMERA = ("It was trained on pictures that were blurred, shrunk, made noisy and stored as JPEG at random: of a clean picture it may smooth away what "
          "a generator trained on clean ones keeps. ")
UNKNOWN_DATA = "Which pictures it was trained on has not been recorded."
PATHS = ("init", "vgg_weights", "discriminator_init")  # fields that may hold a path on somebody's machine


class Release(NamedTuple):
    """A generator with what is known about it: the folder of its weights, training.json's fields, the log, evaluate's records."""

    weights: Path
    generator: Generator
    training: dict
    log: list[dict]
    results: list[dict]

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.generator.parameters())

    @property
    def degradation(self) -> str:
        return self.training.get("degradation", "bicubic")

    @property
    def held_out(self) -> float | None:
        """PSNR on held-out pictures, dB: what the record says of weights that no run ended with, else the log's last; None without."""
        return self.training.get("held_out") or next((record["psnr"] for record in reversed(self.log) if "psnr" in record), None)


def gather(folder: str | Path, data: str | None = None) -> Release:
    """Read a folder of weights or a run folder, which holds its weights in generator/.

    data: what it was trained on, a sentence or a named set; by default what training.json says. Raises ModelError for
    weights that do not load, PublishError for records that cannot be read.
    """
    if str(folder) == "":
        raise PublishError("the name of the folder is empty; was a variable not set?")
    folder = WEIGHTS / folder if str(folder) in shipped() else Path(folder)
    run = (folder / "generator" / "model.safetensors").is_file()
    weights = folder / "generator" if run else folder
    generator, log = load_generator(weights), read_log(folder)
    training = _read(folder / ("config.json" if run else "training.json"), {}, dict)
    if run and log:
        training |= {"steps": log[-1]["step"], **({"minutes": round(log[-1]["seconds"] / 60, 1)} if is_number(log[-1].get("seconds")) else {})}
    if data:
        training["data"] = f"{data}: {DATASETS[data].repo} on the Hub; {DATASETS[data].licence}." if data in DATASETS else data
    training |= {key: public_name(str(training[key])) for key in PATHS if key in training}
    results = _read(folder / "results.json", [], (dict, list))
    results = results if isinstance(results, list) else [results]
    if folder.parent == WEIGHTS:
        results = [record for record in _read(RESULTS, [], list) if record["model"] == folder.name]
    return Release(weights, generator, training, [record for record in log if is_number(record.get("psnr", 0.0))], [checked(record, folder) for record in results])


def public_name(name: str) -> str:
    """A shipped name or Hub repo as it is; of a path on somebody's machine nothing but its last folder that says something.

    Paths of Windows are known by their drive or backslashes, wherever the card is written.
    """
    windows = "\\" in name or re.match(r"[A-Za-z]:", name) is not None
    if name in ("", "auto", "random", *shipped()) or (not windows and name.count("/") == 1 and not Path(name).exists()
                                                      and not name.startswith((".", "/", "~"))):
        return name
    path = PureWindowsPath(name) if windows else PurePosixPath(name)
    parts = [part for part in path.parts if part not in ("generator", ".", "..", "/", "~", path.anchor, path.drive)]
    return parts[-1] if parts else "a folder"


def _read(path: Path, otherwise, kind=object):
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return otherwise
    except (ValueError, RecursionError) as error:
        raise PublishError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, kind):
        raise PublishError(f"{path}: not JSON of the kind that is wanted here")
    return value


def card(release: Release, name: str, code: str = "") -> str:
    """The card in Markdown for a model called `name`; code: the address of the library, if it is known.

    Raises PublishError for a training record that holds what no run has.
    """
    try:
        return _card(release, name, code)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise PublishError(f"{release.weights}: the record of its training is not as `train` writes it ({type(error).__name__}: {error})") from None


def _card(release: Release, name: str, code: str) -> str:
    training = release.training
    stage, learnt = training.get("stage", ""), CLEAN if release.degradation == "bicubic" else CAMERA
    heads = {"How it was trained": trained(release), "How good it is": measured(release, name),
             "Limits": training.get("limits") or (learnt if stage else "") + LIMITS[stage],
             "Data and attribution": training.get("data") or UNKNOWN_DATA,
             "Licence": "Code and weights: MIT. The images belong to their authors, under the licences named above, and are not redistributed here."}
    about = f"{training.get('about') or ABOUT[stage]} {architecture(release)}"
    if "strength" in training:
        about += (f" `upscale` uses it at strength {training['strength']:g}: fine detail of its luma is added to {training['init']}'s image where there "
                  "is texture, and edges grow steeper (`srgan_lib.models.mix`); `--strength 1` takes its own alone.")
    usage = f'```python\nfrom srgan_lib.upscaling import upscale\nupscale("photo.jpg", "{name}").save("photo-x{release.generator.scale}.png")\n```'
    front = "---\nlicense: mit\nlibrary_name: srgan_lib\npipeline_tag: image-to-image\ntags: [super-resolution, srgan, image-to-image]\n---"
    parts = [f"{front}\n# {name.split('/')[-1]}", about, usage] + [f"`srgan_lib` is at {code}"] * bool(code)
    return "\n\n".join([*parts, *(f"## {head}\n\n{text}" for head, text in heads.items())]) + "\n"


def architecture(release: Release) -> str:
    """Its class, size, scale and precision in one sentence."""
    generator = release.generator
    papers = " The paper's generator (Ledig et al. 2017, fig. 4)." if release.parameters == 1_549_462 else ""
    with safe_open(release.weights / "model.safetensors", "pt") as stored:
        kinds = {str(stored.get_tensor(name).dtype).removeprefix("torch.") for name in stored.keys()} - {"int64"}
    return f"{type(generator).__name__}, {release.parameters:,} parameters in {' and '.join(sorted(kinds))}, x{generator.scale}.{papers}"


def trained(release: Release) -> str:
    """Steps, losses, cost and recipe of the run, or that they are unknown."""
    training = release.training
    if "stage" not in training:
        return "There is no record of its training beside the weights."
    config = TrainConfig(**{key: value for key, value in training.items() if key in asdict(TrainConfig())})
    pictures = f" from {training['pictures']} images" if "pictures" in training else ""
    cost = f" {training['minutes']:.0f} minutes" if "minutes" in training else ""
    cost += f" on {training['device']}" if cost and "device" in training else ""
    cost += f", torch {training['torch']}" if cost and "torch" in training else ""
    paper = getattr(PAPER, config.stage)
    settings = asdict(config) | training
    share = 100 * patches(settings) / (paper.steps * paper.batch)
    sides = " and ".join(f"{side} x {side}" for side in of_runs(settings, "hr_size"))
    lines = [f"{config.steps:,} steps of {batches(settings)} patches of {sides} pixels{pictures}: {share:.2g} % of what the paper's "
             f"stage took. {losses(config)}; Adam, learning rate {config.learning_rate:g}, {config.schedule} schedule.{cost}{'.' * bool(cost)}",
             f"The published weights are the running average (EMA {config.ema:g}). {training.get('note', '')}".strip(),
             "All fields are in `training.json`, the records in `log.jsonl`." if release.log else ""]
    return "\n".join(filter(None, lines)) + f"\n\n```sh\n{recipes(config, training.get('runs', []))}\n```"


def of_runs(training: dict, field: str) -> list[int]:
    """The values of a field that the runs of a training had, each once, the smallest first."""
    return sorted({run.get(field, training[field]) for run in training.get("runs") or [{}]})


def batches(training: dict) -> str:
    """The batch of a training, "8" or "8 and 16" where its runs differ."""
    return " and ".join(map(str, of_runs(training, "batch")))


def patches(training: dict) -> int:
    """The patches that a training saw in all."""
    return sum(run.get("steps", training["steps"]) * run.get("batch", training["batch"]) for run in training.get("runs") or [{}])


def measured(release: Release, name: str) -> str:
    """The figures between the markers that `evaluate --all` fills, the last PSNR on held-out pictures, how weights were chosen."""
    held_out = "" if release.held_out is None else f"On held-out pictures while training: {release.held_out:.2f} dB."
    scored = f"x{release.generator.scale}, luma, {release.generator.scale} pixels shaved; computed by `python -m srgan_lib evaluate`."
    lines = filter(None, (scored, held_out, release.training.get("chosen")))
    return " ".join(lines) + f"\n\n<!-- results -->\n{figures(release.results, name)}\n<!-- /results -->"


def figures(results: list[dict], name: str) -> str:
    """evaluate's records as a table: beside the paper's where both of its test sets are there, else a line a set."""
    if {record["data"] for record in results} >= set(TEST_SETS) and name in shipped():
        bicubic = [record | {"model": "bicubic", "mean": record["bicubic"]} for record in results]
        return f"{table(bicubic + results)}\n\n{extremes(results)}"
    if not results:
        return "Not measured yet."
    lines = ["| on | PSNR | SSIM | paper's SSIM | bicubic's PSNR | SSIM | paper's SSIM |", "|---|---|---|---|---|---|---|"]
    for record in results:
        cells = [f"{mean['psnr']:.2f} | {mean['ssim']:.4f} | {mean['paper_ssim']:.4f}" for mean in (record["mean"], record["bicubic"])]
        lines.append(f"| {public_name(record['data'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def extremes(results: list[dict]) -> str:
    """How far the single pictures lie apart: lowest, highest and standard deviation of their PSNR, a set after the other."""
    parts = []
    for record in results:
        found = [row["psnr"] for row in record["images"]]
        parts.append(f"{record['data']} {min(found):.2f} to {max(found):.2f} dB, standard deviation {pstdev(found):.2f} dB, {len(found)} pictures")
    return f"PSNR of each test set: {'; '.join(parts)}."


def shelf() -> str:
    """The README's table of the shipped generators, from the records beside them."""
    lines = ["| generator | network | trained for | minutes | PSNR on held-out photographs |", "|---|---|---|---|---|"]
    for name in shipped():
        release = gather(name)
        training, network = release.training, f"{type(release.generator).__name__} x{release.generator.scale}, {release.parameters:,} parameters"
        start = f", from {training['init']}" if training["init"] else ""
        taught = "" if release.degradation == "bicubic" else f" ({release.degradation} degradation)"
        taught += " (at strength 1)" if "strength" in training else ""
        lines.append(f"| [{name}](../srgan_lib/weights/{name}/README.md) | {network} | {training['steps']:,} steps of {batches(training)}{start} "
                     f"| {training['minutes']:.0f} | {release.held_out:.2f} dB{taught} |")
    return "\n".join(lines)


def write_card(name: str) -> None:
    """Write the README.md of a shipped model anew."""
    text = card(gather(name), name)
    atomic_write(WEIGHTS / name / "README.md", lambda file: file.write(text.encode()))
