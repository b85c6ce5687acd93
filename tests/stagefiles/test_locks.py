"""Locks: one run at a time, told who is at work, nobody held up by the dead."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from castsearch.stagefiles import StageFileError, locks
from castsearch.stagefiles.locks import BusyError, alone

HOLDER = """
import sys, time
from castsearch.stagefiles.locks import alone
with alone(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Starts a process that holds a file until its standard input is closed."""
    started = []

    def start(path: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(path)]
        root = Path(__file__).resolve().parents[2]
        run = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(run)
        assert run.stdout.readline() == "held\n"
        return run

    yield start
    for run in started:
        run.kill()
        run.wait()
        run.stdin.close()
        run.stdout.close()


@pytest.fixture(params=["val.pkl", "a b'\"ä.pkl", "-v", "ä" * 127])
def file(request, tmp_path) -> Path:
    return tmp_path / request.param


def test_another_process_is_named_and_waited_for(file, other):
    run, told = other(file), []
    with pytest.raises(BusyError, match=rf"process {run.pid} on .+ since 20.+: -c .*; wait until"), alone(file):
        pass

    def wait(holder: str) -> None:
        told.append(holder)
        threading.Timer(0.3, run.stdin.close).start()

    with alone(file, wait):
        assert run.wait() == 0
    assert len(told) == 1 and f"process {run.pid} on " in told[0]
    assert [*file.parent.iterdir()] == []


def test_a_killed_process_holds_nobody_up(file, other):
    run = other(file)
    run.send_signal(signal.SIGKILL)
    run.wait()
    (lock,) = file.parent.iterdir()
    with alone(file):
        assert json.loads(lock.read_bytes())["pid"] == os.getpid()
    assert not lock.exists()


def test_the_same_thread_may_enter_again_and_no_other(file):
    def enter() -> None:
        try:
            with alone(file):
                told.append("entered")
        except BusyError as error:
            told.append(str(error))

    def try_in_a_thread() -> str:
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return told.pop()

    told: list[str] = []
    with alone(file):
        with alone(file):
            pass
        assert "(in this process)" in try_in_a_thread()
    assert try_in_a_thread() == "entered"


def test_what_a_link_of_the_locks_name_leads_to_stays_as_it_is(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".val.pkl.lock").symlink_to("precious")
    told = r"\.val\.pkl\.lock: is no file of a lock.*; remove it"
    with pytest.raises(StageFileError, match=told), alone(tmp_path / "val.pkl"):
        pass
    assert (tmp_path / "precious").read_text() == "precious"
    (tmp_path / ".a.lock").mkdir()
    with pytest.raises(StageFileError, match="remove it"), alone(tmp_path / "a"):
        pass


@pytest.mark.parametrize("held", [b"", b"[1]", b'{"pid": 1', b"\xff" * 20_000, b"[" * 9_999])
def test_a_stale_lock_may_hold_anything(tmp_path, other, held):
    (tmp_path / ".x.lock").write_bytes(held)
    with alone(tmp_path / "x"):
        pass
    run = other(tmp_path / "x")
    (tmp_path / ".x.lock").write_bytes(held)
    with pytest.raises(BusyError, match="it does not tell who"), alone(tmp_path / "x"):
        pass
    run.stdin.close()
    run.wait()


def test_where_the_file_system_knows_no_locks_work_goes_on(file, monkeypatch):
    def lockf(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    with alone(file):
        pass
    assert [*file.parent.iterdir()] == []


def test_garbage_may_hold_a_lock(tmp_path):
    """A cycle that is collected in the midst of taking a lock lets go of its own."""

    class Cycle:
        def __init__(self) -> None:
            self.held, self.itself = alone(tmp_path / "a"), self
            self.held.__enter__()

        def __del__(self) -> None:
            self.held.__exit__(None, None, None)

    Cycle()

    def collect() -> None:
        with locks._guard:
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert [*tmp_path.iterdir()] == []


def test_a_link_to_what_is_worked_on_is_the_same(tmp_path, other):
    other(tmp_path / "x")
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(BusyError), alone(tmp_path / "link"):
        pass


def test_what_a_lock_tells_is_fit_to_be_shown(tmp_path, other):
    other(tmp_path / "x")
    told = {"pid": 1, "host": "\x1b[2J" * 900, "since": "\n", "command": "c"}
    (tmp_path / ".x.lock").write_text(json.dumps(told))
    with pytest.raises(BusyError) as raised, alone(tmp_path / "x"):
        pass
    assert len(str(raised.value)) < 600 and str(raised.value).isprintable()


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(tmp_path, monkeypatch):
    """By the run that held it until just now; a third one would find no lock there."""
    hold, lock = locks.hold, tmp_path / ".x.lock"
    held = []

    def hold_late(file: BinaryIO) -> bool:
        if not held:
            lock.unlink()
        held.append(file)
        return hold(file)

    monkeypatch.setattr(locks, "hold", hold_late)
    with alone(tmp_path / "x"):
        assert len(held) == 2 and os.fstat(held[1].fileno()).st_ino == lock.stat().st_ino
