"""The folder of a training run: what lies there, and whose it is.

A run that takes an earlier one's place touches nothing of it before its own first checkpoint is whole. From then on,
when ``last.pt`` is its own, the earlier run's ``best.pt`` is recognised by the run's name, which each checkpoint bears,
and its ``log.jsonl`` by the new one that waits beside it: a kill in between leaves one run or the other to go on with,
never a mixture.
"""

from __future__ import annotations

import os
from pathlib import Path

from castsearch.bodies.checkpoints import BEST, LAST, origin
from castsearch.bodies.log import LOG
from castsearch.errors import CastSearchError
from castsearch.stagefiles import check_folder, check_output


class RunExistsError(CastSearchError):
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
            if leftover.suffix != ".lock":  # which keeps other runs away, see stagefiles.locks
                leftover.unlink()
