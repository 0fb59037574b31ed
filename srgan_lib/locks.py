"""Files that one process at a time may hold, until it lets go or dies, however it dies; and files that appear whole or not at all."""

import os
import secrets
import stat
from functools import lru_cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which keeps open files from being deleted by itself
    fcntl = None


def hold(path: str | Path) -> int | None:
    """Take a file (made if there is none) or a folder for this process -> a handle for `os.close`, or None where another has it.

    The operating system lets go when the process ends, so no lock outlives its owner. -1 where this place knows no locks.
    """
    if fcntl is None:
        return -1
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT, 0o644)
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


def atomic_write(path: str | Path, write) -> None:
    """Call `write(file)` on a temporary file beside `path` and rename it there once it is whole and on the disk.

    A link stays, and the file that it leads to is replaced; that file's rights stay too. What is no file (a device, a pipe)
    is written to as it is. Temporary files of this name that a kill has left are removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.stat() if path.exists() else None
    if there and not stat.S_ISREG(there.st_mode) or str(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe that nobody reads is an error, and no wait for ever
        os.set_blocking(handle, True)
        with os.fdopen(handle, "wb") as file:
            return write(file)
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
