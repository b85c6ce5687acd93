"""What triplet.py and mgn.py share: their flags, and what they do with them."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from torch import nn
from tqdm import tqdm

from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, distributed, extraction, losses, training
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.checkpoints import IMAGENET
from castsearch.images import ImageReader
from scripts import cli

SHAPE = {"height": 256, "width": 128, "last_stride": 1}
DEFAULT_CNN = {"triplet": "resnext101_32x8d", "mgn": "resnet50"}


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
    add("--gpu", type=int, metavar="N", help="number of the GPU, -1 for the CPU; by default a GPU if there is one")
    add("--num_workers", type=_count, default=4, metavar="N", help="threads that read pictures ahead")
    trained = "by default that of the checkpoint's training, or"
    add("--height", type=_count, metavar="N", help=f"of the pictures the network sees; {trained} {SHAPE['height']}")
    add("--width", type=_count, metavar="N", help=f"of the pictures the network sees; {trained} {SHAPE['width']}")
    add(
        "--last_stride",
        type=int,
        choices=(1, 2),
        help=f"of the backbone's last stage; {trained} {SHAPE['last_stride']}",
    )
    _add_training(parser.add_argument_group("training").add_argument)
    _add_extraction(parser.add_argument_group("extraction").add_argument, network)
    args = parser.parse_args()
    args.network = network
    args.save_dir = args.save_dir or cli.RESULTS / f"{network}_{args.cnn}"
    return args


def _add_training(add: Callable[..., object]) -> None:
    add("--use_val", action="store_true", help="train on the val split too")
    add("--epochs", type=_count, default=450, metavar="N")
    add("--batch_size", type=int, default=18, metavar="P", help="identities in a batch, over all processes")
    add("--image_num", type=int, default=4, metavar="K", help="pictures of each identity in a batch")
    add("--type", choices=losses.MINING, default="adaptive", help="how triplets are mined")
    add("--margin", type=_margin, default="soft", help="of the triplet loss: a number, or 'soft'")
    add("--metric", choices=losses.METRICS, default="euclidean", help="distance of the triplet loss")
    add("--lr", type=float, default=3e-4, help="learning rate of Adam")
    add("--weight_decay", type=float, default=5e-4)
    add("--warmup", type=int, default=0, metavar="N", help="epochs over which the learning rate rises")
    add("--lr_decay_epoch", type=_count, default=150, metavar="N", help="epochs after which the learning rate falls")
    add("--gamma", type=float, default=0.1, help="factor by which it falls")
    add("--label_smoothing", type=float, default=0.0, metavar="X", help="of the cross entropy")
    add("--color_jitter", type=float, default=0.0, metavar="X", help="change of brightness, contrast and saturation")
    add("--precision", choices=training.PRECISIONS, help="by default mixed on GPUs and float32 on CPUs")
    add("--seed", type=int, default=0, help="of everything random")
    add("--save_every", type=_count, default=5, metavar="N", help="epochs between checkpoints")
    add("--val_every", type=int, default=0, metavar="N", help="epochs between evaluations on --mode, 0 for none")
    add("--resume", action="store_true", help="go on from the last checkpoint in --save_dir, if there is one")


def _add_extraction(add: Callable[..., object], network: str) -> None:
    add("--eval", action="store_true", help="extract features instead of training")
    add(
        "--checkpoint",
        metavar="FILE",
        help=f"trained weights, or '{IMAGENET}'; by default the best in --save_dir, or the last",
    )
    add("--with_cast", action="store_true", help="portraits too, before the candidates")
    add("--test_batch_size", type=_count, default=16, metavar="N", help="pictures at once")
    add("--out", type=Path, metavar="FILE", help=f"feature file; by default {network}_CNN_MODE.pkl in --data")


def _margin(text: str) -> float | None:
    try:
        return None if text == "soft" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or 'soft', got {text!r}") from None


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def run(network: str, description: str | None) -> None:
    """The ``main`` of the script for ``network``."""
    args = parse(network, description)
    device = extraction.device(args.gpu)
    trained = _trained(args) if args.eval else None
    found = checkpoints.read(trained).get("settings", {}) if trained else {}
    for name, default in SHAPE.items():
        if getattr(args, name) is None:
            setattr(args, name, found.get(name, default))
    if args.eval:
        evaluate(args, device, trained)
    else:
        with distributed.process_group(device):
            train(args, device)


def _trained(args: argparse.Namespace) -> Path | None:
    """The checkpoint to extract with; None for the pretrained backbone alone."""
    if args.checkpoint == IMAGENET:
        return None
    return Path(args.checkpoint) if args.checkpoint else checkpoints.trained(args.save_dir)


def evaluate(args: argparse.Namespace, device: extraction.Device, trained: Path | None) -> None:
    """Extract the features of a split with a trained network, or the pretrained backbone alone."""
    body = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    engine, metadata = _engine(args, device, trained)
    extractor = _extractor(args, engine)
    out = args.out or args.data / stagefiles.reid_name(args.network, args.cnn, args.mode)
    files = extraction.files_of(body, args.mode, args.with_cast)
    extraction.extract_split(extractor, files, out, metadata, cli.progress)
    print(f"{len(files)} movies, {sum(map(len, files.values()))} pictures -> {out}")
    cli.report_bad(extractor.reader.bad)


def _engine(
    args: argparse.Namespace, device: extraction.Device, trained: Path | None
) -> tuple[extraction.Engine, dict[str, object]]:
    """The network ready to run, and what its features depend on."""
    model = checkpoints.build(args.network, args.cnn, last_stride=args.last_stride)
    source = trained or checkpoints.load_imagenet(model, args.ckpt)
    if trained:
        checkpoints.load_weights(model, trained)
        print(f"{trained}: loaded, all but its classifier, which features do not need")
    name, engine = extraction.fastest_engine(model, device, args.height, args.width)
    return engine, {
        "network": args.network,
        "cnn": args.cnn,
        "weights": source.name,
        "sha256": stagefiles.file_sha256(source),
        "size": [args.height, args.width],
        "last_stride": args.last_stride,
        "with_cast": args.with_cast,
        "engine": name,
    }


def _extractor(args: argparse.Namespace, engine: extraction.Engine) -> extraction.Extractor:
    reader = ImageReader(args.image_root, args.skip_bad)
    return extraction.Extractor(engine, reader, args.height, args.width, args.test_batch_size, args.num_workers)


def train(args: argparse.Namespace, device: extraction.Device) -> None:
    """Train on the train split."""
    modes = ("train", "val") if args.use_val else ("train",)
    people = data.identities({m: stagefiles.read_body(args.data / stagefiles.body_name(m)) for m in modes})
    names = training.Settings.__dataclass_fields__.keys() - {"mining", "precision"}
    settings = training.Settings(
        **{name: getattr(args, name) for name in names},
        mining=args.type,
        precision=args.precision or ("mixed" if device.type == "cuda" else "float32"),
    )
    model = training.new_network(settings, len(people))
    if not (args.resume and (args.save_dir / checkpoints.LAST).exists()):
        _begin(model, args)
    reader = ImageReader(args.image_root, args.skip_bad)
    trainer = training.Trainer(settings, people, model, reader, args.save_dir, device, args.num_workers)
    if args.resume and trainer.resume() and distributed.rank() == 0:
        print(f"{args.save_dir / checkpoints.LAST}: resumed after {trainer.step} steps")
    validate = _validator(args, device) if args.val_every else None

    total = args.epochs * trainer.batches.per_epoch
    pictures = sum(map(len, people.values()))
    show = _Report(total, trainer, args.epochs)
    show.say(f"{len(people)} identities, {pictures} pictures, {trainer.batches.per_epoch} steps an epoch, on {device}")
    finished = trainer.run(args.epochs, args.save_every, validate, args.val_every, show, _stop_on_signal())
    show.say(f"{trainer.step} of {total} steps -> {args.save_dir / checkpoints.LAST}")
    cli.report_bad(reader.bad)
    if not finished:
        raise KeyboardInterrupt


def _begin(model: checkpoints.Network, args: argparse.Namespace) -> None:
    if args.ckpt is None:
        checkpoints.load_imagenet(model)
    elif checkpoints.load_weights(model, args.ckpt) and distributed.rank() == 0:
        print(f"{args.ckpt}: loaded, all but its classifier, which told other identities apart")


def _validator(args: argparse.Namespace, device: extraction.Device) -> Callable[[nn.Module], training.Retrieval]:
    body = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    return training.validator(body, args.mode, lambda model: _extractor(args, extraction.torch_engine(model, device)))


class _Report:
    """Shows steps as a bar on a terminal, epochs and validations as lines; the first process speaks for all."""

    def __init__(self, total: int, trainer: training.Trainer, epochs: int) -> None:
        self._silent = distributed.rank() > 0
        self._per_epoch, self._epochs = trainer.batches.per_epoch, epochs
        off = True if self._silent else None
        self._bar = tqdm(total=total, initial=trainer.step, unit="step", disable=off, dynamic_ncols=True)
        self._steps: list[training.Step] = []

    def __call__(self, record: training.Step | training.Validation) -> None:
        if isinstance(record, training.Validation):
            self.say(f"epoch {record.epoch}: mAP {100 * record.mean_ap:.2f}, Rank-1 {100 * record.rank1:.2f}")
            return
        self._steps.append(record)
        self._bar.set_postfix_str(_figures([record]))
        self._bar.update()
        if record.step % self._per_epoch == 0:
            left = (
                (self._epochs - record.epoch) * sum(r.seconds for r in self._steps) / len(self._steps) * self._per_epoch
            )
            self.say(f"epoch {record.epoch}/{self._epochs}: {_figures(self._steps)}, {tqdm.format_interval(left)} left")
            self._steps = []

    def say(self, line: str) -> None:
        """Print a line that leaves the bar whole."""
        if not self._silent:
            tqdm.write(line)
            sys.stdout.flush()


def _figures(steps: list[training.Step]) -> str:
    n = len(steps)
    loss, top1, precision = (sum(getattr(s, name) for s in steps) / n for name in ("loss", "top1", "precision"))
    rate = sum(s.images for s in steps) / sum(s.seconds for s in steps)
    return f"loss {loss:.4f}, top-1 {top1:.3f}, precision {precision:.3f}, {rate:.1f} images/s"


def _stop_on_signal() -> Callable[[], bool]:
    """Whether Ctrl-C was pressed, or the machine's owner asked to stop; the second time does at once."""
    asked = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return lambda: bool(asked)
