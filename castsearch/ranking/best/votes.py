"""What the boxes that resemble a box say of who is in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from castsearch.ranking.best.links import Links
from castsearch.ranking.best.people import posterior
from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.threads import TILE, Resources, slices
from castsearch.ranking.unit import F64, Ids, _kernel

ENOUGH = 3  # sure faces that a person needs to be asked
LEAST_VOTE = 1e-3  # likelihood that a vote is taken to have given what it should not have


class Votes:
    """A classifier by the density of kernels at the boxes of each person.

    A vote is the mean of what is believed of the linked boxes, weighted by the links; the density of boxes that
    resemble nobody joins as one more that knows nothing. On average over unrelated boxes exp(t z) is exp(t^2 / 2), for
    z normal: that many times the number of boxes is what a link is measured by, times the odds that nobody resembles a
    box.

    Args:
        links: of n boxes.
        recipe: slope of the kernel, power, and what remains unknown.
        unlike: log odds that nobody who resembles a box votes for it.
        without: parts of the links' strength that shall not count.
    """

    def __init__(self, links: Links, recipe: Recipe, unlike: float, without: F64 | None = None) -> None:
        n = len(links.index)
        strength = links.strength if without is None else links.strength - without
        unrelated = recipe.body_slope**2 / 2 + np.log(n) + unlike
        largest = np.maximum(strength.max(axis=1, initial=-np.inf), unrelated)
        weight = np.exp(strength - largest[:, None])
        self._index = links.index
        self._weight = weight / (weight.sum(axis=1) + np.exp(unrelated - largest))[:, None]
        self._unknown = recipe.unknown_share + 1 - self._weight.sum(axis=1)

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


def fitted_unlike(links: Links, probability: F64, sure: Sequence[Ids], recipe: Recipe, resources: Resources) -> float:
    """The log odds that nobody resembles a box under which the bodies of a movie predict its sure faces best.

    Of each person's sure boxes the mean log probability of that person by the votes of the others is weighted by the
    root of their number. Where nobody has enough of them, it is the second of the recipe's choices.

    Args:
        links: of all boxes; what faces have of them does not count, for sure faces would predict themselves.
        probability: (p, n) what the faces say.
        sure: for each person the boxes whose faces are surely theirs.
        recipe: the choices.
        resources: what may be taken.
    """
    asked = [(person, boxes) for person, boxes in enumerate(sure) if len(boxes) >= ENOUGH]
    if len(recipe.unlike) == 1 or len(asked) < 2:
        return recipe.unlike[min(1, len(recipe.unlike) - 1)]
    boxes = np.concatenate([some for _, some in asked])
    person = np.repeat([who for who, _ in asked], [len(some) for _, some in asked])
    weight = np.repeat([len(some) ** -0.5 for _, some in asked], [len(some) for _, some in asked])
    weight /= sum(len(some) ** 0.5 for _, some in asked)
    gain = []
    for unlike in recipe.unlike:
        ratio = Votes(links, recipe, unlike, links.face).log_ratio(probability, recipe.others, resources, boxes)
        by_vote = posterior(ratio, recipe.others).probability[person, np.arange(len(boxes))]
        likelihood = float((weight * np.log(by_vote + LEAST_VOTE)).sum())
        gain.append(likelihood + recipe.caution * unlike)
    return recipe.unlike[int(np.argmax(gain))]
