"""The error of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from castsearch.errors import CastSearchError


class StageFileError(CastSearchError):
    """A stage file that is missing, damaged, hostile, or of another split or schema."""


@contextmanager
def located(place: object, mend: str = "") -> Iterator[None]:
    """Put before an error's message where it is: a file, a movie, an item; and after it the mend.

    >>> with located("val.pkl", "; run its stage again"), located("movie tt1"):
    ...     raise StageFileError("there is no 'cast'")
    Traceback (most recent call last):
    castsearch.stagefiles.errors.StageFileError: val.pkl: movie tt1: there is no 'cast'; run its stage again
    """
    try:
        yield
    except StageFileError as error:
        raise StageFileError(f"{place}: {error}{mend}") from None
