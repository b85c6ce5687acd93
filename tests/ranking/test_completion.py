"""How the completion shares out its memory; what it ranks is compared as a whole in test_fuse.py."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from castsearch.ranking import completion
from castsearch.ranking.completion import PAIR_BYTES, _best_reranked, _groups, complete, softmax, weighted
from castsearch.ranking.nearest import NearPairs
from castsearch.ranking.ranked import FACE, found
from castsearch.ranking.threads import Resources
from castsearch.ranking.unit import UnitRows


def matches_of(*sizes: int) -> list[np.ndarray]:
    edges = np.cumsum([0, *sizes])
    return [np.arange(first, last) for first, last in pairwise(edges)]


@pytest.mark.parametrize(
    ("most_rows", "expected"),
    [(100, [4]), (9, [4]), (8, [3, 1]), (5, [2, 2]), (4, [1, 1, 2]), (1, [1, 1, 1, 1])],
)
def test_casts_stay_together_up_to_so_many_matches(most_rows: int, expected: list[int]) -> None:
    groups = list(_groups(matches_of(3, 2, 3, 1), most_rows))
    assert [len(group) for group in groups] == expected
    np.testing.assert_array_equal(np.concatenate([own for group in groups for own in group]), np.arange(9))


def bodies_of(n: int) -> UnitRows:
    return UnitRows(np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32))


@pytest.mark.parametrize(("spare", "tabulated"), [(0, True), (-1, False)])
def test_a_table_takes_a_quarter_of_the_memory_at_most(
    spare: int, tabulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []

    class Noting(NearPairs):
        def __init__(self, unit: UnitRows, k: int, resources: Resources, farthest: bool, table: np.ndarray) -> None:
            tables.append(table)
            super().__init__(unit, k, resources, farthest, table)

    monkeypatch.setattr(completion, "NearPairs", Noting)
    n = 30
    resources = Resources(4 * 4 * n * n + 4 * spare, 1)
    list(complete([found(own, 0, FACE) for own in matches_of(6, 6)], bodies_of(n), np.arange(n), None, resources))
    assert [table is not None for table in tables] == [tabulated]


def test_reranked_blocks_take_half_of_the_memory_at_most() -> None:
    asked: list[int] = []
    rng = np.random.default_rng(0)
    dist = rng.random((20, 10)).astype(np.float32)

    class Noting:
        def dist(self, queries: np.ndarray) -> np.ndarray:
            asked.append(len(queries))
            return dist[queries]

    smooth, unknown, matches = bodies_of(30), np.arange(20, 30), matches_of(7, 3, 2)
    sim = (1 - dist + smooth.pair_cosines(*np.divmod(np.arange(900), 30)).reshape(30, 30)[:20, 20:]) / 2
    for rows, expected in ((12, [12]), (11, [10, 2]), (6, [6, 1, 5]), (1, [1] * 12)):
        asked.clear()
        resources = Resources(2 * rows * PAIR_BYTES * len(unknown), 2)
        found = list(_best_reranked(matches, unknown, Noting(), smooth, resources))
        assert asked == expected
        for own, best in zip(matches, found, strict=True):
            expected_sim = -np.sort(-sim[own].T, axis=1)[:, :3]
            np.testing.assert_allclose(best, expected_sim, rtol=0, atol=2e-7)
            assert best.dtype == np.float32


def test_little_memory_still_takes_a_row() -> None:
    class Rerank:
        def dist(self, queries: np.ndarray) -> np.ndarray:
            assert len(queries) == 1
            return np.zeros((1, 10), np.float32)

    assert len(list(_best_reranked(matches_of(4), np.arange(20, 30), Rerank(), bodies_of(30), Resources(0, 1)))) == 1


def test_the_best_are_weighted_by_their_own_softmax() -> None:
    sim = np.array([[0.9, 0.5, -0.2], [0.3, 0.3, 0.3]], np.float32)
    weight = np.exp(sim.astype(np.float64))
    np.testing.assert_array_equal(softmax(sim.astype(np.float64)), weight / weight.sum(axis=1, keepdims=True))
    expected = (weight * sim).sum(axis=1) / weight.sum(axis=1)
    np.testing.assert_allclose(weighted(sim), expected, rtol=1e-15)
    assert weighted(sim).dtype == np.float64
