"""Reading pickles without running code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.names import WRITERS


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


class SafeUnpickler(pickle.Unpickler):
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
            content = SafeUnpickler(file).load()
    except FileNotFoundError:
        writer = WRITERS.get(path.name.partition("_")[0], "the stage that writes it")
        raise StageFileError(f"{path}: no such file; run {writer} first") from None
    except OSError as error:
        raise StageFileError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a hostile pickle can raise anything at all
        raise StageFileError(f"{path}: not a usable stage file ({error}); run its stage again") from None
    if not isinstance(content, dict):
        raise StageFileError(f"{path}: expected a dict, found {type(content).__name__}; run its stage again")
    return content
