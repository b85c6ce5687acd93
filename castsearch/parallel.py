"""Several things at once."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

# Where Linux tells a process its control groups, and where it keeps their limits.
CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def core_count(cgroup: Path = CGROUP, cgroups: Path = CGROUPS) -> int:
    """How many cores this process may use: those it may run on, or the share of time that its control groups allow.

    Args:
        cgroup: names the control groups of the process.
        cgroups: holds their limits.

    Returns:
        At least 1; part of a core counts as a whole one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(limit) for limit in _cpu_limits(cgroup, cgroups))]))


def _cpu_limits(cgroup: Path, cgroups: Path) -> Iterator[float]:
    """Cores' worth of time that each control group allows, of either version; none where there is no limit."""
    for folder in cgroup_folders("", cgroup, cgroups):
        match _words(folder / "cpu.max"):
            case [quota, period] if quota != "max":
                yield int(quota) / int(period)
    for folder in cgroup_folders("cpu", cgroup, cgroups):
        match _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us"):
            case [quota], [period] if int(quota) > 0:
                yield int(quota) / int(period)


def cgroup_folders(controller: str, cgroup: Path = CGROUP, cgroups: Path = CGROUPS) -> list[Path]:
    """Folders with the limits on this process: of its control group, then of every one above.

    A container may see its own group as the topmost one, whatever the name, so that some folders need not be there.

    Args:
        controller: of version 1 ("cpu", "memory"), or "" for version 2, which has one tree for all.
        cgroup: names the control groups of the process.
        cgroups: holds their limits.
    """
    for line in _text(cgroup).splitlines():
        _, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            parts = Path(group.lstrip("/")).parts
            return [cgroups.joinpath(controller, *parts[:depth]) for depth in range(len(parts), -1, -1)]
    return []


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def ahead(function: Callable[[T], U], items: Iterator[T], workers: int, depth: int) -> Iterator[Iterator[U]]:
    """Results of ``function`` in order, computed by threads up to ``depth`` items ahead of the reader."""
    pool = ThreadPoolExecutor(workers)

    def results() -> Iterator[U]:
        waiting = deque(pool.submit(function, item) for item in islice(items, depth))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))

    try:
        yield results()
    finally:
        pool.shutdown(cancel_futures=True)
