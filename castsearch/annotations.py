"""The challenge's files: annotations, labels and rankings, read into typed records and checked.

Whatever later becomes a path or a word in a result file is checked by the rules of ``identifiers``, and ids occur once
in a split.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from castsearch.errors import CastSearchError
from castsearch.identifiers import id_fault, movie_fault, path_fault, shown
from castsearch.paths import folded
from castsearch.stagefiles import MoviePictures
from castsearch.textfiles import parse_json, read_json, read_text

OTHERS = "others"  # label of a candidate who is none of the cast
_NOBODY = (None, "", OTHERS)  # labels of portraits that say of nobody who it is
FARTHEST = 100_000  # pixels that a box may lie from the frame's corner, or be wide or high: no frame is so large

_CROP = re.compile(r"(.*[^/])_(-?\d{1,6})_(-?\d{1,6})_([1-9]\d{0,5})_([1-9]\d{0,5})\.[^./]+", re.ASCII | re.DOTALL)
_FITS = 50  # characters of a frame's path with which its crops' names surely fit a file system
_SURELY_SHORT = 60  # characters that take no more bytes than an id may have
_RANKED = re.compile(r"""\s*[^\s{["',]+[ \t]+[^\s,]+(,[^\s,]+)*[ \t]*(\n|$)""")  # the first line of a result


class AnnotationError(CastSearchError):
    """Annotations, labels or a ranking of the wrong shape."""


@dataclass(frozen=True)
class Cast:
    """A portrait of a cast member (query): ``img`` is relative to ``ORIGIN/{mode}/``.

    Those of a movie that share a ``label`` show one person.
    """

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


def box_of_crop(file: str) -> tuple[str, tuple[int, int, int, int]] | None:
    """What a crop's path tells: the path of its frame without the extension, and the box x, y, w, h.

    Returns:
        None for a path that does not end as a crop's does.

    >>> box_of_crop("val/m/candidates/shot0001img0_1_-2_30_40.jpg")
    ('val/m/candidates/shot0001img0', (1, -2, 30, 40))
    """
    found = _CROP.fullmatch(file)
    if found is None:
        return None
    frame, x, y, w, h = found.groups()
    return frame, (int(x), int(y), int(w), int(h))


@dataclass(frozen=True)
class Movie:
    """One movie: who is searched for and where."""

    name: str
    cast: tuple[Cast, ...]
    candidates: tuple[Candidate, ...]

    @property
    def items(self) -> tuple[Cast | Candidate, ...]:
        """Casts, then candidates."""
        return self.cast + self.candidates


# ---------------------------------------------------------------------------- reading


def read_annotations(path: str | os.PathLike[str]) -> dict[str, Movie]:
    """Read ``{mode}.json``.

    Returns:
        The movies by name, in the file's order.

    Raises:
        AnnotationError: the file is missing, not JSON, of the wrong shape, names no movie, has a movie without
            pictures, a box without area or larger than any frame, an id twice, or a path that leaves its folder.
    """
    path = Path(path)
    content = read_json(path, AnnotationError)
    if not content:
        raise AnnotationError(f"{path}: names no movie")
    if content.keys() == {"cast", "candidates"}:
        raise AnnotationError(
            f"{path}: seems to hold one movie without its name; expected {{name: {{cast, candidates}}}}"
        )
    if all(isinstance(entry, list) for entry in content.values()) and any(content.values()):
        raise AnnotationError(f"{path}: seems to hold labels, where annotations were expected; give {{mode}}.json")
    seen: dict[str, str] = {}
    return {name: _movie(name, entry, path, seen) for name, entry in content.items()}


def _movie(name: str, entry: Any, path: Path, seen: dict[str, str]) -> Movie:
    if (fault := movie_fault(name)) is not None:
        raise AnnotationError(f"{path}: movie {shown(name)} {fault}; rename it")
    where = f"{path}: movie {shown(name)}"
    cast, candidates = (_list(entry, group, where) for group in ("cast", "candidates"))
    if not cast and not candidates:
        raise AnnotationError(f"{where}: has no cast and no candidates; fill it or leave it out")
    return Movie(
        name,
        tuple(portrait for i, raw in enumerate(cast) for portrait in _portraits(raw, f"{where}, cast {i}", seen)),
        tuple(_candidate(raw, f"{where}, candidate {i}", seen) for i, raw in enumerate(candidates)),
    )


def doubtful_labels(movies: Iterable[Movie]) -> list[str]:
    """A line for each label that counts as another person's, and was probably to be a cast's of its movie or
    ``others``: it differs only in case, blanks at its ends or Unicode normalisation; or it is a candidate's, and the id
    of a cast whose label no candidate has.
    """
    return [line for movie in movies for line in (*_doubtful_portraits(movie), *_doubtful_labels(movie))]


def _doubtful_portraits(movie: Movie) -> Iterator[str]:
    """Two casts with nearly the same label were probably to be two portraits of one person."""
    meant: dict[str, str] = {}
    for cast in movie.cast:
        if (label := meant.setdefault(folded(cast.label), cast.label)) != cast.label:
            yield f"movie {movie.name}, cast {cast.id}: {cast.label!r}, where there is {label!r}"


def _doubtful_labels(movie: Movie) -> Iterator[str]:
    meant = {folded(word): OTHERS for word in (OTHERS, "other")}
    used = {candidate.label for candidate in movie.candidates}
    meant |= {folded(cast.id): cast.label for cast in movie.cast if cast.label not in used}
    meant |= {folded(cast.label): cast.label for cast in movie.cast}
    right = {OTHERS, *(cast.label for cast in movie.cast)}
    for candidate in movie.candidates:
        if candidate.label is not None and candidate.label not in right and folded(candidate.label) in meant:
            yield (
                f"movie {movie.name}, candidate {candidate.id}: {candidate.label!r}, where there is "
                f"{meant[folded(candidate.label)]!r}"
            )


def read_labels(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read ``{mode}_label.json``: ``{cast id: [candidate id, ...]}``.

    Raises:
        AnnotationError: the file is missing, not JSON, of the wrong shape, or has a word in it that is no id.
    """
    path = Path(path)
    text = read_text(path, AnnotationError)
    if _RANKED.match(text):
        raise AnnotationError(f"{path}: seems to be a ranking, where labels were expected; give {{mode}}_label.json")
    labels = parse_json(text, path, AnnotationError)
    if "ranking" in labels and isinstance(labels.get("format"), str):
        raise AnnotationError(
            f"{path}: seems to be the JSON of a ranking, where labels were expected; give {{mode}}_label.json"
        )
    for cast, hits in labels.items():
        if isinstance(hits, dict) and "candidates" in hits:
            raise AnnotationError(
                f"{path}: seems to hold annotations, where labels were expected; give {{mode}}_label.json"
            )
        if not isinstance(hits, list):
            raise AnnotationError(f"{path}: cast {shown(cast)}: expected a list of candidate ids")
    if not _are_plain([*labels, *chain.from_iterable(labels.values())]):
        for cast, hits in labels.items():
            _check_ids([cast, *hits], f"{path}: cast {shown(cast)}")
    return labels


def _are_plain(words: Sequence[object]) -> bool:
    """Whether all are ids of the common kind, told of all at once; others may be ids, too."""
    try:
        together = "".join(words)  # type: ignore[arg-type]
    except TypeError:
        return False
    return (
        together.isprintable()
        and " " not in together
        and "," not in together
        and all(words)
        and len(max(words, key=len, default="")) <= _SURELY_SHORT  # type: ignore[arg-type]
    )


def _check_ids(words: Iterable[object], where: str) -> None:
    for word in words:
        if (fault := id_fault(word)) is not None:
            raise AnnotationError(f"{where}: id {shown(word)} {fault}")


def _list(entry: Any, group: str, where: str) -> list[Any]:
    found = entry.get(group) if isinstance(entry, dict) else None
    if not isinstance(found, list):
        raise AnnotationError(f"{where}: expected a list under {group!r}")
    return found


def _portraits(raw: Any, where: str, seen: dict[str, str]) -> Iterator[Cast]:
    """The portraits of one entry: the first bears its id, the others ids made from it."""
    identity = _id(raw, where, seen)
    imgs, label = _imgs(raw, where), _text(raw, "label", where)
    if label == OTHERS:
        raise AnnotationError(
            f"{where}: the label {OTHERS} is that of candidates who are none of the cast; choose another"
        )
    yield Cast(identity, imgs[0], label)
    for number, img in enumerate(imgs[1:], start=2):
        yield Cast(_unique(f"{identity}#{number}", f"{where}, portrait {number} of its list", seen), img, label)


def _imgs(raw: dict[str, Any], where: str) -> list[str]:
    imgs = raw.get("img")
    if not isinstance(imgs, list):
        return [_path(_text(raw, "img", where), where)]
    if not imgs:
        raise AnnotationError(f"{where}: expected at least one path under 'img', found an empty list")
    paths = [_path(img, where) for img in imgs]
    if len(set(paths)) < len(paths):
        twice = next(img for img, count in Counter(paths).items() if count > 1)
        raise AnnotationError(f"{where}: img {shown(twice)} stands in its list twice; name each portrait once")
    return paths


def _candidate(raw: Any, where: str, seen: dict[str, str]) -> Candidate:
    identity = _id(raw, where, seen)
    where = f"{where} ({shown(identity)})"
    label = _text(raw, "label", where) if "label" in raw else None
    candidate = Candidate(identity, _path(_text(raw, "img", where), where), _bbox(raw.get("bbox"), where), label)
    if len(candidate.img) > _FITS and (fault := path_fault(candidate.file)) is not None:
        raise AnnotationError(
            f"{where}: the path of its crop, {shown(candidate.file)}, {fault}; give the frame a shorter name"
        )
    return candidate


def _text(raw: Any, field: str, where: str) -> str:
    value = raw.get(field) if isinstance(raw, dict) else None
    if not isinstance(value, str) or not value:
        raise AnnotationError(f"{where}: expected a non-empty string under {field!r}, found {reprlib.repr(value)}")
    return value


def _id(raw: Any, where: str, seen: dict[str, str]) -> str:
    return _unique(_text(raw, "id", where), where, seen)


def _unique(identity: str, where: str, seen: dict[str, str]) -> str:
    _check_ids([identity], where)
    if identity in seen:
        raise AnnotationError(
            f"{where}: id {shown(identity)} stands already at {seen[identity]}; ids must be unique in a split"
        )
    seen[identity] = where.partition(": ")[2]
    return identity


def _path(img: Any, where: str) -> str:
    if (fault := path_fault(img)) is not None:
        raise AnnotationError(f"{where}: img {shown(img)} {fault}")
    return str(img)


def _bbox(bbox: Any, where: str) -> tuple[int, int, int, int]:
    whole = isinstance(bbox, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and v == v // 1 for v in bbox
    )
    if not whole or len(bbox) != 4:
        raise AnnotationError(
            f"{where}: bbox must be four whole numbers of pixels, x, y, w, h, found {reprlib.repr(bbox)}"
        )
    x, y, w, h = (int(v) for v in bbox)
    if max(map(abs, (x, y, w, h))) > FARTHEST:
        raise AnnotationError(f"{where}: bbox {reprlib.repr(bbox)} is larger than any frame: over {FARTHEST:,} pixels")
    for side, length in (("width", w), ("height", h)):
        if length <= 0:
            raise AnnotationError(f"{where}: bbox {bbox} has a {side} of {length}")
    return x, y, w, h


# ---------------------------------------------------------------------------- persons


def person_ids(movies: Iterable[Movie | MoviePictures]) -> dict[str, str]:
    """Whom each portrait shows.

    Returns:
        For each portrait's id, in order, that of the first one of the same person, who is known by it: portraits of a
        movie that share a label show one person, and one without a label nobody else.
    """
    persons: dict[str, str] = {}
    for movie in movies:
        first: dict[str, str] = {}
        for cast in movie.cast:
            persons[cast.id] = cast.id if cast.label in _NOBODY else first.setdefault(str(cast.label), cast.id)
    return persons


def labels_of_persons(
    labels: Mapping[str, Sequence[str]], movies: Iterable[Movie | MoviePictures]
) -> dict[str, list[str]]:
    """Labels with one entry a person.

    Args:
        labels: true candidates by the id of any portrait.
        movies: tell who is on the portraits; other ids stay as they are.

    Returns:
        By the id of a person's first portrait the candidates of all portraits, each once.
    """
    persons = person_ids(movies)
    united: dict[str, dict[str, None]] = {}
    for cast, hits in labels.items():
        united.setdefault(persons.get(cast, cast), {}).update(dict.fromkeys(hits))
    return {person: list(hits) for person, hits in united.items()}


# ---------------------------------------------------------------------------- rankings


def read_ranking(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a result file: a line a cast, ``castid id,id,...``, best first.

    Raises:
        AnnotationError: the file is missing, no text, or a line is of another shape.
    """
    path = Path(path)
    text = read_text(path, AnnotationError, "fusion.py writes it")
    if _is_json(text):
        raise AnnotationError(f"{path}: seems to be JSON, where a ranking was expected: {_LINE} for each cast")
    ranking: dict[str, list[str]] = {}
    known: dict[str, str] = {}  # the casts of a movie rank the same candidates: each is checked once, and kept once
    for number, line in _lines(text):
        words = line.split()
        if not words:
            continue
        where = f"{path}: line {number}"
        if len(words) != 2:
            raise AnnotationError(f"{where}: expected {_LINE}, found {_form(words)}")
        cast, ids = words[0], words[1].split(",")
        if (pair := _enclosing(ids)) is not None:
            raise AnnotationError(f"{where}: the candidates stand between {pair[0]} and {pair[1]}; take both away")
        if cast in ranking:
            raise AnnotationError(
                f"{where}: cast {shown(cast)} has a line already; keep one, with all its candidates, best first"
            )
        if not _is_plain(line, cast, ids):
            _check_ids((word for word in (cast, *ids) if word not in known), where)
        ranking[cast] = [*map(known.setdefault, ids, ids)]
    return ranking


def _is_plain(line: str, cast: str, ids: Sequence[str]) -> bool:
    """Whether all words of a line are ids of the common kind, told of all at once; others may be ids, too."""
    return line.isprintable() and "," not in cast and all(ids) and max(map(len, [cast, *ids])) <= _SURELY_SHORT


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers, one by one: a result of all movies together takes gigabytes."""
    number, start = 1, 0
    while start < len(text):
        end = text.find("\n", start)
        end = end if end >= 0 else len(text)
        if end > start:
            yield number, text[start:end]
        number, start = number + 1, end + 1


_OPENING = frozenset("\"'[({")
_LINE = "'castid id,id,...'"


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False  # ids may begin so
    return True


def _enclosing(ids: Sequence[str]) -> str | None:
    """The signs between which all ids stand, as spreadsheets and Python write them; none where each has its own."""
    first, last = ids[0], ids[-1]
    if first[:1] not in _OPENING:
        return None
    for pair in ('""', "''", "[]", "()", "{}"):
        opened, closed = pair
        if (
            first.startswith(opened)
            and last.endswith(closed)
            and not first.endswith(closed)
            and not last.startswith(opened)
        ):
            return pair
    return None


def _form(words: Sequence[str]) -> str:
    """What a line of a result is, if not a cast and its candidates."""
    if len(words) > 2:
        return f"{len(words)} words; part candidates by commas, without blanks"
    if "," in words[0]:
        return "comma-separated values; put a blank behind the cast, and all of its candidates on one line"
    return f"no candidates of {shown(words[0])}"
