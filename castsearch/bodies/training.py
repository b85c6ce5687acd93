"""Training of body networks: one process or many, to the same numbers; stopped and resumed, to the same numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from castsearch.annotations import OTHERS
from castsearch.bodies import checkpoints, distributed, losses, scoring
from castsearch.bodies.backbones import BodyModelError, normalise
from castsearch.bodies.checkpoints import BEST, LAST
from castsearch.bodies.data import Augmentation, Batches, Identity, Pictures, Sample, TrainingDataError
from castsearch.bodies.extraction import Extractor, files_of
from castsearch.bodies.networks import Network
from castsearch.bodies.scoring import Retrieval
from castsearch.images import ImageReader
from castsearch.parallel import ahead
from castsearch.stagefiles import Item, atomic_write

PRECISIONS = ("float32", "mixed", "float64")


@dataclass(frozen=True)
class Settings:
    """Everything that the numbers of a run depend on, besides data and first weights.

    Attributes:
        network, cnn: what is trained.
        height, width: of the pictures.
        last_stride: of the backbone's last stage.
        batch_size: identities in a batch (P), over all processes.
        image_num: pictures of each identity (K).
        mining, margin, metric: of the triplet loss; margin None is the soft one.
        lr, weight_decay: of Adam.
        warmup: epochs over which the learning rate rises to ``lr``.
        lr_decay_epoch, gamma: the learning rate is multiplied by ``gamma`` every so many epochs.
        label_smoothing: of the cross entropy.
        color_jitter: see :class:`castsearch.bodies.data.Augmentation`.
        precision: one of :data:`PRECISIONS`; float64 is for comparing runs, free of rounding.
        seed: of everything random.
    """

    network: str
    cnn: str
    height: int = 256
    width: int = 128
    last_stride: int = 1
    batch_size: int = 18
    image_num: int = 4
    mining: str = "adaptive"
    margin: float | None = None
    metric: str = "euclidean"
    lr: float = 3e-4
    weight_decay: float = 5e-4
    warmup: int = 0
    lr_decay_epoch: int = 150
    gamma: float = 0.1
    label_smoothing: float = 0.0
    color_jitter: float = 0.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.image_num < 2:
            raise TrainingDataError(
                f"batches of {self.batch_size} identities x {self.image_num} pictures hold no triplet; "
                "--batch_size and --image_num must be at least 2"
            )
        if self.batch_size % distributed.world():
            raise TrainingDataError(
                f"--batch_size {self.batch_size} cannot be shared evenly by {distributed.world()} processes"
            )

    def learning_rate(self, epoch: int, progress: float) -> float:
        """The learning rate after ``progress`` epochs, of which ``epoch`` are whole."""
        rising = min(progress / self.warmup, 1.0) if self.warmup else 1.0
        return self.lr * rising * self.gamma ** (epoch // self.lr_decay_epoch)


@dataclass(frozen=True)
class Step:
    """What a step of training came to, over all processes."""

    step: int
    epoch: int
    loss: float
    class_loss: float
    triplet_loss: float
    top1: float
    precision: float
    lr: float
    images: int
    seconds: float


@dataclass(frozen=True)
class Validation:
    """How well the features of a split retrieve people, within each movie."""

    step: int
    epoch: int
    mean_ap: float
    rank1: float


class Log:
    """The run's records, as JSON lines in ``log.jsonl`` and as TensorBoard events, in ``folder``."""

    def __init__(self, folder: Path, step: int) -> None:
        """Continue a log after ``step`` steps; what a killed run recorded beyond them is dropped."""
        path = folder / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if step and path.exists() else []
        with atomic_write(path) as file:
            file.writelines(line.encode() for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step)
        self._lines = path.open("a", buffering=1)
        self._board = SummaryWriter(str(folder), purge_step=step + 1)  # TensorBoard drops them itself

    def add(self, record: Step | Validation) -> None:
        """Append a record."""
        figures = asdict(record)
        self._lines.write(json.dumps(figures) + "\n")
        kind = "train" if isinstance(record, Step) else "val"
        for name, figure in figures.items():
            if name not in ("step", "epoch"):
                self._board.add_scalar(f"{kind}/{name}", figure, record.step)

    def close(self) -> None:
        """Write what is still held back."""
        self._lines.close()
        self._board.close()


def new_network(settings: Settings, num_classes: int) -> Network:
    """The network to train, its random weights drawn from the seed."""
    torch.manual_seed(settings.seed)
    return checkpoints.build(settings.network, settings.cnn, num_classes, settings.last_stride)


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
        self.settings, self.reader, self.folder, self.device, self.workers = settings, reader, folder, device, workers
        self.identities = [list(identity) for identity in people]
        counts = [len(files) for files in people.values()]
        self.batches = Batches(counts, settings.batch_size, settings.image_num, settings.seed)
        augmentation = Augmentation(settings.height, settings.width, settings.color_jitter)
        self.pictures = Pictures(list(people.values()), reader, augmentation, settings.seed)
        self.step, self.best = 0, -1.0

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
        validate: Callable[[nn.Module], Retrieval] | None = None,
        val_every: int = 1,
        report: Callable[[Step | Validation], object] = lambda record: None,
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
        log = Log(self.folder, self.step) if distributed.rank() == 0 else None

        def record(what: Step | Validation) -> None:
            if log:
                log.add(what)
            report(what)

        try:
            if log:
                self._sweep()
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
        finally:
            if log:
                log.close()
        return self.step >= epochs * self.batches.per_epoch

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
        settings = self.settings
        epoch = self.step // self.batches.per_epoch
        lr = settings.learning_rate(epoch, (self.step + 1) / self.batches.per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.parallel.train()
        people = torch.tensor(labels, device=self.device)
        with torch.autocast(self.device.type, self.half, enabled=settings.precision == "mixed"):
            embeddings, logits = self.parallel(normalise(torch.from_numpy(pictures).to(self.device), self.dtype))
        everyone = distributed.gather(people)
        mined = [
            losses.triplet_loss(distributed.gather(part), everyone, settings.mining, settings.margin, settings.metric)
            for part in embeddings
        ]
        triplet = torch.stack([part.loss for part in mined]).sum()
        classes = losses.class_loss(logits, people, settings.label_smoothing)
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
            images=len(everyone),
            seconds=time.perf_counter() - began,
        )

    def _validate(self, validate: Callable[[nn.Module], Retrieval], epoch: int) -> Validation:
        found = validate(self.model)
        if found.mean_ap > self.best:
            self.best = found.mean_ap
            self.save(BEST)
        return Validation(self.step, epoch, found.mean_ap, found.rank(1))


def validator(
    body: Mapping[str, Mapping[str, Sequence[Item]]], mode: str, extractor: Callable[[nn.Module], Extractor]
) -> Callable[[nn.Module], Retrieval]:
    """Scores a network on a split: within each movie, every labelled candidate looks for its other pictures.

    The movies are shared among the processes.

    Args:
        body: content of ``body_{mode}.pkl``.
        mode: the split.
        extractor: makes an extractor of a network.

    Raises:
        TrainingDataError: a candidate has no label.
    """
    for movie, content in body.items():
        for item in content["candidates"]:
            if item.get("label") is None:
                raise TrainingDataError(f"body_{mode}.pkl: movie {movie}: {item['id']} has no label to score by")
    files = files_of(body, mode, with_cast=False)
    mine = list(body)[distributed.rank() :: distributed.world()]

    def validate(model: nn.Module) -> Retrieval:
        extract = extractor(model)
        parts = [
            scoring.within(extract(files[movie]), [item["label"] for item in body[movie]["candidates"]], OTHERS)
            for movie in mine
            if files[movie]
        ]
        return scoring.joined(distributed.joined(parts))

    return validate
