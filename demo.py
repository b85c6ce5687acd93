#!/usr/bin/env python3
"""Stage 6: show a cast member's portrait and best candidates: hits green, misses red, the unlabelled grey."""

from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import person_ids, read_ranking
from castsearch.gallery import GalleryError, cast_strip
from castsearch.images import write_jpeg
from scripts import cli

QUALITY = 92  # people look at this one


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--movcast", required=True, metavar="ID", help="id of the cast member, or of another portrait")
    parser.add_argument("--submission", type=Path, help="ranking, by default {mode}_result.txt in the project's root")
    parser.add_argument("--gt", type=Path, help="labels, by default {data}/{mode}_label.json where it is there")
    parser.add_argument(
        "--image_root", type=Path, help="folder of the crops (BODY), by default where crop_body.py put them"
    )
    parser.add_argument("--out", type=Path, default=cli.ROOT / "demo.jpg", help="receives the picture")
    cli.add_mode(parser, default="val")
    cli.add_data(parser)
    args = parser.parse_args()
    if args.out.suffix.lower() not in (".jpg", ".jpeg"):
        parser.error(f"--out {args.out}: the picture is a JPEG, whose name ends in .jpg")

    out = stagefiles.check_output(args.out)
    source = args.data / stagefiles.body_name(args.mode)
    split = stagefiles.read_body(source)
    root = args.image_root or stagefiles.read_metadata(source).get("body")
    if not isinstance(root, str | Path):
        raise stagefiles.StageFileError(f"{source}: does not tell where its crops are; give --image_root")
    folder = cli.split_folder(Path(root), args.mode, "--image_root")
    if out.resolve().is_relative_to(folder.resolve()):
        raise stagefiles.StageFileError(f"{out}: would lie among the crops; choose another place")
    submission = args.submission or cli.ROOT / f"{args.mode}_result.txt"
    ranking = read_ranking(submission)
    labels = cli.fitting_labels(args.gt, args.data / f"{args.mode}_label.json", list(split.values()), "all is grey")
    person = person_ids(split.values()).get(args.movcast, args.movcast)
    try:
        strip = cast_strip(split, ranking, args.movcast, (labels or {}).get(person), folder)
    except GalleryError as error:
        raise GalleryError(f"{source}, {submission}: {error}") from None
    if labels is not None and person not in labels:
        cli.warn(f"the labels know nothing of {args.movcast}, whose candidates are grey")
    write_jpeg(out, strip.image, QUALITY)
    if strip.missing:
        cli.warn(f"no font here has the letters {strip.missing}; install one that does, as those called Noto")
    print(out)


if __name__ == "__main__":
    cli.run(main)
