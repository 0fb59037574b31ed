"""The grader's server: torch is loaded once, then every submission gets a forked session behind walls.

On Linux the walls are namespaces: no network, no other process to see, a root file system of its own that holds the
Python installation read-only and one small scratch folder in memory. Where they cannot be had, limits on time, memory
and file size remain ("limits"), and on systems without fork a fresh process with a time limit ("process"). The mode is
reported with every result. `notebooks/assignment/README.md` says what each protects from.
"""

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

from .pages import collapse
from .session import session
from .syscalls import forbid_calls
from .walls import ANSWERS, COURSE, SCRATCH, build, check, libc, right_to_read, set_capabilities

MEMORY_BYTES = 2 << 30  # what a session may allocate beyond the preloaded libraries
NEW_UTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
BE_REAPER, NO_NEW_PRIVILEGES, KEEP_CAPABILITIES = 36, 38, 8


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
    collapse()
    mode = "namespaces" if settings["walls"] and walls_stand(settings["probe"]) else "limits"
    settings["memory"], settings["kept"] = MEMORY_BYTES + _size_now(), right_to_read(mode == "namespaces")
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
    check(libc().prctl(BE_REAPER, 1, 0, 0, 0))
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
                build(home)
                os._exit(0 if os.getpid() == 1 and not any((COURSE / name).exists() for name in ANSWERS) else 1)
            os._exit(os.waitpid(inner, 0)[1] != 0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _unshare(uid: int) -> None:
    """New namespaces; an ordinary user needs a user namespace to be allowed to, root does not."""
    gid = os.getgid()
    check(libc().unshare(NEW_PIDS | NEW_NET | NEW_IPC | NEW_UTS | (NEW_USER if uid else 0)))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
            Path("/proc/self", name).write_text(text)


def _enter(connection: Connection, home: str, walls: bool, uid: int, settings: dict) -> None:
    """Inside the session's process: walls, no descriptors but the connection, no privileges, limits."""
    if walls:
        build(home)
    os.chdir(SCRATCH if walls else home)
    null, kept = os.open(os.devnull, os.O_RDWR), connection.fileno()
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)
    os.environ.update(HOME=os.getcwd(), TMPDIR=os.getcwd())
    if uid == 0 and settings["kept"] is not None:
        _become_nobody(home, walls, settings["kept"])
    check(libc().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _limit(settings, 32 if walls or os.getuid() != uid else 64 + _tasks_of(uid))
    if not forbid_calls() or walls and uid:
        set_capabilities(0)


def _become_nobody(home: str, walls: bool, kept: int) -> None:
    """Root takes a user number of its own for each session, so that limits and file permissions apply to it.

    kept: of root's capabilities, the one to read an installation that is root's alone (a folder of mode 0700), or 0.
    """
    if not walls:
        os.chmod(home, 0o1777)
    check(libc().prctl(KEEP_CAPABILITIES, int(kept > 0), 0, 0, 0))
    os.setgroups([])
    for number in (0x40000000 + int.from_bytes(os.urandom(3), "big"), 65534):
        try:
            os.setresgid(number, number, number)
            os.setresuid(number, number, number)
            return set_capabilities(kept)
        except OSError:
            continue  # a container may have a short range of user numbers


def _size_now() -> int:
    """Bytes of address space that this process occupies; it counts against a session's limit."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _tasks_of(uid: int) -> int:
    """Processes and threads of this user, which a limit counts together with a session's own."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            count += len(os.listdir(process / "task")) if process.stat().st_uid == uid else 0
        except OSError:
            continue  # it has just ended
    return count


def _limit(settings: dict, processes: int) -> None:
    limits = {resource.RLIMIT_AS: settings["memory"], resource.RLIMIT_CPU: math.ceil(settings["seconds"]), resource.RLIMIT_CORE: 0,
              resource.RLIMIT_FSIZE: 32 << 20, resource.RLIMIT_NOFILE: 128, resource.RLIMIT_NPROC: processes}
    for kind, value in limits.items():
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main(sys.argv[1:])
