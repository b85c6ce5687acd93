#!/usr/bin/env python3
"""Stage 6: show a cast member's portrait and best candidates: hits green, misses red, the unlabelled grey."""

from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import read_labels, read_ranking
from castsearch.gallery import cast_strip
from castsearch.images import write_jpeg
from scripts import cli

QUALITY = 92  # people look at this one


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--movcast", required=True, metavar="ID", help="id of the cast member")
    parser.add_argument("--submission", type=Path, help="ranking, by default {mode}_result.txt in the project's root")
    parser.add_argument("--gt", type=Path, help="labels, by default {data}/{mode}_label.json where it is there")
    parser.add_argument(
        "--image_root", type=Path, help="folder of the crops (BODY), by default where crop_body.py put them"
    )
    parser.add_argument("--out", type=Path, default=cli.ROOT / "demo.jpg", help="receives the picture")
    cli.add_mode(parser, default="val")
    cli.add_data(parser)
    args = parser.parse_args()

    out = stagefiles.check_output(args.out)
    source = args.data / stagefiles.body_name(args.mode)
    split = stagefiles.read_body(source)
    root = args.image_root or stagefiles.read_metadata(source).get("body")
    if not isinstance(root, str | Path):
        raise stagefiles.StageFileError(f"{source}: does not tell where its crops are; give --image_root")
    folder = cli.split_folder(Path(root), args.mode, "--image_root")
    ranking = read_ranking(args.submission or cli.ROOT / f"{args.mode}_result.txt")
    gt = args.gt or args.data / f"{args.mode}_label.json"
    hits = read_labels(gt).get(args.movcast, []) if args.gt or gt.exists() else None
    strip = cast_strip(split, ranking, args.movcast, hits, folder)
    write_jpeg(out, strip.image, QUALITY)
    if strip.missing:
        cli.warn(f"no font here has the letters {strip.missing}; install one that does, as those called Noto")
    print(out)


if __name__ == "__main__":
    cli.run(main)
