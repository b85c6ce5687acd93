"""Tests that run in several processes share what is dear to make."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import MODULES

CONFTEST = """
import subprocess, time
from pathlib import Path
import pytest
from tests.conftest import quickstart

@pytest.fixture(scope="session")
def script():
    def run(name, folder):
        with (Path(__file__).parent / "made").open("a") as file:
            file.write("once\\n")
        time.sleep(1)  # the other worker comes while it is made
        folder.mkdir()
        (folder / "result").write_text("ranked")
        return subprocess.CompletedProcess([name], 0, "said", "")
    return run
"""
TEST = """
def test(quickstart):
    folder, done = quickstart
    assert ((folder / "result").read_text(), done.returncode, done.stdout) == ("ranked", 0, "said")
"""


@pytest.mark.parametrize("workers", ["2", "0"])
def test_the_quickstart_is_made_once_for_all_workers(tmp_path, workers):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (tmp_path / name).write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "--dist", "loadfile", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "base"), str(tmp_path)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": MODULES},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert (tmp_path / "made").read_text() == "once\n"
