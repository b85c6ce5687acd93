#!/usr/bin/env python3
"""An archive of films: who is where in any of them, by a portrait.

    library.py add --work WORK [FILM...]                   films that find_cast.py or import_movie.py searched
    library.py add --data DIR --mode val [MOVIE...]        movies of a split whose faces were extracted
    library.py search --portrait FILE... [--top N] [--json FILE]
                                                           the tracks most like a person, best first
    library.py name NAME --portrait FILE...                a person who is looked for in later films
    library.py list
    library.py remove FILM... | --person NAME

--library DIR is the archive; it begins with the first film. find_cast.py --library DIR looks for the people who are
named in it.
"""

import argparse
import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.archive import Archive, ArchiveError, Embedder, Hit
from castsearch.archive.people import forget, name_person, named, portraits_of
from castsearch.archive.sources import Found, of_search, of_stages, searched_films
from castsearch.archive.store import ABOUT
from castsearch.faces import default_pack, open_pack
from castsearch.faces.packs import FacePack
from castsearch.movies.errors import MovieWarning
from castsearch.movies.portraits import read_person
from castsearch.stagefiles import MODES, atomic_write, check_folder, check_output
from scripts import cli

LIBRARY = cli.DATA / "library"
SHOWN = 20  # tracks


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--library", type=Path, default=LIBRARY, metavar="DIR", help="the archive")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_flags_of_add(command(commands, "add", add, "keep films; one that is there is replaced where it has changed"))
    add_flags_of_search(command(commands, "search", search, "who is where, by a portrait"))
    add_flags_of_name(command(commands, "name", name, "keep portraits of a person"))
    command(commands, "list", show, "films and people")
    add_flags_of_remove(command(commands, "remove", remove, "forget films, or a person"))
    args = parser.parse_args()
    warnings.simplefilter("always", MovieWarning)
    warnings.showwarning = lambda message, *_, **__: cli.warn(str(message))  # type: ignore[assignment]
    args.run(args, parser)


def command(commands: Any, word: str, run: Callable[..., None], what: str) -> argparse.ArgumentParser:
    """A command's own flags; those of the whole script may stand before or after its word."""
    made = commands.add_parser(word, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False)
    made.set_defaults(run=run)
    again = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    made.add_argument("--library", type=Path, **again)
    made.add_argument("--log_file", type=Path, **again)
    for flags in (("-v", "--verbose"), ("--quiet",)):
        made.add_argument(*flags, action="store_true", **again)
    return made


# ---------------------------------------------------------------------------- films


def add_flags_of_add(parser: argparse.ArgumentParser) -> None:
    """Flags of ``add``."""
    parser.add_argument("film", nargs="*", help="names of films; by default all that are there")
    parser.add_argument("--work", type=Path, metavar="DIR", help="what find_cast.py or import_movie.py wrote")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of stage files")
    parser.add_argument("--mode", choices=MODES, help="split of --data")
    parser.add_argument(
        "--model",
        metavar="PACK",
        help="face pack that embedded the faces; by default what files tell, or the best here",
    )


def add(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Keep films."""
    if (args.work is None) == (args.data is None):
        parser.error("add takes films of --work DIR, or of --data DIR and --mode")
    if (args.data is None) != (args.mode is None):
        parser.error("--data and --mode go together")
    if args.work is not None:
        found = of_search(args.work, args.film or searched_films(args.work))
    else:
        found = of_stages(args.data, args.mode, args.film)
    with alone(args.library):
        archive = Archive.open(args.library) if is_there(args.library) else None
        if archive is not None:
            archive.remove_leftovers()
        for each in found:
            if not len(each.film) and not args.film:
                cli.warn(f"film {each.film.name}: no face of it has features; left out")
                continue
            archive = archive or begun(args, each)
            archive.check_embedder(known(each.embedder, args.model), f"film {each.film.name}")
            told = archive.add(each.film)
            tell(f"{each.film.name}: {told}, {len(each.film)} faces")


def begun(args: argparse.Namespace, first: Found) -> Archive:
    """A new archive, of the pack that embedded its first film."""
    Archive.check_faces(first.film)
    embedder = known(first.embedder, args.model)
    pack = open_pack(args.model or first.embedder.pack or default_pack())
    mine = embedder_of(pack)
    if embedder.digests != mine.digests:
        raise ArchiveError(
            f"film {first.film.name}: another pack than {pack.name} embedded its faces; name that one by --model"
        )
    cli.say(f"{args.library}: a new archive, of faces as {pack.name} embeds them")
    return Archive.begin(args.library, mine)


def known(embedder: Embedder, model: str | None) -> Embedder:
    """What embedded faces; where files do not tell, as those of the original do not, the pack that the user names."""
    if embedder.digests:
        return embedder
    if model is None:
        raise ArchiveError("the face features: nothing beside them tells what embedded them; name the pack by --model")
    return embedder_of(open_pack(model))


def embedder_of(pack: FacePack) -> Embedder:
    """What a pack embeds with; of a folder, its place whatever folder is the current one."""
    place = str(Path(pack.name).resolve()) if Path(pack.name).is_dir() else pack.name
    return Embedder.told(place, pack.identity("embedder"))


def show(args: argparse.Namespace, _: argparse.ArgumentParser) -> None:
    """List films and people."""
    archive = Archive.open(args.library)
    films, people = list(archive.films()), named(args.library)
    total = sum(film.shape[0] for film in films)
    tell(f"{args.library}: {len(films)} films, {total} faces as {archive.embedder.pack} embeds them")
    for film in films:
        added = time.strftime("%Y-%m-%d %H:%M", time.localtime(film.path.stat().st_mtime))
        tell(f"  {film.name}: {film.shape[0]} faces, added {added} from {film.source}")
    if people:
        print(f"{len(people)} people")
    for person, portraits in people.items():
        tell(f"  {person}: {len(portraits)} portrait{'s' * (len(portraits) != 1)}")


def add_flags_of_remove(parser: argparse.ArgumentParser) -> None:
    """Flags of ``remove``."""
    parser.add_argument("film", nargs="*", help="names of films")
    parser.add_argument("--person", metavar="NAME", help="a person, of whom all portraits go")


def remove(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Forget films or a person."""
    if not args.film and args.person is None:
        parser.error("remove takes names of films, or --person NAME")
    archive = Archive.open(args.library)
    with alone(args.library):
        for film in args.film:
            archive.check_film(film)
        if args.person is not None:
            portraits_of(args.library, args.person)
        for film in dict.fromkeys(args.film):
            archive.remove(film)
            tell(f"{film}: removed")
        if args.person is not None:
            forget(args.library, args.person)
            tell(f"{args.person}: removed")


# ---------------------------------------------------------------------------- people


def add_flags_of_search(parser: argparse.ArgumentParser) -> None:
    """Flags of ``search``."""
    portraits = parser.add_mutually_exclusive_group(required=True)
    portraits.add_argument(
        "--portrait", type=Path, nargs="+", metavar="FILE", help="a portrait, or several of one person"
    )
    portraits.add_argument("--person", metavar="NAME", help="somebody who is named in the archive")
    parser.add_argument("--top", type=_count, default=SHOWN, metavar="N", help=f"how many tracks; {SHOWN} by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="receives the same as JSON")
    cli.add_gpu(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 100000")
    return int(text)


def search(args: argparse.Namespace, _: argparse.ArgumentParser) -> None:
    """Show where a person probably is."""
    archive = Archive.open(args.library)
    files = args.portrait if args.person is None else portraits_of(args.library, args.person)
    if args.json is not None:
        cli.check_replaceable(check_output(args.json), "[", "a list of tracks")
    archive.read_ahead()
    person = read_person("portrait", files, opened(archive, args.gpu))
    hits = archive.search(person.features, args.top)
    if args.json is not None:
        content = [asdict(hit) | {"portrait": str(person.files[hit.portrait])} for hit in hits]
        with atomic_write(args.json) as file:
            # Of a name that is no UTF-8 this leaves what JSON has for it.
            file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))
    print_hits(hits, person.files)
    if not hits:
        print(f"{args.library}: holds no film")


def opened(archive: Archive, gpu: int | None = None) -> FacePack:
    """The face pack of an archive."""
    pack = cli.announce(open_pack(archive.embedder.pack, gpu))
    archive.check_embedder(embedder_of(pack), f"face pack {pack.name}, as it is here now")
    return pack


def print_hits(hits: Sequence[Hit], files: Sequence[Path]) -> None:
    """A table, a line a track: its face that is most like a portrait."""
    width = max([4, *(len(hit.film) for hit in hits)])
    portrait = "  portrait" if len(files) > 1 else ""
    print(f"rank  similarity  {'film':{width}}  {'moment':>11}  {'frame':16}  x,y,width,height{portrait}")
    for rank, hit in enumerate(hits, start=1):
        x1, y1, x2, y2 = (round(side) for side in hit.box)
        box = f"{x1},{y1},{x2 - x1},{y2 - y1}"
        which = f"  {files[hit.portrait].name}" if portrait else ""
        tell(
            f"{rank:4}  {hit.similarity:10.3f}  {hit.film:{width}}  {moment(hit.seconds):>11}  {hit.frame or '-':16}  "
            f"{box:{16 if which else 0}}{which}"
        )


def moment(seconds: float | None) -> str:
    """Hours, minutes and seconds from the film's beginning."""
    if seconds is None:
        return "-"
    tenths = round(seconds * 10)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths % 600 / 10:04.1f}"


def add_flags_of_name(parser: argparse.ArgumentParser) -> None:
    """Flags of ``name``."""
    parser.add_argument("name", help="the person's name")
    parser.add_argument("--portrait", type=Path, nargs="+", required=True, metavar="FILE", help="one, or several")
    cli.add_gpu(parser)


def name(args: argparse.Namespace, _: argparse.ArgumentParser) -> None:
    """Keep portraits of a person."""
    pack = opened(Archive.open(args.library), args.gpu)
    with alone(args.library):
        kept = name_person(args.library, args.name, args.portrait, pack)
    for path in kept:
        tell(str(path))
    tell(f"{args.name}: {len(kept)} of {len(args.portrait)} portraits are new")


# ---------------------------------------------------------------------------- one run at a time


def tell(line: str) -> None:
    """Print a line; names and places in an archive may be a stranger's, and no terminal shall obey them."""
    print(re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", line))


def is_there(library: Path) -> bool:
    """Whether there is an archive, or something else that is in its place."""
    return (library / ABOUT).exists()


@contextmanager
def alone(library: Path) -> Iterator[None]:
    """Let no other run change the archive meanwhile; what tells so lies in it, for it may be all that is writable."""
    check_folder(library)
    with cli.alone(library / ABOUT):
        yield


if __name__ == "__main__":
    cli.run(main)
