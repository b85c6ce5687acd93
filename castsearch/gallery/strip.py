"""The strip: one cast member's portrait beside the best candidates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from castsearch.annotations import person_ids
from castsearch.errors import CastSearchError
from castsearch.fonts import fit
from castsearch.identifiers import near, shown
from castsearch.images import read_image
from castsearch.stagefiles import Split

N_SHOWN = 6

CELL = (200, 280)  # pixels a picture may fill, width and height, its border included
BORDER = 6
MARGIN = 10
CAPTION = 24
FOOT = 8  # pixels below a caption's line


class GalleryError(CastSearchError):
    """A cast member or a candidate that is not there to be shown."""


class Verdict(Enum):
    """What the labels say of a candidate; the value is its border's RGB colour."""

    HIT = (40, 167, 69)
    MISS = (220, 53, 69)
    UNKNOWN = (150, 150, 150)  # there are no labels of the cast member


@dataclass(frozen=True)
class Shown:
    """A ranked candidate: its picture, (h, w, 3) uint8 RGB, a caption and a verdict."""

    image: np.ndarray
    caption: str
    verdict: Verdict


@dataclass(frozen=True)
class Strip:
    """A picture of a ranking, (height, width, 3) uint8 RGB, and the letters of its captions that no font has."""

    image: np.ndarray
    missing: str


def cast_strip(
    split: Split,
    ranking: Mapping[str, Sequence[str]],
    cast_id: str,
    hits: Collection[str] | None,
    folder: Path,
) -> Strip:
    """The strip of one cast member and its six best candidates.

    Args:
        split: of ``body_{mode}.pkl``.
        ranking: candidates of each cast member, best first.
        cast_id: the portrait that is shown; where the ranking has no line for it, another of the same person will do.
        hits: true candidates, or None where nobody knows them.
        folder: of the crops, ``BODY/{mode}``.

    Raises:
        GalleryError: the cast member is unknown or not ranked, or a candidate is unknown.
    """
    portraits = {picture.id: picture.file for movie in split.values() for picture in movie.cast}
    crops = {picture.id: picture.file for movie in split.values() for picture in movie.candidates}
    if cast_id not in portraits:
        raise GalleryError(f"no cast member {shown(cast_id)}; {_who_is_there(cast_id, list(portraits))}")
    line = _line(split, ranking, cast_id)
    if line is None:
        raise GalleryError(f"the ranking has no line for {shown(cast_id)}; run fusion.py again")
    best = []
    for rank, candidate in enumerate(line[:N_SHOWN], start=1):
        if candidate not in crops:
            raise GalleryError(
                f"cast {shown(cast_id)}: {shown(candidate)} is ranked but no candidate; the ranking is of another split"
            )
        verdict = Verdict.UNKNOWN if hits is None else Verdict.HIT if candidate in hits else Verdict.MISS
        best.append(Shown(read_image(folder / crops[candidate]), f"{rank}: {candidate}", verdict))
    return strip(read_image(folder / portraits[cast_id]), cast_id, best)


def _line(split: Split, ranking: Mapping[str, Sequence[str]], cast_id: str) -> Sequence[str] | None:
    persons = person_ids(split.values())
    portraits = [cast_id, *(other for other, person in persons.items() if person == persons[cast_id])]
    return next((ranking[portrait] for portrait in portraits if portrait in ranking), None)


def _who_is_there(cast_id: str, casts: Sequence[str]) -> str:
    if (found := near([cast_id], casts)) is not None:
        return f"there is {shown(found[1])}: {found[2]}"
    some = ", ".join(map(shown, casts[:N_SHOWN]))
    return f"there are {some}{' and others' * (len(casts) > N_SHOWN)}" if casts else "there is none in this split"


def strip(portrait: np.ndarray, name: str, candidates: Sequence[Shown]) -> Strip:
    """A cast member's portrait, then candidates in rank order, aspect ratios kept.

    Args:
        portrait: (h, w, 3) uint8 RGB.
        name: caption of the portrait.
        candidates: best first.
    """
    cell_width, cell_height = CELL[0] + MARGIN, CELL[1] + MARGIN + CAPTION
    sheet = Image.new("RGB", (cell_width * (1 + len(candidates)) + MARGIN, cell_height + MARGIN), "white")
    cells = [(portrait, name, (0, 0, 0)), *((c.image, c.caption, c.verdict.value) for c in candidates)]
    draw, missing = ImageDraw.Draw(sheet), ""
    for column, (image, caption, colour) in enumerate(cells):
        inner = (CELL[0] - 2 * BORDER, CELL[1] - 2 * BORDER)
        picture = ImageOps.expand(ImageOps.contain(Image.fromarray(image), inner), BORDER, colour)
        left = MARGIN + column * cell_width
        sheet.paste(picture, (left + (CELL[0] - picture.width) // 2, MARGIN + (CELL[1] - picture.height) // 2))
        line = fit(caption, CELL[0])
        line.draw(draw, round(left + CELL[0] / 2 - line.width / 2), cell_height - FOOT)
        missing += line.missing
    return Strip(np.asarray(sheet), "".join(dict.fromkeys(missing)))
