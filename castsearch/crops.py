"""Stage 1: frames and their person boxes -> body crops and copied portraits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from castsearch.annotations import AnnotationError, Candidate, Cast, Movie, person_ids
from castsearch.errors import CastSearchError
from castsearch.images import JPEG_QUALITY, ImageError, decode, write_changed, write_jpeg
from castsearch.journal import timed
from castsearch.parallel import core_count
from castsearch.paths import unreadable
from castsearch.progress import Progress, silent
from castsearch.stagefiles import (
    MoviePictures,
    Picture,
    Resumable,
    Split,
    body_entry,
    read_body_entries,
    remove_leftovers,
)

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

    def __bool__(self) -> bool:
        return bool(self.bad or self.scaled or self.past_edge)

    def add(self, other: Account) -> None:
        """Take over another account's entries."""
        self.bad.update(other.bad)
        self.scaled.update(other.scaled)
        self.past_edge += other.past_edge


class Cropping:
    """The cropping of a split: crops and copied portraits below ``body``, and at the end ``body_{mode}.pkl``.

    Movies whose frames, boxes and crops are what they were are left alone; a run that was killed goes on with the movie
    where it was.

    Args:
        movies: the split's annotations.
        origin: folder of the frames, ``ORIGIN/{mode}``.
        body: folder that receives crops and portraits, ``BODY/{mode}``.
        target: ``body_{mode}.pkl``.
        quality: of the JPEGs, 1 to 95.
        overwrite: do all movies anew.

    Attributes:
        account: what was odd about the pictures, those too of movies that are left alone.

    Raises:
        AnnotationError: two frames would meet in one crop, or crops among the frames.
        StageFileError: another run is at work on ``target``, or there is no writing there.
    """

    def __init__(
        self,
        movies: Mapping[str, Movie],
        origin: str | os.PathLike[str],
        body: str | os.PathLike[str],
        target: str | os.PathLike[str],
        quality: int = JPEG_QUALITY,
        overwrite: bool = False,
    ) -> None:
        self._movies, self._quality = movies, quality
        self._origin, self._body = origin, body = Path(origin), Path(body)
        _check_files(movies.values())
        _check_apart(origin, body, movies.values())
        self._results = Resumable(
            target,
            {"quality": quality},
            list(movies),
            sources=lambda name: [origin / img for img in dict.fromkeys(item.img for item in movies[name].items)],
            notes={"origin": os.path.realpath(origin.parent), "body": os.path.realpath(body.parent)},
            detail=lambda name: repr(movies[name]),
            outputs=lambda name: [body / item.file for item in movies[name].items],
            overwrite=overwrite,
        )
        self.account = _gathered(Account(**told) for told in self._results.told.values())

    def run(self, progress: Progress = silent) -> None:
        """Crop every candidate and copy every portrait of the movies that are left to do.

        Frames are worked on side by side, each opened once.

        Args:
            progress: is given the movies' frames.

        Raises:
            CropError: no portrait or no candidate is left.
            StageFileError: there is no room.
        """
        todo = [self._movies[name] for name in self._results.todo]
        frames = {movie.name: _frames(movie) for movie in todo}
        with ThreadPoolExecutor(core_count()) as pool:
            portraits = {movie.name: self._copied(movie, pool) for movie in todo}
            self._check_left("portraits", lambda movie: movie.cast, _gathered(portraits.values()))
            ticks = iter(progress(range(total := sum(map(len, frames.values()))), total=total, unit="frame"))
            for movie in todo:
                with timed(movie.name, frames=len(frames[movie.name]), boxes=len(movie.candidates)):
                    account = self._cropped(movie, frames[movie.name], pool, ticks)
                    account.add(portraits[movie.name])
                    self._add(movie, account)
        next(ticks, None)  # that is how a progress bar learns of the end
        self._check_left("candidates", lambda movie: movie.candidates, self.account)

    def finish(self) -> Split:
        """Write ``body_{mode}.pkl``.

        Returns:
            The split's pictures, the bad left out.
        """
        self._results.finish()
        return read_body_entries(self._results.content, self._results.path)

    def _copied(self, movie: Movie, pool: ThreadPoolExecutor) -> Account:
        return _gathered(pool.map(lambda cast: _copy_portrait(self._origin, self._body, movie, cast), movie.cast))

    def _cropped(
        self, movie: Movie, frames: list[tuple[str, list[Candidate]]], pool: ThreadPoolExecutor, ticks: Iterator[int]
    ) -> Account:
        def work(frame: tuple[str, list[Candidate]]) -> Account:
            return _crop_frame(self._origin, self._body, movie, *frame, self._quality)

        account = Account()
        for found in pool.map(work, frames):
            next(ticks)
            account.add(found)
        return account

    def _add(self, movie: Movie, account: Account) -> None:
        remove_leftovers(*(self._body / item.file for item in movie.items))
        told = asdict(account) if account else None
        bad = "; ".join(account.bad.values()) or None
        self._results.add(movie.name, body_entry(_without(account.bad, movie)), bad, told)
        self.account.add(account)

    def _check_left(self, what: str, of: Callable[[Movie], Sequence[Cast | Candidate]], account: Account) -> None:
        ids = [item.id for movie in self._movies.values() for item in of(movie)]
        if ids and all(identity in account.bad for identity in ids):
            raise CropError(f"none of the {len(ids)} {what} can be used; the first: {account.bad[ids[0]]}")


def _gathered(accounts: Iterable[Account]) -> Account:
    gathered = Account()
    for account in accounts:
        gathered.add(account)
    return gathered


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
