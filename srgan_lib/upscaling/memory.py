"""How much memory can still be had: the system's word, or the container's; and what an error says when there is none."""

from collections.abc import Iterator
from pathlib import Path

import torch

from ..errors import CourseError, ImageError

UNKNOWN_FREE = 4 * 2**30  # bytes taken to be free where the system does not say
ROOT = Path("/")  # tests put another one here
GROUPS = {  # mount, limit, use, the line of memory.stat with what could be given back: of cgroups v2 and v1
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
SIGNS = ("defaultcpuallocator", "not enough memory", "out of memory", "unable to allocate", "can't allocate",
         "could not create a primitive", "could not create a memory")  # oneDNN 3's, when its own allocation fails


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device; UNKNOWN_FREE where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    known = [value for value in (_available(), *_left_in_groups()) if value is not None]
    return max(min(known), 0) if known else UNKNOWN_FREE


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a card or on the machine."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS))


def moved(crop: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A crop on the device, channels_last; to a CUDA card it goes from pinned memory, without waiting."""
    crop = crop.contiguous(memory_format=torch.channels_last)
    if device.type == "cuda" and crop.device.type == "cpu":
        return crop.pin_memory().to(device, non_blocking=True)
    return crop.to(device)


def without_memory(error: Exception) -> Exception:
    """An error of any library that says that memory ran out, as an ImageError; errors of ours as they are; all others are raised."""
    if isinstance(error, (CourseError, OSError)):
        return error
    if not out_of_memory(error):
        raise error
    return ImageError("not enough memory for this file; close other programs, or use a machine with more")


def _available() -> int | None:
    try:
        lines = (ROOT / "proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return None


def _left_in_groups() -> Iterator[int]:
    """What each control group around this process leaves of its limit: its own, and every one that it is nested in.

    A container sees its own group at the root; systemd, Slurm and nested containers put limits further down.
    """
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    paths = {controller: path for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1)
             for controller in controllers.split(",")}
    for controller, (mount, *files) in GROUPS.items():
        parts = [part for part in paths.get(controller, "/").split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            left = _left(ROOT.joinpath(mount, *parts[:depth]), *files)
            if left is not None:
                yield left


def _left(group: Path, limit: str, use: str, reclaimable: str) -> int | None:
    """A group's limit less what it uses; pages of files that nobody reads any more count as free, as they do in MemAvailable."""
    try:
        left = int((group / limit).read_text()) - int((group / use).read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None
    try:
        rows = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return left + int(rows.get(reclaimable, 0))
    except (OSError, ValueError):
        return left
