"""What made a result, so that a folder upscaled again with another model, scale or option is computed again, and nothing else.

A PNG carries its key in a text; the keys of all other results stand in a hidden file beside them.
"""

import hashlib
import json
import os
from pathlib import Path

from PIL import Image

from ..formats.metadata import RECORD

BESIDE = ".srgan-results.jsonl"


def key_of(source: str, maker: str, options) -> str | None:
    """A key of the source as it is now and of what will be done with it; None where there is no such file."""
    try:
        stat = os.stat(source)
    except OSError:
        return None
    made = [os.path.basename(source), stat.st_size, stat.st_mtime_ns, maker, str(options)]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:32]


def is_done(target: str, key: str | None) -> bool:
    """Whether a result is there that was made with this key. Writing is atomic, so what exists is whole."""
    path = Path(target)
    if key is None:
        return False
    entry = _beside(path.parent).get(path.name, {})
    if entry.get("key") == key:
        return all((path.parent / name).is_file() for name in entry.get("files", [path.name]))
    return path.suffix.lower() == ".png" and path.is_file() and _in_png(path) == key


def _in_png(path: Path) -> str | None:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get(RECORD)
    except Exception:  # not a PNG, or broken: not ours
        return None


def _beside(folder: Path) -> dict[str, dict]:
    """{name of a result: {"key": ..., "files": [...]}}; of several lines for a name the last counts, and half a line for nothing."""
    found = {}
    try:
        for line in (folder / BESIDE).read_text("utf-8", "replace").splitlines():
            try:
                entry = json.loads(line)
                found[entry["name"]] = entry
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
    except OSError:
        pass
    return found


def remember(target: str, key: str | None, files: list[str] | None = None) -> None:
    """Add a line beside the result; files: the names of all its pages where it is not one file."""
    if key is not None:
        entry = {"name": Path(target).name, "key": key, **({"files": files} if files else {})}
        with open(Path(target).parent / BESIDE, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
