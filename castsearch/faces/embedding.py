"""Embedding the aligned faces of a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from castsearch.faces.chips import Chips
from castsearch.faces.packs import IDENTITY, FacePack, check_same_pack, notes
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Resumable, Split, StageFileError, read_metadata


def embed_split(
    split: Split, chips: Chips, pack: FacePack, target: Path, batch: int, progress: Progress = silent
) -> dict[str, np.ndarray]:
    """Embed every chip of a split and write ``face_{mode}.pkl``.

    A run that was killed goes on with the movie where it was; movies whose chips changed since are done again.

    Args:
        split: whose pictures the chips are.
        chips: aligned by the same pack.
        pack: embedder.
        target: the feature file.
        batch: chips that go through the network together.
        progress: is given batches.

    Returns:
        The content of the file: ``{movie: (casts + candidates, d) float32}``.

    Raises:
        PackError: the chips come from a pack with other weights.
        StageFileError: chips are missing, or belong to another split.
    """
    for file in {chips.file(movie): None for movie in split}:
        check_same_pack(read_metadata(file), pack, file)
    results = Resumable(
        target, {IDENTITY: pack.identity()}, list(split), lambda movie: [chips.file(movie)], notes(pack)
    )
    _check_rows(target, split, results.content)
    todo = {movie: len(split[movie]) for movie in results.todo}
    total = sum(max(1, -(-rows // batch)) for rows in todo.values())
    parts: list[np.ndarray] = []
    for movie, part in progress(_batches(todo, chips, pack.chip_size, batch), total=total, unit="batch"):
        parts.append(pack.embed(part))
        if sum(map(len, parts)) == todo[movie]:
            results.add(movie, np.concatenate(parts))
            parts = []
    results.finish()
    return results.content


def _batches(rows: Mapping[str, int], chips: Chips, size: int, batch: int) -> Iterator[tuple[str, np.ndarray]]:
    """Chips of movies of so many rows; an empty movie gives an empty batch, which tells how long a vector is."""
    for movie, n in rows.items():
        faces = chips.read(movie, n, size)
        for start in range(0, max(n, 1), batch):
            yield movie, faces[start : start + batch]


def _check_rows(target: Path, split: Split, features: Mapping[str, np.ndarray]) -> None:
    """Refuse what an earlier run kept where the split has changed since, and the chips have not."""
    for movie, kept in features.items():
        if len(kept) != len(split[movie]):
            raise StageFileError(
                f"{target}: movie {movie}: {len(kept)} features for {len(split[movie])} pictures; "
                "the chips belong to another split, run face_det.py again"
            )
