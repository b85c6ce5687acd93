"""Re-ranking by neighbourhoods: k-reciprocal encoding and expanded cross neighbourhoods, behind one door.

In: N points, by features or by distances; how many of the first are queries, the rest being the gallery; which are
valid. Out: (queries, gallery) distances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from operator import index
from typing import Protocol

import numpy as np
import numpy.typing as npt

from castsearch.ranking.defaults import K1, K2, LAMBDA, Q, Rerank, T
from castsearch.ranking.errors import RankingError, RankingWarning
from castsearch.ranking.points import Points, as_points
from castsearch.ranking.threads import Resources
from castsearch.ranking.unit import F32, Ids


class Reranker(Protocol):
    """A re-ranker prepared for one gallery."""

    def dist(self, queries: Ids) -> F32:
        """(Q, G) distances of the query points and the gallery."""


def open_reranker(kind: Rerank, points: Points, gallery: Ids, resources: Resources) -> Reranker:
    """A re-ranker of default settings, prepared for a gallery of points."""
    # scipy.sparse takes longer to load than a small movie to rank: only re-ranking needs it.
    if kind == "k_reciprocal":
        from castsearch.ranking.encoding import KReciprocal

        return KReciprocal(points, gallery, resources)
    from castsearch.ranking.neighbourhood import ExpandedCross

    return ExpandedCross(points, gallery, resources)


def k_reciprocal(
    features: npt.ArrayLike,
    n_queries: int,
    k1: int = K1,
    k2: int = K2,
    lam: float = LAMBDA,
    *,
    distances: bool = False,
    valid: npt.ArrayLike | None = None,
    memory: int | None = None,
) -> F32:
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
        memory: bytes that may be taken; by default a quarter of what is free.

    Returns:
        (q, N - q) float32 distances in [0, 1].

    Raises:
        RankingError: a valid row is all zero or not finite; distances that are negative, asymmetric, or too long or
            short to be squared; a setting out of range.

    Warns:
        RankingWarning: fewer points than a neighbour list needs.

    >>> features = [[1, 0], [0, 1], [5, 1], [1, 6], [2, 1], [1, 3]]
    >>> print(k_reciprocal(features, n_queries=2, k1=2, k2=1).round(2))
    [[0.03 0.95 0.1  0.91]
     [0.94 0.02 0.87 0.05]]
    """
    k1, k2 = index(k1), index(k2)
    if k1 < 1 or k2 < 1 or not 0 <= lam <= 1:
        raise RankingError(f"k1 = {k1}, k2 = {k2}, lambda = {lam}: expected k1 >= 1, k2 >= 1 and lambda within 0 to 1")
    from castsearch.ranking.encoding import KReciprocal

    def prepare(points: Points, gallery: Ids, resources: Resources) -> Reranker:
        return KReciprocal(points, gallery, resources, k1, k2, lam)

    return _rerank(prepare, max(k1 + 1, k2), features, n_queries, distances, valid, memory)


def ecn(
    features: npt.ArrayLike,
    n_queries: int,
    t: int = T,
    q: int = Q,
    *,
    distances: bool = False,
    valid: npt.ArrayLike | None = None,
    memory: int | None = None,
) -> F32:
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
        RankingError: as ``k_reciprocal``.

    Warns:
        RankingWarning: fewer points than a neighbour list needs.

    >>> features = [[1, 0], [0, 1], [5, 1], [1, 6], [2, 1], [1, 3]]
    >>> print(ecn(features, n_queries=2, t=1, q=1).round(2))
    [[0.1  1.22 0.23 1.16]
     [1.21 0.16 1.09 0.16]]
    """
    t, q = index(t), index(q)
    if t < 1 or q < 0:
        raise RankingError(f"t = {t}, q = {q}: expected t >= 1 and q >= 0")
    from castsearch.ranking.neighbourhood import ExpandedCross

    def prepare(points: Points, gallery: Ids, resources: Resources) -> Reranker:
        return ExpandedCross(points, gallery, resources, t, q)

    return _rerank(prepare, max(t, q) + 1, features, n_queries, distances, valid, memory)


def warn_if_short(n_points: int, length: int, what: str, stacklevel: int) -> None:
    """Warn where neighbour lists of ``length`` are cut, for there are fewer points."""
    if n_points < length:
        warnings.warn(
            f"{what}: fewer points than a neighbour list of {length} needs; lists are cut to the {n_points} there are",
            RankingWarning,
            stacklevel=stacklevel + 1,
        )


def _rerank(
    prepare: Callable[[Points, Ids, Resources], Reranker],
    list_length: int,
    features: npt.ArrayLike,
    n_queries: int,
    distances: bool,
    valid: npt.ArrayLike | None,
    memory: int | None,
) -> F32:
    features = np.asarray(features)
    n = len(features)
    if not 0 <= n_queries <= n:
        raise RankingError(f"n_queries = {n_queries}: expected 0 to {n}, the number of points")
    taking_part = np.ones(n, dtype=bool) if valid is None else np.asarray(valid)
    if taking_part.shape != (n,) or taking_part.dtype != bool:
        raise RankingError(f"valid: expected ({n},) bool, got {taking_part.shape} {taking_part.dtype}")
    result = np.full((n_queries, n - n_queries), np.inf, dtype=np.float32)
    if not taking_part.all():
        features = features[np.ix_(taking_part, taking_part)] if distances else features[taking_part]
    queries = np.flatnonzero(taking_part[:n_queries])
    gallery = np.flatnonzero(taking_part[n_queries:])
    if len(queries) and len(gallery):
        resources = Resources.within(memory)
        points = as_points(features, distances, resources)
        warn_if_short(len(points.origin), list_length, "features", stacklevel=3)
        dist = prepare(points, len(queries) + np.arange(len(gallery)), resources).dist(np.arange(len(queries)))
        if taking_part.all():
            return dist
        result[np.ix_(queries, gallery)] = dist
    return result
