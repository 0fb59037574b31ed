"""Pictures inside zip and tar archives from strangers: read in memory, nothing is ever unpacked to disk."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from ..images import SUFFIXES

MEMBER_LIMIT = 200_000_000  # bytes of one picture, unpacked


def pictures_in(path: Path, label: str, limit: int | None) -> Iterator[tuple[str, bytes]]:
    """Yield (member name, bytes) of the first `limit` pictures by name. Raises DataError, which names `label`.

    No member is written anywhere, so none can leave a folder; links and devices are passed over.
    """
    try:
        if zipfile.is_zipfile(path):
            with open(path, "rb") as stream:
                yield from zip_members(stream, label, limit)
        elif tarfile.is_tarfile(path):
            yield from _tar_members(path, label, limit)
        else:
            raise DataError(f"{label}: neither a folder nor a zip or tar archive of pictures")
    except DataError:
        raise
    except Exception as error:  # the unpackers' own types: zlib.error, LZMAError, BadZipFile, TarError, EOFError ...
        raise DataError(f"{label}: broken archive ({str(error)[:120]})") from None


def _wanted(name: str, size: int, label: str) -> bool:
    path = Path(name)
    if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or "__MACOSX" in path.parts:
        return False
    if size > MEMBER_LIMIT:
        raise DataError(f"{label}: {name} unpacks to {size / 1e6:.0f} MB, over the limit of {MEMBER_LIMIT / 1e6:.0f} MB a picture")
    return True


def zip_members(stream, label: str, limit: int | None) -> Iterator[tuple[str, bytes]]:
    """Pictures of a zip from anything that reads and seeks; only the directory and the members taken are read."""
    with zipfile.ZipFile(stream) as archive:
        members = sorted((m for m in archive.infolist() if _wanted(m.filename, m.file_size, label)), key=lambda m: m.filename)
        if not members:
            raise DataError(f"{label}: no pictures in this archive")
        for member in members[:limit]:
            yield member.filename, archive.read(member)


def _tar_members(path: Path, label: str, limit: int | None) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        members = sorted((m for m in archive.getmembers() if m.isfile() and _wanted(m.name, m.size, label)), key=lambda m: m.name)
        if not members:
            raise DataError(f"{label}: no pictures in this archive")
        for member in members[:limit]:
            yield member.name, archive.extractfile(member).read()
