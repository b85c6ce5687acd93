"""How well features retrieve people: Rank-k and mAP from a matrix of distances.

After the practice of Market-1501 (Zheng et al., ICCV 2015): a picture never counts as an answer to itself; people
without a label, and ``others``, are nobody's query and nobody's hit, but stand in the gallery as distractors:
each that comes before a hit is a miss; a query that has nobody to find does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from castsearch.annotations import OTHERS
from castsearch.errors import CastSearchError
from castsearch.metrics import average_precision
from castsearch.stagefiles import Picture, Split, read_features

_MOST_CAMERAS = 20  # that a message shows, and characters of one


class ScoringError(CastSearchError):
    """Nothing to score."""


@dataclass(frozen=True)
class Retrieval:
    """What became of each query that has somebody to find.

    Attributes:
        ap: (queries,) average precision.
        first_hit: (queries,) place of the first hit, from 0.
    """

    ap: np.ndarray
    first_hit: np.ndarray

    @property
    def mean_ap(self) -> float:
        """Mean average precision, in [0, 1]; 0 without queries."""
        return float(self.ap.mean()) if len(self.ap) else 0.0

    def rank(self, k: int) -> float:
        """Share of queries with a hit among their first ``k``."""
        return float((self.first_hit < k).mean()) if len(self.ap) else 0.0


def joined(parts: Sequence[Retrieval]) -> Retrieval:
    """The queries of all ``parts``."""
    return Retrieval(
        *(np.concatenate([np.zeros(0), *(getattr(p, name) for p in parts)]) for name in ("ap", "first_hit"))
    )


def person(picture: Picture) -> str | None:
    """Who is seen; None for people who look for nobody and are found by nobody: unknown ones, and others."""
    return None if picture.label == OTHERS else picture.label


def retrieve(
    dist: np.ndarray,
    query_people: Sequence[str | None],
    gallery_people: Sequence[str | None],
    ignored: np.ndarray | None = None,
) -> Retrieval:
    """Score a matrix of distances; equal distances go to the lower index.

    Args:
        dist: (queries, gallery).
        query_people, gallery_people: who is who; None finds nobody and is found by nobody.
        ignored: (queries, gallery) bool, pairs that count neither as hit nor as miss.
    """
    ap, first_hit = [], []
    for query, who in enumerate(query_people):
        order = np.argsort(dist[query], kind="stable")
        if ignored is not None:
            order = order[~ignored[query, order]]
        hits = np.fromiter((who is not None and gallery_people[g] == who for g in order), dtype=bool, count=len(order))
        if hits.any():
            ap.append(average_precision(hits))
            first_hit.append(int(hits.argmax()))
    return Retrieval(np.array(ap), np.array(first_hit))


def normalised(features: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros stays."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def cosine_dist(features: np.ndarray, n_queries: int) -> np.ndarray:
    """(queries, gallery) distances, 1 - cosine, of (queries + gallery, d) features."""
    unit = normalised(features)
    return 1 - unit[:n_queries] @ unit[n_queries:].T


def within(features: np.ndarray, people: Sequence[str | None]) -> Retrieval:
    """Every picture as query, all other ones as gallery, by cosine.

    Args:
        features: (n, d).
        people: who is who; None looks for nobody.
    """
    unit = normalised(features)
    queries = [i for i, who in enumerate(people) if who is not None]
    itself = np.zeros((len(queries), len(people)), dtype=bool)
    itself[np.arange(len(queries)), queries] = True
    return retrieve(1 - unit[queries] @ unit.T, [people[i] for i in queries], people, itself)


# ---------------------------------------------------------------------------- feature files


@dataclass(frozen=True)
class Search:
    """Queries and the gallery they are looked for in.

    Attributes:
        features: (queries + gallery, d), queries first.
        query_people, gallery_people: who is who, see :func:`person`.
        itself: (queries, gallery) bool, where query and gallery are one picture; None where they never are.
    """

    features: np.ndarray
    query_people: list[str | None]
    gallery_people: list[str | None]
    itself: np.ndarray | None = None

    @classmethod
    def of(cls, features: np.ndarray, queries: Sequence[Picture], gallery: Sequence[Picture]) -> Search:
        """A search for ``queries`` among ``gallery``; the rows of ``features`` are theirs, in this order."""
        files = np.array([p.file for p in gallery], dtype=object)
        itself = np.array([files == p.file for p in queries], dtype=bool).reshape(len(queries), len(gallery))
        return cls(features, [person(p) for p in queries], [person(p) for p in gallery], itself)

    @property
    def has_hits(self) -> bool:
        """Whether any query has somebody to find."""
        gallery = np.array(self.gallery_people, dtype=object)
        itself = np.zeros((len(self.query_people), len(gallery)), dtype=bool) if self.itself is None else self.itself
        asking = zip(self.query_people, itself, strict=True)
        return any(bool(((gallery == who) & ~own).any()) for who, own in asking if who is not None)


def between_cameras(pictures: Sequence[Picture], features: np.ndarray, query: str, gallery: str) -> Search:
    """Pictures of one camera looked for among those of another; an id ends with its camera.

    Args:
        pictures: candidates of a movie.
        features: (candidates, d).
        query, gallery: the cameras; one camera may be both.
    """
    rows = [[i for i, p in enumerate(pictures) if camera and p.id.endswith(camera)] for camera in (query, gallery)]
    return Search.of(features[rows[0] + rows[1]], *([pictures[i] for i in part] for part in rows))


def read_searches(path: Path, split: Split, cameras: tuple[str, str] | None = None) -> list[Search]:
    """One search a movie, of those in which there is anybody to find: between two cameras, or of casts in candidates.

    Args:
        path: a feature file; with casts unless ``cameras`` are given.
        split: whose features they are.
        cameras: of queries and gallery.

    Raises:
        StageFileError: the file belongs to another split, or has no casts.
        ScoringError: a feature is not finite, or no query has anybody to find.
    """
    features = read_features(path, split, "maybe" if cameras else "always")
    for name, found in features.items():
        if not (finite := np.isfinite(found.rows).all(axis=1)).all():
            raise ScoringError(
                f"{path}: movie {name:.100}: row {finite.argmin()} is not finite; extract the features again"
            )
    if cameras:
        searches = [
            between_cameras(split[name].candidates, found.candidates, *cameras) for name, found in features.items()
        ]
    else:
        searches = [Search.of(found.rows, split[name].cast, split[name].candidates) for name, found in features.items()]
    searches = [search for search in searches if search.has_hits]
    if not searches:
        raise ScoringError(f"{path}: nobody to find of {_sought(split, cameras)}")
    return searches


def _sought(split: Split, cameras: tuple[str, str] | None) -> str:
    """Who was looked for in vain, and the mend."""
    if cameras is None:
        return "the casts among the candidates; look at their labels, or name two cameras"
    ends = sorted({picture.id[-1] for movie in split.values() for picture in movie.candidates})[:_MOST_CAMERAS]
    query, gallery = (camera[:_MOST_CAMERAS] for camera in cameras)
    return (
        f"camera {query} at camera {gallery}; ids end with their camera, here in {', '.join(ends)}; look at labels too"
    )


def score(searches: Sequence[Search], dist: Callable[[np.ndarray, int], np.ndarray] = cosine_dist) -> Retrieval:
    """What becomes of all queries.

    Args:
        searches: as read.
        dist: maps (queries + gallery, d) features and the number of queries to (queries, gallery) distances.
    """
    return joined(
        [retrieve(dist(s.features, len(s.query_people)), s.query_people, s.gallery_people, s.itself) for s in searches]
    )
