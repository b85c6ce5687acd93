"""Faces: sure hits first, then whoever looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from castsearch.ranking.unit import TILE, sum_products

THRESHOLDS = (0.5, 0.4, 0.3, 0.25)
MIN_MATCHES = 5
NO_FACE_SIM = -2.0  # below every cosine


class Propagation(NamedTuple):
    """What the faces decide.

    Attributes:
        matches: of each cast the candidates found by face, best first: int64.
        last_sim: (q, n) float32 similarities of the last step.
    """

    matches: list[npt.NDArray[np.int64]]
    last_sim: npt.NDArray[np.float32]


def propagate(
    cast_sim: npt.NDArray[np.float32],
    unit: npt.NDArray[np.float32],
    has_face: npt.NDArray[np.bool_],
    thresholds: Sequence[float] = THRESHOLDS,
) -> Propagation:
    """Spread each cast's sure hits to look-alikes, threshold by threshold.

    A candidate above the first threshold matches the cast; with fewer than 5 such, the best 5 do. At every further
    threshold those join whose mean similarity to the matches so far lies above it.

    Args:
        cast_sim: (q, n) similarities of casts and candidates.
        unit: (n, d) unit rows of the candidates' faces.
        has_face: (n,); those without are at -2 from everyone.
        thresholds: descending similarities.
    """
    sim = np.where(has_face, cast_sim, np.float32(NO_FACE_SIM))
    matches = []
    for row in sim:
        sure = best_first(row, np.flatnonzero(row > thresholds[0]))
        matches.append(sure if len(sure) >= MIN_MATCHES else best_first(row)[:MIN_MATCHES])
    for threshold in thresholds[1:]:
        sim = mean_sim(matches, unit, has_face)
        for cast, (row, known) in enumerate(zip(sim, matches, strict=True)):
            joining = row > threshold
            joining[known] = False
            matches[cast] = np.concatenate([known, best_first(row, np.flatnonzero(joining))])
    return Propagation(matches, sim)


def mean_sim(
    matches: Sequence[npt.NDArray[np.int64]], unit: npt.NDArray[np.float32], has_face: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """(q, n) mean similarity of each candidate to the matches of each cast.

    The mean of cosines is the product with the mean of the matches, so no candidate x candidate matrix is needed.
    """
    sim = np.full((len(matches), len(unit)), NO_FACE_SIM, dtype=np.float32)
    count = np.array([len(some) for some in matches])
    if not count.any():
        return sim
    seen = [some[has_face[some]] for some in matches]
    sums = np.array([unit[some].sum(axis=0, dtype=np.float64) for some in seen])
    blind = NO_FACE_SIM * (count - [len(some) for some in seen])
    for first in range(0, len(unit), TILE):
        columns = first + np.flatnonzero(has_face[first : first + TILE])
        sim[:, columns] = (sum_products(sums, unit[columns]) + blind[:, None]) / count[:, None]
    return sim


def best_first(score: npt.NDArray[np.floating], among: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Indices by descending score, equal ones ascending; of the ascending ``among``, or of all."""
    if among is None:
        return np.argsort(-score, kind="stable")
    return among[np.argsort(-score[among], kind="stable")]
