"""The whole ranking of a movie: faces find the sure hits, bodies complete the list."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from castsearch.ranking.completion import complete
from castsearch.ranking.defaults import LIST_LENGTH, Rerank
from castsearch.ranking.errors import RankingError, RankingWarning
from castsearch.ranking.memory import spare_memory
from castsearch.ranking.points import FeaturePoints
from castsearch.ranking.propagation import THRESHOLDS, best_first, propagate
from castsearch.ranking.reranking import open_reranker, warn_if_short
from castsearch.ranking.threads import THREAD_MEMORY, Resources, slices, tile_rows
from castsearch.ranking.unit import F32, UnitRows, as_features, bad_row, cosines, norms, unit_rows, write_unit_rows

Ranked = Iterable[tuple[str, npt.NDArray[np.int64]]]
Progress = Callable[[Ranked], Ranked]
# Bytes a point takes for its neighbour lists, and for the sparse encodings made of them.
PLAIN_POINT, RERANKED_POINT = 1500, 9000


@dataclass(frozen=True)
class MovieFeatures:
    """What is ranked: the casts and candidates of one movie, or of a whole split.

    Attributes:
        name: the movie's name.
        cast: q ids of the casts.
        candidates: n ids of the candidates.
        frames: n names; candidates with the same one were seen at the same moment.
        faces: (q + n, d) float32 face features, casts first; None to rank on bodies alone.
        has_face: (q + n,) bool; without a face, a cast's feature still counts, a candidate's does not.
        bodies: body features of each model, (n, d) float32, or casts first (q + n, d).

    Raises:
        RankingError: lengths do not fit, an id stands twice, or a feature is all zero or not finite: movie and item
            are named.
    """

    name: str
    cast: Sequence[str]
    candidates: Sequence[str]
    frames: Sequence[str]
    faces: npt.NDArray[np.float32] | None
    has_face: npt.NDArray[np.bool_]
    bodies: Sequence[npt.NDArray[np.float32]]

    def __post_init__(self) -> None:
        where, q, n = f"movie {self.name}", len(self.cast), len(self.candidates)
        for group, ids in (("cast", self.cast), ("candidates", self.candidates)):
            if len(set(ids)) < len(ids):
                twice = next(item for item, count in Counter(ids).items() if count > 1)
                raise RankingError(f"{where}: id {twice} stands among its {group} twice; ids must be unique")
        if len(self.frames) != n:
            raise RankingError(f"{where}: expected {n} frames, got {len(self.frames)}")
        if len(self.bodies) == 0:
            raise RankingError(f"{where}: expected the features of at least one body model")
        has_face = np.asarray(self.has_face)
        if has_face.shape != (q + n,) or has_face.dtype != bool:
            raise RankingError(f"{where}: has_face must be ({q + n},) bool, got {has_face.shape} {has_face.dtype}")
        bodies = tuple(
            self._checked("body", some, (n, q + n) if self.faces is not None else (q + n,)) for some in self.bodies
        )
        faces = None if self.faces is None else self._checked("face", self.faces, (q + n,))
        for name, value in (("has_face", has_face), ("bodies", bodies), ("faces", faces)):
            object.__setattr__(self, name, value)  # as arrays, whatever they came as

    def _checked(self, what: str, features: npt.ArrayLike, lengths: tuple[int, ...]) -> F32:
        """The same as (rows, d) float32, each row with a direction."""
        shape = np.shape(features)
        if len(shape) != 2 or shape[0] not in lengths:
            wanted = " or ".join(f"({length}, d)" for length in lengths)
            raise RankingError(f"movie {self.name}: {what} features must be {wanted}, got {shape}")
        array = as_features(features)
        if (bad := bad_row(norms(array))) is not None:
            items = [*self.cast, *self.candidates]
            item = items[bad[0] + len(items) - len(array)]
            raise RankingError(
                f"movie {self.name}: {item}: its {what} feature is {bad[1]}; extract it again or leave the item out"
            )
        return array


@dataclass(frozen=True)
class Settings:
    """How to rank.

    Attributes:
        thresholds: similarities for the first hits and each propagation after them.
        face_rerank: re-ranking of casts against candidates by face.
        body_rerank: re-ranking of bodies.
        memory: bytes that the ranking of one movie may take, beyond its features; by default a quarter of what is
            free.

    Raises:
        RankingError: no thresholds, or none that are numbers; a re-ranker that does not exist.

    Warns:
        RankingWarning: a threshold that no similarity can pass, or every one passes.
    """

    thresholds: Sequence[float] = field(default=THRESHOLDS)
    face_rerank: Rerank | None = None
    body_rerank: Rerank | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        thresholds = np.asarray(self.thresholds)
        if (
            thresholds.ndim != 1
            or not len(thresholds)
            or thresholds.dtype.kind not in "fiu"
            or not np.isfinite(thresholds).all()
        ):
            raise RankingError(f"thresholds {self.thresholds!r}: expected at least one number, all finite")
        object.__setattr__(self, "thresholds", tuple(map(float, thresholds)))
        for name in ("face_rerank", "body_rerank"):
            if (kind := getattr(self, name)) not in (None, *get_args(Rerank)):
                raise RankingError(f"{name} {kind!r}: expected None, {' or '.join(map(repr, get_args(Rerank)))}")
        if (abs(thresholds) > 1).any():
            warnings.warn(
                f"thresholds {list(self.thresholds)}: similarities lie within -1 to 1; is one of them a percentage?",
                RankingWarning,
                stacklevel=3,
            )


def fuse(
    movie: MovieFeatures, settings: Settings | None = None, progress: Progress | None = None
) -> dict[str, list[str]]:
    """Rank all candidates of a movie for each of its casts.

    Args:
        movie: ids and features. Without ``faces`` the bodies take their place, and the last similarity ranks the rest.
        settings: thresholds, re-ranking and memory.
        progress: passes the casts on, one as each is ranked.

    Returns:
        For each cast id the candidate ids, best first; empty where there are no candidates.

    Raises:
        TooLittleMemory: the memory does not suffice.

    Warns:
        RankingWarning: a portrait without a face; no candidates; fewer candidates than a neighbour list needs.
    """
    settings = settings or Settings()
    if not movie.candidates:
        if movie.cast:
            warnings.warn(f"movie {movie.name} has no candidates: no line for its casts", RankingWarning, stacklevel=2)
        return {}
    if not movie.cast:
        return {}
    for cast, seen in zip(movie.cast, movie.has_face, strict=False):
        if movie.faces is not None and not seen:
            warnings.warn(
                f"movie {movie.name}: the portrait of {cast} shows no face; its stored feature is used",
                RankingWarning,
                stacklevel=2,
            )
    _warn_of_short_lists(movie, settings)
    spare = spare_memory(needed_memory(movie, settings), settings.memory, f"movie {movie.name}")
    rank = _rank_by_bodies if movie.faces is None else _rank_by_both
    ids = np.array(movie.candidates, dtype=object)
    ranked = zip(movie.cast, rank(movie, settings, _resources(spare, settings)), strict=True)
    return {cast: ids[order].tolist() for cast, order in (progress(ranked) if progress else ranked)}


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


def _resources(spare: int, settings: Settings) -> Resources:
    return replace(Resources.within(settings.memory), memory=spare)


def _rank_by_both(movie: MovieFeatures, settings: Settings, resources: Resources) -> Iterator[npt.NDArray[np.int64]]:
    q, n = len(movie.cast), len(movie.candidates)
    assert movie.faces is not None
    faces = UnitRows(movie.faces)
    cast_sim = _cast_sim(faces, q, settings.face_rerank, resources)
    matches = propagate(cast_sim, faces.tile(slice(q, None)), movie.has_face[q:], settings.thresholds).matches
    bodies = _joined_bodies([some[len(some) - n :] for some in movie.bodies])
    numbers: dict[str, int] = {}
    frames = np.array([numbers.setdefault(name, len(numbers)) for name in movie.frames])
    return complete(matches, bodies, frames, settings.body_rerank, resources)


def _rank_by_bodies(movie: MovieFeatures, settings: Settings, resources: Resources) -> Iterator[npt.NDArray[np.int64]]:
    q, n = len(movie.cast), len(movie.candidates)
    bodies = _joined_bodies(movie.bodies)
    cast_sim = _cast_sim(bodies, q, settings.body_rerank, resources)
    matches, last_sim = propagate(cast_sim, bodies.tile(slice(q, None)), np.ones(n, dtype=bool), settings.thresholds)
    for own, row in zip(matches, last_sim, strict=True):
        rest = np.setdiff1d(np.arange(n), own)
        yield np.concatenate([own, best_first(row, rest)])


def _cast_sim(unit: UnitRows, n_casts: int, kind: Rerank | None, resources: Resources) -> F32:
    """(q, n) similarities of the first rows, the casts, and the others."""
    casts, candidates = np.arange(n_casts), np.arange(n_casts, len(unit))
    if kind is None:
        return cosines(unit, casts, candidates, resources)
    return 1 - open_reranker(kind, FeaturePoints(unit, resources), candidates, resources).dist(casts)


def _joined_bodies(models: Sequence[F32]) -> UnitRows:
    """Unit rows of several models side by side, as unit rows."""
    if len(models) == 1:
        return UnitRows(models[0])
    edges = np.cumsum([0, *(features.shape[1] for features in models)])
    joined = np.empty((len(models[0]), edges[-1]), np.float32)
    for rows in slices(len(joined), tile_rows(joined.shape[1])):
        for features, first, last in zip(models, edges, edges[1:], strict=False):
            joined[rows, first:last] = unit_rows(features[rows])
        write_unit_rows(joined[rows], joined[rows], "joined bodies")
    return UnitRows(joined, joined)
