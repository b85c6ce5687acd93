"""What a re-ranker works on: a set of points, given by features or by distances."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from castsearch.ranking import _kernel
from castsearch.ranking.memory import budget
from castsearch.ranking.nearest import Neighbours, smallest, unit_neighbours
from castsearch.ranking.unit import TILE, RankingError, product_tiles, squared_dists, squares, unit_rows

Ids = npt.NDArray[np.integer]


class Points(Protocol):
    """N points, numbered from 0; ``distinct`` of them at most are different, each point standing for row ``origin``."""

    origin: npt.NDArray[np.int32]
    offset: float  # what k-reciprocal re-ranking adds to squared distances

    def nearest(self, k: int) -> Neighbours:
        """The k nearest points of each point, itself first or its twin, squared distances ascending."""

    def squared_dist(self, rows: Ids, columns: Ids) -> npt.NDArray[np.float32]:
        """(R, C) squared distances between chosen points."""

    def paired_dist(self, start: npt.NDArray[np.int64], other: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Squared distances of each point i and the points ``other[start[i]:start[i + 1]]``."""

    def fixed_dist(self, rows: Ids, columns: Ids, bits: int) -> npt.NDArray[np.int32]:
        """(R, C) distances of rows (numbered as in ``origin``), in units of ``unit * 2**-bits``, rounded."""

    def fixed_table(self, bits: int) -> npt.NDArray[np.int32] | None:
        """``fixed_dist`` of all rows where that is worth its memory."""

    @property
    def unit(self) -> float:
        """A length that half of no distance exceeds."""


class FeaturePoints:
    """Points given by unit rows, some perhaps twice.

    Args:
        unit_features: (P, d) rows of ``unit_rows``.
        twins: rows that follow once more as further points, after all of the rows.
        lists: neighbours of the rows, at least as many as will be asked for, where they are known already.
        memory: bytes that blocks may take.
    """

    offset = 1e-4  # published code takes sqrt(2 - 2cos + 1e-4) for the distance
    unit = 1.0

    def __init__(
        self,
        unit_features: npt.NDArray[np.float32],
        twins: Ids = (),  # type: ignore[assignment]
        lists: Neighbours | None = None,
        memory: int | None = None,
    ) -> None:
        self.features = unit_features
        self.origin = np.concatenate([np.arange(len(unit_features)), twins]).astype(np.int32)
        self.square = squares(unit_features)
        self._lists = lists
        self._memory = memory

    def nearest(self, k: int) -> Neighbours:
        """See ``Points``."""
        n, distinct = len(self.origin), len(self.features)
        found = self._lists or unit_neighbours(self.features, k, self._memory)
        index, dist = found.index[:, :k], found.squared_dist[:, :k]
        if n == distinct:
            return Neighbours(np.ascontiguousarray(index), dist, found.largest)
        twin = np.full(distinct, -1, dtype=np.int32)
        twin[self.origin[distinct:]] = np.arange(distinct, n)
        both = np.concatenate([index, twin[index]], axis=1)
        both_dist = np.where(both < 0, np.inf, np.concatenate([dist, dist], axis=1))
        order = np.lexsort((both, both_dist), axis=1)[:, : min(k, n)]
        return Neighbours(
            np.take_along_axis(both, order, axis=1)[self.origin],
            np.take_along_axis(both_dist, order, axis=1).astype(np.float32)[self.origin],
            found.largest[self.origin],
        )

    def squared_dist(self, rows: Ids, columns: Ids) -> npt.NDArray[np.float32]:
        """See ``Points``."""
        rows, columns = self.origin[rows], self.origin[columns]
        return squared_dists(self.features[rows], self.features[columns], self.square[rows], self.square[columns])

    def paired_dist(self, start: npt.NDArray[np.int64], other: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """See ``Points``."""
        other = self.origin[other]
        dist = _kernel.row_dots(self.features, self.origin, start, other, self.features)
        dist *= -2
        dist += np.repeat(self.square[self.origin], np.diff(start))
        dist += self.square[other]
        return dist.astype(np.float32)

    def fixed_dist(self, rows: Ids, columns: Ids, bits: int) -> npt.NDArray[np.int32]:
        """See ``Points``."""
        dist = np.empty((len(rows), len(columns)), dtype=np.int32)
        row_square, column_square = self.square[rows], self.square[columns]
        for some, others, tile in product_tiles(self.features[rows], self.features[columns]):
            _kernel.fixed_dist(tile, row_square[some], column_square[others], 2.0**bits, dist, some.start, others.start)
        return dist

    def fixed_table(self, bits: int) -> npt.NDArray[np.int32] | None:
        """(P, P) ``fixed_dist`` of all rows, each pair computed once; None where the memory does not suffice."""
        n = len(self.features)
        if 4 * n * n > budget(self._memory) // 4:
            return None
        table = np.empty((n, n), dtype=np.int32)
        for first in range(0, n, TILE):
            block = slice(first, first + TILE)
            table[block, first:] = self.fixed_dist(np.arange(n)[block], np.arange(first, n), bits)
            table[first:, block] = table[block, first:].T
        return table


class DistancePoints:
    """Points given by their (N, N) distances, symmetric and not negative."""

    offset = 0.0

    def __init__(self, dist: npt.ArrayLike) -> None:
        self.dist = np.asarray(dist, dtype=np.float32)
        if self.dist.ndim != 2 or self.dist.shape[0] != self.dist.shape[1]:
            raise RankingError(f"distances: expected an (N, N) array, got shape {self.dist.shape}")
        bad = ~np.isfinite(self.dist).all(axis=1) | (self.dist < 0).any(axis=1)
        if bad.any():
            raise RankingError(f"distances: row {int(bad.argmax())} is negative or not finite; compute it again")
        self.origin = np.arange(len(self.dist), dtype=np.int32)

    @property
    def unit(self) -> float:
        """See ``Points``."""
        return float(self.dist.max(initial=0)) / 2 or 1.0

    def nearest(self, k: int) -> Neighbours:
        """See ``Points``."""
        k = min(k, len(self.dist))
        index = smallest(self.dist, k)
        return Neighbours(index, np.take_along_axis(self.dist, index, axis=1) ** 2, self.dist.max(axis=1) ** 2)

    def squared_dist(self, rows: Ids, columns: Ids) -> npt.NDArray[np.float32]:
        """See ``Points``."""
        return self.dist[np.ix_(rows, columns)] ** 2

    def paired_dist(self, start: npt.NDArray[np.int64], other: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """See ``Points``."""
        return self.dist[np.repeat(self.origin, np.diff(start)), other] ** 2

    def fixed_dist(self, rows: Ids, columns: Ids, bits: int) -> npt.NDArray[np.int32]:
        """See ``Points``."""
        return np.rint(self.dist[np.ix_(rows, columns)] * (2.0**bits / self.unit)).astype(np.int32)

    def fixed_table(self, bits: int) -> npt.NDArray[np.int32] | None:
        """See ``Points``."""
        return None  # the distances are a table already


def as_points(features: npt.ArrayLike, distances: bool, memory: int | None) -> FeaturePoints | DistancePoints:
    """Points from (N, d) features of any length, or from (N, N) distances."""
    return DistancePoints(features) if distances else FeaturePoints(unit_rows(features), memory=memory)
