"""Stage 3, which triplet.py and mgn.py run: training, and extraction."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import nn
from tqdm import tqdm

from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, distributed, engines, models, runs, training
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.checkpoints import BEST, LAST
from castsearch.bodies.extraction import Extractor
from castsearch.bodies.log import Record, Step, Validation
from castsearch.bodies.networks import NETWORKS
from castsearch.bodies.settings import Settings
from castsearch.bodies.validation import Validator, validator
from castsearch.images import ImageReader, check_pictures
from reid import extraction, options
from scripts import cli


def run(network: str, description: str | None) -> None:
    """The ``main`` of the script for ``network``."""
    args = options.parse(network, description)
    device = engines.device(args.gpu)
    settings = options.settings(args, device)
    with engines.memory(), distributed.process_group(device):
        if args.eval:
            extract(args, device)
        else:
            with _run_folder(args):
                train(args, settings, device)


def extract(args: argparse.Namespace, device: torch.device) -> None:
    """Extract the features of a split with a trained network, or the pretrained backbone alone."""
    out = args.out or args.data / stagefiles.reid_name(args.network, args.cnn, args.mode)
    stagefiles.check_target(out, stages=NETWORKS)
    trained = options.checkpoint(args)

    def open_model(pictures: models.Pictures) -> models.BodyModel:
        if distributed.rank() == 0 and trained and not args.checkpoint and (later := checkpoints.later(trained)):
            cli.warn(f"{later} by --checkpoint")
        return models.open_model(
            args.network,
            args.cnn,
            trained,
            imagenet=args.ckpt,
            height=args.height,
            width=args.width,
            last_stride=args.last_stride,
            on=device,
            precision=args.precision or "float32",
            pictures=pictures,
        )

    loaded = "loaded, all but its classifier, which features do not need" if trained else ""
    extraction.extract(args, out, open_model, loaded)


@contextmanager
def _run_folder(args: argparse.Namespace) -> Iterator[None]:
    """The folder of the run, for this one alone; a run of the same settings that lies there is gone on with."""
    args.resume = args.resume or (not args.overwrite and (args.save_dir / LAST).exists())
    try:
        runs.check(args.save_dir, replaces=args.resume or args.overwrite)
    except runs.RunExistsError as error:
        raise runs.RunExistsError(f"{error}, or replace it by --overwrite") from None
    if distributed.rank() > 0:
        yield
        return
    with cli.alone(args.save_dir / LAST):
        yield


def train(args: argparse.Namespace, settings: Settings, device: torch.device) -> None:
    """Train on the train split, or on train and val."""
    modes = ("train", "val") if args.use_val else ("train",)
    people = data.identities({m: stagefiles.read_body(args.data / stagefiles.body_name(m)) for m in modes})
    reader = ImageReader(args.image_root, args.skip_bad)
    check_pictures(args.image_root, [file for files in people.values() for file in files], args.skip_bad)
    for mode in modes:
        cli.split_folder(args.image_root, mode, "--image_root")
    try:
        trainer, start = training.open_run(
            settings,
            people,
            reader,
            args.save_dir,
            device,
            weights=args.ckpt,
            resume=args.resume,
            overwrite=args.overwrite,
            workers=args.num_workers,
        )
    except BodyModelError as error:
        if not args.resume:
            raise
        raise BodyModelError(f"{error}; --overwrite takes its place, or name another folder by --save_dir") from None
    last = args.save_dir / LAST
    show = _Report(trainer, args.epochs)
    if start is training.Start.CHECKPOINT:
        show.say(f"{last}: resumed after {trainer.step} steps")
    elif start is training.Start.NETWORK:
        show.say(f"{args.ckpt}: loaded, all but its classifier, which told other identities apart")
    if not trainer.known_pictures:
        show.warn(f"{last}: an earlier version wrote it and did not tell its pictures; see that they are the same")
    if args.val_every and args.mode in modes:
        show.warn(f"--mode {args.mode} is trained on, so that its scores, by which {BEST} is chosen, say little")
    pictures = sum(map(len, people.values()))
    show.say(f"{len(people)} identities, {pictures} pictures, {trainer.batches.per_epoch} steps an epoch, on {device}")
    stopped = _stop_on_signal()
    validate = _validator(args, settings, reader, device, stopped) if args.val_every else None
    finished = trainer.run(args.epochs, args.save_every, validate, args.val_every, show, stopped)
    if distributed.rank() == 0:
        cli.done(f"{trainer.step} of {show.total} steps -> {last}", last, identities=len(people), pictures=pictures)
        cli.report_pictures(reader)
    if not finished:
        raise KeyboardInterrupt


def _validator(
    args: argparse.Namespace,
    settings: Settings,
    reader: ImageReader,
    device: torch.device,
    stopped: Callable[[], bool],
) -> Validator:
    split = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))

    def extractor(network: nn.Module) -> Extractor:
        model = models.BodyModel(engines.torch_engine(network, device), settings.height, settings.width)
        return Extractor(model, reader, args.test_batch_size, args.num_workers, stopped)

    return validator(split, args.mode, extractor)


class _Report:
    """Shows steps as a bar on a terminal, epochs and validations as lines; the first process speaks for all."""

    def __init__(self, trainer: training.Trainer, epochs: int) -> None:
        self._silent = distributed.rank() > 0
        self._per_epoch, self._epochs = trainer.batches.per_epoch, epochs
        self.total = epochs * self._per_epoch
        off = True if self._silent or cli.is_quiet() else None
        self._bar = tqdm(total=self.total, initial=trainer.step, unit="step", disable=off, dynamic_ncols=True)
        self._steps: list[Step] = []

    def __call__(self, record: Record) -> None:
        if isinstance(record, Validation):
            self.say(f"epoch {record.epoch}: mAP {100 * record.mean_ap:.2f}, Rank-1 {100 * record.rank1:.2f}")
            return
        self._steps.append(record)
        self._bar.set_postfix_str(_figures([record]))
        self._bar.update()
        if record.step % self._per_epoch == 0:
            per_step = sum(r.seconds for r in self._steps) / len(self._steps)
            left = tqdm.format_interval((self._epochs - record.epoch) * self._per_epoch * per_step)
            self.say(f"epoch {record.epoch}/{self._epochs}: {_figures(self._steps)}, {left} left")
            self._steps = []

    def say(self, line: str) -> None:
        """Print a line that leaves the bar whole."""
        if not self._silent and not cli.is_quiet():
            tqdm.write(line)
            sys.stdout.flush()

    def warn(self, line: str) -> None:
        """Print a warning."""
        if not self._silent:
            cli.warn(line)


def _figures(steps: list[Step]) -> str:
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
