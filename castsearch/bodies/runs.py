"""The folder of a training run: what lies there, whose it is, and who works in it.

A run that takes an earlier one's place touches nothing of it before its own first checkpoint is whole. From then on,
when ``last.pt`` is its own, the earlier run's ``best.pt`` is recognised by the run's name, which each checkpoint bears,
and its ``log.jsonl`` by the new one that waits beside it: a kill in between leaves one run or the other to go on with,
never a mixture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castsearch.bodies.checkpoints import BEST, LAST, origin
from castsearch.bodies.log import LOG
from castsearch.errors import CastSearchError
from castsearch.stagefiles import check_folder, check_output

try:
    import fcntl
except ImportError:  # not a POSIX system: one run at a time is up to the user there
    fcntl = None  # type: ignore[assignment]


class RunError(CastSearchError):
    """A folder in which a run cannot work."""


class RunExistsError(RunError):
    """A folder that holds another run, which would be lost."""


def found_in(folder: Path) -> list[str]:
    """Names of what a run left in a folder."""
    return [name for name in (LAST, BEST, LOG) if os.path.lexists(folder / name)]


def check(folder: Path, replaces: bool) -> None:
    """See that a run may write into a folder, before the work.

    Args:
        folder: of the run.
        replaces: a run that lies there may be replaced, or gone on with.

    Raises:
        RunExistsError: one lies there, and may not.
        StageFileError: there is no writing there.
    """
    check_folder(folder)
    for name in (LAST, BEST, LOG):
        check_output(folder / name)
    if not replaces and (found := found_in(folder)):
        raise RunExistsError(f"{folder}: holds a run already ({', '.join(found)}); choose another folder")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if absent, until this one ends, however it ends.

    Raises:
        RunError: another run is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(f"{folder}: another run is at work there; wait until it has ended, or choose another") from None
    except OSError:
        pass  # some network file systems know no locks
    try:
        yield
    finally:
        os.close(handle)


def log_aside(folder: Path, run: str) -> Path:
    """Where a run's log waits until its first checkpoint is whole."""
    return folder / f".log.{run}.jsonl"


def take_over(folder: Path) -> None:
    """Remove what is left of an earlier run, now that ``last.pt`` is of another that has no best one yet."""
    (folder / BEST).unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Finish what a kill cut short: a run's taking over, and writing."""
    run = origin(folder / LAST)
    if run is not None:
        if (aside := log_aside(folder, run)).exists():
            aside.replace(folder / LOG)
        if origin(folder / BEST) not in (run, None):
            (folder / BEST).unlink()
    for pattern in (".*.pt.*", ".log.*"):
        for leftover in folder.glob(pattern):
            leftover.unlink()
