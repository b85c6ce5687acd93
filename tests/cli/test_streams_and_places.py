"""Where results go, and where the output goes: said before the work, not after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def labelled(folder: Path) -> None:
    """Labels and a ranking of one cast."""
    (folder / "label.json").write_text(json.dumps({"c": ["b0"]}))
    (folder / "result.txt").write_text("c b0,b1\n")


def run_eval(folder: Path, redirection: str, **environment: str) -> subprocess.CompletedProcess:
    """``eval.py`` on such labels, its standard output redirected by the shell."""
    labelled(folder)
    flags = f"--gt {folder}/label.json --submission {folder}/result.txt"
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} eval.py {flags} {redirection}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">&-", "the standard output is closed; send it to a file or to /dev/null"),
        (">/dev/full", "standard output: there is no room left on the disk; make room"),
    ],
)
def test_an_output_that_takes_nothing_is_one_line(tmp_path, redirection, words):
    done = run_eval(tmp_path, redirection)
    assert (done.returncode, done.stderr) == (2, f"error: {words}\n")


def test_a_reader_that_left_is_one_line(tmp_path):
    done = run_eval(tmp_path, "| true; exit ${PIPESTATUS[0]}", PYTHONUNBUFFERED="1")
    assert done.returncode == 0 or done.stderr.count("\n") == 1
