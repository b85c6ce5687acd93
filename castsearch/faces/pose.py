"""How far a face is turned away from the camera, by its landmarks."""

from __future__ import annotations

import numpy as np

from castsearch.faces.catalogue import DLIB


def off_axis(landmarks: np.ndarray, pack: str) -> float:
    """How far the nose lies from the middle between the eyes, along the line through them, over the eyes' distance.

    Of a face that looks into the camera 0, of one turned by 45 degrees about 0.5, of a profile 1 and much more.

    Args:
        landmarks: (5, 2) x y in pixels.
        pack: name of the face pack that found them. dlib's are the corners of either eye, then the nose; others' the
            middle of either eye, the nose, the corners of the mouth.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    eyes, nose = (points[:4].reshape(2, 2, 2).mean(axis=1), points[4]) if pack == DLIB else (points[:2], points[2])
    across = eyes[1] - eyes[0]
    return float(abs((nose - eyes.mean(axis=0)) @ across) / max(across @ across, 1e-6))
