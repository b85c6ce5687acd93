"""What a ranking is: all candidates for one person, best first, and what put each where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# How the original's ranking finds a candidate. Spreading has its step behind it: "spread 1".
FACE, SPREAD, BODY, FRAME_MATE, DECIDED = "face", "spread", "body", "frame-mate", "decided"
DECIDED_ON = CONFIRMED, REJECTED = "confirmed", "rejected"  # by somebody who looked at the box


@dataclass(frozen=True)
class Ranked:
    """The n candidates of a movie ranked for one person: columns of one length, best first.

    Attributes:
        order: (n,) int64 indices of the candidates.
        score: (n,) float32 what each was ranked by; comparable among those that were found alike. NaN where nothing
            but its index ranked a candidate.
        found_by: (n,) str, what put it there.
        probability: (n,) float32 in [0, 1] that the box shows the person; None from a recipe that does not tell.
        evidence: by kind, (n,) float32 log odds that it adds for the person; empty from a recipe that has none.
    """

    order: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    found_by: npt.NDArray[np.str_]
    probability: npt.NDArray[np.float32] | None = None
    evidence: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.order)


def found(order: npt.NDArray[np.integer], score: npt.ArrayLike, by: str) -> Ranked:
    """Some candidates in order, all found alike.

    Args:
        order: (m,) their indices, best first.
        score: (m,) or one for all.
        by: how they were found.
    """
    scores = np.broadcast_to(np.asarray(score, np.float32), order.shape)
    return Ranked(order.astype(np.int64), scores, np.full(len(order), by))


def joined(parts: list[Ranked]) -> Ranked:
    """Lists one behind the other; whoever stands in several keeps the first place."""
    order = np.concatenate([part.order for part in parts])
    first = np.sort(np.unique(order, return_index=True)[1])
    score = np.concatenate([part.score for part in parts])
    found_by = np.concatenate([part.found_by for part in parts])
    return Ranked(order[first], score[first], found_by[first])
