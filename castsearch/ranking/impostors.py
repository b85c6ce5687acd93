"""How alike a network finds the faces of different people: where the evidence of a face begins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from castsearch.ranking.errors import RankingError

LEAST_SD = 1e-6  # cosines of float32 features are no finer


@dataclass(frozen=True)
class Impostors:
    """The cosines of portraits and other people's faces.

    Attributes:
        mean: in (-1, 1).
        sd: their standard deviation, at least 1e-6 and at most 1.

    Raises:
        RankingError: they are not within these limits.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and -1 < self.mean < 1 and LEAST_SD <= self.sd <= 1):
            raise RankingError(
                f"impostors of mean {self.mean} and standard deviation {self.sd}: expected a mean between -1 and 1 and "
                f"a deviation from {LEAST_SD:g} to 1"
            )

    def standardised(self, cosines: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Cosines in standard deviations above the mean."""
        return (cosines - self.mean) / self.sd


# By the SHA-256 of the embedder's weights: impostors with which the evidence of castsearch.ranking.best is best
# calibrated, that is costs the least Cllr (Brummer and du Preez 2006; 1 tells nothing). Measured on no picture that
# docs/ranking.md reports on: 14 portraits of 6 people of two clips beside 133 (dlib) and 143 (MobileFaceNet) faces in
# the clips, of 8 people told apart by eye. The optimum is flat: .04 in the mean or .02 in the deviation cost < .01.
KNOWN = MappingProxyType(
    {
        # dlib's, centred as castsearch.faces.population does. Cllr .67; the mean and deviation of the pairs of
        # different people themselves, .08 and .18, give .79: its faces of one person are less alike than they suppose.
        # The pack open, which cuts its chips otherwise: 360 faces in the same clips; .62 with these, .62 when fitted.
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30": Impostors(0.0, 0.145),
        # MobileFaceNet ("y1"), as its authors' MXNet checkpoint. Cllr .70; the pairs themselves, -.01 and .096: .72.
        "b151f97e392e68cb540fb9710a91a574a4187d491eeda77d1c1799ae6dc3b82b": Impostors(0.0, 0.08),
    }
)

USUAL_SD = 0.09  # of ArcFace networks on film faces, which scatter round 0
USUAL_WEIGHT = 200  # cosines that the usual deviation counts for


def known(weights: Iterable[object]) -> Impostors | None:
    """What is known of an embedder with weights of these SHA-256; None where nothing is."""
    return next((KNOWN[word] for word in weights if isinstance(word, str) and word in KNOWN), None)


def estimated(cosines: npt.NDArray[np.floating]) -> Impostors:
    """What the cosines of all portraits and all faces of a movie tell, most of which are of different people.

    The negative ones surely are; about a mean of 0 the others of different people lie as they do. With few of them the
    usual deviation counts for more.
    """
    negative = cosines[cosines < 0].astype(np.float64)
    share = len(negative) / (len(negative) + USUAL_WEIGHT)
    variance = share * np.mean(np.square(negative)) if len(negative) else 0.0
    return Impostors(0.0, float(np.sqrt(variance + (1 - share) * USUAL_SD**2)))
