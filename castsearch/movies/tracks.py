"""Tracks: one person followed through a shot, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from castsearch.movies.times import Stretch

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sighting:
    """A person in one picture.

    Attributes:
        seconds: when.
        box: (4,) float32 x1 y1 x2 y2 in pixels of the picture.
        score: how sure the detector is that it is a person, 0 to 1; 0 where the box was grown from a face.
        face: (4,) float32, likewise, of the person's face; None where none was found, or none was looked for.
        good: the face is turned to the camera and large enough to tell whose it is.
        frame: name of the picture that was kept (``shot0012img3``); None where it was not.
    """

    seconds: float
    box: F32
    score: float
    face: F32 | None = None
    good: bool = False
    frame: str | None = None


@dataclass(frozen=True)
class Track:
    """Somebody, followed within a shot.

    Attributes:
        shot: number of the shot, from 1.
        stretch: from when to when; up to the middle between the end of the last picture that shows the person and the
            next one that was looked at, likewise before the first, or to the end of the shot.
        sightings: in the order of time.
        body: (d,) of unit length: the mean of the boxes that others cover least.
        faces: (k, d) rows of unit length, of the best faces; of good ones where there are enough.
        faces_of: (k,) which sightings show them.
        good: the faces are good ones.
    """

    shot: int
    stretch: Stretch
    sightings: tuple[Sighting, ...]
    body: F32
    faces: F32
    faces_of: tuple[int, ...]
    good: bool


@dataclass(frozen=True)
class Linking:
    """What makes two sightings one person's.

    Attributes:
        sure: score from which a box without a face begins a track.
        likeness: least mean of the overlap of boxes and the cosine of bodies, with what faces add.
        overlap: least intersection over union, of the boxes or of the faces.
        face_weight: of the overlap of faces, where both show one.
        lost: seconds after which a person who is not seen is given up.
    """

    sure: float = 0.5
    likeness: float = 0.45
    overlap: float = 0.1
    face_weight: float = 0.5
    lost: float = 1.0


class Linker:
    """Links the sightings of one shot, in the order of time.

    The persons of a picture are assigned to the tracks so that the sum of likenesses is largest (as in SORT, Bewley et
    al., ICIP 2016); a likeness is half the overlap of the boxes, half the cosine of the bodies, and more where faces
    overlap too. As in ByteTrack (Zhang et al., ECCV 2022), unsure boxes go on with a track and begin none.
    """

    def __init__(self, linking: Linking = Linking()) -> None:
        self._linking = linking
        self._last: dict[int, Sighting] = {}  # of each open track
        self._bodies: dict[int, F32] = {}  # sums of unit features
        self._begun = 0

    def open(self, seconds: float) -> list[int]:
        """The tracks that may go on at that time."""
        lost = [track for track, seen in self._last.items() if seconds - seen.seconds > self._linking.lost]
        for track in lost:
            del self._last[track], self._bodies[track]
        return list(self._last)

    def add(self, seen: Sequence[Sighting], bodies: F32) -> list[int | None]:
        """Take the persons of the next picture.

        Args:
            seen: the persons.
            bodies: (n, d) their bodies, rows of unit length.

        Returns:
            For each the number of the track, from 0; None where it is too unsure to begin one.
        """
        numbers: list[int | None] = [None] * len(seen)
        tracks = self.open(seen[0].seconds) if seen else []
        if tracks:
            likeness = self._likenesses(tracks, seen, bodies)
            for row, person in zip(*linear_sum_assignment(likeness, maximize=True), strict=True):
                if likeness[row, person] >= self._linking.likeness:
                    numbers[person] = tracks[row]
        for person, sighting in enumerate(seen):
            if numbers[person] is None and (sighting.face is not None or sighting.score >= self._linking.sure):
                numbers[person] = self._begun
                self._begun += 1
            if (track := numbers[person]) is not None:
                self._last[track] = sighting
                self._bodies[track] = self._bodies.get(track, np.float32(0)) + bodies[person]
        return numbers

    def _likenesses(self, tracks: Sequence[int], seen: Sequence[Sighting], bodies: F32) -> npt.NDArray[np.float64]:
        last = [self._last[track] for track in tracks]
        sums = np.stack([self._bodies[track] for track in tracks])
        cosines = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9) @ bodies.T
        overlap = overlaps(np.stack([one.box for one in last]), np.stack([one.box for one in seen]))
        nowhere = np.zeros(4, np.float32)
        faces = [np.stack([nowhere if one.face is None else one.face for one in some]) for some in (last, seen)]
        of_faces = overlaps(*faces)
        near = np.maximum(overlap, of_faces) >= self._linking.overlap
        return near * ((overlap + cosines) / 2 + self._linking.face_weight * of_faces)


def overlaps(some: F32, others: F32) -> npt.NDArray[np.float64]:
    """(n, m) intersection over union of boxes, (n, 4) and (m, 4) x1 y1 x2 y2; 0 with a box of no area."""
    shared = intersections(some, others)
    total = areas(some)[:, None] + areas(others) - shared
    return shared / np.maximum(total, 1e-9)


def intersections(some: F32, others: F32) -> npt.NDArray[np.float64]:
    """(n, m) areas that boxes share."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2, dtype=np.float64)


def areas(boxes: F32) -> npt.NDArray[np.float64]:
    """(n,) areas of boxes."""
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1, dtype=np.float64)
