"""Training of body networks: one process or many, to the same numbers; stopped and resumed, to the same numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from castsearch.bodies import checkpoints, distributed, losses
from castsearch.bodies.backbones import BodyModelError, normalise
from castsearch.bodies.checkpoints import BEST, LAST
from castsearch.bodies.data import Augmentation, Batches, Identity, Pictures, Sample
from castsearch.bodies.log import Log, Record, Step, Validation
from castsearch.bodies.networks import Network
from castsearch.bodies.settings import Settings, SettingsError
from castsearch.bodies.validation import Validator
from castsearch.images import ImageReader
from castsearch.parallel import ahead


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
    workers: int = 4,
) -> tuple[Trainer, Start]:
    """A trainer with weights to begin with.

    Args:
        settings, people, reader, folder, device, workers: see :class:`Trainer`.
        weights: to begin with, of a whole network or of its backbone; None for torchvision's, downloaded.
        resume: go on from the last checkpoint in ``folder``, if there is one.

    Raises:
        BodyModelError: weights are missing, damaged or of another network, or the checkpoint is of another run.
        SettingsError, TrainingDataError: see :class:`Trainer`.
    """
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
        best: largest mAP met in validation, -1 before the first.

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
        counts = [len(files) for files in people.values()]
        self.batches = Batches(counts, settings.batch_size, settings.image_num, settings.seed)
        augmentation = Augmentation(settings.height, settings.width, settings.color_jitter)
        self.pictures = Pictures(list(people.values()), reader, augmentation, settings.seed)
        self.step, self.best = 0, -1.0
        self._place(model)

    def _place(self, model: Network) -> None:
        """Bring the network to its device and precision, and make what changes its weights."""
        settings, device = self.settings, self.device
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        whole = distributed.synchronised(model, device) if distributed.world() > 1 else model
        self.model = whole.to(self.dtype).to(memory_format=torch.channels_last).to(device)
        self.parallel = DistributedDataParallel(self.model) if distributed.world() > 1 else self.model
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.lr, weight_decay=settings.weight_decay)
        # bfloat16 has the range of float32; only float16 needs its gradients scaled.
        half = device.type == "cuda" and not torch.cuda.is_bf16_supported()
        self.half = torch.float16 if half else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "mixed" and half)

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
        state = checkpoints.read(path)
        for name, value in asdict(self.settings).items():
            found = state.get("settings", {}).get(name)
            if found != value:
                raise BodyModelError(f"{path}: cannot be resumed: its {name} was {found}, now it is {value}")
        if state["identities"] != self.identities:
            raise BodyModelError(f"{path}: cannot be resumed: it was trained on other identities")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.best = state["step"], state["best"]
        return True

    def save(self, name: str) -> None:
        """Write a checkpoint: everything that the rest of the run depends on. Nothing random has a state."""
        if distributed.rank() == 0:
            state = {
                "settings": asdict(self.settings),
                "identities": self.identities,
                "step": self.step,
                "best": self.best,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
            }
            checkpoints.write(self.folder / name, state)

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
            stopped: asked after every step.

        Returns:
            Whether all epochs are done.
        """
        with self._recording(report) as record:
            began = time.perf_counter()
            for pictures, labels in self._stream(epochs):
                record(self._train(pictures, labels, began))
                epoch, rest = divmod(self.step, self.batches.per_epoch)
                last = epoch == epochs
                if validate and rest == 0 and (epoch % val_every == 0 or last):
                    record(self._validate(validate, epoch))
                stop = distributed.any_of(stopped(), self.device)
                if stop or last or (rest == 0 and epoch % save_every == 0):
                    self.save(LAST)
                if stop:
                    break
                began = time.perf_counter()
        return self.step >= epochs * self.batches.per_epoch

    @contextmanager
    def _recording(self, report: Callable[[Record], object]) -> Iterator[Callable[[Record], object]]:
        """Takes records to ``report``, and in the first process to the log; what a killed run left goes away."""
        if distributed.rank() > 0:
            yield report
            return
        log = Log(self.folder, self.step)

        def record(what: Record) -> None:
            log.add(what)
            report(what)

        try:
            self._sweep()
            yield record
        finally:
            log.close()

    def _sweep(self) -> None:
        """Remove what a killed save left behind, and the best checkpoint of an earlier run that is not resumed."""
        for leftover in self.folder.glob(".*.pt.*"):
            leftover.unlink()
        if self.step == 0:
            (self.folder / BEST).unlink(missing_ok=True)

    def _stream(self, epochs: int) -> Iterator[tuple[np.ndarray, list[int]]]:
        """This process's share of every batch to come: (n, h, w, 3) uint8 pictures and their labels."""
        first, done = divmod(self.step, self.batches.per_epoch)
        plan = (batch for epoch in range(first, epochs) for batch in self.batches.epoch(epoch))
        share = self.settings.batch_size * self.settings.image_num // distributed.world()
        start = distributed.rank() * share
        samples = (sample for batch in islice(plan, done, None) for sample in batch[start : start + share])

        def read(sample: Sample) -> tuple[np.ndarray, int]:
            return self.pictures(sample), sample.label

        with ahead(read, samples, self.workers, 3 * share) as ready:
            while batch := list(islice(ready, share)):
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
            embeddings, logits = self.parallel(normalise(torch.from_numpy(pictures).to(self.device), self.dtype))
        everyone = distributed.gather(people)
        mined = [
            losses.triplet_loss(distributed.gather(part), everyone, settings.mining, settings.margin, settings.metric)
            for part in embeddings
        ]
        return losses.class_loss(logits, people, settings.label_smoothing), mined

    def _validate(self, validate: Validator, epoch: int) -> Validation:
        found = validate(self.model)
        if found.mean_ap > self.best:
            self.best = found.mean_ap
            self.save(BEST)
        return Validation(self.step, epoch, found.mean_ap, found.rank(1))
