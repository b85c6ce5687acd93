"""A first look through footage: every picture's time, the shots, the bars, what is damaged."""

from __future__ import annotations

import io
import json
import math
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.movies.bars import Bars
from castsearch.movies.damage import holes, joined
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Damage, Footage, Frame, Survey
from castsearch.movies.shots import CONTEXT, LAG, STRIDE, DetectorName, Mark, cuts, open_detector
from castsearch.movies.times import Stretch
from castsearch.paths import PICTURES, shortened
from castsearch.progress import Progress, silent
from castsearch.stagefiles import atomic_write

_VERSION = 1  # of what a checkpoint holds and how that came about
_CHUNK = 1500  # pictures between two checkpoints
_SAMPLES = 2  # pictures a second that are looked at for bars


@dataclass(frozen=True)
class Surveyed:
    """Footage without its bars, and what the first look tells of it."""

    footage: Footage
    survey: Survey


def survey(
    footage: Footage,
    detector: DetectorName = "adaptive",
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> Surveyed:
    """Look at every picture once.

    What was found goes into the checkpoint every 1500 pictures. Stopped and called again, it goes on from there and
    ends with the same result; where it was finished, that is read.

    Args:
        footage: as it was opened.
        detector: of shots; see ``shots.open_detector``. Not asked where the names of pictures tell the shots.
        checkpoint: file, ``.npz``; None for none. One of other footage, or of other settings, is replaced.
        progress: gets an item for each second of the film.

    Raises:
        MovieError: nothing can be decoded, the detector is not there, or the checkpoint is some other kind of file.
    """
    look = _Look(footage, None if footage.told_shots is not None else detector, checkpoint)
    for _ in progress(look.run(), total=max(1, math.ceil(footage.duration)), unit="s of film"):
        pass
    return look.result()


@dataclass
class _Found:
    """What was found in the first pictures of a film.

    Attributes:
        times: seconds of each picture.
        counts: of ``Bars``.
        marks: of the detector.
        damage: so far.
        duration: seconds; 0 until all is looked at.
    """

    counts: np.ndarray
    times: array[float] = field(default_factory=lambda: array("d"))
    marks: list[Mark] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    duration: float = 0.0

    def packed(self, of: str, settled: int) -> bytes:
        """As a checkpoint holds it; marks of the pictures before ``settled`` only."""
        marks = [mark for mark in self.marks if mark.picture < settled]
        damage = [[each.stretch.start, each.stretch.end, each.why] for each in self.damage]
        content = io.BytesIO()
        np.savez(
            content,
            of=np.array(of),
            counts=self.counts,
            times=np.array(self.times, dtype=np.float64),
            marks=np.array(marks, dtype=np.float64).reshape(-1, 2),
            damage=np.array(json.dumps(damage)),
            duration=np.array(self.duration),
        )
        return content.getvalue()

    @classmethod
    def unpacked(cls, content: Any) -> _Found:
        """From an open ``.npz``."""
        return cls(
            content["counts"],
            array("d", content["times"].tolist()),
            [Mark(int(picture), float(value)) for picture, value in content["marks"]],
            [Damage(Stretch(start, end), why) for start, end, why in json.loads(str(content["damage"]))],
            float(content["duration"]),
        )


class _Look:
    """One look through footage, perhaps the rest of one that was stopped."""

    def __init__(self, footage: Footage, detector: DetectorName | None, checkpoint: Path | None) -> None:
        self._footage, self._name, self._checkpoint = footage, detector, checkpoint
        self._of = json.dumps([_VERSION, detector, str(footage.rate), identity(footage.path)])
        self._bars = Bars(footage.size)
        self._found = self._read() or _Found(self._bars.counts)
        self._bars.counts = self._found.counts

    @property
    def _anew(self) -> str:
        return f"remove {self._checkpoint} to begin anew"

    def run(self) -> Iterator[int]:
        """Look at what is left; each second of the film once."""
        told = 0
        for seconds in self._pictures() if not self._found.duration else self._found.times[-1:]:
            while told <= seconds:
                yield told
                told += 1

    def _pictures(self) -> Iterator[float]:
        """Look at picture after picture; their times."""
        done = len(self._found.times)
        first = max(0, done - LAG - CONTEXT) // STRIDE * STRIDE
        detector = None if self._name is None else open_detector(self._name, first)
        lasts = 0.0
        for index, frame in enumerate(self._frames(first), first):
            if index >= done:
                self._note(frame)
            elif frame.seconds != self._found.times[index]:
                raise MovieError(f"{shortened(self._footage.path)}: shows other pictures than before; {self._anew}")
            if detector is not None:
                self._mark(detector.see(frame.small_bgr(detector.height, detector.width)), done - LAG)
            lasts = frame.lasts
            if index >= done and (index + 1) % _CHUNK == 0:
                self._save(index + 1 - LAG)
            yield frame.seconds
        if detector is not None:
            self._mark(detector.finish(), done - LAG)
        self._finish(lasts)

    def _frames(self, first: int) -> Iterator[Frame]:
        """The pictures from that number on, damage told to ``self._found``."""
        footage = self._footage
        if self._found.damage:
            footage = footage.without_bars((0, 0, *footage.size), sought=False)
            self._found.damage.clear()  # it is told once more
        start = self._found.times[first] if first else 0.0
        return footage.frames(start, self._found.damage.append)

    def _note(self, frame: Frame) -> None:
        """Keep a picture's time and, of some pictures, where they are lit."""
        before = self._found.times[-1] if self._found.times else -1.0
        self._found.times.append(frame.seconds)
        if not self._footage.stills and int(frame.seconds * _SAMPLES) > int(before * _SAMPLES):
            self._bars.see(frame.rgb())

    def _mark(self, marks: Any, since: int) -> None:
        self._found.marks += [mark for mark in marks if mark.picture >= since]

    def _finish(self, lasts: float) -> None:
        times = np.array(self._found.times)
        if not len(times):
            reason = f" ({self._found.damage[0].why})" if self._found.damage else ""
            raise MovieError(f"{shortened(self._footage.path)}: none of its pictures can be decoded{reason}")
        steps = np.diff(times)
        usual = float(np.median(steps)) if len(steps) else float(1 / self._footage.rate)
        self._found.duration = float(times[-1]) + (lasts or usual)
        self._save(len(times))

    def result(self) -> Surveyed:
        """What was found in all."""
        found, footage = self._found, self._footage
        times = np.array(found.times)
        damage = joined(found.damage + holes(times, found.damage))
        box = (0, 0, *footage.size) if footage.stills else self._bars.box()
        if damage or box[2:] != footage.size:
            footage = footage.without_bars(box, sought=not damage)
        starts = [0.0, *self._begins(times)]
        shots = tuple(map(Stretch, starts, [*starts[1:], found.duration]))
        return Surveyed(footage, Survey(times, found.duration, footage.size, shots, damage))

    def _begins(self, times: np.ndarray) -> list[float]:
        """When shots begin, but for the first."""
        if self._footage.told_shots is not None:
            places = np.searchsorted(times, self._footage.told_shots)
        else:
            assert self._name is not None
            places = np.array(cuts(self._name, self._found.marks), dtype=np.intp)
        return [float(times[place]) for place in np.unique(places) if 0 < place < len(times)]

    def _save(self, settled: int) -> None:
        if self._checkpoint is not None:
            with atomic_write(self._checkpoint) as file:
                file.write(self._found.packed(self._of, settled))

    def _read(self) -> _Found | None:
        if self._checkpoint is None or not self._checkpoint.exists():
            return None
        try:
            with np.load(self._checkpoint) as content:
                return _Found.unpacked(content) if str(content["of"]) == self._of else None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            raise MovieError(
                f"{shortened(self._checkpoint)}: is no checkpoint of a survey; remove it, or choose another name"
            ) from None


def identity(path: Path) -> list[Any]:
    """What tells a file, or a folder's pictures, from what was there before under the same name."""
    files = [path]
    if path.is_dir():  # what else lies there may come and go
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
    return [[file.name, (state := file.stat()).st_size, state.st_mtime_ns] for file in files]
