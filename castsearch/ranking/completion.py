"""Bodies: rank the candidates whose face decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from castsearch.ranking import _kernel
from castsearch.ranking.nearest import Neighbours, most_similar, unit_neighbours
from castsearch.ranking.points import FeaturePoints, Ids
from castsearch.ranking.propagation import best_first
from castsearch.ranking.reranking import Reranker
from castsearch.ranking.unit import products, unit_rows

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
    crowd = np.bincount(frames, minlength=1)[frames] if n else frames
    score_unknown = _scores(matches, bodies, unknown, prepare, n_lists, memory) if len(unknown) else None
    for own in matches:
        in_own_frame = np.isin(frames, frames[own])
        others = np.setdiff1d(decided, own)
        order = [own]
        if score_unknown is not None and len(own):
            order.append(unknown[best_first(score_unknown(own), np.flatnonzero(~in_own_frame[unknown]))])
        order.append(np.flatnonzero(in_own_frame & (crowd > 1)))
        if len(own):
            order.append(others[best_first(most_similar(bodies[others], bodies[own], 1, memory)[:, 0])])
        together = np.concatenate(order)
        yield together[np.sort(np.unique(together, return_index=True)[1])]


def _scores(
    matches: Sequence[npt.NDArray[np.int64]],
    bodies: npt.NDArray[np.float32],
    unknown: npt.NDArray[np.int64],
    prepare: Prepare | None,
    n_lists: int,
    memory: int | None,
) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """A function from matches to the (U,) scores of the unknown."""
    lists = unit_neighbours(bodies, max(SMOOTHED_OVER, n_lists), memory)
    smooth = smoothed(bodies, lists)
    if prepare is None:
        # The mean of two cosines is half the product of the rows side by side.
        joined = np.concatenate([bodies, smooth], axis=1)
        gallery = joined[unknown]
        return lambda own: weighted_best(most_similar(gallery, joined[own], BEST, memory) / 2)

    points = FeaturePoints(bodies, unknown, lists, memory)
    reranker = prepare(points, len(bodies) + np.arange(len(unknown)))

    def score(own: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        sim = 1 - reranker.dist(own)
        sim += products(smooth[own], smooth[unknown])
        sim /= 2
        k = min(BEST, len(own))
        best = -np.sort(np.partition(-sim, k - 1, axis=0)[:k], axis=0)
        return weighted_best(best.T)

    return score


def smoothed(bodies: npt.NDArray[np.float32], lists: Neighbours) -> npt.NDArray[np.float32]:
    """Mean of each unit row's 9 nearest, itself among them, weighted by the softmax of the cosine: unit rows again."""
    index = np.ascontiguousarray(lists.index[:, :SMOOTHED_OVER])
    weight = softmax(1 - lists.squared_dist[:, :SMOOTHED_OVER].astype(np.float64) / 2)
    return unit_rows(_kernel.weighted_means(bodies, index, weight), "smoothed bodies")


def weighted_best(best_sim: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(U,) means of the (U, k) similarities, weighted by their own softmax."""
    sim = best_sim.astype(np.float64)
    return (softmax(sim) * sim).sum(axis=1)


def softmax(sim: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Softmax of each row, temperature 1."""
    weight = np.exp(sim)
    return weight / weight.sum(axis=1, keepdims=True)
