"""What the scripts that look through films share: flags, what is opened, what is told."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import get_args

from castsearch.archive import Archive
from castsearch.archive.people import joined, known_people
from castsearch.archive.store import PEOPLE
from castsearch.journal import detail
from castsearch.movies.errors import MovieError, MovieWarning
from castsearch.movies.finding import Scanned, look_through
from castsearch.movies.footage import Footage
from castsearch.movies.layout import movie_name
from castsearch.movies.models import Models, open_models
from castsearch.movies.opening import open_footage
from castsearch.movies.persons import SSDLITE
from castsearch.movies.portraits import Cast, Person, read_portraits
from castsearch.movies.shots import DetectorName
from castsearch.paths import folded
from castsearch.stagefiles import check_folder, remove_leftovers, sweep
from scripts import cli

DETECTORS = get_args(DetectorName)
SLOWEST = Fraction(1, 3600)  # pictures a second; each second of a film is gone through
WRITTEN = ("checkpoints", "gallery", "highlights", "named", "origin", "strips", "unknown")  # folders of --out


def add_flags(parser: argparse.ArgumentParser, portraits: bool) -> None:
    """Add the common flags; ``portraits``: they are required."""
    add = parser.add_argument
    add(
        "--video",
        type=Path,
        required=True,
        nargs="+",
        metavar="FILE",
        help="the film, or several; a folder of pictures is one, too",
    )
    whom = parser.add_argument_group("whom to look for", "one of both, or both").add_argument
    whom("--portraits", type=Path, metavar="DIR", help="a picture a person, or a folder a person")
    whom("--library", type=Path, metavar="DIR", help="the people named in this archive of films, see library.py")
    parser.set_defaults(whom_required=portraits)
    add("--out", type=Path, required=True, metavar="DIR", help="receives everything")
    add("--model", metavar="PACK", help="face pack, as of the stages; by default the best that is here")
    add("--bodies", type=Path, metavar="FILE.onnx", help="body model; by default what needs no download")
    add("--persons", default=SSDLITE, metavar="NAME", help="detector of persons: this one, or one of torchvision's")
    add("--shots", choices=DETECTORS, default=DETECTORS[0], help="detector of shots")
    add(
        "--rate",
        type=_rate,
        metavar="N",
        help="pictures a second (25, 30000/1001) of a folder of a film's pictures; without it they are stills",
    )
    cli.add_gpu(parser)
    cli.add_overwrite(parser)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not SLOWEST <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text}: expected pictures a second, as 25 or 30000/1001, at least 1/3600")
    return rate


def opened(args: argparse.Namespace) -> tuple[list[Footage], Models, Cast]:
    """Open all that the flags name, and say what it is."""
    if args.whom_required and args.portraits is None and args.library is None:
        raise MovieError("nobody is looked for; name a folder by --portraits, or an archive by --library")
    warnings.simplefilter("always", MovieWarning)
    warnings.showwarning = lambda message, *_, **__: cli.warn(str(message))  # type: ignore[assignment]
    check_folder(args.out)
    _check_places(args)
    footage = [open_footage(video, args.rate) for video in args.video]
    _check_names(footage)
    known = None if args.library is None else Archive.open(args.library)
    # By the same pack, so that the film can be added to the archive.
    models = open_models(args.model or (known and known.embedder.pack), args.bodies, args.persons, args.gpu)
    assert models.faces is not None
    cli.announce(models.faces)
    cli.say(f"persons by {models.persons.name}; {models.persons.licence}")
    cast = Cast(()) if args.portraits is None else read_portraits(args.portraits, models.faces)
    if known is not None:
        cast = joined(cast, known_people(known.folder, models.faces))
    return footage, models, cast


def _check_places(args: argparse.Namespace) -> None:
    """See that what is written is not read the next time, nor what is read replaced.

    Raises:
        MovieError: the results would lie among pictures, or portraits among the results.
    """
    out = args.out.resolve()
    if any(video.is_dir() and video.resolve() == out for video in args.video):
        raise MovieError(f"{args.out}: --out is the folder of the film's pictures; name another folder, or one in it")
    for given in (args.portraits, args.library and args.library / PEOPLE):
        if given is None:
            continue
        portraits = given.resolve()
        if portraits == out or portraits in out.parents:
            raise MovieError(
                f"{args.out}: --out lies among the portraits, and would be taken for some; name another folder"
            )
        if any(portraits.is_relative_to(out / folder) for folder in WRITTEN):
            raise MovieError(f"{given}: what lies there is written anew; copy the portraits to another folder")


def _check_names(footage: Sequence[Footage]) -> None:
    """See that no film's results would take the place of another's."""
    named: dict[str, Footage] = {}
    for film in footage:
        first = named.setdefault(folded(movie_name(film.name)), film)
        if first is not film:
            raise MovieError(
                f"{film.path}: its results would have the names of those of {first.path}; rename one of the films, or "
                "look through it by itself into another folder"
            )


def looked_through(
    footage: Sequence[Footage], models: Models, people: Sequence[Person], args: argparse.Namespace
) -> Iterator[Scanned]:
    """Look through one film after the other, and say what of each could not be decoded.

    Of several films, those that cannot be used are told of and left out; ``check_all`` ends the run with an error then.

    Raises:
        MovieError: the only film cannot be used.
    """
    for film in footage:
        cli.say(f"{film.path}: shots, then people")
        begun = time.perf_counter()
        try:
            scanned = look_through(
                film, models, args.out, people, args.shots, progress=cli.progress, overwrite=args.overwrite
            )
        except MovieError as error:
            if len(footage) == 1:
                raise
            cli.warn(str(error))
            continue
        for damage in scanned.survey.damage:
            stretch = f"{damage.stretch.start:.1f} to {damage.stretch.end:.1f} s"
            cli.warn(f"{film.path}: {stretch} cannot be decoded: {damage.why}")
        counts = {"shots": len(scanned.survey.shots), "tracks": len(scanned.scan.tracks)}
        seconds = round(time.perf_counter() - begun, 3)
        detail(f"{scanned.movie}: {seconds:.1f} s", movie=scanned.movie, counts=counts, seconds=seconds)
        yield scanned


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Let no other run write into the folder of the results meanwhile."""
    with cli.alone(out / "results"):
        yield
        for folder in WRITTEN:
            sweep(out / folder)
        remove_leftovers(*out.iterdir())


def check_all(used: int, footage: Sequence[Footage]) -> None:
    """End the run with an error where films were left out, once the results of the others are written.

    Raises:
        MovieError: only ``used`` of the films could be used.
    """
    if used < len(footage):
        rest = "; the results of the others are written" if used else ""
        raise MovieError(f"{len(footage) - used} of {len(footage)} films cannot be used, as told above{rest}")
