"""The error of this folder."""

from castsearch.errors import CastSearchError


class StageFileError(CastSearchError):
    """A stage file that is missing, damaged, hostile, or of another split or schema."""
