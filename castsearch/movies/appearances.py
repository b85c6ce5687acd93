"""Who appears when: the result of a search, as typed records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from castsearch.movies.times import Stretch

FoundBy = Literal["face", "body", "track"]


@dataclass(frozen=True)
class SeenBox:
    """Where somebody is at one moment.

    Attributes:
        seconds: when.
        bbox: x, y, width, height in pixels of the picture.
        frame: path of the picture as in the annotations (``MOVIE/candidates/shot0012img3.jpg``); None where no picture
            of that moment was kept.
        candidate: id of the box in the annotations; None likewise.
        found_by: what the box itself rests on: its face, its body, or only the track that it lies in.
    """

    seconds: float
    bbox: tuple[int, int, int, int]
    frame: str | None
    candidate: str | None
    found_by: FoundBy


@dataclass(frozen=True)
class Appearance:
    """Somebody is visible without a break, within one shot.

    Attributes:
        cast: the person's name, as the user has it.
        stretch: when, half-open, in seconds from the first picture's time.
        shot: number of the shot, from 1.
        probability: that it is this person.
        found_by: what tells so most: the face, the body, or other tracks.
        boxes: in the order of time.
    """

    cast: str
    stretch: Stretch
    shot: int
    probability: float
    found_by: FoundBy
    boxes: tuple[SeenBox, ...]


@dataclass(frozen=True)
class Film:
    """What the formats tell of the footage.

    Attributes:
        name: of the movie.
        path: of the video or the folder of pictures.
        rate: pictures a second, exactly (30000/1001).
        duration: seconds.
        size: (width, height) of the pictures.
        shots: in the order of time.
        times: when each picture is shown, in seconds from the first one's time; so variable rates are told apart.
        start: seconds of the film's own timecode at its first picture, its number of frames divided by the rate: 3603.6
            of 01:00:00:00 at 23.976; 0 where it has none.
    """

    name: str
    path: Path
    rate: Fraction
    duration: float
    size: tuple[int, int]
    shots: tuple[Stretch, ...]
    times: Sequence[float]
    start: float = 0.0


@dataclass(frozen=True)
class FilmCast:
    """Who appears in a film, when.

    Attributes:
        film: the footage.
        people: names of all who were looked for, in the user's order.
        appearances: by start, then by name.
        presence: probability that each of ``people`` is in the film at all.
        absent: those of ``people`` who probably are not in it; they have no appearances.
    """

    film: Film
    people: tuple[str, ...]
    appearances: tuple[Appearance, ...]
    presence: dict[str, float]
    absent: tuple[str, ...] = ()
