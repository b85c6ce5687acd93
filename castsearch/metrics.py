"""Mean average precision and Rank@k, as the challenge defines them; intervals of differences; calibration."""

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


# ---------------------------------------------------------------------------- how sure a difference is


@dataclass(frozen=True)
class Difference:
    """How much better one ranking is than another.

    Attributes:
        mean: of the differences, in their unit.
        low: lower end of the interval.
        high: upper end of the interval.

    >>> print(Difference(0.0712, 0.061, 0.08))
    +7.1 [+6.1, +8.0]
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def paired_bootstrap(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    groups: Sequence[object],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Mean of a - b, with an interval by the bootstrap's percentiles, expanded for few groups (Hesterberg, "What
    teachers should know about the bootstrap", The American Statistician 2015).

    Whole groups are drawn again, not single values: the casts of a movie share its frames, clothes and light, and so
    their average precisions are no independent evidence. The interval says what other movies of the same kind might
    have given. Plain percentiles are too narrow: of ten groups they hold the truth 9 times in 10, not 19 in 20. They
    are moved outwards as far as a t interval is wider than a normal one with the variance divided by the number of
    groups. Of ten groups that suffices; of fewer than five the interval is too narrow still, and says little.

    Args:
        a: (n,) figures of one ranking, such as average precisions.
        b: (n,) those of the other, for the same queries.
        groups: the group of each of the n, such as the movie of a cast.
        level: how often such intervals should hold the mean of all movies.
        resamples: how often groups are drawn.
        seed: the same one draws the same groups.

    Raises:
        EvaluationError: there are fewer than two groups, of which no interval can be made.
        ValueError: lengths differ.

    >>> print(paired_bootstrap([0.9, 0.8, 0.7, 0.9], [0.8, 0.7, 0.7, 0.7], ["m1", "m1", "m2", "m3"]))
    +10.0 [+0.0, +20.0]
    """
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    if difference.shape != (len(groups),):
        raise ValueError(f"expected ({len(groups)},) differences, one a group's name, got {difference.shape}")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    if len(numbers) < 2:
        raise EvaluationError(f"an interval needs two movies at least, and there is {len(numbers)}: label another")
    of = [numbers[name] for name in groups]
    sums, counts = np.bincount(of, difference), np.bincount(of)
    drawn = np.random.default_rng(seed).integers(len(numbers), size=(resamples, len(numbers)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    from scipy.special import ndtr, stdtrit  # it takes longer to load than all else that a script needs

    count = len(numbers)
    outside = float(ndtr(np.sqrt(count / (count - 1)) * stdtrit(count - 1, (1 - level) / 2)))
    low, high = np.quantile(means, [outside, 1 - outside])
    return Difference(float(difference.mean()), float(low), float(high))


# ---------------------------------------------------------------------------- how true probabilities are

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
