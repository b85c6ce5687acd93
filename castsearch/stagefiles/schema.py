"""The schema of the stage files: from plain dicts to typed containers and back.

body_{mode}.pkl     {movie: {"cast": [{id, file, label}], "candidates": [{id, file, label?}]}}
retina_{mode}.pkl   the same, each with faces (n, 4), landmarks (n, 10: five x, then five y) and scores (n,), or None
feature files       {movie: (rows, d) float32}, a row a picture
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from castsearch.stagefiles.content import Faces, Features, MoviePictures, Picture, Split
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.reading import read
from castsearch.stagefiles.writing import write

GROUPS = ("cast", "candidates")


def read_body(path: str | os.PathLike[str]) -> Split:
    """Read ``body_{mode}.pkl``.

    Raises:
        StageFileError: missing, damaged, hostile or of another schema; movie and item are named.
    """
    return _read_split(path, with_faces=False)


def read_retina(path: str | os.PathLike[str]) -> Split:
    """Read ``retina_{mode}.pkl``: as ``read_body``, with the faces of every picture."""
    return _read_split(path, with_faces=True)


def write_body(path: str | os.PathLike[str], split: Split, metadata: Mapping[str, Any] | None = None) -> None:
    """Write ``body_{mode}.pkl``."""
    write(
        path,
        {name: {group: [_item(p) for p in getattr(movie, group)] for group in GROUPS} for name, movie in split.items()},
        metadata,
    )


def write_retina(path: str | os.PathLike[str], split: Split, metadata: Mapping[str, Any] | None = None) -> None:
    """Write ``retina_{mode}.pkl``."""
    write(
        path,
        {
            name: {group: [_item(p) | _columns(p.faces) for p in getattr(movie, group)] for group in GROUPS}
            for name, movie in split.items()
        },
        metadata,
    )


def _read_split(path: str | os.PathLike[str], with_faces: bool) -> Split:
    movies = []
    for name, groups in read(path).items():
        if not isinstance(groups, dict) or not all(isinstance(groups.get(group), list) for group in GROUPS):
            raise StageFileError(f"{path}: movie {name}: expected lists 'cast' and 'candidates'; run its stage again")
        pictures = {}
        for group in GROUPS:
            pictures[group] = []
            for index, item in enumerate(groups[group]):
                try:
                    pictures[group].append(_picture(item, with_faces))
                except StageFileError as error:
                    raise StageFileError(
                        f"{path}: movie {name}: {group} {index}: {error}; run its stage again"
                    ) from None
        try:
            movies.append(MoviePictures(name, tuple(pictures["cast"]), tuple(pictures["candidates"])))
        except StageFileError as error:
            raise StageFileError(f"{path}: {error}") from None
    try:
        return Split(movies)
    except StageFileError as error:
        raise StageFileError(f"{path}: {error}") from None


def _picture(item: object, with_faces: bool) -> Picture:
    if not isinstance(item, dict):
        raise StageFileError(f"expected a dict, found {type(item).__name__}")
    for field in ("id", "file", "faces", "landmarks", "scores") if with_faces else ("id", "file"):
        if field not in item:
            raise StageFileError(f"there is no {field!r}")
    return Picture(item["id"], item["file"], item.get("label"), _faces(item) if with_faces else None)


def _faces(item: Mapping[str, Any]) -> Faces | None:
    if item["faces"] is None or (isinstance(item["faces"], np.ndarray) and len(item["faces"]) == 0):
        return None
    landmarks = item["landmarks"]
    if landmarks is not None:
        if np.shape(landmarks)[1:] != (10,):
            raise StageFileError(f"landmarks must be (n, 10), got {np.shape(landmarks)}")
        landmarks = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1)
    return Faces(item["faces"], item["scores"], landmarks)


def _item(picture: Picture) -> dict[str, Any]:
    item = {"id": picture.id, "file": picture.file}
    return item if picture.label is None else item | {"label": picture.label}


def _columns(faces: Faces | None) -> dict[str, np.ndarray | None]:
    if faces is None:
        return {"faces": None, "landmarks": None, "scores": None}
    landmarks = None if faces.landmarks is None else faces.landmarks.transpose(0, 2, 1).reshape(len(faces), 10)
    return {"faces": faces.boxes, "landmarks": landmarks, "scores": faces.scores}


def read_features(
    path: str | os.PathLike[str], split: Split, casts: Literal["always", "maybe"] = "maybe"
) -> dict[str, Features]:
    """Read a feature file.

    Args:
        path: ``face_{mode}.pkl``, ``triplet_{cnn}_{mode}.pkl`` or ``mgn_{cnn}_{mode}.pkl``.
        split: whose pictures the rows belong to; other movies in the file are passed over.
        casts: whether rows of casts must stand before those of the candidates, or the number of rows tells.

    Raises:
        StageFileError: a movie is missing or has another number of rows, that is, the file belongs to another split
            or another run.
    """
    content = read(path)
    features = {}
    for name, movie in split.items():
        if name not in content:
            raise StageFileError(
                f"{path}: movie {name} is missing; the file belongs to another split, run its stage again"
            )
        rows, n_casts, n = content[name], len(movie.cast), len(movie.candidates)
        allowed = (n_casts + n,) if casts == "always" else (n_casts + n, n)
        if (
            not isinstance(rows, np.ndarray)
            or rows.ndim != 2
            or rows.dtype.kind not in "fiu"
            or len(rows) not in allowed
        ):
            expected = " or ".join(f"({length}, d)" for length in sorted(set(allowed)))
            raise StageFileError(
                f"{path}: movie {name}: expected {expected} features, got {np.shape(rows)}; "
                "the file belongs to another split or run, run its stage again"
            )
        with_casts = len(rows) == n_casts + n
        features[name] = Features(np.asarray(rows, dtype=np.float32), n_casts if with_casts else None)
    return features
