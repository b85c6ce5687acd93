"""The challenge's files: annotations, labels and rankings, read into typed records and checked.

Whatever later becomes a path or a word in a result file is checked by the rules of ``identifiers``, and ids occur once
in a split.
"""

from __future__ import annotations

import json
import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from castsearch.errors import CastSearchError
from castsearch.identifiers import id_fault, movie_fault, path_fault, shown
from castsearch.stagefiles import atomic_write

OTHERS = "others"  # label of a candidate who is none of the cast


class AnnotationError(CastSearchError):
    """Annotations, labels or a ranking of the wrong shape."""


@dataclass(frozen=True)
class Cast:
    """A cast member (query): ``img`` is the portrait, relative to ``ORIGIN/{mode}/``."""

    id: str
    img: str
    label: str

    @property
    def file(self) -> str:
        """The portrait's path under ``BODY/{mode}/``: it is copied as it is."""
        return self.img


@dataclass(frozen=True)
class Candidate:
    """A person box (gallery): ``bbox`` is x, y, w, h in pixels of frame ``img``.

    ``label`` is a cast member's label or ``others``; None in the test split.
    """

    id: str
    img: str
    bbox: tuple[int, int, int, int]
    label: str | None = None

    @property
    def file(self) -> str:
        """The crop's path under ``BODY/{mode}/``.

        >>> Candidate("m_0", "m/candidates/shot0001img0.jpg", (1, 2, 30, 40)).file
        'm/candidates/shot0001img0_1_2_30_40.jpg'
        """
        frame = PurePosixPath(self.img)
        return str(frame.with_name(f"{frame.stem}_{'_'.join(map(str, self.bbox))}.jpg"))


@dataclass(frozen=True)
class Movie:
    """One movie: who is searched for and where."""

    name: str
    cast: tuple[Cast, ...]
    candidates: tuple[Candidate, ...]


# ---------------------------------------------------------------------------- reading


def read_annotations(path: str | os.PathLike[str]) -> dict[str, Movie]:
    """Read ``{mode}.json``.

    Returns:
        The movies by name, in the file's order.

    Raises:
        AnnotationError: the file is missing, not JSON, of the wrong shape, has a box without
            area, an id twice, or a path that leaves its folder.
    """
    path = Path(path)
    movies = {}
    seen: dict[str, str] = {}
    for name, entry in _read_object(path).items():
        if (fault := movie_fault(name)) is not None:
            raise AnnotationError(f"{path}: movie {shown(name)} {fault}; rename it")
        where = f"{path}: movie {name}"
        groups = {group: _list(entry, group, where) for group in ("cast", "candidates")}
        movies[name] = Movie(
            name,
            tuple(_cast(raw, f"{where}, cast {i}", seen) for i, raw in enumerate(groups["cast"])),
            tuple(_candidate(raw, f"{where}, candidate {i}", seen) for i, raw in enumerate(groups["candidates"])),
        )
    return movies


def read_labels(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read ``{mode}_label.json``: ``{cast id: [candidate id, ...]}``.

    Raises:
        AnnotationError: the file is missing, not JSON, of the wrong shape, or has a word in it that is no id.
    """
    path = Path(path)
    labels = _read_object(path)
    for cast, hits in labels.items():
        if not isinstance(hits, list):
            raise AnnotationError(f"{path}: cast {shown(cast)}: expected a list of candidate ids")
        _check_ids([cast, *hits], f"{path}: cast {shown(cast)}")
    return labels


def _check_ids(words: Iterable[object], where: str) -> None:
    for word in words:
        if (fault := id_fault(word)) is not None:
            raise AnnotationError(f"{where}: id {shown(word)} {fault}")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of names that stand in it twice, Python would drop the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{shown(twice)} stands in one object twice; rename one of them")
    return found


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise AnnotationError(f"{path}: expected an object keyed by name, found {type(content).__name__}")
    return content


def _list(entry: Any, group: str, where: str) -> list[Any]:
    found = entry.get(group) if isinstance(entry, dict) else None
    if not isinstance(found, list):
        raise AnnotationError(f"{where}: expected a list under {group!r}")
    return found


def _cast(raw: Any, where: str, seen: dict[str, str]) -> Cast:
    return Cast(_id(raw, where, seen), _path(raw, where), _text(raw, "label", where))


def _candidate(raw: Any, where: str, seen: dict[str, str]) -> Candidate:
    identity = _id(raw, where, seen)
    where = f"{where} ({identity})"
    label = _text(raw, "label", where) if "label" in raw else None
    return Candidate(identity, _path(raw, where), _bbox(raw.get("bbox"), where), label)


def _text(raw: Any, field: str, where: str) -> str:
    value = raw.get(field) if isinstance(raw, dict) else None
    if not isinstance(value, str) or not value:
        raise AnnotationError(f"{where}: expected a non-empty string under {field!r}, found {reprlib.repr(value)}")
    return value


def _id(raw: Any, where: str, seen: dict[str, str]) -> str:
    identity = _text(raw, "id", where)
    _check_ids([identity], where)
    if identity in seen:
        raise AnnotationError(
            f"{where}: id {identity} stands already at {seen[identity]}; ids must be unique in a split"
        )
    seen[identity] = where.partition(": ")[2]
    return identity


def _path(raw: Any, where: str) -> str:
    img = _text(raw, "img", where)
    if (fault := path_fault(img)) is not None:
        raise AnnotationError(f"{where}: img {shown(img)} {fault}")
    return img


def _bbox(bbox: Any, where: str) -> tuple[int, int, int, int]:
    whole = isinstance(bbox, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and v == v // 1 for v in bbox
    )
    if not whole or len(bbox) != 4:
        raise AnnotationError(f"{where}: bbox must be four whole numbers x, y, w, h, found {reprlib.repr(bbox)}")
    x, y, w, h = (int(v) for v in bbox)
    for side, length in (("width", w), ("height", h)):
        if length <= 0:
            raise AnnotationError(f"{where}: bbox {bbox} has a {side} of {length}")
    return x, y, w, h


# ---------------------------------------------------------------------------- rankings


def read_ranking(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a result file: a line a cast, ``castid id,id,...``, best first.

    Raises:
        AnnotationError: the file is missing, no text, or a line is of another shape.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file; fusion.py writes it") from None
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path}: cannot be read as text ({error})") from None
    ranking: dict[str, list[str]] = {}
    checked: set[str] = set()  # the casts of a movie rank the same candidates
    for number, line in enumerate(lines, start=1):
        where, words = f"{path}: line {number}", line.split()
        if not words:
            continue
        if len(words) != 2:
            raise AnnotationError(f"{where}: expected 'castid id,id,...', found {len(words)} words")
        cast, ids = words[0], words[1].split(",")
        if cast in ranking:
            raise AnnotationError(f"{where}: cast {shown(cast)} has a line already; keep one of them")
        _check_ids((word for word in (cast, *ids) if word not in checked), where)
        checked.update(ids)
        ranking[cast] = ids
    return ranking


def write_ranking(path: str | os.PathLike[str], ranking: Mapping[str, Sequence[str]]) -> None:
    """Write a result file, atomically."""
    with atomic_write(path) as file:
        file.writelines(f"{cast} {','.join(ids)}\n".encode() for cast, ids in ranking.items())
