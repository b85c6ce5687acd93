"""Mean average precision and Rank@k, as the challenge defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RANKS = (1, 5, 10)


def average_precision(hits: npt.ArrayLike, n_relevant: int | None = None) -> float:
    """Mean of the precision at every relevant position of one ranked list.

    Args:
        hits: (n,) bool, whether the item at each rank is relevant, best first.
        n_relevant: relevant items there are, ranked or not; by default those in ``hits``.

    Returns:
        In [0, 1]; 0 where nothing is relevant.

    >>> average_precision([True, False, True])
    0.8333333333333333
    >>> average_precision([True, False, True], n_relevant=4)
    0.41666666666666663
    """
    positions = np.flatnonzero(np.asarray(hits, dtype=bool))
    n_relevant = len(positions) if n_relevant is None else n_relevant
    if n_relevant == 0:
        return 0.0
    return float((np.arange(1, len(positions) + 1) / (positions + 1)).sum() / n_relevant)


@dataclass(frozen=True)
class Evaluation:
    """Figures of one submission, as fractions.

    Attributes:
        mean_ap: mean over the casts of their average precision.
        rank: for each k, the share of casts with a hit among their first k candidates.
        ap: average precision of each cast.
        absent: casts that have labels but no line in the submission; each counts 0.
    """

    mean_ap: float
    rank: dict[int, float]
    ap: dict[str, float]
    absent: tuple[str, ...]

    def __str__(self) -> str:
        names = ["mAP", *(f"Rank@{k}" for k in self.rank)]
        figures = [self.mean_ap, *self.rank.values()]
        header = "".join(f"{name:>9}" for name in names)
        return f"{header}\n" + "".join(f"{100 * figure:9.2f}" for figure in figures)


def evaluate(labels: Mapping[str, Sequence[str]], ranking: Mapping[str, Sequence[str]]) -> Evaluation:
    """Score a submission against labels.

    The queries are the casts that have at least one true candidate; lines for other casts count
    for nothing. A candidate named twice counts at its first place. A cast without a line counts 0.

    Args:
        labels: true candidates of each cast.
        ranking: candidates of each cast, best first.
    """
    queries = {cast: set(true) for cast, true in labels.items() if true}
    ap: dict[str, float] = {}
    first_hit: dict[str, float] = {}
    for cast, true in queries.items():
        ranked = list(dict.fromkeys(ranking.get(cast, ())))
        hits = np.fromiter((candidate in true for candidate in ranked), dtype=bool, count=len(ranked))
        ap[cast] = average_precision(hits, len(true))
        first_hit[cast] = int(hits.argmax()) if hits.any() else np.inf

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else 0.0

    return Evaluation(
        mean_ap=mean(list(ap.values())),
        rank={k: mean([float(at < k) for at in first_hit.values()]) for k in RANKS},
        ap=ap,
        absent=tuple(cast for cast in queries if cast not in ranking),
    )
