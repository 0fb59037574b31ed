"""Pictures in folders, and a key that changes when one of them does."""

import hashlib
from pathlib import Path

from ..errors import DataError
from ..formats.folders import counted, sorted_out
from ..formats.known import is_picture
from .pairs import ground_truth, size_in


def pictures_below(folder: Path, limit: int | None, sort_out: bool = True):
    """Pictures below a folder, in linked folders too, but not in what a system or a notebook server keeps there for itself.

    How many other files there are, is said.
    """
    files, left_out = sorted_out(folder, is_picture, "image")
    if not files:
        raise DataError(f"{folder}: no pictures in this folder{f' ({counted(left_out)})' if left_out else ''}")
    if left_out:
        print(f"note: {folder}: {counted(left_out)}")
    found = {file.relative_to(folder).as_posix(): file for file in files}
    names = sorted(ground_truth([*found], lambda name: size_in(found[name]), str(folder)) if sort_out else found)[:limit]
    looked_at = {*names[::max(len(names) // 2000, 1)]}
    stamp = hashlib.sha256()
    for name in names:
        stat = found[name].stat()
        stamp.update(f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{sample_of(found[name]) if name in looked_at else ''}".encode(errors="surrogateescape"))
    return f"{folder.resolve()}:{len(names)}:{stamp.hexdigest()}", len(names), lambda: ((name, found[name]) for name in names)


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
