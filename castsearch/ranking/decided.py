"""What people decided about the boxes of a movie, as the ranking takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from castsearch.decisions import Verdicts
from castsearch.ranking.movie import Decided, MovieFeatures

_NOTHING = Verdicts()


def decide(movie: MovieFeatures, verdicts: Mapping[str, Verdicts]) -> MovieFeatures:
    """The same with what was decided about it.

    Args:
        movie: or all movies of a split as one, see ``inputs.across``.
        verdicts: by person, of ``castsearch.decisions.fitting``; those of other movies' people and boxes are left out.

    Raises:
        RankingError: a box is confirmed for two people.
    """
    number = {box: place for place, box in enumerate(movie.candidates)}
    own = [verdicts.get(person, _NOTHING) for person in movie.people]
    said = np.zeros((len(own), len(number)), np.int8)
    for row, verdict in zip(said, own, strict=True):
        row[[number[box] for box in verdict.confirmed if box in number]] = 1
        row[[number[box] for box in verdict.rejected if box in number]] = -1
    portraits = [np.array(sorted(number[box] for box in one.portraits if box in number), np.int64) for one in own]
    return replace(movie, decided=Decided(said, portraits, np.array([one.replace for one in own], bool)))
