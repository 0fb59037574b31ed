"""Every link of the texts and notebooks: files must be there, headings too, and addresses must answer.

python tests/runs/links.py            files and headings, without a network
python tests/runs/links.py --online   addresses too, each asked for once; exit code 1 when one is gone
"""

import json
import re
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")
UNKNOWN = ("github.com/OWNER/", "127.0.0.1", "localhost")  # the address that pyproject.toml leaves open, and this machine
BUSY = (401, 403, 405, 406, 429, 999)  # answers of servers that are there and do not like programs


def texts() -> dict[Path, str]:
    """Each Markdown file and each notebook's Markdown."""
    found = {path: path.read_text("utf-8") for pattern in ("*.md", "docs/*.md", "tests/*.md", "notebooks/**/*.md", "srgan_lib/weights/**/*.md")
             for path in sorted(ROOT.glob(pattern))}
    for path in sorted(ROOT.glob("notebooks/**/*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        found[path] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return found


def links(text: str) -> list[str]:
    """The targets of a text's links, code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    return [target for pair in LINK.findall(text) for target in pair if target]


def broken_files(found: dict[Path, str]) -> list[str]:
    """One line for each link to a file or heading that is not there."""
    wrong = []
    for path, text in found.items():
        for link in links(text):
            target, _, heading = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            place = path.parent / target if target else path
            if not place.exists():
                wrong.append(f"{path.relative_to(ROOT)}: {link} is not there")
            elif heading and place.suffix == ".md" and heading not in anchors(place.read_text("utf-8")):
                wrong.append(f"{path.relative_to(ROOT)}: {link} names no heading")
    return wrong


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to a text's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)}


def gone(address: str) -> str | None:
    """Why an address does not answer; None where it does."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=30):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code in BUSY else f"answers {error.code}"
    except (OSError, ValueError) as error:
        return f"does not answer ({error})"


def main(online: bool) -> int:
    found = texts()
    wrong = broken_files(found)
    if online:
        addresses = sorted({link.partition("#")[0] for text in found.values() for link in links(text) if link.startswith("http")})
        addresses = [address for address in addresses if not any(part in address for part in UNKNOWN)]
        with ThreadPoolExecutor(8) as pool:
            wrong += [f"{address}: {why}" for address, why in zip(addresses, pool.map(gone, addresses)) if why]
    print("\n".join(wrong) or "every link leads somewhere")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main("--online" in sys.argv))
