"""Whether a file that is made at once, from other files, need not be made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from castsearch import __version__
from castsearch.journal import tell
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.writing import file_sha256, read_metadata

MADE_FROM = "made_from"  # under which metadata tell it


def made_from(files: Iterable[str | PathLike[str]], settings: Mapping[str, Any]) -> str:
    """Stands for what a file is made from: the content of files, settings, and the version of this project.

    Args:
        files: in the order in which they count; where they lie does not matter, what they hold does.
        settings: what else counts, as JSON has it.

    Raises:
        StageFileError: a file cannot be read.
    """
    told = {"files": [file_sha256(file) for file in files], "settings": settings, "version": __version__}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_current(path: str | PathLike[str], made: str) -> bool:
    """Whether a stage file was made from the same, by its metadata, and is the one that they are of."""
    try:
        return read_metadata(path).get(MADE_FROM) == made
    except StageFileError:
        return False  # there are none, or damaged ones


def say_current(path: str | PathLike[str]) -> None:
    """Tell that a file is current."""
    tell(f"{path}: current, nothing is done again", file=str(path))


def say_kept(path: str | PathLike[str], kept: int, of: int) -> None:
    """Tell how much of what a file or a folder shall hold is there already."""
    if kept == of:
        say_current(path)
    else:
        tell(f"{path}: goes on, {kept} of {of} are done", file=str(path), kept=kept, of=of)
