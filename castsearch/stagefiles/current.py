"""Whether a file that is made at once, from other files, need not be made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from castsearch import __version__
from castsearch.journal import tell
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.reading import read
from castsearch.stagefiles.writing import file_sha256, metadata_path, read_metadata

MADE_FROM = "made_from"  # under which metadata tell it


def made_from(files: Iterable[str | PathLike[str]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a file is made from, as JSON has it: the content of files, settings, and the version of this project.

    Args:
        files: in the order in which they count; where they lie does not matter, what they hold does. With each stage
            file goes what its metadata tell.
        settings: what else counts.

    Raises:
        StageFileError: a file cannot be read.
    """
    digests = []
    for file in map(Path, files):
        beside = metadata_path(file)
        digests.append(file_sha256(file))
        if file.suffix == ".pkl" and beside.exists():
            digests.append(file_sha256(beside))
    return {"files": digests, "settings": dict(settings), "version": __version__}


def is_current(path: str | PathLike[str], made: Mapping[str, Any]) -> bool:
    """Whether a stage file is whole and was made from the same; that is told."""
    try:
        if read_metadata(path).get(MADE_FROM) != made:
            return False
        read(path)
    except StageFileError:
        return False  # absent or damaged
    say_current(path)
    return True


def say_current(path: str | PathLike[str], **facts: Any) -> None:
    """Tell that a file is current; ``facts``: more of it for programs."""
    tell(f"{path}: current, nothing is done again", **{"file": str(path), **facts})
