"""Whose track is whose: one decision for all pictures of a track.

1. Faces: the cosine of a track's mean face and a person's portraits is evidence for the person, as in
   ``castsearch.ranking.best``; of a track whose faces are poor it says little against anybody.
2. People: evidence becomes probabilities of each person and of nobody of the cast. Who is seen at the same time is not
   the same (belief propagation), and how often each is there at all is learnt from the film (expectation maximisation).
3. Surely named tracks join the portraits, and lend their clothes to tracks near in time: a track is the likelier theirs
   the more its body resembles them, by the scatter of bodies in this film. Only sure ones do: what is loosely seeded is
   carried astray by clothes.

2 and 3 go on for some rounds. What somebody decided is certain all the while: confirmed tracks lend faces and clothes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from castsearch.movies.scanned import Scan
from castsearch.movies.tracks import Track
from castsearch.ranking import Impostors
from castsearch.ranking.best.faces import evidence, presence
from castsearch.ranking.best.people import CERTAIN, posterior
from castsearch.ranking.best.recipe import Recipe

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """What weighs how much; docs/films.md tells what these were chosen on.

    Attributes:
        recipe: evidence of a face and of presence.
        spread: how much wider the cosines of tracks of different people scatter than those of faces: the mean of good
            faces is more like anybody.
        poor: share of tracks with poor faces only whose faces tell nothing.
        others: share of tracks that are nobody's of the cast, before the film is seen.
        pseudo: tracks that this counts for.
        sure: probability from which a track's faces join the portraits.
        seed: probability from which a track lends its clothes.
        portraits: tracks that the portraits count for.
        clothes_slope, clothes_middle, clothes_most: evidence of bodies is the slope times what their likeness lies
            above the middle, both in standard deviations of different people's in the film, up to the most.
        same_clothes: probability that somebody near in time wears what they are known in.
        best: tracks of a person that are compared: the likest.
        among_many: standard deviations that the middle rises by where the likest are of many.
        near: shots within which clothes tell.
        most_near: tracks, likewise.
        person: median score of the person detector from which a track without a good face is somebody's.
        rounds: how often.
        sweeps: how often those who are seen at the same time are told apart.
    """

    recipe: Recipe = field(default_factory=Recipe)
    spread: float = 1.25
    poor: float = 0.7
    others: float = 0.5
    pseudo: float = 4.0
    sure: float = 0.9
    seed: float = 0.8
    portraits: float = 2.0
    clothes_slope: float = 2.0
    clothes_middle: float = 1.2
    clothes_most: float = 6.0
    same_clothes: float = 0.9
    best: int = 3
    among_many: float = 0.5
    near: int = 20
    most_near: int = 400
    person: float = 0.5
    rounds: int = 8
    sweeps: int = 3


TRUST = Trust()
PAIRS, SEED = 20_000, 0  # pairs of tracks by which the scatter of bodies is told
LEAST_SCATTER = 0.02  # of cosines of bodies
NO_FACE = 1e-6  # square of the length of a template that holds none; one face that joined has 0.8
NORMAL = 1.4826  # standard deviations of a normal distribution in a median distance from its middle


@dataclass(frozen=True)
class Named:
    """What is believed of p people and n tracks.

    Attributes:
        probability: (p, n) that the track shows the person.
        face, body: (p, n) what either tells for the person, log likelihood ratios.
        present: (p,) probability that the person is in the film at all.
    """

    probability: F64
    face: F64
    body: F64
    present: F64


class Apart:
    """Tracks that are two people; see ``castsearch.ranking.best.people.Company``.

    Args:
        n: tracks.
        pairs: numbers of two.
    """

    def __init__(self, n: int, pairs: Sequence[tuple[int, int]]) -> None:
        one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        rows, columns = np.append(one, other), np.append(other, one)
        self.table = csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))

    def sums_beside(self, values: F64) -> F64:
        """See ``Company``."""
        return values @ self.table

    def beside(self, track: int) -> npt.NDArray[np.integer]:
        """Those who are somebody else than that track."""
        return self.table.indices[self.table.indptr[track] : self.table.indptr[track + 1]]


def name_tracks(
    scan: Scan,
    portraits: Sequence[npt.NDArray[np.float32]],
    impostors: Impostors,
    trust: Trust = TRUST,
    said: npt.NDArray[np.int8] | None = None,
) -> Named:
    """Name the tracks of a film.

    Args:
        scan: the tracks.
        portraits: for each of p people the features of the portraits, (m, d) rows of unit length.
        impostors: cosines of different people's faces, of the same embedder.
        trust: what weighs how much.
        said: (p, n) what somebody who looked knows: 1 where a track shows a person, -1 where it does not, else 0.
    """
    p, n = len(portraits), len(scan.tracks)
    if not p or not n:
        nothing = np.zeros((p, n))
        return Named(nothing, nothing, nothing, np.zeros(p))
    apart = Apart(n, scan.apart)
    said = np.zeros((p, n), np.int8) if said is None else said
    beside = apart.sums_beside((said > 0).astype(np.float64)) > 0
    said = np.where(beside & (said == 0), -1, said)  # nobody is twice in a picture, unless somebody says so
    confirmed: npt.NDArray[np.bool_] = np.any(said > 0, axis=0)
    faces = _Faces(scan.tracks, portraits, impostors, trust, confirmed)
    clothes = _Clothes(scan.tracks, apart, trust)
    usable = np.array([track.good or _score(track) >= trust.person for track in scan.tracks]) | confirmed
    face, body = faces.evidence(np.zeros((p, n))), np.zeros((p, n))
    shares = np.append(np.full(p, (1 - trust.others) / p), trust.others)
    usual = shares.copy()
    for _ in range(trust.rounds):
        prior = np.log(shares[:-1] / usual[:-1]) - np.log(shares[-1] / usual[-1])
        # What is hardly a person is nobody: it takes nobody's place among those who are seen at the same time, either.
        told = np.where(usable, face + body + prior[:, None] + CERTAIN * said, -np.inf)
        believed = posterior(told, trust.others, apart, trust.sweeps)
        probability = believed.probability
        named = probability.sum(axis=1)
        shares = (np.append(named, usable.sum() - named.sum()) + trust.pseudo * usual) / (usable.sum() + trust.pseudo)
        face = faces.evidence(np.where(probability >= trust.sure, probability, 0))
        body = clothes.evidence(probability)
    present = np.where((said > 0).any(axis=1), 1, faces.presence(believed.log_odds()))
    return Named(probability, face, body, present)


def _score(track: Track) -> float:
    return float(np.median([seen.score for seen in track.sightings]))


class _Faces:
    """Evidence of the tracks' mean faces."""

    def __init__(
        self,
        tracks: Sequence[Track],
        portraits: Sequence[npt.NDArray[np.float32]],
        impostors: Impostors,
        trust: Trust,
        confirmed: npt.NDArray[np.bool_],
    ) -> None:
        self._trust = trust
        self._impostors = replace(impostors, sd=min(1.0, trust.spread * impostors.sd))
        self._portraits = trust.portraits * _unit(np.stack([some.mean(axis=0) for some in portraits]))
        self._has = np.array([len(track.faces) > 0 for track in tracks])
        self._good = np.array([track.good for track in tracks])
        self._lending = self._good | confirmed
        self._faces = np.zeros((len(tracks), self._portraits.shape[1]))
        for row in np.flatnonzero(self._has).tolist():
            self._faces[row] = _unit(tracks[row].faces.mean(axis=0))

    def evidence(self, sure: F64) -> F64:
        """(p, n) log likelihood ratios.

        Args:
            sure: (p, n) probabilities of the tracks that join the portraits, 0 for the others; none speaks for itself.
        """
        cosines, compared = self._cosines(np.where(self._lending, sure, 0))
        recipe = self._trust.recipe
        good = evidence(cosines, self._impostors, recipe)
        poor = evidence(cosines, self._impostors, replace(recipe, useless=self._trust.poor))
        return np.where(self._has & compared, np.where(self._good, good, poor), 0)

    def presence(self, log_odds: F64) -> F64:
        """(p,) probability that a person is in the film at all; ``log_odds`` (p, n) of the tracks."""
        cosines, _ = self._cosines(np.zeros_like(log_odds))
        return presence(self._impostors.standardised(cosines[:, self._has]), log_odds, self._has, self._trust.recipe)

    def _cosines(self, joined: F64) -> tuple[F64, npt.NDArray[np.bool_]]:
        """(p, n) of each person's portraits, joined by these tracks but the one itself, and the tracks.

        And whether there is anything to compare with: who was only confirmed may be known without a face.
        """
        template = self._portraits + joined @ self._faces
        product = template @ self._faces.T
        square = np.square(template).sum(axis=1, keepdims=True) - 2 * joined * product + joined**2
        return (product - joined) / np.sqrt(np.maximum(square, np.finfo(np.float32).tiny)), square > NO_FACE


class _Clothes:
    """Evidence of bodies that are near in time."""

    def __init__(self, tracks: Sequence[Track], apart: Apart, trust: Trust) -> None:
        self._trust = trust
        bodies = np.stack([track.body for track in tracks]).astype(np.float64)
        shots = np.array([track.shot for track in tracks])
        middle, scatter = scatter_of(bodies)
        n = len(tracks)
        width = min(n - 1, trust.most_near)
        # Tracks are in the order of shots, so that those near in time are those near in number.
        first = np.clip(np.arange(n) - width // 2, 0, max(n - 1 - width, 0))
        self._near = first[:, None] + np.arange(width + 1)
        self._likeness = np.empty(self._near.shape)
        for row, near in enumerate(self._near):
            some = slice(near[0], near[-1] + 1)
            self._likeness[row] = (bodies[some] @ bodies[row] - middle) / scatter
            told = np.abs(shots[some] - shots[row]) <= trust.near
            told &= ~np.isin(near, np.append(apart.beside(row), row))
            self._likeness[row, ~told] = -np.inf

    def evidence(self, probability: F64) -> F64:
        """(p, n) log likelihood ratios; ``probability`` (p, n) of the tracks."""
        return np.stack([self._of_person(row) for row in probability])

    def _of_person(self, probability: F64) -> F64:
        trust, likeness = self._trust, self._to(np.flatnonzero(probability >= self._trust.seed))
        many = np.isfinite(likeness).sum(axis=1)
        best = -np.sort(-likeness, axis=1)[:, : trust.best]
        taken = np.maximum(np.minimum(many, trust.best), 1)
        mean = np.where(np.isfinite(best), best, 0).sum(axis=1) / taken
        middle = trust.clothes_middle + trust.among_many * np.sqrt(2 * np.log(np.maximum(many / taken, 1)))
        ratio = np.minimum(trust.clothes_slope * (mean - middle), trust.clothes_most)
        told = np.logaddexp(np.log(1 - trust.same_clothes), np.log(trust.same_clothes) + ratio)
        return np.where(many > 0, told, 0)

    def _to(self, lenders: npt.NDArray[np.intp]) -> F64:
        """(n, m) likenesses of each track to the lenders near it, of which there are m at most; the rest -inf.

        Of a long film a person lends few of the tracks that are near, and to sort them all would take minutes.
        """
        begin = np.searchsorted(lenders, self._near[:, 0])
        end = np.searchsorted(lenders, self._near[:, -1], side="right")
        place = begin[:, None] + np.arange((end - begin).max(initial=0))
        there = place < end[:, None]
        column = lenders[np.where(there, place, begin[:, None]).clip(max=len(lenders) - 1)] - self._near[:, :1]
        likeness = np.take_along_axis(self._likeness, column.clip(0, self._near.shape[1] - 1), axis=1)
        return np.where(there, likeness, -np.inf)


def scatter_of(bodies: F64) -> tuple[float, float]:
    """The median of the cosines of two tracks' bodies, and the scatter about it.

    Most pairs are of different people. The scatter is that of the lower half, where nobody is compared with themselves.

    Args:
        bodies: (n, d) rows of unit length.
    """
    n = len(bodies)
    if n < 2:
        return 0.0, 1.0
    first = np.append(0, np.cumsum(np.arange(n - 1, 0, -1)))  # the number of each one's first pair
    count = n * (n - 1) // 2
    pairs = np.random.default_rng(SEED).choice(count, PAIRS, replace=False) if count > PAIRS else np.arange(count)
    one = np.searchsorted(first, pairs, side="right") - 1
    other = pairs - first[one] + one + 1
    cosines = np.einsum("ij,ij->i", bodies[one], bodies[other])
    middle = float(np.median(cosines))
    scatter = NORMAL * float(np.median(middle - cosines[cosines <= middle]))
    return middle, max(scatter, LEAST_SCATTER)


def _unit(rows: np.ndarray) -> F64:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float64)
