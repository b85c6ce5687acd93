"""How much memory the ranking may take, and blocks that keep to it."""

from __future__ import annotations

import math

from castsearch.ranking.unit import RankingError

SHARE = 4  # of the free memory, one part in four by default
MOST_ROWS = 1024  # larger blocks gain nothing and fall out of the caches
LEAST_SPARE = 128 << 20  # tiles and the columns of one block
UNKNOWN = 2 << 30  # where the system does not tell what is free


def available() -> int:
    """Bytes of memory that are free or can be freed."""
    try:
        with open("/proc/meminfo") as file:  # noqa: PTH123 - a path object would only be opened once
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return UNKNOWN


def budget(memory: int | None) -> int:
    """``memory``, or by default a quarter of what is free: bytes."""
    return available() // SHARE if memory is None else memory


def block_rows(n_rows: int, row_bytes: int, memory: int | None) -> int:
    """How many rows a block may have, at least 1."""
    return max(1, min(n_rows, MOST_ROWS, budget(memory) // max(1, row_bytes)))


def spare_memory(needed: int, memory: int | None, what: str) -> int:
    """Bytes that remain for blocks and tables when work takes ``needed`` bytes anyway.

    Raises:
        RankingError: too few; told before the work starts.
    """
    allowed = budget(memory)
    if needed + LEAST_SPARE > allowed:
        wanted = (needed + LEAST_SPARE) / 2**30
        raise RankingError(
            f"{what} needs about {wanted:.1f} GB of memory to rank and may take {allowed / 2**30:.1f} GB; "
            f"allow more with --memory {math.ceil(10 * wanted) / 10:.1f}"
        )
    return allowed - needed
