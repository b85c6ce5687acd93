#!/usr/bin/env python3
"""Stage 2, step 4: select the face of every portrait and candidate, and align it.

Reads {data}/retina_{mode}.pkl and the crops; writes RetinaFace/{mode}_img/{movie}.pkl.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import stagefiles
from castsearch.faces import open_pack
from castsearch.faces.chips import align_split
from castsearch.faces.packs import check_same_detector
from castsearch.images import ImageReader
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--image_root", type=Path, required=True, help="folder of the crops (BODY)")
    parser.add_argument(
        "--select",
        type=int,
        choices=(0, 1),
        default=1,
        help="1: only sure, large, central faces of candidates; 0: the best of all",
    )
    parser.add_argument("--single", action="store_true", help="write one file for all movies, {out}/{mode}_img.pkl")
    parser.add_argument(
        "--out", type=Path, default=cli.RETINAFACE, metavar="DIR", help="folder that receives the aligned faces"
    )
    cli.add_mode(parser)
    cli.add_model(parser)
    cli.add_data(parser)
    cli.add_skip_bad(parser)
    cli.add_overwrite(parser)
    args = parser.parse_args()

    source = args.data / stagefiles.retina_name(args.mode)
    split = stagefiles.read_retina(source)
    pack = open_pack(args.model, gpu=-1)
    detections = stagefiles.read_metadata(source)
    check_same_detector(detections, pack, source)
    reader = ImageReader(args.image_root / args.mode, args.skip_bad)
    folder = args.out / f"{args.mode}_img"
    limits, single = bool(args.select), args.single
    target = align_split(
        split, reader, pack, detections, folder, limits, single, cli.progress, args.overwrite, cli.warn
    )
    cli.done(
        f"{len(split)} movies, faces of {pack.chip_size} x {pack.chip_size} -> {target}",
        *([target] if single else []),
        movies=len(split),
        faces=sum(map(len, split.values())),
    )
    cli.report_pictures(reader)


if __name__ == "__main__":
    cli.run(main)
