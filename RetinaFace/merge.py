#!/usr/bin/env python3
"""Stage 2, step 3: gather the faces of all lists of a split in {data}/retina_{mode}.pkl."""

import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import stagefiles
from castsearch.faces.merging import merge_results, result_files
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders of the lists' results, by default results/ and RetinaFace/results/",
    )
    cli.add_mode(parser)
    cli.add_data(parser)
    cli.add_overwrite(parser)
    args = parser.parse_args()

    target = stagefiles.check_target(args.data / stagefiles.retina_name(args.mode))
    folders = args.results or [cli.RESULTS, cli.RETINAFACE / "results"]
    source = args.data / stagefiles.body_name(args.mode)
    results = result_files(args.mode, folders)
    told = [beside for result in results if (beside := stagefiles.metadata_path(result)).exists()]
    made = stagefiles.made_from([source, *results, *told], {"results": [file.name for file in (*results, *told)]})
    with cli.alone(target):
        split = None
        if not args.overwrite and stagefiles.is_current(target, made):
            with suppress(stagefiles.StageFileError):  # a damaged one is made again
                split = stagefiles.read_retina(target)
        if split is not None:
            stagefiles.say_current(target)
        else:
            split, metadata = merge_results(stagefiles.read_body(source), args.mode, folders)
            stagefiles.write_retina(target, split, metadata | {stagefiles.MADE_FROM: made})
    pictures = [picture for movie in split.values() for picture in movie.pictures]
    n_faces = sum(picture.faces is not None for picture in pictures)
    cli.done(
        f"{len(split)} movies, {len(pictures)} pictures, {n_faces} with a face -> {target}",
        target,
        movies=len(split),
        pictures=len(pictures),
        faces=n_faces,
    )


if __name__ == "__main__":
    cli.run(main)
