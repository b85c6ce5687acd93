"""Training of body networks: one process or many, to the same numbers; stopped and resumed, to the same numbers."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from castsearch.bodies import checkpoints, distributed, losses, runs
from castsearch.bodies.backbones import normalise
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.checkpoints import BEST, LAST, RunState
from castsearch.bodies.data import Augmentation, Batches, Identity, Pictures, Sample, digests
from castsearch.bodies.distributed import Stopped
from castsearch.bodies.log import Log, Record, Step, Validation
from castsearch.bodies.networks import Network
from castsearch.bodies.settings import Settings, SettingsError
from castsearch.bodies.validation import Validator
from castsearch.errors import CastSearchError
from castsearch.images import ImageReader
from castsearch.parallel import ahead


class DivergedError(CastSearchError):
    """A training whose numbers are no longer finite."""


class Start(Enum):
    """Where a run begins."""

    BACKBONE = "at weights of the backbone"
    NETWORK = "at weights of a whole network, less its classifier, which told other identities apart"
    CHECKPOINT = "where an earlier run of the same settings stopped"


def new_network(settings: Settings, num_classes: int) -> Network:
    """The network to train, its random weights drawn from the seed."""
    torch.manual_seed(settings.seed)
    return checkpoints.build(settings.network, settings.cnn, num_classes, settings.last_stride)


def open_run(
    settings: Settings,
    people: Mapping[Identity, Sequence[str]],
    reader: ImageReader,
    folder: Path,
    device: torch.device,
    *,
    weights: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int = 4,
) -> tuple[Trainer, Start]:
    """A trainer with weights to begin with.

    Args:
        settings, people, reader, folder, device, workers: see :class:`Trainer`.
        weights: to begin with, of a whole network or of its backbone; None for torchvision's, downloaded.
        resume: go on from the last checkpoint in ``folder``, if there is one.
        overwrite: take the place of a run in ``folder``, once the first checkpoint of this one is whole.

    Raises:
        RunExistsError: a run lies in ``folder``, and shall neither be gone on with nor be replaced.
        StageFileError: there is no writing there.
        BodyModelError: weights are missing, damaged or of another network, or the checkpoint is of another run.
        SettingsError, TrainingDataError: see :class:`Trainer`.
    """
    runs.check(folder, replaces=resume or overwrite)
    network = new_network(settings, len(people))
    start = Start.BACKBONE
    if resume and (folder / LAST).exists():
        start = Start.CHECKPOINT
    elif weights is None:
        checkpoints.load_imagenet(network)
    elif checkpoints.load_weights(network, weights):
        start = Start.NETWORK
    trainer = Trainer(settings, people, network, reader, folder, device, workers)
    if start is Start.CHECKPOINT:
        trainer.resume()
    return trainer, start


def half_precision(device: torch.device) -> torch.dtype:
    """What mixed precision computes in: bfloat16, which has the range of float32, where the device is built for it.

    GPUs before Ampere (V100, T4) emulate it, at a fraction of their speed, and torch counts that as support. They get
    float16, whose gradients need to be scaled.
    """
    emulated = device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)
    return torch.float16 if emulated else torch.bfloat16


class Trainer:
    """Trains a network.

    Args:
        settings: of the run.
        people: pictures of each identity.
        model: the network with its first weights.
        reader: reads pictures.
        folder: receives checkpoints and logs.
        device: to compute on.
        workers: threads that read pictures ahead.

    Attributes:
        step: steps done so far.
        validated: step of the last validation, 0 before the first.
        best: largest mAP met in validation, -1 before the first.
        known_pictures: whether the checkpoint that it goes on from told its pictures; those of earlier versions do not.

    Raises:
        SettingsError: the processes cannot share a batch evenly.
        TrainingDataError: there are fewer identities than a batch needs.
    """

    def __init__(
        self,
        settings: Settings,
        people: Mapping[Identity, Sequence[str]],
        model: Network,
        reader: ImageReader,
        folder: Path,
        device: torch.device,
        workers: int = 4,
    ) -> None:
        if settings.batch_size % distributed.world():
            raise SettingsError(
                f"a batch_size of {settings.batch_size} cannot be shared evenly by {distributed.world()} processes"
            )
        self.settings, self.folder, self.device, self.workers = settings, folder, device, workers
        self.identities = [list(identity) for identity in people]
        self.digests = digests(people)
        counts = [len(files) for files in people.values()]
        self.batches = Batches(counts, settings.batch_size, settings.image_num, settings.seed)
        augmentation = Augmentation(settings.height, settings.width, settings.color_jitter)
        self.pictures = Pictures(list(people.values()), reader, augmentation, settings.seed)
        self.run_name = secrets.token_hex(8)
        self.step, self.validated, self.best = 0, 0, -1.0
        self.known_pictures = True
        self._saved = (0, 0)  # step and validated of the last checkpoint
        self._log: Log | None = None
        self._place(model)

    def _place(self, model: Network) -> None:
        """Bring the network to its device and precision, and make what changes its weights."""
        settings, device = self.settings, self.device
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        whole = distributed.synchronised(model, device) if distributed.world() > 1 else model
        self.model = whole.to(self.dtype).to(memory_format=torch.channels_last).to(device)
        self.parallel = DistributedDataParallel(self.model) if distributed.world() > 1 else self.model
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.lr, weight_decay=settings.weight_decay)
        self.half = half_precision(device)
        scaled = settings.precision == "mixed" and self.half == torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=scaled)

    # ------------------------------------------------------------------ checkpoints

    def resume(self) -> bool:
        """Go on from the last checkpoint in the folder, to the numbers of a run that never stopped.

        Returns:
            Whether there was one.

        Raises:
            BodyModelError: it is damaged, or of a run with other settings or other data.
        """
        path = self.folder / LAST
        if not path.exists():
            return False
        state = RunState.read(path)
        self._check_same_run(state, path)
        checkpoints.check_alike(state.model, self.model.state_dict(), path)
        moments = self._moments_of(state.optimizer, path)
        if (name := checkpoints.not_finite(state.model | _flat(state.optimizer))) is not None:
            raise BodyModelError(f"{path}: cannot be resumed: {name} is not finite, its training diverged; train anew")
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(moments)
        if self.scaler.is_enabled() and state.scaler.keys() == self.scaler.state_dict().keys():
            self.scaler.load_state_dict(state.scaler)
        self.run_name, self.known_pictures = state.run, state.pictures is not None
        self.step, self.validated, self.best = state.step, state.validated, state.best
        self._saved = (state.step, state.validated)
        return True

    def _check_same_run(self, state: RunState, path: Path) -> None:
        for name, value in asdict(self.settings).items():
            found = state.settings.get(name)
            if found != value:
                raise BodyModelError(f"{path}: cannot be resumed: its {name} was {found!s:.50}, now it is {value}")
        if state.identities != self.identities:
            raise BodyModelError(f"{path}: cannot be resumed: it was trained on other identities")
        for identity, then, now in zip(self.identities, state.pictures or self.digests, self.digests, strict=False):
            if then != now:
                raise BodyModelError(
                    f"{path}: cannot be resumed: it was trained on other pictures of {identity[1]} in {identity[0]}"
                )

    def _moments_of(self, found: Mapping[int, Mapping[str, Tensor]], path: Path) -> dict[str, Any]:
        """The optimizer's state with the moments of a checkpoint, which must fit the weights."""
        weights = list(self.model.parameters())
        wanted = {i: {"step": torch.tensor(0.0), "exp_avg": w, "exp_avg_sq": w} for i, w in enumerate(weights)}
        checkpoints.check_alike(_flat(found), _flat(wanted), path, "an optimizer")
        return {**self.optimizer.state_dict(), "state": found}

    def save(self, name: str) -> None:
        """Write a checkpoint, unless the training diverged.

        Raises:
            DivergedError: weights or moments are not finite.
            StageFileError: there is no writing there, or no room; the earlier checkpoint stays.
        """
        self._check_finite()
        if distributed.rank() > 0:
            return
        state = RunState(
            run=self.run_name,
            settings=asdict(self.settings),
            identities=self.identities,
            pictures=self.digests if self.known_pictures else None,
            step=self.step,
            validated=self.validated,
            best=self.best,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict()["state"],
            scaler=self.scaler.state_dict(),
        )
        if self._log is not None:
            self._log.put_aside()
        state.write(self.folder / name)
        if name == LAST:
            self._saved = (self.step, self.validated)
            if self._log is not None and self._log.waits:
                self._log.begin()
                runs.take_over(self.folder)

    def _check_finite(self) -> None:
        name = checkpoints.not_finite(self.model.state_dict() | _flat(self.optimizer.state_dict()["state"]))
        if name is not None:
            raise self._diverged(f"{name} is not finite")

    def _diverged(self, what: str) -> DivergedError:
        step, _ = self._saved
        kept = f"{self.folder / LAST} of step {step} is kept" if step else "no checkpoint was written"
        return DivergedError(
            f"step {self.step}: {what}, the training diverged; {kept}; begin again with a lower learning rate (lr)"
        )

    # ------------------------------------------------------------------ steps

    def run(
        self,
        epochs: int,
        save_every: int = 1,
        validate: Validator | None = None,
        val_every: int = 1,
        report: Callable[[Record], object] = lambda record: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train until ``epochs`` are done, or ``stopped`` says so; both end with a checkpoint.

        Args:
            epochs: of the whole run, those before it was resumed included.
            save_every: epochs between checkpoints.
            validate: scores the network; the best one is kept.
            val_every: epochs between validations.
            report: told every step and every validation.
            stopped: asked while pictures are read, by whatever thread, and before each step.

        Returns:
            Whether all epochs are done.

        Raises:
            DivergedError: a loss, a weight or a moment is not finite.
            StageFileError: there is no writing to the folder, or no room.
        """
        with self._recording(report) as record:
            try:
                self._validate(validate, epochs, val_every, record)  # which an earlier run may have been stopped in
                began = time.perf_counter()
                for pictures, labels in self._stream(epochs, stopped):
                    record(self._train(pictures, labels, began))
                    self._validate(validate, epochs, val_every, record)
                    epoch, rest = divmod(self.step, self.batches.per_epoch)
                    if epoch == epochs or (rest == 0 and epoch % save_every == 0):
                        self.save(LAST)
                    began = time.perf_counter()
            except Stopped:
                if self._saved != (self.step, self.validated):
                    self.save(LAST)
                return False
        return True

    @contextmanager
    def _recording(self, report: Callable[[Record], object]) -> Iterator[Callable[[Record], object]]:
        """Takes records to ``report``, and in the first process to the log."""
        if distributed.rank() > 0:
            yield report
            return
        log = self._log = self._open_log()

        def record(what: Record) -> None:
            log.add(what)
            report(what)

        try:
            yield record
        finally:
            log.close()

    def _open_log(self) -> Log:
        """The log; of a run that replaces another, it waits for the first checkpoint."""
        runs.settle(self.folder)
        replaces = not self.step and runs.found_in(self.folder)
        aside = runs.log_aside(self.folder, self.run_name) if replaces else None
        return Log(self.folder, self.step, self.validated, aside)

    def _stream(self, epochs: int, stopped: Callable[[], bool]) -> Iterator[tuple[np.ndarray, list[int]]]:
        """This process's share of every batch to come: (n, h, w, 3) uint8 pictures and their labels.

        Raises:
            Stopped: in all processes, when one is told to stop.
        """
        first, done = divmod(self.step, self.batches.per_epoch)
        plan = (batch for epoch in range(first, epochs) for batch in self.batches.epoch(epoch))
        share = self.settings.batch_size * self.settings.image_num // distributed.world()
        start = distributed.rank() * share
        samples = (sample for batch in islice(plan, done, None) for sample in batch[start : start + share])

        def read(sample: Sample) -> tuple[np.ndarray, int] | None:
            return None if stopped() else (self.pictures(sample), sample.label)

        with ahead(read, samples, self.workers, 3 * share) as ready:
            while batch := list(islice(ready, share)):
                if distributed.any_of(stopped() or None in batch, self.device):
                    raise Stopped
                pictures, labels = zip(*batch, strict=True)
                yield np.stack(pictures), list(labels)

    def _train(self, pictures: np.ndarray, labels: Sequence[int], began: float) -> Step:
        """One step of Adam; ``pictures`` and ``labels`` are this process's share, the figures are of all."""
        epoch = self.step // self.batches.per_epoch
        lr = self.settings.learning_rate(epoch, (self.step + 1) / self.batches.per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        classes, mined = self._losses(pictures, torch.tensor(labels, device=self.device))
        triplet = torch.stack([part.loss for part in mined]).sum()
        self.optimizer.zero_grad()
        self.scaler.scale(classes + triplet).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1

        class_loss, triplet_loss = float(distributed.gather(classes.detach()[None]).mean()), float(triplet.detach())
        if not math.isfinite(class_loss + triplet_loss):
            raise self._diverged(f"the loss is {class_loss + triplet_loss}")
        return Step(
            step=self.step,
            epoch=epoch + 1,
            loss=class_loss + triplet_loss,
            class_loss=class_loss,
            triplet_loss=triplet_loss,
            top1=float(torch.stack([part.top1 for part in mined]).mean()),
            precision=float(torch.stack([part.precision for part in mined]).mean()),
            lr=lr,
            images=self.settings.batch_size * self.settings.image_num,
            seconds=time.perf_counter() - began,
        )

    def _losses(self, pictures: np.ndarray, people: Tensor) -> tuple[Tensor, list[losses.Triplets]]:
        """Cross entropy of this process's share, and for each part of the network the triplets of the whole batch."""
        settings = self.settings
        self.parallel.train()
        with torch.autocast(self.device.type, self.half, enabled=settings.precision == "mixed"):
            on_device = torch.from_numpy(pictures).to(self.device)
            embeddings, logits = self.parallel(normalise(on_device, self.dtype, settings.cnn))
        everyone = distributed.gather(people)
        mined = [
            losses.triplet_loss(distributed.gather(part), everyone, settings.mining, settings.margin, settings.metric)
            for part in embeddings
        ]
        return losses.class_loss(logits, people, settings.label_smoothing), mined

    def _validate(
        self, validate: Validator | None, epochs: int, val_every: int, record: Callable[[Record], object]
    ) -> None:
        """Validate where an epoch has ended after which that is due, and keep the best."""
        if validate is None or self.validated == self.step:
            return
        epoch, rest = divmod(self.step, self.batches.per_epoch)
        if rest or (epoch % val_every and epoch != epochs):
            return
        self._check_finite()
        found = validate(self.model)
        better = found.mean_ap > self.best
        if better and self._log is not None and self._log.waits:
            self.save(LAST)  # before a best one of this run stands beside the last one of another
        self.validated, self.best = self.step, max(self.best, found.mean_ap)
        if better:
            self.save(BEST)
        record(Validation(self.step, epoch, found.mean_ap, found.rank(1)))


def _flat(moments: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The optimizer's moments by one name each."""
    return {f"{name} of weight {i}": tensor for i, some in moments.items() for name, tensor in some.items()}
