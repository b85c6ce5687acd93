"""Which face counts: the original's rules, case by case."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.faces.selection import portrait_doubt, select_candidate, select_portrait
from castsearch.stagefiles import Faces

SIZE = (300, 300)
CENTRAL = [100, 50, 200, 150]  # its centre is the point where a face is expected
LOW = [120, 180, 180, 240]
LEFT = [0, 50, 90, 150]
TINY = [145, 95, 155, 105]


def faces(*boxes, scores=None):
    rows = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    scores = np.full(len(rows), 0.99) if scores is None else np.array(scores)
    return Faces(rows, scores, np.zeros((len(rows), 5, 2)))


def test_a_portrait_takes_its_only_face_however_unsure():
    assert select_portrait(faces(TINY, scores=[0.1]), SIZE) == 0


@pytest.mark.parametrize(("scores", "expected"), [((0.96, 0.96), 1), ((0.96, 0.95), 0), ((0.95, 0.95), None)])
def test_among_several_a_portrait_takes_sure_ones(scores, expected):
    assert select_portrait(faces(LOW, CENTRAL, scores=scores), SIZE) == expected


@pytest.mark.parametrize(
    ("found", "scores", "limited", "free"),
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
def test_a_candidate_takes_the_best_placed_within_limits(found, scores, limited, free):
    assert select_candidate(faces(*found, scores=scores), SIZE) == limited
    assert select_candidate(faces(*found, scores=scores), SIZE, limits=False) == free


def test_equals_go_to_the_first():
    assert select_candidate(faces(LOW, LOW, scores=[0.95, 0.99]), SIZE) == 0


@pytest.mark.parametrize(
    ("box", "admitted"),
    [
        # 600 x 250: a fiftieth is 3000 pixels, the middle two thirds reach from 100 to 500, excluding their ends.
        ([250, 0, 310, 50], False),
        ([250, 0, 311, 50], True),
        ([250, 0, 310, 51], True),
        ([280, 190, 340, 241], True),  # the size counts, not the place from the top
        ([60, 0, 140, 100], False),
        ([61, 0, 141, 100], True),
        ([460, 0, 540, 100], False),
        ([459, 0, 539, 100], True),
        ([20, 0, 182, 100], True),  # its left side lies outside
    ],
)
def test_limits_are_exclusive(box, admitted):
    assert select_candidate(faces(box), (600, 250)) == (0 if admitted else None)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        # A person's face is expected at (300, 100) in 600 x 300. Merit: area over distance.
        (([290, 40, 390, 140], [210, 110, 310, 210]), 0),  # distance 41.2 against 72.1
        (([200, 50, 300, 150], [300, 100, 410, 200]), 0),  # 10000 / 50 against 11000 / 74.3
        (([200, 50, 300, 150], [270, 40, 380, 190]), 1),  # 10000 / 50 against 16500 / 29.2
        (([300, 50, 400, 150], [200, 60, 310, 140]), 0),  # 10000 / 50 = 200 against 8800 / 45 = 195.6
        (([300, 50, 400, 150], [200, 59, 310, 141]), 1),  # against 9020 / 45 = 200.4
        (([250, 120, 350, 220], [250, -10, 350, 90]), 1),  # 70 below against 60 above
    ],
)
def test_best_placed_is_area_over_distance(boxes, expected):
    assert select_candidate(faces(*boxes), (600, 300)) == expected
    assert select_portrait(faces(*boxes), (600, 300)) == expected


def test_a_face_at_the_very_place_beats_a_larger_one():
    """Its distance counts as a millionth of a pixel: 100 / 1e-6 beats any area a picture can have."""
    found = faces([0, 0, 598, 200], [295, 95, 305, 105])
    assert select_candidate(found, (600, 300), limits=False) == 1
    assert select_portrait(found, (600, 300)) == 1


def test_an_unsure_face_does_not_win_by_its_place():
    assert select_portrait(faces(CENTRAL, LOW, scores=[0.9, 0.96]), SIZE) == 1
    assert select_candidate(faces(CENTRAL, LOW, scores=[0.8, 0.96]), SIZE) == 1


def test_limits_hold_at_once():
    """Each candidate fails one of them; none is left."""
    assert select_candidate(faces(CENTRAL, LEFT, TINY, scores=[0.9, 0.99, 0.99]), SIZE) is None


def test_of_two_faces_at_the_very_place_the_larger_wins():
    assert select_candidate(faces([290, 90, 310, 110], [250, 50, 350, 150]), (600, 300), limits=False) == 1


def doubt_of(*rows, size=(200, 200)):
    """The doubt about a portrait with faces x1 y1 x2 y2 score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return portrait_doubt(Faces(table[:, :4], table[:, 4], None), size)


def test_a_single_face_is_never_in_doubt():
    assert doubt_of((10, 10, 20, 20, 0.3)) is None


def test_no_face_is_a_doubt():
    assert doubt_of().startswith("no face; ")
    assert doubt_of(size=None).startswith("no face; ")


def test_faces_none_of_them_sure_are_a_doubt():
    """Sure is above 0.95; the middle of the picture is embedded then, since no face is selected."""
    rows = [(10, 10, 20, 20, 0.95), (50, 50, 90, 90, 0.5)]
    for size in ((200, 200), None):
        assert doubt_of(*rows, size=size).startswith(
            "2 faces, none sure enough (the best scores 0.95, above 0.95 counts)"
        )


@pytest.mark.parametrize(("side", "alike"), [(28.2, None), (28.4, 2), (40, 2), (60, 2)])
def test_faces_of_like_size_are_a_doubt(side, alike):
    """From half of the area of the one that is taken: 40 x 40 pixels, 28.3 x 28.3 are half."""
    taken = (80, 46, 120, 86, 0.99)  # at the point where a person's face is: the middle, a third from the top
    doubt = doubt_of((0, 150, side, 150 + side, 0.99), taken)
    if alike is None:
        assert doubt is None
    else:
        assert doubt == (
            "2 faces of like size; the one at 80,46 (40 x 40 pixels) was taken: crop the portrait to the person"
        )


def test_unsure_faces_are_not_counted_among_those_of_like_size():
    rows = [(80, 46, 120, 86, 0.99), (0, 0, 40, 40, 0.95), (150, 0, 190, 40, 0.96), (0, 150, 40, 190, 0.97)]
    assert doubt_of(*rows).startswith("3 faces of like size; the one at 80,46 ")
    assert doubt_of(*rows[:2]) is None


def test_without_the_pictures_size_nobody_knows_which_was_taken():
    assert doubt_of((80, 46, 120, 86, 0.99), (0, 0, 40, 40, 0.99), size=None) is None
