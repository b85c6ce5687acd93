"""What goes wrong with footage."""

from __future__ import annotations

from castsearch.errors import CastSearchError


class MovieError(CastSearchError):
    """A film, a folder of pictures or a portrait that cannot be used."""


class MovieWarning(UserWarning):
    """Something odd about a film or a portrait, which may spoil the result."""
