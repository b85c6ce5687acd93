"""Reading pickles without running code."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.paths import open_plain, unreadable
from castsearch.stagefiles.admitted import NUMPY_SCALARS, Refused
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.machine import DEPTH, SCALARS, Machine
from castsearch.stagefiles.names import WRITERS
from castsearch.stagefiles.opcodes import OPERATIONS

_LEAVES = SCALARS | NUMPY_SCALARS | {bytes, bytearray, set, frozenset, np.ndarray}


def read(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """Read a stage file without running code.

    Raises:
        StageFileError: the file is missing, cut short, not a pickle of a dict, or holds
            anything but arrays and builtin containers and scalars.
    """
    path = Path(path)
    try:
        with open_plain(path) as file:
            content = load(Machine(file))
    except OSError as error:
        writer = WRITERS.get(path.name.partition("_")[0], "the stage that writes it")
        raise StageFileError(unreadable(path, error, f"run {writer} first")) from None
    except MemoryError:
        raise StageFileError(f"{path}: there is too little memory for it; give more, or split the file") from None
    except Refused as error:
        raise StageFileError(f"{path}: not a usable stage file ({error}); run its stage again") from None
    if not isinstance(content, dict):
        raise StageFileError(f"{path}: expected a dict, found {type(content).__name__}; run its stage again")
    return content


def last_change(path: str | os.PathLike[str]) -> float:
    """When a file or a folder changed, in seconds since the epoch; one that is not there changes for ever."""
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return math.inf


def load(machine: Machine) -> Any:
    """The next pickle of a file: builtin containers and scalars, numpy's arrays and scalars.

    Raises:
        Refused: it is damaged, cut short, or holds anything else.
    """
    machine.reset()
    read_on, operations = machine.read, OPERATIONS
    try:
        while (code := read_on(1)) != b".":
            operation = operations.get(code)
            if operation is None:
                raise Refused(f"opcode {code!r}, which no stage file needs" if code else "it is cut short")
            operation(machine)
        (content,) = machine.stack
    except (IndexError, ValueError) as error:  # of an empty stack, or of text that is no number
        raise Refused(f"it is damaged ({type(error).__name__})") from None
    if machine.outer:
        raise Refused("it is damaged (a mark is left)")
    _inspect(content)
    return content


def _inspect(content: Any) -> None:
    """See that nothing but plain data is left, of a depth that anybody can walk through."""
    level = [content]
    for _ in range(DEPTH):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                below.extend(item for item in value.values() if type(item) not in _LEAVES)
            elif kind is list or kind is tuple:
                below.extend(item for item in value if type(item) not in _LEAVES)
            elif kind not in _LEAVES:
                raise Refused("it is damaged (something unfinished is left)")
        if not below:
            return
        level = below
    raise Refused(f"containers nested more than {DEPTH} deep")
