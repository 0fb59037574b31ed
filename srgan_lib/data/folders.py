"""Pictures in folders, and a key that changes when one of them does."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from ..images import SUFFIXES
from .archives import SYSTEM
from .pairs import ground_truth, size_in


def pictures_below(folder: Path, limit: int | None, sort_out: bool = True):
    """Pictures below a folder, in linked folders too, but not in what a system or a notebook server keeps there for itself."""
    found = {name: folder / name for name in walk(folder) if Path(name).suffix.lower() in SUFFIXES}
    names = sorted(ground_truth([*found], lambda name: size_in(found[name]), str(folder)) if sort_out else found)[:limit]
    if not names:
        raise DataError(f"{folder}: no pictures in this folder ({', '.join(SUFFIXES)} are looked for)")
    looked_at = {*names[::max(len(names) // 2000, 1)]}
    stamp = hashlib.sha256()
    for name in names:
        stat = found[name].stat()
        stamp.update(f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{sample_of(found[name]) if name in looked_at else ''}".encode(errors="surrogateescape"))
    return f"{folder.resolve()}:{len(names)}:{stamp.hexdigest()}", len(names), lambda: ((name, found[name]) for name in names)


def walk(folder: Path) -> Iterator[str]:
    """Names of the files below a folder, with / between their parts; each folder once, wherever links lead."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(name for name in folders if real not in seen and name[0] != "." and name not in SYSTEM)
        if real not in seen:
            seen.add(real)
            yield from (path.relative_to(folder).as_posix() for name in files if name[0] != "." and (path := Path(place, name)).is_file())


def sample_of(path: Path, blocks: int = 3) -> str:
    """A short hash of a few blocks of a file, evenly spaced: it tells one file from another of the same size and time."""
    found, size = hashlib.sha256(), path.stat().st_size
    try:
        with open(path, "rb") as file:
            for number in range(blocks):
                file.seek((size - 2048) * number // (blocks - 1) if size > 2048 else 0)
                found.update(file.read(2048))
    except OSError as error:
        return f"unreadable ({error.errno})"
    return found.hexdigest()[:16]
