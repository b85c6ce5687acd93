"""Which boxes somebody should look at first, so that a few decisions tell most."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

APART = 30.0  # shots: the reach of time in castsearch.ranking.best, within which boxes tell of each other
ASKED = 100  # boxes that are spread over the film; nobody decides on more without ranking again


def asking_order(
    probability: npt.NDArray[np.floating],
    score: npt.NDArray[np.floating],
    shots: npt.NDArray[np.floating] | None = None,
    decided: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """Boxes in the order in which to ask whether they show a person.

    Uncertainty sampling (Lewis and Gale, "A sequential algorithm for training text classifiers", SIGIR 1994): the
    doubtful ones first, whose probability is nearest to a half; but no two from the same time of the film, for one
    tells of the other. So scenes of which nothing is known get their turn; once all are told of, they are gone through
    again.

    Args:
        probability: (n,) that each box shows the person.
        score: (n,) log odds, which tell apart what rounds to the same probability.
        shots: (n,) number of the shot of each, NaN where unknown; None where time tells nothing.
        decided: (n,) bool, which boxes somebody has decided on; they come last.

    Returns:
        (n,) numbers of the boxes.

    >>> shots = np.array([1.0, 2.0, 3.0, 80.0, 90.0])
    >>> asking_order(np.array([0.9, 0.6, 0.4, 0.2, 0.1]), np.zeros(5), shots).tolist()
    [1, 3, 2, 4, 0]
    """
    decided = np.zeros(len(probability), bool) if decided is None else decided
    doubt = np.lexsort((-score, np.abs(probability - 0.5), decided))
    if shots is None:
        return doubt
    order: list[int] = []
    rest = doubt[~decided[doubt]]
    told = np.zeros(len(shots), bool)
    for shot in np.unique(shots[decided]):
        told |= np.abs(shots - shot) < APART
    while len(rest) and len(order) < ASKED:
        if told[rest].all():
            told[:] = False  # all times are told of: once more from the start
        chosen = int(rest[told[rest].argmin()])
        order.append(chosen)
        rest = rest[rest != chosen]
        told |= np.abs(shots - shots[chosen]) < APART
    behind = doubt[~np.isin(doubt, order)]
    return np.append(np.array(order, np.int64), behind)
