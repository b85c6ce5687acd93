"""Orientation: how a stored picture is turned upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Turn:
    """What takes a stored picture upright: the three in this order."""

    transpose: bool = False
    mirror: bool = False  # left to right
    flip: bool = False  # top to bottom

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """A view of (height, width, ...) that is upright."""
        upright = picture.swapaxes(0, 1) if self.transpose else picture
        return upright[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]

    def size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Width and height when upright."""
        return stored[::-1] if self.transpose else stored

    def stored_box(self, box: Box, size: tuple[int, int]) -> Box:
        """Where a box of the upright picture, which is of ``size``, lies in the stored one."""
        (x1, y1, x2, y2), (width, height) = box, size
        if self.mirror:
            x1, x2 = width - x2, width - x1
        if self.flip:
            y1, y2 = height - y2, height - y1
        return (y1, x1, y2, x2) if self.transpose else (x1, y1, x2, y2)


# By the value of the EXIF tag.
TURNS = {
    1: Turn(),
    2: Turn(mirror=True),
    3: Turn(mirror=True, flip=True),
    4: Turn(flip=True),
    5: Turn(transpose=True),
    6: Turn(transpose=True, mirror=True),
    7: Turn(transpose=True, mirror=True, flip=True),
    8: Turn(transpose=True, flip=True),
}


def turn_of(image: Image.Image) -> Turn:
    """The turn that a picture's EXIF asks for; other tags may be as damaged as they like."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1), TURNS[1])
    except Exception:  # Pillow raises whatever it stumbles over
        return TURNS[1]
