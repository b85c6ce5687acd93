"""What triplet.py and mgn.py share: their flags, and what they do with them."""

from __future__ import annotations

import argparse
from pathlib import Path

from castsearch import stagefiles
from castsearch.bodies import checkpoints, extraction
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.checkpoints import IMAGENET
from castsearch.images import ImageReader
from scripts import cli


def parse(network: str, description: str | None) -> argparse.Namespace:
    """Parse the command line of the script for ``network``."""
    parser = cli.parser(description)
    add = parser.add_argument
    add("--image_root", type=Path, required=True, metavar="BODY", help="folder of the crops of stage 1")
    add("--cnn", choices=BACKBONES, default="resnet50", help="backbone")
    add("--ckpt", type=Path, metavar="FILE", help="weights to begin with [torchvision's download]")
    add("--save_dir", type=Path, metavar="DIR", help=f"folder of the run [results/{network}_CNN]")
    cli.add_data(parser)
    cli.add_skip_bad(parser)
    add("--gpu", type=int, metavar="N", help="number of the GPU, -1 for the CPU [a GPU if there is one]")
    add("--num_workers", type=int, default=4, help="threads that read pictures ahead")
    add("--height", type=int, default=256, help="of the pictures the network sees")
    add("--width", type=int, default=128, help="of the pictures the network sees")
    add("--last_stride", type=int, choices=(1, 2), default=1, help="of the backbone's last stage")

    group = parser.add_argument_group("extraction")
    add = group.add_argument
    add("--eval", action="store_true", required=True, help="extract features")
    cli.add_mode(parser, default="val")
    add("--checkpoint", metavar="FILE", help=f"trained weights, or '{IMAGENET}' [what a training left in --save_dir]")
    add("--with_cast", action="store_true", help="portraits too, before the candidates")
    add("--test_batch_size", type=int, default=32, help="pictures at once")
    add("--out", type=Path, metavar="FILE", help=f"feature file [DATA/{network}_CNN_MODE.pkl]")
    args = parser.parse_args()
    args.network = network
    args.save_dir = args.save_dir or cli.RESULTS / f"{network}_{args.cnn}"
    return args


def evaluate(args: argparse.Namespace) -> None:
    """Extract the features of a split."""
    device = extraction.device(args.gpu)
    body = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    model = checkpoints.build(args.network, args.cnn, last_stride=args.last_stride)
    if args.checkpoint == IMAGENET:
        source = checkpoints.load_imagenet(model, args.ckpt)
    else:
        source = args.checkpoint or checkpoints.trained(args.save_dir)
        checkpoints.load_weights(model, source)
        print(f"{source}: loaded; its classifier is left out, features do not need it")
    name, engine = extraction.fastest_engine(model, device, args.height, args.width)
    reader = ImageReader(args.image_root, args.skip_bad)
    extractor = extraction.Extractor(engine, reader, args.height, args.width, args.test_batch_size, args.num_workers)
    out = args.out or args.data / stagefiles.reid_name(args.network, args.cnn, args.mode)
    metadata = {
        "network": args.network,
        "cnn": args.cnn,
        "weights": Path(source).name,
        "sha256": checkpoints.sha256(source),
        "size": [args.height, args.width],
        "last_stride": args.last_stride,
        "with_cast": args.with_cast,
        "engine": name,
    }
    files = extraction.files_of(body, args.mode, args.with_cast)
    extraction.extract_split(extractor, files, out, metadata, cli.progress)
    print(f"{len(files)} movies, {sum(map(len, files.values()))} pictures -> {out}")
    cli.report_bad(reader.bad)


def run(network: str, description: str | None) -> None:
    """The ``main`` of the script for ``network``."""
    evaluate(parse(network, description))
