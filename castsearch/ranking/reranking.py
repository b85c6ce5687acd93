"""Re-ranking by neighbourhoods: k-reciprocal encoding and expanded cross neighbourhoods.

Both share one contract. In: N points, by features or by distances; how many of the first are queries, the rest being
the gallery; which are valid. Out: (queries, gallery) distances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from castsearch.ranking import _kernel
from castsearch.ranking.points import Ids, Points, as_points
from castsearch.ranking.unit import TILE, RankingError


class RankingWarning(UserWarning):
    """Something the ranking went on with that the user may not expect."""


class Reranker(Protocol):
    """A re-ranker prepared for one gallery."""

    def dist(self, queries: Ids) -> npt.NDArray[np.float32]:
        """(Q, G) distances of the query points and the gallery."""


def k_reciprocal(
    features: npt.ArrayLike,
    n_queries: int,
    k1: int = 20,
    k2: int = 6,
    lam: float = 0.3,
    *,
    distances: bool = False,
    valid: npt.ArrayLike | None = None,
    memory: int | None = None,
) -> npt.NDArray[np.float32]:
    """k-reciprocal encoding (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017,
    sections 3.2 to 3.5).

    Args:
        features: (N, d) features of any length, L2-normalised here, so that distances are sqrt(2 - 2 cos + 1e-4) as in
            the published code; the first ``n_queries`` rows are the queries. With ``distances``, the
            (N, N) symmetric distances of all points instead.
        n_queries: number of queries q.
        k1: neighbours among which reciprocal ones are looked for, not counting the point itself.
        k2: neighbours over which an encoding is averaged, the point included.
        lam: share of the original distance in the result.
        distances: ``features`` holds distances.
        valid: (N,) bool, the points that take part. Others are nobody's neighbours and infinitely far from all.
        memory: bytes that blocks may take; by default a quarter of what is free.

    Returns:
        (q, N - q) float32 distances in [0, 1].

    Raises:
        RankingError: a valid row is all zero or not finite; a setting out of range.
    """
    check_k_reciprocal(k1, k2, lam)
    return _rerank(
        lambda points, gallery: KReciprocal(points, gallery, k1, k2, lam), features, n_queries, distances, valid, memory
    )


def ecn(
    features: npt.ArrayLike,
    n_queries: int,
    t: int = 10,
    q: int = 8,
    *,
    distances: bool = False,
    valid: npt.ArrayLike | None = None,
    memory: int | None = None,
) -> npt.NDArray[np.float32]:
    """Expanded cross neighbourhood distance (Sarfraz et al., "A Pose-Sensitive Embedding for Person Re-Identification
    with Expanded Cross Neighborhood Re-Ranking", CVPR 2018, section 4).

    Args:
        features, n_queries, distances, valid, memory: as in ``k_reciprocal``.
        t: nearest neighbours of a point.
        q: neighbours of each of these that join them.

    Returns:
        (n_queries, N - n_queries) float32 mean distances; Euclidean ones of unit rows, so in [0, 2], or of the kind
        of the distances given.

    Raises:
        RankingError: a valid row is all zero or not finite; a setting out of range.
    """
    check_ecn(t, q)
    return _rerank(
        lambda points, gallery: ExpandedCross(points, gallery, t, q), features, n_queries, distances, valid, memory
    )


def check_k_reciprocal(k1: int, k2: int, lam: float) -> None:
    """Raise ``RankingError`` for settings that mean nothing."""
    if k1 < 1 or k2 < 1 or not 0 <= lam <= 1:
        raise RankingError(f"k1 = {k1}, k2 = {k2}, lambda = {lam}: expected k1 >= 1, k2 >= 1 and lambda within 0 to 1")


def check_ecn(t: int, q: int) -> None:
    """Raise ``RankingError`` for settings that mean nothing."""
    if t < 1 or q < 0:
        raise RankingError(f"t = {t}, q = {q}: expected t >= 1 and q >= 0")


def _rerank(
    prepare: Callable[[Points, Ids], Reranker],
    features: npt.ArrayLike,
    n_queries: int,
    distances: bool,
    valid: npt.ArrayLike | None,
    memory: int | None,
) -> npt.NDArray[np.float32]:
    features = np.asarray(features)
    n = len(features)
    if not 0 <= n_queries <= n:
        raise RankingError(f"n_queries = {n_queries}: expected 0 to {n}, the number of points")
    taking_part = np.ones(n, dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    if taking_part.shape != (n,):
        raise RankingError(f"valid: expected shape ({n},), got {taking_part.shape}")
    result = np.full((n_queries, n - n_queries), np.inf, dtype=np.float32)
    if not taking_part.all():
        features = features[np.ix_(taking_part, taking_part)] if distances else features[taking_part]
    queries = np.flatnonzero(taking_part[:n_queries])
    gallery = np.flatnonzero(taking_part[n_queries:])
    if len(queries) and len(gallery):
        points = as_points(features, distances, memory)
        dist = prepare(points, len(queries) + np.arange(len(gallery))).dist(np.arange(len(queries)))
        if taking_part.all():
            return dist
        result[np.ix_(queries, gallery)] = dist
    return result


def _cut(wanted: int, n_points: int) -> int:
    if wanted > n_points:
        warnings.warn(
            f"fewer points than a neighbour list of {wanted} needs; lists are cut to what exists",
            RankingWarning,
            stacklevel=4,
        )
    return min(wanted, n_points)


class KReciprocal:
    """Encodings of all points, sparse, and an index of those of the gallery.

    Time grows with the neighbour lists, memory with N * k1; no N x N array is made.
    """

    def __init__(self, points: Points, gallery: Ids, k1: int = 20, k2: int = 6, lam: float = 0.3) -> None:
        self._points, self._gallery, self._lam = points, gallery, lam
        n = len(points.origin)
        length = _cut(k1 + 1, n)
        found = points.nearest(length)
        self._scale = found.largest + np.float32(points.offset)
        self._scale[self._scale == 0] = 1  # all points are one
        mutual = _kernel.reciprocal(found.index, length)
        half_mutual = _kernel.reciprocal(found.index, min(round(k1 / 2) + 1, n))
        start, member = _kernel.expanded_sets(found.index, mutual, half_mutual)
        scaled = points.paired_dist(start, member) + np.float32(points.offset)
        scaled /= np.repeat(self._scale, np.diff(start))
        weight = _kernel.set_weights(start, scaled)
        self._rows = _kernel.mean_rows(start, member, weight, found.index, min(k2, n))
        self._by_column = _kernel.transpose(*self._rows, gallery.astype(np.int32), n)

    def dist(self, queries: Ids) -> npt.NDArray[np.float32]:
        """(Q, G) distances of the query points and the gallery."""
        dist = np.empty((len(queries), len(self._gallery)), dtype=np.float32)
        for first in range(0, len(queries), TILE):
            some = queries[first : first + TILE]
            scaled = self._points.squared_dist(some, self._gallery)
            scaled += np.float32(self._points.offset)
            scaled /= self._scale[some, None]
            _kernel.jaccard(*self._rows, some.astype(np.int32), *self._by_column, self._lam, scaled)
            dist[first : first + TILE] = scaled
        return dist


class ExpandedCross:
    """Mean distances between a point and the other's expanded neighbourhood, both ways.

    The sum over the neighbours' neighbours is shared by all points that have the neighbour: with
    h(x, n) = d(x, n) + sum of d(x, m) over the q neighbours m of n, a pair's sum is that of h(g, n) over the t
    neighbours n of the query i and of h(i, n) over those of the gallery point g. Sums are integers: any order will do.

    Args:
        points, gallery, t, q: as in ``ecn``; the gallery by number.
        all_pairs: most points will be queries in turn, so that a table of all distances pays if it fits.
    """

    def __init__(self, points: Points, gallery: Ids, t: int = 10, q: int = 8, all_pairs: bool = False) -> None:
        self._points, self._gallery = points, gallery
        n = len(points.origin)
        lists = points.nearest(_cut(max(t, q) + 1, n)).index
        # The first of a list is the point itself, or a twin that stands for it.
        self._near = np.ascontiguousarray(lists[:, 1 : t + 1])
        self._further = points.origin[np.ascontiguousarray(lists[:, 1 : q + 1])]
        self._terms = 2 * self._near.shape[1] * (1 + self._further.shape[1])
        self._bits = 29 - int(np.log2(max(1, self._terms)))
        self._table = points.fixed_table(self._bits) if all_pairs and self._terms else None

    def dist(self, queries: Ids) -> npt.NDArray[np.float32]:
        """(Q, G) distances of the query points and the gallery."""
        points = self._points
        if not self._terms:
            return np.sqrt(points.squared_dist(queries, self._gallery))
        total = np.zeros((len(queries), len(self._gallery)), dtype=np.int32)
        self._add_to_neighbours_of_queries(queries, total)
        self._add_to_neighbours_of_gallery(queries, total)
        dist = np.empty(total.shape, dtype=np.float32)
        return np.multiply(total, points.unit / (self._terms * 2.0**self._bits), out=dist, casting="same_kind")

    def _add_to_neighbours_of_queries(self, queries: Ids, total: npt.NDArray[np.int32]) -> None:
        hood = _Neighbourhood(self._near[queries], self._further, self._points.origin)
        block = _block(len(hood.rows))
        for first in range(0, len(self._gallery), block):
            columns = slice(first, first + block)
            dist = self._fixed_dist(hood.rows, self._points.origin[self._gallery[columns]])
            sums = dist[hood.near]
            _kernel.add_rows(dist, hood.further, sums)
            some = np.ascontiguousarray(total[:, columns])
            _kernel.add_rows(sums, hood.lists, some)
            total[:, columns] = some

    def _add_to_neighbours_of_gallery(self, queries: Ids, total: npt.NDArray[np.int32]) -> None:
        hood = _Neighbourhood(self._near[self._gallery], self._further, self._points.origin)
        block = _block(len(hood.rows))
        for first in range(0, len(queries), block):
            some = slice(first, first + block)
            dist = self._fixed_dist(self._points.origin[queries[some]], hood.rows)
            sums = np.take(dist, hood.near, axis=1)
            _kernel.add_columns(dist, hood.further, sums)
            _kernel.add_columns(sums, hood.lists, total[some])

    def _fixed_dist(self, rows: Ids, columns: Ids) -> npt.NDArray[np.int32]:
        if self._table is not None:
            return self._table[np.ix_(rows, columns)]
        return self._points.fixed_dist(rows, columns, self._bits)


class _Neighbourhood:
    """The rows whose distances a set of neighbour lists asks for, and the lists as places among them.

    Attributes:
        rows: (R,) ascending rows of the points.
        near: (M,) places in ``rows`` of the M different points in the lists.
        further: (M, q) places in ``rows`` of these points' own neighbours.
        lists: the lists, as places in ``near``.
    """

    def __init__(self, lists: npt.NDArray[np.int32], further: npt.NDArray[np.int32], origin: npt.NDArray[np.int32]):
        near = np.unique(lists)
        self.rows = np.unique(np.concatenate([origin[near], further[near].ravel()]))
        place = np.empty(len(origin), dtype=np.int32)
        place[self.rows] = np.arange(len(self.rows))
        self.near, self.further = place[origin[near]], place[further[near]]
        place[near] = np.arange(len(near))
        self.lists = place[lists]


def _block(n: int) -> int:
    """How many rows or columns of n distances to take at a time: some 16 MB, but no tiny blocks."""
    return max(256, (1 << 22) // max(1, n))
