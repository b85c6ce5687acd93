"""The root of every error this library raises on purpose."""

from __future__ import annotations

from typing import ClassVar


class CastSearchError(Exception):
    """A mistake in the user's input, told in one line: the file, the item and the mend.

    Each module derives its own type, so that callers can tell a bad picture from a bad
    annotation. Scripts print the message and exit with code 2; anything that is not a
    ``CastSearchError`` is a bug and keeps its traceback.

    Attributes:
        skippable: whether the work can go on without the item, so that a script may offer to.
    """

    skippable: ClassVar[bool] = False


def one_line(error: object) -> str:
    """What an error of many lines says, in some words; it may quote a damaged file or a server.

    >>> one_line(ValueError("no\\nnumber: \\x1b[31m"))
    'no number: ?[31m'
    """
    words = " ".join(str(error).split())[:160] or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in words)
