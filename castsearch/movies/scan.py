"""From footage to tracks: shot after shot, what was found kept, so that the work can be stopped and goes on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from castsearch.movies.following import Following, Picture, Piece
from castsearch.movies.footage import Footage, Frame, Survey
from castsearch.movies.habits import CLOSE, HABITS, Habits
from castsearch.movies.models import Models
from castsearch.movies.scanned import Scan, read_scan, write_scan
from castsearch.movies.times import Stretch
from castsearch.parallel import ahead
from castsearch.progress import Progress, silent

VERSION = 2  # of what a scan finds: another number where the same footage and habits give something else
AHEAD = 4  # pictures that are decoded before they are needed


def scan(
    footage: Footage,
    survey: Survey,
    models: Models,
    pictures: Path,
    checkpoints: Path,
    depends: object,
    habits: Habits = HABITS,
    progress: Progress = silent,
) -> Scan:
    """Follow everybody through footage.

    After each minute or so of film what was found is kept. Stopped and called again, the scan goes on after the last
    such part, and ends with the same result.

    Args:
        footage: as the survey gave it, without bars.
        survey: of it.
        models: what looks at the pictures.
        pictures: folder that receives, as JPEG, each picture in which faces were looked for and somebody is.
        checkpoints: folder of what was found so far. Of other footage or settings, it is done anew.
        depends: what the result depends on, as JSON has it.
        habits: how often is looked for what.
        progress: gets an item for each second of film that is left.

    Raises:
        MovieError: the footage cannot be decoded; a checkpoint is no such file; features are not finite.
        NetworkError: a network is broken.
    """
    units = _units(survey, habits)
    found: list[Scan] = []
    for number in range(len(units)):
        part = read_scan(_file(checkpoints, number), depends)
        if part is None:
            break
        found.append(part)
    left = units[len(found) :]
    if left:
        start = left[0][0].stretch.start
        run = _Run(footage, survey, models, pictures, habits, start)
        work = _work(run, left, len(found), checkpoints, depends, found)
        for _ in progress(work, total=max(1, math.ceil(survey.duration - start)), unit="s of film"):
            pass
    return Scan.joined(found)


def _file(checkpoints: Path, number: int) -> Path:
    return checkpoints / f"{number:05d}.npz"


def _units(survey: Survey, habits: Habits) -> list[list[Piece]]:
    """Pieces of shots, as many together as make the time after which results are kept."""
    units: list[list[Piece]] = [[]]
    for number, shot in enumerate(survey.shots, start=1):
        for start, end in itertools.pairwise(_ends(shot, survey.times, habits)):
            if units[-1] and end - units[-1][0].stretch.start > habits.unit:
                units.append([])
            units[-1].append(Piece(number, Stretch(start, end)))
    return units


def _ends(shot: Stretch, times: np.ndarray, habits: Habits) -> list[float]:
    """Where the pieces of a shot begin and end; a picture that is shown for long is not parted."""
    parts = max(1, math.ceil(shot.duration / habits.longest))
    ends = {shot.start, shot.end}
    for part in range(1, parts):
        end = shot.start + shot.duration * part / parts
        following = min([shot.end, *times[times >= end][:1].tolist()])
        ends.add(following if following - end > 1 / habits.rate else end)
    return sorted(ends)


def _work(
    run: _Run, units: Sequence[Sequence[Piece]], first: int, checkpoints: Path, depends: object, found: list[Scan]
) -> Iterator[float]:
    """Do unit after unit, and keep each; an item a second of film."""
    told = units[0][0].stretch.start
    for number, unit in enumerate(units, start=first):
        parts = []
        for piece in unit:
            parts.append(run.piece(piece))
            while told + 1 <= piece.stretch.end:
                told += 1
                yield told
        found.append(Scan.joined(parts))
        write_scan(_file(checkpoints, number), found[-1], depends)
    if told < units[-1][-1].stretch.end - CLOSE:
        yield told  # the second that the end cuts short


class _Run:
    """Looks through footage from one time on, picture by picture, decoding a few ahead."""

    def __init__(
        self, footage: Footage, survey: Survey, models: Models, pictures: Path, habits: Habits, start: float
    ) -> None:
        self._times, self._shots = survey.times, survey.shots
        self._models, self._folder, self._habits = models, pictures, habits
        self._frames = footage.frames(start)
        self._frame: Frame | None = None  # the last that was decoded

    def piece(self, piece: Piece) -> Scan:
        """Everybody in a piece of a shot."""
        first = int(np.searchsorted(self._times, self._shots[piece.shot - 1].start))
        wanted = self._wanted(piece.stretch)
        following = Following(piece, self._models, self._folder, self._habits, self._times)
        pictures = self._pictures(wanted, first)
        with ahead(lambda _: next(pictures, None), itertools.count(), 1, AHEAD) as decoded:
            for picture in iter(lambda: next(decoded), None):
                following.see(picture)
        return following.finish()

    def _wanted(self, stretch: Stretch) -> np.ndarray:
        """The times of the pictures that are looked at: so many a second, from the first on."""
        shown = self._times[(self._times >= stretch.start) & (self._times < stretch.end)]
        if not len(shown):
            return shown
        grid = np.arange(shown[0], stretch.end, 1 / self._habits.rate) - CLOSE
        return shown[np.unique(np.searchsorted(shown, grid).clip(max=len(shown) - 1))]

    def _pictures(self, wanted: np.ndarray, first: int) -> Iterator[Picture]:
        """Those of the wanted times, as far as they can be decoded; ``first`` is the shot's first picture."""
        for seconds in wanted.tolist():
            while self._frame is None or self._frame.seconds < seconds:
                self._frame = next(self._frames, None)
                if self._frame is None:
                    return
            if self._frame.seconds == seconds:
                number = int(np.searchsorted(self._times, seconds)) - first
                yield Picture(number, seconds, self._frame.rgb())
