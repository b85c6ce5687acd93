"""Stage 1: frames and their person boxes -> body crops and copied portraits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from castsearch.annotations import AnnotationError, Candidate, Cast, Movie, person_ids
from castsearch.errors import CastSearchError
from castsearch.images import JPEG_QUALITY, ImageError, decode, write_changed, write_jpeg
from castsearch.parallel import core_count
from castsearch.paths import unreadable
from castsearch.progress import Progress, silent
from castsearch.stagefiles import MoviePictures, Picture, Split

MANY = 1 / 3  # of the boxes; so many past the edge are no carelessness at the margin


class CropError(CastSearchError):
    """Nothing is left to search for, or among."""


@dataclass
class Account:
    """What was odd about a split's pictures.

    Attributes:
        bad: id of a cast or candidate -> what is wrong with its picture.
        scaled: file below the origin -> what was done to its samples.
        past_edge: a line for each box that reaches past its frame's edge; its crop ends there.
    """

    bad: dict[str, str] = field(default_factory=dict)
    scaled: dict[str, str] = field(default_factory=dict)
    past_edge: list[str] = field(default_factory=list)

    def add(self, other: Account) -> None:
        """Take over another account's entries."""
        self.bad.update(other.bad)
        self.scaled.update(other.scaled)
        self.past_edge += other.past_edge


def crop_split(
    movies: Mapping[str, Movie],
    origin: str | os.PathLike[str],
    body: str | os.PathLike[str],
    quality: int = JPEG_QUALITY,
    progress: Progress = silent,
) -> tuple[Split, Account]:
    """Crop every candidate and copy every portrait of a split.

    Frames are worked on side by side, each opened once.

    Args:
        movies: the split's annotations.
        origin: folder of the frames, ``ORIGIN/{mode}``.
        body: folder that receives crops and portraits, ``BODY/{mode}``.
        quality: of the JPEGs, 1 to 95.
        progress: is given the movies' frames.

    Returns:
        The split's pictures, the bad left out, and what was odd about them.

    Raises:
        AnnotationError: two frames would meet in one crop, or crops among the frames.
        CropError: no portrait or no candidate is left.
        StageFileError: there is no writing in ``body``, or no room.
    """
    origin, body = Path(origin), Path(body)
    _check_files(movies.values())
    _check_apart(origin, body, movies.values())
    casts = [(movie, cast) for movie in movies.values() for cast in movie.cast]
    frames = [(movie, *frame) for movie in movies.values() for frame in _frames(movie)]

    def work(frame: tuple[Movie, str, list[Candidate]]) -> Account:
        return _crop_frame(origin, body, *frame, quality)

    with ThreadPoolExecutor(core_count()) as pool:
        account = _gathered(pool.map(lambda cast: _copy_portrait(origin, body, *cast), casts))
        _check_left("portraits", len(casts), account.bad)
        crops = _gathered(progress(pool.map(work, frames), total=len(frames), unit="frame"))
        _check_left("candidates", sum(len(movie.candidates) for movie in movies.values()), crops.bad)
    account.add(crops)
    return Split(_without(account.bad, movie) for movie in movies.values()), account


def _gathered(accounts: Iterable[Account]) -> Account:
    gathered = Account()
    for account in accounts:
        gathered.add(account)
    return gathered


def _check_left(what: str, count: int, bad: Mapping[str, str]) -> None:
    if bad and len(bad) == count:
        raise CropError(f"none of the {count} {what} can be used; the first: {next(iter(bad.values()))}")


def look_like_corners(movies: Mapping[str, Movie], account: Account) -> bool:
    """Whether the boxes of a split look like x1 y1 x2 y2, where x y w h are expected.

    Many reach past their frame's edge, and in all of them the third number is larger than the first, and the fourth
    than the second.
    """
    boxes = [candidate.bbox for movie in movies.values() for candidate in movie.candidates]
    return len(account.past_edge) > MANY * len(boxes) and all(w > x and h > y for x, y, w, h in boxes)


def _without(bad: Mapping[str, str], movie: Movie) -> MoviePictures:
    """The pictures that are left. The first one that is left of a person bears the id of the first one there was, by
    which results and labels know the person.
    """
    persons, cast = person_ids([movie]), {}
    for item in movie.cast:
        if item.id not in bad:
            identity = item.id if persons[item.id] in cast else persons[item.id]
            cast[identity] = Picture(identity, item.file, item.label)
    candidates = (Picture(item.id, item.file, item.label) for item in movie.candidates if item.id not in bad)
    return MoviePictures(movie.name, tuple(cast.values()), tuple(candidates))


def _check_files(movies: Iterable[Movie]) -> None:
    """A crop's name leaves out its frame's extension: two frames must not meet in one name."""
    source: dict[str, str] = {}
    for movie in movies:
        for item in movie.items:
            if source.setdefault(item.file, item.img) != item.img:
                raise AnnotationError(
                    f"movie {movie.name}: {item.id}: its crop {item.file} would overwrite that of "
                    f"{source[item.file]}; rename {item.img}"
                )


def _check_apart(origin: Path, body: Path, movies: Iterable[Movie]) -> None:
    """Crops must not lie among the frames, not even where a link leads there."""
    frames = os.path.realpath(origin)
    below = {item.img.rpartition("/")[0] for movie in movies for item in movie.items}  # crops lie as their frames do
    for folder in [body, *(body / name for name in sorted(below))]:
        if Path(os.path.realpath(folder)).is_relative_to(frames):
            raise AnnotationError(f"{folder}: crops would lie among the frames; choose another folder for them")


def absent_pictures(movies: Iterable[Movie], origin: Path) -> list[str]:
    """A message for each picture that is not there, by the first who needs it: a look that takes no reading."""
    needed: dict[str, str] = {}
    for movie in movies:
        for kind, items in (("cast", movie.cast), ("candidate", movie.candidates)):
            for item in items:
                needed.setdefault(item.img, f"movie {movie.name}, {kind} {item.id}")
    absent = []
    for img, who in needed.items():
        try:
            (origin / img).stat()
        except OSError as error:
            absent.append(f"{who}: {unreadable(origin / img, error, 'put it there')}")
    return absent


def _frames(movie: Movie) -> list[tuple[str, list[Candidate]]]:
    """The movie's frames with the boxes on each."""
    frames: dict[str, list[Candidate]] = {}
    for candidate in movie.candidates:
        frames.setdefault(candidate.img, []).append(candidate)
    return list(frames.items())


def _crop_frame(origin: Path, body: Path, movie: Movie, img: str, candidates: list[Candidate], quality: int) -> Account:
    account = Account()
    try:
        frame = decode(origin / img, keep_pixels=True)
    except ImageError as error:
        account.bad = {c.id: f"movie {movie.name}, candidate {c.id}: {error}" for c in candidates}
        return account
    if frame.scaled:
        account.scaled[img] = frame.scaled
    width, height = frame.size
    for candidate in candidates:
        where = f"movie {movie.name}, candidate {candidate.id}"
        try:
            write_jpeg(body / candidate.file, frame.cut(candidate.bbox), quality)
        except ImageError as error:
            account.bad[candidate.id] = f"{where}: {origin / img}: {error}; mend its bbox"
            continue
        x, y, w, h = candidate.bbox
        if x < 0 or y < 0 or x + w > width or y + h > height:
            account.past_edge.append(f"{where}: bbox {list(candidate.bbox)} in a frame of {width} x {height}")
    return account


def _copy_portrait(origin: Path, body: Path, movie: Movie, cast: Cast) -> Account:
    try:
        portrait = decode(origin / cast.img)
    except ImageError as error:
        return Account(bad={cast.id: f"movie {movie.name}, cast {cast.id}: {error}"})
    write_changed(body / cast.file, (origin / cast.img).read_bytes())
    return Account(scaled={cast.img: portrait.scaled} if portrait.scaled else {})
