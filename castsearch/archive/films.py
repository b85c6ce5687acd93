"""The faces of one film, and the file that keeps them in an archive.

A film is one file of the safetensors format: eight bytes that tell the length of a JSON header, the header, the arrays.

| array | content |
|---|---|
| ``codes`` | (n, d) uint8, the features, ``mixed``, in whole steps, 128 for 0: what a search goes through |
| ``exact`` | (n, d) float16, the features: by which what was found is ordered |
| ``seconds`` | (n,) float64, the moment; NaN where nobody knows |
| ``tracks`` | (n,) int64; -1 where nobody knows |
| ``boxes`` | (n, 4) float32 x1 y1 x2 y2 of the face in pixels of the frame |
| ``frames`` | uint8, names of the frames in UTF-8, a line each |

The header's ``__metadata__`` has one entry, ``film``: JSON of ``format``, ``name``, ``source``, ``lost``.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castsearch.archive.errors import ArchiveError
from castsearch.paths import open_plain, shortened, unreadable

FORMAT = 1
SUFFIX = ".safetensors"
_ZERO = 128  # the code of 0
_FARTHEST = 127  # steps
_SPAN = 5.0  # standard deviations of a number of a feature of unit length that codes reach to
_FARTHEST_LENGTH = 0.01  # of a feature's length from 1: float16, and what ``Archive.add`` lets pass
_FIRST = 4096  # bytes that are read at once: most headers are shorter
_LONGEST_HEADER = 1 << 20
_KINDS = {"U8": np.uint8, "F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
_ARRAYS = {"codes": "U8", "exact": "F16", "seconds": "F64", "tracks": "I64", "boxes": "F32", "frames": "U8"}


@dataclass(frozen=True)
class FilmFaces:
    """The faces of a film, in the order of time.

    Attributes:
        name: of the film; serves as a file's name.
        source: where they come from, in words for the user.
        features: (n, d) float32, rows of unit length.
        seconds: (n,) float64 from the film's first picture; NaN where nobody knows.
        boxes: (n, 4) float32 x1 y1 x2 y2 in pixels of the frame.
        tracks: (n,) int64 numbers of tracks; -1 where nobody knows.
        frames: names of the frames, empty where none was kept.
    """

    name: str
    source: str
    features: npt.NDArray[np.float32]
    seconds: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float32]
    tracks: npt.NDArray[np.int64]
    frames: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.features)

    def in_order(self) -> FilmFaces:
        """The same faces by moment, frame, box and track: whatever order they came in, the file is the same."""
        keys = (*self.features.T[:2], self.tracks, *self.boxes.T[::-1], np.array(self.frames), self.seconds)
        order = np.lexsort(keys)
        return replace(
            self,
            features=self.features[order],
            seconds=self.seconds[order],
            boxes=self.boxes[order],
            tracks=self.tracks[order],
            frames=tuple(self.frames[row] for row in order.tolist()),
        )


def step(width: int) -> float:
    """What a step of ``codes`` is of features of so many numbers."""
    return _SPAN / (width**0.5 * _FARTHEST)


def mixed(features: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(n, d) features turned so that all their numbers are of a like size, as codes of one step need; products stay.

    Signs that look random, then the discrete Hartley transform: a randomised trigonometric transform (Halko, Martinsson
    and Tropp, SIAM Review 2011, section 4.6).
    """
    width = features.shape[1]
    bits = f"{random.Random(0).getrandbits(width):0{width}b}"  # numpy's own take a tenth of a second to load
    signs = np.array([1.0 if bit == "1" else -1.0 for bit in bits])
    waves = np.fft.fft(features.astype(np.float64) * signs, axis=1)
    return (waves.real - waves.imag) / width**0.5


def packed(film: FilmFaces) -> bytes:
    """The film's file; the same faces give the same bytes."""
    from safetensors.numpy import save

    film = film.in_order()
    exact = film.features.astype(np.float16)
    turned = mixed(exact)
    steps = np.rint(turned / step(exact.shape[1])).clip(-_FARTHEST, _FARTHEST)
    arrays: dict[str, npt.NDArray[Any]] = {
        "codes": (steps + _ZERO).astype(np.uint8),
        "exact": exact,
        "seconds": film.seconds.astype(np.float64),
        "tracks": film.tracks.astype(np.int64),
        "boxes": film.boxes.astype(np.float32),
        "frames": np.frombuffer("\n".join(film.frames).encode(), np.uint8),
    }
    told = {"format": FORMAT, "name": film.name, "source": film.source, "lost": _lost(steps, turned)}
    # One entry: of several the library would not keep the order.
    return save(arrays, {"film": json.dumps(told, sort_keys=True, ensure_ascii=False)})


def _lost(steps: npt.NDArray[np.float64], turned: npt.NDArray[np.float64]) -> float:
    """The largest distance of a feature and its codes, rounded up."""
    rest = turned - steps * step(steps.shape[1])
    return float(np.ceil(np.sqrt((rest**2).sum(axis=1)).max(initial=0) * 1e6) / 1e6)


@dataclass(frozen=True)
class FilmFile:
    """A film's file, whose header was read.

    Attributes:
        path: of the file.
        name: of the film.
        source: see ``FilmFaces``.
        shape: (faces, numbers of a feature).
        lost: the largest distance of a feature and its codes.
        stamp: tells the file from another in its place.
        starts: where each array begins, in bytes from the file's beginning.
        lengths: bytes of each array.
    """

    path: Path
    name: str
    source: str
    shape: tuple[int, int]
    lost: float
    stamp: tuple[int, int, int]
    starts: dict[str, int]
    lengths: dict[str, int]

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for reading.

        Raises:
            ChangedError: another file, or none, is in its place.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            raise ChangedError from None
        try:
            if _stamp(descriptor) != self.stamp:
                raise ChangedError
            yield descriptor
        finally:
            os.close(descriptor)

    def read_codes(self, into: npt.NDArray[np.uint8]) -> None:
        """Read ``codes`` into an array of its shape."""
        with self.opened() as descriptor:
            view, at = into.reshape(-1).data, self.starts["codes"]
            while len(view) and (got := os.preadv(descriptor, [view], at)):
                view, at = view[got:], at + got

    def exact(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """(k, d) features of some faces.

        Raises:
            ArchiveError: they are none: the file is damaged.
            ChangedError: see ``opened``.
        """
        width = 2 * self.shape[1]
        with self.opened() as descriptor:
            parts = [os.pread(descriptor, width, self.starts["exact"] + width * row) for row in rows.tolist()]
        features = np.frombuffer(b"".join(parts), np.float16).reshape(-1, self.shape[1])
        lengths = np.linalg.norm(features.astype(np.float64), axis=1)
        if not (np.abs(lengths - 1) < _FARTHEST_LENGTH).all():  # NaN would be more than anything else is
            raise self.damaged()
        return features

    @cached_property
    def places(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], list[str]]:
        """Seconds, boxes, tracks and frames of all faces."""
        with self.opened() as descriptor:
            raw = {
                name: os.pread(descriptor, self.lengths[name], self.starts[name]) for name in _ARRAYS if name[-1] == "s"
            }
        seconds, boxes, tracks = (
            np.frombuffer(raw[name], _KINDS[_ARRAYS[name]]) for name in ("seconds", "boxes", "tracks")
        )
        frames = raw["frames"].decode(errors="replace").split("\n")
        if len(frames) != self.shape[0] or not np.isfinite(boxes).all() or np.isinf(seconds).any():
            raise self.damaged()
        return seconds, boxes.reshape(-1, 4), tracks, frames

    def damaged(self) -> ArchiveError:
        """What is told of a file whose header is whole, and whose content is not."""
        return ArchiveError(f"{shortened(self.path)}: is damaged; remove it and add the film again")


class ChangedError(Exception):
    """A film was replaced or removed while it was being searched."""


def read_ahead(descriptor: int, start: int, length: int) -> None:
    """Let the system begin to read a part of a file."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_WILLNEED)


def announce(path: Path) -> None:
    """Let the system begin to read a film's header, if the film is there."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe
        try:
            read_ahead(descriptor, 0, _FIRST)
        finally:
            os.close(descriptor)


def read_film(path: Path) -> FilmFile:
    """Read the header of a film's file.

    Raises:
        ArchiveError: it is no such file, or damaged.
        ChangedError: it is not there, or not any more.
    """
    try:
        opened = open_plain(path)
    except OSError as error:
        if not os.path.lexists(path):
            raise ChangedError from None
        raise ArchiveError(unreadable(path, error, "add the film again")) from None
    try:
        with opened:
            return _film_file(path, _header(opened.fileno()), _stamp(opened.fileno()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ArchiveError(
            f"{shortened(path)}: is no film of an archive, or damaged; remove it and add the film again"
        ) from None


def _stamp(descriptor: int) -> tuple[int, int, int]:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _header(descriptor: int) -> tuple[int, dict[str, Any]]:
    """Where the arrays begin, and the header."""
    first = os.pread(descriptor, _FIRST, 0)
    length = int.from_bytes(first[:8], "little")
    if length > _LONGEST_HEADER:
        raise ValueError
    told = first[8 : 8 + length]
    if len(told) < length:
        told = os.pread(descriptor, length, 8)
    return 8 + length, json.loads(told)


def _film_file(path: Path, header: tuple[int, dict[str, Any]], stamp: tuple[int, int, int]) -> FilmFile:
    start, arrays = header
    told = json.loads(arrays["__metadata__"]["film"])
    n, width = (int(number) for number in arrays["codes"]["shape"])
    shapes = {"codes": (n, width), "exact": (n, width), "seconds": (n,), "tracks": (n,), "boxes": (n, 4)}
    starts, lengths = {}, {}
    for name, kind in _ARRAYS.items():
        array, (begin, end) = arrays[name], arrays[name]["data_offsets"]
        expected = math.prod(shapes.get(name, (end - begin,))) * np.dtype(_KINDS[kind]).itemsize
        fits = array["dtype"] == kind and 0 <= begin <= end <= stamp[1] - start and end - begin == expected
        if not fits:
            raise ValueError
        starts[name], lengths[name] = start + begin, end - begin
    if told["format"] != FORMAT or told["name"] + SUFFIX != path.name or not 0 <= float(told["lost"]) < 2 or width < 1:
        raise ValueError
    return FilmFile(path, told["name"], str(told["source"]), (n, width), float(told["lost"]), stamp, starts, lengths)
