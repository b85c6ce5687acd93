"""A split in parts, a movie each: the parts' names, and what the stages made of them as the files of the whole split.

Several machines work on a split so: each part is a split of its own, of one movie. The joined files hold the bytes
that one run through all movies writes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.identifiers import shown
from castsearch.stagefiles.content import MoviePictures, Split, described
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.reading import read
from castsearch.stagefiles.resuming import RAN, runs
from castsearch.stagefiles.rows import FACES, ROWS
from castsearch.stagefiles.splits import read_body, read_retina, write_body, write_retina
from castsearch.stagefiles.writing import read_metadata, write

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_FOREIGN = re.compile(r"[^A-Za-z0-9.-]+")
_SHOWN = 40  # characters of a name that its key shows

Parts = Mapping[str, Path]  # the files of one stage, by movie


def movie_key(name: str) -> str:
    """A movie's name as a word of letters, digits, dots, dashes and underscores, which no shell and no pattern takes
    for anything else; most names are such words.

    >>> movie_key("tt0107290"), movie_key("L'été {1}")
    ('tt0107290', 'L_t_1-47db44f532fc')
    """
    if _PLAIN.fullmatch(name):
        return name
    word = _FOREIGN.sub("_", name)[:_SHOWN].strip("._-") or "movie"
    return f"{word}-{hashlib.blake2b(name.encode(), digest_size=6).hexdigest()}"


def movie_keys(names: Iterable[str]) -> dict[str, str]:
    """The keys of movies, by name.

    Raises:
        StageFileError: two movies have the same.
    """
    names_of: dict[str, str] = {}
    for name in names:
        if (other := names_of.setdefault(movie_key(name), name)) != name:
            raise StageFileError(f"movies {shown(other)} and {shown(name)} would share a folder; rename one")
    return {name: key for key, name in names_of.items()}


def join_body(parts: Parts, target: str | os.PathLike[str]) -> Split:
    """Write ``body_{mode}.pkl`` of a split from those of its movies.

    Args:
        parts: the movies' files, in the order of the annotations.
        target: the joined file.

    Returns:
        The split.

    Raises:
        StageFileError: a part is missing or damaged, holds another movie, or was made with other settings than the
            first; or the file cannot be written.
    """
    return _join_pictures(parts, target, read_body, write_body)


def join_retina(parts: Parts, target: str | os.PathLike[str]) -> Split:
    """Write ``retina_{mode}.pkl`` of a split from those of its movies; as ``join_body``."""
    return _join_pictures(parts, target, read_retina, write_retina)


def join_features(parts: Parts, target: str | os.PathLike[str]) -> None:
    """Write a feature file of a split, of faces or bodies, from those of its movies; as ``join_body``.

    All features are in memory together, as they are in the stage that makes them for a whole split.
    """
    content: dict[str, np.ndarray] = {}
    for name, path in parts.items():
        rows = _only(read(path), name, path)
        if not isinstance(rows, np.ndarray) or rows.ndim != 2:
            raise StageFileError(f"{path}: expected (n, d) features, got {described(rows)}; run its stage again")
        content[name] = rows
    write(target, content, join_metadata(parts.values()))


def _join_pictures(
    parts: Parts,
    target: str | os.PathLike[str],
    read_part: Callable[[Path], Split],
    write_whole: Callable[[str | os.PathLike[str], Split, Mapping[str, Any]], None],
) -> Split:
    movies: list[MoviePictures] = [_only(read_part(path), name, path) for name, path in parts.items()]
    split = Split(movies)
    write_whole(target, split, join_metadata(parts.values()))
    return split


def _only(content: Mapping[str, Any], name: str, path: Path) -> Any:
    if list(content) != [name]:
        found = ", ".join(map(shown, content)) or "no movie"
        raise StageFileError(f"{path}: expected movie {shown(name)} alone, found {found}; run its stage again")
    return content[name]


# What metadata tell by movie or by picture; all else is of the stage's settings, the same in each part.
_BY_ENTRY = ("sources", "outputs", "bad", "told", "doubts", ROWS, FACES)
_OF_THE_WHOLE = ("made_from",)  # what only the whole is made from; without it no run takes the joined file for its own


def join_metadata(paths: Iterable[Path]) -> dict[str, Any]:
    """What the metadata of a split's parts tell of the whole.

    Raises:
        StageFileError: two parts were made with different settings.
    """
    whole: dict[str, Any] = {}
    first: dict[str, Path] = {}  # who told
    told_to_have_run = []
    for path in paths:
        for field, value in read_metadata(path).items():
            if field in _OF_THE_WHOLE:
                continue
            if field == RAN:
                told_to_have_run.append(value)
            elif field in _BY_ENTRY and isinstance(value, dict):
                whole.setdefault(field, {}).update(value)
            elif whole.setdefault(field, value) != value:
                raise StageFileError(f"{path}: {field} is not that of {first[field]}; run its stage again for one")
            first.setdefault(field, path)
    if ran := runs(told_to_have_run):
        whole[RAN] = ran
    return whole
