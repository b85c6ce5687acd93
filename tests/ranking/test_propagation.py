"""Spreading from sure hits to look-alikes, against the dense matrix that the contract speaks of."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from castsearch.ranking.propagation import NO_FACE_SIM, best_first, mean_sim, propagate
from castsearch.ranking.unit import Tile, UnitRows, products_with_sums


def faces_of(seed: int, n: int, width: int = 12) -> Tile:
    return UnitRows(np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)).tile(slice(None))


def dense(faces: Tile, has_face: np.ndarray) -> np.ndarray:
    rows = faces.rows.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sim = rows @ rows.T
    sim[~has_face] = sim[:, ~has_face] = -2
    return sim


@pytest.mark.parametrize("seen", [0.0, 0.1, 0.5, 1.0])
def test_mean_similarity_is_the_mean_of_the_matrix(seen: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faceless among the matches included, which are at -2 from everyone."""
    faces, has_face = faces_of(0, 90), np.random.default_rng(1).random(90) < seen
    matches = [np.array([3, 50, 7]), np.array([8]), np.arange(40)]
    expected = np.stack([dense(faces, has_face)[:, own].mean(axis=1) for own in matches])
    np.testing.assert_allclose(mean_sim(matches, faces, has_face), expected, rtol=0, atol=1e-7)
    whole = mean_sim(matches, faces, has_face)
    monkeypatch.setattr("castsearch.ranking.propagation.tile_rows", lambda width: 7)
    np.testing.assert_array_equal(mean_sim(matches, faces, has_face), whole)


def test_no_match_is_like_nobody() -> None:
    assert (mean_sim([np.zeros(0, np.int64)], faces_of(2, 4), np.ones(4, bool)) == NO_FACE_SIM).all()


def test_each_step_means_over_the_matches_so_far() -> None:
    faces, has_face = faces_of(3, 200, 6), np.random.default_rng(4).random(200) < 0.8
    cast_sim = np.random.default_rng(5).uniform(-1, 1, size=(4, 200)).astype(np.float32)
    cast_sim[0] = -0.9  # nobody sure: the best five
    thresholds = (0.9, 0.3, 0.1, -0.1)
    found = propagate(cast_sim, faces, has_face, thresholds)
    for own, last, row in zip(found.matches, found.last_sim, np.where(has_face, cast_sim, -2), strict=True):
        expected = best_first(row, np.flatnonzero(row > thresholds[0]))
        expected = expected if len(expected) >= 5 else best_first(row)[:5]
        for threshold in thresholds[1:]:
            mean = dense(faces, has_face)[:, expected].mean(axis=1)
            joining = np.setdiff1d(np.flatnonzero(mean > threshold), expected)
            expected = np.concatenate([expected, best_first(mean, joining)])
        np.testing.assert_array_equal(own.order, expected)
        np.testing.assert_allclose(last, mean, rtol=0, atol=1e-7)


def test_one_threshold_leaves_the_first_similarity() -> None:
    faces, has_face = faces_of(6, 9), np.arange(9) > 2
    cast_sim = np.linspace(-1, 1, 9, dtype=np.float32)[None]
    found = propagate(cast_sim, faces, has_face, (0.2,))
    np.testing.assert_array_equal(found.last_sim, np.where(has_face, cast_sim, np.float32(-2)))
    np.testing.assert_array_equal(found.matches[0].order, [8, 7, 6, 5, 4])


def test_products_with_sums_are_exact_on_the_grid() -> None:
    """Sums of many rows, cut into parts whose products are exact: a plain product would round."""
    unit = faces_of(7, 300, 40)
    sums = unit.rows[:290].sum(axis=0, dtype=np.float64)[None] * 1000
    exact = [
        float(sum(Fraction(float(x)) * Fraction(float(s)) for x, s in zip(row, sums[0], strict=True)))
        for row in unit.rows[290:]
    ]
    rest = Tile(unit.rows[290:], unit.square[290:])
    np.testing.assert_array_equal(products_with_sums(sums, rest)[0], exact / np.sqrt(rest.square))


def test_best_come_first_and_equal_ones_by_index() -> None:
    score = np.array([1, 3, 3, 0, 3], np.float32)
    np.testing.assert_array_equal(best_first(score), [1, 2, 4, 0, 3])
    np.testing.assert_array_equal(best_first(score, np.array([0, 2, 4])), [2, 4, 0])
