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

from castsearch.decisions import DecisionError, Decisions, read_decisions
from castsearch.gallery.site.films import FilmGallery, overview_of
from castsearch.gallery.site.making import make_gallery
from castsearch.gallery.site.pictures import check_gallery
from castsearch.gallery.strip import N_SHOWN, Shown, Verdict, strip
from castsearch.images import read_image, write_jpeg
from castsearch.movies.annotated import annotated, file_names, highlights
from castsearch.movies.correcting import correct
from castsearch.movies.decided import Told, check_names
from castsearch.movies.finding import MODE, Found, Scanned, name_people
from castsearch.movies.formats import write_formats
from castsearch.movies.layout import frames_folder
from castsearch.movies.looks import best_boxes, cut, write_unknown
from castsearch.movies.portraits import Cast
from castsearch.movies.timeline import write_timeline
from castsearch.stagefiles import check_output
from scripts import cli, films


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
    assert models.faces is not None
    gallery = check_gallery(args.out / "gallery")
    print(f"looking for {cli.first_few([person.name for person in cast.people])}")
    scans = [*films.looked_through(footage, models, cast.people, args)]
    if not scans:
        films.check_all(0, footage)
    with named_files(args.decisions):
        told = corrected(scans, cast, decisions, args.out)
    found = [name_people(one, cast, models.faces, args.cluster, known) for one, known in zip(scans, told, strict=True)]
    for path in write_formats([each.cast for each in found], args.out):
        print(path)
    unknown = {each.scanned.movie: draw(each, args) for each in found}
    for each in found:
        tell(each)
    pages = FilmGallery(found, args.out, unknown)
    made = make_gallery(gallery, overview_of(found, decisions), partial(pages.movies, progress=cli.progress))
    cli.report("the gallery cannot show", list(made.bad.values()))
    print(made.index)
    films.check_all(len(found), footage)


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
    print(args.out / f"{movie}.svg", args.out / f"{movie}.png", args.out / "strips" / movie, sep="\n")
    footage = found.scanned.footage
    if args.annotated is not None:
        missing += annotated(footage, cast, found.nobody, args.annotated, cli.progress)
        print(args.annotated)
    if args.highlights:
        for path in highlights(footage, cast, args.out / "highlights" / movie, cli.progress):
            print(path)
    if missing:
        letters = "".join(dict.fromkeys(missing))
        cli.warn(f"no font here has the letters {letters}; install one that does, as those called Noto")
    return unknown


def tell(found: Found) -> None:
    """Print who is in the film for how long, and who is not."""
    cast, tracks = found.cast, len(found.scanned.scan.tracks)
    print(f"{cast.film.name}: {cast.film.duration:.1f} s, {len(cast.film.shots)} shots, {tracks} tracks")
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
