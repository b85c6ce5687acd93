"""Mean average precision and Rank@k, as the challenge defines them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castsearch.errors import CastSearchError
from castsearch.identifiers import mismatch, shown

RANKS = (1, 5, 10)


class EvaluationError(CastSearchError):
    """Labels that ask for nobody, or that have nothing in common with what they shall score."""


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
        unranked: true candidates that no line names; each counts as missed.
        repeated: of each cast whose line names candidates again, how many times; their first places count.
    """

    mean_ap: float
    rank: dict[int, float]
    ap: dict[str, float]
    absent: tuple[str, ...]
    unranked: tuple[str, ...]
    repeated: dict[str, int]

    def __str__(self) -> str:
        names = ["mAP", *(f"Rank@{k}" for k in self.rank)]
        figures = [self.mean_ap, *self.rank.values()]
        header = "".join(f"{name:>9}" for name in names)
        return f"{header}\n" + "".join(f"{100 * figure:9.2f}" for figure in figures)


def check_labels(
    labels: Mapping[str, Collection[str]], casts: Collection[str], candidates: Collection[str], what: str = "ranking"
) -> None:
    """See that labels are of what they shall score.

    Args:
        labels: true candidates of each cast.
        casts: who is looked for.
        candidates: what is ranked.
        what: whose they are.

    Raises:
        EvaluationError: no cast has a true candidate, or there is no cast or no candidate in common; the message shows
            one id of each side, and the likely cause.
    """
    queries = {cast for cast, true in labels.items() if true}
    if not queries:
        raise EvaluationError("the labels name no true candidate of any cast, so that there is nothing to score")
    if queries.isdisjoint(casts) and not queries.isdisjoint(candidates):
        raise EvaluationError(
            f"{shown(min(queries.intersection(candidates)))} is a cast in the labels and a candidate in the {what}; "
            "labels are {cast: [candidate, ...]}"
        )
    true = set().union(*labels.values())
    for kind, known, found in (("cast", queries, casts), ("candidate", true, candidates)):
        if known.isdisjoint(found):
            raise EvaluationError(_nothing_in_common(kind, known, found, what))


def _nothing_in_common(kind: str, known: Collection[str], found: Collection[str], what: str) -> str:
    if not found:
        return f"the {what} has no {kind}"
    ours, theirs, cause = mismatch(sorted(known), sorted(found))
    return (
        f"labels and {what} have no {kind} in common: {shown(ours)} stands in the labels, {shown(theirs)} in the "
        f"{what}; {cause}"
    )


def evaluate(labels: Mapping[str, Sequence[str]], ranking: Mapping[str, Sequence[str]]) -> Evaluation:
    """Score a submission against labels.

    The queries are the casts that have at least one true candidate; lines for other casts count
    for nothing. A candidate named twice counts at its first place. A cast without a line counts 0.

    Args:
        labels: true candidates of each cast.
        ranking: candidates of each cast, best first.

    Raises:
        EvaluationError: there is no query, or nothing in common; see ``check_labels``.
    """
    ranked_anywhere = set().union(*ranking.values())
    check_labels(labels, ranking, ranked_anywhere)
    queries = {cast: set(true) for cast, true in labels.items() if true}
    ap: dict[str, float] = {}
    first_hit: dict[str, float] = {}
    repeated: dict[str, int] = {}
    for cast, true in queries.items():
        line = ranking.get(cast, ())
        ranked = list(dict.fromkeys(line))
        if len(ranked) < len(line):
            repeated[cast] = len(line) - len(ranked)
        hits = np.fromiter((candidate in true for candidate in ranked), dtype=bool, count=len(ranked))
        ap[cast] = average_precision(hits, len(true))
        first_hit[cast] = int(hits.argmax()) if hits.any() else np.inf
    return Evaluation(
        mean_ap=float(np.mean(list(ap.values()))),
        rank={k: float(np.mean([at < k for at in first_hit.values()])) for k in RANKS},
        ap=ap,
        absent=tuple(cast for cast in queries if cast not in ranking),
        unranked=tuple(sorted(set().union(*queries.values()) - ranked_anywhere)),
        repeated=repeated,
    )
