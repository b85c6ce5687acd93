"""What the ranking raises, and what it warns of."""

from castsearch.errors import CastSearchError


class RankingError(CastSearchError):
    """Features, distances or settings that cannot be ranked with."""


class RankingWarning(UserWarning):
    """Something the ranking went on with that the user may not expect."""
