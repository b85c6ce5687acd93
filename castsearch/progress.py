"""How long work tells how far it is: the library hands over what it iterates, the script shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Passes items through and may show their rate; ``tqdm.tqdm`` is one."""

    def __call__(self, items: Iterable[T], *, total: int, unit: str) -> Iterable[T]: ...


def silent(items: Iterable[T], *, total: int, unit: str) -> Iterable[T]:
    """Shows nothing."""
    return items
