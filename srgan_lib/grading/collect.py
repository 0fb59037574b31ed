"""What was handed in: notebooks, scripts and archives in the folder layouts of Moodle and Canvas, each with its student.

Everything in a folder is accounted for: what is not graded is listed with a reason. Links are not followed, archives are
unpacked into a folder of our own, and only what grading reads.
"""

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from .submission import GradingError
from .unpack import unpack

KINDS = re.compile(r"\.(ipynb|py)(\.(txt|json))?$", re.I)  # some browsers put .txt or .json behind the name
OTHER_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz")
IGNORED = re.compile(r"(^|/)(\.ipynb_checkpoints|__MACOSX|\.git|__pycache__)/|(^|/)(\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)$")
# Moodle, "Download all submissions": NAME_NUMBER_assignsubmission_file_ as a folder, or in front of the file's own name.
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(file|onlinetext)_?(?P<file>.*)$")
# Canvas, "Download Submissions": NAME_[LATE_]USER_FILE_original name.
CANVAS = re.compile(r"^(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_(?P<attempt>\d{3,})_(?P<file>.+)$")


@dataclass
class Handed:
    """One file to grade. label: who, as far as the file says; names: what else may tell; source: where it came from.

    moodle, canvas: the platform's number for the student; attempt: of several files, the larger is the later.
    """

    path: str
    label: str
    source: str
    names: tuple[str, ...] = ()
    moodle: str = ""
    canvas: str = ""
    late: bool = False
    attempt: int = 0
    parts: tuple[str, ...] = ()


@dataclass
class Collected:
    """files: {path to grade: Handed}; refused: [(what, reason)]."""

    files: dict[str, Handed] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)


def identify(path: str, parts: tuple[str, ...], source: str) -> Handed:
    """Who handed a file in: Moodle's folder, Canvas's file name, else the file's own name."""
    stem = KINDS.sub("", parts[-1])
    for part in parts:
        if found := MOODLE.match(part):
            names = () if found["name"].lower().startswith("participant") else (found["name"],)
            return Handed(path, found["id"], source, names, moodle=found["id"], parts=parts)
    if found := CANVAS.match(parts[-1]):
        return Handed(path, found["id"], source, (found["name"],), canvas=found["id"], late=bool(found["late"]), attempt=int(found["attempt"]), parts=parts)
    return Handed(path, stem, source, parts=parts)


def collect(names, unpacked: Path | None = None) -> Collected:
    """Everything below the named files and folders. Raises GradingError for a path that is not there, or holds nothing."""
    found = Collected()
    for name in map(Path, names):
        if name.is_dir():
            before = len(found.files) + len(found.refused)
            for path in sorted(name.rglob("*")):
                if not IGNORED.search(path.relative_to(name).as_posix()) and (path.is_symlink() or not path.is_dir()):
                    _one(found, path, path.relative_to(name).parts, unpacked)
            if before == len(found.files) + len(found.refused):
                raise GradingError(f"{name}: no notebooks in this folder")
        elif not name.exists():
            raise GradingError(f"{name}: no such file")
        else:
            _one(found, name, name.parts[-2:], unpacked, named=True)
    _folders(found)
    return found


def _one(found: Collected, path: Path, parts: tuple[str, ...], unpacked: Path | None, named: bool = False) -> None:
    """Take one file, or note why not."""
    if reason := _reason(path, named):
        found.refused.append((str(path), reason))
    elif path.suffix.lower() == ".zip":
        _archive(found, path, parts, unpacked)
    elif KINDS.search(path.name) or named:
        found.files[str(path)] = identify(str(path), parts, str(path))
    else:
        found.refused.append((str(path), f"is no notebook, script or archive ({path.suffix or 'no ending'})"))


def _reason(path: Path, named: bool) -> str:
    try:
        if path.is_symlink() and not named:
            return "is a link: hand in the file itself" if path.exists() else "is a link to nowhere"
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(mode):
        return "is no plain file (a pipe, a socket or a device)"
    if path.suffix.lower() in OTHER_ARCHIVES:
        return f"is an archive that is not unpacked ({path.suffix}); hand in the notebook, or a .zip"
    return ""


def _archive(found: Collected, path: Path, parts: tuple[str, ...], unpacked: Path | None) -> None:
    """One student's archive, or a platform's download of the whole class."""
    if unpacked is None:
        found.refused.append((str(path), "is an archive"))
        return
    inside = unpack(path, unpacked, lambda name: bool(KINDS.search(name)), lambda name: bool(IGNORED.search(name)))
    found.refused += inside.refused
    whose = identify(str(path), parts[:-1] + (path.stem,), str(path))
    for names, target in inside.files:
        source = f"{path}: {'/'.join(names)}"
        own = identify(str(target), (*parts[:-1], path.stem, *names), source)
        if not (own.moodle or own.canvas) and not _is_class(inside.files):
            own = Handed(str(target), whose.label, source, (*whose.names, own.label), whose.moodle, whose.canvas, whose.late, whose.attempt, whose.parts)
        found.files[str(target)] = own


def _is_class(files: list) -> bool:
    """Whether an archive holds several folders, each with a notebook of the same name: a class, not one student."""
    shared = [names[-1].lower() for names, _ in files if len(names) > 1 and names[-1].lower().endswith(".ipynb")]
    return len(shared) > len(set(shared))


def _folders(found: Collected) -> None:
    """Files of the same name in several folders are named after these, where no platform has named them."""
    shared: dict[str, list[Handed]] = {}
    for handed in found.files.values():
        if not handed.moodle and not handed.canvas:
            shared.setdefault(handed.label, []).append(handed)
    for label, same in shared.items():
        folders = {handed.parts[:-1] for handed in same}
        if len(folders) < 2:
            continue
        depth = next((i for i in range(max(map(len, folders))) if len({folder[i:i + 1] for folder in folders}) > 1), 0)
        alone = all(sum(other.parts[:-1] == folder for other in found.files.values()) == 1 for folder in folders)
        for handed in same:
            folder = "/".join(handed.parts[depth:-1])
            handed.label, handed.names = (folder if alone and folder else f"{folder}/{label}".strip("/")), (*handed.names, *handed.parts[depth:-1], label)
