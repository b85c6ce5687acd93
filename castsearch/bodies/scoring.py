"""How well features retrieve people: Rank@k and mAP from a matrix of distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from castsearch.metrics import RANKS, average_precision


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

    def __str__(self) -> str:
        names = ["mAP", *(f"Rank-{k}" for k in RANKS)]
        figures = [self.mean_ap, *map(self.rank, RANKS)]
        return "".join(f"{name:>9}" for name in names) + "\n" + "".join(f"{100 * figure:9.2f}" for figure in figures)


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
