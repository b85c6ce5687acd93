"""What one run at a time works on. A lock dies with the process that holds it, however that ends."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from castsearch.paths import NO_ROOM, shortened
from castsearch.stagefiles.errors import StageFileError

try:
    import fcntl
except ImportError:  # not a POSIX system: one run at a time is up to the user there
    fcntl = None  # type: ignore[assignment]

Wait = Callable[[str], None]

_POLL = 0.1  # seconds between two looks at a lock that another run holds
_SHOWN = 100  # characters of another run's command line
_LONGEST = 200  # bytes of a name that its lock's name tells
_MOST_BYTES = 10_000  # that are read of who holds a lock


@dataclass
class _Held:
    """A lock of this process: the thread that holds it, and how many times over."""

    file: BinaryIO
    thread: int
    times: int = 1


# The system keeps account of locks by process, and closing any object on a file lets its lock go.
_held: dict[str, _Held] = {}
_guard = threading.RLock()  # what is collected as garbage meanwhile may let go of a lock of its own


class BusyError(StageFileError):
    """Another run is at work there."""


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


@contextmanager
def alone(path: str | os.PathLike[str], wait: Wait | None = None) -> Iterator[None]:
    """Keep other runs from a file or a folder, there already or not, while the block runs.

    ``.NAME.lock`` beside it tells who is at work. It is removed at the end; one that a kill left holds nobody up. The
    same thread may enter again.

    Args:
        path: what is worked on.
        wait: is told once, in words, who is at work there, and then waited until they have ended; None not to wait.

    Raises:
        BusyError: another run is at work on it.
        StageFileError: there is no writing there.
    """
    lock = _lock_of(path)
    while (holder := _take(lock)) is not None:
        if wait is None:
            raise BusyError(f"{shortened(path)}: another run is at work on it ({holder}); wait until that has ended")
        wait(f"{shortened(path)}: another run is at work on it ({holder}); waiting until that has ended")
        wait = _silent
        time.sleep(_POLL)
    try:
        yield
    finally:
        _release(lock)


def _lock_of(path: str | os.PathLike[str]) -> Path:
    place = Path(os.path.realpath(path))
    name = os.fsencode(place.name)[:_LONGEST].decode(errors="ignore")  # names alike so far share a lock
    return place.with_name(f".{name}.lock")


def _silent(message: str) -> None:
    """Says nothing a second time."""


def _take(lock: Path) -> str | None:
    """Hold a lock; where somebody else does, who."""
    with _guard:
        mine = _held.get(str(lock))
        if mine is None:
            return _take_from_others(lock)
        if mine.thread != threading.get_ident():
            return "in this process"
        mine.times += 1
        return None


def _take_from_others(lock: Path) -> str | None:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "a+b", buffering=0, opener=_opened_itself)  # noqa: SIM115
    except OSError as error:
        if os.path.lexists(lock) and (lock.is_symlink() or lock.is_dir()):
            raise StageFileError(f"{shortened(lock)}: is no file of a lock, but in its place; remove it") from None
        mend = "make room" if error.errno in NO_ROOM else "choose another place"
        raise StageFileError(f"{shortened(lock.parent)}: cannot be written to ({error.strerror}); {mend}") from None
    if not hold(file):
        holder = _told(file)
        file.close()
        return holder
    if not _is_at(lock, file):  # whoever held it removed it just now
        file.close()
        return _take_from_others(lock)
    _tell(file)
    _held[str(lock)] = _Held(file, threading.get_ident())
    return None


def _opened_itself(path: str, flags: int) -> int:
    """A lock is emptied and removed, which shall not happen to what a link of its name leads to."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_at(lock: Path, file: BinaryIO) -> bool:
    try:
        there, mine = lock.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _release(lock: Path) -> None:
    with _guard:
        mine = _held[str(lock)]
        mine.times -= 1
        if mine.times:
            return
        del _held[str(lock)]
        with suppress(OSError):
            lock.unlink()  # while it is still held: nobody else's can stand there
        mine.file.close()


def _tell(file: BinaryIO) -> None:
    """Write down who is at work."""
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": " ".join(sys.argv)[:_SHOWN]}
    with suppress(OSError):  # a full disk is told by whoever has more to write
        file.truncate(0)
        file.write(json.dumps(who).encode())


def _told(file: BinaryIO) -> str:
    """Who is at work, in words."""
    try:
        file.seek(0)
        who = json.loads(file.read(_MOST_BYTES))
        told = f"process {who['pid']} on {who['host']} since {who['since']}: {who['command']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "it does not tell who"
    return "".join(character if character.isprintable() else "?" for character in told)[: 3 * _SHOWN]
