"""A Gradescope autograder: setup.sh, run_autograder and the course's code, to be zipped and uploaded.

Gradescope runs /autograder/run_autograder in a container, with the upload unpacked in /autograder/source and the student's
files in /autograder/submission, and reads /autograder/results/results.json.
"""

import json
import os
import shutil
import zipfile
from pathlib import Path

from .server import COURSE
from .submission import GradingError

SETUP = """#!/usr/bin/env bash
set -e
apt-get update && apt-get install -y python3 python3-pip python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu
/autograder/venv/bin/pip install -r /autograder/source/requirements.txt
"""
RUN = """#!/usr/bin/env bash
# AUTOGRADER is /autograder on Gradescope; another folder of the same layout serves to try it.
ROOT="${AUTOGRADER:-/autograder}"
PYTHON="${PYTHON:-$ROOT/venv/bin/python}"
mkdir -p "$ROOT/results"
cd "$ROOT/source" && exec "$PYTHON" -m srgan_lib.grading.gradescope "$ROOT/submission" "$ROOT/results/results.json"
"""


def write_autograder(folder: Path) -> Path:
    """Write the autograder into a new or empty folder, and the archive to upload beside it -> the archive.

    Raises GradingError for a folder that holds something, or an archive that is there.
    """
    archive = folder.with_name(folder.name + ".zip")
    if archive.exists():
        raise GradingError(f"{archive}: exists; name another folder, or delete it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GradingError(f"{folder}: exists and is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    skip = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.pyc")
    shutil.copytree(COURSE / "srgan_lib", folder / "srgan_lib", ignore=skip)
    shutil.copytree(COURSE / "notebooks" / "assignment" / "exercises", folder / "notebooks" / "assignment" / "exercises", ignore=skip)
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(COURSE / name, folder / name)
    for name, text in (("setup.sh", SETUP), ("run_autograder", RUN)):
        (folder / name).write_text(text, "utf-8")
        (folder / name).chmod(0o755)
    _zip(folder, archive)
    return archive


def _zip(folder: Path, archive: Path) -> None:
    """The folder's files at the top of an archive, with their rights, as Gradescope wants them."""
    from ..images import atomic_write

    def write(out) -> None:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(folder).as_posix())
    atomic_write(archive, write)


def results(row: dict) -> dict:
    """Gradescope's results.json: one entry an exercise, with a message that the student sees."""
    from .judge import load_exercises
    hints, seed = {name: exercise.hints for name, exercise in load_exercises().items()}, row["seed"]

    def words(e: dict) -> str:
        failed = [f"failed: {e['message']}", f"hint: {next(iter(hints.get(e['name'], [''])))}", f"In your notebook: check({e['name']}, seed={seed})"]
        return "\n".join([*(f"passed: {label}" for label in e["passed"]), *(failed if e["message"] else [])])
    tests = [{"name": e["name"], "number": str(number), "score": e["points"], "max_score": e["out_of"], "visibility": "visible",
              "status": "failed" if e["message"] else "passed", "output": words(e)} for number, e in enumerate(row["exercises"], 1)]
    return {"score": row["points"], "output": row["error"] or f"{row['points']:g} of {row['out_of']} points, inputs drawn with seed {seed}",
            "visibility": "visible", "stdout_visibility": "hidden", "tests": tests}


def main(submission: str, out: str) -> None:
    """Grade the one notebook or script in the submission's folder, and write results.json whatever happens."""
    import tempfile

    from ..errors import CourseError
    from .collect import collect
    from .grade import grade
    from .roster import rank
    with tempfile.TemporaryDirectory() as unpacked:
        try:
            files = sorted(collect([submission], Path(unpacked)).files.values(), key=rank)
            if not files:
                raise GradingError("no notebook was handed in")
            made = results(grade([files[-1].path], progress=False)[0])
        except CourseError as error:
            made = {"score": 0, "output": str(error), "tests": []}
    part = Path(out + ".part")
    part.write_text(json.dumps(made, indent=1, ensure_ascii=False), "utf-8")
    os.replace(part, out)


if __name__ == "__main__":
    import sys
    main(*sys.argv[1:])
