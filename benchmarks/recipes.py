"""How well each recipe ranks, what each piece of `best` adds, and how true its probabilities are.

    python3 benchmarks/recipes.py --cache DIR --out docs    # the tables of docs/ranking.md, and docs/reliability.svg
    python3 benchmarks/recipes.py --seeds choose            # what a recipe may be chosen by: simulated movies alone
    python3 benchmarks/recipes.py --quick                   # a minute of smoke

Sets: film stills with four face packs and two body models, whose features are made by the project's stages and kept
in --cache (without it they are left out); golden/fusion; two simulators, one of them also with its constants drawn at
random. Boxes are ranked in an order drawn at random, so that no tie is broken by what their numbers tell; pictures of
the stills were numbered person by person, and have no time. Seeds for choosing and for reporting are different, see
below. Differences have 95 % intervals, by resampling movies. Tables go to the standard output, progress to the other.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # movies are shared among processes

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import ppcc
import simulated
import stills

from castsearch.annotations import read_labels
from castsearch.metrics import UNLIKELY, Reliability, error_by_group, paired_bootstrap, reliability, that_matter
from castsearch.parallel import core_count
from castsearch.ranking import MovieFeatures, Ranked, RankingWarning, Settings, best, read_movies
from castsearch.ranking.best import Recipe as Best
from castsearch.ranking.threads import Resources
from castsearch.stagefiles import atomic_write
from castsearch.tuning import BEST, FLAGS, PLAIN, LabelledMovie, Recipe, by, label_movies
from scripts import cli

# Seeds. What a recipe, its constants or a set of flags is chosen by, and what is told of them, share none.
OLD, VARIED, DEFAULT, TWICE = "old simulator", "new, constants drawn", "new, default", "new, each box twice"
STRANGERS, ABSENT = "new, strangers added", "new, people taken out"
CHOOSE = {OLD: range(1000, 1020), VARIED: range(1000, 1020), DEFAULT: range(3000, 3010)}
REPORT = {OLD: range(5000, 5020), VARIED: range(5000, 5020), DEFAULT: range(7000, 7010)}
CHOOSE |= {TWICE: range(4000, 4010)}
REPORT |= {TWICE: range(8500, 8510)}
CHOOSE |= {STRANGERS: range(2000, 2010), ABSENT: range(2000, 2010)}
REPORT |= {STRANGERS: range(9000, 9020), ABSENT: range(9000, 9020)}
OTHER = 500  # this much above a movie's seed is that of the movie whose people are added to it
GOLDEN = "golden/fusion"
PERMUTATIONS = 5  # of each movie of stills; simulated ones, which have hardly a tie, get one
QUICK_BOXES = 250
CASTS, GONE = 8, 4  # of movies with absent people: who may be in their boxes, and who are in none
BOXES, BOXES_BEFORE = 1981, 2800  # of them, as drawn; about 1,950 stay of 2,800 where people are taken out
SURE = 0.5  # a person with no box above it is named absent
BINS = 10
FEW = 5  # movies: with fewer an interval is not worth the name

ESTIMATED = "best, impostors estimated"  # from the movie, as of any face pack that nobody labelled stills with
# Pieces of `best`, and what switches each off.
PIECES: dict[str, dict[str, Any]] = {
    "templates": {"template_rounds": 0},
    "frames": {"frame_sweeps": 0},
    "bodies": {"vote_power": 0.0},
    "whitening": {"whitening": 0.0},
    "limit of likeness": {"body_most": np.inf},
    "time": {"time_most": 0.0},
    "links of faces": {"link_slope": 0.0},
    "slopes chosen by the movie": {"body_slopes": Best().body_slopes[:1]},
    "odds chosen by the movie": {"unlike": Best().unlike[:1]},
    "repeated votes": {"vote_rounds": 1},
    "useless faces": {"useless": 1e-6},
    "presence": {"presence_odds": 50.0, "presence_slope": 0.0, "presence_backing": 0.0},  # everybody is there
}
CERTAIN = "without presence"  # ranks as `best` does; its probabilities differ
TELLING = (BEST, CERTAIN)
PPCC = "PPCC (ECCV 2018), without tracks"
STILLS_LACK = ("time", "frames", "presence")  # a box a picture


def without(changes: Mapping[str, Any]) -> Recipe:
    """The recipe `best` with other constants."""

    def ranked(movie: MovieFeatures) -> Iterable[tuple[str, Ranked]]:
        settings, constants = Settings(recipe="best"), replace(Best(), **changes)
        return zip(movie.people, best.rank(movie, settings, Resources.within(None), constants), strict=True)

    return ranked


def arms() -> dict[str, Recipe]:
    """All recipes that are compared, by name."""
    return {name: by(settings) for name, settings in FLAGS.items()} | {PPCC: ppcc.ranked} | best_arms()


def estimating(movie: MovieFeatures) -> Iterable[tuple[str, Ranked]]:
    """The recipe `best` where nothing is known of the face pack."""
    return by(Settings(recipe="best"))(replace(movie, impostors=None))


def best_arms() -> dict[str, Recipe]:
    """The recipe `best`, whole and without each of its pieces."""
    return {BEST: by(Settings(recipe="best"))} | {
        f"without {name}": without(changes) for name, changes in PIECES.items()
    }


# ---------------------------------------------------------------------------- movies, in processes of their own


@dataclass(frozen=True)
class Case:
    """A movie to be ranked.

    Attributes:
        set: of which it is part.
        name: unique in its set.
        make: makes it.
        arms: names of the recipes that rank it.
        permutations: how many orders of its boxes are ranked; figures are means.
    """

    set: str
    name: str
    make: Callable[[], LabelledMovie]
    arms: tuple[str, ...]
    permutations: int = 1


@dataclass
class Measured:
    """What came out.

    Attributes:
        case: the movie.
        ap: by recipe, (queries,) average precisions.
        probability: by recipe that tells it, of `best` and ``CERTAIN``, (p, n); columns as in ``hit``.
        hit: (p, n) bool.
    """

    case: Case
    ap: dict[str, np.ndarray] = field(default_factory=dict)
    probability: dict[str, np.ndarray] = field(default_factory=dict)
    hit: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))


def measure(case: Case) -> Measured:
    """Rank a movie by all recipes."""
    warnings.simplefilter("ignore", RankingWarning)  # of portraits that show no face, and short lists
    made, measured, recipes = case.make(), Measured(case), arms() | {ESTIMATED: estimating}
    for seed in range(case.permutations):
        order = np.random.default_rng(seed).permutation(len(made.movie.candidates))
        labelled = permuted(made, order)
        for name in case.arms:
            ranked = dict(recipes[name](labelled.movie))
            # As average_precisions does, with what has been ranked.
            found = labelled.average_precisions(lambda _, ranked=ranked: ranked.items())
            measured.ap[name] = measured.ap.get(name, 0) + found / case.permutations
            if name in TELLING and seed == 0:
                measured.probability[name], measured.hit = probabilities(labelled, ranked), labelled.truth
    return measured


def permuted(labelled: LabelledMovie, order: np.ndarray) -> LabelledMovie:
    """The same movie with its boxes in another order."""
    movie, q, n = labelled.movie, len(labelled.movie.cast), len(labelled.movie.candidates)
    rows = np.concatenate([np.arange(q), q + order])
    moved = replace(
        movie,
        candidates=[movie.candidates[i] for i in order],
        frames=[movie.frames[i] for i in order],
        faces=None if movie.faces is None else movie.faces[rows],
        has_face=movie.has_face[rows],
        bodies=[some[order if len(some) == n else rows] for some in movie.bodies],
        shots=None if movie.shots is None else movie.shots[order],
    )
    return LabelledMovie(moved, labelled.truth[:, order])


def probabilities(labelled: LabelledMovie, ranked: Mapping[str, Ranked]) -> np.ndarray:
    """(p, n) float32, as the boxes stand in the movie."""
    table = np.zeros(labelled.truth.shape, np.float32)
    for row, person in zip(table, labelled.movie.people, strict=True):
        row[ranked[person].order] = ranked[person].probability
    return table


def read_one(folder: Path, reid: str, labels: Path, name: str, timeless: bool) -> LabelledMovie:
    """A movie of the stage files in a folder."""
    (movie,) = [movie for movie in read_movies(folder, "val", [reid]) if movie.name == name]
    known = {cast: true for cast, true in read_labels(labels).items() if cast in movie.cast}
    return label_movies([replace(movie, shots=None) if timeless else movie], known)[0]


# ---------------------------------------------------------------------------- which movies


def simulated_cases(seeds: Mapping[str, Sequence[int]], names: Iterable[str], quick: bool) -> list[Case]:
    """Those of both simulators; a movie each of --quick."""
    names, few = tuple(names), 1 if quick else None
    size = {"boxes": QUICK_BOXES} if quick else {}
    return [
        *(
            Case(OLD, f"{seed}.{part}", partial(simulated.old_movie, seed, part), names)
            for seed in seeds[OLD][:few]
            for part in range(len(simulated.OLD_MOVIES))
        ),
        *(
            Case(of, str(seed), partial(simulated.new_movie, seed, of == VARIED, **size), names)
            for of in (VARIED, DEFAULT)
            for seed in seeds[of][:few]
        ),
        *(
            Case(TWICE, str(seed), partial(simulated.doubled_movie, seed, QUICK_BOXES if quick else BOXES), names)
            for seed in seeds[TWICE][:few]
        ),
    ]


def absent_cases(seeds: Mapping[str, Sequence[int]], quick: bool) -> list[Case]:
    """Movies with portraits of people who are in no box, for the recipes that tell probabilities."""
    added = [
        Case(STRANGERS, str(seed), partial(simulated.with_strangers, seed, seed + OTHER, CASTS, GONE, boxes), TELLING)
        for boxes in [QUICK_BOXES if quick else BOXES]
        for seed in seeds[STRANGERS][: 1 if quick else None]
    ]
    taken_out = [
        Case(ABSENT, str(seed), partial(simulated.with_absent, seed, CASTS + GONE, GONE, boxes), TELLING)
        for boxes in [QUICK_BOXES if quick else BOXES_BEFORE]
        for seed in seeds[ABSENT][: 1 if quick else None]
    ]
    return added + taken_out


def golden_cases(names: Iterable[str]) -> list[Case]:
    """The movies of golden/fusion."""
    folder = stills.TESTDATA / "golden/fusion/data"
    movies = [movie.name for movie in read_movies(folder, "val", [simulated.REID])]
    make = partial(read_one, folder, simulated.REID, folder / "val_label.json", timeless=False)
    return [Case(GOLDEN, name, partial(make, name=name), tuple(names)) for name in movies]


def stills_set(pack: str, body: str, labels: str) -> str:
    """The name of a set of stills."""
    return f"{pack} / {body} / {labels}"


def stills_cases(cache: Path, names: Iterable[str]) -> list[Case]:
    """The film stills with all pairs of features, by both files of labels."""
    cases = []
    for pack, folder in stills.folders(cache):
        for body, reid in stills.BODIES.items():
            movies = [movie.name for movie in read_movies(folder, "val", [reid])]
            for labels, path in stills.LABELS.items():
                make = partial(read_one, folder, reid, path, timeless=True)
                of = stills_set(pack, body, labels)
                cases += [Case(of, name, partial(make, name=name), tuple(names), PERMUTATIONS) for name in movies]
    return cases


# ---------------------------------------------------------------------------- figures


class Figures:
    """Average precisions by set and recipe."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self.sets: dict[str, list[Measured]] = {}
        for one in measured:
            self.sets.setdefault(one.case.set, []).append(one)

    def ap(self, of: str, name: str) -> np.ndarray:
        return np.concatenate([one.ap[name] for one in self.sets[of]])

    def mean_ap(self, of: str, name: str) -> float:
        return 100 * float(self.ap(of, name).mean())

    def best_flags(self, of: str) -> str:
        """The flags of highest mAP; of equals the first."""
        return max(FLAGS, key=lambda name: round(self.mean_ap(of, name), 9))

    def difference(self, of: str, a: str, b: str) -> str:
        """mAP of one less that of another, with its interval where there are movies enough for one."""
        movies = [one.case.name for one in self.sets[of] for _ in one.ap[a]]
        if len(set(movies)) < FEW:
            return f"{self.mean_ap(of, a) - self.mean_ap(of, b):+.1f}"
        return str(paired_bootstrap(self.ap(of, a), self.ap(of, b), movies))

    def sizes(self, of: str) -> str:
        """How many movies, and how many casts with boxes, a set has."""
        return f"{len(self.sets[of])} movies, {len(self.ap(of, PLAIN))} casts"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def recipes_table(figures: Figures, sets: Sequence[str], best_flags: Mapping[str, str]) -> str:
    """mAP of the recipes, and what `best` is ahead by."""
    names = [*FLAGS, PPCC, BEST]
    rows = [[name, *(f"{figures.mean_ap(of, name):.2f}" for of in sets)] for name in names]
    rows.append(["best beside plain", *(figures.difference(of, BEST, PLAIN) for of in sets)])
    beside = [f"{figures.difference(of, BEST, best_flags[of])} ({best_flags[of]})" for of in sets]
    rows.append(["best beside the best flags", *beside])
    return markdown(["mAP", *(f"{of}: {figures.sizes(of)}" for of in sets)], rows)


def pieces_table(figures: Figures, sets: Sequence[str]) -> str:
    """What is lost without each piece."""
    rows = [[BEST, *(f"{figures.mean_ap(of, BEST):.2f}" for of in sets)]]
    for name in [name for name in best_arms() if name not in TELLING]:
        rows.append([name, *(figures.difference(of, name, BEST) for of in sets)])
    return markdown(["mAP", *sets], rows)


def stills_table(figures: Figures, names: Sequence[str]) -> str:
    """mAP on the stills by corrected labels, and by the given ones in brackets."""
    pairs = [(pack, body) for pack in stills.PACKS for body in stills.BODIES]

    def cell(pack: str, body: str, name: str) -> str:
        corrected, given = (figures.mean_ap(stills_set(pack, body, labels), name) for labels in stills.LABELS)
        return f"{corrected:.2f} ({given:.2f})"

    rows = [[name, *(cell(*pair, name) for pair in pairs)] for name in names]
    beside = (figures.difference(stills_set(*pair, "corrected"), BEST, PLAIN) for pair in pairs)
    rows.append(["best beside plain", *beside])
    return markdown(["corrected (given)", *(" / ".join(pair) for pair in pairs)], rows)


# ---------------------------------------------------------------------------- probabilities


@dataclass
class Told:
    """What probabilities of one set say, and what was true: (m,) arrays, and the movie of each."""

    probability: np.ndarray
    hit: np.ndarray
    movie: np.ndarray

    @classmethod
    def of(cls, measured: Sequence[Measured], name: str) -> Told:
        p, hit = (
            np.concatenate([table.ravel() for table in tables])
            for tables in ([one.probability[name] for one in measured], [one.hit for one in measured])
        )
        return cls(p, hit, np.concatenate([np.full(one.hit.size, one.case.name) for one in measured]))

    def matter(self) -> Told:
        kept = that_matter(self.probability)
        return Told(self.probability[kept], self.hit[kept], self.movie[kept])

    def reliability(self) -> Reliability:
        return reliability(self.probability, self.hit, BINS)

    def by_movie(self) -> np.ndarray:
        return np.array(list(error_by_group(self.probability, self.hit, self.movie.tolist(), BINS).values()))


def calibration_table(figures: Figures, sets: Sequence[str]) -> str:
    """Expected calibration errors by set."""
    rows = []
    for of in sets:
        for name in TELLING:
            every = Told.of(figures.sets[of], name)
            likely = every.matter()
            missed = f"{every.hit.sum() - likely.hit.sum():,} of {every.hit.sum():,}"
            for which, some, below in (("all", every, ""), (f"p >= {UNLIKELY}", likely, missed)):
                movies = some.by_movie()
                cells = [some.reliability().error, movies.mean(), movies.max()]
                rows.append([of, name, which, f"{len(some.hit):,}", below, *(f"{cell:.3f}" for cell in cells)])
    header = ["calibration error", "recipe", "boxes", "pairs", "hits below"]
    return markdown([*header, "all together", "mean of movies", "worst movie"], rows)


def bins_table(told: Mapping[str, Told]) -> str:
    """The reliability of each set, bin by bin: mean probability, share of hits, pairs of a cast and a box."""
    bins = {of: some.reliability() for of, some in told.items()}
    edges = next(iter(bins.values())).edges
    rows = []
    for index, (low, high) in enumerate(pairwise(edges)):
        cells = [
            f"{some.probability[index]:.3f} / {some.hits[index]:.3f} ({some.count[index]:,})"
            if some.count[index]
            else "none"
            for some in bins.values()
        ]
        rows.append([f"{low:.1f} to {high:.1f}", *cells])
    return markdown(["probability: mean / hits (pairs)", *bins], rows)


def diagram(told: Mapping[str, Told]) -> str:
    """The reliability diagram as SVG: share of hits over mean probability, a line a set.

    It brings its own white ground, and so reads alike on a light page and on a dark one.
    """
    side, left, top, colours = 360, 62, 16, ("#0b5cad", "#b3400b", "#2f6b1c")
    x, y = (lambda p: left + side * p), (lambda p: top + side * (1 - p))
    parts = [f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="#777"/>']
    parts.append(f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" stroke="#777" stroke-dasharray="4 4"/>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<text x="{x(tick):.1f}" y="{y(0) + 20:.1f}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<text x="{x(0.5)}" y="{y(0) + 42:.1f}" text-anchor="middle">probability that a box is told</text>')
    parts.append(
        f'<text transform="translate(16 {y(0.5)}) rotate(-90)" text-anchor="middle">share of them that are hits</text>'
    )
    for number, ((of, some), colour) in enumerate(zip(told.items(), colours, strict=False)):
        bins = some.reliability()
        points = [(x(p), y(h)) for p, h in zip(bins.probability, bins.hits, strict=True) if not np.isnan(p)]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points]
        parts.append(
            f'<text x="{left + 12}" y="{top + 24 + 20 * number}" fill="{colour}" font-weight="bold">{of}</text>'
        )
    width, height = left + side + 22, top + side + 56
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14" fill="#222">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


def absent_table(figures: Figures) -> str:
    """Who is named absent, of those who are and of those who are not."""
    columns = [(of, name) for of in (STRANGERS, ABSENT) for name in TELLING]
    rows: dict[str, list[str]] = {}
    for of, name in columns:
        measured = figures.sets[of]
        named = np.concatenate([one.probability[name].max(axis=1) for one in measured]) <= SURE
        boxes = np.concatenate([one.hit.sum(axis=1) for one in measured])
        groups = {"in no box": boxes == 0, "in some box": boxes > 0, "in 5 boxes or more": boxes >= 5}
        for group, own in groups.items():
            cell = f"{100 * named[own].mean():.1f} % of {own.sum()}" if own.any() else "none"
            rows.setdefault(group, []).append(cell)
    sizes = [f"{of}: {len(figures.sets[of])} movies, {name}" for of, name in columns]
    return markdown(["named absent", *sizes], [[group, *cells] for group, cells in rows.items()])


# ---------------------------------------------------------------------------- the command


def run(cases: Sequence[Case], jobs: int) -> list[Measured]:
    """Measure all, in order; several processes share them."""
    show: dict[str, Any] = {"total": len(cases), "unit": "movie", "file": sys.stderr, "mininterval": 5}
    if jobs == 1:
        return [measure(case) for case in tqdm(cases, **show)]
    with ProcessPoolExecutor(jobs) as pool:
        return list(tqdm(pool.map(measure, cases), **show))


def timed(boxes: int) -> str:
    """Seconds that `best` takes for a movie, alone on the machine; the shortest of three runs."""
    movie, recipe, seconds = simulated.new_movie(REPORT[DEFAULT][0], False, 8, boxes).movie, arms()[BEST], []
    for _ in range(3):
        start = time.perf_counter()
        list(recipe(movie))
        seconds.append(time.perf_counter() - start)
    return f"{boxes:,} boxes: {min(seconds):.2f} s"


def main() -> None:
    """Measure and print."""
    parser = cli.parser(__doc__)
    parser.add_argument("--seeds", choices=("report", "choose"), default="report", help="which simulated movies")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keeps the stills' features; without it, no stills")
    parser.add_argument("--out", type=Path, metavar="DIR", help="receives reliability.svg")
    parser.add_argument("--quick", action="store_true", help="a small movie of each kind: that it runs, no figures")
    parser.add_argument("--jobs", type=int, default=core_count(), metavar="N", help="processes")
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs}: it takes a process at least")
    if args.cache and args.seeds == "choose":
        parser.error("--cache keeps the stills' features, and no recipe may be chosen by the stills: leave it out")
    if not stills.TESTDATA.is_dir():
        parser.error(f"no test data at {stills.TESTDATA}: set CASTSEARCH_TESTDATA")
    reporting, names = args.seeds == "report", list(arms())
    seeds = REPORT if reporting else CHOOSE
    cases = simulated_cases(seeds, names, args.quick) + absent_cases(seeds, args.quick)
    if reporting:
        cases += golden_cases(names) + (stills_cases(args.cache, [*names, ESTIMATED]) if args.cache else [])
    figures = Figures(run(cases, args.jobs))
    chosen_by = figures
    if reporting:  # flags, too, are chosen by other movies than they are reported on
        chosen_by = Figures(run(simulated_cases(CHOOSE, FLAGS, args.quick), args.jobs))
    report(args, figures, {of: chosen_by.best_flags(of) for of in (OLD, VARIED, DEFAULT, TWICE)})


def report(args: argparse.Namespace, figures: Figures, best_flags: dict[str, str]) -> None:
    """Print the tables."""
    sets = [OLD, *([GOLDEN] if GOLDEN in figures.sets else []), VARIED, DEFAULT, TWICE]
    best_flags[GOLDEN] = best_flags[OLD]  # its movies are the old simulator's
    print(f"\nSeeds: {args.seeds}. The best flags are those of highest mAP on the choosing seeds of each kind.\n")
    print(recipes_table(figures, sets, best_flags))
    print(f"\nWithout a piece, beside `best` whole:\n\n{pieces_table(figures, sets)}")
    if args.cache and args.seeds == "report":
        pieces = [f"without {name}" for name in PIECES if name not in STILLS_LACK]
        print(f"\nFilm stills:\n\n{stills_table(figures, [*FLAGS, PPCC, BEST, ESTIMATED, *pieces])}")
    told = {of: Told.of(figures.sets[of], BEST) for of in (VARIED, DEFAULT)}
    print(f"\nCalibration:\n\n{calibration_table(figures, [*told, STRANGERS, ABSENT])}\n\n{bins_table(told)}")
    print(f"\nAbsent people, that is with no box above {SURE}:\n\n{absent_table(figures)}")
    print(f"\nSeconds of `best`, {core_count()} cores: {timed(1300)}; {timed(4075)}" if not args.quick else "")
    if args.out:
        with atomic_write(args.out / "reliability.svg") as file:
            file.write(diagram(told).encode())


if __name__ == "__main__":
    cli.run(main)
