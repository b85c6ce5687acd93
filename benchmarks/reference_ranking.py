"""The ranking written down plainly: dense float64 matrices, loops, one step after the other.

The oracle of the tests and the yardstick of the benchmark. It follows the papers (Zhong et al., "Re-ranking Person
Re-identification with k-reciprocal Encoding", CVPR 2017; Sarfraz et al., "A Pose-Sensitive Embedding for Person
Re-Identification with Expanded Cross Neighborhood Re-Ranking", CVPR 2018) and shares no code with the library.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DECIMALS = 12  # similarities that float64 computes this nearly alike are equal


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) cosines of unit rows."""
    return np.round(a @ b.T, DECIMALS)


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64."""
    features = np.asarray(features, dtype=np.float64)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def euclidean_dist(features: np.ndarray) -> np.ndarray:
    """(N, N) Euclidean distances of unit rows."""
    dist = np.sqrt(np.maximum(2 - 2 * cosines(features, features), 0))
    np.fill_diagonal(dist, 0)
    return dist


def ascending(dist: np.ndarray) -> np.ndarray:
    """Indices that sort each row, equal values by index."""
    return np.argsort(dist, axis=1, kind="stable")


def k_reciprocal(features: np.ndarray, n_queries: int, k1: int = 20, k2: int = 6, lam: float = 0.3) -> np.ndarray:
    """(q, N - q) k-reciprocal distances of (N, d) features whose first ``n_queries`` rows are the queries."""
    return k_reciprocal_of(np.sqrt(euclidean_dist(unit(features)) ** 2 + 1e-4), n_queries, k1, k2, lam)


def k_reciprocal_of(dist: np.ndarray, n_queries: int, k1: int = 20, k2: int = 6, lam: float = 0.3) -> np.ndarray:
    """k-reciprocal distances, from the (N, N) distances of all points."""
    squared = (dist**2).astype(np.float32)
    scaled = (squared / squared.max(axis=0)).T
    n_points = len(scaled)
    rank = ascending(scaled)

    def reciprocal(point: int, k: int) -> np.ndarray:
        forward = rank[point, : k + 1]
        return forward[(rank[forward, : k + 1] == point).any(axis=1)]

    weights = np.zeros((n_points, n_points))
    for point in range(n_points):
        own = reciprocal(point, k1)
        expanded = own
        for neighbour in own:
            further = reciprocal(neighbour, round(k1 / 2))
            if len(np.intersect1d(further, own)) > 2 / 3 * len(further):
                expanded = np.union1d(expanded, further)
        weight = np.exp(-scaled[point, expanded].astype(np.float64))
        weights[point, expanded] = weight / weight.sum()
    weights = np.stack([weights[rank[point, :k2]].mean(axis=0) for point in range(n_points)])

    result = np.empty((n_queries, n_points - n_queries))
    for query in range(n_queries):
        shared = np.round(np.minimum(weights[query], weights[n_queries:]).sum(axis=1), DECIMALS)
        result[query] = (1 - lam) * (1 - shared / (2 - shared)) + lam * scaled[query, n_queries:]
    return result


def ecn(features: np.ndarray, n_queries: int, t: int = 10, q: int = 8) -> np.ndarray:
    """(q, N - q) expanded cross neighbourhood distances of (N, d) features."""
    return ecn_of(euclidean_dist(unit(features)), n_queries, t, q)


def ecn_of(dist: np.ndarray, n_queries: int, t: int = 10, q: int = 8) -> np.ndarray:
    """Expanded cross neighbourhood distances, from the (N, N) distances of all points."""
    n_points = len(dist)
    rank = ascending(dist)
    nearest = [rank[point, 1 : t + 1] for point in range(n_points)]
    expanded = [
        np.concatenate([nearest[point], *(rank[neighbour, 1 : q + 1] for neighbour in nearest[point])])
        for point in range(n_points)
    ]
    result = np.empty((n_queries, n_points - n_queries))
    for query in range(n_queries):
        for column, point in enumerate(range(n_queries, n_points)):
            terms = [*dist[point, expanded[query]], *dist[query, expanded[point]]]
            result[query, column] = np.round(np.mean(terms), DECIMALS) if terms else dist[query, point]
    return result


def fuse(
    n_casts: int,
    faces: np.ndarray,
    has_face: np.ndarray,
    bodies: np.ndarray,
    frames: Sequence[str],
    face_rerank: str | None = None,
    body_rerank: str | None = None,
    thresholds: Sequence[float] = (0.5, 0.4, 0.3, 0.25),
) -> list[list[int]]:
    """Candidates of each cast, best first: ``faces`` (casts, then n candidates), ``bodies`` and ``has_face`` (n)."""
    rerank = {"k_reciprocal": k_reciprocal, "ecn": ecn}
    faces, bodies = unit(faces), unit(bodies)
    n = len(bodies)
    cast_sim = cosines(faces[:n_casts], faces[n_casts:])
    if face_rerank:
        cast_sim = 1 - rerank[face_rerank](faces, n_casts)
    cast_sim[:, ~has_face] = -2
    face_sim = cosines(faces[n_casts:], faces[n_casts:])
    face_sim[~has_face] = -2
    face_sim[:, ~has_face] = -2

    def best_first(score: np.ndarray, among: Sequence[int]) -> list[int]:
        return sorted(among, key=lambda candidate: (-score[candidate], candidate))

    ranking = []
    for row in cast_sim:
        matches = best_first(row, np.flatnonzero(row > thresholds[0]))
        if len(matches) < 5:
            matches = best_first(row, range(n))[:5]
        for threshold in thresholds[1:]:
            mean = np.round(face_sim[:, matches].mean(axis=1), DECIMALS)
            matches = matches + best_first(mean, [c for c in np.flatnonzero(mean > threshold) if c not in set(matches)])
        ranking.append([int(c) for c in matches])

    decided = sorted(set().union(*ranking))
    unknown = [c for c in range(n) if c not in set(decided)]
    cosine = cosines(bodies, bodies)
    smooth = np.empty_like(bodies)
    for candidate in range(n):
        nearest = ascending(-cosine[candidate : candidate + 1])[0, :9]
        weight = np.exp(cosine[candidate, nearest])
        smooth[candidate] = (weight / weight.sum()) @ bodies[nearest]
    smooth = unit(smooth)
    if body_rerank:
        points = np.concatenate([bodies, bodies[unknown]])
        base = 1 - rerank[body_rerank](points, n)
    else:
        base = cosine[:, unknown]
    body_sim = (base + cosines(smooth, smooth[unknown])) / 2

    complete = []
    for matches in ranking:
        score = np.full(n, -np.inf)
        for column, candidate in enumerate(unknown):
            best = np.sort(body_sim[matches, column])[::-1][:3]
            weight = np.exp(best)
            score[candidate] = np.round((weight / weight.sum()) @ best, DECIMALS)
        own_frames = {frames[match] for match in matches}
        order = [
            *matches,
            *best_first(score, [c for c in unknown if frames[c] not in own_frames]),
            *(c for c in range(n) if frames[c] in own_frames and frames.count(frames[c]) > 1),
            *best_first(cosine[matches].max(axis=0), decided),
        ]
        complete.append(list(dict.fromkeys(order)))
    return complete
