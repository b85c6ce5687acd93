#!/usr/bin/env python3
"""Stage 2, step 1: write the lists of pictures that deploy.py goes through.

Reads {data}/body_{mode}.pkl; writes {mode}_cast.txt and {mode}_candidates_0.txt, _1.txt, ...
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import stagefiles
from castsearch.faces.lists import check_root, write_lists
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the crops (BODY)")
    parser.add_argument(
        "--out", type=Path, default=cli.RETINAFACE / "data", metavar="DIR", help="folder that receives the lists"
    )
    cli.add_mode(parser)
    cli.add_data(parser)
    args = parser.parse_args()

    stagefiles.check_folder(args.out)
    split = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    check_root(args.root, split, args.mode)
    with cli.alone(args.out / args.mode):
        lists = write_lists(args.out, split, args.mode)
    cli.done("\n".join(map(str, lists)), *lists, lists=len(lists))


if __name__ == "__main__":
    cli.run(main)
