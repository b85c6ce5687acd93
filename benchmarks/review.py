"""What a few decisions are worth: somebody answers about the boxes that a person's page shows first.

    python3 benchmarks/review.py --cache data/stills          # the tables of docs/gallery.md
    python3 benchmarks/review.py --seeds choose               # what the order of asking may be chosen by
    python3 benchmarks/review.py --quick                      # a minute of smoke

The simulated user tells the truth by the labels, of ten boxes a person, all at once, in one of three orders: as ranked;
the doubtful first; and ``asking_order``, which is that of the pages. Then the movie is ranked again. Seeds for choosing
and for reporting are different; stills have no time. Intervals are of 95 %, by resampling movies. One thread a process;
the time is that of one ranking by one process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # movies are shared among processes

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import simulated
import stills
from recipes import BOXES, DEFAULT, TWICE, VARIED

from castsearch.annotations import read_labels
from castsearch.metrics import average_precision, paired_bootstrap
from castsearch.parallel import core_count
from castsearch.ranking import Decided, RankingWarning, Settings, asking_order, rank, read_movies
from castsearch.tuning import LabelledMovie, label_movies

F64 = np.ndarray
Order = Callable[[F64, F64, LabelledMovie], np.ndarray]

# As in recipes.py, but more: what a few decisions are worth hangs on how many portraits resemble nobody.
CHOOSE = {DEFAULT: [*range(3000, 3010), *range(31000, 31010)], VARIED: range(1000, 1020), TWICE: range(4000, 4010)}
REPORT = {DEFAULT: range(7000, 7030), VARIED: range(5000, 5020), TWICE: range(8500, 8510)}
MOVIES: dict[str, Callable[[int], LabelledMovie]] = {
    DEFAULT: partial(simulated.new_movie, varied=False),
    VARIED: partial(simulated.new_movie, varied=True),
    TWICE: partial(simulated.doubled_movie, boxes=BOXES),
}
DECISIONS = 10
TIMED = 7000, 2000  # seed and boxes of the movie by which a ranking is timed
TIMES = 9
BEST = Settings(recipe="best")
ORDERS: dict[str, Order] = {
    "as ranked": lambda probability, score, labelled: np.argsort(-score, kind="stable"),
    "doubtful": lambda probability, score, labelled: asking_order(probability, score),
    "doubtful, spread over the film": lambda probability, score, labelled: asking_order(
        probability, score, labelled.movie.shots
    ),
}


@dataclass(frozen=True)
class Answered:
    """Average precisions of a movie's people before and after the decisions, and how many of these confirmed."""

    before: F64
    after: F64
    confirmed: float


def answered(labelled: LabelledMovie, order: str) -> Answered:
    """A movie, before and after decisions on the boxes that come first in an order."""
    before = _ranked(labelled)
    said = np.zeros(labelled.truth.shape, np.int8)
    for row, (probability, score) in enumerate(zip(*before, strict=True)):
        asked = ORDERS[order](probability, score, labelled)[:DECISIONS]
        said[row, asked] = np.where(labelled.truth[row, asked], 1, -1)
    said[:, (said > 0).sum(axis=0) > 1] = 0  # wrong labels: a box shows one person
    after = _ranked(labelled, said)
    precisions = [
        np.array([_precision(score, true) for score, true in zip(of[1], labelled.truth, strict=True) if true.any()])
        for of in (before, after)
    ]
    return Answered(*precisions, confirmed=float((said > 0).sum() / (said != 0).sum()))


def _ranked(labelled: LabelledMovie, said: np.ndarray | None = None) -> tuple[F64, F64]:
    """(p, n) probabilities, and places as scores, the best largest."""
    movie = labelled.movie
    if said is not None:
        nobody = [np.zeros(0, np.int64)] * len(said)
        movie = replace(movie, decided=Decided(said, nobody, np.zeros(len(said), bool)))
    probability, place = np.zeros(labelled.truth.shape), np.zeros(labelled.truth.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankingWarning)
        for row, (_, ranked) in enumerate(rank(movie, BEST)):
            probability[row, ranked.order] = ranked.probability
            place[row, ranked.order] = -np.arange(len(ranked))
    return probability, place


def _precision(score: F64, true: np.ndarray) -> float:
    return average_precision(true[np.argsort(-score, kind="stable")])


# ---------------------------------------------------------------------------- movies


def still_sets(cache: Path) -> Iterator[tuple[str, list[LabelledMovie]]]:
    """The film stills by the corrected labels, without time, for each pair of features."""
    for pack, folder in stills.folders(cache):
        for body, reid in stills.BODIES.items():
            movies = label_movies(read_movies(folder, "val", [reid]), read_labels(stills.LABELS["corrected"]))
            yield f"stills, {pack}, {body}", [movie.without_time() for movie in movies]


def told(name: str, order: str, movies: Sequence[Answered]) -> str:
    """A row of the table."""
    before, after = (np.concatenate([getattr(movie, part) for movie in movies]) for part in ("before", "after"))
    groups = [number for number, movie in enumerate(movies) for _ in movie.before]
    gain = paired_bootstrap(after, before, groups)
    missing = 1 - before.mean()
    share = f"{(after - before).mean() / missing:.0%}" if missing > 0 else "nothing is missing"
    confirmed = np.mean([movie.confirmed for movie in movies])
    figures = f"{100 * before.mean():.1f} | {100 * after.mean():.1f} | {gain} | {share} | {confirmed:.0%}"
    return f"| {name} | {order} | {len(movies)}, {len(before)} | {figures} |"


def seconds() -> str:
    """How long a ranking takes after decisions."""
    seed, boxes = TIMED
    labelled = simulated.new_movie(seed, False, 10, boxes)
    said = np.zeros(labelled.truth.shape, np.int8)
    for row, true in enumerate(labelled.truth):
        said[row, np.flatnonzero(true)[:DECISIONS]] = 1
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        _ranked(labelled, said)
        took.append(time.perf_counter() - start)
    return f"{boxes} boxes, 10 people, ranked after decisions: {np.median(took):.2f} s, median of {TIMES} (one thread)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="features of the stills; without it they are left out")
    parser.add_argument("--seeds", choices=("choose", "report"), default="report")
    parser.add_argument("--quick", action="store_true", help="two movies a set")
    args = parser.parse_args()
    seeds = CHOOSE if args.seeds == "choose" else REPORT
    print("| movies | boxes asked about | movies, people | mAP | after | gain | of what is missing | confirmed |")
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(core_count()) as processes:
        for name, of_seed in MOVIES.items():
            movies = list(processes.map(of_seed, seeds[name][:2] if args.quick else seeds[name]))
            for order in ORDERS:
                print(told(name, order, list(processes.map(partial(answered, order=order), movies))), flush=True)
        for name, movies in still_sets(args.cache) if args.cache else ():
            print(told(name, "doubtful", list(processes.map(partial(answered, order="doubtful"), movies))), flush=True)
    print()
    print(seconds())


if __name__ == "__main__":
    main()
