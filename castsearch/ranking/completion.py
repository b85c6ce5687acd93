"""Bodies: rank the candidates whose face decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from castsearch.ranking import _kernel
from castsearch.ranking.memory import budget
from castsearch.ranking.nearest import Neighbours, most_similar, product_table, sieve_products, unit_neighbours
from castsearch.ranking.points import FeaturePoints, Ids
from castsearch.ranking.propagation import best_first
from castsearch.ranking.reranking import Reranker
from castsearch.ranking.unit import cosines, unit_rows

SMOOTHED_OVER = 9
BEST = 3

# Prepares a re-ranker for a gallery of points.
Prepare = Callable[[FeaturePoints, Ids], Reranker]


def complete(
    matches: Sequence[npt.NDArray[np.int64]],
    bodies: npt.NDArray[np.float32],
    frames: npt.NDArray[np.integer],
    prepare: Prepare | None = None,
    n_lists: int = SMOOTHED_OVER,
    memory: int | None = None,
) -> Iterator[npt.NDArray[np.int64]]:
    """Complete each cast's matches to a ranking of all candidates.

    First come the matches, then the unknown (nobody's matches) by their likeness to the matches, but for those that
    share a frame with one: nobody is in a frame twice. These follow, then the matches of others.

    Args:
        matches: of each cast the candidates found by face, best first.
        bodies: (n, d) unit rows.
        frames: (n,) number of the frame that each candidate is from.
        prepare: makes the re-ranker for the unknown; without it, similarities are plain cosines.
        n_lists: neighbours that this re-ranker will ask for.
        memory: bytes that blocks may take.

    Yields:
        For each cast the n candidates, best first: int64.
    """
    n = len(bodies)
    decided = np.unique(np.concatenate([np.empty(0, np.int64), *matches]))
    unknown = np.setdiff1d(np.arange(n), decided)
    crowd = np.bincount(frames, minlength=1)[frames]
    table = product_table(bodies, memory)
    by_cast = _by_cast(table, matches, memory)
    scores = _scores(matches, bodies, unknown, table, by_cast, prepare, n_lists, memory)
    for own, score, sifted in zip(matches, scores, by_cast, strict=True):
        in_own_frame = np.isin(frames, frames[own])
        others = np.setdiff1d(decided, own)
        others_sim = most_similar(bodies[others], bodies[own], 1, memory, _sift(sifted, others))[:, 0]
        order = np.concatenate(
            [
                own,
                unknown[best_first(score, np.flatnonzero(~in_own_frame[unknown]))],
                np.flatnonzero(in_own_frame & (crowd > 1)),
                others[best_first(others_sim)],
            ]
        )
        yield order[np.sort(np.unique(order, return_index=True)[1])]


def _scores(
    matches: Sequence[npt.NDArray[np.int64]],
    bodies: npt.NDArray[np.float32],
    unknown: npt.NDArray[np.int64],
    table: npt.NDArray[np.float32] | None,
    by_cast: Sequence[npt.NDArray[np.float32] | None],
    prepare: Prepare | None,
    n_lists: int,
    memory: int | None,
) -> Iterator[npt.NDArray[np.float64]]:
    """For each cast the (U,) scores of the unknown: the mean of their 3 best similarities to the matches, weighted."""
    if not len(unknown):
        yield from (np.empty(0) for _ in matches)
        return
    lists = unit_neighbours(bodies, max(SMOOTHED_OVER, n_lists), memory, table)
    smooth = smoothed(bodies, lists)
    if prepare is None:
        # The mean of two cosines is half the product of the rows side by side.
        queries = np.concatenate([bodies[unknown], smooth[unknown]], axis=1)
        more: Sequence[npt.NDArray[np.float32] | None] = by_cast
        if by_cast[0] is not None:
            every = np.concatenate(matches)
            more = _split(sieve_products(smooth[unknown], smooth[every]), matches)
        for own, sifted, smooth_sifted in zip(matches, by_cast, more, strict=True):
            points = np.concatenate([bodies[own], smooth[own]], axis=1)
            sift = _sift(sifted, unknown, smooth_sifted)
            yield weighted_best(most_similar(queries, points, BEST, memory, sift) / 2)
        return
    twinned = FeaturePoints(bodies, unknown, lists, memory)
    reranker = prepare(twinned, len(bodies) + np.arange(len(unknown)))
    for group in _groups(matches, budget(memory) // (4 * 16 * len(unknown))):
        rows = np.unique(np.concatenate(group))
        sim = 1 - reranker.dist(rows)
        sim += cosines(smooth[rows], smooth[unknown])
        sim /= 2
        for own in group:
            yield weighted_best(_kernel.largest_of_rows(sim, np.searchsorted(rows, own), min(BEST, len(own))))


def _split(columns: npt.NDArray[np.float32], matches: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.float32]]:
    return np.split(columns, np.cumsum([len(own) for own in matches])[:-1], axis=1)


def _by_cast(
    table: npt.NDArray[np.float32] | None, matches: Sequence[npt.NDArray[np.int64]], memory: int | None
) -> Sequence[npt.NDArray[np.float32] | None]:
    """For each cast the columns of the product table that belong to its matches, side by side."""
    every = np.concatenate(matches)
    if table is None or 4 * len(table) * len(every) > budget(memory) // 4:
        return [None] * len(matches)
    return _split(np.take(table, every, axis=1), matches)


def _sift(
    products: npt.NDArray[np.float32] | None,
    rows: npt.NDArray[np.int64],
    more: npt.NDArray[np.float32] | None = None,
) -> Callable[[_kernel.Shortlist], None] | None:
    """Shows a shortlist some rows of known products, with something added to them."""
    if products is None:
        return None
    return lambda shortlist: shortlist.scan_chosen(products, rows, more)


def _groups(matches: Sequence[npt.NDArray[np.int64]], most_rows: int) -> Iterator[Sequence[npt.NDArray[np.int64]]]:
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


def smoothed(bodies: npt.NDArray[np.float32], lists: Neighbours) -> npt.NDArray[np.float32]:
    """Mean of each unit row's 9 nearest, itself among them, weighted by the softmax of the cosine: unit rows again."""
    index = np.ascontiguousarray(lists.index[:, :SMOOTHED_OVER])
    weight = softmax(1 - lists.squared_dist[:, :SMOOTHED_OVER].astype(np.float64) / 2)
    mean = _kernel.weighted_means(bodies, index, weight)
    return unit_rows(mean, "smoothed bodies", out=mean)


def weighted_best(best_sim: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(U,) means of the (U, k) similarities, weighted by their own softmax."""
    sim = best_sim.astype(np.float64)
    return (softmax(sim) * sim).sum(axis=1)


def softmax(sim: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Softmax of each row, temperature 1."""
    weight = np.exp(sim)
    return weight / weight.sum(axis=1, keepdims=True)
