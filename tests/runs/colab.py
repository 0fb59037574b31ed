"""Run every notebook as if it were opened in Colab: Colab's versions, each notebook alone in an empty folder.

python tests/runs/colab.py [--environment FOLDER] [NOTEBOOK ...]

Makes a virtual environment from tests/runs/colab-requirements.txt (kept in --environment when given), then for each notebook: an
empty folder, a copy of the notebook, and a setup cell that clones from a bare repository of this checkout's last commit in
place of the public address. The library must come from that clone, and nothing of this machine's settings reaches the kernel.
Prints a line a notebook; exit code 1 when one fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS")  # of the caller's variables; the others could lead out of the folder
PROOF = """import pathlib, sys, srgan_lib
assert pathlib.Path(srgan_lib.__file__).resolve().parents[1] == pathlib.Path("srgan-course").resolve(), srgan_lib.__file__
assert sys.prefix == PREFIX, sys.prefix"""
PROGRAM = """import nbclient, nbformat, sys
book = nbformat.read(sys.argv[1], 4)
book.cells.append(nbformat.v4.new_code_cell(sys.argv[2].replace("PREFIX", repr(sys.prefix))))
nbclient.NotebookClient(book, timeout=1800, startup_timeout=600, kernel_name="python3").execute()"""


def environment(folder: Path) -> Path:
    """The interpreter of an environment with Colab's versions, made on first use."""
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(ROOT / "tests" / "runs" / "colab-requirements.txt")], check=True)
    return python


def unlike_colab(python: Path) -> list[str]:
    """The pinned packages of which this interpreter has another version, as `name have, want`."""
    pinned = [line.split("==") for line in (ROOT / "tests" / "runs" / "colab-requirements.txt").read_text().splitlines() if "==" in line]
    program = "import importlib.metadata, sys; print(*(importlib.metadata.version(name) for name in sys.argv[1:]))"
    have = subprocess.run([str(python), "-c", program, *(name for name, _ in pinned)], check=True, capture_output=True, text=True)
    return [f"{name} {found}, want {want}" for (name, want), found in zip(pinned, have.stdout.split()) if found != want]


def run(notebook: Path, python: Path, repository: Path) -> tuple[bool, float, str]:
    """Execute a copy of one notebook alone in an empty folder -> (it ran to the end, seconds, last line of the error)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(notebook, folder))
        variables = {key: value for key, value in os.environ.items() if key in KEPT}
        variables |= {"SRGAN_REPOSITORY": str(repository), "HOME": folder, "HF_HUB_OFFLINE": "1"}
        begun = time.monotonic()
        done = subprocess.run([str(python), "-c", PROGRAM, copy.name, PROOF], cwd=folder, env=variables, capture_output=True, text=True)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return done.returncode == 0, time.monotonic() - begun, lines[-1] if lines and done.returncode else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--environment", type=Path)
    arguments = parser.parse_args()
    notebooks = arguments.notebooks or sorted(ROOT.glob("notebooks/*.ipynb")) + [ROOT / "notebooks" / "assignment" / "solution.ipynb"]
    with tempfile.TemporaryDirectory() as folder:
        python = environment((arguments.environment or Path(folder) / "colab").resolve())
        if differing := unlike_colab(python):
            parser.error(f"{python.parent.parent} is not Colab's environment: " + "; ".join(differing))
        repository = Path(folder) / "repository.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(ROOT), str(repository)], check=True)
        failures = 0
        for notebook in notebooks:
            good, seconds, error = run(notebook, python, repository)
            failures += not good
            print(f"{notebook.stem:16} {'ran' if good else 'FAILED'} in {seconds:.0f} s {error}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
