"""Unit rows, and the exactness of their products."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from castsearch.ranking import RankingError, unit_rows
from castsearch.ranking.unit import cosines, squared_dists, squares, sum_products


def test_rows_are_normalised_on_the_grid() -> None:
    features = np.random.default_rng(0).normal(size=(50, 512)) * np.logspace(-20, 20, 50)[:, None]
    unit = unit_rows(features)
    assert unit.dtype == np.float32
    features = features.astype(np.float32).astype(np.float64)
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert np.abs(unit - expected).max() <= 2.0**-25
    np.testing.assert_array_equal(unit * 2.0**24, np.rint(unit * 2.0**24))


def test_cosines_are_correctly_rounded() -> None:
    unit = unit_rows(np.random.default_rng(1).normal(size=(6, 200)))
    rows = [[Fraction(float(value)) for value in row] for row in unit]
    exact = [[np.float32(float(sum(x * y for x, y in zip(a, b, strict=True)))) for b in rows] for a in rows]
    np.testing.assert_array_equal(cosines(unit, unit), exact)


def test_products_do_not_depend_on_place_or_block(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = unit_rows(np.random.default_rng(2).normal(size=(203, 77)))
    whole = cosines(unit, unit)
    order = np.random.default_rng(3).permutation(203)
    np.testing.assert_array_equal(cosines(unit[order], unit[order]), whole[np.ix_(order, order)])
    monkeypatch.setattr("castsearch.ranking.unit.TILE", 13)
    np.testing.assert_array_equal(cosines(unit, unit), whole)


def test_equal_rows_are_at_distance_zero_and_tie() -> None:
    unit = unit_rows(np.random.default_rng(4).normal(size=(40, 129)))
    unit[17] = unit[3]
    dist = squared_dists(unit, unit, squares(unit), squares(unit))
    assert dist[3, 17] == 0
    assert (np.diag(dist) == 0).all()
    np.testing.assert_array_equal(dist[:, 3], dist[:, 17])


def test_product_with_a_sum_is_the_sum_of_the_products() -> None:
    unit = unit_rows(np.random.default_rng(5).normal(size=(3000, 64)) + 1)
    sums = unit[:2900].sum(axis=0, dtype=np.float64)[None]
    exact = [
        float(sum(Fraction(float(x)) * Fraction(float(s)) for x, s in zip(row, sums[0], strict=True)))
        for row in unit[2900:]
    ]
    np.testing.assert_array_equal(sum_products(sums, unit[2900:])[0], exact)


@pytest.mark.parametrize(("value", "why"), [(0.0, "all zero"), (np.nan, "not finite"), (np.inf, "not finite")])
def test_rows_without_direction_are_refused(value: float, why: str) -> None:
    features = np.ones((5, 3), dtype=np.float32)
    features[2] = value
    with pytest.raises(RankingError, match=f"features: row 2 is {why}"):
        unit_rows(features)


def test_shape_is_checked() -> None:
    with pytest.raises(RankingError, match=r"expected an \(N, d\) array, got shape \(3,\)"):
        unit_rows(np.ones(3))
