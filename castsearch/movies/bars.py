"""The bars of a letterbox or pillarbox: which part of all pictures a film really fills."""

from __future__ import annotations

import cv2
import numpy as np

from castsearch.movies.footage import Box

_LIT = 24  # grey of 255; black that was compressed stays below
_FEW = 0.02  # of a row's pixels may be lit, as compression makes some next to the picture's edge
_STRAY = 0.005  # of the samples may be lit without counting: a broken picture, a logo before the film
_SURE = 0.3  # of the samples lit right inside an edge: it is the picture's, not a dark scene's
_ENOUGH = 8  # samples in which anything is lit
_NARROWEST = 0.015  # of a side; less is a soft border, which costs nothing
_UNLIKE = 0.02  # of a side, by which two bars that face each other may differ
_SHORTEST = 0.4  # of a side that must be left


class Bars:
    """Counts, for each row and column, in how many pictures of a film it shows anything.

    Args:
        size: (width, height) of the pictures.

    Attributes:
        counts: (height + width + 1,) int64: of each row, each column, and the samples that show anything.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self.counts = np.zeros(size[0] + size[1] + 1, dtype=np.int64)

    def see(self, picture: np.ndarray) -> None:
        """Count a picture, (h, w, 3) uint8 RGB."""
        red, green, blue = (picture[..., colour] for colour in range(3))
        lit = (np.maximum(np.maximum(red, green), blue) > _LIT).view(np.uint8)
        width, height = self._size
        rows = cv2.reduce(lit, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0] > _FEW * width
        columns = cv2.reduce(lit, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0] > _FEW * height
        self.counts += np.concatenate([rows, columns, [rows.any()]])

    def box(self) -> Box:
        """The part that is no bar; all of it where it is not sure."""
        height = self._size[1]
        samples = int(self.counts[-1])
        top, bottom = _inside(self.counts[:height], samples)
        left, right = _inside(self.counts[height:-1], samples)
        return left, top, right - left, bottom - top


def _inside(counts: np.ndarray, samples: int) -> tuple[int, int]:
    """From where to where along one side the picture goes; half-open."""
    whole = (0, len(counts))
    lit = np.flatnonzero(counts > _STRAY * samples)
    if samples < _ENOUGH or not len(lit):
        return whole
    first, last = int(lit[0]), int(lit[-1])
    before, after = first, len(counts) - 1 - last
    alike = abs(before - after) <= _UNLIKE * len(counts)
    if not alike or max(before, after) < _NARROWEST * len(counts) or last + 1 - first < _SHORTEST * len(counts):
        return whole
    # A row of chroma may be half of either: the second row from the edge tells.
    edges = counts[min(first + 2, last)], counts[max(last - 2, first)]
    return (first, last + 1) if min(edges) >= _SURE * samples else whole
