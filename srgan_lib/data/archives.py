"""Pictures inside zip and tar archives from strangers: read in memory, nothing is ever unpacked to disk."""

import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from ..formats.folders import counted, is_hidden, no_kind
from ..images import SUFFIXES
from .pairs import ground_truth, size_in

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


def _pictures(members: dict[str, int], label: str) -> list[str]:
    """The names that are pictures', of {name: bytes}; how many others there are, is said. Raises DataError."""
    found, left_out = [], Counter()
    for name, size in members.items():
        if is_hidden(*Path(name).parts):
            left_out["hidden or of the system"] += 1
        elif Path(name).suffix.lower() not in SUFFIXES:
            left_out[no_kind(name, "image")] += 1
        elif size > MEMBER_LIMIT:
            raise DataError(f"{label}: {name} unpacks to {size / 1e6:.0f} MB, over the limit of {MEMBER_LIMIT / 1e6:.0f} MB a picture")
        else:
            found.append(name)
    if not found:
        raise DataError(f"{label}: no pictures in this archive{f' ({counted(left_out)})' if left_out else ''}")
    if left_out:
        print(f"note: {label}: {counted(left_out)}")
    return found


def zip_members(stream, label: str, limit: int | None, sort_out: bool = True) -> Iterator[tuple[str, bytes]]:
    """Pictures of a zip from anything that reads and seeks; only the directory and the members taken are read."""
    with zipfile.ZipFile(stream) as archive:
        members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
        for name in _chosen(members, lambda name: members[name].file_size, lambda name: archive.read(members[name]), label, sort_out)[:limit]:
            yield name, archive.read(members[name])


def _chosen(members: dict, size_of, read, label: str, sort_out: bool) -> list[str]:
    names = _pictures({name: size_of(name) for name in members}, label)
    return sorted(ground_truth(names, lambda name: size_in(read(name)), label) if sort_out else names)


def _tar_members(path: Path, label: str, limit: int | None, sort_out: bool = True) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive.getmembers() if member.isfile()}
        for name in _chosen(members, lambda name: members[name].size, lambda name: archive.extractfile(members[name]).read(), label, sort_out)[:limit]:
            yield name, archive.extractfile(members[name]).read()
