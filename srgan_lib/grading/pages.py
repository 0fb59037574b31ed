"""Memory in large pages, so that a fork is cheap: it copies the table of pages, and torch fills a hundred thousand small ones.

A page of 2 MB takes the place of 512 of 4 KB. Most of what a fork and its end cost goes with them.
"""

import ctypes
from pathlib import Path

LARGE = 2 << 20
COLLAPSE = 25  # MADV_COLLAPSE in linux/mman.h, since Linux 6.1; an older kernel refuses, and forks as before


def collapse() -> None:
    """Let the kernel join this process's private memory into large pages, where it can."""
    libc = ctypes.CDLL(None)
    for start, end in _private(Path("/proc/self/maps").read_text()):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), COLLAPSE)


def _private(maps: str) -> list[tuple[int, int]]:
    """The whole large pages inside memory that belongs to no file: [(start, end)]."""
    found = []
    for line in maps.splitlines():
        addresses, rights, _, _, _, *name = line.split(maxsplit=5)
        if rights == "rw-p" and name in ([], ["[heap]"]):
            start, end = (int(number, 16) for number in addresses.split("-"))
            found.append((-(-start // LARGE) * LARGE, end // LARGE * LARGE))
    return [(start, end) for start, end in found if end > start]
