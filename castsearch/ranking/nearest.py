"""Nearest neighbours: exact, blocked, ties to the lower index.

A float32 product of everything with everything only sifts: it is cheap, and its error is bounded. The few pairs that
may be among the k nearest are then computed exactly (see ``unit.py``) and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castsearch.ranking import _kernel
from castsearch.ranking.memory import block_rows
from castsearch.ranking.unit import products, squares, unit_rows


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


def unit_neighbours(unit: npt.NDArray[np.float32], k: int, memory: int | None = None) -> Neighbours:
    """``neighbours`` of (N, d) rows that ``unit_rows`` has made."""
    n = len(unit)
    k = min(k, n)
    square = squares(unit)
    found = Neighbours(np.empty((n, k), np.int32), np.empty((n, k), np.float32), np.empty(n, np.float32))
    if n <= 8 * k:  # the sieve would let most pass
        rest: npt.NDArray[np.integer] = np.arange(n)
    else:
        shortlist = _kernel.Shortlist(n, k, margin(unit.shape[1]), True)
        block = block_rows(n, 4 * n, memory)
        buffer = np.empty(block * n, dtype=np.float32)
        for first in range(0, n, block):
            rows = unit[first : first + block]
            # Products are symmetric: those with earlier rows have been seen as columns of earlier blocks.
            sifted = buffer[: len(rows) * (n - first)].reshape(len(rows), n - first)
            np.matmul(rows, unit[first:].T, out=sifted)
            shortlist.scan_rows(sifted, first, first)
            shortlist.scan_columns(sifted, first, first, len(rows))
        shortlist.nearest(unit, unit, square, square, -2.0, found.index, found.squared_dist)
        shortlist.farthest(unit, square, found.largest)
        rest = np.flatnonzero(shortlist.crowded)
    block = block_rows(len(rest), 40 * n, memory)
    for first in range(0, len(rest), block):
        rows = rest[first : first + block]
        dist = squared_dist(unit, square, rows)
        found.largest[rows] = dist.max(axis=1)
        found.index[rows] = smallest(dist, k)
        found.squared_dist[rows] = np.take_along_axis(dist, found.index[rows], axis=1)
    return found


def most_similar(
    queries: npt.NDArray[np.float32], points: npt.NDArray[np.float32], k: int, memory: int | None = None
) -> npt.NDArray[np.float32]:
    """The k largest products of each of (Q, d) queries with (N, d) points: (Q, min(k, N)) float32, largest first.

    Rows are unit rows, or unit rows side by side (up to four of them).
    """
    n_queries, n = len(queries), len(points)
    k = min(k, n)
    sim = np.empty((n_queries, k), np.float32)
    rest: npt.NDArray[np.integer] = np.arange(n_queries)
    if n > 8 * k:
        shortlist = _kernel.Shortlist(n_queries, k, 4 * margin(queries.shape[1]), False)
        block = block_rows(n_queries, 4 * n, memory)
        for first in range(0, n_queries, block):
            shortlist.scan_rows(queries[first : first + block] @ points.T, first, 0)
        index = np.empty((n_queries, k), np.int32)
        shortlist.nearest(queries, points, np.zeros(n_queries), np.zeros(n), -1.0, index, sim)
        np.negative(sim, out=sim)
        rest = np.flatnonzero(shortlist.crowded)
    block = block_rows(len(rest), 24 * n, memory)
    for first in range(0, len(rest), block):
        rows = rest[first : first + block]
        exact = products(queries[rows], points).astype(np.float32)
        sim[rows] = -np.sort(np.partition(-exact, k - 1, axis=1)[:, :k], axis=1)
    return sim


def margin(width: int) -> float:
    """How far apart two float32 products of unit rows may be found though they are equal, with room to spare.

    The error of one is at most ``width`` * 2^-24 in any order of summation (Higham, "Accuracy and Stability of
    Numerical Algorithms", section 3.1); rounded lengths and the rounding of the result add less than the rest.
    """
    return (2 * width + 4 * np.sqrt(width) + 8) * 2.0**-24


def squared_dist(
    unit: npt.NDArray[np.float32], square: npt.NDArray[np.float64], rows: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """(R, N) float32 squared Euclidean distances of the chosen unit rows to all."""
    dist = products(unit[rows], unit)
    dist *= -2
    dist += square[rows, None] + square
    return dist.astype(np.float32)


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
