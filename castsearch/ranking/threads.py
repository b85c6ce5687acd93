"""Jobs on every core: threads of Python's own, with BLAS held to one thread while they run.

BLAS and OpenMP each keep a set of threads that wait for work on the cores that the other needs, and a process forked
from one that has such threads hangs. Threads that live for one job do neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from castsearch.parallel import core_count
from castsearch.ranking.memory import budget

T = TypeVar("T")

THREAD_MEMORY = 48 << 20  # bytes of tiles and lists that a thread holds at a time
TILE = 1024  # rows and columns of products at a time: a task worth its thread, and small enough for the caches
TILE_BYTES = 8 << 20  # what the rows of a tile may take in float64


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class _SingleBlas:
    """Counts who computes at the moment; the first holds BLAS to one thread, the last lets it go."""

    def __init__(self) -> None:
        self._lock, self._users = Lock(), 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._limit = _controller().limit(limits=1, user_api="blas")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._limit.restore_original_limits()


_single_blas = _SingleBlas()


def single_blas() -> AbstractContextManager[None]:
    """BLAS held to one thread, for a job that calls it between those of ``Resources.each``, too.

    Its threads wait for work by turning round and round, which costs the cores more than they do on products so small.
    """
    return _single_blas.hold()


@dataclass(frozen=True)
class Resources:
    """What a job may take.

    Attributes:
        memory: bytes for tables, beyond the tiles of the threads.
        threads: how many work side by side.
    """

    memory: int
    threads: int

    @classmethod
    def within(cls, memory: int | None) -> Resources:
        """As much as ``memory`` bytes allow; by default a quarter of what is free."""
        allowed = budget(memory)
        return cls(allowed, max(1, min(core_count(), allowed // (2 * THREAD_MEMORY))))

    def each(self, function: Callable[[T], object], items: Iterable[T]) -> None:
        """Call ``function`` with every item, side by side; the first error ends it."""
        items = list(items)
        with _single_blas.hold():
            if min(self.threads, len(items)) <= 1:
                for item in items:
                    function(item)
                return
            with ThreadPoolExecutor(min(self.threads, len(items))) as pool:
                for _ in pool.map(function, items):
                    pass


def slices(n: int, step: int) -> list[slice]:
    """0 to n in steps.

    >>> slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(first, min(n, first + step)) for first in range(0, n, step)]


def tile_rows(width: int) -> int:
    """How many rows of so many numbers make a tile."""
    return max(64, min(TILE, TILE_BYTES // (8 * max(1, width))))
