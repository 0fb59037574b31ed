"""The trained part of the assignment, graded by what it produces: a `save_pretrained` folder, scored on pictures.

The folder comes from a student, so it is read in a process of its own with limits on time and memory, and only as
config.json and safetensors, strictly; nothing in it is executed.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NAME, POINTS, SECONDS = "trained generator", 20, 600
MOST_BYTES, MEMORY_BYTES = 200 << 20, 16 << 30


@dataclass
class Artifact:
    """root/<name of the notebook>/ holds a student's generator; it is scored on `images` (a data set's name or a folder).

    Full points from `threshold` dB above bicubic, missed by no more than `tolerance`; below, in proportion to the gain.
    """

    root: Path
    images: str
    threshold: float = 0.5
    tolerance: float = 0.05

    def files(self, notebook: str) -> list[Path]:
        """The files that a stored result depends on."""
        return [self.root / Path(notebook).stem / name for name in ("config.json", "model.safetensors")]

    def add(self, row: dict) -> dict:
        """`row` with the generator's result as one more exercise."""
        points, text = self.score(self.files(row["notebook"])[0].parent)
        result = {"name": NAME, "points": points, "out_of": POINTS, "message": text, "passed": [] if text else [f"{self.threshold} dB above bicubic"]}
        return {**row, "points": round(row["points"] + points, 2), "out_of": row["out_of"] + POINTS, "full": row.get("full", row["out_of"]) + POINTS, "exercises": [*row["exercises"], result]}

    def score(self, folder: Path) -> tuple[float, str]:
        """(points, one sentence; empty for full points)."""
        missing = [file.name for file in self.files(folder.name) if not (folder / file.name).is_file()]
        if missing:
            return 0, f"{' and '.join(missing)} not found; hand in the folder that save_pretrained wrote"
        if any((folder / name).stat().st_size > MOST_BYTES for name in ("config.json", "model.safetensors")):
            return 0, f"larger than {MOST_BYTES >> 20} MB"
        return self.verdict(_measure(folder, self.images))

    def verdict(self, answer: dict) -> tuple[float, str]:
        """Points and sentence for {"psnr", "bicubic"} or {"error"}."""
        if "error" in answer:
            return 0, answer["error"]
        gain = answer["psnr"] - answer["bicubic"]
        if gain >= self.threshold - self.tolerance:
            return POINTS, ""
        share = max(0.0, gain / self.threshold)
        return round(POINTS * share, 1), f"{answer['psnr']:.2f} dB, {gain:+.2f} against bicubic; full points from {self.threshold:+g}"


def _measure(folder: Path, images: str) -> dict:
    """{"psnr", "bicubic"} or {"error"} from a process that may take SECONDS and MEMORY_BYTES."""
    command = [sys.executable, "-W", "ignore", "-m", f"{__package__}.artifacts", str(folder), images]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"scoring took longer than {SECONDS} s"}
    except (json.JSONDecodeError, IndexError):
        return {"error": "the generator cannot be run (too large for the memory, or broken)"}


def main(folder: str, images: str) -> None:
    """Print one line of JSON: the mean PSNR of the generator and of bicubic on the pictures."""
    _limit_memory()
    from ..apps.evaluate import score
    from ..errors import CourseError
    try:
        record = score(os.path.abspath(folder), images, device="cpu")
        print(json.dumps({"psnr": record["mean"]["psnr"], "bicubic": record["bicubic"]["psnr"]}))
    except (CourseError, ValueError, RuntimeError) as error:
        print(json.dumps({"error": " ".join(str(error).replace(os.path.abspath(folder), "the folder").split())[:300]}))


def _limit_memory() -> None:
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, ValueError, OSError):  # Windows and macOS: the time limit remains
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
