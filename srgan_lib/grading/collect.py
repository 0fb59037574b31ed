"""What was handed in: notebooks, scripts and archives in the folder layouts of Moodle and Canvas, each with its student.

Everything in a folder is accounted for: what is not graded is listed with a reason. Links are not followed, archives are
unpacked into a folder of our own, and only what grading reads.
"""

import csv
import hashlib
import json
import re
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from .submission import MOST_BYTES, GradingError

KINDS = (".ipynb", ".py")
MOST_MEMBERS = 2000
IGNORED = re.compile(r"(^|/)(\.ipynb_checkpoints|__MACOSX|\.git|\.DS_Store|__pycache__)(/|$)|/?\._")
MOODLE = re.compile(r"^(?P<name>.+)_(?P<id>\d+)_assignsubmission_(file|onlinetext)_?$")
CANVAS = re.compile(r"^(?P<name>[^_\W]+)_(?:LATE_)?(?P<id>\d+)_(?P<attempt>\d+)_(?P<file>.+)$")


@dataclass
class Collected:
    """files: {path to grade: student}; refused: [(path, reason)]; late: students whose file says so."""

    files: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    late: set[str] = field(default_factory=set)


def student_of(path: Path, root: Path) -> str:
    """Who handed a file in: Moodle's folder, Canvas's file name, else the file's name (or its folder, for shared names)."""
    for part in path.relative_to(root).parts[:-1] if path.is_relative_to(root) and path != root else ():
        if found := MOODLE.match(part):
            return found["id"]
    if found := CANVAS.match(path.name):
        return found["id"]
    return path.stem


def collect(names, unpacked: Path | None = None) -> Collected:
    """Everything below the named files and folders. Raises GradingError for a path that is not there, or holds nothing."""
    found = Collected()
    for name in map(Path, names):
        if name.is_dir():
            before = len(found.files) + len(found.refused)
            for path in sorted(name.rglob("*")):
                if not IGNORED.search(path.relative_to(name).as_posix()) and (path.is_symlink() or not path.is_dir()):
                    _one(found, path, name, unpacked)
            if before == len(found.files) + len(found.refused):
                raise GradingError(f"{name}: no notebooks in this folder")
        elif not name.exists():
            raise GradingError(f"{name}: no such file")
        else:
            _one(found, name, name.parent, unpacked, named=True)
    _same_student(found)
    return found


def _one(found: Collected, path: Path, root: Path, unpacked: Path | None, named: bool = False) -> None:
    """Take one file, or note why not."""
    reason = _reason(path, named)
    if reason:
        found.refused.append((str(path), reason))
    elif path.suffix.lower() == ".zip":
        _archive(found, path, root, unpacked)
    elif path.suffix.lower() in KINDS or named:
        found.files[str(path)] = student_of(path, root)
        if "_LATE_" in path.name:
            found.late.add(found.files[str(path)])
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
    return ""


def _archive(found: Collected, path: Path, root: Path, unpacked: Path | None) -> None:
    """Unpack the notebooks and scripts of an archive, under names of ours, within limits."""
    if unpacked is None:
        found.refused.append((str(path), "is an archive"))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not IGNORED.search(m.filename)]
            wanted = [m for m in members[:MOST_MEMBERS] if Path(m.filename).suffix.lower() in KINDS]
            if not wanted:
                found.refused.append((str(path), "holds no notebook or script"))
            for member in wanted:
                _member(found, archive, member, path, root, unpacked / hashlib.sha256(f"{path}/{member.filename}".encode("utf-8", "replace")).hexdigest()[:16])
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        found.refused.append((str(path), f"is an archive that cannot be read ({type(error).__name__})"))


def _member(found: Collected, archive, member, path: Path, root: Path, folder: Path) -> None:
    label = f"{path}: {member.filename[:200]}"
    if stat.S_ISLNK(member.external_attr >> 16):
        return found.refused.append((label, "is a link"))
    if member.file_size > MOST_BYTES:
        return found.refused.append((label, f"is larger than {MOST_BYTES >> 20} MB"))
    with archive.open(member) as source:
        data = source.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        return found.refused.append((label, f"is larger than {MOST_BYTES >> 20} MB"))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"submission{Path(member.filename).suffix.lower()}"
    target.write_bytes(data)
    owner = student_of(path, root)
    found.files[str(target)] = owner if owner != path.stem or "_" not in owner else path.stem
    return None


def _same_student(found: Collected) -> None:
    """Of several files of one student: the notebook before the script, then the latest attempt; the rest is listed."""
    by_student: dict[str, list[str]] = {}
    for path, student in found.files.items():
        by_student.setdefault(student, []).append(path)
    for student, paths in by_student.items():
        kinds = {Path(path).suffix.lower() for path in paths}
        moodle_or_canvas = student.isdigit() and len(paths) > 1
        if len(paths) > 1 and (moodle_or_canvas or kinds == set(KINDS)):
            paths.sort(key=lambda path: (Path(path).suffix.lower() == ".ipynb", [int(n) for n in re.findall(r"\d+", Path(path).name)][-3:], path))
            for path in paths[:-1]:
                found.refused.append((path, f"another file of {student} is graded: {Path(paths[-1]).name}"))
                del found.files[path]


def read_roster(file: Path) -> dict[str, str]:
    """{student id: name} of a CSV with the columns id and name (or email, user, student id, full name).

    Raises GradingError for a file without them.
    """
    try:
        rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GradingError(f"{file}: cannot be read as a roster ({error})") from None
    heads = {str(head).strip().lower(): head for head in (rows[0] if rows else {})}
    key = next((heads[h] for h in ("id", "student id", "student", "sid", "sis user id", "user", "username", "email") if h in heads), None)
    name = next((heads[h] for h in ("name", "full name", "student name") if h in heads), key)
    if key is None:
        raise GradingError(f"{file}: a roster has the columns id and name, with a line of headings")
    return {str(row[key]).strip(): str(row[name] or "").strip() for row in rows if row[key]}


def owner_in(roster: dict[str, str], student: str) -> str:
    """The roster's id for what a file is called: the id itself, or a name that begins or ends with it."""
    if student in roster:
        return student
    plain = {re.sub(r"\W+", "", name).casefold(): key for key, name in roster.items()}
    folded = re.sub(r"\W+", "", student).casefold()
    return plain.get(folded) or next((key for key in roster if re.search(rf"(?<![0-9A-Za-z]){re.escape(key)}(?![0-9A-Za-z])", student)), student)


def listing(found: Collected, roster: dict[str, str]) -> str:
    """What is not graded and who is missing, a line each."""
    lines = [f"not graded: {path} {reason}" for path, reason in found.refused]
    here = {owner_in(roster, student) for student in found.files.values()}
    lines += [f"nothing from: {key} {name}" for key, name in roster.items() if key not in here]
    lines += [f"not in the roster: {student}" for student in sorted(here) if roster and student not in roster]
    return json.dumps("\n".join(lines), ensure_ascii=False)[1:-1].replace("\\n", "\n").replace('\\"', '"')
