"""Unit rows, and the exactness of their products."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from castsearch.ranking import RankingError, unit_rows
from castsearch.ranking.threads import Resources
from castsearch.ranking.unit import UnitRows, cosine_tile, cosines, squared_dist_tile, tiled, write_unit_rows

RESOURCES = Resources.within(1 << 30)


def unit(seed: int, n: int, width: int) -> UnitRows:
    return UnitRows(np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32))


def every(rows: UnitRows) -> np.ndarray:
    return np.arange(len(rows))


def test_rows_are_normalised_on_the_grid() -> None:
    features = np.random.default_rng(0).normal(size=(50, 512)) * np.logspace(-35, 35, 50)[:, None]
    features = features.astype(np.float32)
    rows = unit_rows(features)
    assert rows.dtype == np.float32
    wide = features.astype(np.float64)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    assert np.abs(rows - expected).max() <= 2.0**-26
    np.testing.assert_array_equal(rows * 2.0**26, np.rint(rows * 2.0**26))


def test_rows_may_be_written_in_their_own_place() -> None:
    features = np.random.default_rng(1).normal(size=(9, 5)).astype(np.float32)
    expected = unit_rows(features)
    write_unit_rows(features, features, "features")
    np.testing.assert_array_equal(features, expected)


def test_matrices_of_cosines_are_exact() -> None:
    some = unit(1, 6, 200)
    rows = [[Fraction(float(value)) for value in row] for row in some.rows]
    dots = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]
    exact = np.array([[float(dot) / np.sqrt(float(dots[i][i]) * float(dots[j][j])) for j, dot in enumerate(row)]
                      for i, row in enumerate(dots)])  # fmt: skip
    np.testing.assert_array_equal(cosines(some, every(some), every(some), RESOURCES), exact.astype(np.float32))


def test_products_do_not_depend_on_place_or_block(monkeypatch: pytest.MonkeyPatch) -> None:
    some = unit(2, 203, 77)
    whole = cosines(some, every(some), every(some), RESOURCES)
    order = np.random.default_rng(3).permutation(203)
    np.testing.assert_array_equal(cosines(some, order, order, RESOURCES), whole[np.ix_(order, order)])
    shuffled = UnitRows(some.features[order])
    np.testing.assert_array_equal(cosines(shuffled, every(some), every(some), RESOURCES), whole[np.ix_(order, order)])
    monkeypatch.setattr("castsearch.ranking.unit.tile_rows", lambda width: 13)
    np.testing.assert_array_equal(cosines(some, every(some), every(some), RESOURCES), whole)


@pytest.mark.parametrize("scale", [1, 1e25, 1e-25])
def test_equal_rows_are_at_distance_zero_and_cosine_one(scale: float) -> None:
    features = np.random.default_rng(4).normal(size=(40, 129)).astype(np.float32) * np.float32(scale)
    features[17] = features[3]
    some = UnitRows(features)
    dist = tiled(some, every(some), every(some), squared_dist_tile, RESOURCES)
    sim = tiled(some, every(some), every(some), cosine_tile, RESOURCES)
    for matrix, itself in ((dist, 0), (sim, 1)):
        assert matrix[3, 17] == itself
        assert (np.diag(matrix) == itself).all()
        np.testing.assert_array_equal(matrix[:, 3], matrix[:, 17])
    pairs = np.repeat(every(some), 40), np.tile(every(some), 40)
    sim, dist = some.pair_cosines(*pairs).reshape(40, 40), some.pair_squared_dists(*pairs).reshape(40, 40)
    for matrix, itself in ((dist, 0), (sim, 1)):
        assert (np.diag(matrix) == itself).all()
        np.testing.assert_array_equal(matrix[:, 3], matrix[:, 17])
        np.testing.assert_array_equal(matrix, matrix.T)


def test_pairs_are_as_exact_as_float64() -> None:
    """Where rows lie so near each other that rounded unit rows would not tell them apart."""
    rng = np.random.default_rng(6)
    features = (rng.normal(size=64) + 1e-6 * rng.normal(size=(30, 64))).astype(np.float32)
    wide = features.astype(np.longdouble)
    wide /= np.sqrt((wide**2).sum(axis=1, keepdims=True))
    first, second = np.triu_indices(30, 1)
    expected = ((wide[first] - wide[second]) ** 2).sum(axis=1).astype(np.float64)
    np.testing.assert_allclose(UnitRows(features).pair_squared_dists(first, second), expected, rtol=0, atol=2e-15)


@pytest.mark.parametrize(("value", "why"), [(0.0, "all zero"), (np.nan, "not finite"), (np.inf, "not finite")])
def test_rows_without_direction_are_refused(value: float, why: str) -> None:
    features = np.ones((5, 3), dtype=np.float32)
    features[2] = value
    with pytest.raises(RankingError, match=f"features: row 2 is {why}"):
        unit_rows(features)


def test_lengths_beyond_float32_are_refused() -> None:
    with pytest.raises(RankingError, match="features: row 0 is not finite"):
        unit_rows(np.full((1, 3), 1e300))


def test_shape_is_checked() -> None:
    with pytest.raises(RankingError, match=r"expected an \(N, d\) array, got shape \(3,\)"):
        unit_rows(np.ones(3))
