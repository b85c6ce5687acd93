"""Which of a picture's faces is the one that counts.

A portrait shows its person large; the crop of a candidate may show bystanders too, whose faces
are smaller or off the middle. Rules and limits are the original's.
"""

from __future__ import annotations

import numpy as np

PORTRAIT_SCORE = 0.95
CANDIDATE_SCORE = 0.9
MIN_AREA = 1 / 50  # of the picture
MIDDLE = (1 / 6, 5 / 6)  # of the width: its middle two thirds


def select_portrait(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> int | None:
    """The face of a portrait: its only one, or the best placed of those with a score above 0.95.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in pixels.
        scores: (n,).
        size: (width, height) of the picture in pixels.

    Returns:
        Index into ``boxes``, or None.
    """
    if len(boxes) == 1:
        return 0
    return _best(boxes, scores > PORTRAIT_SCORE, size)


def select_candidate(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], limits: bool = True) -> int | None:
    """The face of a candidate's crop: the best placed within the limits.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in pixels.
        scores: (n,).
        size: (width, height) of the picture in pixels.
        limits: admit only faces with a score above 0.9, an area above 1/50 of the picture and
            a centre in the middle two thirds of its width.

    Returns:
        Index into ``boxes``, or None.
    """
    admitted = np.ones(len(boxes), dtype=bool)
    if limits and len(boxes):
        width, height = size
        centre = (boxes[:, 0] + boxes[:, 2]) / 2
        admitted = (
            (scores > CANDIDATE_SCORE)
            & (_areas(boxes) > MIN_AREA * width * height)
            & (centre > MIDDLE[0] * width)
            & (centre < MIDDLE[1] * width)
        )
    return _best(boxes, admitted, size)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _best(boxes: np.ndarray, admitted: np.ndarray, size: tuple[int, int]) -> int | None:
    """Largest area over distance to the point where a person's face is: (width / 2, height / 3)."""
    if not admitted.any():
        return None
    width, height = size
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(centres[:, 0] - width / 2, centres[:, 1] - height / 3)
    # A face exactly at that point is the best there is, not a division by zero.
    merit = _areas(boxes) / np.maximum(distance, 1e-6)
    return int(np.where(admitted, merit, -np.inf).argmax())
