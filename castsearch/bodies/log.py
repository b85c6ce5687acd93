"""The records of a training run, and where they are kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from torch.utils.tensorboard import SummaryWriter

from castsearch.stagefiles import atomic_write


@dataclass(frozen=True)
class Step:
    """What a step of training came to, over all processes.

    Attributes:
        step, epoch: its number, and that of the epoch it belongs to, from 1.
        loss: the sum of ``class_loss`` and ``triplet_loss``.
        top1, precision: see :class:`castsearch.bodies.losses.Triplets`; the mean over the parts of the network.
        lr: the learning rate.
        images: pictures in the batch.
        seconds: waiting for the pictures included.
    """

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
    """How well the features of a split retrieve people, within each movie: fractions, after ``step`` steps."""

    step: int
    epoch: int
    mean_ap: float
    rank1: float


Record: TypeAlias = Step | Validation


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

    def add(self, record: Record) -> None:
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
