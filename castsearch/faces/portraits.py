"""Portraits in which a detector sees nothing because the face fills the picture.

Detectors know faces with something around them, up to a size: pictures like that are tried again
with a border, then smaller with a wider one.
"""

from __future__ import annotations

import cv2
import numpy as np

from castsearch.faces.packs import FacePack
from castsearch.stagefiles import Faces

ENLARGED = (2, 4)  # sides of the bordered picture over those of the portrait, in the order of trying
LONG_SIDE = 1200  # pixels of the bordered picture; more costs time and shows no more
GREY = (127, 127, 127)


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
    for times in ENLARGED:
        if len(found):
            break
        found = _detect_bordered(pack, image, times)
    return found


def _detect_bordered(pack: FacePack, image: np.ndarray, times: int) -> Faces:
    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE / (times * max(height, width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
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
