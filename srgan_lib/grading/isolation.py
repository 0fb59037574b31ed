"""The grader's server: torch is loaded once, then every submission gets a forked session behind walls.

On Linux the walls are namespaces: no network, no other process to see, a root file system of its own that holds the
Python installation read-only and one small scratch folder in memory. Where they cannot be had, limits on time, memory
and file size remain ("limits"), and on systems without fork a fresh process with a time limit ("process"). The mode is
reported with every result. `notebooks/assignment/README.md` says what each protects from.
"""

import ctypes
import importlib
import json
import math
import os
import signal
import socket
import sys
import time
from multiprocessing.connection import Client, Connection
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, where there is nothing to fork either
    resource = None

import torch

from .session import session

COURSE = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 2 << 30  # what a session may allocate beyond the preloaded libraries
ANSWERS = ("srgan_lib/models/networks.py", "notebooks", "tests", ".git")  # what a session must not find
SCRATCH = "/scratch"    # the only folder that a session can write to
NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
NO_SUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE, DETACH = 2, 4, 0x1000, 0x4000, 0x40000, 2
BE_REAPER, NO_NEW_PRIVILEGES = 36, 38
# System calls that the C library has no function for, or not everywhere.
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR, HERE, WHOLE_TREE, READ_ONLY = 442, -100, 0x8000, 1


def main(arguments: list[str]) -> None:
    """`FD SETTINGS` serves sessions over an inherited socket; `--alone ADDRESS SETTINGS` is one session by itself."""
    settings = json.loads(arguments[-1])
    preload(settings["preload"])
    if not COURSE.name.endswith("-packages"):  # a checkout: what it holds is not the submission's to import
        sys.path.remove(str(COURSE))
    if arguments[0] == "--alone":
        key = bytes.fromhex(os.environ.pop("SRGAN_GRADING_KEY"))
        session(Client(arguments[1], authkey=key), settings["call_seconds"], apart=False)
    else:
        serve(socket.socket(fileno=int(arguments[0])), settings)


def preload(names: list[str]) -> None:
    """Import once what the submissions would each import."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # not installed here: the submission's own import will say so


def serve(control: socket.socket, settings: dict) -> None:
    """Announce the mode, then fork a keeper for every connection that arrives, until the judge closes the socket."""
    mode = "namespaces" if settings["walls"] and walls_stand(settings["probe"]) else "limits"
    settings["memory"] = MEMORY_BYTES + _size_now()
    control.sendall(mode.encode())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        home, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not home:
            return
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep(Connection(descriptors[0]), home.decode(), mode == "namespaces", settings)
        os.close(descriptors[0])


def keep(connection: Connection, home: str, walls: bool, settings: dict) -> None:
    """Fork the session and end it, with everything it started, when its time is over. Does not return."""
    uid = os.getuid()
    _check(_libc().prctl(BE_REAPER, 1, 0, 0, 0))
    if walls:
        _unshare(uid)
    child = os.fork()
    if child == 0:
        os.setsid()
        _enter(connection, home, walls, uid, settings)
        session(connection, settings["call_seconds"], apart=True)
        os._exit(0)
    connection.close()
    deadline = time.monotonic() + 4 * settings["seconds"]
    while time.monotonic() < deadline and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.01)
    end_descendants()
    os._exit(0)


def end_descendants() -> None:
    """Kill and reap until no child is left; we are the reaper, so that what escaped its parent comes to us."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        for process in children.read_text().split():
            os.kill(int(process), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def walls_stand(home: str) -> bool:
    """Whether this machine lets us build the walls: tried once, in a child, on the empty folder `home`."""
    child = os.fork()
    if child == 0:
        try:
            _unshare(os.getuid())
            inner = os.fork()
            if inner == 0:
                _walls(home)
                os._exit(0 if os.getpid() == 1 and not any((COURSE / name).exists() for name in ANSWERS) else 1)
            os._exit(os.waitpid(inner, 0)[1] != 0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _unshare(uid: int) -> None:
    """New namespaces; an ordinary user needs a user namespace to be allowed to, root does not."""
    gid = os.getgid()
    _check(_libc().unshare(NEW_PIDS | NEW_NET | NEW_IPC | NEW_UTS | (NEW_USER if uid else 0)))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
            Path("/proc/self", name).write_text(text)


def _enter(connection: Connection, home: str, walls: bool, uid: int, settings: dict) -> None:
    """Inside the session's process: walls, no descriptors but the connection, no privileges, limits."""
    if walls:
        _walls(home)
    os.chdir(SCRATCH if walls else home)
    null, kept = os.open(os.devnull, os.O_RDWR), connection.fileno()
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)
    os.environ.update(HOME=os.getcwd(), TMPDIR=os.getcwd())
    if uid == 0 and (walls or all(_open_to_all(file) for file in (os.__file__, torch.__file__))):
        _become_nobody(home, walls)
    _check(_libc().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _limit(settings, processes=walls or os.getuid() != uid)
    if walls and uid:
        _drop_capabilities()


def _become_nobody(home: str, walls: bool) -> None:
    """Root takes a user number of its own for each session, so that limits and file permissions apply to it."""
    if not walls:
        os.chmod(home, 0o1777)
    os.setgroups([])
    for number in (0x40000000 + int.from_bytes(os.urandom(3), "big"), 65534):
        try:
            os.setresgid(number, number, number)
            return os.setresuid(number, number, number)
        except OSError:
            continue  # a container may have a short range of user numbers


def _open_to_all(file: str) -> bool:
    """Whether another user reaches the file; a Python under /root would lose its own library with its rights."""
    return all(parent.stat().st_mode & 0o001 for parent in Path(file).resolve().parents)


def _size_now() -> int:
    """Bytes of address space that this process occupies; it counts against a session's limit."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _limit(settings: dict, processes: bool) -> None:
    limits = {resource.RLIMIT_AS: settings["memory"], resource.RLIMIT_CPU: math.ceil(settings["seconds"]), resource.RLIMIT_CORE: 0,
              resource.RLIMIT_FSIZE: 32 << 20, resource.RLIMIT_NOFILE: 128}
    if processes:
        limits[resource.RLIMIT_NPROC] = 32
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def _walls(home: str) -> None:
    """A root file system of our own on `home`: the installation read-only, and SCRATCH, 64 MB of memory, to write in."""
    _check(_libc().unshare(NEW_MOUNTS))
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    _mount("tmpfs", home, "tmpfs", NO_SUID | NO_DEVICES, "size=16m,mode=755")
    for path in _installation():
        _show(path, home + path)
    hidden = str(COURSE / "srgan_lib")
    if os.path.isdir(home + hidden):  # installed beside the other packages: cover it
        _mount("tmpfs", home + hidden, "tmpfs", NO_SUID | NO_DEVICES, "size=4k,mode=755")
    os.mkdir(home + SCRATCH)
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    _check(_libc().syscall(MOUNT_SETATTR, HERE, home.encode(), WHOLE_TREE, attributes, 32))
    _mount("tmpfs", home + SCRATCH, "tmpfs", NO_SUID | NO_DEVICES, "size=64m,mode=1777")
    os.chdir(home)
    _check(_libc().syscall(PIVOT_ROOT[os.uname().machine], b".", b"."))
    _check(_libc().umount2(b".", DETACH))
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


def _drop_capabilities() -> None:
    header, empty = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _check(_libc().capset(header, empty))


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _mount(source, target: str, kind, flags: int, options: str = "") -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    _check(_libc().mount(*texts, ctypes.c_ulong(flags), options.encode()))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main(sys.argv[1:])
