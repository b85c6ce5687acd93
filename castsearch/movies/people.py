"""Who is in a picture: persons with their faces, and those of whom a face alone tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from castsearch.faces.frames import owners
from castsearch.movies.persons import PersonBoxes
from castsearch.movies.tracks import F32, Sighting, areas, intersections
from castsearch.stagefiles import Faces

OWN = 1e-5  # likelihood of a face below which it is not that of the person whose box it lies in
# A person's box by the face's, in its widths and heights: to either side, above, below.
SHOULDERS, HAIR, TRUNK = 0.9, 0.5, 4.5


class Somebody(NamedTuple):
    """Somebody in a picture: (4,) float32 box, score, which face."""

    box: F32
    score: float
    face: int | None


def who_is_there(persons: PersonBoxes, faces: Faces, least: float, size: tuple[int, int]) -> list[Somebody]:
    """The persons of a picture with their faces, and those of whom the faces alone tell.

    Args:
        persons: as detected.
        faces: as detected, best first.
        least: score of a face from which it gives a person.
        size: width and height of the picture.
    """
    corners = persons.boxes
    own = owners(faces, np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).astype(np.float64), OWN)
    found = [Somebody(box, float(score), face) for box, score, face in zip(corners, persons.scores, own, strict=True)]
    for face in set(range(len(faces))) - set(own):
        if faces.scores[face] >= least:
            found.append(Somebody(_grown(faces.boxes[face], size), 0.0, face))
    return found


def _grown(face: np.ndarray, size: tuple[int, int]) -> F32:
    """The box of the person whose face that is: head, shoulders and trunk, as far as the picture shows them."""
    x1, y1, x2, y2 = face
    width, height = x2 - x1, y2 - y1
    box = (x1 - SHOULDERS * width, y1 - HAIR * height, x2 + SHOULDERS * width, y2 + TRUNK * height)
    return np.clip(box, 0, [*size, *size]).astype(np.float32)


def shares_covered(seen: Sequence[Sighting]) -> list[float]:
    """The share of each box that the others of the picture cover, each by itself; the largest."""
    if not seen:
        return []
    boxes = np.stack([one.box for one in seen])
    shared = intersections(boxes, boxes) / np.maximum(areas(boxes), 1e-9)[:, None]
    np.fill_diagonal(shared, 0)
    return [float(share) for share in shared.max(axis=1)]
