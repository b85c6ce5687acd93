"""body_{mode}.pkl and retina_{mode}.pkl: the pictures of a split, without and with their faces.

body_{mode}.pkl     {movie: {"cast": [{id, file, label}], "candidates": [{id, file, label?}]}}
retina_{mode}.pkl   the same, each with faces (n, 4), landmarks (n, 10: five x, then five y) and scores (n,), or None
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from castsearch.identifiers import shown
from castsearch.stagefiles.content import Faces, MoviePictures, Picture, Split, described
from castsearch.stagefiles.errors import StageFileError, located
from castsearch.stagefiles.reading import read
from castsearch.stagefiles.writing import write

_GROUPS = ("cast", "candidates")


def read_body(path: str | os.PathLike[str]) -> Split:
    """Read ``body_{mode}.pkl``.

    Raises:
        StageFileError: missing, damaged, hostile or of another schema; movie and item are named.
    """
    return _read(path, _picture)


def read_retina(path: str | os.PathLike[str]) -> Split:
    """Read ``retina_{mode}.pkl``: as ``read_body``, with the faces of every picture."""
    return _read(path, _picture_with_faces)


def write_body(path: str | os.PathLike[str], split: Split, metadata: Mapping[str, Any] | None = None) -> None:
    """Write ``body_{mode}.pkl``."""
    _write(path, split, _item, metadata)


def write_retina(path: str | os.PathLike[str], split: Split, metadata: Mapping[str, Any] | None = None) -> None:
    """Write ``retina_{mode}.pkl``."""
    _write(path, split, lambda picture: _item(picture) | _columns(picture.faces), metadata)


def body_entry(movie: MoviePictures) -> dict[str, Any]:
    """What ``body_{mode}.pkl`` holds of a movie."""
    return _entry(movie, _item)


def read_body_entries(entries: Mapping[str, Any], path: str | os.PathLike[str]) -> Split:
    """The split of what ``body_{mode}.pkl`` holds, movie by movie; ``path`` is named in errors, see ``read_body``."""
    return _split(entries, path, _picture)


# ---------------------------------------------------------------------------- reading


def _read(path: str | os.PathLike[str], picture: Callable[[object], Picture]) -> Split:
    return _split(read(path), path, picture)


def _split(content: Mapping[str, Any], path: str | os.PathLike[str], picture: Callable[[object], Picture]) -> Split:
    with located(path, "; run its stage again"):
        if not content:
            raise StageFileError("holds no movie")
        return Split(_movie(name, groups, picture) for name, groups in content.items())


def _movie(name: str, groups: object, picture: Callable[[object], Picture]) -> MoviePictures:
    with located(f"movie {shown(name)}"):
        if not isinstance(groups, dict):
            raise StageFileError(f"expected a dict of 'cast' and 'candidates', found {described(groups)}")
        cast, candidates = (_pictures(groups.get(group), group, picture) for group in _GROUPS)
    return MoviePictures(name, cast, candidates)


def _pictures(items: object, group: str, picture: Callable[[object], Picture]) -> tuple[Picture, ...]:
    if not isinstance(items, list):
        raise StageFileError(f"expected a list under {group!r}, found {described(items)}")
    pictures = []
    for index, item in enumerate(items):
        with located(f"{group} {index}"):
            pictures.append(picture(item))
    return tuple(pictures)


def _picture(item: object) -> Picture:
    fields = _fields(item, ("id", "file"))
    return Picture(fields["id"], fields["file"], fields.get("label"))


def _picture_with_faces(item: object) -> Picture:
    fields = _fields(item, ("id", "file", "faces", "landmarks", "scores"))
    return Picture(fields["id"], fields["file"], fields.get("label"), _faces(fields))


def _fields(item: object, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise StageFileError(f"expected a dict, found {described(item)}")
    for name in names:
        if name not in item:
            raise StageFileError(f"there is no {name!r}")
    return item


def _faces(fields: Mapping[str, Any]) -> Faces | None:
    boxes, landmarks = fields["faces"], fields["landmarks"]
    if boxes is None or (isinstance(boxes, np.ndarray) and boxes.shape[:1] == (0,)):
        return None
    if landmarks is not None:
        if not isinstance(landmarks, np.ndarray) or landmarks.ndim != 2 or landmarks.shape[1] != 10:
            raise StageFileError(f"landmarks must be (n, 10) numbers, got {described(landmarks)}")
        landmarks = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1)
    return Faces(boxes, fields["scores"], landmarks)


# ---------------------------------------------------------------------------- writing


def _write(
    path: str | os.PathLike[str],
    split: Split,
    item: Callable[[Picture], dict[str, Any]],
    metadata: Mapping[str, Any] | None,
) -> None:
    write(path, {movie.name: _entry(movie, item) for movie in split.values()}, metadata)


def _entry(movie: MoviePictures, item: Callable[[Picture], dict[str, Any]]) -> dict[str, Any]:
    return {"cast": [item(p) for p in movie.cast], "candidates": [item(p) for p in movie.candidates]}


def _item(picture: Picture) -> dict[str, Any]:
    item = {"id": picture.id, "file": picture.file}
    return item if picture.label is None else item | {"label": picture.label}


def _columns(faces: Faces | None) -> dict[str, np.ndarray | None]:
    if faces is None:
        return {"faces": None, "landmarks": None, "scores": None}
    landmarks = None if faces.landmarks is None else faces.landmarks.transpose(0, 2, 1).reshape(len(faces), 10)
    return {"faces": faces.boxes, "landmarks": landmarks, "scores": faces.scores}
