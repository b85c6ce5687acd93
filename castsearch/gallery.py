"""What a ranking looks like: one cast member's portrait beside the best candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL = (200, 280)  # pixels a picture may fill, width and height, its border included
BORDER = 6
MARGIN = 10
CAPTION = 24


class Verdict(Enum):
    """What the labels say of a candidate; the value is its border's RGB colour."""

    HIT = (40, 167, 69)
    MISS = (220, 53, 69)
    UNKNOWN = (150, 150, 150)  # there are no labels


@dataclass(frozen=True)
class Shown:
    """A ranked candidate: its picture, (h, w, 3) uint8 RGB, a caption and a verdict."""

    image: np.ndarray
    caption: str
    verdict: Verdict


def strip(portrait: np.ndarray, name: str, candidates: Sequence[Shown]) -> np.ndarray:
    """A cast member's portrait, then candidates in rank order, aspect ratios kept.

    Args:
        portrait: (h, w, 3) uint8 RGB.
        name: caption of the portrait.
        candidates: best first.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    cell_width, cell_height = CELL[0] + MARGIN, CELL[1] + MARGIN + CAPTION
    sheet = Image.new("RGB", (cell_width * (1 + len(candidates)) + MARGIN, cell_height + MARGIN), "white")
    cells = [(portrait, name, (0, 0, 0)), *((c.image, c.caption, c.verdict.value) for c in candidates)]
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (image, caption, colour) in enumerate(cells):
        inner = (CELL[0] - 2 * BORDER, CELL[1] - 2 * BORDER)
        picture = ImageOps.expand(ImageOps.contain(Image.fromarray(image), inner), BORDER, colour)
        left = MARGIN + column * cell_width
        sheet.paste(picture, (left + (CELL[0] - picture.width) // 2, MARGIN + (CELL[1] - picture.height) // 2))
        while draw.textlength(caption, font) > CELL[0] and len(caption) > 1:
            caption = caption[:-2] + "…"
        draw.text((left + CELL[0] / 2, cell_height - CAPTION / 2), caption, "black", font, anchor="mm")
    return np.asarray(sheet)
