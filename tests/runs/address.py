"""Carry the repository's public address from pyproject.toml to the badges, the README and the setup cells.

python tests/runs/address.py          rewrites them after pyproject.toml was changed
python tests/runs/address.py --check  says which file differs, exit code 1
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def address() -> str:
    """OWNER/NAME of [project.urls] Repository."""
    url = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    return "/".join(url.rstrip("/").split("/")[-2:])


def places() -> list[Path]:
    """The files that name the address."""
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "tests" / "setup_cell.py.txt", *sorted(ROOT.glob("notebooks/**/*.ipynb")),
            *sorted(ROOT.glob("notebooks/**/*.md"))]


def stored() -> str:
    """The address that the setup cell carries now."""
    match = re.search(r"https://github\.com/([\w.-]+/[\w.-]+)\"", (ROOT / "tests" / "setup_cell.py.txt").read_text())
    return match[1]


def main(check: bool) -> int:
    old, new, stale = stored(), address(), []
    for path in places():
        text = path.read_text()
        if old != new and old in text:
            stale.append(path)
            if not check:
                path.write_text(text.replace(old, new))
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'names' if check else 'was'} {old}, {'should name' if check else 'now'} {new}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
