"""Stage 1: frames and their person boxes -> body crops and copied portraits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from castsearch.annotations import AnnotationError, Candidate, Cast, Movie
from castsearch.images import JPEG_QUALITY, ImageError, crop_box, read_image, write_changed, write_jpeg
from castsearch.parallel import core_count
from castsearch.progress import Progress, silent
from castsearch.stagefiles import MoviePictures, Picture, Split

Bad = dict[str, str]  # id of a cast or candidate -> what is wrong with its picture


def crop_split(
    movies: Mapping[str, Movie],
    origin: str | os.PathLike[str],
    body: str | os.PathLike[str],
    quality: int = JPEG_QUALITY,
    progress: Progress = silent,
) -> tuple[Split, Bad]:
    """Crop every candidate and copy every portrait of a split.

    Frames are worked on side by side, each opened once.

    Args:
        movies: the split's annotations.
        origin: folder of the frames, ``ORIGIN/{mode}``.
        body: folder that receives crops and portraits, ``BODY/{mode}``.
        quality: of the JPEGs, 1 to 95.
        progress: is given the movies' frames.

    Returns:
        The split's pictures, the bad left out, and the bad: id -> message.

    Raises:
        AnnotationError: two frames would meet in one crop, or crops among the frames.
        StageFileError: there is no writing in ``body``, or no room.
    """
    origin, body = Path(origin), Path(body)
    if origin.resolve() == body.resolve():
        raise AnnotationError(f"{body}: crops would lie among the frames; choose another folder for them")
    _check_files(movies.values())
    bad: Bad = {}
    frames = [(movie, *frame) for movie in movies.values() for frame in _frames(movie)]

    def work(frame: tuple[Movie, str, list[Candidate]]) -> Bad:
        return _crop_frame(origin, body, *frame, quality)

    with ThreadPoolExecutor(core_count()) as pool:
        for movie in movies.values():
            for cast in movie.cast:
                bad.update(_copy_portrait(origin, body, movie, cast))
        for found in progress(pool.map(work, frames), total=len(frames), unit="frame"):
            bad.update(found)
    return Split(_without(bad, movie) for movie in movies.values()), bad


def _without(bad: Bad, movie: Movie) -> MoviePictures:
    cast, candidates = (
        tuple(Picture(item.id, item.file, item.label) for item in items if item.id not in bad)
        for items in (movie.cast, movie.candidates)
    )
    return MoviePictures(movie.name, cast, candidates)


def _check_files(movies: Iterable[Movie]) -> None:
    """A crop's name leaves out its frame's extension: two frames must not meet in one name."""
    source: dict[str, str] = {}
    for movie in movies:
        items: list[Cast | Candidate] = [*movie.cast, *movie.candidates]
        for item in items:
            if source.setdefault(item.file, item.img) != item.img:
                raise AnnotationError(
                    f"movie {movie.name}: {item.id}: its crop {item.file} would overwrite that of "
                    f"{source[item.file]}; rename {item.img}"
                )


def _frames(movie: Movie) -> list[tuple[str, list[Candidate]]]:
    """The movie's frames with the boxes on each."""
    frames: dict[str, list[Candidate]] = {}
    for candidate in movie.candidates:
        frames.setdefault(candidate.img, []).append(candidate)
    return list(frames.items())


def _crop_frame(origin: Path, body: Path, movie: Movie, img: str, candidates: list[Candidate], quality: int) -> Bad:
    try:
        frame = read_image(origin / img)
    except ImageError as error:
        return {c.id: f"movie {movie.name}, candidate {c.id}: {error}" for c in candidates}
    bad = {}
    for candidate in candidates:
        try:
            write_jpeg(body / candidate.file, crop_box(frame, candidate.bbox), quality)
        except ImageError as error:
            bad[candidate.id] = f"movie {movie.name}, candidate {candidate.id}: {origin / img}: {error}; mend its bbox"
    return bad


def _copy_portrait(origin: Path, body: Path, movie: Movie, cast: Cast) -> Bad:
    try:
        read_image(origin / cast.img)
    except ImageError as error:
        return {cast.id: f"movie {movie.name}, cast {cast.id}: {error}"}
    write_changed(body / cast.file, (origin / cast.img).read_bytes())
    return {}
