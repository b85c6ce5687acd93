"""Result files: a ranking as JSON beside its text file, with what each place rests on, written person by person.

The JSON holds columns of one length for each person, best first, so that a table is made of them at once. A split of
the challenge's size has 1.8 million places: nothing here holds more of them than one person's but the reader.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from castsearch.errors import CastSearchError
from castsearch.identifiers import id_fault, movie_fault, shown
from castsearch.paths import open_plain, unreadable
from castsearch.stagefiles import MADE_FROM, MODES, StageFileError, atomic_write, check_output, file_sha256
from castsearch.textfiles import format_version, read_json

FORMAT, VERSION = "castsearch result", 1
DECIMALS = 5  # of scores, probabilities and evidence
IN_A_BOX = 0.5  # probability above which a box is taken to show a person
EVIDENCE = "evidence_"  # before the name of each kind of evidence

_LARGEST = float(np.finfo(np.float32).max)
_START = re.compile(rb'\s*\{\s*"format"\s*:\s*"castsearch result')
_STARTS_WITHIN, _ENDS_WITHIN = 200, 4096  # bytes
_RANK, _ID, _SCORE, _FOUND_BY, _PROBABILITY = "rank", "id", "score", "found_by", "probability"
_REQUIRED = (_RANK, _ID, _SCORE, _FOUND_BY)
# Where a split's own files lie, these names are theirs, written or not.
_OTHERS = {f"{mode}{what}.json" for mode in MODES for what in ("", "_label", "_times")}

F32 = npt.NDArray[np.float32]


class ResultError(CastSearchError):
    """A result that is of another shape, or whose two files are of two runs."""


@dataclass(frozen=True)
class Places:
    """All candidates in the order in which they were ranked for one person: columns of one length, best first.

    Attributes:
        ids: n ids of the candidates, each once.
        score: (n,) float32 what each was ranked by, NaN where nothing but its index ranked it.
        found_by: n words, what put each there.
        probability: (n,) float32 in [0, 1] that the box shows the person; None from a recipe that does not tell.
        evidence: by kind, (n,) float32 log odds that it adds for the person, NaN where there is none of it.

    Raises:
        ResultError: lengths differ, an id stands twice, or a number is infinite or no probability.
    """

    ids: Sequence[str]
    score: F32
    found_by: Sequence[str]
    probability: F32 | None = None
    evidence: Mapping[str, F32] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(set(self.ids)) < n:
            twice = next(item for item, times in Counter(self.ids).items() if times > 1)
            raise ResultError(f"candidate {shown(twice)} stands in it twice")
        for name, column in self.numbers.items():
            if np.shape(column) != (n,):
                raise ResultError(f"expected {n} numbers under {name!r}, as many as ids, got {np.shape(column)}")
            if (bad := np.flatnonzero(np.isinf(column))).size:
                raise ResultError(f"{name} of candidate {shown(self.ids[bad[0]])} is infinite")
        if len(self.found_by) != n:
            raise ResultError(f"expected {n} words under {_FOUND_BY!r}, as many as ids, got {len(self.found_by)}")
        if self.probability is not None:
            bad = np.flatnonzero(~((self.probability >= 0) & (self.probability <= 1)))
            if bad.size:
                raise ResultError(
                    f"probability of candidate {shown(self.ids[bad[0]])} is {self.probability[bad[0]]:g}: "
                    "expected 0 to 1"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbers(self) -> dict[str, F32]:
        """The columns of numbers by the names that they have in files."""
        probability = {} if self.probability is None else {_PROBABILITY: self.probability}
        return {_SCORE: self.score, **probability, **{EVIDENCE + kind: of for kind, of in self.evidence.items()}}

    @property
    def absent(self) -> bool:
        """Whether the person is probably in no box: there are probabilities, and none is above a half."""
        if self.probability is None:
            return False
        return not (np.round(self.probability.astype(np.float64), DECIMALS) > IN_A_BOX).any()  # as readers see it


@dataclass(frozen=True)
class Person:
    """Somebody who was looked for.

    Attributes:
        portraits: ids of the person's portraits; the first is also the person's.
        places: the ranking.
    """

    portraits: tuple[str, ...]
    places: Places


@dataclass(frozen=True)
class Result:
    """What a result's JSON holds.

    Attributes:
        path: of the file.
        mode: the split.
        recipe: that ranked.
        settings: of that recipe, as JSON has them.
        versions: of what ranked, by name.
        movies: by name, its people by id, in the order in which they were ranked.
        ranking_sha256: of the text file of the same run, in hexadecimal digits.
    """

    path: Path
    mode: str
    recipe: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    movies: Mapping[str, Mapping[str, Person]]
    ranking_sha256: str

    def check_ranking(self, ranking: str | os.PathLike[str]) -> None:
        """See that a text file is the one that was written with this JSON.

        Raises:
            ResultError: it is another run's, or was changed; the older file is named as the stale one.
            StageFileError: it cannot be read.
        """
        ranking = Path(ranking)
        if file_sha256(ranking) == self.ranking_sha256:
            return
        stale, newer = self.path, ranking
        if ranking.stat().st_mtime_ns < self.path.stat().st_mtime_ns:
            stale, newer = newer, stale
        raise ResultError(f"{stale}: is of another run than {newer}, or one of them was changed; rank again")


# ---------------------------------------------------------------------------- where


def json_beside(ranking: str | os.PathLike[str]) -> Path:
    """Where the JSON of a ranking lies.

    >>> json_beside("val_result.txt").name, json_beside("run.2").name
    ('val_result.json', 'run.2.json')
    """
    ranking = Path(ranking)
    return ranking.with_name(f"{ranking.name.removesuffix('.txt')}.json")


def check_result(ranking: str | os.PathLike[str], data: str | os.PathLike[str]) -> Path:
    """See that a ranking and its JSON may be written, before the work whose result they receive.

    Args:
        ranking: the text file.
        data: folder of the stage files, annotations and labels.

    Returns:
        The text file.

    Raises:
        ResultError: the JSON's name is that of other files, there is another file of that name, or a link makes one
            file of both.
        StageFileError: nothing can be written there.
    """
    ranking = check_output(ranking)
    beside = json_beside(ranking)
    told = f"{beside}: is written beside {ranking.name}, but"
    in_data = os.path.realpath(beside.parent) == os.path.realpath(data)
    if beside.name.endswith(".pkl.json") or (in_data and beside.name in _OTHERS):
        raise ResultError(f"{told} such names are other files'; choose another name for the ranking")
    check_output(beside)
    if os.path.realpath(beside) == os.path.realpath(ranking):
        raise ResultError(f"{told} links make one file of the two; choose another name for the ranking")
    if not _replaceable(beside):
        raise ResultError(f"{told} there is a file that is no result; choose another name for the ranking, or move it")
    return ranking


def _replaceable(path: Path) -> bool:
    """Whether there is no file, an empty one or a result."""
    if not path.exists():
        return True
    try:
        with open_plain(path) as file:
            start = file.read(_STARTS_WITHIN)
    except OSError as error:
        raise ResultError(unreadable(path, error)) from None
    return not start or _START.match(start) is not None


# ---------------------------------------------------------------------------- writing


class ResultWriter:
    """Takes one person after the other; ``write_result`` opens it."""

    def __init__(self, lines: BinaryIO, columns: BinaryIO, head: Mapping[str, Any]) -> None:
        self._lines, self._columns = lines, columns
        self._digest, self._own = hashlib.sha256(), hashlib.sha256()  # of the text file, and of the JSON
        self._movies: set[str] = set()
        self._portraits: dict[str, Sequence[str]] = {}  # of the movie that is being written
        self._movie: str | None = None
        text = json.dumps({"format": f"{FORMAT} {VERSION}", **head}, allow_nan=False)
        self._put(f'{text[:-1]},\n"movies": {{')

    def add(self, movie: str, portraits: Sequence[str], places: Places) -> None:
        """Write somebody's ranking.

        Args:
            movie: whose cast the person is of; a movie's people come one behind the other.
            portraits: ids of the person's portraits; the first is the person's.
            places: the ranking.

        Raises:
            ResultError: the movie was left before, or the person was written already.
        """
        person = portraits[0]
        if movie != self._movie:
            self._open(movie)
        if person in self._portraits:
            raise ResultError(f"movie {shown(movie)}: person {shown(person)} is ranked twice")
        line = f"{person} {','.join(places.ids)}\n".encode()
        self._lines.write(line)
        self._digest.update(line)
        self._put(f"{',' * bool(self._portraits)}\n{_word(person)}: {{\n{_columns(places)}}}")
        self._portraits[person] = portraits

    def _open(self, movie: str) -> None:
        if movie in self._movies:
            raise ResultError(f"movie {shown(movie)}: its people do not come one behind the other")
        self._close()
        self._put(f'{"," * bool(self._movies)}\n{_word(movie)}: {{"people": {{')
        self._movies.add(movie)
        self._movie = movie

    def _close(self) -> None:
        if self._movie is not None:
            self._put(f'}},\n"portraits": {json.dumps(self._portraits, ensure_ascii=False)}}}')
        self._movie, self._portraits = None, {}

    def end(self, ranking: str, made: str) -> None:
        """Write what comes last: of which text file the JSON is, and what both were made from."""
        self._close()
        self._put("},\n")
        # Escaped: names of files may be no text that could be written otherwise.
        told = {"file": ranking, "sha256": self._digest.hexdigest(), MADE_FROM: _sealed(made, self._own.hexdigest())}
        self._put(f'"ranking": {json.dumps(told)}}}\n')

    def _put(self, text: str) -> None:
        data = text.encode()
        self._columns.write(data)
        self._own.update(data)


@contextmanager
def write_result(
    ranking: str | os.PathLike[str],
    *,
    mode: str,
    recipe: str,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    made: str = "",
) -> Iterator[ResultWriter]:
    """Write a ranking and its JSON, so that a reader sees the old pair or, when the block ends, the new one.

    Between the two renames it may see a new JSON beside an old ranking; ``Result.check_ranking`` tells.

    Args:
        ranking: the text file, a line a person: ``castid id,id,...``, best first; its JSON lies beside it.
        mode: the split.
        recipe: that ranks.
        settings: of that recipe, as JSON can have them.
        versions: of what ranks, by name.
        made: what both are made from, see ``stagefiles.made_from``; nothing where a later run shall rank again.

    Yields:
        What takes the people.

    Raises:
        StageFileError: there is no writing there, or no room.
    """
    ranking = Path(ranking)
    head = {"mode": mode, "recipe": recipe, "settings": settings, "versions": versions}
    with atomic_write(ranking) as lines, atomic_write(json_beside(ranking)) as columns:
        writer = ResultWriter(lines, columns, head)
        yield writer
        writer.end(ranking.name, made)
        lines.flush()
        os.fsync(lines.fileno())  # what can fail for want of room has failed before either file takes its place


def _columns(places: Places) -> str:
    """A person's columns, a line each."""
    columns: dict[str, Collection[Any]] = {
        _RANK: range(1, len(places) + 1),
        _ID: places.ids,
        _FOUND_BY: places.found_by,
    }
    columns |= {name: _rounded(column) for name, column in places.numbers.items()}
    return ",\n".join(f"{_word(name)}: {_compact(column)}" for name, column in columns.items())


def _rounded(column: F32) -> list[float | None]:
    """Numbers as a file has them: rounded, without -0; none for NaN."""
    rounded = np.round(column.astype(np.float64), DECIMALS) + 0.0
    found: list[float | None] = rounded.tolist()
    for place in np.flatnonzero(np.isnan(column)):
        found[place] = None
    return found


def _compact(column: Collection[Any]) -> str:
    return json.dumps([*column], ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _word(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


# ---------------------------------------------------------------------------- reading


def is_current(ranking: str | os.PathLike[str], made: str) -> bool:
    """Whether a ranking and its JSON are one run's, which was made from the same."""
    own = hashlib.sha256()
    try:
        with json_beside(ranking).open("rb") as file:
            file.seek(-min(_ENDS_WITHIN, file.seek(0, os.SEEK_END)), os.SEEK_END)
            line = file.read().splitlines(keepends=True)[-1]
            last = json.loads(b"{" + line)["ranking"]
            left = file.seek(-len(line), os.SEEK_END)
            file.seek(0)
            while left:
                left -= len(block := file.read(min(left, 1 << 20)))
                own.update(block)
        return bool(last[MADE_FROM] == _sealed(made, own.hexdigest()) and last["sha256"] == file_sha256(ranking))
    except (OSError, ValueError, LookupError, TypeError, StageFileError):
        return False  # absent or of another shape


def _sealed(made: str, own: str) -> str:
    """What both files were made from, in one with the digest of the JSON above, which nobody may have changed."""
    return hashlib.sha256(f"{made} {own}".encode()).hexdigest()


def read_result(path: str | os.PathLike[str]) -> Result:
    """Read the JSON of a ranking, checked to the last number.

    Raises:
        ResultError: it is missing, not JSON, no result or of another shape; movie and person are named.
    """
    path = Path(path)
    where = f"{path}"
    content = read_json(path, ResultError, "it is written with its text file")
    _check_format(content, where)
    ranking, known = _object(content, "ranking", where), _Known()
    return Result(
        path=path,
        mode=_text(content, "mode", where),
        recipe=_text(content, "recipe", where),
        settings=_object(content, "settings", where),
        versions={name: str(version) for name, version in _object(content, "versions", where).items()},
        movies={name: _people(name, entry, where, known) for name, entry in _object(content, "movies", where).items()},
        ranking_sha256=_text(ranking, "sha256", f"{where}: ranking"),
    )


@dataclass
class _Known:
    """What a file has had so far.

    A movie's people rank the same candidates: each id is checked once, and kept once, and so is each word.
    """

    portraits: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


def _check_format(content: Mapping[str, Any], where: str) -> None:
    version = format_version(content, FORMAT)
    if version is None:
        found = reprlib.repr(content.get("format"))
        raise ResultError(f"{where}: is no result: expected '{FORMAT} {VERSION}' under 'format', found {found}")
    if version != VERSION:
        raise ResultError(f"{where}: is a result of version {version}, where {VERSION} is read; rank again")


def _people(movie: str, entry: Any, where: str, known: _Known) -> dict[str, Person]:
    where = f"{where}: movie {shown(movie)}"
    if (fault := movie_fault(movie)) is not None:
        raise ResultError(f"{where} {fault}")
    people, portraits = (_object(entry, group, where) for group in ("people", "portraits"))
    if people.keys() != portraits.keys():
        odd = min(people.keys() ^ portraits.keys())
        raise ResultError(f"{where}: person {shown(odd)} must stand under both 'people' and 'portraits'")
    return {
        person: _person(person, portraits, columns, f"{where}, person {shown(person)}", known)
        for person, columns in people.items()
    }


def _person(person: str, portraits: Mapping[str, Any], columns: Any, where: str, known: _Known) -> Person:
    if not isinstance(columns, dict):
        raise ResultError(f"{where}: expected columns by name, found {reprlib.repr(columns)}")
    own = _list(portraits[person], "portraits", where)
    _check_ids(own, where)
    if not own or own[0] != person:
        raise ResultError(f"{where}: the first portrait must be {shown(person)}, found {reprlib.repr(own)}")
    for portrait in own:
        if portrait in known.portraits:
            raise ResultError(f"{where}: portrait {shown(portrait)} stands twice")
        known.portraits.add(portrait)
    return Person(tuple(own), _places(columns, where, known))


def _places(columns: Mapping[str, Any], where: str, known: _Known) -> Places:
    for name, column in columns.items():
        if name not in (*_REQUIRED, _PROBABILITY) and not re.fullmatch(f"{EVIDENCE}.+", name):
            raise ResultError(f"{where}: a result has no column {shown(name)}; remove it")
        _list(column, name, where)
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise ResultError(f"{where}: there is no column {missing[0]!r}")
    ids, found_by, rank = columns[_ID], columns[_FOUND_BY], columns[_RANK]
    _check_ids((word for word in ids if type(word) is not str or word not in known.ids), where)
    if odd := [word for word in found_by if type(word) is not str or not word]:
        raise ResultError(f"{where}: {_FOUND_BY!r} holds {reprlib.repr(odd[0])}, where words were expected")
    if {*map(type, rank)} - {int} or rank != [*range(1, len(ids) + 1)]:
        raise ResultError(f"{where}: {_RANK!r} must count from 1 to {len(ids)}, as many as ids")
    named = columns.keys() - {_RANK, _ID, _FOUND_BY}
    numbers = {name: _numbers(column, name, where) for name, column in columns.items() if name in named}
    try:
        return Places(
            ids=[known.ids.setdefault(word, word) for word in ids],
            score=numbers.pop(_SCORE),
            found_by=[known.words.setdefault(word, word) for word in found_by],
            probability=numbers.pop(_PROBABILITY, None),
            evidence={name.removeprefix(EVIDENCE): column for name, column in numbers.items()},
        )
    except ResultError as error:
        raise ResultError(f"{where}: {error}") from None


def _numbers(column: list[Any], name: str, where: str) -> F32:
    """A column of numbers; NaN where it has none.

    Raises:
        ResultError: something in it is no number, or none that float32 can hold.
    """
    if {*map(type, column)} <= {float, int, type(None)}:
        try:
            found = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
        except OverflowError:
            found = np.array([np.inf])
        if np.isnan(found).sum() == column.count(None) and not (abs(found) > _LARGEST).any():
            return found.astype(np.float32)
    odd = next(value for value in column if value is not None and not _is_number(value))
    raise ResultError(f"{where}: {name!r} holds {reprlib.repr(odd)}, where numbers were expected")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST


def _check_ids(words: Iterable[object], where: str) -> None:
    for word in words:
        if (fault := id_fault(word)) is not None:
            raise ResultError(f"{where}: id {shown(word)} {fault}")


def _object(entry: Any, name: str, where: str) -> dict[str, Any]:
    found = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise ResultError(f"{where}: expected an object under {name!r}, found {reprlib.repr(found)}")
    return found


def _list(found: Any, name: str, where: str) -> list[Any]:
    if not isinstance(found, list):
        raise ResultError(f"{where}: expected a list under {name!r}, found {reprlib.repr(found)}")
    return found


def _text(entry: Mapping[str, Any], name: str, where: str) -> str:
    found = entry.get(name)
    if not isinstance(found, str) or not found:
        raise ResultError(f"{where}: expected a word under {name!r}, found {reprlib.repr(found)}")
    return found
