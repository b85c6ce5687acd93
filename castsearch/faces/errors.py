"""The error of this folder."""

from castsearch.errors import CastSearchError


class PackError(CastSearchError):
    """A pack that is not known, or whose weights are missing, damaged or of another kind."""
