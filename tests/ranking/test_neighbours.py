"""Neighbour lists: exact, ties by index, whatever the blocks and the threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from castsearch.ranking import Neighbours, neighbours, unit_rows
from castsearch.ranking.nearest import most_similar, product_table, unit_neighbours

Clustered = Callable[..., np.ndarray]


def plain(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    unit = unit_rows(features).astype(np.float64)
    square = (unit**2).sum(axis=1)
    dist = (square[:, None] + square - 2 * unit @ unit.T).astype(np.float32)
    return np.argsort(dist, axis=1, kind="stable")[:, :k], dist


def assert_plain(found: Neighbours, features: np.ndarray, k: int) -> None:
    index, dist = plain(features, k)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.squared_dist, np.take_along_axis(dist, index, axis=1))
    np.testing.assert_array_equal(found.largest, dist.max(axis=1))


@pytest.mark.parametrize("n", [1, 5, 21, 200, 1500])
@pytest.mark.parametrize("k", [1, 9, 21])
def test_lists_are_the_sorted_distances(clustered: Clustered, n: int, k: int) -> None:
    features = clustered(n, n)
    assert_plain(neighbours(features, k), features, k)


def test_tiles_and_table_change_nothing(clustered: Clustered, monkeypatch: pytest.MonkeyPatch) -> None:
    features = clustered(1, 1200)
    unit = unit_rows(features)
    assert_plain(unit_neighbours(unit, 7, table=product_table(unit)), features, 7)
    monkeypatch.setattr("castsearch.ranking.nearest.TILE_ROWS", 50)
    monkeypatch.setattr("castsearch.ranking.nearest.TILE_COLUMNS", 170)
    assert_plain(neighbours(features, 7), features, 7)


def test_threads_change_nothing(clustered: Clustered) -> None:
    features = clustered(2, 3000, 64)
    with threadpool_limits(1):
        alone = neighbours(features, 21)
    together = neighbours(features, 21)
    np.testing.assert_array_equal(alone.index, together.index)
    np.testing.assert_array_equal(alone.squared_dist, together.squared_dist)
    np.testing.assert_array_equal(alone.largest, together.largest)


@pytest.mark.parametrize("copies", [2, 300, 700])
def test_equal_points_tie_by_index(clustered: Clustered, copies: int) -> None:
    """Many copies crowd the shortlists, so that whole rows are computed exactly."""
    features = clustered(3, 700)
    features[np.random.default_rng(0).permutation(700)[:copies]] = features[0]
    features[5] = -features[0]
    assert_plain(neighbours(features, 9), features, 9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 400), st.integers(1, 12), st.booleans())
def test_permuted_points_have_permuted_neighbours(
    clustered: Clustered, seed: int, n: int, k: int, coarse: bool
) -> None:
    features = clustered(seed, n, 8)
    if coarse:  # many equal points and distances
        features = np.rint(features) + 0.5
    order = np.random.default_rng(seed).permutation(n)
    before, after = neighbours(features, k), neighbours(features[order], k)
    np.testing.assert_array_equal(after.squared_dist, before.squared_dist[order])
    np.testing.assert_array_equal(after.largest, before.largest[order])
    untied = np.diff(before.squared_dist, axis=1, append=np.inf) > 0
    untied &= np.diff(before.squared_dist, axis=1, prepend=-np.inf) > 0
    untied[:, -1] = False  # the next one may tie with it
    np.testing.assert_array_equal(order[after.index][untied[order]], before.index[order][untied[order]])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 400))
def test_a_far_point_changes_no_list(clustered: Clustered, seed: int, n: int) -> None:
    features = np.abs(clustered(seed, n, 8))
    before = neighbours(features, 9)
    after = neighbours(np.concatenate([features, -np.ones((1, 8), np.float32)]), 9)
    np.testing.assert_array_equal(after.index[:n], before.index)
    np.testing.assert_array_equal(after.squared_dist[:n], before.squared_dist)


@pytest.mark.parametrize("copies", [1, 400])
@pytest.mark.parametrize("k", [1, 3])
def test_most_similar_are_the_largest_cosines(clustered: Clustered, k: int, copies: int) -> None:
    unit = unit_rows(clustered(4, 900))
    unit[100 : 100 + copies] = unit[0]
    queries, points = unit[:90], unit[90:]
    expected = (queries.astype(np.float64) @ points.astype(np.float64).T).astype(np.float32)
    expected = -np.sort(-expected, axis=1)[:, :k]
    np.testing.assert_array_equal(most_similar(queries, points, k), expected)
    known, rows = unit @ points.T, np.arange(90)
    sifted = most_similar(queries, points, k, sift=lambda shortlist: shortlist.scan_chosen(known, rows, None))
    np.testing.assert_array_equal(sifted, expected)
