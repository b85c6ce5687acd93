"""Atomic writing, and metadata beside the pickles."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import pickle
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from castsearch.paths import NO_ROOM, open_plain, shortened, unreadable
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.names import WRITERS, stage_of
from castsearch.textfiles import read_json

# The process's umask can only be read by setting it, which threads that write must not do at once.
_UMASK = os.umask(0)
os.umask(_UMASK)

_OF = "pickle"  # the metadata's word for the pickle that it tells of
_LONGEST_PREFIX = 60  # characters of a temporary file's name that tell whose it is
_RANDOM = re.compile("[a-z0-9_]{8}")  # what follows, which mkstemp draws; no end of a name, as a lock's
_ENDS = 1 << 16  # bytes at either end of a pickle that tell it from others


@dataclass(frozen=True)
class _Replacement:
    """A temporary file, open for writing, in the folder of the file whose place it will take."""

    path: Path
    temporary: Path
    file: BinaryIO

    def complete(self, sync: bool) -> None:
        """Hand all bytes to the system, with ``sync`` to the disk; only reading is left to do."""
        try:
            self.file.flush()
            if sync:
                os.fsync(self.file.fileno())
            self.file.close()
            # mkstemp gives 0600; others on a shared disk must be able to read the result.
            self.temporary.chmod(0o666 & ~_UMASK)
        except OSError as error:
            raise not_written(self.path, error) from None

    def take_place(self) -> None:
        """Become the file, at once and whole."""
        try:
            self.temporary.replace(self.path)
        except OSError as error:
            raise not_written(self.path, error) from None


@contextmanager
def _replacement(path: Path, follow: bool = True) -> Iterator[_Replacement]:
    """A temporary file for ``path``, in a folder made if absent; removed unless it took its place."""
    try:
        place = Path(os.path.realpath(path)) if follow and path.is_symlink() else path
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=_prefix(place))
    except OSError as error:
        raise not_written(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield _Replacement(place, Path(temporary), file)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise not_written(path, error) from None
        raise  # of what the block does besides
    finally:
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)


def not_written(path: Path, error: OSError) -> StageFileError:
    """What to raise where the system would not write a file."""
    mend = "make room" if error.errno in NO_ROOM else "choose another place"
    return StageFileError(f"{shortened(path)}: cannot be written ({error.strerror}); {mend}")


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], sync: bool = True, follow: bool = True, unless_same: bool = False
) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that a reader sees the old file or the whole new one.

    The bytes go to a temporary file in the same folder (made if absent), which takes the
    file's place when the block ends and is removed when it raises.

    Args:
        path: the file.
        sync: wait for the disk, so that the file outlives a power cut too. Small files by the
            ten thousand, which their stage can make again, go without.
        follow: where ``path`` is a link, replace the file that it leads to; otherwise the link.
        unless_same: leave a file alone that holds the same bytes: what was made of it need not be made again.

    Raises:
        StageFileError: there is no writing there, or no room.
    """
    with _replacement(Path(path), follow) as new:
        yield new.file
        new.complete(sync)
        if not (unless_same and _same(new.path, new.temporary)):
            new.take_place()


def _same(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False  # there is none, or it may not be read


def remove_leftovers(*paths: str | os.PathLike[str]) -> None:
    """Remove the temporary files that a kill left of writing these files, which nobody else may be writing."""
    own: dict[Path, set[str]] = {}
    for path in paths:
        place = Path(os.path.realpath(path))
        own.setdefault(place.parent, set()).add(_prefix(place))
    for folder, prefixes in own.items():
        with suppress(OSError):
            for other in folder.iterdir():
                if _is_temporary(other.name, prefixes):
                    other.unlink()


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that a kill left of writing what is in a folder and below.

    Nobody else may be writing there. It is done last, when all files are there again: others' hidden files stay.
    """
    for place, _, names in os.walk(folder):
        hidden = [name for name in names if name.startswith(".")]
        prefixes = {_prefix(Path(name)) for name in names} if hidden else set()
        for name in hidden:
            if _is_temporary(name, prefixes):
                with suppress(OSError):
                    Path(place, name).unlink()


def _is_temporary(name: str, prefixes: Collection[str]) -> bool:
    return name[:-8] in prefixes and _RANDOM.fullmatch(name[-8:]) is not None


def _prefix(path: Path) -> str:
    """What the names of a file's temporary ones begin with; of long names the rest is told by a digest."""
    prefix = f".{path.name}."
    if len(prefix) <= _LONGEST_PREFIX:
        return prefix
    told = hashlib.blake2b(os.fsencode(path.name), digest_size=4).hexdigest()
    return f"{prefix[: _LONGEST_PREFIX - len(told) - 1]}{told}."


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


class _Unshared:
    """Content of which equal parts are written equally, whoever made it: a pickler refers again to what is one object.

    Words and dtypes are one object where they are equal, arrays and containers nowhere.
    """

    def __init__(self) -> None:
        self._words: dict[tuple[type, Any], Any] = {}

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind is str or kind is bytes:
            return self._words.setdefault((kind, value), value)
        if kind is dict:
            return {self(key): self(item) for key, item in value.items()}
        if kind is list or kind is tuple:
            return kind(map(self, value))
        if kind is np.ndarray:
            return self._array(value)
        return value

    def _array(self, array: np.ndarray) -> np.ndarray:
        dtype = self._words.setdefault((np.dtype, array.dtype.str), array.dtype)
        return array.view(dtype)


def write(
    path: str | os.PathLike[str],
    content: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a stage file atomically, and its metadata as JSON beside it.

    A write that fails leaves the old pair. The metadata tell which pickle they are of: where a kill, or a copy of
    another file, parted the two, they count no more.

    Args:
        path: the pickle's path.
        content: the stage's dict, of plain data: dicts, lists, numpy arrays, words, numbers.
        metadata: what describes how it was made; None for none.

    Raises:
        StageFileError: there is no writing there, or no room.
    """
    path, beside = check_target(path), metadata_path(path)
    with _replacement(path) as pickled, _replacement(beside) as described:
        PortablePickler(pickled.file, protocol=4).dump(_Unshared()(dict(content)))
        pickled.complete(sync=True)
        told = {} if metadata is None else {**metadata, _OF: _fingerprint(pickled.temporary)}
        described.file.write((json.dumps(told, indent=2, sort_keys=True) + "\n").encode())
        described.complete(sync=True)
        with suppress(OSError):  # there may be no old pickle
            if _fingerprint(pickled.path) == _fingerprint(pickled.temporary):
                described.path.unlink()  # the two may differ in their middles, and a kill come now
        pickled.take_place()  # from here on the old metadata is that of another pickle, and counts no more
        if metadata is not None:
            described.take_place()
        else:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def check_target(path: str | os.PathLike[str], stages: Collection[str] = tuple(WRITERS)) -> Path:
    """See that a stage file may be written there, before the work that fills it.

    Args:
        path: of the file.
        stages: whose names it may bear, see ``names.stage_of``; other stages' files would be lost.

    Raises:
        StageFileError: its name does not end in ``.pkl``, so that its metadata could be another's file, or is of
            another stage's file; or nothing can be written there, see ``check_output``.
    """
    path = Path(path)
    if path.suffix != ".pkl":
        raise StageFileError(f"{path}: a stage file's name ends in .pkl; choose such a name")
    if (stage := stage_of(path.name)) is not None and stage not in stages:
        raise StageFileError(f"{path}: is the name of a file that {WRITERS[stage]} writes; choose another")
    check_output(path)
    check_output(metadata_path(path))
    return path


def check_output(path: str | os.PathLike[str]) -> Path:
    """See that a file may be written there, before the work whose result it receives.

    Raises:
        StageFileError: it is a folder or no file at all, or its folder cannot be made or written to.
    """
    path = Path(path)
    try:
        place = _resolved(path)
        if place.is_dir():
            raise StageFileError(f"{path}: is a folder; choose another name, or remove it")
        if place.exists() and not place.is_file():
            raise StageFileError(f"{path}: is no file but a device or a pipe; choose another name")
        _check_folders(path, place.parents)
    except OSError as error:  # of a name that is too long
        raise not_written(path, error) from None
    return path


def check_folder(path: str | os.PathLike[str]) -> Path:
    """See that files may be written into a folder, before the work whose results it receives; see ``check_output``."""
    path = Path(path)
    try:
        place = _resolved(path)
        _check_folders(path, (place, *place.parents))
    except OSError as error:
        raise not_written(path, error) from None
    return path


def _resolved(path: Path) -> Path:
    place = Path(os.path.realpath(path))
    if any(part.is_symlink() for part in (place, *place.parents)):  # what resolving leaves over
        raise StageFileError(f"{path}: is a link that leads in a circle; choose another name")
    return place


def _check_folders(path: Path, folders: Sequence[Path]) -> None:
    """See that the first of the folders that is there is one, and takes files."""
    above = next(folder for folder in folders if folder.exists())
    what = "is" if above == path else f"{above} is"
    if not above.is_dir():
        raise StageFileError(f"{path}: {what} a file, where a folder was expected; choose another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise StageFileError(f"{path}: {what} not to be written to; choose another place")


def _fingerprint(path: Path) -> str:
    """Tells a pickle from others: its length, and a hash of its first and last bytes."""
    with path.open("rb") as file:
        ends = file.read(_ENDS)
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _ENDS))
        ends += file.read()
    return f"{length} bytes, {hashlib.blake2b(ends, digest_size=16).hexdigest()}"


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits: what metadata names weights by.

    Raises:
        StageFileError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_plain(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise StageFileError(unreadable(path, error, "put the file there")) from None
    return digest.hexdigest()


def metadata_path(path: str | os.PathLike[str]) -> Path:
    """Where the metadata of the stage file ``path`` lies: ``NAME.pkl.json``, which can be no other stage's file."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata beside a stage file; empty where there is none (the original wrote none), or it is another pickle's.

    Raises:
        StageFileError: it cannot be read, or is no JSON object.
    """
    beside = metadata_path(path)
    if not os.path.lexists(beside):
        return {}
    try:
        found = read_json(beside, StageFileError)
    except StageFileError as error:
        raise StageFileError(f"{error}; delete it or run the stage again") from None
    try:
        return found if found.pop(_OF, None) == _fingerprint(Path(path)) else {}
    except OSError:
        return {}  # there is no pickle to tell of
