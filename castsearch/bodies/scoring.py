"""How well features retrieve people: Rank-k and mAP from a matrix of distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from castsearch import stagefiles
from castsearch.errors import CastSearchError
from castsearch.metrics import average_precision
from castsearch.stagefiles import Item


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


def retrieve(
    dist: np.ndarray, query_labels: Sequence[str], gallery_labels: Sequence[str], ignored: np.ndarray | None = None
) -> Retrieval:
    """Score a matrix of distances; equal distances go to the lower index.

    Args:
        dist: (queries, gallery).
        query_labels, gallery_labels: who is who.
        ignored: (queries, gallery) bool, pairs that count neither as hit nor as miss.
    """
    ap, first_hit = [], []
    for query, label in enumerate(query_labels):
        order = np.argsort(dist[query], kind="stable")
        if ignored is not None:
            order = order[~ignored[query, order]]
        hits = np.fromiter((gallery_labels[g] == label for g in order), dtype=bool, count=len(order))
        if hits.any():
            ap.append(average_precision(hits))
            first_hit.append(int(hits.argmax()))
    return Retrieval(np.array(ap), np.array(first_hit))


def normalised(features: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros stays."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def within(features: np.ndarray, labels: Sequence[str], strangers: str) -> Retrieval:
    """Every picture as query, all other ones as gallery, by cosine.

    Args:
        features: (n, d).
        labels: who is who.
        strangers: label of people who are found by nobody and look for nobody.
    """
    unit = normalised(features)
    queries = [i for i, label in enumerate(labels) if label != strangers]
    itself = np.zeros((len(queries), len(labels)), dtype=bool)
    itself[np.arange(len(queries)), queries] = True
    return retrieve(1 - unit[queries] @ unit.T, [labels[i] for i in queries], labels, itself)


# ---------------------------------------------------------------------------- feature files


@dataclass(frozen=True)
class Search:
    """Queries and the gallery they are looked for in.

    Attributes:
        features: (queries + gallery, d), queries first.
        query_labels, gallery_labels: who is who.
    """

    features: np.ndarray
    query_labels: list[str]
    gallery_labels: list[str]


def between_cameras(items: Sequence[Item], features: np.ndarray, query: str, gallery: str) -> Search:
    """Pictures of one camera looked for among those of another; the last character of an id is its camera.

    Args:
        items: candidates of a movie.
        features: (candidates, d).
        query, gallery: the cameras.
    """
    rows = [[i for i, item in enumerate(items) if str(item["id"]).endswith(camera)] for camera in (query, gallery)]
    return Search(features[rows[0] + rows[1]], *([str(items[i].get("label")) for i in part] for part in rows))


def casts_in_candidates(groups: Mapping[str, Sequence[Item]], features: np.ndarray) -> Search:
    """Portraits looked for among the candidates of their movie; ``features`` holds casts, then candidates."""
    return Search(features, *([str(item.get("label")) for item in groups[name]] for name in ("cast", "candidates")))


def read_candidates(path: Path, body: Mapping[str, Mapping[str, Sequence[Item]]]) -> dict[str, np.ndarray]:
    """Features of the candidates, from a file with or without casts."""
    n_casts, n = ({movie: len(groups[what]) for movie, groups in body.items()} for what in ("cast", "candidates"))
    return {movie: rows[len(rows) - n[movie] :] for movie, rows in stagefiles.read_features(path, n, n_casts).items()}


def read_searches(
    path: Path, body: Mapping[str, Mapping[str, Sequence[Item]]], cameras: tuple[str, str] | None
) -> list[Search]:
    """One search a movie: between two cameras, or of casts among candidates.

    Args:
        path: a feature file; with casts unless ``cameras`` are given.
        body: content of the split's ``body_{mode}.pkl``.
        cameras: of queries and gallery.

    Raises:
        StageFileError: the file belongs to another split, or has no casts.
        ScoringError: no query has anybody to find.
    """
    if cameras:
        features = read_candidates(path, body)
        searches = [between_cameras(body[movie]["candidates"], rows, *cameras) for movie, rows in features.items()]
    else:
        counts = {movie: len(groups["cast"]) + len(groups["candidates"]) for movie, groups in body.items()}
        features = stagefiles.read_features(path, counts)
        searches = [casts_in_candidates(body[movie], rows) for movie, rows in features.items()]
    if not any(set(search.query_labels) & set(search.gallery_labels) for search in searches):
        who = f"camera {cameras[0]} at camera {cameras[1]}" if cameras else "the casts among the candidates"
        raise ScoringError(f"{path}: nobody to find of {who}; look at labels and ids, or name --cameras")
    return searches
