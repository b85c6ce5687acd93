"""How each place was found: a movie small enough to rank by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from castsearch.ranking import MovieFeatures, Ranked, Settings, rank
from castsearch.ranking.ranked import BODY, DECIDED, FACE, FRAME_MATE, found, joined

# Faces, in degrees from their portrait: those of A lie in one plane, those of B in another.
FACES_OF_A = (30, 10, 20, 15, 25, 75, 95)  # candidates 0 to 6
FACES_OF_B = (0, 10, 20, 30, 40)  # 7 to 11
# Cosines of bodies with A's one outfit, which 0 to 6 wear, and 12 and 14: nine in all, as many as smoothing takes.
BODIES_OF_B = (0.1, 0.0, 0.3, 0.2, 0.3)  # 7 to 11
FACELESS = (1.0, 0.5, 1.0, 0.8)  # 12 to 15
SHARED = {1: "one", 14: "one", 2: "two", 8: "two", 7: "three", 15: "three"}  # frames of two boxes


def degrees_from(axis: int, degrees: float) -> np.ndarray:
    """A face in the plane of that axis and the next one."""
    face = np.zeros(4)
    face[axis : axis + 2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return face


def body(cosine: float, away: int) -> np.ndarray:
    """A body at that cosine from A's outfit, along the first axis; the rest of it along another."""
    outfit = np.zeros(5)
    outfit[0], outfit[away] = cosine, np.sqrt(1 - cosine**2)
    return outfit


@pytest.fixture
def movie() -> MovieFeatures:
    faces = [degrees_from(0, angle) for angle in FACES_OF_A] + [degrees_from(2, angle) for angle in FACES_OF_B]
    portraits, nothing = [degrees_from(0, 0), degrees_from(2, 0)], [np.ones(4)] * len(FACELESS)
    bodies = [body(1, 1)] * 7 + [body(c, 1) for c in BODIES_OF_B]
    bodies += [body(c, away) for c, away in zip(FACELESS, (1, 2, 1, 3), strict=True)]
    return MovieFeatures(
        name="m",
        cast=["a", "b"],
        candidates=[str(i) for i in range(16)],
        frames=[SHARED.get(i, f"frame {i}") for i in range(16)],
        faces=np.array([*portraits, *faces, *nothing], np.float32),
        has_face=np.array([True] * 14 + [False] * 4),
        bodies=[np.array(bodies, np.float32)],
    )


@pytest.fixture
def ranked(movie) -> dict[str, Ranked]:
    return dict(rank(movie, Settings(thresholds=(0.5, 0.4, 0.3))))


def cos(*degrees: float) -> float:
    return float(np.cos(np.radians(degrees)).mean())


def half_smoothed(cosine: float) -> float:
    """Half the cosine with A's outfit, half that of the smoothed body: itself, and 8 times that outfit."""
    own, others = np.e, 8 * np.exp(cosine)
    along, away = own * cosine + others, own * np.sqrt(1 - cosine**2)
    return (cosine + along / np.hypot(along, away)) / 2


def test_sections_stand_in_the_order_of_the_steps(ranked):
    a = ranked["a"]
    assert a.order.tolist() == [1, 3, 2, 4, 0, 5, 6, 12, 15, 13, 8, 14, 9, 11, 10, 7]
    assert a.found_by.tolist() == [
        *[FACE] * 5,
        *("spread 1", "spread 2"),
        *[BODY] * 3,
        *[FRAME_MATE] * 2,
        *[DECIDED] * 4,
    ]


def test_scores_are_what_each_section_is_ranked_by(ranked):
    expected = [
        *(cos(10), cos(15), cos(20), cos(25), cos(30)),  # of the portrait
        cos(65, 60, 55, 50, 45),  # mean of the five
        cos(85, 80, 75, 70, 65, 20),  # of these and whom they found
        *(1.0, half_smoothed(0.8), half_smoothed(0.5)),
        *(np.nan, np.nan),
        *(0.3, 0.3, 0.2, 0.1),
    ]
    np.testing.assert_allclose(ranked["a"].score, expected, atol=1e-6)
    assert ranked["a"].score.dtype == np.float32
    assert (ranked["a"].probability, dict(ranked["a"].evidence)) == (None, {})


def test_another_persons_matches_are_decided_unless_they_share_a_frame(ranked):
    b = ranked["b"]
    assert b.order.tolist() == [7, 8, 9, 10, 11, 12, 14, 13, 2, 15, 0, 1, 3, 4, 5, 6]
    assert b.found_by.tolist() == [FACE] * 5 + [BODY] * 3 + [FRAME_MATE] * 2 + [DECIDED] * 6
    np.testing.assert_allclose(b.score[-6:], 0.3, atol=1e-6)


def test_steps_that_find_nobody_count(movie):
    """The number is that of the step, also where a step before it found nobody."""
    a = dict(rank(movie, Settings(thresholds=(0.5, 0.45, 0.45, 0.3))))["a"]
    assert a.found_by[5:7].tolist() == ["spread 1", "spread 3"]


def test_bodies_alone_find_by_body_and_spread(movie):
    bodies = np.concatenate([[body(1, 1), body(0, 1)], movie.bodies[0]]).astype(np.float32)
    alone = replace(movie, faces=None, has_face=np.ones(18, bool), bodies=[bodies])
    a = dict(rank(alone, Settings(thresholds=(0.7, 0.6, 0.45))))["a"]
    # Nine wear the outfit, 15 is at 0.8; the rest have the mean cosine with these.
    assert a.order[:11].tolist() == [0, 1, 2, 3, 4, 5, 6, 12, 14, 15, 13]
    assert a.found_by.tolist() == [BODY] * 10 + ["spread 2"] + [BODY] * 5
    np.testing.assert_allclose(a.score[:11], [*[1.0] * 9, 0.8, (9 * 0.5 + 0.4) / 10], atol=1e-6)


def test_joined_keeps_the_first_place():
    parts = [found(np.array([3, 1]), [0.9, 0.8], FACE), found(np.array([1, 2]), 0.5, BODY)]
    whole = joined([*parts, found(np.array([0, 3, 2]), np.nan, FRAME_MATE)])
    assert whole.order.tolist() == [3, 1, 2, 0]
    assert whole.found_by.tolist() == [FACE, FACE, BODY, FRAME_MATE]
    np.testing.assert_array_equal(whole.score, np.float32([0.9, 0.8, 0.5, np.nan]))
    assert len(whole) == 4
