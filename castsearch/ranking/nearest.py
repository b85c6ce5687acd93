"""Nearest neighbours: exact, blocked, ties to the lower index.

A float32 product of everything with everything only sifts: it is cheap, and its error is bounded. The few pairs that
may be among the k nearest are then computed exactly (see ``unit.py``) and sorted. ``benchmarks/ranking.py`` holds the
sieve against the ten lines of numpy that do without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

from castsearch.ranking.errors import RankingError
from castsearch.ranking.threads import TILE, Resources, slices, tile_rows
from castsearch.ranking.unit import F32, F64, Ids, UnitRows, _kernel, as_features

SPARSE = 8  # lists shorter than one point in so many are worth a sieve
EXACT_BLOCK = 1 << 21  # numbers of a block that is computed without a sieve


@dataclass(frozen=True)
class Neighbours:
    """Neighbour lists of N points.

    Attributes:
        index: (N, k) int32, nearest first; equal distances in ascending order of index.
        squared_dist: (N, k) float32 squared Euclidean distances of the unit rows, in [0, 4].
    """

    index: npt.NDArray[np.int32]
    squared_dist: F32


def neighbours(features: npt.ArrayLike, k: int, memory: int | None = None) -> Neighbours:
    """The k nearest of all points to each of them, by the angle; a point is among its own neighbours.

    Args:
        features: (N, d); rows are L2-normalised here.
        k: neighbours wanted, cut to N.
        memory: bytes that may be taken; by default a quarter of what is free.

    Raises:
        RankingError: a row is all zero or not finite, or k is below 1.

    >>> neighbours([[1, 0], [0, 1], [3, 1]], k=2).index.tolist()
    [[0, 2], [1, 2], [2, 0]]
    """
    if k < 1:
        raise RankingError(f"k = {k}: expected at least 1 neighbour")
    return NearPairs(UnitRows(as_features(features)), k, Resources.within(memory)).nearest(k)


def margin(width: int) -> float:
    """How far apart two float32 products of unit rows may be found though they are equal, with room to spare.

    The error of one is at most ``width`` * 2^-24 in any order of summation (Higham, "Accuracy and Stability of
    Numerical Algorithms", section 3.1); rounded lengths and the roundings of the result add less than the rest.
    """
    return (2 * width + 4 * np.sqrt(width) + 16) * 2.0**-24


class NearPairs:
    """All pairs of unit rows, sifted: for each row, the rows that may be among its k nearest, and its farthest.

    Args:
        unit: N rows.
        k: of the longest list that will be asked for.
        resources: what it may take.
        farthest: whether the largest distances will be asked for.
        table: (N, N) float32, receives the products of all pairs.
    """

    def __init__(
        self, unit: UnitRows, k: int, resources: Resources, farthest: bool = False, table: F32 | None = None
    ) -> None:
        self._unit, self._resources = unit, resources
        n, within = len(unit), margin(unit.width)
        sparse = n > SPARSE * k
        self._near = _kernel.Shortlist(n, k, within) if sparse else None
        self._far = _kernel.Shortlist(n, 1, within) if sparse and farthest else None
        if sparse or table is not None:
            self._sift(table)

    def _sift(self, table: F32 | None) -> None:
        unit = self._unit.rows

        def tiles(rows: slice, columns: slice) -> Iterator[F32]:
            tile = unit[rows] @ unit[columns].T
            if table is not None:
                table[rows, columns] = tile
                table[columns, rows] = tile.T
            yield tile
            if self._far is not None:
                yield np.negative(tile, out=tile)  # the farthest have the largest negative products

        shortlists = (self._near,) if self._far is None else (self._near, self._far)
        scan_pairs(len(unit), tiles, shortlists, self._resources)

    def nearest(self, k: int) -> Neighbours:
        """The k nearest of each row by their squared distance, rounded to float32."""
        return Neighbours(*self.lists(k, lambda squared, rows: squared))

    def lists(
        self, k: int, key: Callable[[F64, slice | Ids], npt.NDArray[np.floating]]
    ) -> tuple[npt.NDArray[np.int32], F32]:
        """(N, min(k, N)) int32 rows of the smallest keys, equal ones ascending, and these keys, float32.

        Args:
            k: at most that of the sieve.
            key: of (R, C) squared distances of the rows R; must not fall as they grow.
        """
        n = len(self._unit)
        k = min(k, n)
        index, value = np.empty((n, k), np.int32), np.empty((n, k), np.float32)

        def fill(rows: slice) -> None:
            crowded = np.ones(rows.stop - rows.start, dtype=bool)
            if self._near is not None:
                columns, crowded = self._near.columns(rows.start, rows.stop)
                keys = key(self._squared(rows, columns), rows).astype(np.float32)
                order = np.argsort(keys, axis=1, kind="stable")[:, :k]
                if order.shape[1] == k:
                    index[rows] = np.take_along_axis(columns, order, axis=1)
                    value[rows] = np.take_along_axis(keys, order, axis=1)
            for some in self._exact_blocks(rows.start + np.flatnonzero(crowded)):
                keys = key(self._exact(some), some).astype(np.float32)
                index[some] = smallest(keys, k)
                value[some] = np.take_along_axis(keys, index[some], axis=1)

        self._resources.each(fill, slices(n, TILE))
        return index, value

    def farthest(self) -> F64:
        """(N,) squared distance of the row farthest from each."""
        largest = np.empty(len(self._unit))

        def fill(rows: slice) -> None:
            crowded = np.ones(rows.stop - rows.start, dtype=bool)
            if self._far is not None:
                columns, crowded = self._far.columns(rows.start, rows.stop)
                largest[rows] = self._squared(rows, columns, -np.inf).max(axis=1, initial=-np.inf)
            for some in self._exact_blocks(rows.start + np.flatnonzero(crowded)):
                largest[some] = self._exact(some).max(axis=1)

        self._resources.each(fill, slices(len(self._unit), TILE))
        return largest

    def _squared(self, rows: slice, columns: npt.NDArray[np.int32], absent: float = np.inf) -> F64:
        """Squared distances of the rows of a slice and their listed columns; ``absent`` behind the list's end."""
        squared = np.full(columns.shape, absent)
        listed = columns >= 0
        squared[listed] = self._unit.pair_squared_dists(rows.start + np.nonzero(listed)[0], columns[listed])
        return squared

    def _exact_blocks(self, rows: Ids) -> list[Ids]:
        step = max(1, EXACT_BLOCK // max(1, len(self._unit)))
        return [rows[some] for some in slices(len(rows), step)]

    def _exact(self, rows: Ids) -> F64:
        """(R, N) squared distances of chosen rows and all."""
        return self._unit.pair_squared_dists(*every_pair(rows, np.arange(len(self._unit)))).reshape(len(rows), -1)


def scan_pairs(
    n: int,
    tiles: Callable[[slice, slice], Iterator[F32]],
    shortlists: Sequence[_kernel.Shortlist | None],
    resources: Resources,
) -> None:
    """Show shortlists the symmetric products of n rows with each other, each product once.

    Args:
        n: rows.
        tiles: of some rows and columns gives a tile for each shortlist, one after the other.
        shortlists: of n rows each; None wants none.
        resources: what may be taken.
    """
    blocks = slices(n, TILE)
    locks = [Lock() for _ in blocks]

    def visit(pair: tuple[int, int]) -> None:
        i, j = pair
        rows, columns = blocks[i], blocks[j]
        for shortlist, tile in zip(shortlists, tiles(rows, columns), strict=True):
            if shortlist is None:
                continue
            with locks[i]:
                shortlist.scan(tile, rows.start, columns.start)
            if i != j:
                with locks[j]:
                    shortlist.scan_transposed(tile, columns.start, rows.start)

    resources.each(visit, symmetric_pairs(len(blocks)))


def every_pair(rows: Ids, columns: Ids) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """All pairs of R rows and C columns, row by row: twice (R * C,)."""
    return np.repeat(rows.astype(np.int32), len(columns)), np.tile(columns.astype(np.int32), len(rows))


def symmetric_pairs(n: int, n_rows: int | None = None) -> list[tuple[int, int]]:
    """Pairs of blocks i <= j, of the first ``n_rows`` as i, such that neighbours in the list share none.

    >>> symmetric_pairs(3)
    [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)]
    """
    return [(i, i + apart) for apart in range(n) for i in range(min(n - apart, n if n_rows is None else n_rows))]


def smallest(dist: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int32]:
    """Columns of the k smallest entries of each row, ascending, equal ones by column: (R, k) int32."""
    order = np.empty((len(dist), k), np.int32)
    if k == 0 or not len(dist):
        return order
    limits = np.partition(dist, k - 1, axis=1)[:, k - 1]
    for row, (values, limit) in enumerate(zip(dist, limits, strict=True)):
        among = np.flatnonzero(values <= limit)
        order[row] = among[np.argsort(values[among], kind="stable")[:k]]
    return order


# ---------------------------------------------------------------------------- similarity to chosen rows


@dataclass(frozen=True)
class View:
    """One kind of feature of the same N boxes: unit rows, and their float32 products where they are known already.

    Attributes:
        unit: N rows.
        table: (N, N) float32 products, or None.
    """

    unit: UnitRows
    table: F32 | None = None

    def sifting_products(self, rows: Ids, columns: Ids) -> F32:
        """(R, C) float32 products."""
        if self.table is not None:
            return self.table[np.ix_(rows, columns)]
        return self.unit.rows[rows] @ self.unit.rows[columns].T


def most_similar(views: Sequence[View], rows: Ids, columns: Ids, k: int, resources: Resources) -> F32:
    """The k largest similarities of each of R boxes to C others: (R, min(k, C)) float32, largest first.

    The similarity of two boxes is the mean of their cosines over the ``views``.
    """
    k = min(k, len(columns))
    best = np.empty((len(rows), k), np.float32)
    width = max(view.unit.width for view in views)
    within = sum(margin(view.unit.width) for view in views)

    def fill(some: slice) -> None:
        shortlist = _kernel.Shortlist(some.stop - some.start, k, within)
        for others in slices(len(columns), TILE):
            products = [view.sifting_products(rows[some], columns[others]) for view in views]
            shortlist.scan(sum(products[1:], start=products[0]), 0, others.start)
        listed, crowded = shortlist.columns(0, some.stop - some.start)
        row, place = np.nonzero(listed >= 0)
        sim = np.full((len(listed), max(k, listed.shape[1])), -np.inf, np.float32)
        sim[row, place] = _pair_similarity(views, rows[some][row], columns[listed[row, place]])
        best[some] = largest(sim, k)
        for at in some.start + np.flatnonzero(crowded):
            best[at] = largest(_pair_similarity(views, *every_pair(rows[at : at + 1], columns))[None], k)

    if k:
        resources.each(fill, slices(len(rows), tile_rows(width)))
    return best


def _pair_similarity(views: Sequence[View], some: Ids, others: Ids) -> F32:
    """(P,) similarities of boxes ``some[i]`` and ``others[i]``."""
    return np.mean([view.unit.pair_cosines(some, others) for view in views], axis=0).astype(np.float32)


def largest(sim: F32, k: int) -> F32:
    """The k largest entries of each row, or all there are, largest first: (R, min(k, C))."""
    k = min(k, sim.shape[1])
    if k == 0:
        return sim[:, :0]
    return -np.sort(np.partition(-sim, k - 1, axis=1)[:, :k], axis=1)
