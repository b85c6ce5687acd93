"""Reading MXNet checkpoints without MXNet: ``prefix-symbol.json`` and ``prefix-0000.params``.

MXNet is retired and does not install on a current Python; the checkpoints of the original
project outlive it. Files are not trusted: every length is held against the bytes that are
there before anything is allocated, and nothing of a file is evaluated.

The format is MXNet's own (``src/ndarray/ndarray.cc``, ``NDArray::Load``, and nnvm's
``saveload_json.cc``), little endian throughout.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.networks.errors import CheckpointError

LIST_MAGIC = 0x112
V1_MAGIC, V2_MAGIC, V3_MAGIC = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
MAX_RANK = 8
LONGEST_NAME = 200  # characters; the graphs' own have up to 40
DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}


# ---------------------------------------------------------------------------- symbol


@dataclass(frozen=True)
class Node:
    """One operator or variable of a graph.

    Attributes:
        op: the operator's name; ``null`` for a variable.
        name: not always unique.
        attrs: parameters as MXNet writes them, all strings.
        inputs: (node, output) indices, always of earlier nodes.
    """

    op: str
    name: str
    attrs: Mapping[str, str]
    inputs: tuple[tuple[int, int], ...]

    def integer(self, key: str, default: int | None = None) -> int:
        """An attribute that is a whole number."""
        return self.integers(key, None if default is None else (default,), length=1)[0]

    def integers(self, key: str, default: tuple[int, ...] | None = None, length: int | None = None) -> tuple[int, ...]:
        """An attribute like ``(3, 3)``, ``(3L, 3L)`` or ``3``; ``length`` is how many there must be."""
        text = self.attrs.get(key)
        if text is None and default is not None:
            return default
        if text is None:
            raise self._bad(key, "is missing")
        parts = text.strip().strip("()[]").rstrip(",").split(",")
        numbers = tuple(int(n.strip().rstrip("L")) for n in parts if re.fullmatch(r"\s*-?\d{1,9}L?\s*", n))
        if len(numbers) != len(parts) or (len(numbers) > MAX_RANK if length is None else len(numbers) != length):
            raise self._bad(key, f"is {text[:40]!r}, expected {length or 'some'} whole number(s)")
        return numbers

    def number(self, key: str, default: float | None = None) -> float:
        """An attribute that is a finite number."""
        text = self.attrs.get(key)
        if text is None and default is not None:
            return default
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self._bad(key, f"is {(text or '')[:40]!r}, expected a number")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """An attribute that is true or false."""
        text = self.attrs.get(key, str(default))
        if text not in ("True", "False", "1", "0", "true", "false"):
            raise self._bad(key, f"is {text[:40]!r}, expected True or False")
        return text in ("True", "1", "true")

    def _bad(self, key: str, what: str) -> CheckpointError:
        return CheckpointError(f"{self.op} {self.name!r}: attribute {key} {what}; the file is damaged, get it again")


@dataclass(frozen=True)
class Symbol:
    """A graph.

    Attributes:
        nodes: in topological order.
        heads: (node, output) indices of the graph's outputs.
    """

    nodes: tuple[Node, ...]
    heads: tuple[tuple[int, int], ...]


def read_symbol(path: str | os.PathLike[str]) -> Symbol:
    """Read a graph, written by any MXNet from 0.8 to 1.9.

    Raises:
        CheckpointError: the file is missing or is not such a graph.
    """
    path = Path(path)
    data = _read_bytes(path)
    try:
        graph = _fields(json.loads(data), "the whole")
        nodes = [_node(fields) for fields in graph["nodes"]]
        heads = tuple(_entry(head) for head in graph["heads"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not an MXNet graph ({type(error).__name__}: {str(error)[:80]}); get it again"
        ) from None
    for index, node in enumerate(nodes):
        if any(source >= index for source, _ in node.inputs):
            raise CheckpointError(
                f"{path}: node {index}, {node.name!r}, has an input that does not come before it; get it again"
            )
    if not heads or any(source >= len(nodes) for source, _ in heads):
        raise CheckpointError(
            f"{path}: the graph's outputs {heads[:9]} are not among its {len(nodes)} nodes; get it again"
        )
    return Symbol(tuple(nodes), heads)


def _fields(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} is {str(value)[:40]!r}, no object")
    return value


def _node(value: Any) -> Node:
    fields = _fields(value, "a node")
    # Up to 0.8 parameters of operators were called "param" and those of users "attr"; both became
    # "attr" in 0.9 and "attrs" in 1.0.
    attrs: dict[str, str] = {}
    for spelling in ("attr", "param", "attrs"):
        attrs |= _fields(fields.get(spelling) or {}, spelling)
    texts = (fields["op"], fields["name"], *attrs.values())
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"a name or attribute that is not text in {str(fields['name'])[:40]!r}")
    if max(len(fields["op"]), len(fields["name"])) > LONGEST_NAME:
        raise ValueError(f"a name of more than {LONGEST_NAME} characters, {fields['name'][:40]!r}")
    return Node(fields["op"], fields["name"], attrs, tuple(_entry(entry) for entry in fields["inputs"]))


def _entry(entry: Any) -> tuple[int, int]:
    # [node, output] up to 0.8, [node, output, version] since; operators that mutate are not supported anyway.
    source, output = entry[:2] if isinstance(entry, list) and len(entry) > 1 else (None, None)
    if type(source) is not int or type(output) is not int or source < 0 or output < 0:
        raise ValueError(f"a reference to a node that reads {str(entry)[:40]}")
    return source, output


# ---------------------------------------------------------------------------- parameters


def read_params(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read parameters, of NDArray file versions V0 (before 0.9) to V3 (numpy shapes).

    Returns:
        ``{"arg:NAME" or "aux:NAME": array}``; arrays are read-only views of the file's bytes.

    Raises:
        CheckpointError: the file is missing, truncated, or holds sparse or unknown arrays.
    """
    path = Path(path)
    file = _Bytes(path, _read_bytes(path))
    if file.unpack("<Q") != LIST_MAGIC:
        raise file.bad("it does not begin as an MXNet parameter file")
    file.unpack("<Q")  # reserved
    arrays = [_read_array(file) for _ in range(file.count("arrays", at_least=4))]
    names = [file.text() for _ in range(file.count("names", at_least=8))]
    if len(names) != len(arrays) or len(set(names)) != len(names):
        raise file.bad(f"{len(names)} names ({len(set(names))} of them different) for {len(arrays)} arrays")
    return {name: array for name, array in zip(names, arrays, strict=True) if array is not None}


def _read_array(file: _Bytes) -> np.ndarray | None:
    """One array; None for one that was saved without ever being given a shape."""
    magic = file.unpack("<I")
    if magic in (V2_MAGIC, V3_MAGIC):
        storage = file.unpack("<i")
        if storage != DENSE:
            raise file.bad(f"storage type {storage}: a sparse array, only dense ones are known")
    if magic in (V1_MAGIC, V2_MAGIC, V3_MAGIC):
        rank, dimension = file.unpack("<i"), "<q"
    else:
        rank, dimension = magic, "<I"
    if rank == (-1 if magic == V3_MAGIC else 0):
        return None
    if not 0 <= rank <= MAX_RANK:
        raise file.bad(f"an array of {rank} dimensions")
    shape = tuple(file.unpack(dimension) for _ in range(rank))
    file.unpack("<ii")  # the device it was saved from
    kind = file.unpack("<i")
    if kind not in DTYPES:
        raise file.bad(f"an array of unknown type {kind}")
    if any(size <= 0 for size in shape):
        raise file.bad(f"an array of shape {shape}")
    dtype = np.dtype(DTYPES[kind])
    return np.frombuffer(file.take(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


class _Bytes:
    """A file's bytes and a place in them; whatever is asked for is held against what is left."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.place = path, memoryview(data), 0

    def bad(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: byte {self.place}: {what}; the file is damaged, get it again")

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.place:
            raise self.bad(f"{size} bytes are promised, {len(self.data) - self.place} are left")
        self.place += size
        return self.data[self.place - size : self.place]

    def unpack(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def count(self, what: str, at_least: int) -> int:
        """A number of things, each of which takes at least so many bytes."""
        number = self.unpack("<Q")
        if number * at_least > len(self.data) - self.place:
            raise self.bad(f"{number} {what} are promised, {len(self.data) - self.place} bytes are left")
        return number

    def text(self) -> str:
        try:
            return str(self.take(self.unpack("<Q")), "utf-8")
        except UnicodeDecodeError:
            raise self.bad("a name that is not text") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); put the checkpoint's file there") from None
