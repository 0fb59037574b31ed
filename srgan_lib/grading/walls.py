"""The walls around a session: a root file system of its own, and what the C library is asked for to build it."""

import ctypes
import os
import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parents[2]
ANSWERS = ("srgan_lib/models/networks.py", "notebooks", "tests", ".git")  # what a session must not find
SCRATCH = "/scratch"    # the only folder that a session can write to
NEW_MOUNTS = 0x20000
READ_ALL, READ_AND_WRITE_ALL = 1 << 2, 1 << 1  # CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE
NO_SUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE, DETACH = 2, 4, 0x1000, 0x4000, 0x40000, 2
# System calls that the C library has no function for, or not everywhere.
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR, HERE, WHOLE_TREE, READ_ONLY = 442, -100, 0x8000, 1


def build(home: str) -> None:
    """A root file system of our own on `home`: the installation read-only, and SCRATCH, 64 MB of memory, to write in."""
    check(libc().unshare(NEW_MOUNTS))
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    _mount("tmpfs", home, "tmpfs", NO_SUID | NO_DEVICES, "size=16m,mode=755")
    for path in _installation():
        _show(path, home + path)
    hidden = str(COURSE / "srgan_lib")
    if os.path.isdir(home + hidden):  # installed beside the other packages: cover it
        _mount("tmpfs", home + hidden, "tmpfs", NO_SUID | NO_DEVICES, "size=4k,mode=755")
    os.mkdir(home + SCRATCH)
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    check(libc().syscall(MOUNT_SETATTR, HERE, home.encode(), WHOLE_TREE, attributes, 32))
    _mount("tmpfs", home + SCRATCH, "tmpfs", NO_SUID | NO_DEVICES, "size=64m,mode=1777")
    os.chdir(home)
    check(libc().syscall(PIVOT_ROOT[os.uname().machine], b".", b"."))
    check(libc().umount2(b".", DETACH))
    os.chdir(SCRATCH)


def _installation() -> list[str]:
    """The paths that Python and its packages need, none inside another; the course itself is not among them."""
    system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom"]
    wanted = {os.path.abspath(path) for path in (*system, sys.prefix, sys.base_prefix, *filter(os.path.isdir, sys.path))}
    wanted |= {os.path.realpath(path) for path in wanted if not os.path.islink(path)}
    return sorted(path for path in wanted if os.path.exists(path)
                  and not any(path.startswith(other + "/") for other in wanted if other != path))


def _show(path: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):  # /lib -> usr/lib
        return os.symlink(os.readlink(path), target)
    os.makedirs(target) if os.path.isdir(path) else open(target, "w").close()
    _mount(path, target, None, BIND | RECURSIVE)


def right_to_read(walls: bool) -> int | None:
    """Which of root's capabilities a session must keep to read the installation: 0 for none, since everybody may read it.

    None: it is root's alone, and this root has no such capability to hand on. A Python made by `mktemp -d` or under
    `umask 077` is of that kind, and so is one under /root where there are no walls to show it elsewhere.
    """
    if not any(_closed(folder, walls) for folder in {os.path.dirname(os.__file__), sys.prefix, *filter(os.path.isdir, sys.path)}):
        return 0
    had = next((line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm")), "CapPrm: 0")
    return next((kept for kept in (READ_ALL, READ_AND_WRITE_ALL) if int(had.split()[1], 16) & kept), None)


def _closed(folder: str, walls: bool) -> bool:
    """Whether others may not read a folder, what lies in it, or a folder on the way to it (inside what the walls show)."""
    shown = _installation() if walls else [""]
    way = [str(path) for path in (Path(folder), *Path(folder).parents) if any(str(path).startswith(root) for root in shown)]
    inside = [entry.path for entry in os.scandir(folder)]
    return any(os.stat(path).st_mode & needed != needed for path in [*way, *inside] if os.path.exists(path)
               for needed in [0o005 if os.path.isdir(path) else 0o004])


def set_capabilities(kept: int) -> None:
    """Of all capabilities keep this one alone, a bit by its number; 0 keeps none."""
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    check(libc().capset(header, sets))


def libc():
    return ctypes.CDLL(None, use_errno=True)


def _mount(source, target: str, kind, flags: int, options: str = "") -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    check(libc().mount(*texts, ctypes.c_ulong(flags), options.encode()))


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
