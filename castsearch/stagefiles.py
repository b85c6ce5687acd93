"""The pickles in which stages meet: their names, their schema, safe reading, atomic writing.

A stage file is a plain dict of numpy arrays, strings, numbers and lists, keyed by movie. It is
read without running code, whoever wrote it, and written so that a plain ``pickle.load`` with
any numpy from 1.17 on can read it. Whatever does not fit the schema (model names, weights'
SHA-256, settings) goes into a JSON file of the same name beside the pickle.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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


# ---------------------------------------------------------------------------- writing


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that a reader sees the old file or the whole new one.

    The bytes go to a temporary file in the same folder (made if absent), which takes the
    file's place when the block ends and is removed when it raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp gives 0600; others on a shared disk must be able to read the result.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class _PortablePickler(pickle.Pickler):
    """Names only ``numpy.ndarray`` and ``numpy.dtype``, which every numpy has.

    numpy 2 pickles arrays through ``numpy._core``, which the numpy 1 of the original project
    cannot import. numpy's own reduction is kept otherwise.
    """

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is np.ndarray:
            _, (_, shape, kind), state = obj.__reduce__()  # type: ignore[misc]
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
        metadata: what describes how it was made; without it, a JSON file left by an earlier
            run is removed, since it would speak of other content.
    """
    beside = metadata_path(path)
    with atomic_write(path) as file:
        _PortablePickler(file, protocol=4).dump(dict(content))
    if metadata is None:
        beside.unlink(missing_ok=True)
    else:
        with atomic_write(beside) as file:
            file.write((json.dumps(metadata, indent=2, sort_keys=True) + "\n").encode())


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
            getattr(np, "_core", None) or np.core, _module  # type: ignore[attr-defined]
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
        data = path.read_bytes()
    except FileNotFoundError:
        raise StageFileError(f"{path}: no such file; run the stage that writes it first (see README)") from None
    except OSError as error:
        raise StageFileError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        content = _SafeUnpickler(io.BytesIO(data)).load()
    except Exception as error:  # a hostile pickle can raise anything at all
        raise StageFileError(f"{path}: not a usable stage file ({error}); run its stage again") from None
    if not isinstance(content, dict):
        raise StageFileError(f"{path}: expected a dict, found {type(content).__name__}; run its stage again")
    return content


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
                    raise StageFileError(f"{path}: movie {movie}: {group} {index} has no {missing[0]!r}; run its stage again")
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


def read_features(path: str | os.PathLike[str], counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read a feature file: ``{movie: (rows, d) float32}``.

    Args:
        path: ``face_{mode}.pkl``, ``triplet_{cnn}_{mode}.pkl`` or ``mgn_{cnn}_{mode}.pkl``.
        counts: rows that each movie must have.

    Raises:
        StageFileError: a movie is missing or has another number of rows, that is, the file
            belongs to another split or another run.
    """
    content = read(path)
    for movie, rows in counts.items():
        if movie not in content:
            raise StageFileError(f"{path}: movie {movie} is missing; the file belongs to another split, run its stage again")
        features = content[movie]
        if not isinstance(features, np.ndarray) or features.ndim != 2 or len(features) != rows:
            raise StageFileError(
                f"{path}: movie {movie}: expected ({rows}, d) features, got {np.shape(features)}; "
                "the file belongs to another split or run, run its stage again"
            )
    return {movie: np.asarray(content[movie], dtype=np.float32) for movie in counts}
