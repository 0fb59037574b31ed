"""The files below a folder as people have them: which belong to a system, what is left out, and why."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

SYSTEM_FOLDERS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "__pycache__", "lost+found"}
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


def is_hidden(*names: str) -> bool:
    """Whether one of these names of folders and files is hidden or belongs to a system: .DS_Store, @eaDir, __MACOSX, ..."""
    names = [name.lower() for name in names]
    return any(name.strip(".") and name.startswith(".") or name in SYSTEM_FOLDERS or name in SYSTEM_FILES for name in names)


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder. Links to folders are followed behind all real ones, and no folder is gone through twice.

    Of a hidden folder the files are listed too, but no link in it is followed. A folder that cannot be read is listed itself.
    """
    seen, starts, closed = set(), [Path(folder)], []
    for start in starts:  # grows by the links that are met
        for place, folders, files in os.walk(start, onerror=lambda error: closed.append(Path(error.filename))):
            if real(place) in seen:
                folders.clear()
                continue
            seen.add(real(place))
            yield from (Path(place, name) for name in files)
            for name in filter(is_hidden, folders):
                yield from (Path(inside, file) for inside, _, found in os.walk(Path(place, name)) for file in found)
            folders[:] = sorted(name for name in folders if not is_hidden(name))  # the same order, and so the same names, on every system
            starts += [Path(place, name) for name in folders if os.path.islink(Path(place, name))]
    yield from closed


def real(path: str | Path) -> str:
    """Where a path leads to; the path itself where the system does not say."""
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.abspath(path)


def sorted_out(folder: Path, wanted: Callable[[Path], bool], what: str, apart: Path | None = None) -> tuple[list[Path], Counter]:
    """-> (the wanted files below a folder, sorted; how many others there are, by reason).

    what: the kind that is wanted, in words; apart: a folder in it that is passed over.
    """
    found, left_out = [], Counter()
    for file in sorted(walk(folder)):
        if apart in Path(real(file)).parents:
            continue
        reason = reason_against(file, folder, wanted, what)
        if reason is None:
            found.append(file)
        else:
            left_out[reason] += 1
    return found, left_out


def reason_against(file: Path, root: Path, wanted: Callable[[Path], bool], what: str) -> str | None:
    """Why a file below `root` is left out, or None."""
    if is_hidden(*file.relative_to(root).parts):
        return "hidden or of the system"
    if os.path.isdir(file):
        return "folder that cannot be read"
    if not os.path.exists(file):
        return "dead link"
    if not os.path.isfile(file):
        return "no ordinary file"
    return None if wanted(file) else no_kind(file.name, what)


def no_kind(name: str, what: str) -> str:
    return f"no {what}: {Path(name).suffix.lower() or 'without suffix'}"


def counted(left_out: Counter) -> str:
    """"left out: 3 files (no image: 2 .txt, 1 .db; 1 hidden or of the system)"."""
    groups: dict[str, list[str]] = {}
    for reason, count in sorted(left_out.items()):
        head, _, kind = reason.partition(": ")
        groups.setdefault(head if kind else "", []).append(f"{count} {kind or head}")
    plain = groups.pop("", [])
    parts = [f"{head}: {', '.join(kinds)}" for head, kinds in groups.items()] + plain
    total = sum(left_out.values())
    return f"left out: {total} {'file' if total == 1 else 'files'} ({'; '.join(parts)})"
