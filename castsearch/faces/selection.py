"""Which of a picture's faces is the one that counts.

A portrait shows its person large; the crop of a candidate may show bystanders too, whose faces
are smaller or off the middle. Rules and limits are the original's.
"""

from __future__ import annotations

import numpy as np

from castsearch.stagefiles import Faces

PORTRAIT_SCORE = 0.95
LIKE_SIZE = 0.5  # of the chosen face's area: a portrait with another sure face of that or more is in doubt
CANDIDATE_SCORE = 0.9
MIN_AREA = 1 / 50  # of the picture
MIDDLE = (1 / 6, 5 / 6)  # of the width: its middle two thirds


def select_portrait(faces: Faces, size: tuple[int, int]) -> int | None:
    """The face of a portrait: its only one, or the best placed of those with a score above 0.95.

    Args:
        faces: of the picture.
        size: (width, height) of the picture in pixels.

    Returns:
        Index into ``faces``, or None.
    """
    if len(faces) == 1:
        return 0
    return _best(faces.boxes, faces.scores > PORTRAIT_SCORE, size)


def portrait_doubt(faces: Faces, size: tuple[int, int] | None = None) -> str | None:
    """What makes it doubtful which face of a portrait ``select_portrait`` takes, and what to do about it.

    Args:
        faces: of the picture.
        size: (width, height) of the picture in pixels; where it is not known, nothing is told of faces of like size.

    Returns:
        A few words, or None where there is no doubt.
    """
    if not len(faces):
        return "no face; its features will say little, take a portrait that shows one"
    sure = faces.scores > PORTRAIT_SCORE
    if len(faces) > 1 and not sure.any():
        return (
            f"{len(faces)} faces, none sure enough (the best scores {faces.scores.max():.2f}, above {PORTRAIT_SCORE} "
            "counts); the middle of the picture was taken: crop the portrait to the person, or take a sharper one"
        )
    if len(faces) == 1 or size is None:
        return None
    areas, taken = _areas(faces.boxes), _best(faces.boxes, sure, size)
    alike = int((sure & (areas >= LIKE_SIZE * areas[taken])).sum())
    if alike == 1:
        return None
    x1, y1, x2, y2 = faces.boxes[taken].round().astype(int).tolist()
    return (
        f"{alike} faces of like size; the one at {x1},{y1} ({x2 - x1} x {y2 - y1} pixels) was taken: "
        "crop the portrait to the person"
    )


def admitted(faces: Faces, size: tuple[int, int]) -> np.ndarray:
    """Which faces of a candidate's crop are within the limits.

    Args:
        faces: of the crop.
        size: (width, height) of the crop in pixels.

    Returns:
        (n,) bool: a score above 0.9, an area above 1/50 of the crop and a centre in the middle two thirds of its width.
    """
    width, height = size
    centre = (faces.boxes[:, 0] + faces.boxes[:, 2]) / 2
    return (
        (faces.scores > CANDIDATE_SCORE)
        & (_areas(faces.boxes) > MIN_AREA * width * height)
        & (centre > MIDDLE[0] * width)
        & (centre < MIDDLE[1] * width)
    )


def select_candidate(faces: Faces, size: tuple[int, int], limits: bool = True) -> int | None:
    """The face of a candidate's crop: the best placed within the limits.

    Args:
        faces: of the picture.
        size: (width, height) of the picture in pixels.
        limits: take only faces that are ``admitted``.

    Returns:
        Index into ``faces``, or None.
    """
    return _best(faces.boxes, admitted(faces, size) if limits else np.ones(len(faces), dtype=bool), size)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _best(boxes: np.ndarray, eligible: np.ndarray, size: tuple[int, int]) -> int | None:
    """Largest area over distance to the point where a person's face is: (width / 2, height / 3)."""
    if not eligible.any():
        return None
    width, height = size
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(centres[:, 0] - width / 2, centres[:, 1] - height / 3)
    # A face exactly at that point is the best there is, not a division by zero.
    merit = _areas(boxes) / np.maximum(distance, 1e-6)
    return int(np.where(eligible, merit, -np.inf).argmax())
