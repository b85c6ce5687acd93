"""What a pickle may ask for by name, each made by a function of our own that checks every argument.

Arrays hold bools, integers, floats or text, and own their bytes: no objects, no records, no views. An array takes no
more memory than the bytes that the file gives for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np


class Refused(Exception):
    """The pickle asks for what no stage file needs, or is damaged; told without a word of hostile length."""


# Makes a value of the tuple of arguments, or of the tuple that is the state, of which it checks each.
Maker: TypeAlias = Callable[[tuple[Any, ...]], Any]


class Global:
    """Stands for a name that a pickle asks for: inert, until it is called with checked arguments."""

    __slots__ = ("make",)

    def __init__(self, make: Maker) -> None:
        self.make = make


class Unbuilt:
    """An array or a dtype that waits for its state; whoever refers to it later gets what became of it."""

    __slots__ = ("finish", "result")

    def __init__(self, finish: Maker) -> None:
        self.finish = finish
        self.result: Any = self


# Text of more code units than this is no stage file's; an empty array could promise any width.
_LONGEST_TEXT = 1 << 16
# Bytes that one row of an empty array may promise: whoever fills it up has to allocate that much.
_LARGEST_EMPTY = 1 << 20
_MOST_AXES = 32  # numpy's own limit, up to 1.x

_FIXED = {text: np.dtype(text) for text in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")}
NUMPY_SCALARS = frozenset(kind.type for kind in _FIXED.values()) | {np.str_}


def _check(fits: bool, what: str) -> None:
    if not fits:
        raise Refused(f"{what} with arguments that no stage file has")


def _is_flag(value: Any) -> bool:
    """Python 2 wrote flags as numbers."""
    return type(value) in (bool, int) and value in (0, 1)


# ---------------------------------------------------------------------------- arrays


def _dtype(args: tuple[Any, ...]) -> Unbuilt:
    """``numpy.dtype(text, align, copy)``, then its state, of which the byte order counts."""
    _check(len(args) == 3 and type(args[0]) is str and all(map(_is_flag, args[1:])), "a dtype")
    text = args[0]
    if text not in _FIXED and not _is_text_dtype(text):
        raise Refused("an array that is not of bool, integer, float or text")

    def finish(state: tuple[Any, ...]) -> np.dtype:
        _check(len(state) == 8 and type(state[1]) is str and state[1] in ("<", ">", "|", "="), "the state of a dtype")
        dtype = np.dtype(state[1] + text)
        written: Any = dtype.__reduce__()
        _check(state[:1] == (3,) and state[2:] == written[2][2:], "the state of a dtype")
        return dtype

    return Unbuilt(finish)


def _is_text_dtype(text: str) -> bool:
    length = text[1:]
    decimal = length.isascii() and length.isdigit()
    return text[:1] == "U" and decimal and 0 < int(length) <= _LONGEST_TEXT


def _array(shape: Any, dtype: Any, fortran: bool, data: Any) -> np.ndarray:
    """A new array, of this machine's byte order, of ``data``, which must be exactly the bytes that it needs."""
    _check(type(shape) is tuple and len(shape) <= _MOST_AXES and isinstance(dtype, np.dtype), "an array")
    n, widest = dtype.itemsize, dtype.itemsize
    for length in shape:
        _check(type(length) is int and length >= 0, "an array")
        n, widest = n * length, widest * max(length, 1)
    _check(type(data) in (bytes, bytearray) and len(data) == n, "an array")
    _check(n > 0 or widest <= _LARGEST_EMPTY, "an empty array")
    if n and dtype.kind == "b":
        _check(np.frombuffer(data, np.uint8).max() <= 1, "an array of bool")
    elif n and dtype.kind == "U":
        code_points = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        _check(code_points.max() <= sys.maxunicode, "an array of text")
    order: Any = "F" if fortran else "C"
    own = dtype if dtype.isnative else dtype.newbyteorder("=")  # one dtype for all arrays where it can be
    return np.ndarray(shape, dtype, data, order=order).astype(own, order)


def _raw(data: Any) -> Any:
    """Python 2's strings are bytes."""
    return data.encode("latin-1") if type(data) is str else data


def _array_state(state: tuple[Any, ...]) -> np.ndarray:
    fits = len(state) == 5 and type(state[0]) is int and state[0] == 1
    _check(fits and _is_flag(state[3]) and type(state[4]) in (bytes, str), "the state of an array")
    _, shape, dtype, fortran, data = state
    return _array(shape, dtype, bool(fortran), _raw(data))


def _ndarray(args: tuple[Any, ...]) -> Unbuilt:
    """``numpy.ndarray((0,), b"b")``, as this project writes: an empty array, whose state is all that counts."""
    _check(args in (((0,), b"b"), ((0,), "b")), "numpy.ndarray")
    return Unbuilt(_array_state)


def _reconstruct(args: tuple[Any, ...]) -> Unbuilt:
    """``_reconstruct(numpy.ndarray, (0,), b"b")``, as numpy writes."""
    _check(args[:1] == (_NDARRAY,), "_reconstruct")
    return _ndarray(args[1:])


def _frombuffer(args: tuple[Any, ...]) -> np.ndarray:
    """``_frombuffer(data, dtype, shape, order)``, as numpy writes in protocol 5."""
    _check(len(args) == 4 and args[3] in ("C", "F"), "_frombuffer")
    data, dtype, shape, order = args
    return _array(shape, dtype, order == "F", data)


def _numpy_scalar(args: tuple[Any, ...]) -> Any:
    _check(len(args) == 2 and type(args[1]) in (bytes, str), "numpy's scalar")
    return _array((), args[0], False, _raw(args[1]))[()]


# ---------------------------------------------------------------------------- builtins


def _encode(args: tuple[Any, ...]) -> bytes:
    """``_codecs.encode(text, "latin1")``, by which protocols 0 to 2 write bytes."""
    _check(len(args) == 2 and type(args[0]) is str and args[1] == "latin1", "_codecs.encode")
    return args[0].encode("latin-1")


def _bytes(args: tuple[Any, ...]) -> bytes:
    """``bytes()``: empty ones in protocols 0 to 2."""
    _check(args == (), "bytes")
    return b""


def _bytearray(args: tuple[Any, ...]) -> bytearray:
    """``bytearray()``, ``bytearray(data)``, and ``bytearray(text, "latin-1")`` in protocols 0 to 2."""
    if len(args) == 2:
        _check(type(args[0]) is str and args[1] == "latin-1", "bytearray")
        return bytearray(args[0].encode("latin-1"))
    _check(args == () or (len(args) == 1 and type(args[0]) is bytes), "bytearray")
    return bytearray(*args)


def _complex(args: tuple[Any, ...]) -> complex:
    _check(len(args) == 2 and all(type(part) is float for part in args), "complex")
    return complex(*args)


def _members(kind: type) -> Maker:
    def make(args: tuple[Any, ...]) -> Any:
        _check(len(args) == 1 and type(args[0]) is list, kind.__name__)
        return kind(checked_keys(args[0]))

    return make


def _itself(kind: type) -> Maker:
    """``float(1.5)``: how this project writes numpy's scalars."""

    def make(args: tuple[Any, ...]) -> Any:
        _check(len(args) == 1 and type(args[0]) is kind, kind.__name__)
        return args[0]

    return make


def checked_keys(keys: Any) -> Any:
    """Keys and members are text or bytes: what hashes fast, and so that nobody can choose what collides."""
    for key in keys:
        if type(key) is not str and type(key) is not bytes:
            raise Refused(f"a key or a member of a set that is a {type(key).__name__}, not text")
    return keys


_NDARRAY = Global(_ndarray)


def _admit() -> dict[tuple[str, str], Global]:
    found = {("numpy", "ndarray"): _NDARRAY, ("numpy", "dtype"): Global(_dtype)}
    # numpy moved these functions between 1.x and 2.x; a file may name either place.
    for module, name, make in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("multiarray", "scalar", _numpy_scalar),
        ("numeric", "_frombuffer", _frombuffer),
    ):
        found |= {(f"numpy.{core}.{module}", name): Global(make) for core in ("core", "_core")}
    found["_codecs", "encode"] = Global(_encode)
    own: dict[str, Maker] = {"bytes": _bytes, "bytearray": _bytearray, "complex": _complex}
    own |= {kind.__name__: _members(kind) for kind in (set, frozenset)}
    own |= {kind.__name__: _itself(kind) for kind in (bool, int, float, str)}
    for module in ("builtins", "__builtin__"):  # of Python 3 and 2
        found |= {(module, name): Global(make) for name, make in own.items()}
    return found


_ADMITTED = _admit()


def admitted(module: Any, name: Any) -> Global:
    """What stands for a name.

    Raises:
        Refused: no stage file needs it.
    """
    if type(module) is not str or type(name) is not str:
        raise Refused("it asks for something whose name is not text")
    if (module, name) not in _ADMITTED:
        asked = ascii(f"{module}.{name}"[:80])[1:-1]
        raise Refused(f"it asks for {asked}, which no stage file needs")
    return _ADMITTED[module, name]
