"""Which boxes are asked about first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.ranking.asking import APART, ASKED, asking_order

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    """Probabilities, scores, shots and what is decided of some boxes."""
    n = draw(st.integers(0, 150))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    probability = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], n) if draw(st.booleans()) else rng.random(n)
    shots = np.where(rng.random(n) < 0.8, rng.integers(draw(st.integers(1, 2000)), size=n), np.nan)
    return probability, rng.normal(size=n), shots, rng.random(n) < draw(st.floats(0, 1))


def one_by_one(probability: np.ndarray, score: np.ndarray, shots: np.ndarray, decided: np.ndarray) -> list[int]:
    """The same in plain words, for the boxes that are spread over the film."""
    rest = [box for box in range(len(probability)) if not decided[box]]
    rest.sort(key=lambda box: (abs(probability[box] - 0.5), -score[box], box))
    near, order = list(np.flatnonzero(decided)), []
    while rest and len(order) < ASKED:
        free = [box for box in rest if not any(abs(shots[box] - shots[other]) < APART for other in near)]
        if free:
            order.append(free[0])
            near.append(free[0])
            rest.remove(free[0])
        else:
            near = []
    return order


@settings(max_examples=40, deadline=None)
@given(columns())
def test_as_in_plain_words(told: Columns) -> None:
    probability, score, _, decided = told
    order = asking_order(*told).tolist()
    expected = one_by_one(*told)
    assert order[: len(expected)] == expected
    assert sorted(order) == list(range(len(probability)))
    undecided = int((~decided).sum())
    assert not decided[order[:undecided]].any()
    behind = order[len(expected) : undecided]
    doubt = np.abs(probability[behind] - 0.5)
    assert (np.diff(doubt) >= 0).all()
    same = np.diff(doubt) == 0
    assert (np.diff(score[behind])[same] <= 0).all()


def test_without_time_the_most_doubtful_come_first() -> None:
    probability, score = np.array([0.9, 0.5, 1.0, 1.0, 0.4, 0.5]), np.array([0.0, 1.0, 8.0, 9.0, 0.0, 2.0])
    assert asking_order(probability, score).tolist() == [5, 1, 4, 0, 3, 2]
    decided = np.array([False, True, False, True, False, False])
    assert asking_order(probability, score, None, decided).tolist() == [5, 4, 0, 2, 1, 3]


def test_a_decision_tells_of_the_boxes_near_in_time() -> None:
    shots = np.array([10.0, 39.0, 40.0, 100.0, np.nan])
    probability = np.array([0.5, 0.51, 0.6, 0.9, 1.0])
    decided = np.array([True, False, False, False, False])
    zero = np.zeros(5)
    assert asking_order(probability, zero, shots).tolist() == [0, 2, 3, 4, 1]  # 29 shots on is near, 30 are not
    assert asking_order(probability, zero, shots, decided).tolist() == [2, 3, 4, 1, 0]


def test_everything_decided_or_nothing_there() -> None:
    probability = np.array([0.9, 0.6])
    assert asking_order(probability, np.zeros(2), np.zeros(2), np.ones(2, bool)).tolist() == [1, 0]
    assert asking_order(np.zeros(0), np.zeros(0)).tolist() == []
    assert asking_order(np.zeros(0), np.zeros(0), np.zeros(0)).dtype == np.int64


@pytest.mark.parametrize("share", [0, 0.5])
def test_shots_of_hundreds_of_boxes_leave_their_turn_to_others(share: float) -> None:
    """Of a film of 4,000 boxes the first questions go through it all, however many of a scene are in doubt."""
    rng = np.random.default_rng(0)
    shots = np.sort(rng.integers(0, 900, 4000)).astype(float)
    probability = np.where(shots < 60, 0.5, rng.random(4000) * 0.4)
    decided = rng.random(4000) < share
    order = asking_order(probability, np.zeros(4000), shots, decided & (shots < 300))
    first = np.sort(shots[order[:15]])
    assert (np.diff(first) >= APART).all() and np.ptp(first) > 500
