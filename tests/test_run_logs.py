"""Logs of runs are read whatever else stands in them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from castsearch.run_logs import RunLogError, Stage, added, read_stages

END = {
    "run": "7-1",
    "event": "end",
    "pid": 7,
    "stage": "deploy.py",
    "seconds": 2.5,
    "cpu_seconds": 4,
    "peak_memory": 1000,
    "counts": {"pictures": 3, "faces": 2},
    "ran": [{"device": "CPU", "precision": "float32", "engine": "e"}] * 2,
}
CURRENT = {
    "run": "7-1",
    "event": "note",
    "pid": 7,
    "stage": "deploy.py",
    "message": "x: current, nothing is done again",
}
STAGE = Stage("deploy.py", "3 pictures, 2 faces", 2.5, 4, 1000, "CPU, float32")


@pytest.fixture
def log(tmp_path):
    """Writes a log of lines."""

    def write(*lines: object) -> Path:
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"".join(one if type(one) is bytes else json.dumps(one).encode() + b"\n" for one in lines))
        return path

    return write


def test_stages_of_the_last_run_or_of_one(log):
    path = log({**END, "run": "6-1", "stage": "early.py"}, CURRENT, END, {**END, "pid": 8}, {**CURRENT, "pid": 9})
    current = Stage("deploy.py", "3 pictures, 2 faces (current)", 2.5, 4, 1000, "CPU, float32")
    assert read_stages(path) == [current, STAGE]
    assert [stage.script for stage in read_stages(path, "6-1")] == ["early.py"]
    assert read_stages(path, "5-1") == []


def test_a_large_log_takes_little_memory(log):
    path = log(*[{**END, "event": "movie", "movie": "m" * 1000}] * 5000, END, {**END, "run": "8-1", "event": "begin"})
    tracemalloc.start()
    assert read_stages(path, "7-1") == [STAGE] and read_stages(path) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_what_failed_tells_why(log):
    (stage,) = read_stages(log({**END, "error": "no\nroom\x1b[31m", "counts": {}}))
    assert stage.what == "failed: no?room?[31m"


@pytest.mark.parametrize(
    "strange",
    [
        b'{"run": "7-1", "event": "e\n',
        b"\xff\x00\n",
        b"[" * 100_000 + b"\n",
        b"\n",
        [],
        {**END, "pid": []},
        {**CURRENT, "pid": {}},
        {**END, "seconds": "long"},
        {**END, "peak_memory": float("inf")},
        {**END, "peak_memory": 10**400},
        {**END, "counts": [3]},
        {**END, "ran": 3},
        {**END, "ran": ["CPU"]},
        {"event": "end"},
    ],
)
def test_lines_of_something_else_are_passed_over(log, strange):
    assert read_stages(log(strange, END)) == [STAGE]


def test_several_runs_of_a_script_are_added_up():
    one = Stage("deploy.py", "3 pictures", 2.5, 4, 3000, "CPU, float32")
    assert added([one, STAGE, one]) == Stage("deploy.py", "3 runs", 7.5, 12, 3000, "CPU, float32")


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(RunLogError, match="no such file; run a stage with --log_file first"):
        read_stages(tmp_path / "log.jsonl")
