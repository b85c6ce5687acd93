"""Fixtures that all tests share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import castsearch
from castsearch.parallel import core_count
from castsearch.ranking.memory import available
from castsearch.stagefiles.locks import alone

pytest.register_assert_rewrite("tests.cli.table")

ROOT = Path(__file__).resolve().parents[1]
# Where processes of their own find the library that is tested, installed or not, and the tests.
MODULES = os.pathsep.join([str(Path(castsearch.__file__).parents[1]), str(ROOT)])
WORKER_MEMORY = 6 << 30  # bytes that a worker and what it starts may take at worst


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What ``pytest -n auto`` starts: a worker a core, as far as the memory goes; none but pytest itself for one."""
    workers = min(core_count(), available() // WORKER_MEMORY)
    return workers if workers > 1 else 0


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The folder of real data, weights and golden results (CASTSEARCH_TESTDATA, default ../shared)."""
    folder = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared")).resolve()
    if not (folder / "golden").is_dir():
        pytest.skip(f"no test data at {folder}; set CASTSEARCH_TESTDATA")
    return folder


Script = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="session")
def script() -> Script:
    """Runs a script of the project as a user would: ``script("eval.py", "--gt", path, code=0)``."""

    def run(name: str, *args: object, code: int = 0, cwd: Path = ROOT) -> subprocess.CompletedProcess:
        interpreter = "bash" if name.endswith(".sh") else sys.executable
        environment = {**os.environ, "PYTHON": sys.executable}
        command = [interpreter, str(ROOT / name), *map(str, args)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def quickstart(script: Script, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """The folder that the quickstart filled, and what it said; the first worker that needs it makes it for all."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "quickstart"
    folder, told = shared / "demo", shared / "done.json"
    with alone(shared, wait=lambda holder: None):
        if not told.exists():
            shutil.rmtree(shared, ignore_errors=True)  # of a worker that failed
            shared.mkdir()
            done = script("scripts/quickstart.sh", folder)
            told.write_text(json.dumps([done.args, done.returncode, done.stdout, done.stderr]))
    return folder, subprocess.CompletedProcess(*json.loads(told.read_text()))


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A split of one movie with two frames, three boxes and one portrait: ``origin/val`` and ``val.json``."""
    rng = np.random.default_rng(0)
    for name in ("cast/nm1.jpg", "candidates/shot0001img0.jpg", "candidates/shot0002img0.jpg"):
        path = tmp_path / "origin/val/tt1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)).save(path)
    shots = [f"tt1/candidates/shot000{n}img0.jpg" for n in (1, 2)]
    candidates = [
        {"id": "tt1_0", "img": shots[0], "bbox": [10, 20, 50, 60], "label": "nm1"},
        {"id": "tt1_1", "img": shots[0], "bbox": [100, 90, 100, 60], "label": "others"},
        {"id": "tt1_2", "img": shots[1], "bbox": [0, 0, 160, 120], "label": "nm1"},
    ]
    content = {
        "tt1": {"cast": [{"id": "tt1_nm1", "img": "tt1/cast/nm1.jpg", "label": "nm1"}], "candidates": candidates}
    }
    (tmp_path / "val.json").write_text(json.dumps(content))
    return tmp_path
