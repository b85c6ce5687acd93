"""Nearest neighbours: exact, blocked, ties to the lower index.

A float32 product of everything with everything only sifts: it is cheap, and its error is bounded. The few pairs that
may be among the k nearest are then computed exactly (see ``unit.py``) and sorted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castsearch.ranking import _kernel
from castsearch.ranking.memory import block_rows, budget
from castsearch.ranking.unit import cosines, squared_dists, squares, unit_rows

# Products are sifted while they are in the cache.
TILE_ROWS = 1536
TILE_COLUMNS = 4096


@dataclass(frozen=True)
class Neighbours:
    """Neighbour lists of N points.

    Attributes:
        index: (N, k) int32, nearest first; equal distances in ascending order of index.
        squared_dist: (N, k) float32 squared Euclidean distances of the unit rows, in [0, 4].
        largest: (N,) float32 squared distance of the point farthest from each.
    """

    index: npt.NDArray[np.int32]
    squared_dist: npt.NDArray[np.float32]
    largest: npt.NDArray[np.float32]


def neighbours(features: npt.ArrayLike, k: int, memory: int | None = None) -> Neighbours:
    """The k nearest of all points to each of them, by the angle; a point is among its own neighbours.

    Args:
        features: (N, d); rows are L2-normalised here.
        k: neighbours wanted, cut to N.
        memory: bytes that blocks may take; by default a quarter of what is free.

    Raises:
        RankingError: a row is all zero or not finite.
    """
    return unit_neighbours(unit_rows(features), k, memory)


def unit_neighbours(
    unit: npt.NDArray[np.float32], k: int, memory: int | None = None, table: npt.NDArray[np.float32] | None = None
) -> Neighbours:
    """``neighbours`` of (N, d) unit rows; ``table`` is their ``product_table``, if there is one."""
    n = len(unit)
    k = min(k, n)
    square = squares(unit)
    found = Neighbours(np.empty((n, k), np.int32), np.empty((n, k), np.float32), np.empty(n, np.float32))
    if n <= 8 * k:  # the sieve would let most pass
        rest = np.arange(n)
    else:
        shortlist = _kernel.Shortlist(n, k, margin(unit.shape[1]), True)
        if table is None:
            _sift_tiles(shortlist, unit)
        else:
            shortlist.scan_rows(table, 0, 0)
        shortlist.nearest(unit, unit, square, square, -2.0, found.index, found.squared_dist)
        shortlist.farthest(unit, square, found.largest)
        rest = np.flatnonzero(shortlist.crowded)
    block = block_rows(len(rest), 16 * n, memory)
    for first in range(0, len(rest), block):
        some = rest[first : first + block]
        dist = squared_dists(unit[some], unit, square[some], square)
        found.largest[some] = dist.max(axis=1)
        found.index[some] = smallest(dist, k)
        found.squared_dist[some] = np.take_along_axis(dist, found.index[some], axis=1)
    return found


def _sift_tiles(shortlist: _kernel.Shortlist, unit: npt.NDArray[np.float32]) -> None:
    n = len(unit)
    buffer = np.empty(min(n, TILE_ROWS) * min(n, TILE_COLUMNS), dtype=np.float32)
    for first in range(0, n, TILE_ROWS):
        rows = unit[first : first + TILE_ROWS]
        # Products are symmetric: those with earlier rows have been seen as columns of earlier tiles.
        for other in range(first, n, TILE_COLUMNS):
            columns = unit[other : other + TILE_COLUMNS]
            sifted = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            _kernel.multiply(rows, columns, sifted)
            shortlist.scan_rows(sifted, first, other)
            shortlist.scan_columns(sifted, first, other, max(0, first + len(rows) - other))


def sieve_products(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(A, B) float32 products of rows, good for sifting."""
    products = np.empty((len(a), len(b)), dtype=np.float32)
    _kernel.multiply(a, b, products)
    return products


def product_table(unit: npt.NDArray[np.float32], memory: int | None = None) -> npt.NDArray[np.float32] | None:
    """(N, N) float32 products of unit rows, good for sifting; None where they take over a quarter of the memory."""
    return unit @ unit.T if 4 * len(unit) ** 2 <= budget(memory) // 4 else None


def most_similar(
    queries: npt.NDArray[np.float32],
    points: npt.NDArray[np.float32],
    k: int,
    memory: int | None = None,
    sift: Callable[[_kernel.Shortlist], None] | None = None,
) -> npt.NDArray[np.float32]:
    """The k largest products of each of (Q, d) queries with (N, d) points: (Q, min(k, N)) float32, largest first.

    Rows are unit rows, or two of them side by side. ``sift`` shows a shortlist their float32 products, where the caller
    has them already.
    """
    n_queries, n = len(queries), len(points)
    k = min(k, n)
    sim = np.empty((n_queries, k), np.float32)
    rest = np.arange(n_queries)
    if n > k:
        shortlist = _kernel.Shortlist(n_queries, k, 2 * margin(queries.shape[1]), False)
        if sift is not None:
            sift(shortlist)
        else:
            for first in range(0, n_queries, TILE_ROWS):
                rows = queries[first : first + TILE_ROWS]
                for other in range(0, n, TILE_COLUMNS):
                    shortlist.scan_rows(sieve_products(rows, points[other : other + TILE_COLUMNS]), first, other)
        index = np.empty((n_queries, k), np.int32)
        shortlist.nearest(queries, points, np.zeros(n_queries), np.zeros(n), -1.0, index, sim)
        np.negative(sim, out=sim)
        rest = np.flatnonzero(shortlist.crowded)
    block = block_rows(len(rest), 16 * n, memory)
    for first in range(0, len(rest), block):
        some = rest[first : first + block]
        exact = -cosines(queries[some], points)
        sim[some] = -np.sort(np.partition(exact, k - 1, axis=1)[:, :k], axis=1)
    return sim


def margin(width: int) -> float:
    """How far apart two float32 products of unit rows may be found though they are equal, with room to spare.

    The error of one is at most ``width`` * 2^-24 in any order of summation (Higham, "Accuracy and Stability of
    Numerical Algorithms", section 3.1); rounded lengths and the rounding of the result add less than the rest.
    """
    return (2 * width + 4 * np.sqrt(width) + 8) * 2.0**-24


def smallest(dist: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int32]:
    """Columns of the k smallest entries of each row, ascending, equal ones by column: (R, k) int32."""
    if k == 0 or not len(dist):
        return np.empty((len(dist), k), np.int32)
    order = np.empty((len(dist), k), np.int32)
    limits = np.partition(dist, k - 1, axis=1)[:, k - 1]
    for row, (values, limit) in enumerate(zip(dist, limits, strict=True)):
        among = np.flatnonzero(values <= limit)
        order[row] = among[np.argsort(values[among], kind="stable")[:k]]
    return order
