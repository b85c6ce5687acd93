"""Files of ``torch.save``, read by ``torch.load`` without running code, and held against what files of weights need.

What PyTorch does not do is done here: the archive's checksums are compared, so that a flipped bit is found; nothing is
unpacked to more bytes than the file has; no tensor counts more numbers than lie behind it, which a walk over its
numbers would meet one by one; and pickles are looked through before they are followed, so that they make nothing but
what files of weights hold, and nothing large or slow.
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

DEEPEST = 50  # containers in containers
# A network of a thousand layers with the state of its optimizer takes less than a megabyte.
LONGEST_PICKLE = 4 << 20  # bytes
_LARGEST_TUPLE = 100_000  # items, those of tuples in it included
_LARGEST_NUMBER = 1 << 63  # larger ones can be chosen to share a hash
_ZIP = b"PK\x03\x04"


class _Score:
    """Stands for a number of numpy's, which torchreid keeps beside weights and nobody here asks for."""

    def __init__(self, *told: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_SCORES: list[Any] = [
    (_Score, f"numpy.{name}") for name in ("core.multiarray.scalar", "_core.multiarray.scalar", "dtype")
]
_NUMBERS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte")
_MADE = {
    *(name for _, name in _SCORES),
    *(f"torch.{kind}Storage" for kind in _NUMBERS),
    *(f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "parameter")),
    *("collections.OrderedDict", "collections.Counter", "torch.Size", "_codecs.encode"),
}
_PLAIN = (str, int, float, bool, type(None), _Score)


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
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SCORES):
            warnings.simplefilter("ignore")  # of what a damaged file may be
            content = _archive(path, tensors) if archive else _stream(path)
        storages: dict[int, int] = {}
        _check(content, DEEPEST, set(), storages)
        if sum(storages.values()) > path.stat().st_size:
            raise Refused("it promises more bytes than it has")
    except (Refused, MemoryError):
        raise
    except Exception as error:  # of damaged bytes, zipfile and torch raise what they stumble over
        # What torch says is long, and advises to run the file's code.
        raise Refused(f"it is damaged, or holds more than weights ({type(error).__name__})") from None
    return content


def _archive(path: Path, tensors: bool) -> Any:
    """The form since PyTorch 1.6."""
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise Refused("a TorchScript archive, which is a program")
        members = archive.infolist()
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise Refused("it promises more bytes than it has")
        for member in members:
            if member.filename.lower().endswith("data.pkl"):
                _check_pickle(io.BytesIO(archive.read(member)))
        if tensors and (damaged := archive.testzip()) is not None:
            raise Refused(f"it is damaged (the checksum of {damaged[:100]!a} differs)")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=not tensors)


def _stream(path: Path) -> Any:
    """The older form: magic number, version, machine, content, the keys of its storages; then the storages."""
    # From a file, PyTorch would make room for as many letters as a word promises.
    file = io.BytesIO(path.read_bytes())
    for _ in range(5):
        _check_pickle(file)
    file.seek(0)
    content = torch.load(file, map_location="cpu", weights_only=True)
    if file.read(1):  # PyTorch leaves to chance what the keys do not name
        raise Refused("it is damaged (its storages are not those of its tensors)")
    return content


def _check_pickle(file: BinaryIO) -> None:
    """See what a pickle would make, and how many items its tuples would have, all of which a dict's key hashes."""
    begin = file.tell()
    stack: list[int] = []  # of each object the items
    marks: list[int] = []
    known: dict[Any, int] = {}
    for code, told, _ in pickletools.genops(file):
        if file.tell() - begin > LONGEST_PICKLE:
            raise Refused("it is damaged, or its pickle is too long")
        if code.name == "GLOBAL" and (asked := str(told).replace(" ", ".")) not in _MADE:
            raise Refused(f"it asks for {ascii(asked[:100])[1:-1]}, which no file of weights needs")
        if isinstance(told, int) and abs(told) >= _LARGEST_NUMBER and told != torch.serialization.MAGIC_NUMBER:
            raise Refused("it holds a number of more than 63 bits")
        if code.name.endswith("PUT"):
            known[told] = stack[-1]
        elif code.name.endswith("GET"):
            stack.append(known[told])
        elif code.name == "MARK":
            marks.append(len(stack))
        else:
            marked = pickletools.markobject in code.stack_before
            first = (marks.pop() + 2 if marked else len(stack)) - len(code.stack_before)
            items = 1 + (sum(stack[first:]) if "TUPLE" in code.name else 0)
            if items > _LARGEST_TUPLE:
                raise Refused("it holds a tuple too large")
            stack[first:] = [items] * len(code.stack_after)


def _check(value: Any, deepest: int, seen: set[int], storages: dict[int, int]) -> None:
    """See that a value is made of plain containers, scalars and tensors that own their numbers.

    Args:
        value: what is not plain itself.
        deepest: containers that it may hold in one another.
        seen: gets its containers by identity; one that stands in many places is looked into once.
        storages: gets the bytes of its tensors' storages, by their place in memory.
    """
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        if value.numel() * value.element_size() > storage.nbytes():
            raise Refused("it is damaged (a tensor larger than its storage)")
        storages[storage.data_ptr()] = storage.nbytes()
        return
    if id(value) in seen:
        return
    if type(value) not in (dict, OrderedDict, Counter, list, tuple, torch.Size):
        raise Refused(f"it holds a {type(value).__name__}, which no file of weights needs")
    if not deepest:
        raise Refused(f"containers nested more than {DEEPEST} deep")
    seen.add(id(value))
    if isinstance(value, dict) and not all(isinstance(key, str | int) for key in value):
        raise Refused("it holds a key that is neither text nor a number")
    for item in value.values() if isinstance(value, dict) else value:
        if type(item) not in _PLAIN:
            _check(item, deepest - 1, seen, storages)
