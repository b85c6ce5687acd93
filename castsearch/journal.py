"""What a run tells of its work, through Python's ``logging``: a line for people, and facts for programs.

The library has no handler: whoever runs it decides where lines go. ``scripts.cli`` shows them, and writes them as JSON.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOGGER = logging.getLogger("castsearch")
FACTS = "facts"  # the attribute of a record that holds its facts


def tell(message: str, **facts: Any) -> None:
    """Tell what people want to know: what is done already, what is gone on with.

    Args:
        message: one line.
        facts: the same and more for programs, as JSON has it.
    """
    LOGGER.info("%s", message, extra={FACTS: facts})


def detail(message: str, **facts: Any) -> None:
    """Tell what only somebody who asks for it wants to know, as a movie that is done."""
    LOGGER.debug("%s", message, extra={FACTS: facts})


@contextmanager
def timed(movie: str, **counts: int) -> Iterator[None]:
    """Tell, when the block is done, how long a movie took.

    Args:
        movie: its name.
        counts: what was worked on, by what it is.
    """
    begun = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - begun, 3)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    detail(f"{movie}: {told}, {seconds:.1f} s", movie=movie, counts=counts, seconds=seconds)
