#!/usr/bin/env python3
"""Stage 1: crop every person box of a split out of its frame, and copy the portraits.

Reads {data}/{mode}.json and ORIGIN/{mode}/; writes BODY/{mode}/ and {data}/body_{mode}.pkl.
"""

from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import doubtful_labels, read_annotations
from castsearch.crops import Account, Cropping, absent_pictures, look_like_corners
from castsearch.images import JPEG_QUALITY, ImageError
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--origin", type=Path, required=True, help="folder of the frames, one below it for each split")
    parser.add_argument("--body", type=Path, required=True, help="folder that receives the crops")
    parser.add_argument(
        "--annotations", type=Path, metavar="DIR", help="folder of {mode}.json, by default that of --data"
    )
    parser.add_argument("--quality", type=int, default=JPEG_QUALITY, metavar="1-95", help="of the JPEGs")
    cli.add_mode(parser)
    cli.add_data(parser)
    cli.add_skip_bad(parser)
    cli.add_overwrite(parser)
    args = parser.parse_args()
    if not 1 <= args.quality <= 95:
        parser.error("--quality must be 1 to 95")

    origin = cli.split_folder(args.origin, args.mode, "--origin")
    movies = read_annotations((args.annotations or args.data) / f"{args.mode}.json")
    body = stagefiles.check_folder(args.body / args.mode)
    target = stagefiles.check_output(args.data / stagefiles.body_name(args.mode))
    if doubtful := doubtful_labels(movies.values()):
        cli.warn(f"{len(doubtful)} labels look mistyped, and stand for other persons; the first: {doubtful[0]}")
    if not args.skip_bad:
        _stop_at(absent_pictures(movies.values(), origin))
    with cli.alone(target):
        cropping = Cropping(movies, origin, body, target, args.quality, args.overwrite)
        cropping.run(cli.progress)
        account = cropping.account
        if not args.skip_bad:
            _stop_at(list(account.bad.values()))
        split = cropping.finish()
    n_casts = sum(len(movie.cast) for movie in split.values())
    n_candidates = sum(len(movie.candidates) for movie in split.values())
    cli.done(
        f"{len(split)} movies, {n_casts} portraits, {n_candidates} crops -> {target}",
        target,
        movies=len(split),
        portraits=n_casts,
        boxes=n_candidates,
    )
    cli.report_pictures(account)
    _report_boxes(account, sum(len(movie.candidates) for movie in movies.values()), look_like_corners(movies, account))


def _stop_at(bad: list[str]) -> None:
    if bad:
        more = f" ({len(bad) - 1} more are bad; --skip_bad lists them all)" if len(bad) > 1 else ""
        raise ImageError(bad[0] + more)


def _report_boxes(account: Account, n_boxes: int, corners: bool) -> None:
    """Say how many boxes reach past their frame, and what the usual cause is."""
    if account.past_edge:
        cause = "; they look like x1 y1 x2 y2, and a bbox is x y w h" if corners else ""
        count = len(account.past_edge)
        cli.warn(
            f"{count} of {n_boxes} boxes reach past the edge of their frame, where their crops end: the first is "
            f"{account.past_edge[0]}{cause}"
        )


if __name__ == "__main__":
    cli.run(main)
