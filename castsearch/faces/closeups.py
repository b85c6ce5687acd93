"""Close-ups: pictures in which a detector sees nothing because a face fills them.

Detectors know faces with something around them, up to a size: pictures like that are tried again
with a border, then smaller with a wider one. In portraits a face is certain to be, so that each gets all tries; of
candidates many show none, so that those are first looked through together, small, for the few that are worth it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from castsearch.faces.packs import FacePack
from castsearch.stagefiles import Faces

ENLARGED = (2, 4)  # sides of the bordered picture over those of the picture, in the order of trying
LONG_SIDE = 1200  # pixels of the bordered picture; more costs time and shows no more
GREY = (127, 127, 127)
# Candidates are looked through on sheets of so many cells a side, a picture in the middle half of each. At 4, a sheet
# costs what one picture costs, for 16; at 2, 3 and 5 the same faces were found. What a network sees in a cell hangs a
# little on the others, so that a place counts that is less sure than a face: of 162 pictures that show a face or a half
# of one, 28 were looked at beside some neighbours and not beside others at a score of 0.5, 6 at 0.2.
CELLS, CELL = 4, 160  # the latter in pixels


def detect_portrait(pack: FacePack, image: np.ndarray) -> Faces:
    """Find the faces of a portrait; where nothing is found at all, look again with a border around it.

    Args:
        pack: any.
        image: (h, w, 3) uint8 RGB.

    Returns:
        Faces in pixels of ``image``: what the pack finds in it, or else in the first bordered version that
        shows one. Boxes are cut at the picture's edge, landmarks are not.
    """
    found = pack.detect(image)
    return found if len(found) else _detect_enlarged(pack, image)


def detect_candidates(pack: FacePack, images: Sequence[np.ndarray]) -> list[Faces]:
    """Find the faces of candidates; where a pack misses close-ups, those in which nothing is found are looked at again.

    A second look costs a sixteenth of the first, and as much as the first where there may be a face. Whether half a
    face is looked at may hang on the pictures beside it, what is found in it does not.

    Args:
        pack: any.
        images: (h, w, 3) uint8 RGB each.

    Returns:
        Of each picture, as ``detect_portrait`` has it.
    """
    found = pack.detect_many(images)
    if pack.misses_close_ups:
        faceless = [index for index, faces in enumerate(found) if not len(faces)]
        for start in range(0, len(faceless), CELLS * CELLS):
            part = faceless[start : start + CELLS * CELLS]
            for cell in _cells_with_faces(pack, [images[index] for index in part]):
                found[part[cell]] = _detect_enlarged(pack, images[part[cell]])
    return found


def _cells_with_faces(pack: FacePack, images: Sequence[np.ndarray]) -> list[int]:
    """Which of up to ``CELLS`` times ``CELLS`` pictures show a face when they are small."""
    sheet = np.full((CELLS * CELL, CELLS * CELL, 3), GREY, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, CELLS)
        small = _shrunk(image, CELL // ENLARGED[0] / max(image.shape[:2]))
        top, left = (place * CELL + (CELL - side) // 2 for place, side in zip((row, column), small.shape, strict=False))
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    boxes = pack.glimpse(sheet).boxes
    columns, rows = ((boxes[:, :2] + boxes[:, 2:]) / 2 // CELL).T.astype(int).clip(0, CELLS - 1)
    return sorted(set((rows * CELLS + columns).tolist()) & set(range(len(images))))


def _detect_enlarged(pack: FacePack, image: np.ndarray) -> Faces:
    found = Faces.none()
    for times in ENLARGED:
        if len(found):
            break
        found = _detect_bordered(pack, image, times)
    return found


def _detect_bordered(pack: FacePack, image: np.ndarray, times: int) -> Faces:
    height, width = image.shape[:2]
    scale = LONG_SIDE / (times * max(height, width))
    small = _shrunk(image, scale) if scale < 1 else image
    size = small.shape[1], small.shape[0]
    left, top = (size[0] * (times - 1) // 2, size[1] * (times - 1) // 2)
    bordered = cv2.copyMakeBorder(small, top, top, left, left, cv2.BORDER_CONSTANT, value=GREY)
    found = pack.detect(bordered)

    stretch = np.array([width / size[0], height / size[1]], dtype=np.float32)
    offset = np.array([left, top], dtype=np.float32)
    corners = (found.boxes.reshape(-1, 2, 2) - offset) * stretch
    centres = corners.mean(axis=1)
    inside = ((centres > 0) & (centres < (width, height))).all(axis=1)
    boxes = corners.clip(0, np.array([width - 1, height - 1], dtype=np.float32)).reshape(-1, 4)
    landmarks = None if found.landmarks is None else ((found.landmarks - offset) * stretch)[inside]
    return Faces(boxes[inside], found.scores[inside], landmarks)


def _shrunk(image: np.ndarray, scale: float) -> np.ndarray:
    """The picture with its sides multiplied by ``scale``; no side vanishes."""
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
