"""Some hundred mutated files; ``make fuzz`` feeds more."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fuzz import worker
from tests.fuzz.kinds import KINDS, NEED_TESTDATA, TESTDATA


def test_every_kind_ends_in_content_or_in_one_line():
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", "480"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    there = (TESTDATA / "models").is_dir()
    for kind in KINDS.values():
        if kind.name in NEED_TESTDATA and not there:
            continue
        found = re.search(rf"^{kind.name} +(\d+) +(\d+) +(\d+) ", done.stdout, re.MULTILINE)
        assert found is not None, done.stdout
        cases, errors, read = map(int, found.groups())
        # Both ends must be common, or the files test nothing.
        assert errors > cases / 8 and read > cases / 10, found[0]
        assert cases == errors + read == 60 * kind.share


def fails(path):
    raise worker.CastSearchError(f"{path}: two\nlines")


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (fails, AssertionError),
        (lambda path: fails("another file"), AssertionError),
        (lambda path: [][0], IndexError),
    ],
)
def test_what_is_no_good_end_breaks_the_run(tmp_path, read, error):
    with pytest.raises(error):
        worker.judge(read, tmp_path / "x")


def test_a_hang_breaks_the_run():
    """In a process of its own, as cases are read: in one of many tests a signal may not get through."""
    program = (
        "import signal, time\nfrom pathlib import Path\nfrom tests.fuzz import worker\nworker.SECONDS = 1\n"
        "signal.signal(signal.SIGALRM, worker.too_long)\nworker.judge(lambda path: time.sleep(9), Path('x'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("TimeoutError: over 1 s\n")
