"""Files that one process at a time may hold, until it lets go or dies, however it dies; and files that appear whole or not at all."""

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which keeps open files from being deleted by itself
    fcntl = None


def hold(path: str | Path, make: bool = True) -> int | None:
    """Take a file (made if there is none) or a folder for this process -> a handle for `os.close`, or None where another has it.

    make: without it what is missing stays so, FileNotFoundError. The operating system lets go when the process ends, so no lock
    outlives its owner. -1 where this place knows no locks.
    """
    if fcntl is None:
        return -1
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT * make, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # some network drives
        os.close(handle)
        return -1


def release(handle: int | None) -> None:
    """Let go of what `hold` gave."""
    if handle is not None and handle >= 0:
        os.close(handle)


def sweep(folder: Path, pattern: str) -> None:
    """Delete files of that name which no process holds: what a kill inside a write has left."""
    for path in folder.glob(pattern):
        remove(path)


def remove(path: Path) -> None:
    """Delete a file unless a process holds it."""
    try:
        handle = hold(path)
        if handle is not None:
            path.unlink(missing_ok=True)
            release(handle)
    except OSError:  # gone already, or not ours
        pass


SPOOL = 1 << 20  # bytes that wait in memory for a pipe or a device; more wait in a file
STREAMS = re.compile(r"/dev/std(?:in|(out)|(err))|(?:/dev|/proc/(?:self|%d))/fd/(\d{1,9})" % os.getpid())


def descriptor(path: str | Path) -> int | None:
    """The number of an open file of this process that a path names: -, /dev/stdout, /dev/fd/3, a link to one, the file behind `> FILE`.

    Such a one is written to where it stands. Opened anew under its name, a file would be written from its beginning, over
    what was printed before.
    """
    if str(path) == "-":
        return 1
    name = os.path.abspath(path)
    for _ in range(40):  # more links than these lead nowhere
        if found := STREAMS.fullmatch(name):
            return int(found[3] or (1 if found[1] else 2 if found[2] else 0))
        if not os.path.islink(name):
            break
        name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return next((number for number in (1, 2) if _is_open_as(number, name)), None)


def _is_open_as(number: int, name: str) -> bool:
    """Whether what is printed to this number goes into the regular file of that name."""
    try:
        here, there = os.fstat(number), os.stat(name)
        return stat.S_ISREG(there.st_mode) and os.path.samestat(here, there)
    except OSError:
        return False


def is_stream(path: str | Path) -> bool:
    """Whether a path names something that is written to as it is, and holds no earlier result: a device, a pipe, an open file."""
    return descriptor(path) is not None or os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _write_into(path: Path, write) -> None:
    """Write to what `is_stream`, behind what was printed so far; what fails half-way writes nothing."""
    number = descriptor(path)
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)) if number is None else _duplicate(number, path)
    with os.fdopen(handle, "wb") as out, tempfile.SpooledTemporaryFile(SPOOL) as whole:
        write(whole)
        whole.seek(0)
        if number is None:
            os.set_blocking(handle, True)  # it was opened without: a pipe that nobody reads is an error, and no wait for ever
        shutil.copyfileobj(whole, out)


def _duplicate(number: int, path: Path) -> int:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        if stream is not None and not stream.closed:
            stream.flush()
    try:
        return os.dup(number)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def atomic_write(path: str | Path, write) -> None:
    """Call `write(file)` on a temporary file beside `path` and rename it there once it is whole and on the disk.

    A link stays, and the file that it leads to is replaced; that file's rights stay too. What `is_stream` is written to
    as it is, behind what was printed. Temporary files of this name that a kill has left are removed.
    """
    path = Path(path)
    if is_stream(path):
        return _write_into(path, write)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.stat() if path.exists() else None
    path = Path(os.path.realpath(path))
    for name in orphans(path.parent):
        if name.startswith(f".{path.name[:20]}."):
            remove(path.parent / name)
    temporary, handle = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if there:
                os.chmod(temporary, stat.S_IMODE(there.st_mode))
            if os.name != "nt":
                os.replace(temporary, path)
        if os.name == "nt":  # where an open file has a name for good
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_place(path: str | Path) -> None:
    """Raise OSError for a file that could not be written, before minutes are spent on what belongs into it."""
    path = Path(path)
    if is_stream(path):
        return
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    real = Path(os.path.realpath(path))
    missing = [folder for folder in real.parents if not folder.exists()]
    real.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=real.parent):
            os.stat(path)  # the system's word on the length of a name
    except FileNotFoundError:
        pass
    finally:
        with suppress(OSError):  # another program may have put something there
            for folder in missing:  # who writes makes them again; who fails leaves none
                folder.rmdir()


def move(whole: Path, path: str | Path) -> None:
    """Give a finished file its final name as `atomic_write` would: through links, and into what `is_stream`."""
    try:
        if not is_stream(path):
            target = os.path.realpath(path)
            if os.path.exists(target):
                os.chmod(whole, stat.S_IMODE(os.stat(target).st_mode))
            return os.replace(whole, target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # the link leads to another disk
            raise
    with open(whole, "rb") as file:
        atomic_write(path, lambda out: shutil.copyfileobj(file, out))


@lru_cache(maxsize=100)
def orphans(folder: Path) -> list[str]:
    """Names of temporary files in a folder, as they were when this process first wrote there."""
    return [name for name in os.listdir(folder) if name.startswith(".") and name.endswith(".part")]


def _temporary(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, held by this process, and its descriptor."""
    while True:
        temporary = path.with_name(f".{path.name[:20]}.{secrets.token_hex(4)}.part")  # short: a name may have 255 bytes
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # the rights that the user wants for new files
        handle = hold(temporary)
        if handle == -1:  # no locks here
            return temporary, os.open(temporary, os.O_WRONLY)
        if handle is not None and temporary.exists():  # else somebody has swept it between the two
            return temporary, handle
        release(handle)
