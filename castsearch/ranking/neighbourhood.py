"""Expanded cross neighbourhood distance (Sarfraz et al., "A Pose-Sensitive Embedding for Person Re-Identification with
Expanded Cross Neighborhood Re-Ranking", CVPR 2018, section 4).
"""

from __future__ import annotations

from itertools import chain
from threading import Lock

import numpy as np
from scipy import sparse

from castsearch.ranking.defaults import Q, T
from castsearch.ranking.nearest import symmetric_pairs
from castsearch.ranking.points import I32, Points
from castsearch.ranking.threads import Resources, slices
from castsearch.ranking.unit import F32, Ids, _kernel

TILE = 512  # rows and columns of distances at a time: they are read many times, from the cache


class ExpandedCross:
    """Mean distances between a point and the other's expanded neighbourhood, both ways.

    With D the distances of all points and C[i, m] how often m stands in the expanded neighbourhood of i, the sums are
    C[queries] D[:, gallery] + (C[gallery] D[:, queries])'. D is symmetric, so each tile of it is computed once, and
    serves both. Distances are integers: sums may run in any order.
    """

    def __init__(self, points: Points, gallery: Ids, resources: Resources, t: int = T, q: int = Q) -> None:
        self._points, self._gallery, self._resources = points, gallery, resources
        index = points.nearest(max(t, q) + 1)
        # The first of a list is the point itself, or a twin that stands for it.
        near, further = index[:, 1 : t + 1], index[:, 1 : q + 1]
        self._terms = 2 * near.shape[1] * (1 + further.shape[1])
        self._bits = 29 - int(np.log2(max(1, self._terms)))
        rows = points.origin
        counts = _counts(near, len(rows)) @ _counts(rows[further], points.n_rows) + _counts(rows[near], points.n_rows)
        self._counts = counts.tocsr()

    def dist(self, queries: Ids) -> F32:
        """(Q, G) distances of the query points and the gallery."""
        points = self._points
        if not self._terms:
            return np.sqrt(points.squared_dist(queries, self._gallery))
        query_rows, gallery_rows = points.origin[queries], points.origin[self._gallery]
        counts = self._counts[queries]
        blocks, n_sources = _blocks(points, query_rows, gallery_rows, counts.indices)
        forward = _Sum(counts, gallery_rows, blocks)
        backward = _Sum(self._counts[self._gallery], query_rows, blocks)
        self._add_tiles(blocks, n_sources, (forward, backward))
        return self._mean(forward, backward)

    def _add_tiles(self, blocks: list[I32], n_sources: int, sums: tuple[_Sum, ...]) -> None:
        locks = [Lock() for _ in blocks]

        def add(pair: tuple[int, int]) -> None:
            i, j = pair
            if not any(some.takes(i, j) or some.takes(j, i) for some in sums):
                return
            tile = self._points.fixed_dist(blocks[i], blocks[j], self._bits)
            with locks[j]:
                for some in sums:
                    some.add(i, j, tile)
            if i != j:
                mirrored = np.ascontiguousarray(tile.T)
                with locks[i]:
                    for some in sums:
                        some.add(j, i, mirrored)

        self._resources.each(add, symmetric_pairs(len(blocks), n_sources))

    def _mean(self, forward: _Sum, backward: _Sum) -> F32:
        dist = forward.total.view(np.float32)  # in the place of the sums
        factor = self._points.unit / (self._terms * 2.0**self._bits)

        def fill(some: slice) -> None:
            both = forward.total[some][:, forward.column] + backward.total[:, backward.column[some]].T
            dist[some] = both * factor

        self._resources.each(fill, slices(len(dist), 64))
        return dist


class _Sum:
    """The product of counts (X, rows) with the distances of all rows to Y chosen ones, added up tile by tile.

    Attributes:
        total: (X, Y) int32.
        column: (Y,) where each chosen row stands in ``total``.
    """

    def __init__(self, counts: sparse.csr_array, chosen: I32, blocks: list[I32]) -> None:
        by_column = counts.tocsc()
        self._counts = [by_column[:, block].tocsr() for block in blocks]
        place = np.full(counts.shape[1], -1, dtype=np.int64)
        place[chosen] = 0
        self._first: list[int | None] = []
        n = 0
        for block in blocks:
            taken = place[block[0]] >= 0  # all of a block, or none of it
            self._first.append(n if taken else None)
            if taken:
                place[block] = n + np.arange(len(block))
                n += len(block)
        self.column = place[chosen]
        self.total = np.zeros((counts.shape[0], n), dtype=np.int32)

    def takes(self, rows: int, columns: int) -> bool:
        """Whether the distances of a block of rows to a block of columns count."""
        return self._first[columns] is not None and self._counts[rows].nnz > 0

    def add(self, rows: int, columns: int, tile: I32) -> None:
        """Add what they contribute."""
        first = self._first[columns]
        if first is not None and self._counts[rows].nnz > 0:
            counts = self._counts[rows]
            start, column = (some.astype(np.int32, copy=False) for some in (counts.indptr, counts.indices))
            _kernel.add_products(start, column, counts.data, tile, self.total, first)


def _blocks(points: Points, query_rows: I32, gallery_rows: I32, sources: I32) -> tuple[list[I32], int]:
    """All rows in blocks that are of one kind each; first those, so many, that are a query or counted by one."""
    kind = np.full(points.n_rows, 4)
    kind[sources] = kind[query_rows] = 0
    kind[query_rows] += 2
    kind[gallery_rows] += 1
    parts = [np.flatnonzero(kind == which).astype(np.int32) for which in range(7)]
    blocks = [[part[some] for some in slices(len(part), min(TILE, points.tile))] for part in parts]
    return list(chain.from_iterable(blocks)), sum(map(len, blocks[:4]))


def _counts(index: I32, n_columns: int) -> sparse.csr_array:
    """(N, columns) how often each column stands in a row of ``index``."""
    n, k = index.shape
    start = np.arange(n + 1, dtype=np.int32) * k
    return sparse.csr_array((np.ones(n * k, np.int32), index.ravel(), start), shape=(n, n_columns))
