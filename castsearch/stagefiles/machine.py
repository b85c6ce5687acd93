"""The state of a pickle machine that cannot hurt: its bytes, its stack, its memo, and an account of what it makes.

Python's own unpickler lets a file set aside memory by a number in it, hash a tuple nested beyond the stack, and change
the state of whatever it made. Here

- a list, a dict or a set stands in one place: the content is a tree, no larger than the file says in so many bytes;
- no length is believed before the file is seen to be that long, and what is made is paid from an account;
- each opcode takes time in proportion to its own bytes or to the items it takes from the stack.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from castsearch.stagefiles.admitted import NUMPY_SCALARS, Global, Refused, Unbuilt

DEPTH = 100  # levels of containers

# What the objects of a file may take, in bytes, beside the 30 or so that each byte of the file can take as a number, a
# short word, or a place on the stack.
_ALLOWANCE = 64 << 20
_ALLOWANCE_PER_BYTE = 20

# What objects take at most, so many bytes each.
CONTAINER, TUPLE, ENTRY, ITEM = 250, 64, 100, 16  # an entry of a dict or a set, an item of a list or a tuple

_READ_AT_ONCE = 1 << 16  # bytes that may be asked for before the file is known to have them
_SPARE_MEMO = 1000  # places of the memo that a file may leave out

SCALARS = frozenset({type(None), bool, int, float, complex, str})
_NUMBERS = frozenset({type(None), bool, int, float})
# What a file may refer to again. Python's picklers refer again to words, dtypes and shapes; whoever writes one empty
# array for many pictures, to arrays. Bytes only if short: the bytes of arrays must not outlive them in the memo.
_SHARED = SCALARS | NUMPY_SCALARS | {Global, Unbuilt, np.ndarray}
_SHARED_LENGTH = 100
_NOT_SHARED = object()


class Machine:
    """Where the pickles of a file are read, one after another.

    Args:
        file: at the first pickle; its length is what the system says.

    Attributes:
        read: gives the next bytes, fewer at the end.
        stack: items above the last mark.
        outer: the stacks below it.
        memo: what may be referred to again.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = file.read
        self._size = os.fstat(file.fileno()).st_size
        self._left = _ALLOWANCE + _ALLOWANCE_PER_BYTE * self._size
        self.reset()

    def reset(self) -> None:
        """Begin a pickle."""
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: list[Any] = []

    def take(self, n: int) -> bytes:
        """The next ``n`` bytes."""
        if n > _READ_AT_ONCE:
            self.foresee(n)
        data = self.read(n)
        if len(data) != n:
            raise Refused("it is cut short")
        return data

    def foresee(self, n: int) -> None:
        """See that the file has ``n`` bytes more."""
        if n > self._size - self._file.tell():
            raise Refused("it is cut short")

    def number(self, n: int) -> int:
        """The next ``n`` bytes as a length or an index."""
        return int.from_bytes(self.take(n), "little")

    def line(self, limit: int = -1) -> bytes:
        """The rest of the line, without its end."""
        data = self._file.readline(limit)
        if data[-1:] != b"\n":
            raise Refused("it is cut short, or a line is too long")
        return data[:-1]

    def charge(self, n: int) -> None:
        """Pay ``n`` bytes from the account."""
        self._left -= n
        if self._left < 0:
            raise Refused("its content would take many times the memory of the file")

    def mark(self) -> None:
        """Begin a stack above the items there are."""
        if len(self.outer) >= DEPTH:
            raise Refused(f"more than {DEPTH} marks")
        self.outer.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """Take all items above the last mark."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    def top(self, kind: type) -> Any:
        """The item on top, which must be of a kind."""
        top = self.stack[-1]
        if type(top) is not kind:
            raise Refused(f"it is damaged (a {type(top).__name__} where a {kind.__name__} belongs)")
        return top

    def pop(self, kind: type) -> Any:
        """Take the item on top, which must be of a kind."""
        self.top(kind)
        return self.stack.pop()

    def remember(self) -> None:
        """Keep the item on top for later reference, at the next place of the memo."""
        self.memo.append(_sharable(self.stack[-1]))

    def remember_at(self, place: int) -> None:
        """Keep it at a place of the file's choice."""
        if not 0 <= place <= self._size + _SPARE_MEMO:
            raise Refused("a place in the memo that no file of this length needs")
        self.memo.extend([_NOT_SHARED] * (place + 1 - len(self.memo)))
        self.memo[place] = _sharable(self.stack[-1])

    def recall(self, place: int) -> None:
        """Refer again to an item. It is paid again: whoever walks through the content meets it again."""
        if place < 0:
            raise Refused("it is damaged (a negative place in the memo)")
        value = self.memo[place]
        if type(value) is Unbuilt:
            value = value.result
        kind = type(value)
        if kind is str or kind is bytes:
            self.charge(len(value))
        elif kind is tuple:
            self.charge(TUPLE + ITEM * len(value))
        elif kind is np.ndarray or kind in NUMPY_SCALARS:
            self.charge(value.nbytes)
        elif value is _NOT_SHARED or kind is Unbuilt:
            raise Refused("one list, dict, set or long item in several places")
        self.stack.append(value)


def _sharable(value: Any) -> Any:
    """The item if it may be referred to again, else what is refused then."""
    kind = type(value)
    if kind in _SHARED:
        return value
    if kind is tuple:
        return value if len(value) <= _SHARED_LENGTH and _NUMBERS.issuperset(map(type, value)) else _NOT_SHARED
    return value if kind is bytes and len(value) <= _SHARED_LENGTH else _NOT_SHARED
