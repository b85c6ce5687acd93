"""Cores that a process may use, whatever limits them; work done ahead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from castsearch.parallel import ahead, cgroup_folders, core_count

CORES = 12


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Says how many cores are found on a machine of 12, given the groups of a process and the files of limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CORES)), raising=False)

    def count(groups: str, files: dict[str, str]) -> int:
        (tmp_path / "cgroup").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return core_count(tmp_path / "cgroup", tmp_path / "fs")

    return count


V2 = "0::/user.slice/job\n"
V1 = "5:memory:/\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {}, CORES),
        (V2, {"user.slice/job/cpu.max": "max 100000\n"}, CORES),
        (V2, {"user.slice/job/cpu.max": "300000 100000\n"}, 3),
        (V2, {"user.slice/job/cpu.max": "250000 100000\n"}, 3),
        (V2, {"user.slice/job/cpu.max": "150000 50000\n"}, 3),
        (V2, {"user.slice/job/cpu.max": "1000 100000\n"}, 1),
        (V2, {"user.slice/job/cpu.max": "9900000 100000\n"}, CORES),
        (V2, {"user.slice/job/cpu.max": "max 100000\n", "user.slice/cpu.max": "200000 100000\n"}, 2),
        (V2, {"user.slice/job/cpu.max": "400000 100000\n", "user.slice/cpu.max": "500000 100000\n"}, 4),
        (V2, {"cpu.max": "200000 100000\n"}, 2),
        (V1, {}, CORES),
        (V1, {"cpu/docker/abc/cpu.cfs_quota_us": "-1\n", "cpu/docker/abc/cpu.cfs_period_us": "100000\n"}, CORES),
        (V1, {"cpu/docker/abc/cpu.cfs_quota_us": "150000\n", "cpu/docker/abc/cpu.cfs_period_us": "50000\n"}, 3),
        # A container sees its group's files at the top, and the name that it has outside.
        (V1, {"cpu/cpu.cfs_quota_us": "120000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        # Limits of something else.
        (V1, {"memory/cpu.cfs_quota_us": "120000\n", "memory/cpu.cfs_period_us": "100000\n"}, CORES),
        ("", {"cpu.max": "200000 100000\n"}, CORES),
    ],
)
def test_control_groups_limit_the_cores(machine, groups: str, files: dict[str, str], expected: int) -> None:
    assert machine(groups, files) == expected


def test_cores_are_those_the_process_may_run_on(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert machine(V2, {"cpu.max": "800000 100000\n"}) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert machine("", {}) == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine("", {}) == 1


def test_where_nothing_tells_of_groups(tmp_path: Path) -> None:
    assert core_count(tmp_path / "absent", tmp_path) == len(os.sched_getaffinity(0))


def test_the_folders_of_a_group_come_from_the_lowest_up(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("4:memory:/a/b:c\n0::/d\n")
    assert cgroup_folders("memory", tmp_path / "cgroup", Path("/fs")) == [
        Path("/fs/memory/a/b:c"),
        Path("/fs/memory/a"),
        Path("/fs/memory"),
    ]
    assert cgroup_folders("", tmp_path / "cgroup", Path("/fs")) == [Path("/fs/d"), Path("/fs")]
    assert cgroup_folders("cpu", tmp_path / "cgroup", Path("/fs")) == []


def test_importing_reads_nothing() -> None:
    code = (
        "import sys, math, os, collections.abc, concurrent.futures, concurrent.futures.thread, contextlib, pathlib\n"
        "import castsearch, castsearch.parallel\n"
        "del sys.modules['castsearch.parallel']\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import castsearch.parallel\n"
        "assert opened and not [name for name in opened if name.startswith(('/proc/', '/sys/'))], opened"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_results_come_in_order_and_no_further_ahead_than_asked() -> None:
    started: list[int] = []
    with ahead(lambda i: started.append(i) or i * i, iter(range(100)), workers=4, depth=7) as results:
        for i, square in zip(range(20), results, strict=False):
            assert square == i * i
            assert len(started) <= i + 1 + 7
    assert len(started) < 40
