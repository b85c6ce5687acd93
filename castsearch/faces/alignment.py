"""Cutting a face out upright, by a similarity transform of its landmarks onto a template."""

from __future__ import annotations

import cv2
import numpy as np

# ArcFace's five points (eyes, nose, mouth corners; left and right as seen in the picture) in a
# chip of 112 x 112 (Deng et al., CVPR 2019, released code).
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
ARCFACE_SIZE = 112

BOX_MARGIN = 22  # pixels a face's box grows by on each side where there are no landmarks
EDGE = 0.0625  # share of the picture left out on each side where there is no face


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift that takes ``source`` closest to ``target``.

    Least squares, never a reflection (Umeyama, PAMI 1991, eq. 40 to 43).

    Args:
        source: (n, 2) points.
        target: (n, 2) points.

    Returns:
        (2, 3) float64 matrix M with ``target ~ M @ [x, y, 1]``.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    u, s, vt = np.linalg.svd((target - target_mean).T @ centred / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = (s * sign).sum() / max(centred.var(axis=0).sum(), np.finfo(float).tiny)
    linear = scale * (u * sign) @ vt
    return np.column_stack([linear, target_mean - linear @ source_mean])


def warp(image: np.ndarray, landmarks: np.ndarray, template: np.ndarray, size: int) -> np.ndarray:
    """Warp ``image`` so that ``landmarks`` fall on ``template``: (3, size, size) uint8, bilinear, black outside.

    Source positions are rounded to 1/32 pixel as OpenCV's warpAffine did up to version 4. Version 5 no longer
    rounds; grey values move by 2 or 3 only, yet that takes embeddings to a cosine of 0.9996 of what they were.
    """
    inverse = cv2.invertAffineTransform(similarity_transform(landmarks, template))
    at = np.arange(size)
    # Fixed point with 10 bits behind the point, of which 5 are kept: (2, row, column) for x and y.
    starts = np.rint((inverse[:, 1:2] * at + inverse[:, 2:]) * 1024).astype(np.int64)
    steps = np.rint(inverse[:, :1] * at * 1024).astype(np.int64)
    places = (starts[:, :, None] + steps[:, None, :] + 16) >> 5
    pixels = (places >> 5).clip(-32768, 32767).transpose(1, 2, 0).astype(np.int16)
    x_part, y_part = places & 31
    chip = cv2.remap(image, pixels, (y_part * 32 + x_part).astype(np.uint16), cv2.INTER_LINEAR)
    return np.ascontiguousarray(chip.transpose(2, 0, 1))


def cut_box(image: np.ndarray, box: np.ndarray | None, size: int) -> np.ndarray:
    """A face without landmarks: its box, grown and clipped; without a box, the picture's middle.

    Args:
        image: (h, w, 3) uint8.
        box: (4,) x1 y1 x2 y2, or None.
        size: side of the chip in pixels.

    Returns:
        (3, size, size) uint8, resized without keeping the aspect ratio, as ArcFace's code does.
    """
    height, width = image.shape[:2]
    if box is None:
        # The original cuts the edge down to whole pixels before it takes it off each side.
        edge_x, edge_y = int(width * EDGE), int(height * EDGE)
        box = np.array([edge_x, edge_y, width - edge_x, height - edge_y])
    x1, y1 = np.maximum(box[:2] - BOX_MARGIN, 0).astype(int)
    x2, y2 = np.minimum(box[2:] + BOX_MARGIN, (width, height)).astype(int)
    # A box that a detector put outside the picture has nothing to cut; the whole picture stands in.
    part = image[y1:y2, x1:x2] if x2 > x1 and y2 > y1 else image
    return np.ascontiguousarray(cv2.resize(part, (size, size)).transpose(2, 0, 1))


def align_arcface(
    image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None, size: int = ARCFACE_SIZE
) -> np.ndarray:
    """Align a face for an ArcFace-type embedder.

    Args:
        image: (h, w, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2, or None where no face was found.
        landmarks: (5, 2) x y of eyes, nose and mouth corners, or None.
        size: side of the chip.

    Returns:
        (3, size, size) uint8 RGB.
    """
    if landmarks is not None:
        return warp(image, landmarks, ARCFACE_TEMPLATE * (size / ARCFACE_SIZE), size)
    return cut_box(image, box, size)
