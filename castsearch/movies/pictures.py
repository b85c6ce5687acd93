"""A folder of pictures in a film's place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from castsearch.errors import one_line
from castsearch.images import ImageError, declared_size, read_image
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Box, Damage, Tell, untold
from castsearch.movies.times import Stretch
from castsearch.paths import PICTURES, shortened, unreadable

_OF_A_SHOT = re.compile(r"shot(\d+)img\d+$")  # the challenge's names
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class ReadPicture:
    """One picture of a folder; see ``footage.Frame``."""

    seconds: float
    lasts: float
    _pixels: np.ndarray

    def rgb(self) -> np.ndarray:
        """(h, w, 3) uint8 RGB, contiguous."""
        return self._pixels

    def small_bgr(self, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 BGR."""
        small = cv2.resize(self._pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small[..., ::-1])


class PictureFolder:
    """A folder of pictures, in the order of their names, numbers by their value; see ``footage.Footage``.

    Names as of the challenge, ``shot0012img3``, tell the shots; otherwise stills are a shot each.

    Args:
        path: of the folder.
        rate: pictures a second of a film that they are the pictures of; None for stills, which last a second each.

    Raises:
        MovieError: no picture lies in it, or none can be read.
    """

    timecode = None

    def __init__(self, path: str | os.PathLike[str], rate: Fraction | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.absolute().name
        if rate is not None and rate <= 0:
            raise MovieError(f"{shortened(self.path)}: a rate of {rate} pictures a second; expected more than 0")
        self.stills, self.rate = rate is None, rate or Fraction(1)
        self.time_base = 1 / self.rate
        self.files = _pictures_in(self.path)
        self.duration = float(len(self.files) / self.rate)
        self.told_shots = self._told_shots()
        self._box: Box | None = None
        self._whole = self._first_size()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures, of stills of the first."""
        return self._whole if self._box is None else self._box[2:]

    def without_bars(self, box: Box, sought: bool = True) -> PictureFolder:
        """The same with each picture cut to ``box``; see ``footage.Footage``."""
        x, y, _, _ = self._box or (0, 0, 0, 0)
        other = object.__new__(PictureFolder)
        other.__dict__.update(self.__dict__, _box=(x + box[0], y + box[1], *box[2:]))
        return other

    def frames(self, start: float = 0, tell: Tell = untold) -> Iterator[ReadPicture]:
        """The pictures from ``start`` seconds on; see ``footage.Footage``."""
        for index, file in enumerate(self.files):
            seconds, end = self._time(index), self._time(index + 1)
            if seconds < start:
                continue
            try:
                pixels = read_image(file)
            except ImageError as error:
                tell(Damage(Stretch(seconds, end), one_line(error)))
                continue
            yield ReadPicture(seconds, float(1 / self.rate), self._cut(pixels, file))

    def _cut(self, pixels: np.ndarray, file: Path) -> np.ndarray:
        height, width = pixels.shape[:2]
        if not self.stills and (width, height) != self._whole:
            raise MovieError(
                f"{shortened(file)}: has {width} x {height} pixels, the first picture {self._whole[0]} x "
                f"{self._whole[1]}; a film's are alike, and stills take no rate"
            )
        if self._box is None:
            return pixels
        x, y, width, height = self._box
        return np.ascontiguousarray(pixels[y : y + height, x : x + width])

    def _time(self, index: int) -> float:
        return float(index / self.rate)

    def _told_shots(self) -> tuple[float, ...] | None:
        shots = [_OF_A_SHOT.search(file.stem) for file in self.files]
        if all(shots):
            numbers = [int(shot[1]) for shot in shots if shot]
            begin = [i for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1]]
            return tuple(self._time(index) for index in begin)
        return tuple(map(self._time, range(len(self.files)))) if self.stills else None

    def _first_size(self) -> tuple[int, int]:
        """(width, height) of the first picture that can be read."""
        trouble: ImageError | None = None
        for file in self.files:
            try:
                return declared_size(file) or read_image(file).shape[1::-1]
            except ImageError as error:
                trouble = trouble or error
        count = len(self.files)
        raise MovieError(f"{shortened(self.path)}: none of its {count} pictures can be read; the first: {trouble}")


def _pictures_in(folder: Path) -> tuple[Path, ...]:
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    except OSError as error:
        raise MovieError(unreadable(folder, error, "name the folder")) from None
    found = [path for path in files if not path.name.startswith(".")]
    if not found:
        raise MovieError(f"{shortened(folder)}: holds no picture; name a folder of pictures, or a video")
    return tuple(sorted(found, key=_natural))


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Numbers by their value: shot2 before shot10."""
    parts = _NUMBERS.split(path.stem)
    return [(int(part), "") if part.isdigit() else (-1, part.casefold()) for part in parts], path.name
