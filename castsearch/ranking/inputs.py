"""From the stage files to what the ranking takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from castsearch import stagefiles
from castsearch.ranking.fusion import MovieFeatures
from castsearch.ranking.unit import RankingError


def read_movies(data: Path, mode: str, reid: Sequence[str], body_only: bool = False) -> list[MovieFeatures]:
    """Read everything that the ranking of a split needs.

    Args:
        data: folder of the stage files.
        mode: ``train``, ``val`` or ``test``.
        reid: names of body models, as in ``{name}_{mode}.pkl``.
        body_only: read no faces; the body features must then hold the casts, too.

    Raises:
        CastSearchError: a file is missing, damaged or of another split.
    """
    if body_only:
        groups = stagefiles.read_body(data / stagefiles.body_name(mode))
    else:
        groups = stagefiles.read_retina(data / stagefiles.retina_name(mode))
    counts = {movie: len(group["cast"]) + len(group["candidates"]) for movie, group in groups.items()}
    faces = {} if body_only else stagefiles.read_features(data / stagefiles.face_name(mode), counts)
    bodies = [_read_bodies(data / f"{name}_{mode}.pkl", groups, body_only) for name in reid]
    movies = []
    for movie, group in groups.items():
        items = [*group["cast"], *group["candidates"]]
        movies.append(
            MovieFeatures(
                name=movie,
                cast=[item["id"] for item in group["cast"]],
                candidates=[item["id"] for item in group["candidates"]],
                frames=[frame(item["file"]) for item in group["candidates"]],
                faces=faces.get(movie),
                has_face=np.array([body_only or item["faces"] is not None for item in items], dtype=bool),
                bodies=[features[movie] for features in bodies],
            )
        )
    return movies


def _read_bodies(path: Path, groups: Mapping[str, Any], body_only: bool) -> dict[str, np.ndarray]:
    """Features of the candidates, or of casts and candidates: the number of rows tells."""
    n_casts, n = ({movie: len(group[what]) for movie, group in groups.items()} for what in ("cast", "candidates"))
    features = stagefiles.read_features(path, n, n_casts)
    for movie, rows in features.items():
        if body_only and len(rows) == n[movie] and n_casts[movie]:
            raise RankingError(f"{path}: movie {movie}: no features of its casts; extract them again with --with_cast")
    return features


def frame(file: str) -> str:
    """The frame that a crop is from: its base name up to the first ``_``.

    >>> frame("tt0107290/candidates/shot0001img0_1_2_30_40.jpg")
    'shot0001img0'
    """
    return PurePosixPath(file).name.partition("_")[0]


def across(movies: Sequence[MovieFeatures], name: str) -> MovieFeatures:
    """All movies as one gallery called ``name``, so that casts are looked for in every movie.

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
    )
