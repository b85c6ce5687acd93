"""Result files for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def write_ranking(path: Path, ranking: Mapping[str, Sequence[str]]) -> None:
    """Write a line a cast."""
    path.write_bytes(b"".join(f"{cast} {','.join(ids)}\n".encode() for cast, ids in ranking.items()))
