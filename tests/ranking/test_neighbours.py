"""Neighbour lists: exact, ties by index, whatever the blocks and the threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.ranking import RankingError, neighbours
from castsearch.ranking.nearest import NearPairs, View, largest, margin, most_similar, smallest, symmetric_pairs
from castsearch.ranking.threads import Resources
from castsearch.ranking.unit import UnitRows

Clustered = Callable[..., np.ndarray]
RESOURCES = Resources.within(1 << 30)


def exact_sim(features: np.ndarray) -> np.ndarray:
    """(N, N) cosines, each summed in one order."""
    some, n = UnitRows(features), len(features)
    return some.pair_cosines(np.repeat(np.arange(n), n), np.tile(np.arange(n), n)).reshape(n, n)


def plain(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    dist = np.maximum(2 - 2 * exact_sim(features), 0)
    return np.argsort(dist.astype(np.float32), axis=1, kind="stable")[:, :k], dist


def assert_plain(pairs: NearPairs, features: np.ndarray, k: int) -> None:
    index, dist = plain(features, k)
    found = pairs.nearest(k)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.squared_dist, np.take_along_axis(dist, index, axis=1).astype(np.float32))
    np.testing.assert_array_equal(pairs.farthest(), dist.max(axis=1))


def sifted(features: np.ndarray, k: int, table: np.ndarray | None = None) -> NearPairs:
    return NearPairs(UnitRows(features), k, RESOURCES, farthest=True, table=table)


@pytest.mark.parametrize("n", [1, 5, 21, 200, 1500])
@pytest.mark.parametrize("k", [1, 9, 21])
def test_lists_are_the_sorted_distances(clustered: Clustered, n: int, k: int) -> None:
    features = clustered(n, n)
    assert_plain(sifted(features, k), features, k)
    found = neighbours(features, k)
    np.testing.assert_array_equal(found.index, plain(features, k)[0])


def test_lists_may_be_shorter_than_the_sieve_allows(clustered: Clustered) -> None:
    features = clustered(5, 400)
    pairs = sifted(features, 21)
    np.testing.assert_array_equal(pairs.nearest(4).index, plain(features, 4)[0])


def test_lists_by_another_key_are_sorted_by_it(clustered: Clustered) -> None:
    """A key that rounds ties more points, which then go by index, those beyond the k nearest among them."""
    features = clustered(6, 600, 8)
    key = np.rint(2 * plain(features, 1)[1]).astype(np.float32)
    index, value = sifted(features, 600).lists(5, lambda squared, rows: np.rint(2 * squared))
    expected = np.argsort(key, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(value, np.take_along_axis(key, expected, axis=1))


def test_tiles_and_table_change_nothing(clustered: Clustered, monkeypatch: pytest.MonkeyPatch) -> None:
    features = clustered(1, 1200)
    monkeypatch.setattr("castsearch.ranking.nearest.TILE", 170)
    table = np.full((1200, 1200), np.nan, np.float32)
    assert_plain(sifted(features, 7, table), features, 7)
    np.testing.assert_allclose(table, exact_sim(features), rtol=0, atol=margin(features.shape[1]) / 2)


def test_threads_change_nothing(clustered: Clustered) -> None:
    unit = UnitRows(clustered(2, 3000, 64))
    alone, together = (NearPairs(unit, 21, Resources(0, threads), farthest=True) for threads in (1, 3))
    np.testing.assert_array_equal(alone.nearest(21).index, together.nearest(21).index)
    np.testing.assert_array_equal(alone.nearest(21).squared_dist, together.nearest(21).squared_dist)
    np.testing.assert_array_equal(alone.farthest(), together.farthest())


@pytest.mark.parametrize("spread", [1e-3, 1e-4, 3e-5])
def test_near_equal_rows_need_the_margin(spread: float) -> None:
    """Rows nearer to each other than float32 products can tell: only exact pairs sort them."""
    rng = np.random.default_rng(0)
    hubs = rng.normal(size=(40, 512))
    features = (hubs[rng.integers(40, size=1600)] + spread * rng.normal(size=(1600, 512))).astype(np.float32)
    assert_plain(sifted(features, 9), features, 9)
    queries, points = np.arange(0, 1600, 7), np.arange(3, 1600, 2)
    expected = -np.sort(-exact_sim(features)[np.ix_(queries, points)].astype(np.float32), axis=1)[:, :3]
    np.testing.assert_array_equal(most_similar([View(UnitRows(features))], queries, points, 3, RESOURCES), expected)


@pytest.mark.parametrize("copies", [2, 300, 700])
def test_equal_points_tie_by_index(clustered: Clustered, copies: int) -> None:
    """Many copies crowd the shortlists, so that whole rows are computed exactly."""
    features = clustered(3, 700)
    features[np.random.default_rng(0).permutation(700)[:copies]] = features[0]
    features[5] = -features[0]
    assert_plain(sifted(features, 9), features, 9)


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
def test_most_similar_have_the_largest_mean_cosines(clustered: Clustered, k: int, copies: int) -> None:
    first, second = clustered(4, 900), clustered(5, 900, 40)
    for features in (first, second):
        features[100 : 100 + copies] = features[0]
    queries, points = np.arange(0, 900, 10), np.arange(90, 900)
    units = [UnitRows(features) for features in (first, second)]
    sims = [exact_sim(features)[np.ix_(queries, points)] for features in (first, second)]
    table = first @ first.T / np.outer(*[np.linalg.norm(first, axis=1)] * 2)
    for views, sim in (
        ([View(units[0])], sims[0]),
        ([View(units[0], table)], sims[0]),
        ([View(units[0], table), View(units[1])], np.mean(sims, axis=0)),
    ):
        expected = -np.sort(-sim.astype(np.float32), axis=1)[:, :k]
        np.testing.assert_array_equal(most_similar(views, queries, points, k, RESOURCES), expected)


def test_fewer_points_than_are_asked_for(clustered: Clustered) -> None:
    views = [View(UnitRows(clustered(7, 30)))]
    assert most_similar(views, np.arange(30), np.arange(2), 3, RESOURCES).shape == (30, 2)
    assert most_similar(views, np.arange(0), np.arange(2), 3, RESOURCES).shape == (0, 2)
    assert most_similar(views, np.arange(30), np.arange(0), 3, RESOURCES).shape == (30, 0)


def test_smallest_and_largest() -> None:
    values = np.random.default_rng(0).integers(0, 6, size=(50, 20)).astype(np.float32)
    for k in (0, 1, 7, 20):
        np.testing.assert_array_equal(smallest(values, k), np.argsort(values, axis=1, kind="stable")[:, :k])
        np.testing.assert_array_equal(largest(values, k), -np.sort(-values, axis=1)[:, :k])
    assert largest(values, 30).shape == (50, 20)
    assert smallest(values[:0], 3).shape == (0, 3)


def test_pairs_of_blocks_come_once_each() -> None:
    assert sorted(symmetric_pairs(5)) == [(i, j) for i in range(5) for j in range(i, 5)]
    assert sorted(symmetric_pairs(5, 2)) == [(i, j) for i in range(2) for j in range(i, 5)]


def test_no_neighbour_is_an_error() -> None:
    with pytest.raises(RankingError, match="k = 0: expected at least 1 neighbour"):
        neighbours(np.ones((3, 2)), 0)


@pytest.mark.parametrize("n", [1, 30, 400])
def test_a_table_is_filled_with_and_without_a_sieve(clustered: Clustered, n: int) -> None:
    features = clustered(8, n)
    table = np.full((n, n), np.nan, np.float32)
    pairs = sifted(features, 9, table)
    np.testing.assert_allclose(table, exact_sim(features), rtol=0, atol=margin(features.shape[1]) / 2)
    assert_plain(pairs, features, 9)


def test_lists_have_their_types(clustered: Clustered) -> None:
    for n in (5, 400):
        found = neighbours(clustered(9, n), 3)
        assert (found.index.dtype, found.squared_dist.dtype) == (np.int32, np.float32)
        best = most_similar([View(UnitRows(clustered(9, n)))], np.arange(n), np.arange(n), 2, RESOURCES)
        assert best.dtype == np.float32


@pytest.mark.parametrize("width", [1, 64, 512, 16_384])
def test_the_margin_covers_the_error_that_is_proven(width: int) -> None:
    """Twice the error of a float32 sum of ``width`` products, of two rows' rounding, and a few roundings of the key."""
    unit = 2.0**-24
    proven = 2 * width * unit / (1 - width * unit) + 2 * np.sqrt(width) * unit / 4 + 8 * unit
    assert proven <= margin(width) <= 4 * proven
