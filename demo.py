#!/usr/bin/env python3
"""Stage 6: show one cast member's portrait and best candidates; a hit is green, a miss is red, the unlabelled are grey."""

from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import AnnotationError, read_labels, read_ranking
from castsearch.gallery import Shown, Verdict, strip
from castsearch.images import read_image, write_jpeg
from scripts import cli

N_SHOWN = 6
QUALITY = 92  # people look at this one


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--movcast", required=True, metavar="ID", help="id of the cast member")
    parser.add_argument("--submission", type=Path, help="ranking, by default {mode}_result.txt in the project's root")
    parser.add_argument("--gt", type=Path, help="labels, by default {data}/{mode}_label.json where it is there")
    parser.add_argument("--image_root", type=Path, help="folder of the crops (BODY), by default the one crop_body.py wrote")
    parser.add_argument("--out", type=Path, default=cli.ROOT / "demo.jpg", help="receives the picture")
    cli.add_mode(parser, default="val")
    cli.add_data(parser)
    args = parser.parse_args()

    source = args.data / stagefiles.body_name(args.mode)
    movies = stagefiles.read_body(source)
    root = args.image_root or stagefiles.read_metadata(source).get("body")
    if root is None:
        raise stagefiles.StageFileError(f"{source}: does not tell where its crops are; give --image_root")
    submission = args.submission or cli.ROOT / f"{args.mode}_result.txt"
    ranking = read_ranking(submission)
    gt = args.gt or args.data / f"{args.mode}_label.json"
    hits = set(read_labels(gt).get(args.movcast, ())) if args.gt or gt.exists() else None

    for movie in movies.values():
        cast = next((item for item in movie["cast"] if item["id"] == args.movcast), None)
        if cast is not None:
            break
    else:
        raise AnnotationError(f"{source}: no cast member {args.movcast}; there are {_examples(movies)}")
    if args.movcast not in ranking:
        raise AnnotationError(f"{submission}: no line for {args.movcast}; run fusion.py again")
    files = {item["id"]: item["file"] for item in movie["candidates"]}
    best = ranking[args.movcast][:N_SHOWN]
    unknown = next((candidate for candidate in best if candidate not in files), None)
    if unknown is not None:
        raise AnnotationError(f"{submission}: {args.movcast}: {unknown} is not a candidate of its movie; run fusion.py again")

    folder = Path(root) / args.mode
    verdicts = [Verdict.UNKNOWN if hits is None else Verdict.HIT if c in hits else Verdict.MISS for c in best]
    shown = [
        Shown(read_image(folder / files[candidate]), f"{rank}: {candidate}", verdict)
        for rank, (candidate, verdict) in enumerate(zip(best, verdicts, strict=True), start=1)
    ]
    write_jpeg(args.out, strip(read_image(folder / cast["file"]), args.movcast, shown), QUALITY)
    print(args.out)


def _examples(movies: dict) -> str:
    ids = [item["id"] for movie in movies.values() for item in movie["cast"]]
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


if __name__ == "__main__":
    cli.run(main)
