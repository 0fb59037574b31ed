"""Where the page keeps uploads and results: swept by a thread, deleted at its end, and at the next start where that end was a kill."""

import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..locks import hold, release

KEPT_SECONDS = 600   # then a picture is forgotten and its result deleted
PREFIX, DAY = "srgan-demo-", 86_400  # of the folders; seconds after which one is old where no lock can be had


@lru_cache(maxsize=1)
def temporary_folder() -> Path:
    """Where this process keeps uploads and results: swept by a thread, deleted when the process ends. gradio is told."""
    remove_orphans(Path(tempfile.gettempdir()))
    folder = held_folder()
    os.environ["GRADIO_TEMP_DIR"] = folder.name

    def sweep_now_and_then():
        while True:
            time.sleep(min(30, KEPT_SECONDS / 2))
            sweep(Path(folder.name), KEPT_SECONDS)

    threading.Thread(target=sweep_now_and_then, daemon=True).start()
    return Path(folder.name)


def held_folder() -> tempfile.TemporaryDirectory:
    """A new folder that this process holds until it ends, however it ends. A page that starts just now may sweep it before it is held."""
    while True:
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        with suppress(FileNotFoundError):
            handle = hold(folder.name, make=False)
            if handle is not None and os.path.isdir(folder.name):
                return folder
            release(handle)
        folder.cleanup()


def remove_orphans(folder: Path) -> None:
    """Delete what killed pages of this user have left: their folders, which no living process holds."""
    for path in folder.glob(f"{PREFIX}*"):
        try:
            if path.is_symlink() or not path.is_dir() or (hasattr(os, "getuid") and path.stat().st_uid != os.getuid()):
                continue
            handle = hold(path, make=False)
            if handle is not None and (handle >= 0 or time.time() - path.stat().st_mtime > DAY):
                shutil.rmtree(path, ignore_errors=True)
            release(handle)
        except OSError:  # gone already
            continue


def sweep(folder: Path, seconds: float) -> None:
    """Delete files, and folders that are empty, in which nothing has changed for so long."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before it
        try:
            if time.time() - path.stat().st_ctime > seconds:
                path.rmdir() if path.is_dir() else path.unlink()
        except OSError:  # not empty, or gone already
            continue


def shortened(name: str, ending: str) -> str:
    """name + ending in at most 255 bytes, which every file system takes."""
    while len(os.fsencode(name + ending)) > 255:
        name = name[:-1]
    return name + ending
