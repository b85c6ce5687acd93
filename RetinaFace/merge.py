#!/usr/bin/env python3
"""Stage 2, step 3: gather the faces of all lists of a split in {data}/retina_{mode}.pkl."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import stagefiles
from castsearch.faces.merging import merge_results
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
    args = parser.parse_args()

    target = stagefiles.check_target(args.data / stagefiles.retina_name(args.mode))
    folders = args.results or [cli.RESULTS, cli.RETINAFACE / "results"]
    split, metadata = merge_results(
        stagefiles.read_body(args.data / stagefiles.body_name(args.mode)), args.mode, folders
    )
    stagefiles.write_retina(target, split, metadata)
    pictures = [picture for movie in split.values() for picture in movie.pictures]
    n_faces = sum(picture.faces is not None for picture in pictures)
    print(f"{len(split)} movies, {len(pictures)} pictures, {n_faces} with a face -> {target}")


if __name__ == "__main__":
    cli.run(main)
