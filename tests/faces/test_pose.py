from __future__ import annotations

import numpy as np
import pytest

from castsearch.faces.pose import off_axis

FRONT = np.array([[40, 50], [80, 50], [60, 70], [45, 90], [75, 90]], float)  # eyes, nose, corners of the mouth


def test_a_face_that_looks_at_us() -> None:
    assert off_axis(FRONT, "open") == 0


@pytest.mark.parametrize(("nose", "off"), [(70, 0.25), (50, 0.25), (100, 1.0)])
def test_the_nose_tells(nose: float, off: float) -> None:
    turned = FRONT.copy()
    turned[2, 0] = nose
    assert off_axis(turned, "r50-r100") == pytest.approx(off)


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
def test_how_the_head_is_tilted_does_not_matter(degrees: float) -> None:
    turned = FRONT.copy()
    turned[2, 0] = 70
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert off_axis(3 * turned @ rotation.T + 100, "open") == pytest.approx(0.25)


def test_dlibs_points_are_corners_of_eyes() -> None:
    points = np.array([[35, 50], [45, 50], [85, 50], [75, 50], [70, 75]], float)
    assert off_axis(points, "dlib") == pytest.approx(0.25)


def test_eyes_behind_each_other() -> None:
    turned = FRONT.copy()
    turned[1] = turned[0]
    assert off_axis(turned, "open") == 0 or np.isfinite(off_axis(turned, "open"))
