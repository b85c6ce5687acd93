"""Names of tracks by loops, written from what ``castsearch.movies.naming`` says of itself; slow, and plain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from castsearch.movies.naming import LEAST_SCATTER, NORMAL, Trust
from castsearch.movies.scanned import Scan
from castsearch.movies.tracks import Track
from castsearch.ranking import Impostors

Table = list[list[float]]  # a row for each person, a number for each track
NEVER = -math.inf


def named_by_loops(
    scan: Scan, portraits: Sequence[np.ndarray], impostors: Impostors, trust: Trust
) -> tuple[Table, Table, Table, list[float]]:
    """Probability, evidence of faces, evidence of bodies, and presence, as of ``name_tracks``."""
    tracks, p, n = scan.tracks, len(portraits), len(scan.tracks)
    usable = [track.good or _median([seen.score for seen in track.sightings]) >= trust.person for track in tracks]
    usual = [(1 - trust.others) / p] * p + [trust.others]
    shares, joined = usual, [[0.0] * n for _ in range(p)]
    face, body = _face_table(tracks, portraits, impostors, trust, joined), [[0.0] * n for _ in range(p)]
    probability: Table = []
    for _ in range(trust.rounds):
        weight = [[NEVER] * n for _ in range(p)]
        for i in range(p):
            prior = math.log(shares[i] / usual[i]) - math.log(shares[p] / usual[p])
            for k in range(n):
                if usable[k]:
                    weight[i][k] = math.log((1 - trust.others) / p) + prior + face[i][k] + body[i][k]
        weight, probability = _told_apart(weight, scan.apart, trust)
        count = sum(usable)
        sums = [sum(row) for row in probability]
        sums.append(count - sum(sums))
        shares = [(s + trust.pseudo * u) / (count + trust.pseudo) for s, u in zip(sums, usual, strict=True)]
        joined = [[q if q >= trust.sure else 0.0 for q in row] for row in probability]
        face = _face_table(tracks, portraits, impostors, trust, joined)
        body = [[_clothes(scan, row, k, trust) for k in range(n)] for row in probability]
    return probability, face, body, _presence(tracks, portraits, impostors, trust, weight)


def _face_table(
    tracks: Sequence[Track], portraits: Sequence[np.ndarray], impostors: Impostors, trust: Trust, joined: Table
) -> Table:
    """Of a track without a face 0; of one with poor faces ``trust.poor`` bounds what it says against somebody."""
    table = []
    for own, row in zip(portraits, joined, strict=True):
        told = []
        for k, track in enumerate(tracks):
            if not len(track.faces):
                told.append(0.0)
                continue
            z = (_cosine(tracks, own, row, k, trust) - impostors.mean) / min(1.0, trust.spread * impostors.sd)
            useless = trust.recipe.useless if track.good else trust.poor
            most = min(trust.recipe.face_slope * (z - trust.recipe.face_middle), trust.recipe.face_most)
            told.append(math.log((1 - useless) * math.exp(most) + useless))
        table.append(told)
    return table


def _cosine(tracks: Sequence[Track], own: np.ndarray, joined: Sequence[float], k: int, trust: Trust) -> float:
    """Of a track's mean face and the portraits, joined by sure tracks with good faces but the one itself."""
    template = trust.portraits * _unit(own.astype(float).mean(axis=0))
    for other, weight in enumerate(joined):
        if other != k and weight and tracks[other].good and len(tracks[other].faces):
            template = template + weight * _unit(tracks[other].faces.astype(float).mean(axis=0))
    return float(_unit(template) @ _unit(tracks[k].faces.astype(float).mean(axis=0)))


def _told_apart(weight: Table, apart: Sequence[tuple[int, int]], trust: Trust) -> tuple[Table, Table]:
    """Weights with what those beside add, and probabilities: nobody is two who are seen at the same time."""
    p, n = len(weight), len(weight[0])
    beside = [[0.0] * n for _ in range(p)]
    probability = _bayes(weight, trust)
    for _ in range(trust.sweeps):
        odds = [[0.0] * n for _ in range(p)]
        for i in range(p):
            for k in range(n):
                q = probability[i][k]
                odds[i][k] = min(q / max(1 - q, 1e-6) * math.exp(-beside[i][k]), 1e6)
        for i in range(p):
            for k in range(n):
                beside[i][k] = -math.log1p(sum(odds[i][b if a == k else a] for a, b in apart if k in (a, b)))
        moved = [[weight[i][k] + beside[i][k] for k in range(n)] for i in range(p)]
        probability = _bayes(moved, trust)
    return moved, probability


def _bayes(weight: Table, trust: Trust) -> Table:
    columns = []
    for column in zip(*weight, strict=True):
        parts = [math.exp(one) for one in column]
        columns.append([part / (sum(parts) + trust.others) for part in parts])
    return [list(row) for row in zip(*columns, strict=True)]


def _clothes(scan: Scan, probability: Sequence[float], k: int, trust: Trust) -> float:
    """What the surely named tracks near in time, of which none is seen beside, say of a track's clothes."""
    tracks = scan.tracks
    middle, scatter = _scatter([track.body for track in tracks])
    likeness = []
    for other, q in enumerate(probability):
        foe = (other, k) in scan.apart or (k, other) in scan.apart
        near = abs(tracks[other].shot - tracks[k].shot) <= trust.near
        if other != k and q >= trust.seed and near and not foe:
            likeness.append((float(tracks[other].body.astype(float) @ tracks[k].body.astype(float)) - middle) / scatter)
    if not likeness:
        return 0.0
    best = sorted(likeness, reverse=True)[: trust.best]
    high = trust.clothes_middle + trust.among_many * math.sqrt(2 * math.log(len(likeness) / len(best)))
    ratio = min(trust.clothes_slope * (sum(best) / len(best) - high), trust.clothes_most)
    return math.log(1 - trust.same_clothes + trust.same_clothes * math.exp(ratio))


def _scatter(bodies: Sequence[np.ndarray]) -> tuple[float, float]:
    cosines = [float(one.astype(float) @ other.astype(float)) for one, other in combinations(bodies, 2)]
    if not cosines:
        return 0.0, 1.0
    middle = _median(cosines)
    return middle, max(NORMAL * _median([middle - one for one in cosines if one <= middle]), LEAST_SCATTER)


def _presence(
    tracks: Sequence[Track], portraits: Sequence[np.ndarray], impostors: Impostors, trust: Trust, weight: Table
) -> list[float]:
    """By the cosine of the portraits alone and the likeliest face, and by the odds of the likeliest track."""
    recipe, faced = trust.recipe, [k for k, track in enumerate(tracks) if len(track.faces)]
    nobody = [0.0] * len(tracks)
    present = []
    for i, own in enumerate(portraits):
        odds = []
        for k in range(len(tracks)):
            rest = trust.others + sum(math.exp(weight[j][k]) for j in range(len(portraits)) if j != i)
            odds.append(weight[i][k] - math.log(rest))
        beyond = 0.0
        if faced:
            likeliest = max(faced, key=odds.__getitem__)
            z = _cosine(tracks, own, nobody, likeliest, trust) - impostors.mean
            beyond = z / min(1.0, trust.spread * impostors.sd) - math.sqrt(2 * math.log(len(faced)))
        told = recipe.presence_odds + recipe.presence_slope * beyond + recipe.presence_backing * max(odds)
        present.append(0.0 if told == NEVER else 1 / (1 + math.exp(-told)))
    return present


def _median(numbers: Sequence[float]) -> float:
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _unit(row: np.ndarray) -> np.ndarray:
    length = math.sqrt(float(row @ row))
    return row / length if length else row
