"""The records of a training run, and where they are kept."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO, TypeAlias

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from castsearch.stagefiles import StageFileError, atomic_write

LOG = "log.jsonl"


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
    """The run's records, as JSON lines in ``log.jsonl`` and as TensorBoard events, in ``folder``.

    Nothing is written before the first record.

    Args:
        folder: of the run.
        step, validated: of the checkpoint after which it goes on; what a killed run recorded beyond them is dropped.
        aside: keep the records from the log, where that of an earlier run stands, until ``begin``; they are put into
            this file then.
    """

    def __init__(self, folder: Path, step: int = 0, validated: int = 0, aside: Path | None = None) -> None:
        self._folder, self._step, self._validated, self._aside = folder, step, validated, aside
        self._waiting: list[Record] = []
        self._lines: TextIO | None = None
        self._board: _Board | None = None

    def add(self, record: Record) -> None:
        """Append a record.

        Raises:
            StageFileError: there is no writing there, or no room.
        """
        if self._aside is not None:
            self._waiting.append(record)
            return
        try:
            if self._lines is None:
                self._open(self._continued())
            assert self._lines is not None and self._board is not None
            self._lines.write(_line(record))
            self._board.add(record)
        except OSError as error:
            raise StageFileError(f"{self._folder / LOG}: cannot be written ({error.strerror}); make room") from None

    @property
    def waits(self) -> bool:
        """Whether the log of an earlier run still stands."""
        return self._aside is not None

    def put_aside(self) -> None:
        """Write what waits to the file beside the log, if anything must wait."""
        if self._aside is not None:
            with atomic_write(self._aside) as file:
                file.writelines(_line(record).encode() for record in self._waiting)

    def begin(self) -> None:
        """Take the place of the earlier run's log."""
        if self._aside is not None:
            self._open(self._aside.replace(self._folder / LOG))
            self._aside = None
            assert self._board is not None
            for record in self._waiting:
                self._board.add(record)

    def _open(self, path: Path) -> None:
        self._lines = path.open("a", buffering=1)
        self._board = _Board(self._folder, self._step + 1)

    def _continued(self) -> Path:
        """The log, with no more than what came before the checkpoint."""
        path = self._folder / LOG
        lines = path.read_bytes().splitlines(keepends=True) if self._step and path.exists() else []
        with atomic_write(path) as file:
            file.writelines(line for line in lines if self._counts(line))
        return path

    def _counts(self, line: bytes) -> bool:
        try:
            figures = json.loads(line)
            return line.endswith(b"\n") and figures["step"] <= (self._validated if "mean_ap" in figures else self._step)
        except (ValueError, TypeError, KeyError, RecursionError):
            return False  # cut short

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # of what could not be written, which was told when it could not
            if self._board is not None:
                self._board.close()
            if self._lines is not None:
                self._lines.close()


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


class _Board:
    """A file of TensorBoard events. Its own writer has a thread that prints its troubles, and loses them.

    Args:
        folder: of the file.
        step: TensorBoard drops what earlier files have from this step on.
    """

    def __init__(self, folder: Path, step: int) -> None:
        seconds, rest = divmod(time.time_ns(), 10**9)  # TensorBoard reads files in the order of their names
        path = folder / f"events.out.tfevents.{seconds}.{rest:09d}.{socket.gethostname()}"
        self._records = RecordWriter(path.open("wb", buffering=0))
        self._write(Event(step=step, file_version="brain.Event:2"))
        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, record: Record) -> None:
        """Append the figures of a record."""
        kind = "train" if isinstance(record, Step) else "val"
        figures = {name: figure for name, figure in asdict(record).items() if name not in ("step", "epoch")}
        values = [Summary.Value(tag=f"{kind}/{name}", simple_value=figure) for name, figure in figures.items()]
        self._write(Event(step=record.step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())

    def close(self) -> None:
        """Close the file."""
        self._records.close()
