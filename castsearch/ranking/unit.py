"""Cosines and distances of feature rows that do not depend on where and how they are computed.

Chosen pairs are computed from the features as they are, each in float64 and in one fixed order, so that equal rows tie
exactly: neighbour lists and best matches rest on these. Matrices are left to BLAS, whose order of summation is its own;
rows go to it L2-normalised and rounded to multiples of 2^-26, which float32 holds (it rounds entries above 1/4 once
more, to a coarser multiple). The product of two entries is then a multiple of 2^-52, and every partial sum of a row's
products is below 2 (Cauchy and Schwarz), so that float64 holds it exactly: the same number whatever the BLAS, its
threads, the block it was computed in or the place of the rows in it. Rankings do not depend on the machine, and a
permutation of the points permutes the result. Rounded rows are no longer exactly 1 long; cosines divide by the lengths,
so that the cosine of equal rows is 1. The rounding moves a cosine by some 1e-9, less than float32 arithmetic does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from castsearch.ranking.errors import RankingError
from castsearch.ranking.threads import Resources, slices, tile_rows

try:
    from castsearch.ranking import _kernel
except ImportError as error:
    raise ImportError(
        f"the compiled ranking kernel cannot be loaded ({error}); run `pip install -e .` in the project's root"
    ) from None

GRID = 2.0**26
# Sums of up to 2^20 unit rows are cut into parts on ever finer grids, so that the products of each are exact.
SUM_GRIDS = (2.0**6, 2.0**26, 2.0**46)

Ids = npt.NDArray[np.integer]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def as_features(features: npt.ArrayLike, name: str = "features") -> F32:
    """The same as a C-contiguous (N, d) float32 array."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is found as not finite
        array = np.ascontiguousarray(features, dtype=np.float32)
    if array.ndim != 2:
        raise RankingError(f"{name}: expected an (N, d) array, got shape {array.shape}")
    return array


def norms(features: F32) -> F64:
    """(N,) Euclidean lengths, each computed alike wherever its row stands."""
    out = np.empty(len(features))
    for rows in slices(len(features), tile_rows(features.shape[1])):
        out[rows] = np.sqrt(np.square(features[rows], dtype=np.float64).sum(axis=1))
    return out


def bad_row(length: F64) -> tuple[int, str] | None:
    """The first row that has no direction, by its length, and why; None where all have."""
    bad = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if not len(bad):
        return None
    row = int(bad[0])
    return row, "all zero" if length[row] == 0 else "not finite"


def unit_rows(features: npt.ArrayLike, name: str = "features") -> F32:
    """L2-normalised rows on the grid of this module.

    Args:
        features: (N, d), any finite length but 0.
        name: what messages call them.

    Returns:
        (N, d) float32 multiples of 2^-26.

    Raises:
        RankingError: a row is all zero or not finite.
    """
    array = as_features(features, name)
    out = np.empty_like(array)
    write_unit_rows(array, out, name)
    return out


def write_unit_rows(features: F32, out: F32, name: str) -> None:
    """``unit_rows`` of ``features``, written to ``out``, which may be ``features``."""
    length = norms(features)
    if (bad := bad_row(length)) is not None:
        raise RankingError(f"{name}: row {bad[0]} is {bad[1]}; compute it again or leave it out")
    for rows in slices(len(features), tile_rows(features.shape[1])):
        unit = features[rows] / length[rows, None]
        unit *= GRID
        np.rint(unit, out=unit)
        unit /= GRID
        out[rows] = unit


class Tile(NamedTuple):
    """Some unit rows.

    Attributes:
        rows: (R, d) float32, of ``unit_rows``.
        square: (R,) float64 their squared lengths, exact; 1 but for the rounding.
    """

    rows: F32
    square: F64


class UnitRows:
    """The directions of N feature rows.

    Attributes:
        features: (N, d) float32, as they came.
        rows: (N, d) float32, of ``unit_rows``.

    Args:
        features: of any finite length but 0.
        rows: their unit rows, where they are known already.
    """

    def __init__(self, features: F32, rows: F32 | None = None) -> None:
        self.features = features
        self.rows = unit_rows(features) if rows is None else rows
        self._power = _squared_lengths(self.features)
        self._square = self._power if self.rows is features else _squared_lengths(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.rows.shape[1]

    def tile(self, some: slice | Ids) -> Tile:
        """Chosen unit rows."""
        return Tile(self.rows[some], self._square[some])

    def pair_cosines(self, some: Ids, others: Ids) -> F64:
        """(P,) cosines of rows ``some[i]`` and ``others[i]``; 1 for equal rows."""
        dots = _kernel.pair_dots(self.features, some.astype(np.int32), self.features, others.astype(np.int32))
        dots /= np.sqrt(self._power[some] * self._power[others])
        return dots

    def pair_squared_dists(self, some: Ids, others: Ids) -> F64:
        """(P,) squared Euclidean distances of directions ``some[i]`` and ``others[i]``; 0 for equal rows."""
        return np.maximum(2 - 2 * self.pair_cosines(some, others), 0)


def _squared_lengths(rows: F32) -> F64:
    every = np.arange(len(rows), dtype=np.int32)
    return _kernel.pair_dots(rows, every, rows, every)


def products(a: Tile, b: Tile) -> F64:
    """(A, B) exact products."""
    return a.rows.astype(np.float64) @ b.rows.astype(np.float64).T


def cosine_tile(a: Tile, b: Tile) -> F64:
    """(A, B) cosines."""
    tile = products(a, b)
    tile /= np.sqrt(np.multiply.outer(a.square, b.square))
    return tile


def squared_dist_tile(a: Tile, b: Tile) -> F64:
    """(A, B) squared Euclidean distances; 0 for equal rows."""
    tile = products(a, b)
    dist = a.square[:, None] - tile
    dist += np.subtract(b.square, tile, out=tile)
    return dist


def sum_of_directions(unit: Tile, some: Ids, weight: F64 | None = None) -> F64:
    """(d,) sum of chosen rows, each divided by its length, for rounded rows are not exactly 1 long.

    Args:
        unit: R rows.
        some: which of them.
        weight: (R,) that each is multiplied by.
    """
    factor = 1 / np.sqrt(unit.square[some]) if weight is None else weight[some] / np.sqrt(unit.square[some])
    total = np.zeros(unit.rows.shape[1])
    for part in slices(len(some), tile_rows(len(total))):
        total += (unit.rows[some[part]] * factor[part, None]).sum(axis=0)
    return total


def products_with_sums(sums: F64, unit: Tile) -> F64:
    """(S, N) cosines of N unit rows with the rows that were summed, added up: equal for equal rows."""
    parts, rest = [], sums
    for grid in SUM_GRIDS:
        part = np.rint(rest * grid) / grid
        parts.append(part)
        rest = rest - part
    dots = np.concatenate(parts) @ unit.rows.T.astype(np.float64)
    total = dots.reshape(len(parts), len(sums), -1)[::-1].sum(axis=0)
    return total / np.sqrt(unit.square)


def tiled(unit: UnitRows, some: Ids, others: Ids, tile: Callable[[Tile, Tile], F64], resources: Resources) -> F32:
    """(A, B) float32 of rows ``some`` and ``others``: what ``tile`` computes of a tile of them, side by side."""
    out = np.empty((len(some), len(others)), dtype=np.float32)
    step = tile_rows(unit.width)

    def fill(place: tuple[slice, slice]) -> None:
        out[place] = tile(unit.tile(some[place[0]]), unit.tile(others[place[1]]))

    resources.each(fill, [(rows, columns) for rows in slices(len(some), step) for columns in slices(len(others), step)])
    return out


def cosines(unit: UnitRows, some: Ids, others: Ids, resources: Resources) -> F32:
    """(A, B) float32 cosines of chosen rows, correctly rounded; 1 for equal rows."""
    return tiled(unit, some, others, cosine_tile, resources)


def side_by_side(models: Sequence[F32]) -> UnitRows:
    """Unit rows of several models side by side, as unit rows."""
    if len(models) == 1:
        return UnitRows(models[0])
    edges = np.cumsum([0, *(features.shape[1] for features in models)])
    joined = np.empty((len(models[0]), edges[-1]), np.float32)
    for rows in slices(len(joined), tile_rows(joined.shape[1])):
        for features, first, last in zip(models, edges, edges[1:], strict=False):
            joined[rows, first:last] = unit_rows(features[rows])
        write_unit_rows(joined[rows], joined[rows], "joined features")
    return UnitRows(joined, joined)
