"""Portraits that a face fills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castsearch.faces import open_pack
from castsearch.faces.closeups import ENLARGED, detect_portrait
from castsearch.images import read_image
from castsearch.stagefiles import Faces


class FakePack:
    """Finds one box, given as shares of the picture, in the pictures of the given numbers."""

    def __init__(self, *sees: int, box: tuple[float, float, float, float] = (0.4, 0.4, 0.6, 0.6)) -> None:
        self.sees, self.box, self.sizes = sees, np.array(box), []

    def detect(self, image: np.ndarray) -> Faces:
        height, width = image.shape[:2]
        self.sizes.append((width, height))
        if len(self.sizes) - 1 not in self.sees:
            return Faces.none()
        box = (self.box * [width, height, width, height]).astype(np.float32)
        return Faces(box[None], np.ones(1, np.float32), np.repeat(box[None, None, :2], 5, axis=1))


def test_first_finding_stands() -> None:
    pack = FakePack(0, 1, 2)
    faces = detect_portrait(pack, np.zeros((100, 80, 3), np.uint8))  # type: ignore[arg-type]
    assert pack.sizes == [(80, 100)]
    np.testing.assert_allclose(faces.boxes, [[32, 40, 48, 60]])


@pytest.mark.parametrize("turn", [1, 2])
def test_coordinates_come_back(turn: int) -> None:
    pack = FakePack(turn)
    faces = detect_portrait(pack, np.zeros((100, 80, 3), np.uint8))  # type: ignore[arg-type]
    times = ENLARGED[turn - 1]
    assert pack.sizes[-1] == (80 * times, 100 * times)
    # 0.4 to 0.6 of the bordered picture, about the same middle.
    low, high = 0.5 - 0.1 * times, 0.5 + 0.1 * times
    np.testing.assert_allclose(faces.boxes, [[80 * low, 100 * low, 80 * high, 100 * high]], rtol=1e-5)
    np.testing.assert_allclose(faces.landmarks[0, 0], [80 * low, 100 * low], rtol=1e-5)


def test_large_portrait_is_shrunk_and_boxes_are_cut_at_its_edge() -> None:
    pack = FakePack(1, box=(0.1, 0.4, 0.6, 0.6))
    faces = detect_portrait(pack, np.zeros((3000, 2000, 3), np.uint8))  # type: ignore[arg-type]
    assert max(pack.sizes[1]) <= 1201
    np.testing.assert_allclose(faces.boxes, [[0, 900, 1400, 2100]], atol=3)
    assert faces.landmarks[0, 0, 0] == pytest.approx(-600, abs=5)  # landmarks are not cut


def test_what_lies_in_the_border_is_no_face() -> None:
    pack = FakePack(1, box=(0.0, 0.0, 0.2, 0.2))
    assert len(detect_portrait(pack, np.zeros((100, 100, 3), np.uint8))) == 0  # type: ignore[arg-type]


def test_real_face_that_fills_the_picture(checkpoints: Path, testdata: Path) -> None:
    pack = open_pack(str(checkpoints), -1)
    for path in sorted((testdata / "data/jurassic/origin/val").glob("*/cast/*.jpg")):
        image = read_image(path)
        whole = pack.detect(image)
        x1, y1, x2, y2 = whole.boxes[0]
        corners = np.array([[x1, y1], [x2, y2]])
        inset = 0.2 * (corners[1] - corners[0])  # leaves eyes to mouth, nothing else
        (left, top), (right, bottom) = (corners + np.array([inset, -inset])).clip(0).astype(int)
        close = np.ascontiguousarray(image[top:bottom, left:right])
        assert len(pack.detect(close)) == 0
        found = detect_portrait(pack, close)
        assert len(found) == 1
        error = np.abs(found.landmarks[0] + [left, top] - whole.landmarks[0]).max()
        assert error < 0.08 * (x2 - x1)
