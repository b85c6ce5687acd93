"""`make` in RetinaFace/ builds the compiled tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_make_builds_the_kernel() -> None:
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}"], cwd=ROOT / "RetinaFace", capture_output=True, text=True, check=True
    )
    assert f"built {ROOT / 'castsearch/ranking/_kernel'}" in done.stdout


@pytest.mark.parametrize(("target", "script"), [("demo", "quickstart"), ("film", "film")])
def test_the_quickstarts_run_in_the_environment_that_make_made(target: str, script: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target, "PYTHON=python3.99"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"PYTHON={ROOT}/.venv/bin/python bash scripts/{script}.sh" in done.stdout.splitlines()
