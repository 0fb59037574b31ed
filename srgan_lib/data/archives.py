"""Pictures inside zip and tar archives from strangers: read in memory, nothing is ever unpacked to disk."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from ..images import SUFFIXES
from .pairs import ground_truth, size_in

SYSTEM = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")  # folders that are nobody's pictures
MEMBER_LIMIT = 200_000_000  # bytes of one picture, unpacked


def pictures_in(path: Path, label: str, limit: int | None, sort_out: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yield (member name, bytes) of the first `limit` pictures by name. Raises DataError, which names `label`.

    No member is written anywhere, so none can leave a folder; links and devices are passed over.
    """
    try:
        if zipfile.is_zipfile(path):
            with open(path, "rb") as stream:
                yield from zip_members(stream, label, limit, sort_out)
        elif tarfile.is_tarfile(path):
            yield from _tar_members(path, label, limit, sort_out)
        else:
            raise DataError(f"{label}: neither a folder nor a zip or tar archive of pictures")
    except DataError:
        raise
    except Exception as error:  # the unpackers' own types: zlib.error, LZMAError, BadZipFile, TarError, EOFError ...
        raise DataError(f"{label}: broken archive ({str(error)[:120]})") from None


def _wanted(name: str, size: int, label: str) -> bool:
    path = Path(name)
    if path.suffix.lower() not in SUFFIXES or any((part[0] == "." and part != "..") or part in SYSTEM for part in path.parts):
        return False
    if size > MEMBER_LIMIT:
        raise DataError(f"{label}: {name} unpacks to {size / 1e6:.0f} MB, over the limit of {MEMBER_LIMIT / 1e6:.0f} MB a picture")
    return True


def zip_members(stream, label: str, limit: int | None, sort_out: bool = True) -> Iterator[tuple[str, bytes]]:
    """Pictures of a zip from anything that reads and seeks; only the directory and the members taken are read."""
    with zipfile.ZipFile(stream) as archive:
        members = {m.filename: m for m in archive.infolist() if _wanted(m.filename, m.file_size, label)}
        for name in _chosen([*members], lambda name: archive.read(members[name]), label, sort_out)[:limit]:
            yield name, archive.read(members[name])


def _chosen(names: list[str], read, label: str, sort_out: bool) -> list[str]:
    if not names:
        raise DataError(f"{label}: no pictures in this archive")
    return sorted(ground_truth(names, lambda name: size_in(read(name)), label) if sort_out else names)


def _tar_members(path: Path, label: str, limit: int | None, sort_out: bool = True) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        members = {m.name: m for m in archive.getmembers() if m.isfile() and _wanted(m.name, m.size, label)}
        for name in _chosen([*members], lambda name: archive.extractfile(members[name]).read(), label, sort_out)[:limit]:
            yield name, archive.extractfile(members[name]).read()
