"""The pickles in which stages meet: their names, their schema, safe reading, atomic writing.

A stage file is a plain dict of numpy arrays, strings, numbers and lists, keyed by movie. It is
read without running code, whoever wrote it, and written so that a plain ``pickle.load`` with
any numpy from 1.17 on can read it. Whatever does not fit the schema (model names, weights'
SHA-256, settings) goes into a JSON file of the same name beside the pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from castsearch.errors import CastSearchError

MODES = ("train", "val", "test")

# One cast or candidate of a stage file: {"id", "file", "label"?} and, after stage 2, "faces",
# "landmarks" and "scores".
Item = dict[str, Any]


class StageFileError(CastSearchError):
    """A stage file that is missing, damaged, hostile, or of another split or schema."""


# ---------------------------------------------------------------------------- names


def body_name(mode: str) -> str:
    """File name of stage 1's list of crops."""
    return f"body_{mode}.pkl"


def retina_name(mode: str) -> str:
    """File name of the merged face detections."""
    return f"retina_{mode}.pkl"


def face_name(mode: str) -> str:
    """File name of the face embeddings."""
    return f"face_{mode}.pkl"


def reid_name(network: str, cnn: str, mode: str) -> str:
    """File name of body features; ``network`` is ``triplet`` or ``mgn``, ``cnn`` the backbone."""
    return f"{network}_{cnn}_{mode}.pkl"


# Which script writes a stage file, by the first word of its name.
_WRITERS = {
    "body": "crop_body.py",
    "retina": "RetinaFace/merge.py",
    "face": "RetinaFace/face_feat.py",
    "triplet": "reid/triplet.py --eval",
    "mgn": "reid/mgn.py --eval",
}


# ---------------------------------------------------------------------------- writing

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


class _PortablePickler(pickle.Pickler):
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
        _PortablePickler(file, protocol=4).dump(dict(content))
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


# ---------------------------------------------------------------------------- reading


def _latin1(text: str, encoding: str) -> bytes:
    """Stands in for ``_codecs.encode``, by which protocols 0 to 2 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


# numpy moved these functions between 1.x and 2.x; a file may name either place.
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    **{("builtins", t.__name__): t for t in (set, frozenset, bytearray, complex, bool, int, float, str, bytes)},
}
for _core in ("numpy.core", "numpy._core"):
    for _module, _function in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer")):
        _ADMITTED[f"{_core}.{_module}", _function] = getattr(
            getattr(np, "_core", None) or np.core,
            _module,  # type: ignore[attr-defined]
        ).__dict__[_function]


class _SafeUnpickler(pickle.Unpickler):
    """Admits numpy arrays and the builtin containers and scalars, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no stage file needs") from None


def read(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """Read a stage file without running code.

    Raises:
        StageFileError: the file is missing, truncated, not a pickle of a dict, or names
            anything but arrays and builtin containers and scalars.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = _SafeUnpickler(file).load()
    except FileNotFoundError:
        writer = _WRITERS.get(path.name.partition("_")[0], "the stage that writes it")
        raise StageFileError(f"{path}: no such file; run {writer} first") from None
    except OSError as error:
        raise StageFileError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a hostile pickle can raise anything at all
        raise StageFileError(f"{path}: not a usable stage file ({error}); run its stage again") from None
    if not isinstance(content, dict):
        raise StageFileError(f"{path}: expected a dict, found {type(content).__name__}; run its stage again")
    return content


# ---------------------------------------------------------------------------- resuming


def last_change(*paths: str | os.PathLike[str]) -> float:
    """When the latest of files changed, in seconds since the epoch; one that is absent always has."""
    try:
        return max((Path(path).stat().st_mtime for path in paths), default=0.0)
    except OSError:
        return math.inf


class Resumable:
    """The dict of a long stage, kept entry by entry, so that a killed run goes on where it was.

    Entries are appended to ``{path}.partial``, and ``finish`` turns them into the stage file. An
    entry of an earlier run counts if that run had the same metadata and the entry's source has not
    changed since; the same holds for the entries of a finished file.

    Args:
        path: the stage file.
        metadata: what the entries depend on (weights, settings).
        keys: entries that the file will hold, in its order.
        changed: when a key's source last changed, in seconds since the epoch.

    Attributes:
        content: the entries that there are.
        todo: the keys that have none yet.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        metadata: Mapping[str, Any],
        keys: Sequence[str],
        changed: Callable[[str], float],
    ) -> None:
        self.path = Path(path)
        self.metadata = dict(metadata)
        self._keys = keys
        self._log_path = self.path.with_name(f"{self.path.name}.partial")
        self._log: BinaryIO | None = None
        self.content: dict[str, Any] = {}
        self._bad: dict[str, str] = {}
        for source, entries in ((self.path, self._finished()), (self._log_path, self._logged())):
            known = [key for key in keys if key in entries]
            written = source.stat().st_mtime if known else 0.0
            self.content.update({key: entries[key] for key in known if changed(key) <= written})
        self.todo = [key for key in keys if key not in self.content]

    def _finished(self) -> dict[str, Any]:
        try:
            metadata = read_metadata(self.path)
            bad = metadata.pop("bad", {})
            entries = read(self.path) if metadata == self.metadata else {}
        except StageFileError:
            return {}  # absent or damaged: this run will replace it
        return {key: value for key, value in entries.items() if key not in bad}

    def _logged(self) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        try:
            with self._log_path.open("rb") as log:
                if _SafeUnpickler(log).load() != self.metadata:
                    return entries
                while True:
                    key, value = _SafeUnpickler(log).load()
                    entries[key] = value
        except Exception:  # the end, or a last entry cut short by the kill
            return entries

    def add(self, key: str, value: Any, bad: str | None = None) -> None:
        """Keep an entry.

        Args:
            key: one of ``todo``.
            value: what the file will hold.
            bad: why its source could not be read, where ``value`` only fills the place: the next run tries again.
        """
        if bad is not None:
            self.content[key] = value
            self._bad[key] = bad
            return
        if self._log is None:
            # Entries found stale must not come back in the next run: begin with those that count.
            kept = [record for record in self.content.items() if record[0] not in self._bad]
            with atomic_write(self._log_path) as log:
                for record in (self.metadata, *kept):
                    _PortablePickler(log, protocol=4).dump(record)
            self._log = self._log_path.open("ab")
        self.content[key] = value
        _PortablePickler(self._log, protocol=4).dump((key, value))
        self._log.flush()

    def finish(self) -> None:
        """Write the stage file and remove the partial one."""
        metadata = self.metadata | ({"bad": self._bad} if self._bad else {})
        write(self.path, {key: self.content[key] for key in self._keys}, metadata)
        if self._log is not None:
            self._log.close()
        self._log_path.unlink(missing_ok=True)


# ---------------------------------------------------------------------------- schema


def _read_items(path: str | os.PathLike[str], fields: Sequence[str]) -> dict[str, dict[str, list[Item]]]:
    content = read(path)
    for movie, groups in content.items():
        if not isinstance(groups, dict) or not {"cast", "candidates"} <= set(groups):
            raise StageFileError(f"{path}: movie {movie}: expected 'cast' and 'candidates'; run its stage again")
        for group in ("cast", "candidates"):
            for index, item in enumerate(groups[group]):
                missing = [f for f in fields if not isinstance(item, dict) or f not in item]
                if missing:
                    raise StageFileError(
                        f"{path}: movie {movie}: {group} {index} has no {missing[0]!r}; run its stage again"
                    )
    return content


def read_body(path: str | os.PathLike[str]) -> dict[str, dict[str, list[Item]]]:
    """Read ``body_{mode}.pkl``: ``{movie: {"cast": [{id, file, label}], "candidates": [...]}}``."""
    return _read_items(path, ("id", "file"))


def read_retina(path: str | os.PathLike[str]) -> dict[str, dict[str, list[Item]]]:
    """Read ``retina_{mode}.pkl``: as body, with the faces of every picture.

    ``faces`` is (n, 4) x1 y1 x2 y2 in pixels of the picture, ``landmarks`` (n, 10) five x then
    five y, ``scores`` (n,); all three are None where no face was found.
    """
    content = _read_items(path, ("id", "file", "faces", "landmarks", "scores"))
    for movie, groups in content.items():
        for item in [*groups["cast"], *groups["candidates"]]:
            if item["faces"] is None:
                continue
            for field, width in (("faces", 4), ("landmarks", 10)):
                # A detector without landmarks stores None there; a box is always present.
                if item[field] is not None and np.shape(item[field]) != (len(item["scores"]), width):
                    raise StageFileError(
                        f"{path}: movie {movie}: {item['id']}: {field} must be ({len(item['scores'])}, {width}), "
                        f"got {np.shape(item[field])}; run merge.py again"
                    )
    return content


def read_features(
    path: str | os.PathLike[str], counts: Mapping[str, int], casts: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Read a feature file: ``{movie: (rows, d) float32}``.

    Args:
        path: ``face_{mode}.pkl``, ``triplet_{cnn}_{mode}.pkl`` or ``mgn_{cnn}_{mode}.pkl``.
        counts: rows that each movie must have.
        casts: rows that may stand before those, as ``--with_cast`` extracts them.

    Raises:
        StageFileError: a movie is missing or has another number of rows, that is, the file
            belongs to another split or another run.
    """
    content = read(path)
    for movie, rows in counts.items():
        if movie not in content:
            raise StageFileError(
                f"{path}: movie {movie} is missing; the file belongs to another split, run its stage again"
            )
        features = content[movie]
        allowed = (rows,) if casts is None else (rows, rows + casts[movie])
        if not isinstance(features, np.ndarray) or features.ndim != 2 or len(features) not in allowed:
            expected = f"({rows}, d) features" + (f", or ({allowed[-1]}, d) with casts" if len(allowed) > 1 else "")
            raise StageFileError(
                f"{path}: movie {movie}: expected {expected}, got {np.shape(features)}; "
                "the file belongs to another split or run, run its stage again"
            )
    return {movie: np.asarray(content[movie], dtype=np.float32) for movie in counts}
