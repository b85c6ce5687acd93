"""Average precision, Rank@k and recall of rankings, as the WIDER challenge's cast search by portrait defines them.

How the figures differ from those of other programs stands in ``docs/metrics.md``, with numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from castsearch.metrics.errors import EvaluationError
from castsearch.metrics.fitting import check_labels

RANKS = (1, 5, 10)
RECALLS = (50, 100)  # how many candidates people look through

Missing = Literal["zero", "skip"]  # what a cast without a line counts: nothing found, or not at all


def average_precision(hits: npt.ArrayLike, n_relevant: int | None = None) -> float:
    """Mean of the precision at every relevant position of one ranked list.

    With r_1 < r_2 < ... the ranks of the relevant items, from 1, and R the relevant items that there are: the sum of
    i / r_i, divided by R. What is relevant and not ranked adds nothing to the sum and counts in R.

    - torchreid's ``eval_market1501`` has the same sum. It first removes "junk" from the list, the same person seen by
      the same camera, and divides by what is left in the list; here no candidate is junk.
    - scikit-learn's ``average_precision_score`` gives the same of distinct scores and a whole list. Items of equal
      score it takes as one step, with the precision behind the last of them; here a list has no ties, its order
      decides. What is not in its input does not exist for it.
    - The Oxford buildings' program (Philbin et al., CVPR 2007) takes the area under the curve by trapezoids: at every
      hit the mean of the precisions there and one rank before, 1 before the first. Behind a miss it is smaller:
      19/24 in the example below, not 20/24.

    Args:
        hits: (n,) bool, whether the item at each rank is relevant, best first.
        n_relevant: relevant items there are, ranked or not; by default those in ``hits``.

    Returns:
        In [0, 1]; 0 where nothing is relevant.

    Raises:
        ValueError: fewer are relevant than are hit.

    >>> average_precision([True, False, True])
    0.8333333333333333
    >>> average_precision([True, False, True], n_relevant=4)
    0.41666666666666663
    """
    ranks = (np.flatnonzero(np.asarray(hits, dtype=bool)) + 1).tolist()
    n_relevant = len(ranks) if n_relevant is None else n_relevant
    if len(ranks) > n_relevant:
        raise ValueError(f"{len(ranks)} hits, where {n_relevant} items are relevant")
    return _average_precision(ranks, n_relevant)


def _average_precision(ranks: Sequence[int], n_relevant: int) -> float:
    return sum([n / rank for n, rank in enumerate(ranks, 1)]) / n_relevant if ranks else 0.0


class CastScore(NamedTuple):
    """What became of one cast.

    Attributes:
        hits: ranks, from 1 and ascending, of the true candidates in the line; a candidate's first place counts.
        n_true: true candidates that there are, 1 or more.
        n_ranked: different candidates that the line names; 0 without a line.
    """

    hits: tuple[int, ...]
    n_true: int
    n_ranked: int

    @property
    def ap(self) -> float:
        """Average precision, see ``average_precision``."""
        return _average_precision(self.hits, self.n_true)

    @property
    def first_hit(self) -> int | None:
        """Rank of the first true candidate; None where the line has none."""
        return self.hits[0] if self.hits else None

    def recall(self, k: int) -> float:
        """Share of all true candidates that are among the first k.

        More than k true candidates cannot all be among them, so that 1 may be out of reach.

        >>> CastScore((1, 3, 51), n_true=4, n_ranked=60).recall(50)
        0.5
        """
        return sum(rank <= k for rank in self.hits) / self.n_true


@dataclass(frozen=True)
class Figures:
    """Means over casts, as fractions.

    Attributes:
        n_casts: of how many.
        mean_ap: of their average precision, all casts alike, however many candidates show them.
        rank: for each k, the share of casts with a hit among their first k candidates. torchreid's CMC is the same
            over the queries that have a match at all; it removes junk first, see ``average_precision``.
    """

    n_casts: int
    mean_ap: float
    rank: dict[int, float]

    @classmethod
    def of(cls, casts: Collection[CastScore]) -> Figures:
        """The means; of one cast at least."""
        first = np.array([cast.hits[0] if cast.hits else np.inf for cast in casts])
        return cls(
            len(casts),
            float(np.mean([cast.ap for cast in casts])),
            {k: float(np.mean(first <= k)) for k in RANKS},
        )


@dataclass(frozen=True)
class Evaluation:
    """Figures of one submission, as fractions.

    Attributes:
        mean_ap: mean over the casts of their average precision.
        rank: for each k, the share of casts with a hit among their first k candidates.
        casts: what became of each cast that counts.
        absent: casts that have labels but no line in the submission; each counts 0, or by ``skip`` not at all.
        unranked: true candidates that no line names; each counts as missed.
        repeated: of each cast whose line names candidates again, how many times; their first places count.
    """

    mean_ap: float
    rank: dict[int, float]
    casts: dict[str, CastScore]
    absent: tuple[str, ...]
    unranked: tuple[str, ...]
    repeated: dict[str, int]

    @property
    def ap(self) -> dict[str, float]:
        """Average precision of each cast that counts."""
        return {name: cast.ap for name, cast in self.casts.items()}

    def __str__(self) -> str:
        names = ["mAP", *(f"Rank@{k}" for k in self.rank)]
        figures = [self.mean_ap, *self.rank.values()]
        header = "".join(f"{name:>9}" for name in names)
        return f"{header}\n" + "".join(f"{100 * figure:9.2f}" for figure in figures)


def evaluate(
    labels: Mapping[str, Sequence[str]], ranking: Mapping[str, Sequence[str]], missing: Missing = "zero"
) -> Evaluation:
    """Score a submission against labels.

    The queries are the casts that have at least one true candidate; lines for other casts count
    for nothing. A candidate named twice counts at its first place.

    Args:
        labels: true candidates of each cast.
        ranking: candidates of each cast, best first.
        missing: what a query without a line is: ``zero``, the challenge's rule, counts it as one of which nothing was
            found; ``skip`` leaves it out of the means, and so flatters who ranks only the easy ones.

    Raises:
        EvaluationError: there is no query, or nothing in common; see ``check_labels``.
        ValueError: ``missing`` is neither.
    """
    if missing not in get_args(Missing):
        raise ValueError(f"missing must be one of {', '.join(get_args(Missing))}, got {missing!r}")
    ranked_anywhere = set().union(*ranking.values())
    check_labels(labels, ranking, ranked_anywhere)
    queries = {cast: set(true) for cast, true in labels.items() if true}
    absent = tuple(cast for cast in queries if cast not in ranking)
    if missing == "skip":
        queries = {cast: true for cast, true in queries.items() if cast in ranking}
    casts: dict[str, CastScore] = {}
    repeated: dict[str, int] = {}
    for cast, true in queries.items():
        line = ranking.get(cast, ())
        n_ranked = len(set(line))
        ranked = line if n_ranked == len(line) else [*dict.fromkeys(line)]
        if n_ranked < len(line):
            repeated[cast] = len(line) - n_ranked
        hits = tuple([rank for rank, candidate in enumerate(ranked, 1) if candidate in true])
        casts[cast] = CastScore(hits, len(true), n_ranked)
    figures = Figures.of(casts.values())
    return Evaluation(
        mean_ap=figures.mean_ap,
        rank=figures.rank,
        casts=casts,
        absent=absent,
        unranked=tuple(sorted(set().union(*queries.values()) - ranked_anywhere)),
        repeated=repeated,
    )


def evaluate_alike(
    labels: Mapping[str, Sequence[str]],
    rankings: Mapping[str, Mapping[str, Sequence[str]]],
    missing: Missing = "zero",
) -> dict[str, Evaluation]:
    """Score submissions over the same queries, so that their figures and differences can be compared.

    Args:
        labels: true candidates of each cast.
        rankings: by each submission's name, candidates of each cast, best first.
        missing: as of ``evaluate``; ``skip`` leaves a cast out for all as soon as one submission has no line for it.

    Raises:
        EvaluationError: as of ``evaluate``, the submission named first; or ``skip`` leaves no query.
    """
    alone = {}
    for name, ranking in rankings.items():
        try:
            alone[name] = evaluate(labels, ranking, missing)
        except EvaluationError as error:
            raise EvaluationError(f"{name}: {error}") from None
    skipped = set().union(*(one.absent for one in alone.values()))
    if missing == "zero" or len(alone) == 1 or not skipped:
        return alone
    shared = {cast: true for cast, true in labels.items() if cast not in skipped}
    if not any(shared.values()):
        raise EvaluationError(f"{', '.join(alone)}: no cast has a line in each, so that nothing is left to compare")
    return {name: replace(evaluate(shared, rankings[name]), absent=one.absent) for name, one in alone.items()}


def figures_by_movie(evaluation: Evaluation, movies: Mapping[str, str]) -> dict[str | None, Figures]:
    """Means over the casts of each movie, in the order of the labels.

    Args:
        evaluation: of all casts.
        movies: the movie of each cast; casts without one are together under None.
    """
    members: dict[str | None, list[CastScore]] = {}
    for name, cast in evaluation.casts.items():
        members.setdefault(movies.get(name), []).append(cast)
    return {movie: Figures.of(casts) for movie, casts in members.items()}
