"""Films drawn from rectangles, and models that see just these: what a search finds in them is known beforehand."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.faces.search import DEFAULT_SEARCH
from castsearch.movies.footage import Box, Survey, Tell, untold
from castsearch.movies.models import Models
from castsearch.movies.persons import PersonBoxes
from castsearch.movies.times import Stretch
from castsearch.stagefiles import Faces

Colour = tuple[int, int, int]
Corner = tuple[float, float]  # of the upper left, x y in pixels

SIZE = WIDTH, HEIGHT = 320, 180
GREY = 96
BODY = 50, 120  # pixels of a person's box, width and height
FACE = (12, 8, 26)  # from the box's corner across and down, and the face's side
NOSE = {"front": 0.0, "half": 0.3, "profile": 0.9}  # ``faces.pose.off_axis`` of a face that looks there


@dataclass(frozen=True)
class Actor:
    """Somebody in one shot.

    Attributes:
        body: colour of the clothes; None where the detector of persons sees none.
        face: colour of the face; None where it is turned away.
        at: corner of the box at so many seconds of film, None while out of the picture.
        looks: whither, at so many seconds; a key of ``NOSE``.
        side: pixels of the face.
    """

    body: Colour | None
    face: Colour | None
    at: Callable[[float], Corner | None]
    looks: Callable[[float], str] = lambda seconds: "front"
    side: int = FACE[2]

    def box(self, seconds: float) -> tuple[int, int, int, int] | None:
        """x1 y1 x2 y2 within the picture, None while out of it."""
        if (corner := self.at(seconds)) is None:
            return None
        x, y = (round(place) for place in corner)
        return max(x, 0), max(y, 0), min(x + BODY[0], WIDTH), min(y + BODY[1], HEIGHT)


def still(x: float, y: float = 40) -> Callable[[float], Corner]:
    """Somebody who does not move."""
    return lambda seconds: (x, y)


def painted(actors: Sequence[Actor], seconds: float, backdrop: Colour = (GREY, GREY, GREY)) -> np.ndarray:
    """(h, w, 3) uint8 RGB; the later ones stand in front."""
    picture = np.full((HEIGHT, WIDTH, 3), backdrop, np.uint8)
    for actor in actors:
        if (corner := actor.at(seconds)) is None:
            continue
        x, y = (round(place) for place in corner)
        if actor.body is not None:
            _fill(picture, x, y, *BODY, actor.body)
        if actor.face is not None:
            left, top, side = x + FACE[0], y + FACE[1], actor.side
            _fill(picture, left, top, side, side, actor.face)
            # The nose: a line of the face, not black, whose distance from the middle tells whither it looks.
            nose = left + side // 2 + round(NOSE[actor.looks(seconds)] * side / 2)
            _fill(picture, nose, top + side // 2, 1, 2, (0, 0, 0))
    return picture


def _fill(picture: np.ndarray, x: int, y: int, width: int, height: int, colour: Colour) -> None:
    picture[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = colour


@dataclass(frozen=True)
class _Drawn:
    seconds: float
    lasts: float
    paint: Callable[[], np.ndarray]

    def rgb(self) -> np.ndarray:
        return self.paint()

    def small_bgr(self, height: int, width: int) -> np.ndarray:
        raise AssertionError("its shots are told")


@dataclass(frozen=True)
class DrawnFilm:
    """Footage of drawn shots; see ``footage.Footage``.

    Attributes:
        path: of a file that must be there.
        shots: seconds of each, and who is in it.
        rate: pictures a second.
    """

    path: Path
    shots: Sequence[tuple[float, Sequence[Actor]]]
    rate: Fraction = Fraction(25)
    stills = False
    size = SIZE
    timecode = None
    decoded: list[float] = field(default_factory=list)  # since when each decoding went

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def time_base(self) -> Fraction:
        return 1 / self.rate

    @property
    def duration(self) -> float:
        return float(sum(lasts for lasts, _ in self.shots))

    @property
    def told_shots(self) -> tuple[float, ...]:
        return tuple(shot.start for shot in self.stretches)

    @property
    def times(self) -> np.ndarray:
        return np.array([float(number / self.rate) for number in range(round(self.duration * self.rate))])

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        ends = [0.0, *np.cumsum([lasts for lasts, _ in self.shots]).tolist()]
        return tuple(map(Stretch, ends[:-1], ends[1:]))

    def survey(self) -> Survey:
        """What a first look would tell."""
        return Survey(self.times, self.duration, SIZE, self.stretches)

    def frames(self, start: float = 0, tell: Tell = untold) -> Iterator[_Drawn]:
        self.decoded.append(start)
        for seconds in self.times.tolist():
            if seconds >= start:
                shot = next(number for number, stretch in enumerate(self.stretches) if seconds in stretch)
                actors = self.shots[shot][1]
                yield _Drawn(
                    seconds, float(1 / self.rate), lambda actors=actors, seconds=seconds: painted(actors, seconds)
                )

    def without_bars(self, box: Box, sought: bool = True) -> DrawnFilm:
        return self


# ---------------------------------------------------------------------------- models


def _boxes(image: np.ndarray, colours: Iterable[Colour], near: int = 60) -> list[tuple[Colour, tuple[int, ...]]]:
    """The box of each colour that is there; JPEG and video may have changed it a little."""
    found = []
    for colour in colours:
        rows, columns = np.nonzero(np.abs(image.astype(int) - colour).sum(axis=2) < near)
        if len(rows) >= 200:  # edges blend into any colour
            found.append((colour, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)))
    return found


@dataclass
class Persons:
    """Sees clothes of these colours; see ``persons.PersonDetector``.

    Attributes:
        colours: of clothes, and the score of each.
        seen: how many pictures were looked at.
        fails_at: raises ``Stop`` at this picture.
    """

    colours: Mapping[Colour, float]
    seen: int = 0
    fails_at: int | None = None
    name: str = "drawn"
    licence: str = "none"

    def detect(self, image: np.ndarray) -> PersonBoxes:
        if self.seen == self.fails_at:
            raise Stop
        self.seen += 1
        found = sorted(_boxes(image, self.colours), key=lambda one: -self.colours[one[0]])
        boxes = np.array([box for _, box in found], np.float32).reshape(-1, 4)
        return PersonBoxes(boxes, np.array([self.colours[colour] for colour, _ in found], np.float32))


class Stop(Exception):
    """Somebody pulls the plug."""


@dataclass
class Bodies:
    """Tells clothes by their colour; see ``bodies.BodyModel``."""

    depends: dict[str, Any] = field(default_factory=lambda: {"weights": "drawn"})

    def extract(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """(n, 3): the mean colour of the lower edge, from grey on."""
        return np.stack([picture[-1].mean(axis=0, dtype=np.float32) - GREY for picture in pictures])


@dataclass
class Pack:
    """Sees faces of these colours, a vector of 256 for each; see ``faces.packs.FacePack``.

    Attributes:
        colours: of faces.
        seen: the pictures in which faces were looked for.
        embedded: how many chips.
        weights: what its files would hash to.
    """

    colours: Sequence[Colour]
    seen: list[np.ndarray] = field(default_factory=list)
    embedded: int = 0
    weights: str = "0"
    name = "drawn"
    chip_size = 8
    licence = "none"
    device = "CPU"
    search = DEFAULT_SEARCH
    misses_close_ups = False

    def detect(self, image: np.ndarray) -> Faces:
        self.seen.append(image)
        found = _boxes(image, self.colours)
        if not found:
            return Faces.none()
        boxes = np.array([box for _, box in found], np.float32)
        landmarks = np.stack([self._landmarks(image, box) for _, box in found])
        return Faces(boxes, np.full(len(found), 0.99, np.float32), landmarks)

    @staticmethod
    def _landmarks(image: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
        """Eyes half a side apart, the nose where the black line is."""
        x1, y1, x2, y2 = box
        middle, side = x1 + (x2 - x1) // 2, x2 - x1
        dark = np.flatnonzero((image[y1:y2, x1:x2].max(axis=2) < 40).any(axis=0))
        nose = x1 + float(dark.mean()) if len(dark) else middle
        eyes = y1 + (y2 - y1) / 3
        mouth = [(middle - side / 5, y2 - 5), (middle + side / 5, y2 - 5)]
        return np.array([(middle - side / 4, eyes), (middle + side / 4, eyes), (nose, eyes + 6), *mouth], np.float32)

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        return [self.detect(image) for image in images]

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        assert box is not None
        x1, y1 = box[:2].astype(int)
        return np.broadcast_to(image[y1 + 2, x1 + 2][:, None, None], (3, 8, 8)).astype(np.uint8)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        self.embedded += len(chips)
        return np.stack([self.features(chip[:, 0, 0]) for chip in chips])

    def features(self, colour: np.ndarray | Colour) -> np.ndarray:
        """(256,) float32; of different colours, nearly at right angles."""
        nearest = min(self.colours, key=lambda one: int(np.abs(np.array(one) - np.asarray(colour, int)).sum()))
        rng = np.random.default_rng(zlib.crc32(bytes(nearest)))
        return rng.normal(size=256).astype(np.float32)

    def identity(self, task: str) -> dict[str, Any]:
        return {"sha256": {f"{task}.onnx": self.weights}, "versions": {}}


def models(
    bodies: Mapping[Colour, float] | Iterable[Colour], faces: Sequence[Colour], **persons: Any
) -> tuple[Models, Persons, Pack]:
    """Models that see these colours of clothes, sure of them (0.9) where no score is given, and of faces."""
    scores = dict(bodies) if isinstance(bodies, Mapping) else dict.fromkeys(bodies, 0.9)
    detector, pack = Persons(scores, **persons), Pack(tuple(faces))
    return Models(detector, Bodies(), pack), detector, pack  # type: ignore[arg-type]
