"""What goes wrong with an archive."""

from __future__ import annotations

from castsearch.errors import CastSearchError


class ArchiveError(CastSearchError):
    """An archive, a film of it or a person's portrait that cannot be used."""
