"""Whether a file that is made at once, from other files, need not be made again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from castsearch import __version__
from castsearch.journal import tell
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.writing import atomic_write, file_sha256, read_metadata
from castsearch.textfiles import read_json

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


def write_record(path: str | PathLike[str], made: str, outputs: Iterable[Path]) -> None:
    """Keep account of several files that were made at once: what from, and what they are.

    Args:
        path: of the account, JSON.
        made: see ``made_from``.
        outputs: all that was written.
    """
    folder = Path(path).parent
    told = {os.path.relpath(one, folder): stamp([one]) for one in outputs}
    with atomic_write(path) as file:
        file.write((json.dumps({MADE_FROM: made, "outputs": told}, indent=1, sort_keys=True) + "\n").encode())


def is_recorded(path: str | PathLike[str], made: str) -> bool:
    """Whether all files of an account are what they were, and were made from the same."""
    try:
        told = read_json(path, StageFileError)
        outputs = told["outputs"].items()
        return bool(told[MADE_FROM] == made and all(stamp([Path(path).parent / one]) == was for one, was in outputs))
    except (StageFileError, LookupError, AttributeError, TypeError, ValueError):
        return False  # there is none, or something else


def stamp(sources: Iterable[Path], detail: str = "", real: Callable[[Path], str] = os.path.realpath) -> str | None:
    """Stands for the places, sizes and times of change of files, and more; None where one cannot be found.

    Args:
        sources: the files.
        detail: what else counts, in words.
        real: resolves their folders; a cache may stand before it.
    """
    digest = hashlib.blake2b(detail.encode(errors="surrogatepass"), digest_size=16)
    for source in sources:
        try:
            found = source.stat()
        except OSError:
            return None
        name = f"{real(source.parent)}/{source.name}"
        digest.update(f"{name}/{found.st_size}/{found.st_mtime_ns}/".encode(errors="surrogatepass"))
    return digest.hexdigest()


def say_current(path: str | PathLike[str]) -> None:
    """Tell that a file is current."""
    tell(f"{path}: current, nothing is done again", file=str(path))


def say_kept(path: str | PathLike[str], kept: int, of: int) -> None:
    """Tell how much of what a file or a folder shall hold is there already."""
    if kept == of:
        say_current(path)
    else:
        tell(f"{path}: goes on, {kept} of {of} are done", file=str(path), kept=kept, of=of)
