"""Unit rows on a grid, and products of them that are exact.

Rows are L2-normalised and rounded to multiples of 2^-24, which float32 holds exactly (every entry is at most 1). The
product of two entries is then a multiple of 2^-48, and every partial sum of a row's products is below 2 (Cauchy and
Schwarz), so that float64 holds it exactly. A cosine computed in float64 is therefore the same number whatever the
BLAS, its threads, the block it was computed in or the place of the rows in it: equal rows tie exactly, rankings do not
depend on the machine, and a permutation of the points permutes the result. The rounding moves a cosine by some 1e-8,
less than float32 arithmetic does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from castsearch.errors import CastSearchError

# OpenMP's threads would spin while they wait, on the cores that BLAS needs in between.
_policy = os.environ.get("OMP_WAIT_POLICY")
os.environ["OMP_WAIT_POLICY"] = _policy or "passive"
try:
    from castsearch.ranking import _kernel
except ImportError as error:
    raise ImportError(
        f"the compiled ranking kernel cannot be loaded ({error}); run `pip install -e .` in the project's root"
    ) from None
finally:
    if _policy is None:
        del os.environ["OMP_WAIT_POLICY"]

# Sums of up to 2^20 unit rows are split here, so that the products of either part are exact again.
SPLIT_BITS = 8
TILE = 1536  # rows and columns of float64 at a time: tasks for some threads


class RankingError(CastSearchError):
    """Features, distances or settings that cannot be ranked with."""


def as_features(features: npt.ArrayLike, name: str = "features") -> npt.NDArray[np.float32]:
    """The same as a C-contiguous (N, d) float32 array."""
    array = np.ascontiguousarray(features, dtype=np.float32)
    if array.ndim != 2:
        raise RankingError(f"{name}: expected an (N, d) array, got shape {array.shape}")
    return array


def bad_row(features: npt.NDArray[np.float32]) -> tuple[int, str] | None:
    """The first row of (N, d) features that has no direction, and why; None where all have."""
    length = _kernel.norms(features)
    bad = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if not len(bad):
        return None
    row = int(bad[0])
    return row, "all zero" if length[row] == 0 else "not finite"


def unit_rows(
    features: npt.ArrayLike, name: str = "features", out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """L2-normalised rows on the grid of this module.

    Args:
        features: (N, d), any finite length but 0.
        name: what messages call them.
        out: where the result goes; may be ``features``.

    Returns:
        (N, d) float32 multiples of 2^-24.

    Raises:
        RankingError: a row is all zero or not finite.
    """
    array = as_features(features, name)
    if (bad := bad_row(array)) is not None:
        raise RankingError(f"{name}: row {bad[0]} is {bad[1]}; compute it again or leave it out")
    out = np.empty_like(array) if out is None else out
    _kernel.unit_rows(array, _kernel.norms(array), out)
    return out


def product_tiles(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]
) -> Iterator[tuple[slice, slice, npt.NDArray[np.float64]]]:
    """Exact cosines of unit rows (A, d) and (B, d), tile by tile: where it belongs in (A, B), and the float64 tile."""
    for first in range(0, len(a), TILE):
        rows = slice(first, first + TILE)
        for other in range(0, len(b), TILE):
            columns = slice(other, other + TILE)
            tile = np.empty((len(a[rows]), len(b[columns])))
            _kernel.multiply(a[rows], b[columns], tile)
            yield rows, columns, tile


def cosines(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(A, B) float32 cosines of unit rows (A, d) and (B, d), correctly rounded."""
    sim = np.empty((len(a), len(b)), dtype=np.float32)
    for rows, columns, tile in product_tiles(a, b):
        sim[rows, columns] = tile
    return sim


def squared_dists(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    a_square: npt.NDArray[np.float64],
    b_square: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """(A, B) float32 squared Euclidean distances of unit rows, correctly rounded; 0 for equal rows only."""
    dist = np.empty((len(a), len(b)), dtype=np.float32)
    for rows, columns, tile in product_tiles(a, b):
        tile *= -2
        tile += a_square[rows, None]
        tile += b_square[columns]
        dist[rows, columns] = tile
    return dist


def squares(unit: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(N,) float64 exact squared lengths of unit rows; 1 but for the rounding."""
    rows = np.arange(len(unit), dtype=np.int32)
    return _kernel.row_dots(unit, rows, np.arange(len(unit) + 1), rows, unit)


def sum_products(sums: npt.NDArray[np.float64], unit: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(S, N) float64 products of sums of unit rows (S, d) with unit rows (N, d), exact but for one rounding.

    A product with a sum is the sum of the products, so the mean similarity to many rows costs one.
    """
    coarse = np.rint(sums * 2.0**SPLIT_BITS) / 2.0**SPLIT_BITS
    both = np.concatenate([coarse, sums - coarse]) @ unit.astype(np.float64).T
    return both[: len(sums)] + both[len(sums) :]
