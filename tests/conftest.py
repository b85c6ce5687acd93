"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The folder of real data, weights and golden results (CASTSEARCH_TESTDATA, default ../shared)."""
    folder = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared")).resolve()
    if not (folder / "golden").is_dir():
        pytest.skip(f"no test data at {folder}; set CASTSEARCH_TESTDATA")
    return folder
