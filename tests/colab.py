"""Run every notebook as if it were opened in Colab: Colab's versions, each notebook alone in an empty folder.

python tests/colab.py [--environment FOLDER] [NOTEBOOK ...]

Makes a virtual environment from tests/colab-requirements.txt (kept in --environment when given), then for each notebook: an
empty folder, a copy of the notebook, and a setup cell that clones from a bare repository of this checkout's last commit in
place of the public address. Prints a line a notebook; exit code 1 when one fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def environment(folder: Path) -> Path:
    """The interpreter of an environment with Colab's versions, made on first use."""
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(ROOT / "tests" / "colab-requirements.txt")], check=True)
    return python


def run(notebook: Path, python: Path, repository: Path) -> tuple[bool, float, str]:
    """Execute a copy of one notebook alone in an empty folder -> (it ran to the end, seconds, last line of the error)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(notebook, folder))
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("SRGAN_", "PYTHON"))}
        variables |= {"SRGAN_REPOSITORY": str(repository), "HOME": folder, "HF_HUB_OFFLINE": "1"}
        begun = time.monotonic()
        program = ("import nbformat, nbclient, sys; book = nbformat.read(sys.argv[1], 4); "
                   "nbclient.NotebookClient(book, timeout=900, kernel_name='python3').execute()")
        done = subprocess.run([str(python), "-c", program, copy.name], cwd=folder, env=variables, capture_output=True, text=True)
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
