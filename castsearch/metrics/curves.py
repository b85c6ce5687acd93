"""Precision over recall, and at which ranks hits stand: what curves and histograms are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from castsearch.metrics.ranked import CastScore, Evaluation

_AT_LEAST = 10  # ranks that have bins
_STEPS = (1, 2, 5)  # last ranks of bins, times powers of ten


@dataclass(frozen=True)
class PrecisionRecall:
    """A curve.

    Attributes:
        recall: (101,) float64: 0, 0.01, ... 1.
        precision: (101,) float64 in [0, 1], never rising.

    Raises:
        ValueError: the lengths differ.
    """

    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.recall.ndim != 1 or self.recall.shape != self.precision.shape:
            raise ValueError(
                f"expected (n,) recalls and precisions, got {self.recall.shape} and {self.precision.shape}"
            )


def precision_recall(evaluation: Evaluation) -> PrecisionRecall:
    """The mean over casts of their interpolated precision.

    The interpolated precision of one cast at a recall is the best precision at that recall or a larger one, 0 where the
    line never reaches it (Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, section 8.4).
    It is taken at 101 recalls, as COCO's evaluation does (Lin et al., ECCV 2014); TREC's mean over queries and PASCAL
    VOC until 2009 (Everingham et al., IJCV 2010) took 11. All casts count alike, as in mAP. The mean of the curve is
    not mAP: interpolation lifts it.
    """
    total = np.zeros(101)
    for cast in evaluation.casts.values():
        total += _interpolated(cast)
    return PrecisionRecall(np.arange(101) / 100, total / len(evaluation.casts))


def _interpolated(cast: CastScore) -> npt.NDArray[np.float64]:
    """(101,) interpolated precision."""
    if not cast.hits:
        return np.zeros(101)
    precision = np.arange(1, len(cast.hits) + 1) / cast.hits
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    needed = np.maximum(-(-np.arange(101) * cast.n_true // 100), 1)  # hits, in whole numbers: 0.07 * 100 is not 7
    return best[np.minimum(needed, len(best)) - 1]


@dataclass(frozen=True)
class RankHistogram:
    """How many of some ranks lie in each bin.

    Attributes:
        last: (bins,) int64, the last rank of each bin: 1, 2, 5, 10, 20, 50, ...; its first is next to the one before.
        count: (bins,) int64.
        never: how many have no rank.

    Raises:
        ValueError: the lengths differ.
    """

    last: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    never: int

    def __post_init__(self) -> None:
        if self.last.ndim != 1 or self.last.shape != self.count.shape:
            raise ValueError(f"expected (bins,) last ranks and counts, got {self.last.shape} and {self.count.shape}")

    @property
    def names(self) -> list[str]:
        """
        >>> RankHistogram(np.array([1, 2, 5]), np.array([7, 0, 0]), 0).names
        ['1', '2', '3–5']
        """
        firsts = [1, *(self.last[:-1] + 1).tolist()]
        return [f"{a}–{b}" if a < b else f"{a}" for a, b in zip(firsts, self.last.tolist(), strict=True)]


def rank_histograms(evaluations: Sequence[Evaluation]) -> tuple[list[RankHistogram], list[RankHistogram]]:
    """At which ranks hits stand, by each evaluation, in the same bins.

    Returns:
        Of the first hit of each cast, ``never`` where there is none; of all hits of all casts, ``never`` of the true
        candidates that the lines do not name.
    """
    first = [[cast.first_hit for cast in one.casts.values()] for one in evaluations]
    every = [[rank for cast in one.casts.values() for rank in _with_missed(cast)] for one in evaluations]
    return _binned(first), _binned(every)


def _with_missed(cast: CastScore) -> Iterable[int | None]:
    return [*cast.hits, *[None] * (cast.n_true - len(cast.hits))]


def _binned(series: Sequence[Sequence[int | None]]) -> list[RankHistogram]:
    found = [np.array([rank for rank in ranks if rank is not None], np.int64) for ranks in series]
    edges = _bins(max([_AT_LEAST, *(int(ranks.max()) for ranks in found if ranks.size)]))
    return [
        RankHistogram(
            edges,
            np.bincount(np.searchsorted(edges, ranks), minlength=len(edges)),
            len(every) - len(ranks),
        )
        for ranks, every in zip(found, series, strict=True)
    ]


def _bins(largest: int) -> npt.NDArray[np.int64]:
    """Last ranks of bins, up to the first that ``largest`` lies in.

    >>> _bins(11).tolist(), _bins(20).tolist()
    ([1, 2, 5, 10, 20], [1, 2, 5, 10, 20])
    """
    found: list[int] = []
    for last in (step * 10**power for power in count() for step in _STEPS):
        found.append(last)
        if last >= largest:
            break
    return np.array(found, np.int64)
