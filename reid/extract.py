#!/usr/bin/env python3
"""Stage 3: extract body features by a network of any maker, in one ONNX file.

Reads {data}/body_{mode}.pkl and BODY/{mode}/ and writes {data}/onnx_{name of the file}_{mode}.pkl. What the graph tells
(size, layout, batch, bytes or numbers) is read from it.
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import networks, stagefiles
from castsearch.bodies import checkpoints, distributed, engines
from castsearch.bodies.body_model import MEAN, STD, BodyModel, BodyModelError, Pictures
from castsearch.bodies.onnx_models import Habits, open_onnx
from castsearch.bodies.settings import Settings
from reid import extraction
from reid.options import count
from scripts import cli


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--image_root", type=Path, required=True, metavar="BODY", help="folder of the crops of stage 1")
    add("--checkpoint", type=Path, required=True, metavar="FILE.onnx", help="the network")
    cli.add_data(parser)
    cli.add_mode(parser, default="val")
    cli.add_skip_bad(parser)
    cli.add_overwrite(parser)
    cli.add_gpu(parser)
    add("--precision", choices=networks.PRECISIONS, default="float32", help="of products; GPUs have float32 alone")
    free = "of the pictures where the graph leaves it free; by default"
    add("--height", type=count(1), metavar="N", help=f"{free} {Settings.height}")
    add("--width", type=count(1), metavar="N", help=f"{free} {Settings.width}")
    add("--mean", type=float, nargs=3, default=MEAN, metavar="X", help="of red, green and blue, from 0 to 1")
    add("--std", type=float, nargs=3, default=STD, metavar="X", help="their deviation")
    add("--no_mirror", action="store_true", help="leave the mirror images out, with which features are averaged")
    add("--output", metavar="NAME", help="the output that is the feature, where there are several")
    add("--with_cast", action="store_true", help="portraits too, before the candidates")
    add("--test_batch_size", type=count(1), default=16, metavar="N", help="pictures at once")
    add("--num_workers", type=count(1), default=4, metavar="N", help="threads that read pictures ahead")
    add("--out", type=Path, metavar="FILE", help="feature file; by default onnx_NAME_MODE.pkl in --data")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.checkpoint.suffix.lower() in (".pt", ".pth", checkpoints.SAFETENSORS):
        raise BodyModelError(
            f"{args.checkpoint}: weights alone, where a network in an ONNX file is wanted; reid/triplet.py extracts by "
            "them"
        )
    name = re.sub(r"[^\w.-]", "_", args.checkpoint.stem)
    out = args.out or args.data / stagefiles.reid_name("onnx", name, args.mode)
    stagefiles.check_target(out, stages=["onnx"])
    habits = Habits(tuple(args.mean), tuple(args.std), not args.no_mirror, args.output)
    place = networks.find_place(_gpu(args.gpu), args.precision)

    def open_model(pictures: Pictures) -> BodyModel:
        return open_onnx(args.checkpoint, place, habits, args.height, args.width, pictures)

    with engines.memory(), distributed.process_group(engines.device(-1)):
        extraction.extract(args, out, open_model, f"loaded, on {place}")


def _gpu(asked: int | None) -> int | None:
    """The GPU to ask for; each process of ``torchrun`` takes its own."""
    rank = distributed.local_rank()
    return asked if asked is not None or rank is None or networks.find_place().gpu < 0 else rank


if __name__ == "__main__":
    cli.run(main)
