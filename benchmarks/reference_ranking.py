"""The ranking written down plainly: dense float64 matrices, loops, one step after the other.

The oracle of the tests and the yardstick of the benchmark. It follows the papers (Zhong et al., "Re-ranking Person
Re-identification with k-reciprocal Encoding", CVPR 2017; Sarfraz et al., "A Pose-Sensitive Embedding for Person
Re-Identification with Expanded Cross Neighborhood Re-Ranking", CVPR 2018), and for the better recipe the docstrings of
``castsearch.ranking.best``; it shares no code with the library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


# ---------------------------------------------------------------------------- the better recipe


def best(
    portraits: Sequence[Sequence[int]],
    faces: np.ndarray,
    has_face: np.ndarray,
    bodies: Sequence[np.ndarray],
    frames: Sequence[str],
    shots: Sequence[float] | None,
    impostors: tuple[float, float],
    recipe: Any,
) -> dict[str, np.ndarray]:
    """The recipe ``best``, written down plainly from its docstrings.

    Args:
        portraits: for each of p people the rows of ``faces`` that are portraits to go by.
        faces: portraits, then n candidates.
        has_face: (n,) bool.
        bodies: of each model (n, d).
        frames: n names.
        shots: n numbers, NaN where unknown, or None.
        impostors: mean and standard deviation of the cosines of different people's faces.
        recipe: an object with the recipe's constants as attributes.

    Returns:
        (p, n) ``log_odds``, ``probability`` and the evidence by ``face``, ``body``, ``time`` and ``frame``.
    """
    n, people = len(frames), range(len(portraits))
    portrait = [np.sum([unit(faces)[row] for row in rows], axis=0) for rows in portraits]
    own_face = unit(faces)[-n:]
    prior = (1 - recipe.others) / len(portraits)

    def face_evidence(probability: np.ndarray | None) -> np.ndarray:
        found = np.zeros((len(portraits), n))
        for person in people:
            joining = [
                box
                for box in range(n)
                if probability is not None and has_face[box] and probability[person, box] >= recipe.sure
            ]
            for box in np.flatnonzero(has_face):
                template = recipe.portrait_weight * portrait[person]
                for other in joining:
                    if other != box:
                        template = template + probability[person, other] * own_face[other]
                z = (template @ own_face[box] / np.linalg.norm(template) - impostors[0]) / impostors[1]
                telling = np.exp(min(recipe.face_slope * (z - recipe.face_middle), recipe.face_most))
                found[person, box] = np.log((1 - recipe.useless) * telling + recipe.useless)
        return found

    def shares(evidence: np.ndarray) -> np.ndarray:
        """(p, n) probabilities by Bayes' rule, box by box."""
        weight = prior * np.exp(evidence)
        return weight / (weight.sum(axis=0) + recipe.others)

    def believe(evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(p, n) probabilities, and what the boxes beside add to the evidence."""
        beside = np.zeros_like(evidence)
        for _ in range(recipe.frame_sweeps):
            weight, odds = prior * np.exp(evidence + beside), np.zeros_like(evidence)
            for person in people:
                rest = np.delete(weight, person, axis=0).sum(axis=0) + recipe.others
                odds[person] = np.minimum(prior * np.exp(evidence[person]) / rest, 1e6)
            for box in range(n):
                others = [other for other in range(n) if other != box and frames[other] == frames[box]]
                beside[:, box] = -np.log(1 + odds[:, others].sum(axis=1))
        return shares(evidence + beside), beside

    face = face_evidence(None)
    probability, beside = believe(face)
    for _ in range(recipe.template_rounds):
        face = face_evidence(probability)
        probability, beside = believe(face)
    body = time = np.zeros_like(face)
    if recipe.vote_power:
        sure = (probability >= recipe.sure) & has_face
        links = links_of(own_face, has_face, bodies, frames, shots, impostors, recipe)
        fit = fitted_kernel(links, probability, sure, recipe)
        for _ in range(recipe.vote_rounds - 1):
            probability, _ = believe(face + votes(links, "body time face", *fit, probability, recipe))
            if recipe.template_rounds:
                face = face_evidence(probability)
        body = recipe.vote_power * votes(links, "body face", *fit, probability, recipe)
        time = recipe.vote_power * votes(links, "body time face", *fit, probability, recipe) - body
        probability, beside = believe(face + body + time)

    logit = recipe.scale * (np.log(prior) + face + body + time + beside)
    weight, nobody = np.exp(logit), np.exp(recipe.scale * np.log(recipe.others) + recipe.shift)
    rest = np.stack([np.delete(weight, person, axis=0).sum(axis=0) + nobody for person in people])
    above = np.zeros(len(portraits))
    for person in people if has_face.any() else ():
        likeliest = max(np.flatnonzero(has_face), key=lambda box: weight[person, box] / rest[person, box])
        cosine = portrait[person] @ own_face[likeliest] / np.linalg.norm(portrait[person])
        above[person] = (cosine - impostors[0]) / impostors[1] - np.sqrt(2 * np.log(has_face.sum()))
    log_odds = np.log(weight / rest)
    backed = recipe.presence_backing * log_odds.max(axis=1)
    present = 1 / (1 + np.exp(-recipe.presence_odds - recipe.presence_slope * above - backed))
    return {
        "log_odds": log_odds,
        "probability": np.where(present < 0.5, present, 1)[:, None] * weight / (weight + rest),
        "face": face,
        "body": body,
        "time": time,
        "frame": beside,
    }


def whitened(bodies: np.ndarray, recipe: Any) -> np.ndarray:
    """Unit rows whose leading principal directions are shortened."""
    n, width = bodies.shape
    variance, directions = np.linalg.eigh(bodies.T @ bodies / n)
    count = min(recipe.directions, width, n - 1)
    if count < 1 or not recipe.whitening:
        return bodies
    leading, rest = variance[::-1][:count], variance[::-1][count:]
    within = np.append(leading, rest.mean() if len(rest) else 0)
    shrunk = (1 - recipe.shrinkage) * within + recipe.shrinkage * np.trace(bodies.T @ bodies / n) / width
    out = bodies.copy()
    for direction, own in zip(directions.T[::-1], shrunk[:-1], strict=False):
        along = bodies @ direction
        out += np.outer(along * ((own / shrunk[-1]) ** (-recipe.whitening / 2) - 1), direction)
    return unit(out)


Link = dict[str, float]  # likeness of the bodies, and log weights by time and by faces


def links_of(
    faces: np.ndarray,
    has_face: np.ndarray,
    bodies: Sequence[np.ndarray],
    frames: Sequence[str],
    shots: Sequence[float] | None,
    impostors: tuple[float, float],
    recipe: Any,
) -> list[dict[int, Link]]:
    """For each of n boxes the boxes that speak for it."""
    n = len(frames)
    joined = whitened(unit(np.concatenate([unit(some) for some in bodies], axis=1)), recipe)
    cosine = cosines(joined, joined)
    pairs = [cosine[i, j] for i in range(n) for j in range(n) if i != j]
    mean, sd = (round(np.mean(pairs), 6), round(max(np.std(pairs), 1e-3), 6)) if pairs else (0, 1)
    links = []
    for box in range(n):
        to: dict[int, Link] = {}
        for other in range(n):
            if frames[other] == frames[box]:
                continue
            link = {"body": (cosine[box, other] - mean) / sd, "time": 0.0, "face": 0.0}
            if shots is not None and np.isfinite(shots[box] - shots[other]):
                link["time"] = recipe.time_most * np.exp(-abs(shots[box] - shots[other]) / recipe.time_shots)
            if has_face[box] and has_face[other]:
                z = (faces[box] @ faces[other] - impostors[0]) / impostors[1]
                link["face"] = min(max(recipe.link_slope * (z - recipe.link_middle), 0), recipe.link_most)
            to[other] = link
        strength = {other: recipe.body_slope * link["body"] + link["time"] + link["face"] for other, link in to.items()}
        strongest = sorted(to, key=lambda other: (-strength[other], other))[: recipe.neighbours]
        links.append({other: to[other] for other in strongest})
    return links


def votes(
    links: Sequence[dict[int, Link]], counting: str, slope: float, unlike: float, probability: np.ndarray, recipe: Any
) -> np.ndarray:
    """(p, n) log of the vote over the prior, by the ``counting`` parts of the links."""
    n, prior = len(links), (1 - recipe.others) / len(probability)
    log_nobody = slope**2 / 2 + np.log(n) + unlike
    ratio = np.zeros_like(probability)
    for box, to in enumerate(links):
        strength = {
            other: sum(
                min(link[part], recipe.body_most) * slope if part == "body" else link[part] for part in counting.split()
            )
            for other, link in to.items()
        }
        largest = max([log_nobody, *strength.values()])
        total = np.exp(log_nobody - largest) + sum(np.exp(value - largest) for value in strength.values())
        vote = np.exp(log_nobody - largest) / total * prior
        for other, value in strength.items():
            vote = vote + np.exp(value - largest) / total * probability[:, other]
        vote = (1 - recipe.unknown_share) * vote + recipe.unknown_share * prior
        ratio[:, box] = np.log(vote / prior)
    return ratio


def fitted_kernel(
    links: Sequence[dict[int, Link]], probability: np.ndarray, sure: np.ndarray, recipe: Any
) -> tuple[float, float]:
    """Slope, and log odds that nobody resembles a box, by which bodies and time predict the ``sure`` (p, n) best."""
    gain = {}
    for slope in recipe.body_slopes:
        for unlike in recipe.unlike:
            weight = np.exp(votes(links, "body time", slope, unlike, probability, recipe))
            weight *= (1 - recipe.others) / len(probability)
            predicted = weight / (weight.sum(axis=0) + recipe.others)
            total = -recipe.surprise * (abs(unlike - recipe.unlike[0]) + abs(np.log(slope / recipe.body_slopes[0])))
            for person in np.flatnonzero(sure.any(axis=1)):
                own = np.log(predicted[person, sure[person]] + 1e-3) + recipe.caution * unlike
                total += own.sum() / np.sqrt(len(own))
            gain[slope, unlike] = total
    return max(gain, key=gain.__getitem__)
