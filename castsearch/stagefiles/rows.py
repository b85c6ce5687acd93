"""What the rows of a feature file are of: metadata tell it movie by movie, and whoever reads the file compares.

Rows are counted against pictures, which does not show that pictures were put in another order, or that other faces
were found on them since. Files of the original project tell nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from castsearch.stagefiles.content import Picture
from castsearch.stagefiles.errors import StageFileError

ROWS = "rows"  # under which metadata tell the pictures of a movie's rows
FACES = "faces"  # likewise the faces that were found on them


def pictures_digest(pictures: Iterable[Picture]) -> str:
    """Stands for pictures and their order."""
    return _digest(picture.file for picture in pictures)


def faces_digest(pictures: Iterable[Picture]) -> str:
    """Stands for all faces that were found on pictures."""
    faces = (picture.faces for picture in pictures)
    arrays = (() if some is None else (some.boxes, some.scores, some.landmarks) for some in faces)
    return _digest(repr([None if array is None else array.tolist() for array in some]) for some in arrays)


def _digest(words: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for word in words:
        digest.update(f"{word}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def check_rows(told: Mapping[str, Any], movie: str, pictures: Iterable[Picture]) -> None:
    """See that a movie's rows are of these pictures, and of their faces where these are known, as metadata tell.

    Raises:
        StageFileError: they are of others.
    """
    pictures = list(pictures)
    if told_of_movie(told, ROWS, movie) not in (None, pictures_digest(pictures)):
        raise StageFileError("its rows are of other pictures, or of these in another order")
    known = any(picture.faces is not None for picture in pictures)
    if known and told_of_movie(told, FACES, movie) not in (None, faces_digest(pictures)):
        raise StageFileError("other faces were found on its pictures since; run face_det.py and face_feat.py again")


def told_of_movie(told: Mapping[str, Any], field: str, movie: str) -> Any:
    """What metadata tell of a movie under ``ROWS`` or ``FACES``; None where they do not, or hold something else."""
    by_movie = told.get(field)
    return by_movie.get(movie) if isinstance(by_movie, Mapping) else None
