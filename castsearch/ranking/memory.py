"""How much memory there is for the ranking: what the machine has free, and what a container may take."""

from __future__ import annotations

import math
from pathlib import Path

from castsearch.parallel import CGROUP, CGROUPS, cgroup_folders
from castsearch.ranking.errors import TooLittleMemory

SHARE = 4  # of the free memory, one part in four by default
UNKNOWN = 2 << 30  # where the system does not tell what is free
MEMINFO = Path("/proc/meminfo")
# Of control groups of version 2 and 1: the controller, then the files of limit and use.
_CONTROLLERS = (
    ("", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def available(meminfo: Path = MEMINFO, cgroup: Path = CGROUP, cgroups: Path = CGROUPS) -> int:
    """Bytes that are free or can be freed, on the machine and within every control group around this process.

    Args:
        meminfo: tells what the machine has.
        cgroup, cgroups: as in ``castsearch.parallel.core_count``.
    """
    free: float = _fields(meminfo).get("MemAvailable:", UNKNOWN >> 10) << 10
    for controller, limit, usage in _CONTROLLERS:
        for folder in cgroup_folders(controller, cgroup, cgroups):
            free = min(free, _room(folder, limit, usage))
    return int(free)


def _room(group: Path, limit: str, usage: str) -> float:
    """Bytes a control group has left; files in the cache count as free, for they make room when it is needed."""
    texts = [next(iter(_lines(group / name)), "") for name in (limit, usage)]
    if not all(text.isdigit() for text in texts):
        return math.inf  # "max", or no such group
    cached = _fields(group / "memory.stat")
    most, used = map(int, texts)
    return max(0, most - used + cached.get("inactive_file", cached.get("total_inactive_file", 0)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of names and numbers."""
    words = (line.split() for line in _lines(path))
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def budget(memory: int | None) -> int:
    """``memory``, or by default a quarter of what is free: bytes."""
    return available() // SHARE if memory is None else int(memory)


def spare_memory(needed: int, memory: int | None, what: str) -> int:
    """Bytes that remain for tables when work takes ``needed`` bytes anyway.

    Raises:
        TooLittleMemory: too few; told before the work starts.
    """
    allowed = budget(memory)
    if needed > allowed:
        wanted = math.ceil(10 * needed / 2**30) / 10
        raise TooLittleMemory(
            f"{what} needs about {wanted:.1f} GB of memory to rank and may take {allowed / 2**30:.1f} GB; allow more",
            wanted,
        )
    return allowed - needed
