"""What the tests of the ranking share: the plain implementation, and points to rank."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The unoptimised ranking that the benchmark runs beside this one."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "reference_ranking.py"
    spec = importlib.util.spec_from_file_location("reference_ranking", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def clustered() -> Callable[..., np.ndarray]:
    """Makes (n, width) float32 features of people seen several times each."""

    def make(seed: int, n: int, width: int = 24, noise: float = 0.9) -> np.ndarray:
        rng = np.random.default_rng(seed)
        people = rng.normal(size=(max(2, n // 8), width))
        return (people[rng.integers(len(people), size=n)] + noise * rng.normal(size=(n, width))).astype(np.float32)

    return make
