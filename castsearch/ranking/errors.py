"""What the ranking raises, and what it warns of."""

from castsearch.errors import CastSearchError


class RankingError(CastSearchError):
    """Features, distances or settings that cannot be ranked with."""


class TooLittleMemory(RankingError):
    """The memory allowed does not suffice; ``gigabytes`` would."""

    def __init__(self, message: str, gigabytes: float) -> None:
        super().__init__(message)
        self.gigabytes = gigabytes


class RankingWarning(UserWarning):
    """Something the ranking went on with that the user may not expect."""
