#!/usr/bin/env python3
"""Join what the stages made of a split's movies, one by one, into the files of the split.

Reads OUT/{mode}_movies.json and OUT/movies/MOVIE/, which split_movies.py and the stages wrote; writes {mode}_result.txt
and .json and, with --data, the stage files: the bytes of one run through all movies. scripts/Snakefile calls it.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.errors import CastSearchError
from castsearch.ranking.joining import join_results
from castsearch.results import check_result, json_beside
from castsearch.stagefiles import body_name, check_target, face_name, retina_name
from castsearch.stagefiles.joining import join_body, join_features, join_retina
from castsearch.textfiles import read_text
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the movies")
    parser.add_argument("--data", type=Path, metavar="DIR", help="receives the joined stage files; without it none are")
    parser.add_argument("--submission", type=Path, required=True, metavar="FILE", help="the joined result")
    cli.add_mode(parser)
    cli.add_reid(parser)
    args = parser.parse_args()

    movies = read_table(args.out / f"{args.mode}_movies.json")
    folders = {name: args.out / "movies" / folder for name, (folder, _) in movies.items()}
    check_result(args.submission, args.data or args.out)
    ranked = [name for name, (_, has_result) in movies.items() if has_result]
    parts = {name: folders[name] / f"{args.mode}_result.txt" for name in ranked}
    with cli.alone(args.submission, json_beside(args.submission)):
        if args.data is not None:
            join_data(folders, args.data, args.mode, args.reid)
        count = join_results(parts, args.submission, args.data)
    print(f"{len(ranked)} movies, {count} casts -> {args.submission}")


def read_table(path: Path) -> dict[str, tuple[str, bool]]:
    """What split_movies.py tells of the movies: each one's folder, and whether anybody is ranked in it."""
    text = read_text(path, CastSearchError, "scripts/split_movies.py writes it")
    try:
        return {
            entry["movie"]: (str(entry["folder"]), bool(entry["cast"] and entry["candidates"]))
            for entry in json.loads(text)
        }
    except (LookupError, TypeError, ValueError):
        raise CastSearchError(f"{path}: is damaged; run scripts/split_movies.py again") from None


def join_data(folders: dict[str, Path], data: Path, mode: str, reid: list[str]) -> None:
    """Write the stage files of all movies to a folder."""
    steps = [(body_name(mode), join_body), (retina_name(mode), join_retina), (face_name(mode), join_features)]
    steps += [(f"{name}_{mode}.pkl", join_features) for name in reid]
    for name, join in steps:
        target = check_target(data / name)
        with cli.alone(target):
            join({movie: folder / "data" / name for movie, folder in folders.items()}, target)
        print(target)


if __name__ == "__main__":
    cli.run(main)
