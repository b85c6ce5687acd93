"""The embedder: golden features, batches, the network's own scaling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.faces.arcface import ArcFace, open_arcface
from castsearch.networks import Place, open_checkpoint

CPU = Place()


@pytest.fixture(scope="module")
def chips(testdata: Path) -> np.ndarray:
    return np.load(testdata / "golden/jurassic/val_img.npz")["tt0107290"]


def files(checkpoints: Path) -> tuple[Path, Path]:
    folder = checkpoints / "mobilefacenet_y1"
    return folder / "model-symbol.json", folder / "model-0000.params"


def test_golden_features(checkpoints: Path, testdata: Path, chips: np.ndarray) -> None:
    expected = stagefiles.read(testdata / "golden/jurassic/face_val.pkl")["tt0107290"]
    got = open_arcface(*files(checkpoints), CPU).embed(chips)
    assert got.dtype == np.float32
    # Not the direction only: the length too is the original's.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("batch", [1, 7, 46, 47, 100])
def test_batches_change_nothing(checkpoints: Path, chips: np.ndarray, batch: int, streams: int) -> None:
    session = open_checkpoint(*files(checkpoints), CPU, cores=1)
    expected = ArcFace(session, 32).embed(chips)
    np.testing.assert_allclose(ArcFace(session, batch, streams).embed(chips), expected, rtol=0, atol=1e-4)


def test_no_chips(checkpoints: Path) -> None:
    assert open_arcface(*files(checkpoints), CPU).embed(np.zeros((0, 3, 112, 112), np.uint8)).shape == (0, 128)
