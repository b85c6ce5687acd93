"""What cannot be scored."""

from castsearch.errors import CastSearchError


class EvaluationError(CastSearchError):
    """Labels that ask for nobody, or that have nothing in common with what they shall score."""
