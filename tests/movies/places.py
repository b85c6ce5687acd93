"""Who is where in the clips at some moments, labelled by eye; and what a search put elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from castsearch.movies.appearances import FilmCast, SeenBox

_NEAR = 0.15  # seconds from a moment to the box that counts for it
_SLACK = 1e-6  # seconds that times may differ by rounding


@dataclass(frozen=True)
class Place:
    """Where somebody is: the middles of head and chest (or back), x and y in pixels."""

    head: tuple[int, int]
    chest: tuple[int, int]

    def points_in(self, box: SeenBox) -> int:
        """How many of the two points the box holds."""
        x, y, wide, high = box.bbox
        return sum(x <= across < x + wide and y <= down < y + high for across, down in (self.head, self.chest))


@dataclass(frozen=True)
class Moment:
    """Everybody who is visible at a moment, from any side, also those who have no portrait.

    Attributes:
        seconds: from the first picture.
        people: by name.
        unclear: who is there, but hardly to be seen; anything may be said of them.
    """

    seconds: float
    people: dict[str, Place]
    unclear: tuple[str, ...] = ()


def load_places(clip: str) -> list[Moment]:
    """The labels of ``friends`` (640 x 360 pixels) or ``titanic`` (426 x 240)."""
    content = json.loads((Path(__file__).parent / f"{clip}_places.json").read_text())
    return [
        Moment(
            row["seconds"],
            {name: Place(tuple(place["head"]), tuple(place["chest"])) for name, place in row["people"].items()},
            tuple(row["unclear"]),
        )
        for row in content["moments"]
    ]


def misplaced(cast: FilmCast, places: list[Moment]) -> list[str]:
    """What a search got wrong at the labelled moments, a line each; none where everybody is where they should be.

    A box is somebody's if it holds their head or chest, and not more of somebody else's two points.
    """
    wrong = []
    for moment in places:
        claimed = set()
        for name, box in _claims(cast, moment.seconds):
            claimed.add(name)
            if name not in moment.unclear and (fault := _fault(name, box, moment.people)):
                wrong.append(f"{moment.seconds} s: {name} {fault}")
        wrong += [
            f"{moment.seconds} s: {name} is found nowhere"
            for name in moment.people
            if name in cast.people and name not in claimed
        ]
    return wrong


def _claims(cast: FilmCast, seconds: float) -> list[tuple[str, SeenBox]]:
    """Of each appearance that has one near the moment, the box."""
    boxes = [
        (one.cast, min(one.boxes, key=lambda box: abs(box.seconds - seconds))) for one in cast.appearances if one.boxes
    ]
    return [(name, box) for name, box in boxes if abs(box.seconds - seconds) <= _NEAR + _SLACK]


def _fault(name: str, box: SeenBox, people: dict[str, Place]) -> str | None:
    if name not in people:
        return f"is said to be in {box.bbox}, but is not visible"
    points = {other: place.points_in(box) for other, place in people.items()}
    if not points[name]:
        return f"is not in {box.bbox}"
    most = max(points, key=lambda other: points[other])
    return f"is in {box.bbox} less than {most}" if points[most] > points[name] else None
