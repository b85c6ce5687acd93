#!/usr/bin/env python3
"""What a labelled split tells about its face pack, and which recipe ranks its movies best.

Fits the mean and spread of impostors with which cosines of portraits and faces are the best evidence (least Cllr), and
prints the flag for fusion.py. Ranks each movie plainly, by every set of flags of the original's recipe, and by the
recipe best; whatever is fitted or chosen for a movie comes from the other movies. Intervals are 95 %, by resampling
movies.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import tuning
from castsearch.metrics import FEW_MOVIES, paired_bootstrap
from castsearch.ranking import RankingWarning, read_movies, read_split
from castsearch.stagefiles import Split
from castsearch.tuning import BEST, BEST_FITTED, CHOSEN, FLAGS, PLAIN, Comparison, Fit
from scripts import cli, scoring

FEW_GENUINE = 100  # pairs of a portrait and its person's face


def parse_args() -> argparse.Namespace:
    """Read the flags."""
    parser = cli.parser(__doc__)
    cli.add_mode(parser)
    cli.add_data(parser)
    parser.add_argument(
        "--gt", type=Path, metavar="FILE", help="labels; by default {mode}_label.json in the data folder"
    )
    cli.add_reid(parser)
    parser.add_argument("--no_time", action="store_true", help="numbers of shots are no time, as in film stills")
    parser.add_argument("--fit_only", action="store_true", help="print the impostors, and rank nothing")
    return parser.parse_args()


def tell_of_strangers(labels: Mapping[str, Sequence[str]], split: Split, file: Path) -> None:
    """Warn of what labels name and the split lacks: eval.py counts it as missed, and nothing can be learnt from it."""
    casts = {picture.id for movie in split.values() for picture in movie.cast}
    boxes = {picture.id for movie in split.values() for picture in movie.candidates}
    for kind, lacking in (
        ("casts", sorted(cast for cast, true in labels.items() if true and cast not in casts)),
        ("candidates", sorted(set().union(*labels.values()) - boxes)),
    ):
        if lacking:
            cli.warn(f"{file}: the split lacks these {kind}, which count for nothing here: {cli.first_few(lacking)}")


def tell(found: Fit) -> None:
    """Print what was fitted."""
    themselves, impostors = found.themselves, found.impostors
    print(
        f"pairs of a portrait and a face: {found.genuine:,} of {found.people} people, {found.impostor:,} of impostors"
    )
    print(f"impostors' cosines: mean {themselves.mean:.3f}, spread {themselves.sd:.3f}")
    print(
        "cost of the faces' evidence (Cllr; 1 tells nothing): "
        f"{found.cllr_of_themselves:.3f} by these, {found.cllr:.3f} calibrated"
    )
    print(f"for other movies: fusion.py --recipe best --impostors {impostors.mean:.3f} {impostors.sd:.3f}")
    if found.genuine < FEW_GENUINE:
        cli.warn(
            f"{found.genuine} pairs of a portrait and its person's face are few, and one bad portrait may decide the "
            f"calibration; label boxes until there are {FEW_GENUINE}"
        )


def report(found: Comparison) -> None:
    """Print the table."""
    names = {
        **{name: name for name in FLAGS},
        CHOSEN: "the best flags of the other movies",
        BEST: "best",
        BEST_FITTED: "best, impostors of the other movies",
    }
    width = max(map(len, names.values()))
    print(f"\n{'':{width}}     mAP   beside plain           beside the best flags")
    for name, shown in names.items():
        figures = found.ap[name]
        beside = [
            "" if name == other else str(paired_bootstrap(figures, found.ap[other], found.movies))
            for other in (PLAIN, CHOSEN)
        ]
        print(f"{shown:{width}}  {100 * figures.mean():6.2f}   {beside[0]:21}  {beside[1]}".rstrip())
    chosen = sorted(set(found.chosen.values()), key=list(FLAGS).index)
    print(f"\nThe best flags of the other movies: {', '.join(chosen)}")


def main() -> None:
    """Fit and compare."""
    args = parse_args()
    warnings.simplefilter("ignore", RankingWarning)  # fusion.py tells them
    split = read_split(args.data, args.mode)
    file = args.gt or args.data / f"{args.mode}_label.json"
    labels = scoring.fitting_labels(file, file, list(split.values()), "") or {}
    tell_of_strangers(labels, split, file)
    labelled = tuning.label_movies(read_movies(args.data, args.mode, args.reid, split=split), labels)
    if args.no_time:
        labelled = [one.without_time() for one in labelled]
    queries = sum(len(one.queries) for one in labelled)
    found = tuning.fit([tuning.face_pairs(one) for one in labelled])
    print(f"{len(labelled)} labelled movie{'s' * (len(labelled) > 1)}, {queries} people in their boxes")
    tell(found)
    if args.fit_only:
        return
    if len(labelled) == 1:
        cli.warn(
            f"{labelled[0].movie.name} is the only labelled movie: how well it is ranked by what was fitted to it says "
            "nothing about others, so that nothing is reported; label another one"
        )
        return
    report(tuning.compare(labelled, lambda movies: cli.progress(movies, total=len(labelled), unit="movie")))
    if len(labelled) < FEW_MOVIES:
        cli.warn(f"{len(labelled)} movies are few: intervals of less than {FEW_MOVIES} are too narrow to rely on")


if __name__ == "__main__":
    cli.run(main)
