"""The opcodes of pickle's protocols 0 to 5 that write plain data; the others no stage file needs.

Each is a function that changes a ``Machine``. What they mean stands in Python's ``pickletools``. Left out are those
that make or change objects of classes (``NEWOBJ``, ``INST``, ...), that call for what lies outside of the file
(``PERSID``, ``EXT1``, ``NEXT_BUFFER``, ...), and those by which no pickler writes a tree (``DUP``, ``POP``).
"""

from __future__ import annotations

import codecs
import struct
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from castsearch.stagefiles.admitted import Global, Refused, Unbuilt, admitted, checked_keys
from castsearch.stagefiles.machine import CONTAINER, ENTRY, ITEM, TUPLE, Machine

Operation: TypeAlias = Callable[[Machine], None]
OPERATIONS: dict[bytes, Operation] = {}

_HIGHEST_PROTOCOL = 5
_LONGEST_INTEGER = 16  # bytes; Python cannot even print those of some thousand digits
_LONGEST_LINE = 200  # bytes, for a number or a name


def _opcode(code: bytes) -> Callable[[Operation], Operation]:
    def register(operation: Operation) -> Operation:
        OPERATIONS[code] = operation
        return operation

    return register


def _pushes(code: bytes, value: Callable[[Machine], Any]) -> None:
    """Register the opcode that pushes what ``value`` makes of the bytes that follow, or of the topmost items."""

    @_opcode(code)
    def push(m: Machine) -> None:
        made = value(m)  # first: it may change which stack is the topmost
        m.stack.append(made)


# ---------------------------------------------------------------------------- scalars


def _integer(data: bytes) -> int:
    if len(data) > _LONGEST_INTEGER:
        raise Refused("an integer of more digits than any stage file has")
    return int.from_bytes(data, "little", signed=True)


def _decimal(m: Machine) -> int | bool:
    line = m.line(_LONGEST_LINE)
    return line == b"01" if line in (b"00", b"01") else int(line, 0)


def _quoted(m: Machine) -> str:
    """Python 2's strings are bytes; as text they are latin-1, and so they are where they name things."""
    line = m.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise Refused("it is damaged (a string without quotes)")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")  # type: ignore[attr-defined]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_pushes(b"N", lambda m: None)
_pushes(b"\x88", lambda m: True)
_pushes(b"\x89", lambda m: False)
_pushes(b"I", _decimal)
_pushes(b"L", lambda m: int(m.line(_LONGEST_LINE).removesuffix(b"L"), 0))
_pushes(b"J", lambda m: _integer(m.take(4)))
_pushes(b"K", lambda m: m.read(1)[0])
_pushes(b"M", lambda m: m.number(2))
_pushes(b"\x8a", lambda m: _integer(m.take(m.number(1))))
_pushes(b"\x8b", lambda m: _integer(m.take(m.number(4))))
_pushes(b"F", lambda m: float(m.line(_LONGEST_LINE)))
_pushes(b"G", lambda m: struct.unpack(">d", m.take(8))[0])
_pushes(b"S", _quoted)
_pushes(b"T", lambda m: m.take(m.number(4)).decode("latin-1"))
_pushes(b"U", lambda m: m.take(m.read(1)[0]).decode("latin-1"))
_pushes(b"V", lambda m: m.line().decode("raw-unicode-escape"))
_pushes(b"X", lambda m: _text(m.take(m.number(4))))
_pushes(b"\x8c", lambda m: _text(m.take(m.read(1)[0])))
_pushes(b"\x8d", lambda m: _text(m.take(m.number(8))))
_pushes(b"B", lambda m: m.take(m.number(4)))
_pushes(b"C", lambda m: m.take(m.read(1)[0]))
_pushes(b"\x8e", lambda m: m.take(m.number(8)))
_pushes(b"\x96", lambda m: bytearray(m.take(m.number(8))))


# ---------------------------------------------------------------------------- containers


def _new(m: Machine, kind: type, items: list[Any]) -> Any:
    m.charge(CONTAINER + ITEM * len(items))
    return kind(items)


def _tuple(m: Machine, items: list[Any]) -> tuple[Any, ...]:
    m.charge(TUPLE + ITEM * len(items))
    return tuple(items)


def _topmost(m: Machine, n: int) -> list[Any]:
    if len(m.stack) < n:
        raise Refused("it is damaged (too few items on the stack)")
    items = m.stack[-n:]
    del m.stack[-n:]
    return items


def _frozenset(m: Machine) -> frozenset[Any]:
    members = m.since_mark()
    m.charge(CONTAINER + ENTRY * len(members))
    return frozenset(checked_keys(members))


def _dict(m: Machine) -> dict[Any, Any]:
    made: dict[Any, Any] = _new(m, dict, [])
    _set_items(m, made, m.since_mark())
    return made


def _set_items(m: Machine, target: dict[Any, Any], items: list[Any]) -> None:
    m.charge(ENTRY * (len(items) // 2))
    target.update(zip(checked_keys(items[::2]), items[1::2], strict=True))


_pushes(b"]", lambda m: _new(m, list, []))
_pushes(b"}", lambda m: _new(m, dict, []))
_pushes(b"\x8f", lambda m: _new(m, set, []))
_pushes(b"l", lambda m: _new(m, list, m.since_mark()))
_pushes(b"d", _dict)
_pushes(b"\x91", _frozenset)
_pushes(b")", lambda m: ())
_pushes(b"t", lambda m: _tuple(m, m.since_mark()))
_pushes(b"\x85", lambda m: _tuple(m, _topmost(m, 1)))
_pushes(b"\x86", lambda m: _tuple(m, _topmost(m, 2)))
_pushes(b"\x87", lambda m: _tuple(m, _topmost(m, 3)))


@_opcode(b"a")
def _append(m: Machine) -> None:
    item = m.stack.pop()
    m.charge(ITEM)
    m.top(list).append(item)


@_opcode(b"e")
def _appends(m: Machine) -> None:
    items = m.since_mark()
    m.charge(ITEM * len(items))
    m.top(list).extend(items)


@_opcode(b"s")
def _set_item(m: Machine) -> None:
    items = _topmost(m, 2)
    _set_items(m, m.top(dict), items)


@_opcode(b"u")
def _set_several_items(m: Machine) -> None:
    items = m.since_mark()
    _set_items(m, m.top(dict), items)


@_opcode(b"\x90")
def _add_items(m: Machine) -> None:
    members = m.since_mark()
    m.charge(ENTRY * len(members))
    m.top(set).update(checked_keys(members))


# ---------------------------------------------------------------------------- names, and what is made by them


def _named(m: Machine) -> Global:
    module, name = m.line(_LONGEST_LINE).decode(), m.line(_LONGEST_LINE).decode()
    return admitted(module, name)


_pushes(b"c", _named)
_pushes(b"\x93", lambda m: admitted(*_topmost(m, 2)))


@_opcode(b"R")
def _reduce(m: Machine) -> None:
    arguments = m.pop(tuple)
    made = m.top(Global).make(arguments)
    m.charge(CONTAINER + sys.getsizeof(made))
    m.stack[-1] = made


@_opcode(b"b")
def _build(m: Machine) -> None:
    state = m.pop(tuple)
    unbuilt = m.top(Unbuilt)
    unbuilt.result = m.stack[-1] = unbuilt.finish(state)


# ---------------------------------------------------------------------------- the machine itself


@_opcode(b"\x80")
def _protocol(m: Machine) -> None:
    if (protocol := m.number(1)) > _HIGHEST_PROTOCOL:
        raise Refused(f"pickle protocol {protocol}; {_HIGHEST_PROTOCOL} is the highest known")


@_opcode(b"\x95")
def _frame(m: Machine) -> None:
    m.foresee(m.number(8))


OPERATIONS[b"("] = Machine.mark
OPERATIONS[b"\x94"] = Machine.remember
_opcode(b"p")(lambda m: m.remember_at(int(m.line(_LONGEST_LINE))))
_opcode(b"q")(lambda m: m.remember_at(m.read(1)[0]))
_opcode(b"r")(lambda m: m.remember_at(m.number(4)))
_opcode(b"g")(lambda m: m.recall(int(m.line(_LONGEST_LINE))))
_opcode(b"h")(lambda m: m.recall(m.read(1)[0]))
_opcode(b"j")(lambda m: m.recall(m.number(4)))
