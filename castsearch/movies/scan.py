"""From footage to tracks: persons, their faces and bodies, looked for as often as it is needed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from castsearch.faces.frames import owners
from castsearch.faces.packs import FacePack
from castsearch.faces.pose import off_axis
from castsearch.images import write_jpeg
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Footage, Frame, Survey
from castsearch.movies.persons import PersonBoxes, PersonDetector
from castsearch.movies.scanned import Scan, read_scan, write_scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import F32, Linker, Sighting, Track, areas, intersections
from castsearch.parallel import ahead
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Faces

if TYPE_CHECKING:
    from castsearch.bodies import BodyModel  # brings torch, which takes seconds to load

VERSION = 2  # of what a scan finds: another number where the same footage and habits give something else
AHEAD = 4  # pictures that are decoded before they are needed
EMBEDDED = 64  # faces that are embedded together
CLOSE = 1e-6  # seconds that times may differ by and be the same
OWN = 1e-5  # likelihood of a face below which it is not that of the person whose box it lies in
# A person's box by the face's, in its widths and heights: to either side, above, below.
SHOULDERS, HAIR, TRUNK = 0.9, 0.5, 4.5


@dataclass(frozen=True)
class Models:
    """What looks at pictures.

    Attributes:
        persons: finds persons.
        bodies: tells them by their clothes and build.
        faces: finds and tells faces; None to look for none.
    """

    persons: PersonDetector
    bodies: BodyModel
    faces: FacePack | None


@dataclass(frozen=True)
class Habits:
    """How footage is looked through.

    Attributes:
        rate: pictures a second in which persons are looked for.
        longest: seconds of a shot that are followed in one go.
        unit: seconds of film after which results are kept.
        often: pictures at the beginning of a track, one after the other, in which faces are looked for.
        unsure: seconds between such pictures as long as a track has too few good faces.
        seldom: seconds between them otherwise.
        enough: good faces of a track.
        off_axis: at most, of a good face; see ``faces.pose``.
        side: pixels of a good face's box at least.
        best: faces of a track that are embedded.
        good_share: of a track's faces that are good, at least, so that these tell whose it is. Of somebody seen from
            the side all the time, the few that just pass are as poor as the rest.
        face_score: of the detector, from which a face that lies in no person's box gives one.
        covered: share of a box from which others cover too much of it, where better ones are there.
        apart: share of the smaller of two boxes that both cover, from which they may be one person, found twice.
        quality: of the JPEGs that are kept.
    """

    rate: float = 5.0
    longest: float = 60.0
    unit: float = 60.0
    often: int = 3
    unsure: float = 0.6
    seldom: float = 2.0
    enough: int = 4
    off_axis: float = 0.5
    side: float = 24.0
    best: int = 8
    good_share: float = 0.2
    face_score: float = 0.9
    covered: float = 0.3
    apart: float = 0.5
    quality: int = 90


HABITS = Habits()


class Piece(NamedTuple):
    """A shot, or a part of a long one: its number, and when it is shown."""

    shot: int
    stretch: Stretch


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


class _Picture(NamedTuple):
    """A picture that is looked at: its place in its shot, when it is shown, (h, w, 3) uint8 RGB."""

    number: int
    seconds: float
    image: np.ndarray


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
        following = _Following(piece, self._models, self._folder, self._habits, self._times)
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

    def _pictures(self, wanted: np.ndarray, first: int) -> Iterator[_Picture]:
        """Those of the wanted times, as far as they can be decoded; ``first`` is the shot's first picture."""
        for seconds in wanted.tolist():
            while self._frame is None or self._frame.seconds < seconds:
                self._frame = next(self._frames, None)
                if self._frame is None:
                    return
            if self._frame.seconds == seconds:
                number = int(np.searchsorted(self._times, seconds)) - first
                yield _Picture(number, seconds, self._frame.rgb())


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


class _Following:
    """Everybody in a piece of a shot."""

    def __init__(self, piece: Piece, models: Models, folder: Path, habits: Habits, shown: np.ndarray) -> None:
        self._piece, self._models, self._folder, self._habits = piece, models, folder, habits
        self._shown = shown  # when each picture of the film is
        self._linker = Linker()
        self._tracks: list[_Followed] = []
        self._apart: set[tuple[int, int]] = set()
        self._times: list[float] = []
        self._looked, self._last_look = 0, -math.inf

    def see(self, picture: _Picture) -> None:
        """Take the next picture."""
        persons = self._models.persons.detect(picture.image)
        look = self._due(picture.seconds, len(persons))
        faces = self._models.faces.detect(picture.image) if look and self._models.faces else Faces.none()
        people = _people(persons, faces, self._habits.face_score, picture.image.shape[1::-1])
        self._times.append(picture.seconds)
        frame = f"shot{self._piece.shot:04d}img{picture.number}" if look else None
        seen = [self._sighting(picture, person, faces, frame) for person in people]
        bodies = self._bodies(picture.image, seen)
        numbers = self._linker.add(seen, bodies)
        covered = _covered(seen)
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

    def _sighting(self, picture: _Picture, person: _Person, faces: Faces, frame: str | None) -> Sighting:
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


class _Person(NamedTuple):
    """Somebody in a picture: (4,) float32 box, score, which face."""

    box: F32
    score: float
    face: int | None


def _people(persons: PersonBoxes, faces: Faces, least: float, size: tuple[int, int]) -> list[_Person]:
    """The persons of a picture with their faces, and those of whom the faces alone tell.

    Args:
        persons: as detected.
        faces: as detected, best first.
        least: score of a face from which it gives a person.
        size: width and height of the picture.
    """
    corners = persons.boxes
    own = owners(faces, np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).astype(np.float64), OWN)
    people = [_Person(box, float(score), face) for box, score, face in zip(corners, persons.scores, own, strict=True)]
    for face in set(range(len(faces))) - set(own):
        if faces.scores[face] >= least:
            people.append(_Person(_grown(faces.boxes[face], size), 0.0, face))
    return people


def _grown(face: np.ndarray, size: tuple[int, int]) -> F32:
    """The box of the person whose face that is: head, shoulders and trunk, as far as the picture shows them."""
    x1, y1, x2, y2 = face
    width, height = x2 - x1, y2 - y1
    box = (x1 - SHOULDERS * width, y1 - HAIR * height, x2 + SHOULDERS * width, y2 + TRUNK * height)
    return np.clip(box, 0, [*size, *size]).astype(np.float32)


def _covered(seen: Sequence[Sighting]) -> list[float]:
    """The share of each box that the others of the picture cover, each by itself; the largest."""
    if not seen:
        return []
    boxes = np.stack([one.box for one in seen])
    shared = intersections(boxes, boxes) / np.maximum(areas(boxes), 1e-9)[:, None]
    np.fill_diagonal(shared, 0)
    return [float(share) for share in shared.max(axis=1)]


def _finite(features: np.ndarray, who: str, mend: str) -> np.ndarray:
    if not np.isfinite(features).all():
        raise MovieError(f"{who} numbers that are not finite; {mend}")
    return features


def unit(rows: np.ndarray) -> F32:
    """Rows, or one, of unit length; all zero stays so."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)
