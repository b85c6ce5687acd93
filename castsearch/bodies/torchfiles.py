"""Files of ``torch.save``, read by ourselves: tensors, builtin containers and scalars, without running code.

``torch.load`` believes a file's numbers: a tensor may promise more than its storage has, and a storage more than the
file. Here no number is believed before the bytes are seen to be there, all bytes are read once at most, and the pickle
that tells what they mean can neither run code nor grow beyond :data:`LONGEST_PICKLE`. Both forms are read: the archive
of PyTorch 1.6 and later, and the stream of pickles of those before, which the original project wrote.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, ClassVar

import torch
from torch import Tensor

# A network of a thousand layers with the state of its optimizer takes less than a megabyte.
LONGEST_PICKLE = 8 << 20  # bytes
MOST_TENSORS = 100_000
_LONGEST_NAME = 200  # characters
_LARGEST_KEY = 1 << 31
_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C  # begins the stream of pickles; its second one holds the version
_VERSION = 1001

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
}

# What protocol 2 needs for plain data: the opcodes that PyTorch itself writes, and those of Python 2.
_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT),
    *(pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE, pickle.BINSTRING),
    *(pickle.SHORT_BINSTRING, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.BINPUT, pickle.LONG_BINPUT),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.GLOBAL, pickle.REDUCE, pickle.BINPERSID),
)


class Refused(Exception):
    """The file is damaged, or holds what no file of weights needs."""


def load(file: BinaryIO, size: int, tensors: bool = True) -> Any:
    """What a file of ``torch.save`` holds; dicts of any kind as plain ones, parameters as tensors, all on the CPU.

    Args:
        file: at its beginning.
        size: its length in bytes.
        tensors: read them; otherwise None stands for each, and little is read of a large archive.

    Raises:
        Refused: it is damaged or asks for anything else.
    """
    try:
        archive = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        return (_archive if archive else _stream)(file, size, tensors)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # of damaged bytes, zipfile, pickle and torch raise what they stumble over
        raise Refused(f"it is damaged ({type(error).__name__})") from None


# ---------------------------------------------------------------------------- the two forms


def _archive(file: BinaryIO, size: int, tensors: bool) -> Any:
    with zipfile.ZipFile(file) as archive:
        places = {name.partition("/")[2]: info for name, info in archive.NameToInfo.items()}
        if "constants.pkl" in places:
            raise Refused("a TorchScript archive, which is a program")
        left = size

        def member(name: str) -> bytes:
            nonlocal left
            if name not in places:
                raise Refused(f"it is no file of PyTorch, or damaged: it lacks {name[:_LONGEST_NAME]!a}")
            info = places[name]
            left -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or left < 0:
                raise Refused("it promises more bytes than it has")
            return archive.read(info)

        if "byteorder" in places and member("byteorder").decode() != sys.byteorder:
            raise Refused(f"it was written by a machine that is not {sys.byteorder}-endian")

        def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
            return _filled(member(f"data/{key}"), dtype, count)

        return _Unpickler(io.BytesIO(member("data.pkl")), storage if tensors else None).load()


def _stream(file: BinaryIO, size: int, tensors: bool) -> Any:
    """A magic number, a version, the machine's sizes, the content, the keys of its storages, their numbers."""
    promised: dict[str, Tensor] = {}
    left = size

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        nonlocal left
        left -= count * dtype.itemsize
        if left < 0:
            raise Refused("it promises more bytes than it has")
        promised[key] = torch.empty(count, dtype=dtype)
        return promised[key]

    limited = _Limited(file)
    if _Unpickler(limited).load() != _MAGIC or _Unpickler(limited).load() != _VERSION:
        raise Refused("it is no file of PyTorch")
    machine = _Unpickler(limited).load()
    if machine.get("little_endian", True) != (sys.byteorder == "little"):
        raise Refused(f"it was written by a machine that is not {sys.byteorder}-endian")
    content = _Unpickler(limited, storage if tensors else None).load()
    keys = _Unpickler(limited).load()
    if tensors:
        if sorted(keys) != sorted(promised):
            raise Refused("it is damaged (its storages are not those of its tensors)")
        for key in keys:
            waiting = promised[key]
            count = int.from_bytes(file.read(8), "little")
            if count != len(waiting):
                raise Refused("it is damaged (a storage of another length)")
            waiting.copy_(_filled(file.read(count * waiting.dtype.itemsize), waiting.dtype, count))
    return content


def _filled(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise Refused("it is damaged (a storage of another length)")
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


class _Limited:
    """As much of a file as its pickles may take."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, LONGEST_PICKLE

    def read(self, n: int) -> bytes:
        self._left -= n
        if self._left < 0:
            raise Refused("it is damaged, or its pickle is too long")
        return self._file.read(n)

    def readline(self) -> bytes:
        line = self._file.readline(_LONGEST_NAME)
        self._left -= len(line)
        return line


# ---------------------------------------------------------------------------- the pickle

Storage = Callable[[str, torch.dtype, int], Tensor]


class _Unpickler(pickle._Unpickler):
    """Python's own in Python, which believes no length either, less all that could run code or hash for ever.

    Args:
        file: gives the pickle.
        storage: makes the storage of a key, a dtype and a number of items; None for contents without tensors.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES
    }

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: Any, storage: Storage | None = None) -> None:
        super().__init__(file if isinstance(file, _Limited) else _Limited(file), encoding="latin-1")
        self._storage = storage
        self._storages: dict[str, tuple[Tensor, torch.dtype]] = {}
        self._made = 0

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        makers: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): _dict,
            ("collections", "Counter"): _dict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
            **{(f"numpy.{core}.multiarray", "scalar"): _numpy_scalar for core in ("core", "_core")},
            ("numpy", "dtype"): lambda text, *rest: None,
            ("_codecs", "encode"): lambda text, encoding: text,
        }
        if (module, name) not in makers:
            asked = ascii(f"{module}.{name}"[:_LONGEST_NAME])[1:-1]
            raise Refused(f"it asks for {asked}, which no file of weights needs")
        return makers[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """A storage, of which tensors show parts."""
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or any(view):
            raise Refused("it is damaged, or older than PyTorch 0.4")
        if type(count) is not int or count < 0:
            raise Refused("it is damaged (a storage of another length)")
        if self._storage is None:
            return None
        if key not in self._storages:
            self._storages[key] = self._storage(key, dtype, count), dtype
        found, known = self._storages[key]
        if known != dtype or len(found) != count:
            raise Refused("it is damaged (one storage of two kinds)")
        return found

    def _tensor(self, storage: Tensor | None, offset: int, shape: tuple[int, ...], stride: Any, *rest: Any) -> Any:
        self._made += 1
        if self._made > MOST_TENSORS:
            raise Refused(f"it holds more than {MOST_TENSORS} tensors")
        if storage is None and self._storage is None:
            return None
        # Without this, a stride of 0 would make a tensor of any size of one number.
        if storage is None or min(shape, default=0) < 0 or math.prod(shape) > len(storage):
            raise Refused("it is damaged (a tensor larger than its storage)")
        return torch.as_strided(storage, shape, stride, offset)

    # ------------------------------------------------------------------ what a stranger could misuse

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise Refused("it is damaged (items of what is no dict)")
        target.update(_checked(zip(items[::2], items[1::2], strict=True)))

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items(self.stack[-1], [key, value])

    def _setitems(self) -> None:
        items = self.pop_mark()
        self._set_items(self.stack[-1], items)

    def _build(self) -> None:
        """The attributes of a dict (a network's versions) and the state of a numpy dtype: nothing that counts."""
        self.stack.pop()

    dispatch[pickle.SETITEM[0]] = _setitem
    dispatch[pickle.SETITEMS[0]] = _setitems
    dispatch[pickle.BUILD[0]] = _build


def _checked(items: Iterable[Any]) -> dict[Any, Any]:
    """Items by text or number: what hashes fast, and so that nobody can choose what collides."""
    made = []
    for key, value in items:
        if type(key) is not str and not (type(key) is int and 0 <= key < _LARGEST_KEY):
            raise Refused(f"a key that is a {type(key).__name__}, neither text nor a small number")
        made.append((key, value))
    return dict(made)


def _dict(items: Any = ()) -> dict[Any, Any]:
    return _checked(items.items() if isinstance(items, dict) else items)


def _numpy_scalar(dtype: object, data: object) -> None:
    """Beside weights, some programs keep a score: a number of numpy's, which nobody here asks for."""
