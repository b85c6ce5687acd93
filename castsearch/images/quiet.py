"""Libraries of C that speak on the standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STANDARD_ERROR = 2
_ONE_AT_A_TIME = Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the process writes to its standard error from being seen.

    For libtiff, which tells of damage there, in a file that it calls tempfile.tif, and will not be told otherwise
    through Pillow. What other threads write meanwhile is lost, so keep it short.
    """
    if sys.__stderr__ is None:  # closed when we were started: its number may be that of the picture's file
        yield
        return
    with _ONE_AT_A_TIME:
        kept, nowhere = os.dup(_STANDARD_ERROR), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(kept, _STANDARD_ERROR)
            os.close(kept)
            os.close(nowhere)
