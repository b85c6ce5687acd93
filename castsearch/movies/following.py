"""Everybody in a shot, followed picture by picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from castsearch.faces.pose import off_axis
from castsearch.images import write_jpeg
from castsearch.movies.errors import MovieError
from castsearch.movies.habits import CLOSE, Habits
from castsearch.movies.models import Models
from castsearch.movies.people import Somebody, shares_covered, who_is_there
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import F32, Linker, Sighting, Track, areas, intersections
from castsearch.stagefiles import Faces

EMBEDDED = 64  # faces that are embedded together


class Piece(NamedTuple):
    """A shot, or a part of a long one: its number, and when it is shown."""

    shot: int
    stretch: Stretch


class Picture(NamedTuple):
    """A picture that is looked at: its place in its shot, when it is shown, (h, w, 3) uint8 RGB."""

    number: int
    seconds: float
    image: np.ndarray


@dataclass
class _Followed:
    """A track that is being made.

    Attributes:
        sightings, bodies, covered: of each picture; shares of the box that others cover.
        looked: pictures in which faces were looked for; ``last_look`` when.
        best: the best faces: whether it is good, its quality, the sighting, the chip.
    """

    sightings: list[Sighting] = field(default_factory=list)
    bodies: list[F32] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    looked: int = 0
    last_look: float = -math.inf
    best: list[tuple[bool, float, int, np.ndarray]] = field(default_factory=list)

    @property
    def good(self) -> int:
        """How many good faces were seen."""
        return sum(seen.good for seen in self.sightings)

    def due(self, seconds: float, habits: Habits) -> bool:
        """Whether the person's face is to be looked for."""
        if self.looked < habits.often or self.sightings[-1].score == 0:  # nothing but the face holds the track
            return True
        return seconds - self.last_look >= (habits.seldom if self.good >= habits.enough else habits.unsure) - CLOSE

    def body(self, most: float) -> F32:
        """(d,) mean of the boxes of which others cover ``most`` or less, or least."""
        covered = np.array(self.covered)
        return unit(np.stack(self.bodies)[covered <= max(most, float(covered.min()))].mean(axis=0))

    def telling(self, share: float) -> tuple[bool, list[tuple[int, np.ndarray]]]:
        """Whether the best faces are good ones, and they: sighting and chip of each."""
        found = sum(seen.face is not None for seen in self.sightings)
        good = self.good >= max(1, share * found)
        best = sorted((sighting, chip) for fine, _, sighting, chip in self.best if fine or not good)
        return good, best


class Following:
    """Everybody in a piece of a shot."""

    def __init__(self, piece: Piece, models: Models, folder: Path, habits: Habits, shown: np.ndarray) -> None:
        self._piece, self._models, self._folder, self._habits = piece, models, folder, habits
        self._shown = shown  # when each picture of the film is
        self._linker = Linker()
        self._tracks: list[_Followed] = []
        self._apart: set[tuple[int, int]] = set()
        self._times: list[float] = []
        self._looked, self._last_look = 0, -math.inf

    def see(self, picture: Picture) -> None:
        """Take the next picture."""
        persons = self._models.persons.detect(picture.image)
        look = self._due(picture.seconds, len(persons))
        faces = self._models.faces.detect(picture.image) if look and self._models.faces else Faces.none()
        people = who_is_there(persons, faces, self._habits.face_score, picture.image.shape[1::-1])
        self._times.append(picture.seconds)
        frame = f"shot{self._piece.shot:04d}img{picture.number}" if look else None
        seen = [self._sighting(picture, person, faces, frame) for person in people]
        bodies = self._bodies(picture.image, seen)
        numbers = self._linker.add(seen, bodies)
        covered = shares_covered(seen)
        for index, number in enumerate(numbers):
            if number is None:
                continue
            if number == len(self._tracks):
                self._tracks.append(_Followed())
            track = self._tracks[number]
            track.sightings.append(seen[index])
            track.bodies.append(bodies[index])
            track.covered.append(covered[index])
            if look:
                track.looked, track.last_look = track.looked + 1, picture.seconds
                self._keep_face(track, picture.image, people[index].face, faces)
        self._tell_apart(seen, numbers)
        if look:
            self._looked, self._last_look = self._looked + 1, picture.seconds
            if any(number is not None for number in numbers):
                write_jpeg(self._folder / f"{frame}.jpg", picture.image, self._habits.quality)

    def _due(self, seconds: float, persons: int) -> bool:
        """Whether faces are to be looked for in the picture of that time, in which are so many persons."""
        going_on = self._linker.open(seconds)
        return (
            self._looked < self._habits.often
            or persons > len(going_on)
            or seconds - self._last_look >= self._habits.seldom - CLOSE
            or any(self._tracks[track].due(seconds, self._habits) for track in going_on)
        )

    def _sighting(self, picture: Picture, person: Somebody, faces: Faces, frame: str | None) -> Sighting:
        face = None if person.face is None else faces.boxes[person.face].astype(np.float32)
        good = person.face is not None and self._is_good(faces, person.face)
        return Sighting(picture.seconds, person.box, person.score, face, good, frame)

    def _is_good(self, faces: Faces, face: int) -> bool:
        box = faces.boxes[face]
        return min(box[2] - box[0], box[3] - box[1]) >= self._habits.side and (
            self._off_axis(faces, face) <= self._habits.off_axis
        )

    def _off_axis(self, faces: Faces, face: int) -> float:
        assert self._models.faces
        return 0.0 if faces.landmarks is None else off_axis(faces.landmarks[face], self._models.faces.name)

    def _bodies(self, image: np.ndarray, seen: Sequence[Sighting]) -> F32:
        if not seen:
            return np.zeros((0, 0), np.float32)
        corners = [np.rint(one.box).astype(int) for one in seen]
        crops = [image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] for x1, y1, x2, y2 in corners]
        return unit(_finite(self._models.bodies.extract(crops), "the body model gives", "take another"))

    def _keep_face(self, track: _Followed, image: np.ndarray, face: int | None, faces: Faces) -> None:
        """Keep the face's chip if it is among the track's best."""
        if face is None or self._models.faces is None:
            return
        box = faces.boxes[face]
        size = min(1.0, min(box[2] - box[0], box[3] - box[1]) / (2 * self._habits.side))
        quality = float(faces.scores[face]) * size / (1 + self._off_axis(faces, face))
        rank = (track.sightings[-1].good, quality)
        if len(track.best) == self._habits.best:
            if rank <= track.best[-1][:2]:
                return
            track.best.pop()
        chip = self._models.faces.align(image, box, None if faces.landmarks is None else faces.landmarks[face])
        track.best.append((*rank, len(track.sightings) - 1, chip))
        track.best.sort(key=lambda one: one[:2], reverse=True)

    def _tell_apart(self, seen: Sequence[Sighting], numbers: Sequence[int | None]) -> None:
        """Note who are two people: both show a face, or their boxes cover little of each other."""
        boxes = np.stack([one.box for one in seen]) if seen else np.zeros((0, 4), np.float32)
        size = areas(boxes)
        shared = intersections(boxes, boxes) / np.maximum(np.minimum(size[:, None], size), 1e-9)
        for one, other in itertools.combinations(range(len(seen)), 2):
            first, second = numbers[one], numbers[other]
            faces = seen[one].face is not None and seen[other].face is not None
            if first is not None and second is not None and (faces or shared[one, other] < self._habits.apart):
                self._apart.add((min(first, second), max(first, second)))

    def finish(self) -> Scan:
        """The tracks, their faces embedded."""
        told = [track.telling(self._habits.good_share) for track in self._tracks]
        chips = [chip for _, best in told for _, chip in best]
        features = iter(self._embedded(chips))
        tracks = []
        for track, (good, best) in zip(self._tracks, told, strict=True):
            rows = [next(features) for _ in best]
            tracks.append(
                Track(
                    self._piece.shot,
                    self._stretch(track),
                    tuple(track.sightings),
                    track.body(self._habits.covered),
                    np.stack(rows) if rows else np.zeros((0, 0), np.float32),
                    tuple(sighting for sighting, _ in best),
                    good,
                )
            )
        return Scan(tuple(tracks), tuple(sorted(self._apart)))

    def _embedded(self, chips: Sequence[np.ndarray]) -> F32:
        if not chips or self._models.faces is None:
            return np.zeros((0, 0), np.float32)
        parts = [chips[start : start + EMBEDDED] for start in range(0, len(chips), EMBEDDED)]
        features = np.concatenate([self._models.faces.embed(np.stack(part)) for part in parts])
        return unit(_finite(features, f"the embedder of {self._models.faces.name} gives", "get its files again"))

    def _stretch(self, track: _Followed) -> Stretch:
        first, last = (np.searchsorted(self._times, track.sightings[end].seconds) for end in (0, -1))
        start, end = self._piece.stretch.start, self._piece.stretch.end
        if first > 0:
            start = self._between(self._times[first - 1], self._times[first])
        if last < len(self._times) - 1:
            end = self._between(self._times[last], self._times[last + 1])
        return Stretch(start, end)

    def _between(self, before: float, after: float) -> float:
        """When somebody came or went between two pictures that were looked at: each is shown until the next one."""
        soonest = self._shown[np.searchsorted(self._shown, before, side="right")]
        return float(soonest + after) / 2


def _finite(features: np.ndarray, who: str, mend: str) -> np.ndarray:
    if not np.isfinite(features).all():
        raise MovieError(f"{who} numbers that are not finite; {mend}")
    return features


def unit(rows: np.ndarray) -> F32:
    """Rows, or one, of unit length; all zero stays so."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)
