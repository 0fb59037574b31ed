"""A file or folder that one process at a time may hold, until it lets go or dies, however it dies."""

import os
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
        try:
            handle = hold(path)
            if handle is not None:
                path.unlink(missing_ok=True)
                release(handle)
        except OSError:  # gone already, or not ours
            continue
