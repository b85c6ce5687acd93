"""Features of person crops, movie by movie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.bodies import distributed
from castsearch.bodies.body_model import BodyModel, BodyModelError
from castsearch.bodies.distributed import Stopped
from castsearch.images import ImageReader
from castsearch.journal import timed
from castsearch.parallel import ahead
from castsearch.progress import Progress, silent
from castsearch.stagefiles import ROWS, Resumable, Split, pictures_digest


class FeatureError(BodyModelError):
    """A feature that says nothing."""


@dataclass(frozen=True)
class Extractor:
    """Turns picture files into features.

    Attributes:
        model: the network.
        reader: reads pictures by file name.
        batch_size: pictures that go through the network at once.
        workers: threads that read and resize ahead of the network.
        stopped: asked before each picture, by whatever thread.
    """

    model: BodyModel
    reader: ImageReader
    batch_size: int = 16
    workers: int = 2
    stopped: Callable[[], bool] = lambda: False

    def __call__(self, files: Iterable[str]) -> np.ndarray:
        """(n, d) float32 features of ``files``.

        Raises:
            ImageError: a picture is bad and the reader does not skip it.
            Stopped: ``stopped`` says so.
        """
        with ahead(self._picture, iter(files), self.workers, 3 * self.batch_size) as pictures:
            rows = []
            while batch := list(islice(pictures, self.batch_size)):
                rows.append(self.model.engine(np.stack(batch)))
        # A movie without pictures has no rows to tell the width; later stages check the number of rows.
        return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)

    def share(self, files: Sequence[str]) -> list[str]:
        """Those of ``files`` that are this process's to extract: every so-manieth batch of one process."""
        rank, world, size = distributed.rank(), distributed.world(), self.batch_size
        return [file for i, file in enumerate(files) if i // size % world == rank]

    def joined(self, shared: np.ndarray, n: int) -> np.ndarray:
        """The (n, d) rows of all processes, of which ``shared`` are this one's; all must ask."""
        parts = distributed.joined([shared])
        rows = np.zeros((n, max(part.shape[1] for part in parts)), dtype=np.float32)
        owner = np.arange(n) // self.batch_size % len(parts)
        for process, part in enumerate(parts):
            rows[owner == process] = part if len(part) else 0
        return rows

    def _picture(self, file: str) -> np.ndarray:
        if self.stopped():
            raise Stopped
        return self.model.prepare(self.reader(file))


def files_of(split: Split, mode: str, with_cast: bool) -> dict[str, list[str]]:
    """The pictures of each movie, below the root of the crops: casts first where asked for, then candidates."""
    return {
        name: [f"{mode}/{picture.file}" for picture in (movie.pictures if with_cast else movie.candidates)]
        for name, movie in split.items()
    }


def extract_split(
    extractor: Extractor,
    split: Split,
    mode: str,
    out: Path,
    with_cast: bool = False,
    progress: Progress = silent,
    overwrite: bool = False,
) -> int:
    """Write the features of a whole split to ``out``, ``{movie: (n, d) float32}``.

    A run that was cut short goes on with the movie it was in. A movie of an earlier run counts if it was made by the
    same model from the same pictures below the same root, each as large and as old as it was. Processes of ``torchrun``
    share the batches of each movie; the first one writes, the same bytes as one process alone.

    Args:
        extractor: turns files into features; bad pictures are in its reader's account afterwards.
        split: the pictures.
        mode: the split's name, and the folder of the pictures.
        out: the feature file.
        with_cast: portraits too, before the candidates.
        progress: shows how far it is.
        overwrite: do all movies anew.

    Returns:
        How many pictures have a row.

    Raises:
        ImageError: a picture is bad and the reader does not skip it.
        FeatureError: a feature is not finite or all zero; neither it nor its movie is written.
    """
    files = files_of(split, mode, with_cast)
    rows = {name: pictures_digest(movie.pictures if with_cast else movie.candidates) for name, movie in split.items()}
    notes = {"with_cast": with_cast, ROWS: rows}
    kept = _kept(extractor, files, out, notes, overwrite) if distributed.rank() == 0 else None
    (todo,) = distributed.joined([kept.todo] if kept else [])
    shares = {movie: extractor.share(files[movie]) for movie in todo}
    mine = [file for share in shares.values() for file in share]
    names = iter(progress(mine, total=len(mine), unit="picture"))
    reader = extractor.reader
    for movie, share in shares.items():
        with timed(movie, pictures=len(files[movie])):
            features = extractor.joined(extractor(islice(names, len(share))), len(files[movie]))
        _check(features, movie, files[movie], extractor.model)
        for bad, scaled in distributed.joined([(reader.bad, reader.scaled)]):
            reader.bad |= bad
            reader.scaled |= scaled
        if kept:
            messages = [reader.bad[file] for file in files[movie] if file in reader.bad]
            kept.add(movie, features, "; ".join(messages) or None)
    if kept:
        kept.finish()
    return sum(map(len, files.values()))


def _kept(
    extractor: Extractor, files: dict[str, list[str]], out: Path, notes: dict[str, Any], overwrite: bool
) -> Resumable:
    model, root = extractor.model, extractor.reader.root
    return Resumable(
        out,
        {**model.depends, "root": os.path.realpath(root)},
        list(files),
        lambda movie: (root / file for file in files[movie]),
        {"weights": model.weights.name if model.weights else None, **notes},
        ran=lambda: None if model.ran is None else model.ran.words(),
        overwrite=overwrite,
    )


def _check(features: np.ndarray, movie: str, files: Sequence[str], model: BodyModel) -> None:
    """See that features can be ranked by."""
    for wrong, what in ((~np.isfinite(features).all(axis=1), "not finite"), (~features.any(axis=1), "all zero")):
        if wrong.any():
            weights = model.weights or "the weights"
            if model.depends.get("network") == "onnx":
                mend = "see that mean and deviation are those that it wants, or take another network"
            else:
                mend = "the training diverged, take an earlier checkpoint or train again"
            raise FeatureError(f"movie {movie}: {files[int(wrong.argmax())]}: its feature is {what}; {weights}: {mend}")
