"""Embedding the aligned faces of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from castsearch.faces.chips import Chips
from castsearch.faces.errors import PackError
from castsearch.faces.packs import FacePack, check_same_detector, in_todays_words, notes, running
from castsearch.identifiers import shown
from castsearch.journal import timed
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Resumable, Split, StageFileError, read_metadata
from castsearch.stagefiles.errors import located
from castsearch.stagefiles.rows import check_rows


def embed_split(
    split: Split,
    chips: Chips,
    pack: FacePack,
    target: Path,
    batch: int,
    progress: Progress = silent,
    overwrite: bool = False,
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
        overwrite: do all movies anew.

    Returns:
        The content of the file: ``{movie: (casts + candidates, d) float32}``.

    Raises:
        PackError: the chips come from a pack with another detector, or features are not finite.
        StageFileError: chips are missing, are of other pictures, or were selected under different limits.
    """
    check_chips([chips.file(movie) for movie in split], pack)
    rows = chips.of_rows(split)
    for name, pictures in split.items():
        with located(f"{chips.file(name)}: movie {shown(name)}", "; run face_det.py again"):
            check_rows(rows, name, pictures.pictures)
    results = Resumable(
        target,
        {"embedder": pack.identity("embedder")},
        list(split),
        sources=lambda movie: [chips.file(movie)],
        notes={**notes(pack), **rows},
        update=lambda recorded: in_todays_words(recorded, pack, "embedder"),
        ran=lambda: running(pack, "embedder"),
        overwrite=overwrite,
    )
    _check_rows(target, split, results.content)
    todo = {movie: len(split[movie]) for movie in results.todo}
    counts = {movie: max(1, -(-rows // batch)) for movie, rows in todo.items()}
    parts = iter(progress(_batches(todo, chips, pack.chip_size, batch), total=sum(counts.values()), unit="batch"))
    for movie, count in counts.items():
        with timed(movie, faces=todo[movie]):
            features = np.concatenate([pack.embed(part) for part in islice(parts, count)])
            results.add(movie, _finite(features, movie, pack))
    next(parts, None)  # that is how a progress bar learns of the end
    results.finish()
    return results.content


def check_chips(files: Iterable[Path], pack: FacePack) -> None:
    """See that the chips of all movies are there, of the pack's detector and of one selection.

    Raises:
        PackError: another detector found the faces.
        StageFileError: a file is missing, or the limits of the selection differ from movie to movie.
    """
    limits: dict[object, Path] = {}
    for file in dict.fromkeys(files):
        if not file.exists():
            raise StageFileError(f"{file}: no such file; run face_det.py again")
        metadata = read_metadata(file)
        check_same_detector(metadata, pack, file)
        limits.setdefault(str(metadata.get("limits")), file)
    if len(limits) > 1:
        one, other = list(limits.values())[:2]
        raise StageFileError(
            f"{other}: its faces were selected within other limits than those of {one}, or nothing tells so; "
            "run face_det.py again for all"
        )


def _finite(features: np.ndarray, movie: str, pack: FacePack) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise PackError(
            f"movie {movie}: the embedder of {pack.name} gives numbers that are not finite for picture {bad[0]}; "
            "get its files again"
        )
    return features


def _batches(rows: Mapping[str, int], chips: Chips, size: int, batch: int) -> Iterator[np.ndarray]:
    """Chips of movies of so many rows; an empty movie gives an empty batch, which tells how long a vector is."""
    for movie, n in rows.items():
        faces = chips.read(movie, n, size)
        for start in range(0, max(n, 1), batch):
            yield faces[start : start + batch]


def _check_rows(target: Path, split: Split, features: Mapping[str, np.ndarray]) -> None:
    """Refuse what an earlier run kept where the split has changed since, and the chips have not."""
    for movie, kept in features.items():
        if len(kept) != len(split[movie]):
            raise StageFileError(
                f"{target}: movie {movie}: {len(kept)} features for {len(split[movie])} pictures; "
                "the chips belong to another split, run face_det.py again"
            )
