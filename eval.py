#!/usr/bin/env python3
"""Stage 5: score a ranking by mAP and Rank@1/5/10, as the challenge defines them; several beside each other."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import get_args

from castsearch import metrics, stagefiles
from castsearch.annotations import Movie, labels_of_persons, person_ids, read_annotations, read_labels, read_ranking
from castsearch.metrics import Difference, Evaluation, EvaluationError, Missing, Oddities, Scored
from castsearch.stagefiles import MoviePictures
from scripts import cli, scoring

Movies = Mapping[str, str]


def parse_args() -> argparse.Namespace:
    """Read the flags."""
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add(
        "--gt",
        type=Path,
        metavar="FILE",
        help="true candidates of each cast; by default {mode}_label.json in the data folder",
    )
    add(
        "--submission",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="ranking, by fusion.py; several are compared with "
        "the first; by default {mode}_result.txt in the project's root",
    )
    add(
        "--mode",
        choices=stagefiles.MODES,
        help="split whose movies, portraits and candidates are read from the data "
        "folder; without it val, and ids tell the movies",
    )
    cli.add_data(parser)
    add(
        "--missing",
        choices=get_args(Missing),
        default="zero",
        help="what a cast without a line counts: zero, as in the "
        "challenge, or skip: nothing, in any of the submissions",
    )
    add("--per_movie", action="store_true", help="print a row a movie, too")
    add(
        "--per_cast",
        action="store_true",
        help="print a row a cast, too: average precision, rank of the first hit, recall at 50 and 100",
    )
    add("--json", type=Path, metavar="FILE", help="write all figures, and what is odd, as JSON")
    add("--csv", type=Path, metavar="FILE", help="write a row a submission and cast as CSV")
    add("--curves", type=Path, metavar="DIR", help="draw precision over recall, and the ranks of hits, as SVG")
    args = parser.parse_args()
    mode = args.mode or "val"
    args.gt = args.gt or args.data / f"{mode}_label.json"
    args.submission = args.submission or [cli.ROOT / f"{mode}_result.txt"]
    if len(set(args.submission)) < len(args.submission):
        parser.error("argument --submission: a file is named twice")
    return args


def read_split(data: Path, mode: str) -> Collection[Movie | MoviePictures]:
    """The movies of a split, by its annotations; by its stage file where they are not there."""
    annotations = data / f"{mode}.json"
    if annotations.exists():
        return read_annotations(annotations).values()
    return stagefiles.read_body(data / stagefiles.body_name(mode)).values()


def short_names(files: Collection[Path]) -> list[str]:
    """What files are called side by side: by their names, or all by their paths where two share one."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def check_places(args: argparse.Namespace) -> None:
    """See that what shall be written may be, before the work, and takes no other file's place."""
    for file, start in ((args.json, metrics.JSON_START), (args.csv, metrics.CSV_START)):
        if file is not None:
            cli.check_replaceable(stagefiles.check_output(file), start, "an evaluation")
    if args.json is not None and args.csv is not None and args.json.resolve() == args.csv.resolve():
        raise EvaluationError(f"{args.json}: was named by --json and by --csv; choose two names")
    if args.curves is not None:
        stagefiles.check_folder(args.curves)


def side_by_side(
    names: Sequence[str], found: Sequence[Evaluation], odd: Sequence[Oddities], movies: Movies
) -> list[Scored]:
    """The submissions, and how much better each is than the first; a warning where that cannot be told well."""
    first, *others = found
    differences: list[Difference | None] = [None] * len(found)
    if others:
        try:
            differences[1:] = [metrics.beyond(other, first, movies) for other in others]
        except EvaluationError as error:
            cli.warn(f"differences have no interval: {error}")
        else:
            count = len({movies[cast] for cast in first.casts})
            if count < metrics.FEW_MOVIES:
                cli.warn(
                    f"{count} movies are few: intervals of less than {metrics.FEW_MOVIES} are too narrow to rely on"
                )
    return [Scored(*one) for one in zip(names, found, odd, differences, strict=True)]


def show(scored: Sequence[Scored], movies: Movies, args: argparse.Namespace) -> None:
    """Print the tables."""
    print(metrics.summary(scored))
    if args.per_movie and movies:
        print(f"\n{metrics.movie_table(scored, movies)}")
    elif args.per_movie:
        cli.warn("ids do not tell which movie a cast is of, so that there is no table of movies; give --mode")
    if args.per_cast:
        print(f"\n{metrics.cast_table(scored)}")


def warn(scored: Sequence[Scored], split_known: bool, missing: Missing) -> None:
    """Tell what is odd about each submission."""
    for one in scored:
        which = f"{one.name}: " if len(scored) > 1 else ""
        scoring.warn_of_evaluation(one.evaluation, missing, which)
        scoring.warn_of_oddities(one.oddities, split_known, which)


def write(scored: Sequence[Scored], movies: Movies, args: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if args.json is not None:
        with stagefiles.atomic_write(args.json) as file:
            file.write(metrics.as_json(scored, movies, args.missing).encode())
    if args.csv is not None:
        with stagefiles.atomic_write(args.csv) as file:
            file.write(metrics.as_csv(scored, movies).encode(errors="backslashreplace"))
    if args.curves is not None:
        from castsearch.gallery.curves import write_curves  # what draws takes longer to load than the rest to run

        for path in write_curves({one.name: one.evaluation for one in scored}, args.curves):
            print(path)


def main() -> None:
    """Score and report."""
    args = parse_args()
    check_places(args)
    labels = read_labels(args.gt)
    split = read_split(args.data, args.mode) if args.mode else None
    labels = labels if split is None else labels_of_persons(labels, split)
    where = metrics.by_ids(labels) if split is None else metrics.by_split(split, {*person_ids(split).values()})
    rankings = {str(file): read_ranking(file) for file in args.submission}
    try:
        found = metrics.evaluate_alike(labels, rankings, args.missing)
    except EvaluationError as error:
        raise EvaluationError(f"{args.gt}, {error}") from None
    odd = [metrics.oddities(labels, ranking, where) for ranking in rankings.values()]
    scored = side_by_side(short_names(args.submission), [*found.values()], odd, where.casts)
    show(scored, where.casts, args)
    warn(scored, split is not None, args.missing)
    write(scored, where.casts, args)


if __name__ == "__main__":
    gc.disable()  # no circles are made, and to look for them takes a quarter of the time
    cli.run(main)
