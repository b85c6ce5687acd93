"""From the stage files to what the ranking takes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from castsearch import stagefiles
from castsearch.annotations import person_ids
from castsearch.ranking.errors import RankingError, RankingWarning
from castsearch.ranking.impostors import Impostors, known
from castsearch.ranking.movie import MovieFeatures
from castsearch.stagefiles import Features, MoviePictures, Split

FAR_APART = 1e6  # shots between the last of a movie and the first of the next: one tells nothing about the other

_CROP = re.compile(r"(.*?)(?:_-?\d+){4}(?:\.[^./]*)?", re.DOTALL)
_SHOT = re.compile(r"shot(\d{1,9})img\d", re.ASCII)  # as the challenge names frames: shot%04dimg%d


_NO_BODIES = ("body", "retina", "face")  # other stages' files, which have names of the same form


def read_movies(
    data: Path, mode: str, reid: Sequence[str], body_only: bool = False, split: Split | None = None
) -> list[MovieFeatures]:
    """Read everything that the ranking of a split needs.

    Args:
        data: folder of the stage files.
        mode: ``train``, ``val`` or ``test``.
        reid: names of body models, as in ``{name}_{mode}.pkl``.
        body_only: read no faces; the body features must then hold the casts, too.
        split: what ``read_split`` gave, where it has been read already.

    Raises:
        CastSearchError: a file is missing, damaged or of another split.

    Warns:
        RankingWarning: names of pictures do not tell which share a frame.
    """
    for name in reid:
        if name in _NO_BODIES:
            raise RankingError(f"{name}_{mode}.pkl holds no features of bodies; name the file of a body model")
    if split is None:
        split = read_split(data, mode, body_only)
    frames = {name: [frame(picture.file) for picture in movie.candidates] for name, movie in split.items()}
    _warn_of_frames(split, frames)
    bodies = [_read_bodies(data / f"{name}_{mode}.pkl", split, body_only) for name in reid]
    faces = {} if body_only else stagefiles.read_features(data / stagefiles.face_name(mode), split, "always")
    impostors = None if body_only else _impostors(data / stagefiles.face_name(mode))
    return [
        _movie(movie, frames[name], faces.get(name), [model[name] for model in bodies], impostors)
        for name, movie in split.items()
    ]


def ranked_from(data: Path, mode: str, reid: Sequence[str], body_only: bool, settings: Mapping[str, Any]) -> str:
    """Stands for what a ranking is made from, see ``stagefiles.made_from``; nothing where a file cannot be read.

    Args:
        data, mode, reid, body_only: see ``read_movies``.
        settings: how it is ranked, as JSON has it.
    """
    own = [stagefiles.body_name(mode)] if body_only else [stagefiles.retina_name(mode), stagefiles.face_name(mode)]
    try:
        embedder = {} if body_only else stagefiles.read_metadata(data / own[-1]).get("embedder", {})
        files = [data / name for name in (*own, *(f"{name}_{mode}.pkl" for name in reid))]
        return stagefiles.made_from(files, {**settings, "mode": mode, "reid": [*reid], "embedder": embedder})
    except stagefiles.StageFileError:
        return ""  # whoever reads it will tell


def read_split(data: Path, mode: str, body_only: bool = False) -> Split:
    """The pictures that the ranking is about, with their faces unless they are ranked on bodies alone."""
    if body_only:
        return stagefiles.read_body(data / stagefiles.body_name(mode))
    return stagefiles.read_retina(data / stagefiles.retina_name(mode))


def _impostors(face_file: Path) -> Impostors | None:
    """What is known of the embedder that the metadata of face features tell of; they are no more than a hint."""
    try:
        metadata = stagefiles.read_metadata(face_file)
    except stagefiles.StageFileError as error:
        warnings.warn(f"{error}; of which network the faces are is not known", RankingWarning, stacklevel=3)
        return None
    embedder = metadata.get("embedder")
    weights = embedder.get("sha256") if isinstance(embedder, dict) else None
    return known(weights.values()) if isinstance(weights, dict) else None


def _movie(
    movie: MoviePictures,
    frames: Sequence[str | None],
    faces: Features | None,
    bodies: Sequence[Features],
    impostors: Impostors | None,
) -> MovieFeatures:
    return MovieFeatures(
        name=movie.name,
        cast=[picture.id for picture in movie.cast],
        candidates=[picture.id for picture in movie.candidates],
        frames=[name or picture.file for name, picture in zip(frames, movie.candidates, strict=True)],
        faces=None if faces is None else faces.rows,
        has_face=np.array([faces is None or picture.faces is not None for picture in movie.pictures], dtype=bool),
        bodies=[model.candidates if faces is not None else model.rows for model in bodies],
        persons=list(person_ids([movie]).values()),
        shots=np.array([shot(picture.file) for picture in movie.candidates], dtype=np.float64),
        impostors=impostors,
    )


def _read_bodies(path: Path, split: Split, body_only: bool) -> dict[str, Features]:
    features = stagefiles.read_features(path, split, "maybe")
    for name, rows in features.items():
        if body_only and rows.cast is None:
            raise RankingError(f"{path}: movie {name}: no features of its casts; extract them again, with the casts")
    return features


def frame(file: str) -> str | None:
    """The frame that a crop is from: its path without the box at the end; None where there is no box.

    >>> frame("tt0107290/candidates/shot0001img0_1_2_30_40.jpg")
    'tt0107290/candidates/shot0001img0'
    >>> frame("tt0107290/candidates/frame_0001_a.jpg")
    """
    found = _CROP.fullmatch(file)
    return None if found is None else found[1]


def shot(file: str) -> float:
    """The number of the shot that a crop is from, by the name of its frame; NaN where that does not tell.

    >>> shot("tt0107290/candidates/shot0012img3_1_2_30_40.jpg"), shot("tt0107290/candidates/frame_0012.jpg")
    (12.0, nan)
    """
    found = _SHOT.match(file.rpartition("/")[2])
    return float("nan") if found is None else float(found[1])


def _warn_of_frames(split: Split, frames: Mapping[str, Sequence[str | None]]) -> None:
    files = [picture.file for movie in split.values() for picture in movie.candidates]
    known = [name for names in frames.values() for name in names]
    boxless = [file for file, name in zip(files, known, strict=True) if name is None]
    if boxless:
        warnings.warn(
            f"{boxless[0]} and {len(boxless) - 1} more of {len(files)} names do not end in the _x_y_w_h of a box, by "
            "which pictures of one frame are known; each counts as a frame of its own",
            RankingWarning,
            stacklevel=3,
        )


def across(movies: Sequence[MovieFeatures], name: str) -> MovieFeatures:
    """All movies as one gallery called ``name``, so that casts are looked for in every movie.

    People stay apart by movie, whatever their names: the same one in two movies is looked for twice. Shots are numbered
    on, with ``FAR_APART`` between two movies.

    Raises:
        RankingError: the features of two movies differ in width.
    """

    def together(parts: list[np.ndarray]) -> np.ndarray:
        for movie, part in zip(movies, parts, strict=False):
            if part.shape[1] != parts[0].shape[1]:
                raise RankingError(
                    f"movie {movie.name}: features are {part.shape[1]} wide, those of {movies[0].name} "
                    f"{parts[0].shape[1]}; extract both with the same model"
                )
        return np.concatenate(parts)

    def casts_first(rows: Sequence[np.ndarray]) -> np.ndarray:
        pairs = list(zip(movies, rows, strict=True))
        return together([*(some[: len(m.cast)] for m, some in pairs), *(some[len(m.cast) :] for m, some in pairs)])

    body_only = not movies or movies[0].faces is None
    models = zip(*(movie.bodies for movie in movies), strict=True)
    return MovieFeatures(
        name=name,
        cast=[cast for movie in movies for cast in movie.cast],
        candidates=[candidate for movie in movies for candidate in movie.candidates],
        frames=[f"{movie.name}/{frame}" for movie in movies for frame in movie.frames],
        faces=None if body_only else casts_first([movie.faces for movie in movies if movie.faces is not None]),
        has_face=casts_first([movie.has_face[:, None] for movie in movies])[:, 0],
        bodies=[
            casts_first(rows)
            if body_only
            else together([some[len(some) - len(m.candidates) :] for m, some in zip(movies, rows, strict=True)])
            for rows in models
        ],
        persons=[
            f"{movie.name}/{person}"
            for movie in movies
            for person in (movie.cast if movie.persons is None else movie.persons)
        ],
        shots=_shots_across(movies),
        impostors=movies[0].impostors if len({movie.impostors for movie in movies}) == 1 else None,
    )


def _shots_across(movies: Sequence[MovieFeatures]) -> np.ndarray | None:
    if all(movie.shots is None for movie in movies):
        return None
    start, numbered = 0.0, []
    for movie in movies:
        shots = np.full(len(movie.candidates), np.nan) if movie.shots is None else movie.shots
        if not np.isnan(shots).all():
            shots = shots - np.nanmin(shots) + start
            start = np.nanmax(shots) + FAR_APART
        numbered.append(shots)
    return np.concatenate(numbered)
