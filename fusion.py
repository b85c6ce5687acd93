#!/usr/bin/env python3
"""Stage 4: rank every candidate for every cast.

Reads retina_{mode}.pkl, face_{mode}.pkl and the body features from the data folder, writes {mode}_result.txt, a line a
cast: "castid id,id,..." best first, and beside it {mode}_result.json, what each place rests on. Prints the metrics
where there are labels, and with --recipe best who is probably in no box.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import scipy

from castsearch import __version__, stagefiles
from castsearch.annotations import person_ids, read_ranking
from castsearch.decisions import DecisionError, Decisions, Verdicts, as_json, fitting, read_decisions
from castsearch.faces.doubts import doubts_of_split
from castsearch.journal import timed
from castsearch.metrics import evaluate
from castsearch.ranking import (
    Impostors,
    MovieFeatures,
    Ranked,
    RankingError,
    RankingWarning,
    Settings,
    TooLittleMemory,
    across,
    decide,
    rank,
    ranked_from,
    read_movies,
    read_split,
)
from castsearch.ranking.propagation import THRESHOLDS
from castsearch.ranking.settings import Recipe
from castsearch.results import (
    IN_A_BOX,
    Places,
    check_result,
    is_current,
    json_beside,
    read_result,
    write_result,
)
from castsearch.stagefiles import Split
from scripts import cli, scoring

MOST_GB = 1_000_000
VERSIONS = {"castsearch": __version__, "numpy": np.__version__, "scipy": scipy.__version__}


def parse_args() -> argparse.Namespace:
    """Read the flags."""
    parser = cli.parser(__doc__)
    cli.add_mode(parser)
    cli.add_data(parser, "--root")
    parser.add_argument(
        "--recipe",
        choices=get_args(Recipe),
        default="original",
        help="best gives each box a probability, too, and has none of the flags of re-ranking",
    )
    parser.add_argument(
        "--no_time", action="store_true", help="the order of the shots tells nothing, as of stills (--recipe best)"
    )
    parser.add_argument(
        "--impostors",
        type=float,
        nargs=2,
        metavar=("MEAN", "SD"),
        help="cosines of different people's faces (--recipe best); by default known for dlib and MobileFaceNet, and "
        "estimated from the movie for others",
    )
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
    cli.add_reid(parser)
    parser.add_argument("--body_only", action="store_true", help="rank on bodies alone (extracted with --with_cast)")
    parser.add_argument("--across", action="store_true", help="look for each cast in all movies of the split")
    parser.add_argument(
        "--decisions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="decisions.json, or several, saved by the gallery: confirmed boxes are certain and serve as portraits, "
        "rejected ones never come back (--recipe best)",
    )
    parser.add_argument("--gt", type=Path, metavar="FILE", help="labels; by default {mode}_label.json where it exists")
    parser.add_argument(
        "--submission",
        type=Path,
        metavar="FILE",
        help="the result, and FILE.json beside it; by default {mode}_result.txt in the project's root",
    )
    parser.add_argument(
        "--memory", type=float, metavar="GB", help="memory to rank with; by default a quarter of what is free"
    )
    cli.add_overwrite(parser)
    args = parser.parse_args()
    check_recipe(parser, args)
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
    if args.submission is not None and args.submission.absolute() in (path.absolute() for path in args.decisions or ()):
        parser.error("--decisions and --submission name the same file; the result would take the decisions' place")
    return args


def check_recipe(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End where a flag is not of the recipe."""
    if args.recipe == "original":
        best = (("--no_time", args.no_time), ("--impostors", args.impostors), ("--decisions", args.decisions))
        for flag, given in best:
            if given:
                parser.error(f"{flag} is a flag of --recipe best")
        return
    rerank = ("face_rerank", "face_rerank_ecn", "body_rerank", "body_rerank_ecn")
    given = ["--thres"] * (args.thres != list(THRESHOLDS))
    given += [f"--{name}" for name in (*rerank, "body_only") if getattr(args, name)]
    if given:
        parser.error(f"--recipe best has no {given[0]}: leave it out, or take --recipe original")
    if args.impostors is not None:
        try:
            Impostors(*args.impostors)
        except RankingError as error:
            parser.error(f"--impostors: {error}")


def rerank_name(k_reciprocal: bool, ecn: bool) -> str | None:
    """The name that a pair of flags stands for."""
    return "k_reciprocal" if k_reciprocal else "ecn" if ecn else None


def settings_of(args: argparse.Namespace) -> Settings:
    """How to rank."""
    return Settings(
        recipe=args.recipe,
        thresholds=args.thres,
        face_rerank=rerank_name(args.face_rerank, args.face_rerank_ecn),  # type: ignore[arg-type]
        body_rerank=rerank_name(args.body_rerank, args.body_rerank_ecn),  # type: ignore[arg-type]
        memory=None if args.memory is None else int(args.memory * 2**30),
    )


def told_settings(
    args: argparse.Namespace, settings: Settings, impostors: Impostors | None, decisions: Decisions
) -> dict[str, Any]:
    """What the result tells of how it was ranked."""
    told: dict[str, Any] = {"reid": args.reid, "across": args.across}
    if args.recipe == "best":
        told |= {"time": not args.no_time, "impostors": impostors and [impostors.mean, impostors.sd]}
        return {**told, "decisions": as_json(decisions)} if decisions else told
    told |= {"thresholds": settings.thresholds, "body_only": args.body_only}
    return {**told, "face_rerank": settings.face_rerank, "body_rerank": settings.body_rerank}


def with_flags(movie: MovieFeatures, args: argparse.Namespace) -> MovieFeatures:
    """A movie as the flags of the recipe want it."""
    if args.no_time:
        movie = replace(movie, shots=None)
    if args.impostors is not None:
        movie = replace(movie, impostors=Impostors(*args.impostors))
    return movie


def fitting_decisions(decisions: Decisions, split: Split, together: bool) -> dict[str, Verdicts]:
    """What of decisions is about this split, by person; a warning names the rest, which stays in the files.

    Args:
        decisions: all of them.
        split: its pictures.
        together: whether people are looked for in all movies.
    """
    files = {picture.id: picture.file for movie in split.values() for picture in movie.candidates}
    homes = {picture.id: name for name, movie in split.items() for picture in movie.pictures}
    fit, strange = fitting(decisions, person_ids(split.values()), files, None if together else homes)
    if strange:
        cli.warn(f"decisions on what is not in this split are left out: {cli.first_few(strange)}")
    if decisions.named:
        names = [name for named in decisions.named.values() for name in named]
        cli.warn(f"names of groups are for scripts/find_cast.py, and left out: {cli.first_few(names)}")
    return fit


def blind_movies(faces: Mapping[str, Collection[bool]], args: argparse.Namespace) -> list[str]:
    """Movies of whose people nobody can tell who is in them, which is warned of: no candidate shows a face.

    Args:
        faces: of each movie, whether each candidate shows one.
        args: the recipe, and whether people are looked for in all movies.
    """
    blind = [movie for movie, shown in faces.items() if len(shown) and not any(shown)]
    if args.recipe != "best" or (args.across and any(any(shown) for shown in faces.values())):
        return []
    if blind:
        cli.warn(f"no candidate shows a face, so that nobody can tell who is absent, in {cli.first_few(blind)}")
    return blind


def ranked_people(
    movies: Sequence[MovieFeatures], settings: Settings, together: str | None, verdicts: Mapping[str, Verdicts]
) -> Iterator[tuple[str, Places]]:
    """Rank movie by movie, or all as one gallery of that name: person after person."""
    if together is not None:
        split = _decided(across(movies, together), verdicts)
        people = rank(split, settings, lambda people: cli.progress(people, total=len(split.people), unit="cast"))
        yield from ((person, places(split, ranked)) for person, ranked in people)
        return
    for movie in cli.progress(movies, total=len(movies), unit="movie"):
        movie = _decided(movie, verdicts)
        with timed(movie.name, casts=len(movie.people), boxes=len(movie.candidates)):
            yield from ((person, places(movie, ranked)) for person, ranked in rank(movie, settings))


def _decided(movie: MovieFeatures, verdicts: Mapping[str, Verdicts]) -> MovieFeatures:
    return decide(movie, verdicts) if verdicts else movie


def places(movie: MovieFeatures, ranked: Ranked) -> Places:
    """A ranking with ids in place of indices."""
    ids = [movie.candidates[index] for index in ranked.order.tolist()]
    return Places(ids, ranked.score, ranked.found_by.tolist(), ranked.probability, ranked.evidence)


def rank_into(
    result: Path,
    made: str,
    movies: Sequence[MovieFeatures],
    args: argparse.Namespace,
    settings: Settings,
    decisions: Decisions,
    verdicts: Mapping[str, Verdicts],
    scored: bool,
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Rank and write, person by person: a split's places are millions.

    Returns:
        The candidates of each person, empty unless they are to be scored; and who is probably in no box.
    """
    ranking: dict[str, Sequence[str]] = {}
    absent: list[str] = []
    blind = blind_movies({movie.name: movie.has_face[len(movie.cast) :] for movie in movies}, args)
    of = {person: (movie.name, own) for movie in movies for person, own in movie.portraits.items()}
    with write_result(
        result,
        mode=args.mode,
        recipe=settings.recipe,
        settings=told_settings(args, settings, movies[0].impostors, decisions),
        versions=VERSIONS,
        made=made,
    ) as writer:
        together = f"all movies of {args.mode}" if args.across else None
        for person, found in ranked_people(movies, settings, together, verdicts):
            movie, own = of[person]
            writer.add(movie, own, found)
            ranking[person] = found.ids if scored else ()
            absent += [person] * (found.absent and movie not in blind)
    return ranking, absent


def ranked_before(
    result: Path, split: Split, args: argparse.Namespace
) -> tuple[Mapping[str, Sequence[str]], list[str]]:
    """What ``rank_into`` returned when it ranked the same."""
    if args.recipe != "best":
        return read_ranking(result), []
    faces = {name: [one.faces is not None for one in movie.candidates] for name, movie in split.items()}
    blind = blind_movies(faces, args)
    people = [
        (person, found.places, movie in blind)
        for movie, members in read_result(json_beside(result)).movies.items()
        for person, found in members.items()
    ]
    absent = [person for person, found, unseen in people if found.absent and not unseen]
    return {person: found.ids for person, found, _ in people}, absent


def main() -> None:
    """Run the stage."""
    args = parse_args()
    warnings.simplefilter("default", RankingWarning)  # whatever PYTHONWARNINGS says
    warnings.showwarning = lambda message, *_, **__: cli.warn(str(message))  # type: ignore[assignment]
    settings = settings_of(args)
    result = check_result(args.submission or cli.ROOT / f"{args.mode}_result.txt", args.data)
    decisions = read_decisions(args.decisions or ())
    split = read_split(args.data, args.mode, args.body_only)
    ranked = [movie for movie in split.values() if args.across or (movie.cast and movie.candidates)]
    if not any(movie.cast for movie in ranked) or not any(movie.candidates for movie in ranked):
        raise RankingError(
            f"{args.data}: no movie of {args.mode} has both a cast and candidates, so that there is nothing to rank; "
            "mend its annotations, or what crop_body.py went on without"
        )
    labels = scoring.fitting_labels(args.gt, args.data / f"{args.mode}_label.json", ranked, "the ranking is not scored")
    try:
        verdicts = fitting_decisions(decisions, split, args.across)
    except DecisionError as error:
        raise DecisionError(f"{' and '.join(map(str, args.decisions))}: {error}") from None
    if not args.body_only:
        metadata = stagefiles.read_metadata(args.data / stagefiles.retina_name(args.mode))
        cli.report("portraits in doubt", doubts_of_split(split, metadata))
    told = told_settings(args, settings, args.impostors and Impostors(*args.impostors), decisions)
    how = {**told, "recipe": args.recipe, "versions": VERSIONS}
    made = ranked_from(args.data, args.mode, args.reid, args.body_only, how)
    with cli.alone(result, json_beside(result)):
        if made and not args.overwrite and is_current(result, made):
            stagefiles.say_current(result)
            ranking, absent = ranked_before(result, split, args)
        else:
            movies = [with_flags(m, args) for m in read_movies(args.data, args.mode, args.reid, args.body_only, split)]
            try:
                ranking, absent = rank_into(
                    result, made, movies, args, settings, decisions, verdicts, labels is not None
                )
            except TooLittleMemory as error:
                raise RankingError(f"{error}: --memory {error.gigabytes:.1f}") from None
    cli.done(
        f"{len(ranking)} casts ranked: {result}", result, json_beside(result), movies=len(ranked), casts=len(ranking)
    )
    if labels is not None:
        scoring.report_evaluation(evaluate(labels, ranking))
    if absent:
        print(
            f"{len(absent)} of {len(ranking)} casts {'is' if len(absent) == 1 else 'are'} probably absent "
            f"(no box above {IN_A_BOX}): "
            f"{cli.first_few(absent)}"
        )


if __name__ == "__main__":
    cli.run(main)
