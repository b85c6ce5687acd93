"""``appearances.json``: who appears when, with every box, and the films it is about; written, read back and checked.

Times are seconds with six decimals. Of a film whose pictures come at its own constant rate, their number tells their
times.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np

from castsearch.identifiers import movie_fault, path_fault, shown
from castsearch.movies.appearances import Appearance, Film, FilmCast, FoundBy, SeenBox
from castsearch.movies.errors import MovieError
from castsearch.movies.timecodes import Clock
from castsearch.movies.times import Stretch
from castsearch.stagefiles import atomic_write
from castsearch.textfiles import read_json

FORMAT, VERSION = "castsearch appearances", 1
_SECONDS, _PROBABILITIES = 6, 5  # decimals
# More than any film has: numbers beyond are mistakes, and would take memory or time without end.
_MOST_PICTURES, _LONGEST, _LARGEST = 10**7, 1e7, 10**6  # pictures, seconds, pixels
_RATE = re.compile(r"\d{1,20}(/\d{1,20})?")


def write_json(casts: Sequence[FilmCast], path: Path) -> None:
    """Write who appears in films, when, one appearance a line.

    Raises:
        StageFileError: there is no writing there.
    """
    with atomic_write(path) as file:
        file.write(f'{{"format": {_json(FORMAT)}, "version": {VERSION}, "movies": ['.encode())
        for number, cast in enumerate(casts):
            file.write(("," * bool(number) + "\n{").encode())
            for name, content in _about(cast).items():
                file.write(f"{_json(name)}: {_json(content)},\n ".encode(errors="replace"))
            lines = ",\n  ".join(map(_json, _appearances(cast)))
            file.write(f'"appearances": [\n  {lines}]}}'.encode(errors="replace"))
        file.write(b"\n]}\n")


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(", ", ": "))


def _about(cast: FilmCast) -> dict[str, Any]:
    film = cast.film
    return {
        "name": film.name,
        "path": str(film.path),
        "rate": str(film.rate),
        "timecode_rate": str(Clock(film).rate),
        "start": _seconds(film.start),
        "duration": _seconds(film.duration),
        "size": list(film.size),
        "pictures": len(film.times),
        "times": _times(film),
        "shots": [[_seconds(shot.start), _seconds(shot.end)] for shot in film.shots],
        "people": [
            {"name": name, "presence": round(cast.presence[name], _PROBABILITIES), "absent": name in cast.absent}
            for name in cast.people
        ],
    }


def _times(film: Film) -> list[float] | None:
    """The times of the pictures; None where they come at the film's rate, to the last decimal."""
    times = np.asarray(film.times, dtype=float)
    even = np.abs(times - _even(len(times), film.rate)) < 0.5 * 10**-_SECONDS
    return None if even.all() else np.round(times, _SECONDS).tolist()


def _even(pictures: int, rate: Fraction) -> np.ndarray:
    return np.arange(pictures) * float(1 / rate)


def _seconds(seconds: float) -> float:
    return round(float(seconds), _SECONDS)


def _appearances(cast: FilmCast) -> Iterator[dict[str, Any]]:
    clock = Clock(cast.film)
    for one in cast.appearances:
        start, end = clock.codes(one.stretch)
        yield {
            "cast": one.cast,
            "start": _seconds(one.stretch.start),
            "end": _seconds(one.stretch.end),
            "start_timecode": start,
            "end_timecode": end,
            "shot": one.shot,
            "probability": round(float(one.probability), _PROBABILITIES),
            "found_by": one.found_by,
            "boxes": [
                {
                    "seconds": _seconds(box.seconds),
                    "bbox": [int(side) for side in box.bbox],
                    "frame": box.frame,
                    "candidate": box.candidate,
                    "found_by": box.found_by,
                }
                for box in one.boxes
            ],
        }


def read_appearances(path: Path) -> list[FilmCast]:
    """Read what ``write_json`` wrote.

    Raises:
        MovieError: it cannot be read, or something in it is not as it must be; the film and the item are named.
    """
    content = _Item(read_json(path, MovieError), str(path))
    if content.word("format") != FORMAT or content.whole("version", 1) != VERSION:
        raise MovieError(f"{path}: expected {FORMAT!r} of version {VERSION}; write it again with this version")
    casts = [_cast(movie) for movie in content.items("movies", "movie")]
    content.check(len({cast.film.name for cast in casts}) == len(casts), "two movies have one name")
    return casts


class _Item:
    """An object of the file and where it stands; each method takes a value out of it, checked."""

    def __init__(self, content: object, where: str) -> None:
        self.where = where
        self.check(isinstance(content, dict), f"expected an object, found {shown(content)}")
        self._content: dict[str, Any] = content  # type: ignore[assignment]

    def check(self, right: bool, wrong: str) -> None:
        if not right:
            raise MovieError(f"{self.where}: {wrong}")

    def value(self, name: str, right: Callable[[Any], bool], expected: str) -> Any:
        self.check(name in self._content, f"{name!r} is missing")
        found = self._content[name]
        self.check(right(found), f"{name!r} is {shown(found)}: expected {expected}")
        return found

    def word(self, name: str) -> str:
        return self.value(name, lambda found: isinstance(found, str) and bool(found), "a word")

    def named(self, name: str, fault: Callable[[object], str | None]) -> str | None:
        """A word that ``fault`` finds nothing wrong with, or None."""
        found = self.value(name, lambda found: found is None or isinstance(found, str), "a word or null")
        wrong = None if found is None else fault(found)
        self.check(wrong is None, f"{name!r} is {shown(found)}, which {wrong}")
        return found

    def number(self, name: str, least: float = 0, most: float = _LONGEST) -> float:
        within = f"a number from {least:g} to {most:g}"
        return float(self.value(name, lambda found: _is_number(found) and least <= found <= most, within))

    def whole(self, name: str, least: int, most: int | None = None) -> int:
        within = f"a whole number from {least}" + ("" if most is None else f" to {most}")
        limit = math.inf if most is None else most
        return self.value(name, lambda found: type(found) is int and least <= found <= limit, within)

    def one_of(self, name: str, words: Sequence[str]) -> Any:
        return self.value(name, lambda found: isinstance(found, str) and found in words, " or ".join(words))

    def entries(self, name: str) -> list[Any]:
        return self.value(name, lambda found: isinstance(found, list), "a list")

    def items(self, name: str, one: str) -> list[_Item]:
        """The objects of a list, each called by the name that it has, or by its place."""
        found = self.entries(name)
        return [_Item(item, f"{self.where}: {one} {_called(item, place)}") for place, item in enumerate(found, start=1)]

    def stretch(self, start: float, end: float, within: float) -> Stretch:
        self.check(0 <= start <= end, f"a stretch from {start:g} to {end:g}: expected the start first, from 0 on")
        self.check(end <= within + 1, f"a stretch to {end:g}: the movie ends at {within:g}")
        return Stretch(start, end)


def _called(item: object, place: int) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return shown(name) if isinstance(name, str) else str(place)


def _is_number(found: object) -> bool:
    return type(found) in (int, float) and -_LONGEST <= found <= _LONGEST  # type: ignore[operator]


def _cast(movie: _Item) -> FilmCast:
    film = _film(movie)
    people = movie.items("people", "person")
    names = tuple(person.word("name") for person in people)
    movie.check(len(set(names)) == len(names), "one name stands twice among the people")
    absent = tuple(
        name
        for name, person in zip(names, people, strict=True)
        if person.value("absent", lambda found: isinstance(found, bool), "true or false")
    )
    items = movie.items("appearances", "appearance")
    appearances = tuple(_appearance(item, [name for name in names if name not in absent], film) for item in items)
    presence = {name: person.number("presence", 0, 1) for name, person in zip(names, people, strict=True)}
    return FilmCast(film, names, appearances, presence, absent)


def _film(movie: _Item) -> Film:
    name = movie.named("name", movie_fault)
    movie.check(name is not None, "has no name")
    duration, rate = movie.number("duration"), _rate(movie)
    size = movie.entries("size")
    movie.check(
        len(size) == 2 and all(type(side) is int and 0 < side <= _LARGEST for side in size),
        "'size': expected two sides",
    )
    return Film(
        name=str(name),
        path=Path(movie.word("path")),
        rate=rate,
        duration=duration,
        size=(size[0], size[1]),
        shots=tuple(
            _shot(movie, shot, number, duration) for number, shot in enumerate(movie.entries("shots"), start=1)
        ),
        times=_read_times(movie, rate),
        start=movie.number("start"),
    )


def _rate(movie: _Item) -> Fraction:
    told = movie.word("rate")
    over, _, under = (told if _RATE.fullmatch(told) else "0").partition("/")
    right = int(over) > 0 and int(under or 1) > 0
    movie.check(right, f"'rate' is {shown(told)}: expected pictures a second, such as 30000/1001")
    return Fraction(told)


def _shot(movie: _Item, shot: object, number: int, duration: float) -> Stretch:
    pair = isinstance(shot, list) and len(shot) == 2 and all(map(_is_number, shot))
    movie.check(pair, f"shot {number}: expected its start and end in seconds")
    start, end = map(float, shot)  # type: ignore[call-overload]
    return movie.stretch(start, end, duration)


def _read_times(movie: _Item, rate: Fraction) -> Sequence[float]:
    pictures = movie.whole("pictures", 0, _MOST_PICTURES)
    told = movie.value("times", lambda found: found is None or isinstance(found, list), "a list or null")
    if told is None:
        return _even(pictures, rate).tolist()
    movie.check(len(told) == pictures, f"expected {pictures} 'times', as many as 'pictures', found {len(told)}")
    movie.check(all(map(_is_number, told)), "'times': expected seconds")
    movie.check(bool(np.all(np.diff(told) >= 0)), "'times': expected them in ascending order")
    return told


def _appearance(item: _Item, people: Sequence[str], film: Film) -> Appearance:
    cast = item.word("cast")
    item.check(cast in people, f"{shown(cast)} is none of the movie's people, or said to be absent")
    return Appearance(
        cast=cast,
        stretch=item.stretch(item.number("start"), item.number("end"), film.duration),
        shot=item.whole("shot", 1, max(1, len(film.shots))),
        probability=item.number("probability", 0, 1),
        found_by=item.one_of("found_by", get_args(FoundBy)),
        boxes=tuple(map(_box, item.items("boxes", "box"))),
    )


def _box(item: _Item) -> SeenBox:
    bbox = item.entries("bbox")
    right = (
        len(bbox) == 4
        and all(type(side) is int and abs(side) <= _LARGEST for side in bbox)
        and bbox[2] > 0
        and bbox[3] > 0
    )
    item.check(right, f"'bbox' is {str(bbox)[:60]}: expected x, y, width and height in whole pixels")
    return SeenBox(
        seconds=item.number("seconds"),
        bbox=(bbox[0], bbox[1], bbox[2], bbox[3]),
        frame=item.named("frame", path_fault),
        candidate=item.named("candidate", lambda word: None),
        found_by=item.one_of("found_by", get_args(FoundBy)),
    )
