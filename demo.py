#!/usr/bin/env python3
"""Stage 6: look at a ranking, by itself or beside another, and put it right.

demo.py --gallery DIR     pages of every movie and person, opened by DIR/index.html
demo.py --movcast ID      one picture: a portrait and its best candidates, hits green, misses red, the unlabelled grey
"""

import argparse
from functools import partial
from pathlib import Path

from castsearch import stagefiles
from castsearch.annotations import person_ids, read_ranking
from castsearch.gallery import GalleryError, cast_strip
from castsearch.images import check_pictures, write_jpeg
from castsearch.stagefiles import Split
from scripts import cli, scoring

QUALITY = 92  # people look at this one


def main() -> None:
    parser = cli.parser(__doc__)
    shows = parser.add_mutually_exclusive_group(required=True)
    shows.add_argument("--movcast", metavar="ID", help="id of the cast member, or of another portrait")
    shows.add_argument("--gallery", type=Path, metavar="DIR", help="folder that receives the gallery")
    parser.add_argument(
        "--out", type=Path, help="receives the picture of --movcast, by default demo.jpg in the project's root"
    )
    parser.add_argument(
        "--submission",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="ranking, or two that a gallery shows side by side; by default {mode}_result.txt in the project's root",
    )
    parser.add_argument("--gt", type=Path, help="labels, by default {data}/{mode}_label.json where it is there")
    parser.add_argument(
        "--image_root", type=Path, help="folder of the crops (BODY), by default where crop_body.py put them"
    )
    parser.add_argument(
        "--origin", type=Path, help="folder of the frames, for a gallery; by default where crop_body.py found them"
    )
    parser.add_argument("--movie", nargs="+", metavar="NAME", help="movies of a gallery, by default all")
    cli.add_mode(parser, default="val")
    cli.add_data(parser)
    args = parser.parse_args()
    args.submission = args.submission or [cli.ROOT / f"{args.mode}_result.txt"]
    if len(args.submission) > (1 if args.gallery is None else 2):
        parser.error("--submission names one ranking, or two for --gallery")
    if len(set(args.submission)) < len(args.submission):
        parser.error("--submission names a file twice")
    others = {"--movie": args.movie, "--origin": args.origin} if args.gallery is None else {"--out": args.out}
    for flag, given in others.items():
        if given is not None:
            parser.error(f"{flag} is a flag of {'--gallery' if args.gallery is None else '--movcast'}")
    args.out = args.out or cli.ROOT / "demo.jpg"
    if args.gallery is None and args.out.suffix.lower() not in (".jpg", ".jpeg"):
        parser.error(f"--out {args.out}: the picture is a JPEG, whose name ends in .jpg")

    if args.gallery is None:
        stagefiles.check_output(args.out)
    source = args.data / stagefiles.body_name(args.mode)
    split = stagefiles.read_body(source)
    told = stagefiles.read_metadata(source)
    root = args.image_root or told.get("body")
    if not isinstance(root, str | Path):
        raise stagefiles.StageFileError(f"{source}: does not tell where its crops are; give --image_root")
    folder = cli.split_folder(Path(root), args.mode, "--image_root")
    out = args.out if args.gallery is None else args.gallery
    if out.resolve().is_relative_to(folder.resolve()):
        raise stagefiles.StageFileError(f"{out}: would lie among the crops; choose another place")
    if args.gallery is None:
        picture(args, split, folder, source)
    else:
        gallery(args, split, folder, told.get("origin"))


def picture(args: argparse.Namespace, split: Split, crops: Path, source: Path) -> None:
    """Write one cast member's strip."""
    (submission,) = args.submission
    ranking = read_ranking(submission)
    labels = labels_of(args, split, "all is grey")
    person = person_ids(split.values()).get(args.movcast, args.movcast)
    try:
        strip = cast_strip(split, ranking, args.movcast, (labels or {}).get(person), crops)
    except GalleryError as error:
        raise GalleryError(f"{source}, {submission}: {error}") from None
    if labels is not None and person not in labels:
        cli.warn(f"the labels know nothing of {args.movcast}, whose candidates are grey")
    with cli.alone(args.out):
        write_jpeg(args.out, strip.image, QUALITY)
    if strip.missing:
        cli.warn(f"no font here has the letters {strip.missing}; install one that does, as those called Noto")
    cli.done(str(args.out), args.out)


def gallery(args: argparse.Namespace, split: Split, crops: Path, told_origin: object) -> None:
    """Write the gallery of a split."""
    from castsearch.gallery.site.making import make_gallery  # these take longer to load than a strip to draw
    from castsearch.gallery.site.pictures import check_gallery
    from castsearch.gallery.site.stages import SplitGallery
    from castsearch.gallery.site.submissions import read_submission
    from castsearch.movies.layout import read_times, times_file

    check_gallery(args.gallery)
    frames = frames_of(args, told_origin)
    if frames is not None and args.gallery.resolve().is_relative_to(frames.resolve()):
        raise GalleryError(f"{args.gallery}: would lie among the frames; choose another place")
    check_pictures(crops, [one.file for movie in split.values() for one in movie.candidates], skip_bad=True)
    submissions = [read_submission(path) for path in args.submission]
    cli.report("the text alone is shown", [one.doubt for one in submissions if one.doubt is not None])
    labels = labels_of(args, split, "hits and misses are not told")
    timed = times_file(args.data, args.mode)
    times = read_times(timed) if timed.exists() else {}
    content = SplitGallery(split, submissions, labels, crops, frames, times, args.movie)
    overview = content.overview(f"Cast search: {args.mode}")
    made = make_gallery(args.gallery, overview, partial(content.movies, progress=cli.progress))
    if made.bad:
        cli.warn(f"pictures that cannot be shown: {len(made.bad)}; the first: {next(iter(made.bad.values()))}")
    if content.frameless and frames is not None:
        cli.warn(f"{content.frameless} of {content.whole} frames in {frames} are not to be shown; check --origin")
    cli.done(str(made.index), movies=len(args.movie or split))


def labels_of(args: argparse.Namespace, split: Split, without: str) -> dict[str, list[str]] | None:
    """The labels, where there are any; ``without``: what is done without."""
    return scoring.fitting_labels(args.gt, args.data / f"{args.mode}_label.json", list(split.values()), without)


def frames_of(args: argparse.Namespace, told: object) -> Path | None:
    """The folder of the whole frames; a warning and None where nobody knows it, or it is gone."""
    if args.origin is not None:
        return cli.split_folder(args.origin, args.mode, "--origin")
    if isinstance(told, str) and (Path(told) / args.mode).is_dir():
        return Path(told) / args.mode
    where = f"{told} is not there" if isinstance(told, str) else "the crops do not tell where their frames are"
    cli.warn(f"{where}: the gallery shows crops without their frames; --origin names the folder of the frames")
    return None


if __name__ == "__main__":
    cli.run(main)
