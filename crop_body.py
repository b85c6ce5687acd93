#!/usr/bin/env python3
"""Stage 1: crop every person box of a split out of its frame, and copy the portraits.

Reads {data}/{mode}.json and ORIGIN/{mode}/; writes BODY/{mode}/ and {data}/body_{mode}.pkl.
"""

from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import read_annotations
from castsearch.crops import crop_split
from castsearch.images import JPEG_QUALITY, ImageError
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--origin", type=Path, required=True, help="folder of the frames, one below it for each split")
    parser.add_argument("--body", type=Path, required=True, help="folder that receives the crops")
    parser.add_argument(
        "--annotations", type=Path, metavar="DIR", help="folder of {mode}.json, by default that of --data"
    )
    parser.add_argument(
        "--quality", type=int, choices=range(1, 96), default=JPEG_QUALITY, metavar="1-95", help="of the JPEGs"
    )
    cli.add_mode(parser)
    cli.add_data(parser)
    cli.add_skip_bad(parser)
    args = parser.parse_args()

    movies = read_annotations((args.annotations or args.data) / f"{args.mode}.json")
    split, bad = crop_split(movies, args.origin / args.mode, args.body / args.mode, args.quality, cli.progress)
    if bad and not args.skip_bad:
        more = f" ({len(bad) - 1} more are bad; --skip_bad lists them all)" if len(bad) > 1 else ""
        raise ImageError(next(iter(bad.values())) + more)
    target = args.data / stagefiles.body_name(args.mode)
    stagefiles.write_body(target, split, {"body": str(args.body.resolve()), "quality": args.quality})
    n_casts = sum(len(movie.cast) for movie in split.values())
    n_candidates = sum(len(movie.candidates) for movie in split.values())
    print(f"{len(split)} movies, {n_casts} portraits, {n_candidates} crops -> {target}")
    cli.report_bad(bad)


if __name__ == "__main__":
    cli.run(main)
