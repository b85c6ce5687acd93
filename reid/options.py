"""The flags of triplet.py and mgn.py."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from castsearch.bodies import checkpoints
from castsearch.bodies.backbones import BACKBONES, LAST_STRIDES, TIMM
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.losses import METRICS, MINING
from castsearch.bodies.settings import PRECISIONS, Settings, fastest_precision
from castsearch.networks import PRECISIONS as EVAL_PRECISIONS
from scripts import cli

DEFAULT_CNN = {"triplet": "resnext101_32x8d", "mgn": "resnet50"}
IMAGENET = "imagenet"  # names the pretrained backbone alone, where a checkpoint is asked for
SOFT = "soft"


def parse(network: str, description: str | None) -> argparse.Namespace:
    """Parse the command line of the script for ``network``; flags that would do nothing are errors."""
    parser = cli.parser(description)
    add = parser.add_argument
    add("--image_root", type=Path, required=True, metavar="BODY", help="folder of the crops of stage 1")
    add("--cnn", metavar="NAME", type=_cnn, default=DEFAULT_CNN[network], help=f"{', '.join(BACKBONES)}, or {TIMM}NAME")
    ckpt = add("--ckpt", type=Path, metavar="FILE", help="weights to begin with; by default torchvision's download")
    add("--save_dir", type=Path, metavar="DIR", help=f"folder of the run; by default results/{network}_CNN")
    cli.add_data(parser)
    cli.add_mode(parser, default="val")
    cli.add_skip_bad(parser)
    cli.add_overwrite(parser)
    cli.add_gpu(parser)
    add("--num_workers", type=count(1), default=4, metavar="N", help="threads that read pictures ahead")
    both = f"of training: {', '.join(PRECISIONS)}, by default mixed on GPUs and float32 on CPUs; with --eval: "
    both += f"{', '.join(EVAL_PRECISIONS)}, by default float32"
    add("--precision", choices=dict.fromkeys((*PRECISIONS, *EVAL_PRECISIONS)), help=both)
    trained = "by default that of the checkpoint's training, or"
    seen = f"of the pictures the network sees; {trained}"
    add("--height", type=count(1), metavar="N", help=f"{seen} {Settings.height}")
    add("--width", type=count(1), metavar="N", help=f"{seen} {Settings.width}")
    stride = f"of the backbone's last stage; {trained} {Settings.last_stride}"
    add("--last_stride", type=int, choices=LAST_STRIDES, help=stride)
    training = _add_training(parser.add_argument_group("training").add_argument)
    extraction = _add_extraction(parser.add_argument_group("extraction").add_argument, network)
    args = parser.parse_args()
    _check_precision(parser, args)
    if args.eval:
        _refuse(parser, training, "is for training, and does nothing with --eval")
        if args.checkpoint != IMAGENET:
            why = f"does nothing with --eval but for --checkpoint {IMAGENET}; name trained weights by --checkpoint"
            _refuse(parser, [ckpt], why)
    else:
        extraction = [a for a in extraction if a.dest != "test_batch_size" or not args.val_every]
        _refuse(parser, extraction, "is for extraction, and does nothing without --eval")
    if args.resume and args.overwrite:
        parser.error("--resume and --overwrite exclude each other")
    args.network = network
    args.save_dir = args.save_dir or cli.RESULTS / f"{network}_{args.cnn.replace(':', '_')}"
    return args


def _check_precision(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    task, known = ("extraction", EVAL_PRECISIONS) if args.eval else ("training", PRECISIONS)
    if args.precision is not None and args.precision not in known:
        parser.error(f"--precision {args.precision}: {task} knows {', '.join(known)}")


def _refuse(parser: argparse.ArgumentParser, flags: list[argparse.Action], why: str) -> None:
    """End with an error if any of these flags stands on the command line."""
    absent = object()  # parsing leaves alone what is set already and not given
    found = parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys((flag.dest for flag in flags), absent)))
    for flag in flags:
        if getattr(found, flag.dest) is not absent:
            parser.error(f"{flag.option_strings[0]} {why}")


def _add_training(add: Callable[..., argparse.Action]) -> list[argparse.Action]:
    identities = "identities in a batch, over all processes"
    rises = "epochs over which the learning rate rises"
    falls = "epochs after which the learning rate falls"
    smoothing = "of the cross entropy"
    jitter = "change of brightness, contrast and saturation"
    return [
        add("--use_val", action="store_true", help="train on the val split too"),
        add("--epochs", type=count(1), default=450, metavar="N"),
        add("--batch_size", type=count(2), default=Settings.batch_size, metavar="P", help=identities),
        add("--image_num", type=count(2), default=Settings.image_num, metavar="K", help="pictures of each identity"),
        add("--type", dest="mining", choices=MINING, default=Settings.mining, help="how triplets are mined"),
        add("--margin", type=_margin, default=SOFT, help=f"of the triplet loss: a number, or '{SOFT}'"),
        add("--metric", choices=METRICS, default=Settings.metric, help="distance of the triplet loss"),
        add("--lr", type=float, default=Settings.lr, help="learning rate of Adam"),
        add("--weight_decay", type=float, default=Settings.weight_decay),
        add("--warmup", type=count(0), default=Settings.warmup, metavar="N", help=rises),
        add("--lr_decay_epoch", type=count(1), default=Settings.lr_decay_epoch, metavar="N", help=falls),
        add("--gamma", type=float, default=Settings.gamma, help="factor by which it falls"),
        add("--label_smoothing", type=float, default=Settings.label_smoothing, metavar="X", help=smoothing),
        add("--color_jitter", type=float, default=Settings.color_jitter, metavar="X", help=jitter),
        add("--seed", type=count(0), default=Settings.seed, help="of everything random"),
        add("--save_every", type=count(1), default=5, metavar="N", help="epochs between checkpoints"),
        add("--val_every", type=count(0), default=0, metavar="N", help="epochs between evaluations on --mode, or 0"),
        add(
            "--resume",
            action="store_true",
            help="as without it: a run of the same settings in --save_dir is gone on with",
        ),
    ]


def _add_extraction(add: Callable[..., argparse.Action], network: str) -> list[argparse.Action]:
    """Add ``--eval``, and the flags that need it."""
    add("--eval", action="store_true", help="extract features instead of training")
    checkpoint = f"trained weights, or '{IMAGENET}'; by default the best in --save_dir, or the last"
    return [
        add("--checkpoint", metavar="FILE", help=checkpoint),
        add("--with_cast", action="store_true", help="portraits too, before the candidates"),
        add("--test_batch_size", type=count(1), default=16, metavar="N", help="pictures at once"),
        add("--out", type=Path, metavar="FILE", help=f"feature file; by default {network}_CNN_MODE.pkl in --data"),
    ]


def _cnn(text: str) -> str:
    if text not in BACKBONES and not text.startswith(TIMM):
        raise argparse.ArgumentTypeError(
            f"no backbone {text!a:.50}; choose one of {', '.join(BACKBONES)}, or {TIMM}NAME"
        )
    return text


def _margin(text: str) -> float | None:
    try:
        return None if text == SOFT else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or '{SOFT}', got {text[:50]!r}") from None


def count(least: int) -> Callable[[str], int]:
    """A flag's whole number, from ``least``."""

    def number(text: str) -> int:
        if not re.fullmatch("[0-9]{1,19}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text[:50]!r}")
        return int(text)

    return number


def settings(args: argparse.Namespace, device: torch.device) -> Settings:
    """The settings of the training that was asked for."""
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    given["precision"] = (not args.eval and args.precision) or fastest_precision(device.type)
    return Settings(**{name: value for name, value in given.items() if name == "margin" or value is not None})


def checkpoint(args: argparse.Namespace) -> Path | None:
    """The weights to extract with; None for the pretrained backbone alone.

    Raises:
        BodyModelError: there are none in the folder of the run, or they are in an ONNX file.
    """
    if args.checkpoint == IMAGENET:
        return None
    if args.checkpoint and args.checkpoint.lower().endswith(".onnx"):
        raise BodyModelError(f"{args.checkpoint}: an ONNX file is a whole network; reid/extract.py extracts by it")
    return Path(args.checkpoint) if args.checkpoint else checkpoints.trained(args.save_dir)
