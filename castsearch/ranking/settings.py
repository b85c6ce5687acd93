"""How to rank."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from castsearch.ranking.defaults import Rerank
from castsearch.ranking.errors import RankingError, RankingWarning
from castsearch.ranking.propagation import THRESHOLDS

Recipe = Literal["original", "best"]


@dataclass(frozen=True)
class Settings:
    """How to rank.

    Attributes:
        recipe: ``original`` or ``best``; see ``castsearch.ranking.best``.
        thresholds: similarities for the first hits and each propagation after them.
        face_rerank: re-ranking of casts against candidates by face.
        body_rerank: re-ranking of bodies. Thresholds and re-ranking are the original's.
        memory: bytes that the ranking of one movie may take, beyond its features; by default a quarter of what is
            free.

    Raises:
        RankingError: no thresholds, or none that are numbers; a re-ranker or a recipe that does not exist; settings
            that the recipe does not have.

    Warns:
        RankingWarning: a threshold that no similarity can pass, or every one passes.
    """

    thresholds: Sequence[float] = field(default=THRESHOLDS)
    face_rerank: Rerank | None = None
    body_rerank: Rerank | None = None
    memory: int | None = None
    recipe: Recipe = "original"

    def __post_init__(self) -> None:
        thresholds = np.asarray(self.thresholds)
        if (
            thresholds.ndim != 1
            or not len(thresholds)
            or thresholds.dtype.kind not in "fiu"
            or not np.isfinite(thresholds).all()
        ):
            raise RankingError(f"thresholds {self.thresholds!r}: expected at least one number, all finite")
        object.__setattr__(self, "thresholds", tuple(map(float, thresholds)))
        for name in ("face_rerank", "body_rerank"):
            if (kind := getattr(self, name)) not in (None, *get_args(Rerank)):
                raise RankingError(f"{name} {kind!r}: expected None, {' or '.join(map(repr, get_args(Rerank)))}")
        if self.recipe not in get_args(Recipe):
            raise RankingError(f"recipe {self.recipe!r}: expected {' or '.join(map(repr, get_args(Recipe)))}")
        if self.recipe != "original" and (self.thresholds != THRESHOLDS or self.face_rerank or self.body_rerank):
            raise RankingError(f"recipe {self.recipe!r} has no thresholds and no re-ranking; leave them out")
        if (abs(thresholds) > 1).any():
            warnings.warn(
                f"thresholds {list(self.thresholds)}: similarities lie within -1 to 1; is one of them a percentage?",
                RankingWarning,
                stacklevel=3,
            )
