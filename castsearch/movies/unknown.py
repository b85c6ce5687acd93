"""People who are nobody of the cast: their tracks, put together, so that they can be given a name.

1. Tracks with good faces are grouped by them, by average linkage: the cosines of two groups' mean faces must be, on
   average, so many standard deviations above those of different people.
2. Others join the group whose clothes near in time resemble theirs. They lend nobody their own: what is put together by
   clothes alone is carried astray by them.

Two tracks that are seen at the same time never come together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, vstack
from scipy.sparse.csgraph import connected_components

from castsearch.movies.naming import Apart, scatter_of
from castsearch.movies.scanned import Scan
from castsearch.movies.tracks import Track
from castsearch.ranking import Impostors

F64 = npt.NDArray[np.float64]

_NEVER = 4.0  # distance of tracks that are two people; cosine distances end at 2
_BLOCK = 256  # tracks that are compared with all others at once
_ROUNDING = 1e-9  # of distances: too many pairs hold a part together rather than too few


@dataclass(frozen=True)
class Likeness:
    """What makes tracks one unknown person's.

    Attributes:
        face: least cosine of mean faces, on average over two groups, in standard deviations above that of different
            people. To leave somebody in two groups is better than to mix two people: of 74 film stills of six people,
            each taken for a track, 3.5 puts the first one wrong with the pack ``open``, 2.5 with MobileFaceNet; two
            tracks of different people in a clip reach 4.2.
        clothes: least mean cosine of a track's body and the likest of a group's, in standard deviations above that of
            different people in this film.
        best: how many of the likest.
        near: shots within which clothes tell.
        least: seconds that somebody must be seen for to count.
    """

    face: float = 5.0
    clothes: float = 3.0
    best: int = 3
    near: int = 20
    least: float = 1.0


LIKENESS = Likeness()


@dataclass(frozen=True)
class Unknown:
    """Somebody who is nobody of the cast.

    Attributes:
        name: ``unknown-1`` is seen longest.
        tracks: numbers of the tracks, ascending.
        portrait: number of the track, and of the sighting in it, that shows the face best.
    """

    name: str
    tracks: tuple[int, ...]
    portrait: tuple[int, int]


def cluster_unknown(
    scan: Scan, nobody: Sequence[int], impostors: Impostors, likeness: Likeness = LIKENESS
) -> list[Unknown]:
    """Put the tracks of unknown people together.

    Of n tracks with good faces that all resemble each other somehow it takes some 30 n² bytes; of a film's people, who
    do not, far less.

    Args:
        scan: of the film.
        nobody: numbers of the tracks that are nobody's of the cast.
        impostors: cosines of different people's faces, of the same embedder.
        likeness: what makes tracks one person's.

    Returns:
        Those who are seen for long enough and show a good face, the longest seen first. The other tracks are left out.
    """
    tracks, faced = scan.tracks, [track for track in sorted(set(nobody)) if scan.tracks[track].good]
    apart = Apart(len(tracks), scan.apart)
    foes = [set(apart.beside(track).tolist()) for track in range(len(tracks))]  # of each those who are somebody else
    groups = _by_faces(tracks, faced, foes, 1 - (impostors.mean + likeness.face * impostors.sd))
    _add_by_clothes(tracks, sorted(set(nobody) - set(faced)), groups, foes, likeness)
    lasting = {tuple(sorted(group)): sum(tracks[track].stretch.duration for track in group) for group in groups}
    ordered = sorted((group for group in lasting if lasting[group] >= likeness.least), key=lambda g: (-lasting[g], g))
    return [Unknown(f"unknown-{number}", g, _portrait(tracks, g)) for number, g in enumerate(ordered, start=1)]


def _by_faces(
    tracks: Sequence[Track], faced: Sequence[int], foes: Sequence[set[int]], farthest: float
) -> list[set[int]]:
    """Groups of tracks by average linkage of their faces' cosine distances, up to ``farthest``.

    A merge that would bring foes together is left out, and so are those that build on it. Of two groups that meet some
    pair is as near as that: so each part of the tracks that such pairs hold together is a matter of its own, and of a
    long film no table of all pairs is needed.
    """
    faces = np.stack([_mean_face(tracks[track]) for track in faced]) if faced else np.zeros((0, 1))
    groups: list[set[int]] = []
    for part in _parts(faces, farthest):
        groups += _of_part([faced[row] for row in part], faces[part], foes, farthest)
    return groups


def _mean_face(track: Track) -> F64:
    mean: F64 = track.faces.mean(axis=0, dtype=np.float64)
    return mean / max(float(np.linalg.norm(mean)), float(np.finfo(np.float32).tiny))


def _parts(faces: F64, farthest: float) -> list[npt.NDArray[np.intp]]:
    """Rows of faces that pairs no farther than that hold together, each part ascending, by their first."""
    near = [
        coo_array(faces[start : start + _BLOCK] @ faces.T >= 1 - farthest - _ROUNDING)
        for start in range(0, len(faces), _BLOCK)
    ]
    if not near:
        return []
    _, part = connected_components(vstack(near), directed=False)
    order = np.argsort(part, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(part[order])) + 1)


def _of_part(part: Sequence[int], faces: F64, foes: Sequence[set[int]], farthest: float) -> list[set[int]]:
    """The groups of a part."""
    if len(part) < 2:
        return [{track} for track in part]
    from sklearn.cluster import AgglomerativeClustering

    tree = AgglomerativeClustering(n_clusters=None, distance_threshold=0, metric="precomputed", linkage="average")
    tree.fit(_distances(part, faces, foes))
    nodes: list[set[int] | None] = [{track} for track in part]
    whole: dict[int, set[int]] = {node: {track} for node, track in enumerate(part)}
    for (one, other), distance in zip(tree.children_.tolist(), tree.distances_.tolist(), strict=True):
        left, right = nodes[one], nodes[other]
        if left is None or right is None or distance > farthest or any(foes[track] & right for track in left):
            nodes.append(None)
            continue
        nodes.append(left | right)
        whole[len(nodes) - 1] = left | right
        del whole[one], whole[other]
    return list(whole.values())


def _distances(part: Sequence[int], faces: F64, foes: Sequence[set[int]]) -> F64:
    """(n, n) cosine distances of the tracks' faces; foes are farther from each other than any."""
    distances = 1 - faces @ faces.T
    place = {track: row for row, track in enumerate(part)}
    for track, row in place.items():
        distances[row, [place[foe] for foe in foes[track] if foe in place]] = _NEVER
    np.fill_diagonal(distances, 0)
    return np.clip(distances, 0, None)


def _add_by_clothes(
    tracks: Sequence[Track], faceless: Sequence[int], groups: list[set[int]], foes: Sequence[set[int]], wanted: Likeness
) -> None:
    """Put tracks into the groups that they resemble most, the likest first."""
    if not faceless or not groups:
        return
    bodies = np.stack([track.body for track in tracks]).astype(np.float64)
    shots = np.array([track.shot for track in tracks])
    middle, scatter = scatter_of(bodies)
    found = []
    for number, group in enumerate(groups):
        members = np.array(sorted(group))
        likeness = (bodies[list(faceless)] @ bodies[members].T - middle) / scatter
        near = np.abs(shots[list(faceless), None] - shots[members]) <= wanted.near
        best = -np.sort(-np.where(near, likeness, -np.inf), axis=1)[:, : wanted.best]
        known = np.isfinite(best)
        mean = np.where(known, best, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        for row in np.flatnonzero(known.any(axis=1) & (mean >= wanted.clothes)).tolist():
            found.append((-float(mean[row]), faceless[row], number))
    joined: set[int] = set()
    for _, track, number in sorted(found):
        if track not in joined and not foes[track] & groups[number]:
            groups[number].add(track)
            joined.add(track)


def _portrait(tracks: Sequence[Track], group: Sequence[int]) -> tuple[int, int]:
    """The sighting whose face is large, and like the group's faces on the whole."""
    shown = [(track, place) for track in group if tracks[track].good for place in range(len(tracks[track].faces))]
    faces = np.stack([tracks[track].faces[place] for track, place in shown]).astype(np.float64)
    likeness = faces @ faces.mean(axis=0)
    sides = np.array([_side(tracks[track], place) for track, place in shown])
    track, place = shown[int(np.argmax(np.maximum(likeness, 0) * sides))]
    return track, tracks[track].faces_of[place]


def _side(track: Track, place: int) -> float:
    """Pixels that a face is wide or high, whichever is less."""
    face = track.sightings[track.faces_of[place]].face
    return 0.0 if face is None else float(min(face[2:] - face[:2]))
