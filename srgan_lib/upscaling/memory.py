"""How much memory can still be had: the system's word, or the container's."""

from pathlib import Path

import torch

UNKNOWN_FREE = 4 * 2**30  # bytes taken to be free where the system does not say


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device; UNKNOWN_FREE where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    known = [value for value in (_available(), _left_in_container()) if value is not None]
    return max(min(known), 0) if known else UNKNOWN_FREE


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return None


def _left_in_container() -> int | None:
    """A container's own limit less what it uses; the machine's free memory says nothing about it."""
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            return int(Path("/sys/fs/cgroup", limit).read_text()) - int(Path("/sys/fs/cgroup", used).read_text())
        except (OSError, ValueError):  # another version of cgroups, or "max"
            continue
    return None
