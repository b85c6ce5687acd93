"""How pictures are searched for faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from castsearch.faces.errors import PackError

SCRFD_SIDES = (128, 640)  # pixels, of the squares that SCRFD of free size searches; the insightface library's own
SMALLEST_SCALE, LARGEST_SCALE = 32, 4096  # pixels; at more, one picture takes gigabytes


@dataclass(frozen=True)
class SearchSettings:
    """How pictures are searched, by any detector.

    Attributes:
        scales: short sides in pixels for RetinaFace, sides of the square input for SCRFD; None for the detector's own.
        flip: search the mirrored picture too (RetinaFace only).

    Raises:
        PackError: there is no scale, or one that is not a whole number of 32 to 4096 pixels.
    """

    scales: Sequence[int] | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.scales is None:
            return
        if not self.scales or not all(
            isinstance(scale, int) and SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in self.scales
        ):
            raise PackError(
                f"scales {list(self.scales)}: give at least one, whole numbers of {SMALLEST_SCALE} to "
                f"{LARGEST_SCALE} pixels"
            )
        object.__setattr__(self, "scales", tuple(self.scales))

    def metadata(self) -> Mapping[str, Any]:
        """As JSON has it, for the file beside a stage pickle."""
        return {"scales": None if self.scales is None else list(self.scales), "flip": self.flip}


DEFAULT_SEARCH = SearchSettings()
