"""Files that one process at a time works on."""

from __future__ import annotations

from typing import BinaryIO

try:
    import fcntl
except ImportError:  # not a POSIX system: one run at a time is up to the user there
    fcntl = None  # type: ignore[assignment]


def hold(file: BinaryIO) -> bool:
    """Hold a file, open for writing, until this process closes it or ends, however it ends.

    The system keeps account by process: a second object on the file in this one may hold it too, and closing either
    lets it go.

    Returns:
        False where another process holds it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # some network file systems know no locks, and a file that is only read needs none
    return True
