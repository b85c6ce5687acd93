"""What the boxes that resemble a box say of who is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from castsearch.ranking.best.links import Links
from castsearch.ranking.best.people import posterior
from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.threads import TILE, Resources, slices
from castsearch.ranking.unit import F64, Ids, _kernel

LEAST_VOTE = 1e-3  # likelihood that a vote is taken to have given what it should not have


class Fit(NamedTuple):
    """What a movie chooses for itself.

    Attributes:
        slope: log of a vote's weight, a standard deviation of the bodies' cosines.
        unlike: log odds that nobody who resembles a box votes for it.
    """

    slope: float
    unlike: float


class Votes:
    """A classifier by the density of kernels at the boxes of each person.

    A vote is the mean of what is believed of the linked boxes, weighted by the links; the density of boxes that
    resemble nobody joins as one more that knows nothing. On average over unrelated boxes exp(t z) is exp(t^2 / 2), for
    z normal: that many times the number of boxes is what a link is measured by, times the odds that nobody resembles a
    box. Beyond a limit no body is more alike: else a box would hear little but its own copies from the next frames, and
    these the box.

    Args:
        links: of n boxes.
        fit: how sharp the kernel is.
        recipe: what remains unknown, and how alike bodies can be.
        time, face: whether these count among the weights.
    """

    def __init__(self, links: Links, fit: Fit, recipe: Recipe, time: bool = True, face: bool = True) -> None:
        n = len(links.index)
        alike = np.minimum(links.body, recipe.body_most)
        strength = fit.slope * alike + time * links.time + face * links.face
        unrelated = fit.slope**2 / 2 + np.log(n) + fit.unlike
        largest = np.maximum(strength.max(axis=1, initial=-np.inf), unrelated)
        weight = np.exp(strength - largest[:, None])
        self._index = links.index
        weight /= (weight.sum(axis=1) + np.exp(unrelated - largest))[:, None]
        self._weight = (1 - recipe.unknown_share) * weight
        self._unknown = 1 - self._weight.sum(axis=1)

    def log_ratio(self, probability: F64, others: float, resources: Resources, among: Ids | None = None) -> F64:
        """(p, m) log of the vote over the prior.

        Args:
            probability: (p, n) what is believed of all boxes.
            others: prior probability of nobody of the cast.
            resources: what may be taken.
            among: m boxes; by default all.
        """
        prior = (1 - others) / len(probability)
        believed = np.ascontiguousarray(probability.T, dtype=np.float32)
        among = np.arange(len(self._index)) if among is None else among
        vote = np.empty((len(among), len(probability)))

        def fill(some: slice) -> None:
            rows = among[some]
            vote[some] = _kernel.weighted_sums(believed, self._index[rows], self._weight[rows])
            vote[some] += (self._unknown[rows] * prior)[:, None]

        resources.each(fill, slices(len(among), TILE))
        return np.log(vote.T / prior)


def fitted(links: Links, probability: F64, sure: Sequence[Ids], recipe: Recipe, resources: Resources) -> Fit:
    """The kernel under which the bodies of a movie predict its sure faces best.

    The log probability of each person in their sure boxes, by the votes of the other boxes, is summed; a person counts
    as the root of their boxes. Choices that are unlikely beforehand must predict better: with few sure faces the most
    likely one stands.

    Args:
        links: of all boxes; what faces have of them does not count, for sure faces would predict themselves.
        probability: (p, n) what the faces say.
        sure: for each person the boxes whose faces are surely theirs.
        recipe: the choices, the likeliest slope first.
        resources: what may be taken.
    """
    choices = [Fit(slope, unlike) for slope in recipe.body_slopes for unlike in recipe.unlike]
    if len(choices) == 1:
        return choices[0]
    counts = np.array([len(boxes) for boxes in sure])
    boxes, person = np.concatenate(sure), np.repeat(np.arange(len(sure)), counts)
    weight = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)

    def gain(fit: Fit) -> float:
        votes = Votes(links, fit, recipe, face=False)
        ratio = votes.log_ratio(probability, recipe.others, resources, boxes)
        by_vote = posterior(ratio, recipe.others).probability[person, np.arange(len(boxes))]
        likelihood = float((weight * (np.log(by_vote + LEAST_VOTE) + recipe.caution * fit.unlike)).sum())
        return likelihood - recipe.surprise * (
            abs(fit.unlike - recipe.unlike[0]) + abs(np.log(fit.slope / recipe.body_slopes[0]))
        )

    return max(choices, key=gain)
