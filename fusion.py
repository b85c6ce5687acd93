#!/usr/bin/env python3
"""Stage 4: rank every candidate for every cast.

Reads retina_{mode}.pkl, face_{mode}.pkl and the body features from the data folder, writes {mode}_result.txt, a line a
cast: "castid id,id,..." best first. Prints the metrics where there are labels.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import write_ranking
from castsearch.faces.doubts import doubts_of_split
from castsearch.metrics import evaluate
from castsearch.ranking import (
    MovieFeatures,
    RankingError,
    RankingWarning,
    Settings,
    TooLittleMemory,
    across,
    fuse,
    read_movies,
    read_split,
)
from castsearch.ranking.propagation import THRESHOLDS
from castsearch.stagefiles import check_output
from scripts import cli

MOST_GB = 1_000_000


def parse_args() -> argparse.Namespace:
    """Read the flags."""
    parser = cli.parser(__doc__)
    cli.add_mode(parser)
    cli.add_data(parser, "--root")
    face = parser.add_mutually_exclusive_group()
    face.add_argument("--face_rerank", action="store_true", help="re-rank faces by k-reciprocal encoding")
    face.add_argument("--face_rerank_ecn", action="store_true", help="re-rank faces by expanded cross neighbourhoods")
    body = parser.add_mutually_exclusive_group()
    body.add_argument("--body_rerank", action="store_true", help="re-rank bodies by k-reciprocal encoding")
    body.add_argument("--body_rerank_ecn", action="store_true", help="re-rank bodies by expanded cross neighbourhoods")
    parser.add_argument(
        "--thres",
        type=float,
        nargs="+",
        default=list(THRESHOLDS),
        metavar="SIM",
        help="similarity of the sure hits, then of each spreading to look-alikes",
    )
    parser.add_argument(
        "--reid",
        nargs="+",
        default=["triplet_resnext101_32x8d"],
        metavar="NAME",
        help="body models: NAME_{mode}.pkl each; several are ranked together",
    )
    parser.add_argument("--body_only", action="store_true", help="rank on bodies alone (extracted with --with_cast)")
    parser.add_argument("--across", action="store_true", help="look for each cast in all movies of the split")
    parser.add_argument("--gt", type=Path, metavar="FILE", help="labels; by default {mode}_label.json where it exists")
    parser.add_argument(
        "--submission", type=Path, metavar="FILE", help="the result; by default {mode}_result.txt in the project's root"
    )
    parser.add_argument(
        "--memory", type=float, metavar="GB", help="memory to rank with; by default a quarter of what is free"
    )
    args = parser.parse_args()
    if args.body_only and (args.face_rerank or args.face_rerank_ecn):
        parser.error("--body_only uses no faces: leave the flags of face re-ranking out")
    if args.memory is not None and not 0 < args.memory < MOST_GB:
        parser.error(f"--memory must lie between 0 and {MOST_GB} GB")
    for name in args.reid:
        bare = name.removesuffix(".pkl").removesuffix(f"_{args.mode}")
        if bare != name and not (args.data / f"{name}_{args.mode}.pkl").exists():
            parser.error(f"--reid takes names without _{args.mode}.pkl: {bare}")
    if args.submission is not None and args.submission.suffix in (".json", ".pkl"):
        parser.error(f"--submission {args.submission}: a result is text, and such names are other files'")
    if args.gt is not None and args.submission is not None and args.gt.absolute() == args.submission.absolute():
        parser.error("--gt and --submission name the same file; the result would take the place of the labels")
    return args


def rerank_name(k_reciprocal: bool, ecn: bool) -> str | None:
    """The name that a pair of flags stands for."""
    return "k_reciprocal" if k_reciprocal else "ecn" if ecn else None


def rank(movies: list[MovieFeatures], settings: Settings, together: str | None) -> dict[str, list[str]]:
    """Rank movie by movie, or all as one gallery of that name."""
    if together is not None:
        split = across(movies, together)
        return fuse(split, settings, lambda casts: cli.progress(casts, total=len(split.cast), unit="cast"))
    ranking: dict[str, list[str]] = {}
    for movie in cli.progress(movies, total=len(movies), unit="movie"):
        ranking.update(fuse(movie, settings))
    return ranking


def main() -> None:
    """Run the stage."""
    args = parse_args()
    warnings.simplefilter("default", RankingWarning)  # whatever PYTHONWARNINGS says
    warnings.showwarning = lambda message, *_, **__: cli.warn(str(message))  # type: ignore[assignment]
    settings = Settings(
        thresholds=args.thres,
        face_rerank=rerank_name(args.face_rerank, args.face_rerank_ecn),  # type: ignore[arg-type]
        body_rerank=rerank_name(args.body_rerank, args.body_rerank_ecn),  # type: ignore[arg-type]
        memory=None if args.memory is None else int(args.memory * 2**30),
    )
    result = check_output(args.submission or cli.ROOT / f"{args.mode}_result.txt")
    split = read_split(args.data, args.mode, args.body_only)
    ranked = [movie for movie in split.values() if args.across or (movie.cast and movie.candidates)]
    if not any(movie.cast for movie in ranked) or not any(movie.candidates for movie in ranked):
        raise RankingError(
            f"{args.data}: no movie of {args.mode} has both a cast and candidates, so that there is nothing to rank; "
            "mend its annotations, or what crop_body.py went on without"
        )
    labels = cli.fitting_labels(args.gt, args.data / f"{args.mode}_label.json", ranked, "the ranking is not scored")
    if not args.body_only:
        metadata = stagefiles.read_metadata(args.data / stagefiles.retina_name(args.mode))
        cli.report("portraits in doubt", doubts_of_split(split, metadata))
    movies = read_movies(args.data, args.mode, args.reid, args.body_only, split)
    try:
        ranking = rank(movies, settings, f"all movies of {args.mode}" if args.across else None)
    except TooLittleMemory as error:
        raise RankingError(f"{error}: --memory {error.gigabytes:.1f}") from None
    write_ranking(result, ranking)
    print(f"{len(ranking)} casts ranked: {result}")
    if labels is not None:
        cli.report_evaluation(evaluate(labels, ranking))


if __name__ == "__main__":
    cli.run(main)
