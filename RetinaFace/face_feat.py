#!/usr/bin/env python3
"""Stage 2, step 5: embed the aligned faces.

Reads {data}/body_{mode}.pkl and RetinaFace/{mode}_img; writes {data}/face_{mode}.pkl.
A run that was killed goes on where it was.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import stagefiles
from castsearch.faces import open_pack
from castsearch.faces.calibration import chips_of_split
from castsearch.faces.chips import Chips
from castsearch.faces.embedding import embed_split
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--images",
        type=Path,
        default=cli.RETINAFACE,
        metavar="DIR",
        help="folder of {mode}_img, as given to face_det.py --out",
    )
    parser.add_argument(
        "--num", type=int, default=64, metavar="BATCH", help="faces that go through the network together"
    )
    cli.add_mode(parser)
    cli.add_model(parser)
    cli.add_gpu(parser)
    cli.add_precision(parser)
    cli.add_data(parser)
    cli.add_overwrite(parser)
    args = parser.parse_args()
    if args.num < 1:
        parser.error("--num must be at least 1")

    target = stagefiles.check_target(args.data / stagefiles.face_name(args.mode))
    split = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    pack = cli.announce(open_pack(args.model, args.gpu, precision=args.precision))
    chips = Chips(args.images / f"{args.mode}_img")
    if args.precision == "int8":
        given = chips_of_split(split, chips, pack.chip_size)
        cli.say(f"int8 embedder: {pack.calibrate('embedder', given)}")
    with cli.alone(target):
        features = embed_split(split, chips, pack, target, args.num, cli.progress, args.overwrite)
    n_faces = sum(map(len, features.values()))
    cli.done(
        f"{len(features)} movies, {n_faces} faces embedded -> {target}", target, movies=len(features), faces=n_faces
    )


if __name__ == "__main__":
    cli.run(main)
