"""The suite once with every lower bound of pyproject.toml installed.

python tests/runs/bounds.py                      makes an environment, installs the bounds, runs pytest; prints what was installed
python tests/runs/bounds.py --keep FOLDER tests/apps/test_export.py      the environment stays in FOLDER; only these tests

Each `name>=version` becomes `name==version`, extras included but one: pyiqa (`metrics`) wants a newer huggingface_hub than our bound. A bound that pip cannot install, or with which a test fails, is
too low: raise it to what passes.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
APART = ("metrics",)
TOOLS = ("pytest", "nbval", "ipykernel")  # of the tests alone: no bound is stated for them


def bounds(project: dict) -> list[str]:
    """The requirements of a [project] table and of its extras, each at its lower bound."""
    rows = [*project["dependencies"], *(row for name, extra in project.get("optional-dependencies", {}).items() if name not in APART for row in extra)]
    return [re.sub(r">=\s*([^,;\s]+)[^;]*", r"==\1", row) for row in rows]


def run(folder: Path, tests: list[str]) -> int:
    """Make the environment, say what it holds, run the tests in it -> pytest's exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *bounds(project), *TOOLS], check=True)
    subprocess.run([python, "-m", "pip", "list"], check=True)
    return subprocess.run([python, "-m", "pytest", *tests], cwd=ROOT).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder of the environment (default: one that is deleted)")
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args()
    if arguments.keep:
        return run(arguments.keep, arguments.tests)
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), arguments.tests)


if __name__ == "__main__":
    sys.exit(main())
