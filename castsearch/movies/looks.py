"""What somebody looks like in a film: their best pictures, and portraits of people whom nobody looked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from castsearch.images import read_image, write_jpeg
from castsearch.movies.appearances import FilmCast, SeenBox
from castsearch.movies.finding import Found
from castsearch.movies.layout import Seen
from castsearch.movies.portraits import UNKNOWN
from castsearch.movies.scanned import Scan

QUALITY = 92  # of portraits
AROUND = 0.6  # of a face's sides, that its portrait shows beyond it


def best_boxes(cast: FilmCast, name: str, count: int) -> list[SeenBox]:
    """Where somebody is seen, one box an appearance, the likeliest first; only boxes whose picture was kept."""
    own = [one for one in cast.appearances if one.cast == name]
    best = []
    for appearance in sorted(own, key=lambda one: (-one.probability, one.stretch)):
        kept = [box for box in appearance.boxes if box.frame is not None]
        told = [box for box in kept if box.found_by == "face"] or kept
        if told:
            best.append(told[len(told) // 2])
    return best[:count]


def cut(pictures: Path, box: SeenBox) -> np.ndarray:
    """(h, w, 3) uint8 RGB, what a kept box shows; ``pictures`` is the folder of the split."""
    assert box.frame is not None
    x, y, width, height = box.bbox
    return read_image(pictures / box.frame)[y : y + height, x : x + width]


def write_unknown(found: Found, pictures: Path, folder: Path) -> Iterator[Path]:
    """Write a portrait of each unknown person, that names them once it lies among the portraits under a name.

    Args:
        found: with ``unknown``.
        pictures: folder of the frames that were kept.
        folder: receives ``unknown-1.jpg`` and so on; what lies there of an earlier search is removed.
    """
    if folder.is_dir():
        for stale in sorted(folder.glob("unknown-*.jpg")):
            if UNKNOWN.fullmatch(stale.stem):
                stale.unlink()
    for person in found.unknown:
        path = folder / f"{person.name}.jpg"
        write_jpeg(path, portrait(found.scanned.scan, person.portrait, pictures), QUALITY)
        yield path


def portrait(scan: Scan, seen: Seen, pictures: Path) -> np.ndarray:
    """(h, w, 3) uint8 RGB, the face of a sighting whose picture was kept in that folder; without a face its box."""
    sighting = scan.tracks[seen[0]].sightings[seen[1]]
    assert sighting.frame is not None
    picture = read_image(pictures / f"{sighting.frame}.jpg")
    x1, y1, x2, y2 = sighting.box if sighting.face is None else sighting.face
    across, down = AROUND * (x2 - x1), AROUND * (y2 - y1)
    left, top, right, bottom = (round(float(v)) for v in (x1 - across, y1 - down, x2 + across, y2 + down))
    return picture[max(top, 0) : bottom, max(left, 0) : right]
