"""Re-ranking against the plain implementation of the papers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.ranking import RankingError, RankingWarning, ecn, k_reciprocal
from castsearch.ranking.encoding import KReciprocal, expanded_sets, reciprocal
from castsearch.ranking.neighbourhood import ExpandedCross
from castsearch.ranking.points import FeaturePoints
from castsearch.ranking.threads import Resources
from castsearch.ranking.unit import UnitRows

Clustered = Callable[..., np.ndarray]
Rerank = Callable[..., np.ndarray]
RESOURCES = Resources.within(1 << 30)
BOTH = pytest.mark.parametrize("rerank", [k_reciprocal, ecn])
few_points = pytest.mark.filterwarnings("ignore:.*fewer points")


@pytest.mark.parametrize(("n", "q"), [(60, 3), (400, 10), (400, 250), (1200, 20)])
@pytest.mark.parametrize(("k1", "k2", "lam"), [(20, 6, 0.3), (7, 1, 0.0), (5, 3, 1.0)])
def test_k_reciprocal_is_the_published_one(
    reference: ModuleType, clustered: Clustered, n: int, q: int, k1: int, k2: int, lam: float
) -> None:
    features = clustered(n, n)
    expected = reference.k_reciprocal(features, q, k1, k2, lam)
    np.testing.assert_allclose(k_reciprocal(features, q, k1, k2, lam), expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize(("n", "q"), [(60, 3), (400, 10), (400, 250)])
@pytest.mark.parametrize(("t", "q_further"), [(10, 8), (3, 0), (1, 5)])
def test_ecn_is_the_published_one(
    reference: ModuleType, clustered: Clustered, n: int, q: int, t: int, q_further: int
) -> None:
    features = clustered(n, n)
    expected = reference.ecn(features, q, t, q_further)
    np.testing.assert_allclose(ecn(features, q, t, q_further), expected, rtol=0, atol=5e-7)


@few_points
@BOTH
@pytest.mark.parametrize("n", range(2, 14))
def test_few_points(reference: ModuleType, clustered: Clustered, rerank: Rerank, n: int) -> None:
    features = clustered(n, n, 6)
    expected = getattr(reference, rerank.__name__)(features, 1)
    np.testing.assert_allclose(rerank(features, 1), expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize("rerank", [k_reciprocal, ecn])
def test_lists_longer_than_the_gallery_are_cut_and_it_is_said(clustered: Clustered, rerank: Rerank) -> None:
    with pytest.warns(
        RankingWarning,
        match="features: fewer points than .* needs; lists are cut to the 8 there are",
    ):
        rerank(clustered(0, 8), 1)


@BOTH
def test_distances_serve_as_well_as_features(reference: ModuleType, clustered: Clustered, rerank: Rerank) -> None:
    dist = np.float32(3.7) * reference.euclidean_dist(reference.unit(clustered(6, 150))).astype(np.float32)
    dist = np.maximum(dist, dist.T)
    expected = getattr(reference, f"{rerank.__name__}_of")(dist, 9)
    np.testing.assert_allclose(rerank(dist, 9, distances=True), expected, rtol=0, atol=2e-6)


@BOTH
def test_invalid_points_take_no_part(clustered: Clustered, rerank: Rerank) -> None:
    features = clustered(7, 150)
    valid = np.random.default_rng(7).random(150) > 0.3
    without = rerank(features[valid], int(valid[:12].sum()))
    features[~valid] = np.nan
    dist = rerank(features, 12, valid=valid)
    np.testing.assert_array_equal(dist[np.ix_(valid[:12], valid[12:])], without)
    assert np.isinf(dist[~valid[:12]]).all()
    assert np.isinf(dist[:, ~valid[12:]]).all()


@BOTH
def test_blocks_and_threads_change_nothing(
    clustered: Clustered, rerank: Rerank, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = clustered(8, 1500, 64)
    whole = rerank(features, 300)
    monkeypatch.setattr("castsearch.ranking.threads.core_count", lambda: 1)
    np.testing.assert_array_equal(rerank(features, 300), whole)
    monkeypatch.setattr("castsearch.ranking.threads.core_count", lambda: 3)
    monkeypatch.setattr("castsearch.ranking.unit.tile_rows", lambda width: 37)
    monkeypatch.setattr("castsearch.ranking.points.tile_rows", lambda width: 41)
    monkeypatch.setattr("castsearch.ranking.encoding.BLOCK", 43)
    monkeypatch.setattr("castsearch.ranking.nearest.TILE", 53)
    np.testing.assert_array_equal(rerank(features, 300), whole)


@few_points
@BOTH
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(1, 5))
def test_a_permuted_gallery_has_permuted_distances(
    clustered: Clustered, rerank: Rerank, seed: int, n_gallery: int, q: int
) -> None:
    features = clustered(seed, q + n_gallery, 12)
    order = np.random.default_rng(seed).permutation(n_gallery)
    shuffled = np.concatenate([features[:q], features[q:][order]])
    np.testing.assert_array_equal(rerank(shuffled, q), rerank(features, q)[:, order])


@BOTH
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(40, 300))
def test_a_far_candidate_changes_nothing_before_it(clustered: Clustered, rerank: Rerank, seed: int, n: int) -> None:
    """Among the far, so that no largest distance changes, by which k-reciprocal re-ranking scales."""
    features = np.abs(clustered(seed, n, 12))
    far = -np.ones((25, 12), np.float32) + 0.01 * np.random.default_rng(seed).normal(size=(25, 12)).astype(np.float32)
    before = np.concatenate([features, -np.ones((1, 12), np.float32), far])
    after = np.concatenate([before, far[-1:]])  # as far as the last one was
    far_from_all = rerank(after, 3)
    np.testing.assert_array_equal(far_from_all[:, : n - 3], rerank(before, 3)[:, : n - 3])
    assert (far_from_all[:, -1:] > far_from_all[:, : n - 3]).all()


def test_equal_candidates_tie(clustered: Clustered) -> None:
    features = clustered(9, 200)
    features[150] = features[40]
    dist = ecn(features, 5)
    np.testing.assert_array_equal(dist[:, 145], dist[:, 35])


@pytest.mark.parametrize("kind", [KReciprocal, ExpandedCross])
def test_twins_are_points_of_their_own(reference: ModuleType, clustered: Clustered, kind: type) -> None:
    """Bodies: all candidates, then the unknown ones again."""
    features = clustered(10, 120)
    unknown = np.arange(1, 120, 3)
    points = FeaturePoints(UnitRows(features), RESOURCES, unknown)
    reranker = kind(points, 120 + np.arange(len(unknown)), RESOURCES)
    plain = reference.k_reciprocal if kind is KReciprocal else reference.ecn
    expected = plain(np.concatenate([features, features[unknown]]), 120)
    np.testing.assert_allclose(reranker.dist(np.arange(120)), expected, rtol=0, atol=5e-7)
    some = np.array([3, 70, 71])
    np.testing.assert_array_equal(reranker.dist(some), reranker.dist(np.arange(120))[some])


@pytest.mark.parametrize(("n", "k1"), [(1, 1), (8, 3), (60, 8), (300, 20)])
def test_sets_are_reciprocal_and_expanded_by_two_thirds(n: int, k1: int) -> None:
    points = np.random.default_rng(n).normal(size=(n, 3))
    index = np.argsort(((points[:, None] - points) ** 2).sum(axis=2), axis=1, kind="stable")[:, : k1 + 1]
    index = index.astype(np.int32)

    def members(point: int, k: int) -> set[int]:
        return {j for j in index[point, : k + 1] if point in index[j, : k + 1]}

    found = expanded_sets(index, k1)
    mutual = reciprocal(index)
    for point in range(n):
        own = members(point, k1)
        assert set(mutual[[point]].indices) == own
        expanded = set(own)
        for member in own:
            further = members(member, round(k1 / 2))
            if 3 * len(further & own) > 2 * len(further):
                expanded |= further
        row = found.indices[found.indptr[point] : found.indptr[point + 1]]
        np.testing.assert_array_equal(row, sorted(expanded))


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-6])
def test_near_equal_rows_have_the_lists_of_the_contract(
    reference: ModuleType, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists sort the float32 of the squared distance and 1e-4 over the largest, in which the nearest tie."""
    monkeypatch.setattr(reference, "DECIMALS", 17)
    rng = np.random.default_rng(0)
    near = rng.normal(size=64) + spread * rng.normal(size=(40, 64))
    features = np.concatenate([near, rng.normal(size=(40, 64))])[rng.permutation(80)].astype(np.float32)
    np.testing.assert_allclose(k_reciprocal(features, 5), reference.k_reciprocal(features, 5), rtol=0, atol=1e-6)


def test_lists_longer_than_k1_serve_the_averaging(reference: ModuleType, clustered: Clustered) -> None:
    features = clustered(12, 200)
    expected = reference.k_reciprocal(features, 7, 5, 20)
    np.testing.assert_allclose(k_reciprocal(features, 7, k1=5, k2=20), expected, rtol=0, atol=5e-7)


@BOTH
@pytest.mark.parametrize("memory", [1, 1 << 22])
def test_little_memory_changes_nothing(clustered: Clustered, rerank: Rerank, memory: int) -> None:
    features = clustered(13, 300)
    np.testing.assert_array_equal(rerank(features, 9, memory=memory), rerank(features, 9))


def distances_of(features: np.ndarray) -> np.ndarray:
    return np.linalg.norm(features[:, None] - features, axis=2).astype(np.float32)


def skewed(features: np.ndarray) -> np.ndarray:
    dist = distances_of(features)
    dist[0, 3] *= 1.01
    return dist


@BOTH
def test_no_queries_or_no_gallery(clustered: Clustered, rerank: Rerank) -> None:
    assert rerank(clustered(0, 9), 0).shape == (0, 9)
    assert rerank(clustered(0, 9), 9).shape == (9, 0)


@pytest.mark.filterwarnings("ignore:.*fewer points")
@BOTH
def test_all_points_equal(rerank: Rerank) -> None:
    dist = rerank(np.ones((30, 4), np.float32), 2)
    np.testing.assert_array_equal(dist, np.broadcast_to(dist[0, 0], (2, 28)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: k_reciprocal(x, 1, k1=0), "k1 = 0, k2 = 6, lambda = 0.3: expected"),
        (lambda x: k_reciprocal(x, 1, lam=1.5), "lambda = 1.5: expected"),
        (lambda x: ecn(x, 1, t=0), "t = 0, q = 8: expected t >= 1"),
        (lambda x: ecn(x, 31), "n_queries = 31: expected 0 to 30"),
        (lambda x: ecn(x, 1, distances=True), r"distances: expected an \(N, N\) array, got shape \(30, 24\)"),
        (
            lambda x: ecn(-np.ones((3, 3)), 1, distances=True),
            "row 0, column 0: -1 is negative or not finite",
        ),
        (lambda x: ecn(np.full((3, 3), np.nan), 1, distances=True), "row 0, column 0: nan is negative or not finite"),
        (lambda x: ecn(distances_of(x) * 1e25, 1, distances=True), "row 0, column 1: .*e.25 is too short or too long"),
        (lambda x: ecn(distances_of(x) * 1e-25, 1, distances=True), "row 0, column 1: .*e-25 is too short or too long"),
        (lambda x: k_reciprocal(skewed(x), 1, distances=True), "row 0, column 3: .* differs from its column"),
        (lambda x: ecn(x, 1, valid=[True]), r"valid: expected \(30,\) bool, got \(1,\) bool"),
        (lambda x: ecn(x, 1, valid=np.ones(30)), r"valid: expected \(30,\) bool, got \(30,\) float64"),
        (lambda x: ecn(x * np.where(np.arange(30) == 4, np.nan, 1)[:, None], 1), "features: row 4 is not finite"),
    ],
)
def test_errors_say_what_is_wrong(clustered: Clustered, call: Callable, message: str) -> None:
    with pytest.raises(RankingError, match=message):
        call(clustered(0, 30))


@BOTH
def test_distances_that_differ_by_rounding_are_symmetric(rerank: Rerank) -> None:
    """Of near copies, by float32 products in two blocks: the root of what rounding left."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(100, 512)), np.repeat(rng.normal(size=(1, 512)), 100, axis=0)])
    rows[100:] += 1e-4 * rng.normal(size=(100, 512))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    products = np.concatenate([rows[:77] @ rows.T, rows[77:] @ rows.T])
    dist = np.sqrt(np.maximum(2 - 2 * products, 0))
    dist[0, 150] += 3e-4 * (dist[0, 150] == 0)
    assert np.isfinite(rerank(dist, 20, distances=True)).all()


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_lengths_are_numbers_of_any_type(clustered: Clustered, kind: type) -> None:
    features = clustered(14, 150)
    np.testing.assert_array_equal(k_reciprocal(features, 5, k1=kind(100)), k_reciprocal(features, 5, k1=100))
    np.testing.assert_array_equal(ecn(features, 5, t=kind(127), q=kind(3)), ecn(features, 5, t=127, q=3))
