"""Archives from students and from learning platforms: only what grading reads comes out, under names of ours, within limits."""

import hashlib
import io
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from .submission import MOST_BYTES, is_script

MOST_MEMBERS, MOST_UNPACKED, DEEPEST = 5000, 2 << 30, 2


@dataclass
class Unpacked:
    """files: [(parts of the name inside, path outside)]; refused: [(what, reason)]."""

    files: list[tuple[tuple[str, ...], Path]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    left: int = MOST_UNPACKED


def unpack(path: Path, folder: Path, wanted, ignored) -> Unpacked:
    """Take out the members for which wanted(name), those of archives inside as well; `ignored` names leave no trace.

    Nothing is written outside `folder`: each file gets a name that is made from a checksum of its own.
    """
    found = Unpacked()
    try:
        _archive(found, path.open("rb"), str(path), (), folder, wanted, ignored)
    except OSError as error:
        found.refused.append((str(path), f"cannot be read ({error.strerror})"))
    return found


def _archive(found: Unpacked, file, label: str, parts: tuple, folder: Path, wanted, ignored) -> None:
    try:
        archive = zipfile.ZipFile(file)
        members = [m for m in archive.infolist() if not m.is_dir() and not ignored(m.filename)]
    except Exception as error:  # a stranger's bytes
        found.refused.append((label, f"is an archive that cannot be read ({type(error).__name__})"))
        return
    before, others = len(found.files) + len(found.refused), 0
    for number, member in enumerate(members):
        name = member.filename.replace("\\", "/")
        if number >= MOST_MEMBERS:
            found.refused.append((label, f"holds {len(members):,} files; {MOST_MEMBERS:,} are read"))
            break
        if wanted(name) or name.lower().endswith(".zip"):
            _member(found, archive, member, f"{label}: {name[:200]}", (*parts, *_parts(name)), folder, wanted, ignored)
        else:
            others += 1
    if others:
        found.refused.append((label, f"holds {others} other file{'s' * (others > 1)}, no notebook or script"))
    elif before == len(found.files) + len(found.refused):
        found.refused.append((label, "holds no notebook or script"))


def _member(found: Unpacked, archive, member, label: str, parts: tuple, folder: Path, wanted, ignored) -> None:
    reason, data = _read(found, archive, member)
    if reason:
        found.refused.append((label, reason))
    elif not parts[-1].lower().endswith(".zip"):
        place = folder / hashlib.sha256(label.encode("utf-8", "replace")).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        target = place / ("submission.py" if is_script(parts[-1]) else "submission.ipynb")
        target.write_bytes(data)
        found.files.append((parts, target))
    elif len(label.split(".zip: ")) > DEEPEST:
        found.refused.append((label, "is an archive in an archive in an archive"))
    else:
        _archive(found, io.BytesIO(data), label, parts, folder, wanted, ignored)


def _read(found: Unpacked, archive, member) -> tuple[str, bytes]:
    """(why not, bytes) of one member."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link", b""
    most = min(MOST_BYTES, found.left)
    try:
        with archive.open(member) as source:
            data = source.read(most + 1)
    except Exception as error:  # a damaged or encrypted member, or a method that Python does not know
        return ("is protected by a password" if "encrypted" in str(error) else f"cannot be unpacked ({type(error).__name__})"), b""
    if len(data) > most:
        return f"is larger than {MOST_BYTES >> 20} MB, or all files together than {MOST_UNPACKED >> 30} GB", b""
    found.left -= len(data)
    return "", data


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", ".", ".."))
