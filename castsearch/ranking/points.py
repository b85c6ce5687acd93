"""What a re-ranker works on: a set of points, given by features or by distances."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from castsearch.ranking.errors import RankingError
from castsearch.ranking.nearest import NearPairs, smallest
from castsearch.ranking.threads import TILE, Resources, slices, tile_rows
from castsearch.ranking.unit import (
    F32,
    F64,
    Ids,
    Tile,
    UnitRows,
    _kernel,
    as_features,
    products,
    squared_dist_tile,
    tiled,
)

I32 = npt.NDArray[np.int32]
ROUNDING = 1e-4  # of the largest: how far the squares of two measurements of one distance may lie apart


class ScaledLists(NamedTuple):
    """Neighbour lists by distances that are divided by the largest of their point.

    Attributes:
        lists: (N, k) int32, nearest first, equal distances by index.
        scale: (N,) float32, the largest distance of each point.
    """

    lists: I32
    scale: F32


class Points(Protocol):
    """N points, numbered from 0, each standing for the row ``origin`` of R different ones."""

    origin: I32
    n_rows: int
    unit: float  # a length that half of no distance exceeds
    tile: int  # rows whose distances to as many others can be asked for at once

    def nearest(self, k: int) -> I32:
        """(N, k) the nearest points of each, by distance: itself first, or its twin."""

    def nearest_scaled(self, k: int) -> ScaledLists:
        """The nearest by the scaled squared distance of k-reciprocal re-ranking."""

    def squared_dist(self, some: Ids, others: Ids) -> F32:
        """(A, B) squared distances of k-reciprocal re-ranking between chosen points."""

    def pair_squared_dist(self, some: Ids, others: Ids) -> F32:
        """(P,) the same of points ``some[i]`` and ``others[i]``."""

    def fixed_dist(self, rows: Ids, columns: Ids, bits: int) -> I32:
        """(A, B) distances of chosen rows, a tile at most, in units of ``unit * 2**-bits``, rounded."""


class FeaturePoints:
    """Points given by unit rows, some perhaps twice.

    Args:
        rows: R unit rows.
        resources: what may be taken.
        twins: rows that follow once more as further points, after all of the rows.
        pairs: the rows' sifted pairs, where they are known already.
    """

    unit = 1.0
    offset = 1e-4  # published code of k-reciprocal re-ranking takes sqrt(2 - 2cos + 1e-4) for the distance

    def __init__(
        self, rows: UnitRows, resources: Resources, twins: Ids | None = None, pairs: NearPairs | None = None
    ) -> None:
        self._rows, self._resources, self._pairs = rows, resources, pairs
        self.n_rows, self.tile = len(rows), tile_rows(rows.width)
        self.origin = np.concatenate([np.arange(len(rows)), [] if twins is None else twins]).astype(np.int32)

    def _sifted(self, k: int, farthest: bool) -> NearPairs:
        return self._pairs or NearPairs(self._rows, k, self._resources, farthest)

    def nearest(self, k: int) -> I32:
        """See ``Points``."""
        found = self._sifted(k, False).nearest(k)
        return self._with_twins(found.index, found.squared_dist, k)

    def nearest_scaled(self, k: int) -> ScaledLists:
        """See ``Points``."""
        pairs = self._sifted(k, True)
        scale = (pairs.farthest() + self.offset).astype(np.float32)
        index, dist = pairs.lists(k, lambda squared, rows: _offset(squared, self.offset) / scale[rows, None])
        return ScaledLists(self._with_twins(index, dist, k), scale[self.origin])

    def _with_twins(self, index: I32, dist: F32, k: int) -> I32:
        n = len(self.origin)
        if n == self.n_rows:
            return index
        twin = np.full(self.n_rows, -1, dtype=np.int32)
        twin[self.origin[self.n_rows :]] = np.arange(self.n_rows, n)
        both = np.concatenate([index, twin[index]], axis=1)
        both_dist = np.where(both < 0, np.float32(np.inf), np.concatenate([dist, dist], axis=1))
        order = np.lexsort((both, both_dist), axis=1)[:, : min(k, n)]
        return np.take_along_axis(both, order, axis=1)[self.origin]

    def squared_dist(self, some: Ids, others: Ids) -> F32:
        """See ``Points``."""

        def tile(a: Tile, b: Tile) -> F64:
            dist = squared_dist_tile(a, b)
            dist += self.offset
            return dist

        return tiled(self._rows, self.origin[some], self.origin[others], tile, self._resources)

    def pair_squared_dist(self, some: Ids, others: Ids) -> F32:
        """See ``Points``."""
        return _offset(self._rows.pair_squared_dists(self.origin[some], self.origin[others]), self.offset)

    def fixed_dist(self, rows: Ids, columns: Ids, bits: int) -> I32:
        """See ``Points``."""
        a, b = self._rows.tile(rows), self._rows.tile(columns)
        return _kernel.fixed_dist(products(a, b), a.square, b.square, 2.0**bits)


def _offset(squared: F64, offset: float) -> F32:
    return (squared + offset).astype(np.float32)


class DistancePoints:
    """Points given by their (N, N) distances: symmetric, not negative, of a length whose square float32 can hold.

    Raises:
        RankingError: they are not; the row is named.
    """

    def __init__(self, dist: npt.ArrayLike) -> None:
        self.dist = np.asarray(dist, dtype=np.float32)
        if self.dist.ndim != 2 or self.dist.shape[0] != self.dist.shape[1]:
            raise RankingError(f"distances: expected an (N, N) array, got shape {self.dist.shape}")
        largest = float(self.dist.max(initial=0))
        for rows in slices(len(self.dist), TILE):
            _check_distances(self.dist[rows], self.dist[:, rows].T, rows.start, ROUNDING * largest**2)
        self.n_rows, self.tile = len(self.dist), TILE
        self.origin = np.arange(self.n_rows, dtype=np.int32)
        self.unit = largest / 2 or 1.0

    def nearest(self, k: int) -> I32:
        """See ``Points``."""
        return smallest(self.dist, min(k, self.n_rows))

    def nearest_scaled(self, k: int) -> ScaledLists:
        """See ``Points``."""
        scale = self.dist.max(axis=1, initial=0) ** 2
        scale[scale == 0] = 1  # all points are one
        index = np.empty((self.n_rows, min(k, self.n_rows)), np.int32)
        for rows in slices(self.n_rows, TILE):
            index[rows] = smallest(self.dist[rows] ** 2 / scale[rows, None], index.shape[1])
        return ScaledLists(index, scale)

    def squared_dist(self, some: Ids, others: Ids) -> F32:
        """See ``Points``."""
        return self.dist[np.ix_(some, others)] ** 2

    def pair_squared_dist(self, some: Ids, others: Ids) -> F32:
        """See ``Points``."""
        return self.dist[some, others] ** 2

    def fixed_dist(self, rows: Ids, columns: Ids, bits: int) -> I32:
        """See ``Points``."""
        return np.rint(self.dist[np.ix_(rows, columns)] * (2.0**bits / self.unit)).astype(np.int32)


def _check_distances(dist: F32, transposed: F32, first: int, rounding: float) -> None:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squared = dist * dist
        faults = {
            "is negative or not finite": ~(np.isfinite(dist) & (dist >= 0)),
            "is too short or too long to be squared in float32; scale distances to lie near 1": (
                (dist > 0) & ~((squared >= np.finfo(np.float32).tiny) & np.isfinite(squared))
            ),
            "differs from its column; give symmetric distances": (
                # Distances near 0 are roots of what rounding left of a difference: compare the squares.
                np.abs(squared - transposed * transposed) > rounding
            ),
        }
    for fault, where in faults.items():
        if where.any():
            row, column = np.argwhere(where)[0]
            raise RankingError(f"distances: row {first + row}, column {column}: {dist[row, column]:g} {fault}")


def as_points(features: npt.ArrayLike, distances: bool, resources: Resources) -> Points:
    """Points from (N, d) features of any length, or from (N, N) distances."""
    return DistancePoints(features) if distances else FeaturePoints(UnitRows(as_features(features)), resources)
