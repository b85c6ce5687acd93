"""Files of ``torch.save``, read by ``torch.load`` without running code, and held against what files of weights need.

What PyTorch does not do is done here: the archive's checksums are compared, so that a flipped bit is found; nothing is
unpacked to more bytes than the file has; and no tensor counts more numbers than lie behind it, which a walk over its
numbers would meet one by one.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEEPEST = 50  # containers in containers
_ZIP = b"PK\x03\x04"
# Beside weights, torchreid keeps a score: a number of numpy's, under its name of either version.
_SCALAR = np.float64(0).__reduce__()[0]
_SCORES: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(np.dtype, type(np.dtype(np.float64)), type(np.dtype(np.float32))),
]
_PLAIN = (str, int, float, bool, type(None))


class Refused(Exception):
    """The file is damaged, or holds what no file of weights needs."""


def load(path: Path, tensors: bool = True) -> Any:
    """What a file of ``torch.save`` holds, on the CPU.

    Args:
        path: of a plain file.
        tensors: read them; otherwise they are looked up in the file when somebody asks, which is quick.

    Raises:
        Refused: it is damaged or asks for anything but tensors and builtin containers.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        archive = file.read(len(_ZIP)) == _ZIP
    try:
        if archive:
            _check_archive(path, tensors)
        # From a file, PyTorch would make room for as many letters as a word of the older form promises.
        source = path if archive else io.BytesIO(path.read_bytes())
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SCORES):
            warnings.simplefilter("ignore")  # of what a damaged file may be
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=archive and not tensors)
        _check(content, DEEPEST)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # of damaged bytes, zipfile and torch raise what they stumble over
        raise Refused(_reason(error)) from None
    return content


def _check_archive(path: Path, content: bool) -> None:
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise Refused("a TorchScript archive, which is a program")
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > path.stat().st_size:
            raise Refused("it promises more bytes than it has")
        if content and (damaged := archive.testzip()) is not None:
            raise Refused(f"it is damaged (the checksum of {damaged[:100]!a} differs)")


def _reason(error: Exception) -> str:
    """What torch says is long and advises to run the file's code; what it was asked for can be told."""
    asked = re.search(r"Unsupported global: GLOBAL ([\w.]{1,100})", str(error))
    if asked is not None:
        return f"it asks for {asked[1]}, which no file of weights needs"
    return f"it is damaged, or holds more than weights ({type(error).__name__})"


def _check(value: Any, deepest: int) -> None:
    """See that a value is made of plain containers, scalars and tensors that own their numbers."""
    if isinstance(value, Tensor):
        kind = value.dtype
        if value.layout != torch.strided or value.is_quantized or kind.is_complex or kind == torch.bool:
            raise Refused("it holds a tensor that is sparse, quantized, complex or of bools, which no network here has")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise Refused("it is damaged (a tensor larger than its storage)")
    elif isinstance(value, dict):
        if not all(isinstance(key, str | int) for key in value):
            raise Refused("it holds a key that is neither text nor a number")
        _check_all(value.values(), deepest)
    elif isinstance(value, list | tuple | set):
        _check_all(value, deepest)


def _check_all(values: Any, deepest: int) -> None:
    if not deepest:
        raise Refused(f"containers nested more than {DEEPEST} deep")
    for value in values:
        if type(value) not in _PLAIN:
            _check(value, deepest - 1)
