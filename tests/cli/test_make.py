"""`make` in RetinaFace/ builds the compiled tools."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_make_builds_the_kernel(tmp_path: Path) -> None:
    # In a copy: other tests that run at the same time load the project's own. What was built before saves the compiler.
    for name in ("castsearch", "RetinaFace", "build"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*_img"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}"], cwd=tmp_path / "RetinaFace", capture_output=True, text=True, check=True
    )
    assert f"built {tmp_path / 'castsearch/ranking/_kernel'}" in done.stdout


@pytest.mark.parametrize(("target", "script"), [("demo", "quickstart"), ("film", "film")])
def test_the_quickstarts_run_in_the_environment_that_make_made(target: str, script: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target, "PYTHON=python3.99"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"PYTHON={ROOT}/.venv/bin/python bash scripts/{script}.sh" in done.stdout.splitlines()
