"""Features of person crops, movie by movie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from castsearch.bodies.models import BodyModel
from castsearch.images import ImageReader
from castsearch.parallel import ahead
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Resumable, Split


@dataclass(frozen=True)
class Extractor:
    """Turns picture files into features.

    Attributes:
        model: the network.
        reader: reads pictures by file name.
        batch_size: pictures that go through the network at once.
        workers: threads that read and resize ahead of the network.
    """

    model: BodyModel
    reader: ImageReader
    batch_size: int = 16
    workers: int = 2

    def __call__(self, files: Iterable[str]) -> np.ndarray:
        """(n, d) float32 features of ``files``.

        Raises:
            ImageError: a picture is bad and the reader does not skip it.
        """
        with ahead(self._picture, iter(files), self.workers, 3 * self.batch_size) as pictures:
            rows = []
            while batch := list(islice(pictures, self.batch_size)):
                rows.append(self.model.engine(np.stack(batch)))
        # A movie without pictures has no rows to tell the width; later stages check the number of rows.
        return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)

    def _picture(self, file: str) -> np.ndarray:
        return self.model.prepare(self.reader(file))


def files_of(split: Split, mode: str, with_cast: bool) -> dict[str, list[str]]:
    """The pictures of each movie, below the root of the crops: casts first where asked for, then candidates."""
    return {
        name: [f"{mode}/{picture.file}" for picture in (movie.pictures if with_cast else movie.candidates)]
        for name, movie in split.items()
    }


def extract_split(
    extractor: Extractor, split: Split, mode: str, out: Path, with_cast: bool = False, progress: Progress = silent
) -> int:
    """Write the features of a whole split to ``out``, ``{movie: (n, d) float32}``.

    A run that was cut short goes on with the movie it was in. A movie of an earlier run counts if it was made by the
    same model from the same pictures below the same root, each as large and as old as it was.

    Args:
        extractor: turns files into features; bad pictures are in its reader's account afterwards.
        split: the pictures.
        mode: the split's name, and the folder of the pictures.
        out: the feature file.
        with_cast: portraits too, before the candidates.
        progress: shows how far it is.

    Returns:
        How many pictures have a row.

    Raises:
        ImageError: a picture is bad and the reader does not skip it.
    """
    model, root, bad = extractor.model, extractor.reader.root, extractor.reader.bad
    files = files_of(split, mode, with_cast)
    kept = Resumable(
        out,
        {**model.depends, "root": str(root.resolve())},
        list(files),
        lambda movie: (root / file for file in files[movie]),
        {"weights": model.weights.name if model.weights else None, "with_cast": with_cast},
    )
    todo = [file for movie in kept.todo for file in files[movie]]
    names = iter(progress(todo, total=len(todo), unit="picture"))
    for movie in kept.todo:
        features = extractor(islice(names, len(files[movie])))
        messages = [bad[file] for file in files[movie] if file in bad]
        kept.add(movie, features, "; ".join(messages) or None)
    kept.finish()
    return sum(map(len, files.values()))
