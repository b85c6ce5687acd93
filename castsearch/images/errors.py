"""The error of this room."""

from __future__ import annotations

from castsearch.errors import CastSearchError


class ImageError(CastSearchError):
    """A picture that is missing, truncated, too large or not a picture."""

    skippable = True


class NoPicturesError(CastSearchError):
    """None of the pictures can be read, so that there is nothing to go on with."""
