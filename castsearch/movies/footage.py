"""Footage: what a film or a folder of pictures shows, picture by picture, each with its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from castsearch.movies.times import Stretch


class Frame(Protocol):
    """One picture of the footage; pixels are converted when they are asked for.

    Attributes:
        seconds: when it is shown, from the first picture's time on.
        lasts: seconds that it is shown for, as the container says; 0 where it does not tell.
    """

    @property
    def seconds(self) -> float: ...
    @property
    def lasts(self) -> float: ...

    def rgb(self) -> np.ndarray:
        """(h, w, 3) uint8 RGB, contiguous: upright, deinterlaced, of 8 bits, without the bars of a letterbox."""

    def small_bgr(self, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 BGR, the same shrunk with any aspect ratio, as detectors of shots want it."""


@dataclass(frozen=True)
class Damage:
    """A stretch of the footage that cannot be decoded, and why in a few words."""

    stretch: Stretch
    why: str


Box = tuple[int, int, int, int]  # x, y, width, height
Tell = Callable[[Damage], None]


def untold(damage: Damage) -> None:
    """Keeps what is damaged to itself."""


class Footage(Protocol):
    """A film, or a folder of pictures.

    Attributes:
        name: of the movie; serves as a file name and in ids.
        path: the file or folder.
        rate: pictures a second, as the container says (24000/1001, not 23.976); of a variable rate the average.
        duration: seconds that the container claims; 0 where it does not tell.
        stills: the pictures are stills, of which each is a shot of its own and the order tells nothing.
        size: (width, height) in pixels of what ``Frame.rgb`` gives; of stills, of the first.
        time_base: seconds of the container's unit of time.
        timecode: of the first picture (``01:00:00:00``), as the container has it; None where it has none.
        told_shots: seconds at which shots begin, where the pictures' names tell; None where the pictures must.
    """

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def rate(self) -> Fraction: ...
    @property
    def duration(self) -> float: ...
    @property
    def stills(self) -> bool: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def time_base(self) -> Fraction: ...
    @property
    def timecode(self) -> str | None: ...
    @property
    def told_shots(self) -> tuple[float, ...] | None: ...

    def frames(self, start: float = 0, tell: Tell = untold) -> Iterator[Frame]:
        """The pictures from ``start`` seconds on (the first at or after it), in the order of their times.

        What is damaged is left out.

        Args:
            start: seconds.
            tell: is told of each damaged stretch, after the pictures before it and not much later.

        Raises:
            MovieError: nothing at all can be decoded.
        """

    def without_bars(self, box: Box, sought: bool = True) -> Footage:
        """The same with each picture cut to ``box``.

        Args:
            box: the part that is kept, of the upright picture.
            sought: otherwise ``frames`` decodes from the beginning wherever it starts, as damaged films want it: what
                a decoder makes of damage depends on where it began.
        """


@dataclass(frozen=True)
class Survey:
    """What a first look through the footage tells.

    Attributes:
        times: (n,) float64, when each picture is shown, in seconds from the first one's time, ascending.
        duration: seconds from the first picture's beginning to the last one's end.
        size: (width, height) in pixels of what ``Frame.rgb`` gives.
        shots: the shots; together they cover the footage from 0 to ``duration``, each begins with a picture.
        damage: what could not be decoded.
    """

    times: np.ndarray
    duration: float
    size: tuple[int, int]
    shots: tuple[Stretch, ...]
    damage: tuple[Damage, ...] = ()
