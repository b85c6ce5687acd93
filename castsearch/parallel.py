"""Several things at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ahead(function: Callable[[T], U], items: Iterator[T], workers: int, depth: int) -> Iterator[Iterator[U]]:
    """Results of ``function`` in order, computed by threads up to ``depth`` items ahead of the reader."""
    pool = ThreadPoolExecutor(workers)

    def results() -> Iterator[U]:
        waiting = deque(pool.submit(function, item) for item in islice(items, depth))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))

    try:
        yield results()
    finally:
        pool.shutdown(cancel_futures=True)
