"""face_{mode}.pkl, triplet_{cnn}_{mode}.pkl, mgn_{cnn}_{mode}.pkl: {movie: (rows, d) float32}, a row a picture."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from castsearch.identifiers import shown
from castsearch.stagefiles.content import Features, MoviePictures, Split, described
from castsearch.stagefiles.errors import StageFileError, located
from castsearch.stagefiles.reading import read
from castsearch.stagefiles.rows import check_rows
from castsearch.stagefiles.writing import read_metadata


def read_features(
    path: str | os.PathLike[str], split: Split, casts: Literal["always", "maybe"] = "maybe"
) -> dict[str, Features]:
    """Read a feature file.

    Args:
        path: of the file.
        split: whose pictures the rows belong to; other movies in the file are passed over.
        casts: whether rows of casts must stand before those of the candidates, or the number of rows tells.

    Raises:
        StageFileError: a movie is missing, has another number of rows, or rows that are not of these pictures and
            their faces, that is, the file belongs to another split or another run.
    """
    content, told = read(path), _told(path)
    features = {}
    for name, movie in split.items():
        with located(f"{path}: movie {shown(name)}", "; the file belongs to another split or run, run its stage again"):
            if name not in content:
                raise StageFileError("it is missing")
            features[name] = _of_movie(content[name], movie, casts)
            check_rows(told, name, movie.candidates if features[name].cast is None else movie.pictures)
    return features


def _told(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        return read_metadata(path)
    except StageFileError:
        return {}  # the features do without


def _of_movie(rows: object, movie: MoviePictures, casts: Literal["always", "maybe"]) -> Features:
    with_casts, without = len(movie), len(movie.candidates)
    allowed = (with_casts,) if casts == "always" else (with_casts, without)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu" or len(rows) not in allowed:
        least = f"({without}, d) features, or " if casts == "maybe" else ""
        raise StageFileError(f"expected {least}({with_casts}, d) with casts, got {described(rows)}")
    return Features(rows.astype(np.float32, copy=False), len(movie.cast) if len(rows) == with_casts else None)
