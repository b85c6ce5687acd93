"""Who is in a box: evidence for each person becomes probabilities of each and of nobody of the cast."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from castsearch.ranking.unit import F64

CERTAIN = 100.0  # log odds of what somebody who looked decided: no other evidence comes near
MOST_ODDS = 1e6  # that somebody is in the box beside: the evidence against this one stays finite


class Posterior(NamedTuple):
    """What is believed of p people and n boxes.

    Attributes:
        probability: (p, n) that the box shows the person; the rest of a column is nobody's of the cast.
        logit: (p, n) log of the prior times the likelihood of each person, up to a constant a box.
        log_others: that of nobody's of the cast.
        frame_evidence: (p, n) what the boxes beside add to ``logit``: 0 or less.
    """

    probability: F64
    logit: F64
    log_others: float
    frame_evidence: F64

    def log_odds(self, scale: float = 1, shift: float = 0) -> F64:
        """(p, n) log odds of each person against everybody else.

        Args:
            scale: of all log likelihoods and priors.
            shift: added to that of nobody's of the cast.
        """
        logit = scale * self.logit
        return logit - _log_rest(logit, scale * self.log_others + shift)


class Company(Protocol):
    """Which boxes are seen together, and so show different people."""

    def sums_beside(self, values: F64) -> F64:
        """(p, n) sums of each row of ``values`` over the boxes that are seen together with a box, itself left out."""


def posterior(evidence: F64, others: float, company: Company | None = None, sweeps: int = 0) -> Posterior:
    """Bayes' rule with equal priors of all people, and nobody twice in a frame.

    A person who is probably in one box of a frame is probably not in another. By belief propagation each box tells the
    others at which odds it shows a person, as far as it knows by itself and of who else may be in it; -log(1 + their
    sum) joins the evidence (Williams and Lau, "Approximate evaluation of marginal association probabilities with belief
    propagation", IEEE Transactions on Aerospace and Electronic Systems 2014). Of boxes exactly alike each then has its
    share of the person.

    Args:
        evidence: (p, n) log likelihood ratios of each person and nobody's of the cast.
        others: prior probability of nobody of the cast.
        company: which boxes are seen together; without, each box is taken by itself.
        sweeps: how many.
    """
    logit = np.log((1 - others) / len(evidence)) + evidence
    log_others = float(np.log(others))
    probability = _normalised(logit, log_others)
    beside = np.zeros_like(logit)
    for _ in range(sweeps if company else 0):
        assert company
        odds = probability / np.maximum(1 - probability, 1 / MOST_ODDS) * np.exp(-beside)  # without what it was told
        beside = -np.log1p(np.maximum(company.sums_beside(np.minimum(odds, MOST_ODDS)), 0))
        probability = _normalised(logit + beside, log_others)
    return Posterior(probability, logit + beside, log_others, beside)


class Frames:
    """Which boxes share a frame: see ``Company``.

    Args:
        numbers: (n,) of the frame of each box.
    """

    def __init__(self, numbers: npt.NDArray[np.integer]) -> None:
        crowded = np.bincount(numbers)[numbers] > 1
        self._boxes = np.flatnonzero(crowded)
        self._boxes = self._boxes[np.argsort(numbers[self._boxes], kind="stable")]
        _, self._first, self._place = np.unique(numbers[self._boxes], return_index=True, return_inverse=True)

    def sums_beside(self, values: F64) -> F64:
        """See ``Company``."""
        out = np.zeros_like(values)
        if len(self._boxes):
            own = values[:, self._boxes]
            out[:, self._boxes] = np.add.reduceat(own, self._first, axis=1)[:, self._place] - own
        return out


def logistic(log_odds: F64) -> F64:
    """Probabilities of log odds. SciPy's ``expit`` would load all special functions, for half of a run's start."""
    return np.exp(-np.logaddexp(0, -log_odds))


def _normalised(logit: F64, log_others: float) -> F64:
    largest = np.maximum(logit.max(axis=0), log_others)
    weight = np.exp(logit - largest)
    return weight / (weight.sum(axis=0) + np.exp(log_others - largest))


def _log_rest(logit: F64, log_others: float) -> F64:
    """(p, n) log of the sum of what the other rows and nobody of the cast weigh; summed without subtraction."""
    rest = np.full_like(logit, log_others)
    for rows, out in ((logit, rest), (logit[::-1], rest[::-1])):  # first those above each row, then those below
        total = np.full(logit.shape[1], -np.inf)
        for row, rest_of_row in zip(rows, out, strict=True):
            np.logaddexp(rest_of_row, total, out=rest_of_row)
            total = np.logaddexp(total, row)
    return rest
