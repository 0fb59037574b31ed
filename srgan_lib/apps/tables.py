"""Records and the tables made of them: what `evaluate` writes, and what README and model cards show."""

import errno
import json
import math
from pathlib import Path

from ..errors import CourseError, PublishError
from ..images import atomic_write, check_place
from ..locks import is_stream
from ..models import WEIGHTS

RESULTS = WEIGHTS / "results.json"
TEST_SETS = ("set5", "set14")
MORE_SETS = {"bsd100": "BSD100", "urban100": "Urban100", "manga109": "Manga109", "div2k": "DIV2K valid"}
ABSENT = "not at hand here"
FAST = "srresnet-lite-x4"  # for videos and previews
PAPER = {  # Ledig et al. 2017, table 2, x4: PSNR and its own SSIM on Set5 and Set14
    "bicubic": ((28.43, 0.8211), (25.99, 0.7486)), "srgan-x4": ((29.40, 0.8472), (26.02, 0.7397)),
    "srresnet-x4": ((32.05, 0.9019), (28.49, 0.8184)),
}


def write_json(path: Path, value) -> None:
    """Write a record as JSON, whole or not at all; "inf" and "nan" as texts, since JSON has no such numbers."""
    text = json.dumps(_in_json(value), indent=1, allow_nan=False).encode()
    try:
        atomic_write(path, lambda file: file.write(text + b"\n"))
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror})") from None


def check_output(path: str | Path | None) -> None:
    """Refuse the file of a result that could not be written, before it is computed; None is no file. Raises CourseError."""
    try:
        if path:
            check_place(path)
            if not is_stream(path) and Path(path).is_file() and not _is_result(Path(path).read_bytes()):
                raise FileExistsError(errno.EEXIST, "there is a file that is no earlier result; name another, or delete it")
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror or error})") from None


def _is_result(content: bytes) -> bool:
    """Whether a file is empty, or holds what `write_json` has written for one of the commands: each of them notes torch's version."""
    try:
        value = json.loads(content) if content.strip() else {"torch": ""}
    except (ValueError, RecursionError):
        return False
    return all(isinstance(one, dict) and "torch" in one for one in (value if isinstance(value, list) else [value]))


def _in_json(value):
    if isinstance(value, dict):
        return {key: _in_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table(records: list[dict]) -> str:
    """The README's tables in Markdown, one a scale: ours and, for x4, the paper's; both SSIMs."""
    return "\n\n".join(_of_scale(scale, records) for scale in dict.fromkeys(record["scale"] for record in records))


def more_sets(records: list[dict]) -> str:
    """PSNR, SSIM and NIQE of each generator on the sets that are not everywhere at hand, one row a set and model, measured or not."""
    means = {(record["scale"], record["model"], record["data"]): record["mean"] for record in records}
    lines = ["| set | x | model | PSNR | SSIM | NIQE |", "|---" * 6 + "|"]
    for data, title in MORE_SETS.items():
        for scale, model in dict.fromkeys((record["scale"], record["model"]) for record in records if record["model"] not in ("nearest", "bilinear")):
            mean = means.get((scale, model, data))
            cells = f"{float(mean['psnr']):.2f} | {mean['ssim']:.4f} | {natural(mean)}" if mean else f"{ABSENT} | {ABSENT} | {ABSENT}"
            lines.append(f"| {title} | {scale} | {model} | {cells} |")
    return "\n".join(lines)


def _of_scale(scale: int, records: list[dict]) -> str:
    means = {(record["model"], record["data"]): record["mean"] for record in records if record["scale"] == scale}
    lines = [f"| x{scale}, luma | Set5 PSNR | SSIM | paper's SSIM | NIQE | Set14 PSNR | SSIM | paper's SSIM | NIQE |", "|---" * 9 + "|"]
    for model in dict.fromkeys(model for model, data in means if data in TEST_SETS):
        cells = [f"{float(mean['psnr']):.2f} | {mean['ssim']:.4f} | {mean['paper_ssim']:.4f} | {natural(mean)}" for mean in (means[model, data] for data in TEST_SETS)]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
        if model in PAPER and scale == 4:
            cells = [f"{psnr:.2f} | - | {ssim:.4f} | -" for psnr, ssim in PAPER[model]]
            lines.append(f"| *the paper's {model.removesuffix('-x4')}* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def put_between_markers(path: Path, text: str, marker: str = "results") -> bool:
    """Replace what stands between `<!-- results -->` and `<!-- /results -->` in a file -> whether the markers were there."""
    changed = between_markers(path.read_text(), text, marker) if path.is_file() else None
    if changed is None:
        return False
    atomic_write(path, lambda file: file.write(changed.encode()))
    return True


def natural(mean: dict) -> str:
    """NIQE of a record's means; "-" in one that lacks it."""
    return f"{mean['niqe']:.2f}" if "niqe" in mean else "-"


def summary(records: list[dict]) -> str:
    """The README's short table: PSNR and NIQE at x4 of bicubic, SRResNet, SRGAN and the fast generator, beside the paper's PSNR."""
    means = {(record["model"], record["data"]): record["mean"] for record in records if record["scale"] == 4}
    lines = ["| x4 | Set5 PSNR | the paper's | NIQE | Set14 PSNR | the paper's | NIQE |", "|---" * 7 + "|"]
    for model in [*PAPER, *[FAST] * all((FAST, data) in means for data in TEST_SETS)]:
        published = [f"{row[0]:.2f}" for row in PAPER.get(model, ())] or ["-"] * len(TEST_SETS)
        cells = [f"{means[model, data]['psnr']:.2f} | {published[number]} | {means[model, data]['niqe']:.2f}" for number, data in enumerate(TEST_SETS)]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def between_markers(whole: str, text: str, marker: str) -> str | None:
    """A text with `text` between its markers; None where it lacks one of them."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, found, rest = whole.partition(begin)
    old, closed, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}" if found and closed else None


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def checked(record, folder: Path) -> dict:
    """One of evaluate's records, its "inf" a number again. Raises PublishError for anything else."""
    try:
        means = {key: record[key] | {name: float(record[key][name]) for name in ("psnr", "ssim", "paper_ssim")} for key in ("mean", "bicubic")}
        rows = [row | {"psnr": float(row["psnr"])} for row in record.get("images", []) if "error" not in row]
        if any(math.isnan(value) for one in means.values() for value in one.values() if isinstance(value, float)):
            raise ValueError("a mean is NaN")
        return record | means | {"images": rows, "data": str(record["data"])}
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise PublishError(f"{folder / 'results.json'}: holds no record as `evaluate --json` writes it ({type(error).__name__}: {error})") from None
