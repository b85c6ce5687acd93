"""Which boxes speak for which: those with like bodies, near in time, with like faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.impostors import Impostors
from castsearch.ranking.nearest import margin, scan_pairs, symmetric_pairs
from castsearch.ranking.threads import TILE, Resources, slices, tile_rows
from castsearch.ranking.unit import F32, F64, Ids, UnitRows, _kernel

LEAST_SD = 1e-3  # of the cosines of bodies; whatever scatters less is one picture again and again
ROUNDED = 6  # digits of mean and deviation of the bodies' cosines
EXACT_PAIRS = 1 << 16  # pairs that are computed exactly at a time, where a sieve keeps too many


@dataclass(frozen=True)
class Links:
    """For each of n boxes, the k that speak for it, strongest first; where there are fewer, -inf stands behind them.

    Attributes:
        index: (n, k) int32 boxes.
        body: (n, k) cosines of the bodies, less the mean of all pairs, in standard deviations.
        time, face: (n, k) log weights by time and by faces.
    """

    index: npt.NDArray[np.int32]
    body: F64
    time: F64
    face: F64


@dataclass(frozen=True)
class Boxes:
    """What links boxes.

    Attributes:
        bodies: n unit rows.
        frames: (n,) number of the frame; boxes of one frame show different people.
        shots: (n,) number of the shot, NaN where unknown; None where time tells nothing.
        faces: n unit rows; None where faces do not link.
        has_face: (n,) whether a box shows a face.
        impostors: cosines of different people's faces.
    """

    bodies: UnitRows
    frames: npt.NDArray[np.int64]
    shots: F64 | None
    faces: UnitRows | None
    has_face: npt.NDArray[np.bool_]
    impostors: Impostors


def linked(boxes: Boxes, recipe: Recipe, resources: Resources) -> Links:
    """The strongest links of each box.

    The weight of a link is a product of kernels, as in Gaussian fields (Zhu, Ghahramani and Lafferty, "Semi-supervised
    learning using Gaussian fields and harmonic functions", ICML 2003), over bodies and time; time as in the temporal
    links of Huang, Liu and Lin, "Person search in videos with one portrait through visual and temporal links", ECCV
    2018.

    A float32 product sifts which pairs are worth it, as in ``castsearch.ranking.nearest``; these are computed exactly.
    """
    kernel = _Kernel(boxes, recipe, resources)
    n, k = len(boxes.bodies), min(recipe.neighbours, len(boxes.bodies) - 1)
    index = np.zeros((n, max(k, 0)), np.int32)
    parts = np.zeros((3, *index.shape))  # body, time, face
    if k < 1:
        return Links(index, *parts)
    shortlist = _kernel.Shortlist(n, k, kernel.margin)
    scan_pairs(n, kernel.tiles, (shortlist,), resources)

    def fill(rows: slice) -> None:
        columns, crowded = shortlist.columns(rows.start, rows.stop)
        columns = np.pad(columns, ((0, 0), (0, max(0, k - columns.shape[1]))), constant_values=-1)
        keep(np.arange(rows.start, rows.stop)[~crowded], columns[~crowded])
        step = max(1, EXACT_PAIRS // n)
        for some in slices(int(crowded.sum()), step):
            left = rows.start + np.flatnonzero(crowded)[some]
            keep(left, np.tile(np.arange(n, dtype=np.int32), (len(left), 1)))

    def keep(rows: Ids, columns: npt.NDArray[np.int32]) -> None:
        listed = columns >= 0
        found = np.zeros((3, *columns.shape))
        found[0] = -np.inf
        found[:, listed] = kernel.pairs(rows[np.nonzero(listed)[0]], columns[listed])
        strength = recipe.body_slope * found[0] + found[1] + found[2]
        order = np.argsort(-strength, axis=1, kind="stable")[:, :k]
        index[rows] = np.maximum(np.take_along_axis(columns, order, axis=1), 0)
        parts[:, rows] = np.take_along_axis(found, order[None], axis=2)

    resources.each(fill, slices(n, tile_rows(boxes.bodies.width)))
    return Links(index, *parts)


class _Kernel:
    """Log weights of links: in float32 for tiles, in float64 for chosen pairs."""

    def __init__(self, boxes: Boxes, recipe: Recipe, resources: Resources) -> None:
        self._boxes, self._recipe = boxes, recipe
        self._mean, self._sd = _mean_and_sd(boxes.bodies, resources)
        self._slope = recipe.body_slope / self._sd
        self._link_slope = recipe.link_slope / boxes.impostors.sd if boxes.faces is not None else 0.0
        self.margin = self._slope * margin(boxes.bodies.width) + 1e-5  # float32 holds the other terms well within that
        if boxes.faces is not None:
            self.margin += self._link_slope * margin(boxes.faces.width)

    def tiles(self, rows: slice, columns: slice) -> Iterator[F32]:
        """(R, C) float32 weights, but for a constant."""
        boxes = self._boxes
        tile = boxes.bodies.rows[rows] @ boxes.bodies.rows[columns].T
        tile *= np.float32(self._slope)
        if boxes.shots is not None:
            gap = np.subtract.outer(boxes.shots[rows], boxes.shots[columns])  # of numbers that float32 may not hold
            tile += self._time(gap.astype(np.float32))
        if boxes.faces is not None:
            cosines = boxes.faces.rows[rows] @ boxes.faces.rows[columns].T
            cosines[~boxes.has_face[rows]] = cosines[:, ~boxes.has_face[columns]] = -1
            tile += self._face(cosines)
        tile[np.equal.outer(boxes.frames[rows], boxes.frames[columns])] = -np.inf
        yield tile

    def pairs(self, some: Ids, others: Ids) -> F64:
        """(3, P) of boxes ``some[i]`` and ``others[i]``: standardised cosine of bodies, weights by time and faces."""
        boxes = self._boxes
        out = np.zeros((3, len(some)))
        out[0] = (boxes.bodies.pair_cosines(some, others) - self._mean) / self._sd
        out[0, boxes.frames[some] == boxes.frames[others]] = -np.inf
        if boxes.shots is not None:
            out[1] = self._time(boxes.shots[some] - boxes.shots[others])
        if boxes.faces is not None:
            both = np.flatnonzero(boxes.has_face[some] & boxes.has_face[others])
            out[2, both] = self._face(boxes.faces.pair_cosines(some[both], others[both]))
        return out

    def _time(self, gap: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        near = np.exp(np.abs(gap) / -self._recipe.time_shots)
        return np.nan_to_num(near, copy=False) * self._recipe.time_most

    def _face(self, cosines: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        middle = self._boxes.impostors.mean + self._recipe.link_middle * self._boxes.impostors.sd
        return np.clip((cosines - middle) * self._link_slope, 0, self._recipe.link_most)


def _mean_and_sd(bodies: UnitRows, resources: Resources) -> tuple[float, float]:
    """Of the cosines of all pairs of two boxes.

    Their sum is in the square of the sum of all rows; that of their squares is the same for the Gram matrix of columns,
    which is smaller than that of rows where boxes are many. Both are rounded, so that nothing hangs on the last digits
    of float32 products.
    """
    n, rows = len(bodies), bodies.rows
    pairs = max(n * (n - 1), 1)
    shorter = rows if n <= bodies.width else rows.T
    blocks = slices(len(shorter), TILE)
    squares: dict[tuple[int, int], float] = {}

    def visit(pair: tuple[int, int]) -> None:
        i, j = pair
        tile = shorter[blocks[i]] @ shorter[blocks[j]].T
        squares[pair] = (1 + (i != j)) * float(np.square(tile, dtype=np.float64).sum())

    resources.each(visit, symmetric_pairs(len(blocks)))
    mean = (float(np.square(rows.sum(axis=0, dtype=np.float64)).sum()) - n) / pairs
    square = (sum(squares[pair] for pair in sorted(squares)) - n) / pairs
    sd = max(np.sqrt(max(square - mean**2, 0)), LEAST_SD)
    return round(mean, ROUNDED), round(float(sd), ROUNDED)
