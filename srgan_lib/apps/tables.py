"""Records and the tables made of them: what `evaluate` writes, and what README and model cards show."""

import json
from pathlib import Path

from ..errors import CourseError
from ..images import atomic_write
from ..models import WEIGHTS

RESULTS = WEIGHTS / "results.json"
TEST_SETS = ("set5", "set14")
PAPER = {  # Ledig et al. 2017, table 2, x4: PSNR and its own SSIM on Set5 and Set14
    "bicubic": ((28.43, 0.8211), (25.99, 0.7486)), "srgan-x4": ((29.40, 0.8472), (26.02, 0.7397)),
    "srresnet-x4": ((32.05, 0.9019), (28.49, 0.8184)),
}


def write_json(path: Path, value) -> None:
    text = json.dumps(value, indent=1).encode()
    try:
        atomic_write(path, lambda file: file.write(text + b"\n"))
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror})") from None


def table(records: list[dict]) -> str:
    """The README's tables in Markdown, one a scale: ours and, for x4, the paper's; both SSIMs."""
    return "\n\n".join(_of_scale(scale, records) for scale in dict.fromkeys(record["scale"] for record in records))


def _of_scale(scale: int, records: list[dict]) -> str:
    means = {(record["model"], record["data"]): record["mean"] for record in records if record["scale"] == scale}
    lines = [f"| x{scale}, luma | Set5 PSNR | SSIM | paper's SSIM | NIQE | Set14 PSNR | SSIM | paper's SSIM | NIQE |", "|---" * 9 + "|"]
    for model in dict.fromkeys(model for model, _ in means):
        cells = [f"{mean['psnr']:.2f} | {mean['ssim']:.4f} | {mean['paper_ssim']:.4f} | {mean['niqe']:.2f}" for mean in (means[model, data] for data in TEST_SETS)]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
        if model in PAPER and scale == 4:
            cells = [f"{psnr:.2f} | - | {ssim:.4f} | -" for psnr, ssim in PAPER[model]]
            lines.append(f"| *the paper's {model.removesuffix('-x4')}* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def put_between_markers(path: Path, text: str, marker: str = "results") -> bool:
    """Replace what stands between `<!-- results -->` and `<!-- /results -->` -> whether the markers were there."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if not path.is_file() or begin not in path.read_text():
        return False
    before, rest = path.read_text().split(begin, 1)
    changed = f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"
    atomic_write(path, lambda file: file.write(changed.encode()))
    return True


def summary(records: list[dict]) -> str:
    """The README's short table: PSNR and NIQE at x4 of bicubic, SRResNet and SRGAN, beside the paper's PSNR."""
    means = {(record["model"], record["data"]): record["mean"] for record in records if record["scale"] == 4}
    lines = ["| x4 | Set5 PSNR | the paper's | NIQE | Set14 PSNR | the paper's | NIQE |", "|---" * 7 + "|"]
    for model in PAPER:
        cells = [f"{means[model, data]['psnr']:.2f} | {PAPER[model][number][0]:.2f} | {means[model, data]['niqe']:.2f}" for number, data in enumerate(TEST_SETS)]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)
