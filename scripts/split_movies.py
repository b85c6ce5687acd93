#!/usr/bin/env python3
"""Make a split of its own of each movie of a split, so that several machines can work on it.

Reads {annotations}/{mode}.json; writes OUT/movies/MOVIE/{mode}.json for each movie, and OUT/{mode}_movies.json, which
tells their names, folders and sizes, and a digest of the annotations of each. Names of movies that are more than
letters, digits, dots, dashes and underscores become such words. scripts/Snakefile calls it.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.annotations import AnnotationError, read_annotations
from castsearch.stagefiles import atomic_write, check_folder, remove_leftovers
from castsearch.stagefiles.joining import movie_keys
from castsearch.textfiles import read_json
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--annotations", type=Path, required=True, metavar="DIR", help="folder of {mode}.json")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="receives the movies")
    where.add_argument("--list", action="store_true", help="print what {mode}_movies.json would hold, write nothing")
    cli.add_mode(parser)
    args = parser.parse_args()

    path = args.annotations / f"{args.mode}.json"
    movies, content = read_annotations(path), read_json(path, AnnotationError)
    keys = movie_keys(movies)
    parts = {name: json.dumps({name: content[name]}, ensure_ascii=False).encode() for name in movies}
    table = [
        {
            "movie": name,
            "folder": keys[name],
            "cast": len(movie.cast),
            "candidates": len(movie.candidates),
            "annotations": hashlib.blake2b(parts[name], digest_size=16).hexdigest(),
        }
        for name, movie in movies.items()
    ]
    if args.list:
        print(json.dumps(table))
        return
    check_folder(args.out)
    whole = args.out / f"{args.mode}_movies.json"
    with cli.alone(whole):
        for name, key in keys.items():
            write(args.out / "movies" / key / f"{args.mode}.json", parts[name])
        write(whole, json.dumps(table, ensure_ascii=False).encode())
    print(f"{len(keys)} movies -> {args.out / 'movies'}")


def write(path: Path, content: bytes) -> None:
    """Write a file, which nobody else may be writing."""
    remove_leftovers(path)
    with atomic_write(path, sync=False) as file:
        file.write(content)


if __name__ == "__main__":
    cli.run(main)
