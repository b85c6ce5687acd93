"""How true probabilities are, and what likelihood ratios cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castsearch.metrics.errors import EvaluationError

UNLIKELY = 0.05  # nobody acts on a probability below it


@dataclass(frozen=True)
class Reliability:
    """What became of the boxes of each bin of probability; bins are of equal width.

    Attributes:
        edges: (bins + 1,) float64 from 0 to 1.
        count: (bins,) int64 probabilities in each.
        probability: (bins,) float64 their mean; NaN in an empty bin.
        hits: (bins,) float64 share of them that came true; NaN in an empty bin.
    """

    edges: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    hits: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap of a bin's probability and its hits, weighted by counts.

        Naeini et al., AAAI 2015, and Guo et al., ICML 2017, equation 3. 0 where there is no probability at all.
        """
        some = self.count > 0
        gaps = np.abs(self.probability[some] - self.hits[some])
        return float(np.average(gaps, weights=self.count[some])) if some.any() else 0.0

    def __str__(self) -> str:
        lines = ["  probability       boxes    mean    hits"]
        for low, high, *row in zip(self.edges, self.edges[1:], self.count, self.probability, self.hits, strict=False):
            lines.append(f"{low:.2f} to {high:.2f} {row[0]:12,} {row[1]:7.3f} {row[2]:7.3f}")
        return "\n".join(lines)


def reliability(probability: npt.ArrayLike, hit: npt.ArrayLike, bins: int = 10) -> Reliability:
    """How often boxes that were given a probability are what they were said to be.

    In most boxes there is somebody else, for each cast, and of nearly all of these that is plain: hundreds of
    probabilities of next to 0 that come true as nearly 0 stand against each doubtful one, and carry any error to
    nearly 0. Take those ``that_matter`` to see an error that means something.

    Args:
        probability: (n,) in [0, 1].
        hit: (n,) bool, what came true.
        bins: how many.

    Raises:
        ValueError: lengths differ, or a probability is none.

    >>> found = reliability([0.1, 0.1, 0.9, 0.8], [False, False, True, False], bins=2)
    >>> found.count.tolist(), found.hits.tolist(), round(found.error, 3)
    ([2, 2], [0.0, 0.5], 0.225)
    """
    p, hits = np.asarray(probability, np.float64).ravel(), np.asarray(hit, bool).ravel()
    if len(p) != len(hits):
        raise ValueError(f"expected as many probabilities as hits, got {len(p)} and {len(hits)}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie within 0 and 1")
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)  # 1 belongs to the last
    count = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(number, of, bins) / count for of in (p, hits.astype(np.float64)))
    return Reliability(edges, count, mean, share)


def that_matter(probability: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which boxes a calibration is to be judged by: those of a probability that somebody might act on.

    They are chosen by what was said alone. To keep hits of low probability, too, but drop the misses beside them would
    show an error where there is none; tell how many such hits there are instead.

    Args:
        probability: (n,) in [0, 1].

    >>> that_matter([0.0, 0.01, 0.05, 0.9]).tolist()
    [False, False, True, True]
    """
    return np.asarray(probability) >= UNLIKELY


def error_by_group(
    probability: npt.ArrayLike, hit: npt.ArrayLike, groups: Sequence[object], bins: int = 10
) -> dict[object, float]:
    """The expected calibration error within each group, such as a movie: too high in one and too low in another is no
    calibration, though all together may show none of it.

    Args:
        probability: (n,) in [0, 1].
        hit: (n,) bool.
        groups: the group of each of the n.
        bins: how many.

    >>> error_by_group([0.5, 0.5, 0.5, 0.5], [True, True, False, False], ["m1", "m1", "m2", "m2"])
    {'m1': 0.5, 'm2': 0.5}
    """
    p, hits = np.asarray(probability, np.float64), np.asarray(hit, bool)
    members: dict[object, list[int]] = {}
    for index, name in enumerate(groups):
        members.setdefault(name, []).append(index)
    return {name: reliability(p[own], hits[own], bins).error for name, own in members.items()}


def cllr(
    genuine: npt.ArrayLike,
    impostor: npt.ArrayLike,
    genuine_weight: npt.NDArray[np.float64] | None = None,
    impostor_weight: npt.NDArray[np.float64] | None = None,
) -> float:
    """The cost of log likelihood ratios, in bits, whatever the prior (Brummer and du Preez, "Application-independent
    evaluation of speaker detection", Computer Speech and Language 2006): half the mean of log2(1 + 1/LR) over genuine
    pairs and half that of log2(1 + LR) over those of impostors.

    Args:
        genuine: (n,) natural logs of the likelihood ratios of pairs that show one person.
        impostor: (m,) those of pairs that show two.
        genuine_weight, impostor_weight: (n,) and (m,) what each counts for; by default they count alike.

    Returns:
        0 or more; 1 of ratios that tell nothing, more of ratios that mislead.

    Raises:
        EvaluationError: there are no pairs of one kind.

    >>> cllr([0.0, 0.0], [0.0])
    1.0
    >>> round(cllr([np.log(3)], [np.log(1 / 7), np.log(1 / 3)]), 4)  # 4/3, 8/7 and 4/3
    0.3594
    """
    costs = []
    for log_ratio, weight, kind in (
        (-np.asarray(genuine), genuine_weight, "genuine"),
        (np.asarray(impostor), impostor_weight, "impostor"),
    ):
        if log_ratio.size == 0:
            raise EvaluationError(f"there is no {kind} pair, so that its likelihood ratios cost nothing that is known")
        costs.append(np.average(np.logaddexp(0, log_ratio), weights=weight))
    return float(np.mean(costs) / np.log(2))
