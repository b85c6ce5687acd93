"""Atomic writing, and metadata beside the pickles."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from castsearch.stagefiles.errors import StageFileError

# The process's umask can only be read by setting it, which threads that write must not do at once.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_write(path: str | os.PathLike[str], sync: bool = True) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that a reader sees the old file or the whole new one.

    The bytes go to a temporary file in the same folder (made if absent), which takes the
    file's place when the block ends and is removed when it raises.

    Raises:
        StageFileError: there is no writing there, or no room.

    Args:
        path: the file.
        sync: wait for the disk, so that the file outlives a power cut too. Small files by the
            ten thousand, which their stage can make again, go without.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise StageFileError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp gives 0600; others on a shared disk must be able to read the result.
        Path(temporary).chmod(0o666 & ~_UMASK)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StageFileError(f"{path}: cannot be written ({error.strerror}); make room") from None
        raise


class PortablePickler(pickle.Pickler):
    """Names only ``numpy.ndarray`` and ``numpy.dtype``, which every numpy has.

    numpy 2 pickles arrays through ``numpy._core``, which the numpy 1 of the original project
    cannot import. numpy's own reduction is kept otherwise.
    """

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is np.ndarray:
            reduced: Any = obj.__reduce__()
            _, (_, shape, kind), state = reduced
            return np.ndarray, (shape, kind), state
        if isinstance(obj, np.generic):
            value = obj.item()
            return type(value), (value,)
        return NotImplemented


def write(
    path: str | os.PathLike[str],
    content: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a stage file atomically, and its metadata as JSON beside it.

    Args:
        path: the pickle's path.
        content: the stage's dict, of the schema in the README.
        metadata: what describes how it was made.
    """
    beside = metadata_path(path)
    if beside.exists():
        beside.unlink()  # first: it must never stand beside content that it does not describe
    with atomic_write(path) as file:
        PortablePickler(file, protocol=4).dump(dict(content))
    if metadata is not None:
        with atomic_write(beside) as file:
            file.write((json.dumps(metadata, indent=2, sort_keys=True) + "\n").encode())


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits: what metadata names weights by.

    Raises:
        StageFileError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise StageFileError(f"{path}: cannot be read ({error.strerror}); put the file there") from None
    return digest.hexdigest()


def metadata_path(path: str | os.PathLike[str]) -> Path:
    """Where the metadata of the stage file ``path`` lies."""
    return Path(path).with_suffix(".json")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata beside a stage file; empty where there is none (the original wrote none)."""
    beside = metadata_path(path)
    if not beside.exists():
        return {}
    try:
        found = json.loads(beside.read_text())
    except ValueError as error:
        raise StageFileError(f"{beside}: not valid JSON ({error}); delete it or run the stage again") from None
    if not isinstance(found, dict):
        raise StageFileError(f"{beside}: expected a JSON object; delete it or run the stage again")
    return found
