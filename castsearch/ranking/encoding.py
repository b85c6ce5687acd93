"""k-reciprocal encoding (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

Section numbers are the paper's. Encodings are sparse rows of weights on a grid, so that their sums are exact.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from castsearch.ranking.defaults import K1, K2, LAMBDA
from castsearch.ranking.points import I32, Points
from castsearch.ranking.threads import TILE, Resources, slices
from castsearch.ranking.unit import F32, F64, Ids, _kernel

GRID = 2.0**40
BLOCK = 1024  # rows whose sets are expanded at a time


class KReciprocal:
    """Encodings of all points, sparse, and an index of those of the gallery.

    Time grows with the neighbour lists, memory with N * k1; no N x N array is made.
    """

    def __init__(
        self,
        points: Points,
        gallery: Ids,
        resources: Resources,
        k1: int = K1,
        k2: int = K2,
        lam: float = LAMBDA,
    ) -> None:
        self._points, self._gallery, self._lam, self._resources = points, gallery, lam, resources
        lists, self._scale = points.nearest_scaled(max(k1 + 1, k2))
        encodings = _encode(points, expanded_sets(lists, k1), self._scale)
        averaged = _indicator(lists[:, :k2]) @ encodings  # section 3.4, local query expansion
        del encodings
        averaged.data /= min(k2, lists.shape[1])
        averaged.data = _on_grid(averaged.data)
        self._rows = averaged
        self._by_column = averaged[gallery].tocsc()

    def dist(self, queries: Ids) -> F32:
        """(Q, G) distances of the query points and the gallery (section 3.5)."""
        dist = self._points.squared_dist(queries, self._gallery)
        dist /= self._scale[queries, None]
        by_column = self._by_column

        def mix(some: slice) -> None:
            rows = self._rows[queries[some]]
            encodings = rows.indptr, rows.indices, rows.data
            _kernel.mix_jaccard(*encodings, by_column.indptr, by_column.indices, by_column.data, self._lam, dist[some])

        self._resources.each(mix, slices(len(queries), max(1, min(TILE, len(queries) // 8))))
        return dist


def _encode(points: Points, sets: sparse.csr_array, scale: F32) -> sparse.csr_array:
    """(N, N) weights exp(-D) of each point's set, with a sum of 1 (section 3.3)."""
    point = np.repeat(np.arange(sets.shape[0], dtype=np.int32), np.diff(sets.indptr))
    dist = points.pair_squared_dist(point, sets.indices) / scale[point]
    weights = _on_grid(np.exp(-dist.astype(np.float64)))
    encodings = sparse.csr_array((weights, sets.indices, sets.indptr), shape=sets.shape)
    encodings.data = _on_grid(weights / encodings.sum(axis=1)[point])
    return encodings


def expanded_sets(index: I32, k1: int) -> sparse.csr_array:
    """The k-reciprocal set of every point, expanded by those of its members (section 3.2, equations 1 to 5).

    Args:
        index: (N, K) neighbour lists, nearest first, the point itself among them; K > k1, or all points.
        k1: neighbours among which reciprocal ones are looked for, not counting the point itself.

    Returns:
        (N, N), row i nonzero at the members of i's set, columns ascending.
    """
    mutual = reciprocal(index[:, : k1 + 1])
    further = reciprocal(index[:, : round(k1 / 2) + 1])
    size = further.sum(axis=1)
    columns = further.T.tocsr()
    parts = []
    for rows in slices(len(index), BLOCK):
        own = mutual[rows]
        shared = own.multiply(own @ columns).tocsr()
        shared.data = (3 * shared.data > 2 * size[shared.indices]).astype(np.int32)
        shared.eliminate_zeros()
        parts.append(own + shared @ further)
    sets = sparse.vstack(parts, format="csr")
    sets.sort_indices()
    return sets


def reciprocal(index: I32) -> sparse.csr_array:
    """(N, N) 1 where two points are in each other's lists."""
    near = _indicator(index)
    return near.multiply(near.T.tocsr()).tocsr()


def _indicator(index: I32) -> sparse.csr_array:
    n, k = index.shape
    start = np.arange(n + 1, dtype=np.int32) * k
    return sparse.csr_array((np.ones(n * k, dtype=np.int32), index.ravel(), start), shape=(n, n))


def _on_grid(weight: F64) -> F64:
    weight = np.rint(weight * GRID)
    weight /= GRID
    return weight
