"""Unit rows on a grid, and products of them that are exact.

Rows are L2-normalised and rounded to multiples of 2^-26, which float32 holds (it rounds entries above 1/4 once more, to
a coarser multiple). The product of two entries is then a multiple of 2^-52, and every partial sum of a row's products
is below 2 (Cauchy and Schwarz), so that float64 holds it exactly. A product computed in float64 is therefore the same
number whatever the BLAS, its threads, the block it was computed in or the place of the rows in it: equal rows tie
exactly, rankings do not depend on the machine, and a permutation of the points permutes the result. Rounded rows are
no longer exactly 1 long; cosines divide by the lengths, so that the cosine of equal rows is 1. The rounding moves a
cosine by some 1e-9, less than float32 arithmetic does.
"""

from __future__ import annotations

from collections.abc import Callable

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


def bad_row(features: F32) -> tuple[int, str] | None:
    """The first row of (N, d) features that has no direction, and why; None where all have."""
    length = norms(features)
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
    if (bad := bad_row(features)) is not None:
        raise RankingError(f"{name}: row {bad[0]} is {bad[1]}; compute it again or leave it out")
    for rows in slices(len(features), tile_rows(features.shape[1])):
        unit = features[rows] / norms(features[rows])[:, None]
        unit *= GRID
        np.rint(unit, out=unit)
        unit /= GRID
        out[rows] = unit


class UnitRows:
    """Rows of ``unit_rows`` and their squared lengths.

    Attributes:
        rows: (N, d) float32.
        square: (N,) float64, exact; 1 but for the rounding.
    """

    def __init__(self, rows: F32, square: F64 | None = None) -> None:
        every = np.arange(len(rows), dtype=np.int32)
        self.rows = rows
        self.square = _kernel.pair_dots(rows, every, rows, every) if square is None else square

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, some: slice | Ids) -> UnitRows:
        return UnitRows(self.rows[some], self.square[some])

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.rows.shape[1]

    def pair_cosines(self, some: Ids, others: Ids) -> F64:
        """(P,) cosines of rows ``some[i]`` and ``others[i]``; 1 for equal rows."""
        return self._pair_dots(some, others) / np.sqrt(self.square[some] * self.square[others])

    def pair_squared_dists(self, some: Ids, others: Ids) -> F64:
        """(P,) squared Euclidean distances of rows ``some[i]`` and ``others[i]``; 0 for equal rows."""
        dots = self._pair_dots(some, others)
        return (self.square[some] - dots) + (self.square[others] - dots)

    def _pair_dots(self, some: Ids, others: Ids) -> F64:
        return _kernel.pair_dots(self.rows, some.astype(np.int32), self.rows, others.astype(np.int32))


def products(a: UnitRows, b: UnitRows) -> F64:
    """(A, B) exact products; a tile's worth of rows at a time, for they are widened to float64."""
    return a.rows.astype(np.float64) @ b.rows.astype(np.float64).T


def cosine_tile(a: UnitRows, b: UnitRows) -> F64:
    """(A, B) cosines of a tile."""
    tile = products(a, b)
    tile /= np.sqrt(np.multiply.outer(a.square, b.square))
    return tile


def squared_dist_tile(a: UnitRows, b: UnitRows) -> F64:
    """(A, B) squared Euclidean distances of a tile; 0 for equal rows."""
    tile = products(a, b)
    dist = a.square[:, None] - tile
    dist += np.subtract(b.square, tile, out=tile)
    return dist


def tiled(a: UnitRows, b: UnitRows, tile: Callable[[UnitRows, UnitRows], F64], resources: Resources) -> F32:
    """(A, B) float32: what ``tile`` computes, tile by tile, side by side."""
    out = np.empty((len(a), len(b)), dtype=np.float32)
    step = tile_rows(a.width)

    def fill(place: tuple[slice, slice]) -> None:
        out[place] = tile(a[place[0]], b[place[1]])

    resources.each(fill, [(rows, columns) for rows in slices(len(a), step) for columns in slices(len(b), step)])
    return out


def cosines(a: UnitRows, b: UnitRows, resources: Resources) -> F32:
    """(A, B) float32 cosines, correctly rounded; 1 for equal rows."""
    return tiled(a, b, cosine_tile, resources)
