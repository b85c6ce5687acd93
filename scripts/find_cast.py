#!/usr/bin/env python3
"""Who appears when in a film, by a few portraits.

    find_cast.py --video FILM.mp4 --portraits PORTRAITS --out WORK

PORTRAITS holds a picture a person (Joey.jpg), or a folder a person with several (Joey/1.jpg). WORK receives
appearances.csv and .json, the same for subtitles, editing and annotation programs, a timeline, strips of each person's
best pictures, a gallery of everybody's boxes, and the film in the challenge's layout. Stopped and started again, the
search goes on.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.decisions import DecisionError, Decisions, as_json, read_decisions
from castsearch.gallery.site.films import FilmGallery, overview_of
from castsearch.gallery.site.making import make_gallery
from castsearch.gallery.site.pictures import check_gallery
from castsearch.gallery.strip import N_SHOWN, Shown, Verdict, strip
from castsearch.images import read_image, write_jpeg
from castsearch.movies.annotated import annotated, file_names, highlights
from castsearch.movies.appearances import FilmCast
from castsearch.movies.correcting import correct
from castsearch.movies.decided import Told, check_names
from castsearch.movies.finding import MODE, Found, Scanned, depends, name_people
from castsearch.movies.footage import Footage
from castsearch.movies.formats import read_appearances, write_formats
from castsearch.movies.layout import frames_folder
from castsearch.movies.looks import best_boxes, cut, write_unknown
from castsearch.movies.models import Models
from castsearch.movies.portraits import Cast
from castsearch.movies.timeline import write_timeline
from castsearch.stagefiles import check_output, is_recorded, made_from, say_current, write_record
from scripts import cli, films

RECORD = ".search.json"  # in the folder of the results: what they were made from


def main() -> None:
    parser = cli.parser(__doc__)
    films.add_flags(parser, portraits=True)
    add = parser.add_argument
    add("--cluster", action="store_true", help="put the people whom nobody looks for together: unknown-1, ...")
    add(
        "--decisions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="decisions.json, or several, saved by the gallery: confirmed boxes are certain, rejected ones never come "
        "back, groups that were given a name are people",
    )
    add("--annotated", type=Path, metavar="FILE.mp4", help="receives the film with boxes and names drawn")
    add("--highlights", action="store_true", help="cut one video a person")
    args = parser.parse_args()
    if args.annotated is not None:
        if args.annotated.suffix.lower() != ".mp4" or len(args.video) > 1:
            parser.error("--annotated names one .mp4, for one film")
        video = args.video[0]
        if args.annotated.exists() and video.exists() and args.annotated.samefile(video):
            parser.error("--annotated names the film itself, which it would replace; name another file")
        check_output(args.annotated)

    decisions = read_decisions(args.decisions or ())
    with named_files(args.decisions):
        check_names(decisions)
    footage, models, cast = films.opened(args)
    with films.alone(args.out):
        search(args, footage, models, cast, decisions)


def search(
    args: argparse.Namespace, footage: Sequence[Footage], models: Models, cast: Cast, decisions: Decisions
) -> None:
    """Look through films, name their people and write all of it; unless that was done, and nothing has changed."""
    assert models.faces is not None
    gallery = check_gallery(args.out / "gallery")
    cli.say(f"looking for {cli.first_few([person.name for person in cast.people])}")
    made = made_of(args, footage, models, cast, decisions)
    if not args.overwrite and is_recorded(args.out / RECORD, made):
        say_current(args.out)
        for earlier in read_appearances(args.out / "appearances.json"):
            tell(earlier)
        cli.done(str(gallery / "index.html"), films=len(footage))
        return
    scans = [*films.looked_through(footage, models, cast.people, args)]
    if not scans:
        films.check_all(0, footage)
    with named_files(args.decisions):
        told = corrected(scans, cast, decisions, args.out)
    found = [name_people(one, cast, models.faces, args.cluster, known) for one, known in zip(scans, told, strict=True)]
    files = write_formats([each.cast for each in found], args.out)
    for path in files:
        cli.say(str(path))
    unknown = {each.scanned.movie: draw(each, args) for each in found}
    for each in found:
        tell(each.cast, f", {len(each.scanned.scan.tracks)} tracks")
    pages = FilmGallery(found, args.out, unknown)
    pages_made = make_gallery(gallery, overview_of(found, decisions), partial(pages.movies, progress=cli.progress))
    cli.report("the gallery cannot show", list(pages_made.bad.values()))
    cli.done(str(pages_made.index), *files, films=len(found))
    films.check_all(len(found), footage)
    write_record(args.out / RECORD, made, [*written(args)])


def made_of(
    args: argparse.Namespace, footage: Sequence[Footage], models: Models, cast: Cast, decisions: Decisions
) -> str:
    """Stands for all that the results depend on."""
    portraits = [file for person in cast.people for file in person.files]
    settings = {
        "films": [depends(film, models, args.shots) for film in footage],
        "people": [[person.name, person.id, len(person.files)] for person in cast.people],
        "decisions": as_json(decisions),
        "flags": [args.cluster, args.highlights, args.annotated and str(args.annotated.resolve())],
    }
    return made_from(portraits, settings)


def written(args: argparse.Namespace) -> Iterator[Path]:
    """All that was written."""
    if args.annotated is not None:
        yield args.annotated
    for path in sorted(args.out.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".jsonl" and not cli.is_log(path):
            yield path
        elif path.name in films.WRITTEN:
            yield from (file for file in sorted(path.rglob("*")) if file.is_file())


@contextmanager
def named_files(files: Sequence[Path] | None) -> Iterator[None]:
    """What is wrong with decisions is told with the files that hold them."""
    try:
        yield
    except DecisionError as error:
        raise DecisionError(f"{' and '.join(map(str, files or ()))}: {error}") from None


def corrected(scans: Sequence[Scanned], cast: Cast, decisions: Decisions, out: Path) -> Sequence[Told | None]:
    """What decisions tell of the films; a warning names what is not in them, which stays in the files."""
    told, strange = correct(scans, cast, decisions, out)
    if strange:
        cli.warn(f"decisions on what is not in these films are left out: {cli.first_few(strange)}")
    return told


def draw(found: Found, args: argparse.Namespace) -> dict[str, Path]:
    """Write what is to be looked at, but for the gallery; the portraits of unknown people, by name."""
    movie, cast = found.scanned.movie, found.cast
    split = args.out / "origin" / MODE
    portraits_of = write_unknown(found, frames_folder(args.out, MODE, movie), args.out / "unknown" / movie)
    unknown = {path.stem: path for path in portraits_of}
    faces = {person.name: person.files[0] for person in found.people} | unknown
    missing = write_timeline(cast, args.out / f"{movie}.svg") + write_timeline(cast, args.out / f"{movie}.png")
    files = file_names(cast.people)
    for name in cast.people:
        boxes = best_boxes(cast, name, N_SHOWN)
        shown = [Shown(cut(split, box), f"{box.seconds:.1f} s, {box.found_by}", Verdict.UNKNOWN) for box in boxes]
        if shown:
            sheet = strip(read_image(faces[name]), name, shown)
            write_jpeg(args.out / "strips" / movie / f"{files[name]}.jpg", sheet.image, 92)
            missing += sheet.missing
    for path in (args.out / f"{movie}.svg", args.out / f"{movie}.png", args.out / "strips" / movie):
        cli.say(str(path))
    footage = found.scanned.footage
    if args.annotated is not None:
        missing += annotated(footage, cast, found.nobody, args.annotated, cli.progress)
        cli.say(str(args.annotated))
    if args.highlights:
        for path in highlights(footage, cast, args.out / "highlights" / movie, cli.progress):
            cli.say(str(path))
    if missing:
        letters = "".join(dict.fromkeys(missing))
        cli.warn(f"no font here has the letters {letters}; install one that does, as those called Noto")
    return unknown


def tell(cast: FilmCast, more: str = "") -> None:
    """Print who is in a film for how long, and who is not; ``more``: what else to say of the film."""
    print(f"{cast.film.name}: {cast.film.duration:.1f} s, {len(cast.film.shots)} shots{more}")
    for name in cast.people:
        if name in cast.absent:
            print(f"  {name}: probably not in it ({cast.presence[name]:.0%})")
            continue
        own = [one.stretch for one in cast.appearances if one.cast == name]
        if not own:
            print(f"  {name}: probably in it ({cast.presence[name]:.0%}), but nowhere more probably than somebody else")
            continue
        many = f"{len(own)} appearance{'s' * (len(own) != 1)}"
        print(f"  {name}: {sum(one.duration for one in own):.1f} s in {many}, first at {min(own).start:.1f} s")


if __name__ == "__main__":
    cli.run(main)
