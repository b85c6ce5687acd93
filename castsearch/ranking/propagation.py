"""Faces: sure hits first, then whoever looks like them (steps 2 and 3 of the ranking)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from castsearch.ranking.ranked import FACE, SPREAD, Ranked, found, joined
from castsearch.ranking.threads import slices, tile_rows
from castsearch.ranking.unit import F32, Tile, products_with_sums, sum_of_directions

THRESHOLDS = (0.5, 0.4, 0.3, 0.25)
MIN_MATCHES = 5
NO_FACE_SIM = -2.0  # below every cosine

Matches = list[npt.NDArray[np.int64]]


class Propagation(NamedTuple):
    """What the faces decide.

    Attributes:
        matches: of each cast the candidates found by face, best first.
        last_sim: (q, n) float32 similarities of the last step.
    """

    matches: list[Ranked]
    last_sim: F32


def propagate(
    cast_sim: F32,
    faces: Tile,
    has_face: npt.NDArray[np.bool_],
    thresholds: Sequence[float] = THRESHOLDS,
    first: str = FACE,
) -> Propagation:
    """Spread each cast's sure hits to look-alikes, threshold by threshold.

    A candidate above the first threshold matches the cast; with fewer than 5 such, the best 5 do. At every further
    threshold those join whose mean similarity to the matches so far lies above it.

    Args:
        cast_sim: (q, n) similarities of casts and candidates.
        faces: unit rows of the n candidates.
        has_face: (n,); those without are at -2 from everyone.
        thresholds: descending similarities.
        first: how the sure hits are found.
    """
    sim = np.where(has_face, cast_sim, np.float32(NO_FACE_SIM))
    matches = []
    for row in sim:
        sure = best_first(row, np.flatnonzero(row > thresholds[0]))
        own = sure if len(sure) >= MIN_MATCHES else best_first(row)[:MIN_MATCHES]
        matches.append(found(own, row[own], first))
    for step, threshold in enumerate(thresholds[1:], start=1):
        sim = mean_sim([own.order for own in matches], faces, has_face)
        for cast, (row, known) in enumerate(zip(sim, matches, strict=True)):
            joining = row > threshold
            joining[known.order] = False
            more = best_first(row, np.flatnonzero(joining))
            matches[cast] = joined([known, found(more, row[more], f"{SPREAD} {step}")])
    return Propagation(matches, sim)


def mean_sim(matches: Matches, faces: Tile, has_face: npt.NDArray[np.bool_]) -> F32:
    """(q, n) mean similarity of each candidate to the matches of each cast.

    The mean of cosines is the product with the mean of the matches, so no candidate x candidate matrix is needed.
    """
    n, width = faces.rows.shape
    sim = np.full((len(matches), n), NO_FACE_SIM, dtype=np.float32)
    count = np.array([len(some) for some in matches])
    if not count.any():
        return sim
    seen = [some[has_face[some]] for some in matches]
    sums = np.stack([sum_of_directions(faces, some) for some in seen])
    blind = NO_FACE_SIM * (count - [len(some) for some in seen])
    for rows in slices(n, tile_rows(width)):
        columns = rows.start + np.flatnonzero(has_face[rows])
        total = products_with_sums(sums, Tile(faces.rows[columns], faces.square[columns]))
        sim[:, columns] = (total + blind[:, None]) / count[:, None]
    return sim


def best_first(score: npt.NDArray[np.floating], among: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Indices by descending score, equal ones ascending; of the ascending ``among``, or of all."""
    if among is None:
        return np.argsort(-score, kind="stable")
    return among[np.argsort(-score[among], kind="stable")]
