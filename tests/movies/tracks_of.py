"""Tracks and scans made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import F32, Sighting, Track

BOX, FACE = (20, 10, 60, 90), (30, 15, 50, 40)  # x1 y1 x2 y2


def unit(*numbers: float) -> F32:
    """A vector of unit length."""
    row = np.array(numbers, np.float32)
    return row / np.linalg.norm(row)


def sighting(
    seconds: float,
    box: Sequence[float] = BOX,
    face: Sequence[float] | None = None,
    good: bool = False,
    frame: str | None = None,
    score: float = 0.9,
) -> Sighting:
    """A person in one picture."""
    of_face = None if face is None else np.array(face, np.float32)
    return Sighting(seconds, np.array(box, np.float32), score, of_face, good, frame)


def track(
    shot: int,
    sightings: Sequence[Sighting],
    faces: npt.ArrayLike | None = None,
    body: F32 | None = None,
    stretch: tuple[float, float] | None = None,
    d: int = 2,
) -> Track:
    """A track; its faces are the first good sightings', in order, and good ones if there are any.

    Args:
        shot: number.
        sightings: in the order of time.
        faces: (k, d); None for none.
        body: by default the first axis.
        stretch: by default from the first sighting to the last.
        d: length of faces' features, where there are none.
    """
    rows = np.zeros((0, d), np.float32) if faces is None else np.atleast_2d(np.asarray(faces, np.float32))
    good = [index for index, one in enumerate(sightings) if one.good]
    shows = [index for index, one in enumerate(sightings) if one.face is not None]
    return Track(
        shot=shot,
        stretch=Stretch(*(stretch or (sightings[0].seconds, sightings[-1].seconds))),
        sightings=tuple(sightings),
        body=unit(1, 0) if body is None else body,
        faces=rows,
        faces_of=tuple((good or shows)[: len(rows)]),
        good=bool(good),
    )


def scan(tracks: Sequence[Track], apart: Iterable[tuple[int, int]] = ()) -> Scan:
    """A scan."""
    return Scan(tuple(tracks), tuple(apart))
