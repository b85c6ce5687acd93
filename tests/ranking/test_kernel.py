"""The compiled loops against their twins in NumPy, equal bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.ranking import unit_rows
from castsearch.ranking.unit import _kernel

Sparse = tuple[np.ndarray, np.ndarray, np.ndarray]
SIZES = [(1, 1), (7, 4), (60, 9), (300, 21)]


# ---------------------------------------------------------------------------- the twins


def on_grid(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 2.0**40) / 2.0**40


def reciprocal(lists: np.ndarray, length: int) -> np.ndarray:
    lists = lists[:, :length]
    return (lists[lists] == np.arange(len(lists))[:, None, None]).any(axis=2).astype(np.uint8)


def expanded_sets(lists: np.ndarray, mutual: np.ndarray, half_mutual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def members(point: int, chosen: np.ndarray) -> np.ndarray:
        return lists[point, : chosen.shape[1]][chosen[point] > 0]

    sets = []
    for point in range(len(lists)):
        own = members(point, mutual)
        found = [own]
        for neighbour in own:
            further = members(neighbour, half_mutual)
            if 3 * np.isin(further, own).sum() > 2 * len(further):
                found.append(further)
        sets.append(np.unique(np.concatenate(found)))
    return np.cumsum([0, *map(len, sets)]), np.concatenate(sets)


def set_weights(start: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    weight = on_grid(np.exp(-scaled.astype(np.float64)))
    return on_grid(weight / np.repeat(np.add.reduceat(weight, start[:-1]), np.diff(start)))


def dense(sparse: Sparse, n_columns: int) -> np.ndarray:
    start, column, weight = sparse
    out = np.zeros((len(start) - 1, n_columns))
    out[np.repeat(np.arange(len(start) - 1), np.diff(start)), column] = weight
    return out


# ---------------------------------------------------------------------------- what they are fed


def lists_of(n: int, k: int) -> np.ndarray:
    points = np.random.default_rng(n).normal(size=(n, 3))
    dist = ((points[:, None] - points) ** 2).sum(axis=2)
    return np.ascontiguousarray(np.argsort(dist, axis=1, kind="stable")[:, :k].astype(np.int32))


def sets_of(n: int, k: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    lists = lists_of(n, k)
    half = round((k - 1) / 2) + 1
    return lists, _kernel.expanded_sets(lists, _kernel.reciprocal(lists, k), _kernel.reciprocal(lists, half))


def sparse_of(n: int, k: int) -> tuple[np.ndarray, Sparse]:
    lists, (start, member) = sets_of(n, k)
    scaled = np.random.default_rng(n).random(len(member)).astype(np.float32)
    return lists, (start, member, _kernel.set_weights(start, scaled))


# ---------------------------------------------------------------------------- side by side


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_reciprocal(n: int, k: int) -> None:
    lists = lists_of(n, k)
    for length in range(1, k + 1):
        np.testing.assert_array_equal(_kernel.reciprocal(lists, length), reciprocal(lists, length))


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_expanded_sets(n: int, k: int) -> None:
    lists, (start, member) = sets_of(n, k)
    half = round((k - 1) / 2) + 1
    expected_start, expected = expanded_sets(lists, reciprocal(lists, k), reciprocal(lists, half))
    np.testing.assert_array_equal(start, expected_start)
    np.testing.assert_array_equal(member, expected)


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_set_weights(n: int, k: int) -> None:
    _, (start, member) = sets_of(n, k)
    scaled = np.random.default_rng(n).random(len(member)).astype(np.float32)
    # numpy's exp and the C library's may differ in the last bit, which the grid hides but for a boundary.
    np.testing.assert_allclose(_kernel.set_weights(start, scaled), set_weights(start, scaled), rtol=0, atol=2.0**-39)


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_mean_rows(n: int, k: int) -> None:
    lists, rows = sparse_of(n, k)
    for count in {1, (k + 1) // 2, k}:
        expected = on_grid(dense(rows, n)[lists[:, :count]].sum(axis=1) / count)
        np.testing.assert_array_equal(dense(_kernel.mean_rows(*rows, lists, count), n), expected)


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_transpose(n: int, k: int) -> None:
    _, rows = sparse_of(n, k)
    chosen = np.arange(n // 2, n, dtype=np.int32)
    np.testing.assert_array_equal(dense(_kernel.transpose(*rows, chosen, n), len(chosen)), dense(rows, n)[chosen].T)


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_jaccard(n: int, k: int) -> None:
    _, rows = sparse_of(n, k)
    queries, gallery = np.arange(0, n, 2, dtype=np.int32), np.arange(n // 3, n, dtype=np.int32)
    dist = np.random.default_rng(n).random((len(queries), len(gallery))).astype(np.float32)
    weight = dense(rows, n)
    shared = np.minimum(weight[queries][:, None], weight[gallery]).sum(axis=2)
    expected = (1 - 0.3) * (1 - shared / (2 - shared)) + 0.3 * dist.astype(np.float64)
    _kernel.jaccard(*rows, queries, *_kernel.transpose(*rows, gallery, n), 0.3, dist)
    np.testing.assert_array_equal(dist, expected.astype(np.float32))


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_added_rows_and_columns(n: int, k: int) -> None:
    lists = lists_of(n, k)
    dist = np.random.default_rng(n).integers(0, 1 << 20, size=(n, 50)).astype(np.int32)
    total = np.ones((n, 50), dtype=np.int32)
    _kernel.add_rows(dist, lists, total)
    np.testing.assert_array_equal(total, 1 + dist[lists].sum(axis=1))
    total = np.ones((50, n), dtype=np.int32)
    _kernel.add_columns(np.ascontiguousarray(dist.T), lists, total)
    np.testing.assert_array_equal(total, 1 + dist.T[:, lists].sum(axis=2))


@pytest.mark.parametrize("width", [1, 7, 8, 100])
def test_products_and_distances(width: int) -> None:
    rng = np.random.default_rng(width)
    a, b = (unit_rows(rng.normal(size=(n, width))) for n in (20, 30))
    products = a.astype(np.float64) @ b.astype(np.float64).T
    start = np.arange(21) * 30
    every = np.tile(np.arange(30, dtype=np.int32), 20)
    dots = _kernel.row_dots(a, np.arange(20, dtype=np.int32), start, every, b)
    np.testing.assert_array_equal(dots.reshape(20, 30), products)
    squares = [(some.astype(np.float64) ** 2).sum(axis=1) for some in (a, b)]
    dist = np.zeros((25, 40), dtype=np.int32)
    _kernel.fixed_dist(products, *squares, 2.0**22, dist, 5, 10)
    expected = np.sqrt(squares[0][:, None] + squares[1] - 2 * products) * 2.0**22
    np.testing.assert_array_equal(dist[5:, 10:], np.floor(expected + 0.5))
    assert not dist[:5].any()
    assert not dist[:, :10].any()


def test_weighted_means() -> None:
    rng = np.random.default_rng(0)
    features, index = rng.normal(size=(40, 13)).astype(np.float32), rng.integers(40, size=(40, 9)).astype(np.int32)
    weight = rng.random((40, 9))
    expected = sum(weight[:, j, None] * features[index[:, j]].astype(np.float64) for j in range(9))
    np.testing.assert_array_equal(_kernel.weighted_means(features, index, weight), expected.astype(np.float32))


@pytest.mark.parametrize("k", [1, 3])
def test_largest_of_rows(k: int) -> None:
    sim = np.random.default_rng(k).integers(0, 20, size=(50, 300)).astype(np.float32)
    rows = np.arange(3, 50, 5)
    np.testing.assert_array_equal(_kernel.largest_of_rows(sim, rows, k), -np.sort(-sim[rows], axis=0)[:k].T)
