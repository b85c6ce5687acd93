"""Who is in the demo's pictures, and the pictures that installed packages ship."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from castsearch.errors import CastSearchError
from castsearch.images import read_image

GROUP = "insightface", "data/images/t1.jpg"
SINGLE = "skimage", "data/astronaut.png"


@dataclass(frozen=True)
class Person:
    """Somebody in a source picture; boxes are x1 y1 x2 y2 in its pixels."""

    label: str
    source: tuple[str, str]
    body: tuple[int, int, int, int]
    portrait: tuple[int, int, int, int] | None = None  # of the cast only


PEOPLE = (
    Person("nm0000001", GROUP, (0, 225, 275, 870), (0, 215, 250, 500)),
    Person("nm0000002", GROUP, (345, 210, 660, 640), (410, 195, 650, 470)),
    Person("nm0000003", GROUP, (990, 225, 1280, 700), (1070, 215, 1280, 470)),
    Person("nm0000004", SINGLE, (20, 0, 430, 512), (110, 0, 350, 270)),
    Person("nm0000005", GROUP, (258, 95, 480, 640)),
    Person("nm0000006", GROUP, (640, 280, 925, 630)),
    Person("nm0000007", GROUP, (875, 0, 1125, 560)),
)
CAST = tuple(person for person in PEOPLE if person.portrait)


def package_picture(package: str, file: str) -> np.ndarray:
    """A picture, (h, w, 3) uint8 RGB, that an installed package ships; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CastSearchError(f"{file}: comes with the package {package}; pip install -r requirements.txt")
    return read_image(Path(spec.origin).parent / file)
