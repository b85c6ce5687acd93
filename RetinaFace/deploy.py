#!/usr/bin/env python3
"""Stage 2, step 2: detect the faces of one list's pictures.

A run that was killed goes on where it was; a list that is done is not done again.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.faces import SearchSettings, open_pack
from castsearch.faces.calibration import pictures_of_lists
from castsearch.faces.detection import detect_files
from castsearch.faces.frames import detect_in_frames
from castsearch.faces.lists import read_list
from castsearch.images import ImageReader
from castsearch.stagefiles import check_target
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--txt_file", type=Path, required=True, help="list of pictures, by datalist.py")
    parser.add_argument("--pkl_file", type=Path, required=True, help="receives the faces")
    parser.add_argument("--image_root", type=Path, required=True, help="folder of the crops (BODY)")
    cli.add_model(parser)
    cli.add_gpu(parser)
    cli.add_precision(parser)
    parser.add_argument(
        "--scales",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="sides at which pictures are searched; by default the pack's own (RetinaFace: 500 800)",
    )
    parser.add_argument("--flip", action="store_true", help="search the mirrored pictures too")
    parser.add_argument(
        "--frames",
        type=Path,
        metavar="ORIGIN",
        help="search each frame below ORIGIN once, in place of its crops, and give its faces to its boxes one to one; "
        "portraits are searched below --image_root all the same",
    )
    cli.add_skip_bad(parser)
    cli.add_overwrite(parser)
    args = parser.parse_args()

    check_target(args.pkl_file, stages=())
    files = read_list(args.txt_file)
    portraits = args.txt_file.stem.endswith("_cast")
    in_frames = args.frames is not None and not portraits
    reader = ImageReader(args.frames if in_frames else args.image_root, args.skip_bad, keep_pixels=in_frames)
    pack = cli.announce(open_pack(args.model, args.gpu, SearchSettings(args.scales, args.flip), args.precision))
    if args.precision == "int8":
        given = pictures_of_lists(args.txt_file, args.image_root, args.skip_bad)
        cli.say(f"int8 detector: {pack.calibrate('detector', given)}")
    with cli.alone(args.pkl_file):
        if in_frames:
            found = detect_in_frames(files, reader, pack, args.pkl_file, cli.progress, args.overwrite)
        else:
            found = detect_files(files, reader, pack, args.pkl_file, portraits, cli.progress, args.overwrite)
    n_faces = sum(len(faces) > 0 for faces in found.faces.values())
    cli.done(
        f"{len(files)} pictures, {n_faces} with a face -> {args.pkl_file}",
        args.pkl_file,
        pictures=len(files),
        faces=n_faces,
    )
    cli.report("portraits in doubt", [f"{file}: {doubt}" for file, doubt in found.doubts.items()])
    cli.report_pictures(reader)


if __name__ == "__main__":
    cli.run(main)
