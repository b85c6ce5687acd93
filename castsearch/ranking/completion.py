"""Bodies: rank the candidates whose face decides nothing (steps 4 and 5 of the ranking)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from castsearch.ranking.defaults import LIST_LENGTH, Rerank
from castsearch.ranking.nearest import NearPairs, Neighbours, View, largest, most_similar
from castsearch.ranking.points import FeaturePoints
from castsearch.ranking.propagation import Matches, best_first
from castsearch.ranking.ranked import BODY, DECIDED, FRAME_MATE, Ranked, found, joined
from castsearch.ranking.reranking import Reranker, open_reranker
from castsearch.ranking.threads import Resources, slices, tile_rows
from castsearch.ranking.unit import F32, F64, Ids, UnitRows, _kernel, cosines, write_unit_rows

SMOOTHED_OVER = 9
BEST = 3
TABLE_SHARE = 4  # the table of all products may take one part in four of the memory
BLOCK_SHARE = 2  # and a block of re-ranked similarities one in two
PAIR_BYTES = 24  # that a re-ranked similarity takes on the way


def complete(
    found_by_face: Sequence[Ranked],
    bodies: UnitRows,
    frames: npt.NDArray[np.integer],
    rerank: Rerank | None,
    resources: Resources,
) -> Iterator[Ranked]:
    """Complete each cast's matches to a ranking of all candidates.

    First come the matches, then the unknown (nobody's matches) by their likeness to the matches, but for those that
    share a frame with one: nobody is in a frame twice. These follow, then the matches of others.

    Args:
        found_by_face: the matches of each cast, best first.
        bodies: n unit rows.
        frames: (n,) number of the frame that each candidate is from.
        rerank: of the unknown; None for plain cosines.
        resources: what may be taken.

    Yields:
        For each cast the n candidates, best first.
    """
    n = len(bodies)
    matches = [own.order for own in found_by_face]
    decided = np.unique(np.concatenate(matches))
    unknown = np.setdiff1d(np.arange(n), decided)
    crowded = np.bincount(frames)[frames] > 1

    table = np.empty((n, n), np.float32) if 4 * n * n <= resources.memory // TABLE_SHARE else None
    length = max(SMOOTHED_OVER, LIST_LENGTH[rerank] if rerank else 0)
    pairs = NearPairs(bodies, length, resources, rerank == "k_reciprocal", table)
    plain, smooth = View(bodies, table), smoothed(bodies, pairs.nearest(SMOOTHED_OVER), resources)
    if rerank is None or not len(unknown):
        best = _best_plain(matches, unknown, (plain, View(smooth)), resources)
    else:
        points = FeaturePoints(bodies, resources, unknown, pairs)
        reranker = open_reranker(rerank, points, n + np.arange(len(unknown)), resources)
        best = _best_reranked(matches, unknown, reranker, smooth, resources)

    for known, best_sim in zip(found_by_face, best, strict=True):
        own = known.order
        in_own_frame = np.isin(frames, frames[own])
        others = np.setdiff1d(decided, own)
        others_sim = most_similar([plain], others, own, 1, resources)[:, 0]
        body_sim = weighted(best_sim)
        by_body = best_first(body_sim, np.flatnonzero(~in_own_frame[unknown]))
        last = best_first(others_sim)
        yield joined(
            [
                known,
                found(unknown[by_body], body_sim[by_body], BODY),
                found(np.flatnonzero(in_own_frame & crowded), np.nan, FRAME_MATE),
                found(others[last], others_sim[last], DECIDED),
            ]
        )


def smoothed(bodies: UnitRows, lists: Neighbours, resources: Resources) -> UnitRows:
    """Mean of each row's 9 nearest, itself among them, weighted by the softmax of the cosine: unit rows again."""
    weight = softmax(1 - lists.squared_dist.astype(np.float64) / 2)
    out = np.empty_like(bodies.rows)

    def fill(rows: slice) -> None:
        sums = _kernel.weighted_sums(bodies.rows, lists.index[rows], weight[rows])
        write_unit_rows(sums.astype(np.float32), out[rows], "smoothed bodies")

    resources.each(fill, slices(len(bodies), tile_rows(bodies.width)))
    return UnitRows(out, out)


def _best_plain(matches: Matches, unknown: Ids, views: Sequence[View], resources: Resources) -> Iterator[F32]:
    """For each cast, the (U, 3) best similarities of the unknown to its matches: half plain, half smoothed."""
    for own in matches:
        yield most_similar(views, unknown, own, BEST, resources)


def _best_reranked(
    matches: Matches, unknown: Ids, reranker: Reranker, smooth: UnitRows, resources: Resources
) -> Iterator[F32]:
    """For each cast, the (U, 3) best similarities of the unknown to its matches: half re-ranked, half smoothed."""
    most_rows = max(1, resources.memory // BLOCK_SHARE // (PAIR_BYTES * len(unknown)))
    for group in _groups(matches, most_rows):
        rows = np.unique(np.concatenate(group))
        best = [np.empty((len(unknown), 0), np.float32) for _ in group]
        for block in slices(len(rows), most_rows):
            sim = 1 - reranker.dist(rows[block])
            sim += cosines(smooth, rows[block], unknown, resources)
            sim /= 2
            _keep_best(best, group, rows[block], sim, resources)
        yield from best


def _keep_best(best: list[F32], group: Sequence[Ids], rows: Ids, sim: F32, resources: Resources) -> None:
    """Take the similarities (R, U) of some rows and the unknown into the ``best`` of the casts that they match."""

    def take(cast: int) -> None:
        own = np.searchsorted(rows, group[cast][np.isin(group[cast], rows)])
        best[cast] = largest(np.concatenate([best[cast], sim[own].T], axis=1), BEST)

    resources.each(take, range(len(group)))


def _groups(matches: Matches, most_rows: int) -> Iterator[Sequence[npt.NDArray[np.int64]]]:
    """Casts in order, together as long as they have at most so many matches; at least one."""
    group: list[npt.NDArray[np.int64]] = []
    rows = 0
    for own in matches:
        if group and rows + len(own) > most_rows:
            yield group
            group, rows = [], 0
        group.append(own)
        rows += len(own)
    yield group


def weighted(best_sim: F32) -> F64:
    """(U,) means of the (U, k) similarities, weighted by their own softmax."""
    sim = best_sim.astype(np.float64)
    return (softmax(sim) * sim).sum(axis=1)


def softmax(sim: F64) -> F64:
    """Softmax of each row, temperature 1."""
    weight = np.exp(sim)
    return weight / weight.sum(axis=1, keepdims=True)
