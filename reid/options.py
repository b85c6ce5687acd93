"""The flags of triplet.py and mgn.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from castsearch.bodies import checkpoints
from castsearch.bodies.backbones import BACKBONES, LAST_STRIDES
from castsearch.bodies.losses import METRICS, MINING
from castsearch.bodies.settings import PRECISIONS, Settings, fastest_precision
from scripts import cli

DEFAULT_CNN = {"triplet": "resnext101_32x8d", "mgn": "resnet50"}
IMAGENET = "imagenet"  # names the pretrained backbone alone, where a checkpoint is asked for
SOFT = "soft"


def parse(network: str, description: str | None) -> argparse.Namespace:
    """Parse the command line of the script for ``network``."""
    parser = cli.parser(description)
    add = parser.add_argument
    add("--image_root", type=Path, required=True, metavar="BODY", help="folder of the crops of stage 1")
    add("--cnn", choices=BACKBONES, default=DEFAULT_CNN[network], help="backbone")
    add("--ckpt", type=Path, metavar="FILE", help="weights to begin with; by default torchvision's download")
    add("--save_dir", type=Path, metavar="DIR", help=f"folder of the run; by default results/{network}_CNN")
    cli.add_data(parser)
    cli.add_mode(parser, default="val")
    cli.add_skip_bad(parser)
    cli.add_gpu(parser)
    add("--num_workers", type=_count, default=4, metavar="N", help="threads that read pictures ahead")
    trained = "by default that of the checkpoint's training, or"
    seen = f"of the pictures the network sees; {trained}"
    add("--height", type=_count, metavar="N", help=f"{seen} {Settings.height}")
    add("--width", type=_count, metavar="N", help=f"{seen} {Settings.width}")
    stride = f"of the backbone's last stage; {trained} {Settings.last_stride}"
    add("--last_stride", type=int, choices=LAST_STRIDES, help=stride)
    _add_training(parser.add_argument_group("training").add_argument)
    _add_extraction(parser.add_argument_group("extraction").add_argument, network)
    args = parser.parse_args()
    args.network = network
    args.save_dir = args.save_dir or cli.RESULTS / f"{network}_{args.cnn}"
    return args


def _add_training(add: Callable[..., object]) -> None:
    add("--use_val", action="store_true", help="train on the val split too")
    add("--epochs", type=_count, default=450, metavar="N")
    identities = "identities in a batch, over all processes"
    add("--batch_size", type=int, default=Settings.batch_size, metavar="P", help=identities)
    add("--image_num", type=int, default=Settings.image_num, metavar="K", help="pictures of each identity in a batch")
    add("--type", dest="mining", choices=MINING, default=Settings.mining, help="how triplets are mined")
    add("--margin", type=_margin, default=SOFT, help=f"of the triplet loss: a number, or '{SOFT}'")
    add("--metric", choices=METRICS, default=Settings.metric, help="distance of the triplet loss")
    add("--lr", type=float, default=Settings.lr, help="learning rate of Adam")
    add("--weight_decay", type=float, default=Settings.weight_decay)
    rises = "epochs over which the learning rate rises"
    add("--warmup", type=int, default=Settings.warmup, metavar="N", help=rises)
    falls = "epochs after which the learning rate falls"
    add("--lr_decay_epoch", type=_count, default=Settings.lr_decay_epoch, metavar="N", help=falls)
    add("--gamma", type=float, default=Settings.gamma, help="factor by which it falls")
    smoothing = "of the cross entropy"
    add("--label_smoothing", type=float, default=Settings.label_smoothing, metavar="X", help=smoothing)
    jitter = "change of brightness, contrast and saturation"
    add("--color_jitter", type=float, default=Settings.color_jitter, metavar="X", help=jitter)
    add("--precision", choices=PRECISIONS, help="by default mixed on GPUs and float32 on CPUs")
    add("--seed", type=int, default=Settings.seed, help="of everything random")
    add("--save_every", type=_count, default=5, metavar="N", help="epochs between checkpoints")
    add("--val_every", type=int, default=0, metavar="N", help="epochs between evaluations on --mode, 0 for none")
    add("--resume", action="store_true", help="go on from the last checkpoint in --save_dir, if there is one")


def _add_extraction(add: Callable[..., object], network: str) -> None:
    add("--eval", action="store_true", help="extract features instead of training")
    checkpoint = f"trained weights, or '{IMAGENET}'; by default the best in --save_dir, or the last"
    add("--checkpoint", metavar="FILE", help=checkpoint)
    add("--with_cast", action="store_true", help="portraits too, before the candidates")
    add("--test_batch_size", type=_count, default=16, metavar="N", help="pictures at once")
    add("--out", type=Path, metavar="FILE", help=f"feature file; by default {network}_CNN_MODE.pkl in --data")


def _margin(text: str) -> float | None:
    try:
        return None if text == SOFT else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or '{SOFT}', got {text!r}") from None


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def settings(args: argparse.Namespace, device: torch.device) -> Settings:
    """The settings of the training that was asked for."""
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    given["precision"] = args.precision or fastest_precision(device.type)
    return Settings(**{name: value for name, value in given.items() if name == "margin" or value is not None})


def checkpoint(args: argparse.Namespace) -> Path | None:
    """The weights to extract with; None for the pretrained backbone alone."""
    if args.checkpoint == IMAGENET:
        return None
    return Path(args.checkpoint) if args.checkpoint else checkpoints.trained(args.save_dir)
