"""Which face counts: the original's rules, case by case."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.faces.selection import select_candidate, select_portrait

SIZE = (300, 300)
CENTRAL = [100, 50, 200, 150]  # its centre is the point where a face is expected
LOW = [120, 180, 180, 240]
LEFT = [0, 50, 90, 150]
TINY = [145, 95, 155, 105]


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def test_a_portrait_takes_its_only_face_however_unsure():
    assert select_portrait(boxes(TINY), np.array([0.1]), SIZE) == 0


@pytest.mark.parametrize(("scores", "expected"), [((0.96, 0.96), 1), ((0.96, 0.95), 0), ((0.95, 0.95), None)])
def test_among_several_a_portrait_takes_sure_ones(scores, expected):
    assert select_portrait(boxes(LOW, CENTRAL), np.array(scores), SIZE) == expected


@pytest.mark.parametrize(
    ("faces", "scores", "limited", "free"),
    [
        ((CENTRAL, LOW), (0.95, 0.95), 0, 0),
        ((CENTRAL, LOW), (0.90, 0.95), 1, 0),
        ((LEFT,), (0.99,), None, 0),
        ((TINY,), (0.99,), None, 0),
        ((CENTRAL,), (0.90,), None, 0),
        ((), (), None, None),
    ],
    ids=["best placed", "score", "off the middle", "too small", "unsure", "no face"],
)
def test_a_candidate_takes_the_best_placed_within_limits(faces, scores, limited, free):
    assert select_candidate(boxes(*faces), np.array(scores), SIZE) == limited
    assert select_candidate(boxes(*faces), np.array(scores), SIZE, limits=False) == free


def test_equals_go_to_the_first():
    assert select_candidate(boxes(LOW, LOW), np.array([0.95, 0.99]), SIZE) == 0
