"""The original's ranking: faces find the sure hits, bodies complete the list."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from castsearch.ranking.completion import complete
from castsearch.ranking.defaults import LIST_LENGTH, Rerank
from castsearch.ranking.movie import MovieFeatures
from castsearch.ranking.points import FeaturePoints
from castsearch.ranking.propagation import best_first, propagate
from castsearch.ranking.ranked import BODY, Ranked, found, joined
from castsearch.ranking.reranking import open_reranker, warn_if_short
from castsearch.ranking.settings import Settings
from castsearch.ranking.threads import THREAD_MEMORY, Resources
from castsearch.ranking.unit import F32, UnitRows, cosines, side_by_side

# Bytes a point takes for its neighbour lists, and for the sparse encodings made of them.
PLAIN_POINT, RERANKED_POINT = 1500, 9000


def _warn_of_short_lists(movie: MovieFeatures, settings: Settings) -> None:
    n = len(movie.candidates)
    everyone = len(movie.cast) + n
    kinds = [(settings.face_rerank, everyone), (settings.body_rerank, everyone if movie.faces is None else n)]
    for kind, n_points in kinds:
        if kind is not None:
            warn_if_short(n_points, LIST_LENGTH[kind], f"movie {movie.name}", stacklevel=3)


def needed_memory(movie: MovieFeatures, settings: Settings) -> int:
    """Bytes that ranking the movie takes at least, beyond its features; an estimate from the sizes of the arrays."""
    q, n = len(movie.cast), len(movie.candidates)
    faces = 0 if movie.faces is None else 4 * movie.faces.shape[1]
    # Unit rows, and smoothed ones where faces decide first.
    bodies = (8 if movie.faces is not None else 4) * sum(some.shape[1] for some in movie.bodies)
    lists = RERANKED_POINT if settings.face_rerank or settings.body_rerank else PLAIN_POINT
    threads = Resources.within(settings.memory).threads
    # Sums of faces, cut into parts, in float64; matches, orders and similarities of each cast and candidate.
    return (q + n) * (faces + bodies + lists) + 16 * q * faces + 32 * q * n + THREAD_MEMORY * threads


def rank(movie: MovieFeatures, settings: Settings, resources: Resources) -> Iterator[Ranked]:
    """Rank the candidates of a movie, which has some, for each of its people.

    Warns:
        RankingWarning: fewer candidates than a neighbour list needs.
    """
    _warn_of_short_lists(movie, settings)
    by_what = _rank_by_bodies if movie.faces is None else _rank_by_both
    return by_what(movie, settings, resources)


def _rank_by_both(movie: MovieFeatures, settings: Settings, resources: Resources) -> Iterator[Ranked]:
    q, n = len(movie.cast), len(movie.candidates)
    assert movie.faces is not None
    faces = UnitRows(movie.faces)
    sim = _person_sim(movie, _portrait_sim(faces, q, settings.face_rerank, resources))
    matches = propagate(sim, faces.tile(slice(q, None)), movie.has_face[q:], settings.thresholds).matches
    bodies = side_by_side([some[len(some) - n :] for some in movie.bodies])
    return complete(matches, bodies, movie.frame_numbers, settings.body_rerank, resources)


def _rank_by_bodies(movie: MovieFeatures, settings: Settings, resources: Resources) -> Iterator[Ranked]:
    q, n = len(movie.cast), len(movie.candidates)
    bodies = side_by_side(movie.bodies)
    sim = _person_sim(movie, _portrait_sim(bodies, q, settings.body_rerank, resources))
    everyone = np.ones(n, dtype=bool)
    matches, last_sim = propagate(sim, bodies.tile(slice(q, None)), everyone, settings.thresholds, BODY)
    for own, row in zip(matches, last_sim, strict=True):
        rest = best_first(row, np.setdiff1d(np.arange(n), own.order))
        yield joined([own, found(rest, row[rest], BODY)])


def _portrait_sim(unit: UnitRows, n_casts: int, kind: Rerank | None, resources: Resources) -> F32:
    """(q, n) similarities of the first rows, the portraits, and the others."""
    casts, candidates = np.arange(n_casts), np.arange(n_casts, len(unit))
    if kind is None:
        return cosines(unit, casts, candidates, resources)
    return 1 - open_reranker(kind, FeaturePoints(unit, resources), candidates, resources).dist(casts)


def _person_sim(movie: MovieFeatures, portrait_sim: F32) -> F32:
    """(p, n) similarities of people and candidates: each the largest of a person's portraits."""
    return np.stack([portrait_sim[own].max(axis=0) for own in movie.telling_portraits])
