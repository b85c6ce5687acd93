"""A film in the challenge's layout, so that every stage works on it; beside it when all that is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from castsearch.annotations import read_annotations
from castsearch.identifiers import shown
from castsearch.images import declared_size, decode, write_changed, write_jpeg
from castsearch.images.turns import TURNS
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Survey
from castsearch.movies.portraits import Person, word_of
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import F32
from castsearch.paths import shortened
from castsearch.stagefiles import atomic_write
from castsearch.textfiles import read_json

QUALITY = 95  # of portraits that were no JPEG, or lay on their side
ANY_SIZE = (2**31, 2**31)  # of pictures that differ, as stills do: what was found in them lies within them anyway
_FOR_EVER = 1e9  # seconds
_FRAME = re.compile(r"shot\d+img\d+\.jpg")  # what a scan calls its pictures

Seen = tuple[int, int]  # numbers of a track, and of a sighting in it


@dataclass(frozen=True)
class Times:
    """When a movie's pictures are shown.

    Attributes:
        rate: pictures a second.
        time_base: seconds of the container's unit of time.
        duration: seconds.
        shots: in the order of time.
        frames: seconds of each picture that was kept, by its name without the ending.
        tracks: number of the track that each candidate belongs to.
    """

    rate: Fraction
    time_base: Fraction
    duration: float
    shots: tuple[Stretch, ...]
    frames: Mapping[str, float]
    tracks: Mapping[str, int]


def movie_name(film: str) -> str:
    """What a film's movie is called in the layout, and in its ids and folders.

    >>> movie_name("My Film, 2nd cut")
    'My_Film_2nd_cut'
    """
    return word_of(film, "film")


def frames_folder(root: Path, mode: str, movie: str) -> Path:
    """Where the pictures of a movie lie."""
    return root / "origin" / mode / movie / "candidates"


def times_file(root: Path, mode: str) -> Path:
    """``{mode}_times.json``."""
    return root / f"{mode}_times.json"


# ---------------------------------------------------------------------------- writing


def check_place(root: Path, mode: str, film: str, begun: bool) -> None:
    """See that a film may become a movie of a split, before the work: pictures that are no film's stay as they are.

    Args:
        root: see ``write_layout``, as are the other two.
        begun: the film, or one of its name, was looked through there before, perhaps in part.

    Raises:
        MovieError: the split has a movie of this name that is no film, or pictures of unknown origin lie in its place.
        AnnotationError: the split's annotations are broken.
    """
    movie = movie_name(film)
    _, times = _others(root / f"{mode}.json", times_file(root, mode), movie)
    folder = frames_folder(root, mode, movie).parent
    if not begun and movie not in times and any(path.is_file() for path in folder.rglob("*")):
        raise MovieError(
            f"{shortened(folder)}: holds files that no search wrote; write into another folder, or rename the film"
        )


def write_layout(
    scan: Scan,
    survey: Survey,
    film: str,
    mode: str,
    root: Path,
    people: Sequence[Person],
    rate: Fraction,
    time_base: Fraction,
) -> dict[Seen, str]:
    """Write a film as one movie of a split, whose other movies stay as they are.

    Every sighting whose picture was kept is a candidate. Portraits are copied; pictures of an earlier scan that nobody
    is on now are removed.

    Args:
        scan: its pictures lie in ``frames_folder`` already.
        survey: of the film.
        film: its name; ``movie_name`` makes the movie's of it.
        mode: split.
        root: receives ``{mode}.json``, ``{mode}_times.json`` and ``origin/{mode}/``.
        people: who is looked for.
        rate: pictures a second.
        time_base: seconds of the container's unit of time.

    Returns:
        The candidates' ids.

    Raises:
        MovieError: the split has a movie of this name that is no film, or one of the ids; a picture is missing; nobody
            is seen or looked for.
        AnnotationError: the split's annotations are broken.
        ImageError: a portrait cannot be read.
    """
    movie, annotations = movie_name(film), root / f"{mode}.json"
    movies, times = _others(annotations, times_file(root, mode), movie)
    seen = sorted(_kept(scan), key=lambda one: _moment(scan, one))
    ids = {one: f"{movie}_{number:06d}" for number, one in enumerate(seen)}
    folder = frames_folder(root, mode, movie)
    if not seen and not people:
        raise MovieError(f"{film}: shows nobody, and nobody is looked for; name another film")
    movies[movie] = {
        "cast": _copied(people, movie, root / "origin" / mode),
        "candidates": _candidates(scan, ids, folder),
    }
    _check_ids(annotations, movie, movies)
    times[movie] = _timed(scan, survey, ids, rate, time_base)
    # In this order: a movie that the times do not know is taken for no film.
    _write_json(times_file(root, mode), times)
    _write_json(annotations, movies)
    _remove_stale(folder, times[movie]["frames"])
    return ids


def _others(annotations: Path, timed: Path, movie: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The other movies of the split, and their times, as the files have them."""
    times: dict[str, Any] = {}
    if timed.exists():
        read_times(timed)
        times = read_json(timed, MovieError)
    if not annotations.exists():
        return {}, times
    read_annotations(annotations)
    movies = read_json(annotations, MovieError)
    if movie in movies and movie not in times:
        raise MovieError(
            f"{shortened(annotations)}: has a movie {movie} that is no film; rename the film, or write elsewhere"
        )
    return movies, times


def _kept(scan: Scan) -> Iterator[Seen]:
    for track, followed in enumerate(scan.tracks):
        for index, sighting in enumerate(followed.sightings):
            if sighting.frame is not None:
                yield track, index


def _moment(scan: Scan, seen: Seen) -> tuple[float, float, Seen]:
    sighting = scan.tracks[seen[0]].sightings[seen[1]]
    return sighting.seconds, float(sighting.box[0]), seen


def _candidates(scan: Scan, ids: Mapping[Seen, str], folder: Path) -> list[dict[str, Any]]:
    sizes: dict[str, tuple[int, int]] = {}
    found = []
    for (track, index), identity in ids.items():
        sighting = scan.tracks[track].sightings[index]
        file = folder / f"{sighting.frame}.jpg"
        if (size := sizes.get(file.name) or declared_size(file)) is None:
            raise MovieError(f"{shortened(file)}: no such picture; remove what is kept of the film and scan it again")
        sizes[file.name] = size
        img = f"{folder.parent.name}/{folder.name}/{file.name}"
        found.append({"id": identity, "img": img, "bbox": list(whole_box(sighting.box, size))})
    return found


def whole_box(box: F32, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x, y, width and height in whole pixels within a picture of ``size`` (width, height), of a box x1 y1 x2 y2."""
    low, high = [], []
    for start, end, side in zip(box[:2].tolist(), box[2:].tolist(), size, strict=True):
        low.append(min(max(round(start), 0), side - 1))
        high.append(max(min(round(end), side), low[-1] + 1))
    return low[0], low[1], high[0] - low[0], high[1] - low[1]


def _copied(people: Sequence[Person], movie: str, origin: Path) -> list[dict[str, Any]]:
    """The casts' entries; their portraits are written."""
    cast = []
    for person in people:
        alone = len(person.files) == 1
        imgs = [f"{person.id}.jpg"] if alone else [f"{person.id}/{k}.jpg" for k in range(1, len(person.files) + 1)]
        for file, img in zip(person.files, imgs, strict=True):
            _copy(file, origin / movie / "cast" / img)
        paths = [f"{movie}/cast/{img}" for img in imgs]
        cast.append({"id": f"{movie}_{person.id}", "img": paths[0] if alone else paths, "label": person.name})
    return cast


def _copy(file: Path, target: Path) -> None:
    """An upright JPEG as it is, anything else as one."""
    portrait = decode(file)
    if portrait.image.format == "JPEG" and portrait.turn == TURNS[1] and portrait.factor == 1:
        write_changed(target, file.read_bytes())
    else:
        write_jpeg(target, portrait.pixels(), QUALITY)


def _check_ids(annotations: Path, movie: str, movies: Mapping[str, Any]) -> None:
    """See that ids are unique in the split: another movie's name may begin with this one's, as may a person's."""
    taken: set[str] = set()
    for name in sorted(movies, key=lambda name: name == movie):
        for entry in (*movies[name]["cast"], *movies[name]["candidates"]):
            if name == movie and entry["id"] in taken:
                where = f"{shortened(annotations)}: movie {movie}"
                raise MovieError(f"{where}: the id {entry['id']} is taken; rename the film or the portrait")
            taken.add(entry["id"])


def _timed(scan: Scan, survey: Survey, ids: Mapping[Seen, str], rate: Fraction, time_base: Fraction) -> dict[str, Any]:
    sightings = {identity: scan.tracks[track].sightings[index] for (track, index), identity in ids.items()}
    return {
        "rate": str(rate),
        "time_base": str(time_base),
        "duration": survey.duration,
        "shots": [[shot.start, shot.end] for shot in survey.shots],
        "frames": {one.frame: one.seconds for one in sightings.values()},
        "tracks": {identity: track for (track, _), identity in ids.items()},
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _remove_stale(folder: Path, frames: Mapping[str, float]) -> None:
    for file in sorted(folder.glob("*.jpg")):
        if file.stem not in frames and _FRAME.fullmatch(file.name):
            file.unlink(missing_ok=True)


# ---------------------------------------------------------------------------- reading


def read_times(path: Path) -> dict[str, Times]:
    """Read ``{mode}_times.json``.

    Returns:
        By the movie's name, in the file's order.

    Raises:
        MovieError: the file is missing, not JSON, or of the wrong shape.
    """
    content = read_json(path, MovieError, "scripts/import_movie.py writes it")
    return {movie: _read_movie(entry, f"{path}: movie {shown(movie)}") for movie, entry in content.items()}


def _read_movie(entry: Any, where: str) -> Times:
    if not isinstance(entry, dict):
        raise MovieError(f"{where}: expected an object, found {shown(entry)}")
    missing = [field.name for field in fields(Times) if field.name not in entry]
    if missing:
        raise MovieError(f"{where}: lacks {' and '.join(missing)}; import the film again")
    return Times(
        _fraction(entry["rate"], f"{where}: rate"),
        _fraction(entry["time_base"], f"{where}: time_base"),
        _seconds(entry["duration"], f"{where}: duration"),
        _shots(entry["shots"], f"{where}: shots"),
        {name: _seconds(value, f"{where}: frame {shown(name)}") for name, value in _object(entry, "frames", where)},
        {name: _number(value, f"{where}: candidate {shown(name)}") for name, value in _object(entry, "tracks", where)},
    )


def _object(entry: Mapping[str, Any], field: str, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(entry[field], dict):
        raise MovieError(f"{where}: {field}: expected an object, found {shown(entry[field])}")
    return entry[field].items()


def _fraction(value: Any, where: str) -> Fraction:
    try:
        fraction = Fraction(value) if isinstance(value, (str, int, float)) else Fraction(0)
    except (ValueError, ZeroDivisionError, OverflowError):
        fraction = Fraction(0)
    if fraction <= 0:
        raise MovieError(f"{where}: expected a fraction above 0, such as 24000/1001, found {shown(value)}")
    return fraction


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _FOR_EVER:
        raise MovieError(f"{where}: expected seconds, a number from 0 on, found {shown(value)}")
    return float(value)


def _shots(value: Any, where: str) -> tuple[Stretch, ...]:
    if not isinstance(value, list):
        raise MovieError(f"{where}: expected a list, found {shown(value)}")
    shots: list[Stretch] = []
    for number, shot in enumerate(value, start=1):
        if not isinstance(shot, list) or len(shot) != 2:
            raise MovieError(f"{where}: number {number}: expected [start, end], found {shown(shot)}")
        start, end = (_seconds(one, f"{where}: number {number}") for one in shot)
        if end < start or (shots and start < shots[-1].end):
            raise MovieError(f"{where}: number {number}: {shot} is not in the order of time; import the film again")
        shots.append(Stretch(start, end))
    return tuple(shots)


def _number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MovieError(f"{where}: expected a track's number, from 0 on, found {shown(value)}")
    return value
