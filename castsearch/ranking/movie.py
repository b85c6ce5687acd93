"""What is ranked: ids and features of one movie, or of a whole split, checked where they are put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castsearch.ranking.errors import RankingError
from castsearch.ranking.impostors import Impostors
from castsearch.ranking.unit import F32, as_features, bad_row, norms


@dataclass(frozen=True)
class Decided:
    """What somebody who looked at them knows of p people and n candidates.

    Attributes:
        said: (p, n) int8, 1 where the box shows the person, -1 where it does not, 0 where nobody looked.
        portraits: for each person numbers of candidates that count as portraits; they show the person.
        replaced: (p,) bool, whether these take the place of the person's portraits.

    Raises:
        RankingError: shapes do not fit, a box shows two people, or a portrait not the person.
    """

    said: npt.NDArray[np.int8]
    portraits: Sequence[npt.NDArray[np.int64]]
    replaced: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.said.ndim != 2 or self.said.dtype != np.int8 or (np.abs(self.said) > 1).any():
            raise RankingError(f"said must be (p, n) int8 of -1, 0 and 1, got {self.said.shape} {self.said.dtype}")
        if {len(self.portraits), len(self.replaced)} != {len(self.said)}:
            raise RankingError(
                f"expected {len(self.said)} portraits and replaced, got {len(self.portraits)} and {len(self.replaced)}"
            )
        if (twice := np.flatnonzero((self.said > 0).sum(axis=0) > 1)).size:
            raise RankingError(f"candidate number {twice[0]} shows two people")
        if any((row[own] <= 0).any() for row, own in zip(self.said, self.portraits, strict=True)):
            raise RankingError("a candidate that counts as a portrait must show the person")


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
        persons: whom each of the q portraits shows; portraits with the same name are of one person, who gets one
            ranking. By default each portrait shows somebody else.
        shots: (n,) float64 number of the shot that each candidate is from, in the film's order, NaN where it is not
            known; None where time tells nothing.
        impostors: cosines of the faces of different people; by default estimated where they are needed.
        decided: what is known of some boxes; None where nobody looked.

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
    persons: Sequence[str] | None = None
    shots: npt.NDArray[np.float64] | None = None
    impostors: Impostors | None = None
    decided: Decided | None = None

    def __post_init__(self) -> None:
        where, q, n = f"movie {self.name}", len(self.cast), len(self.candidates)
        for group, ids in (("cast", self.cast), ("candidates", self.candidates)):
            if len(set(ids)) < len(ids):
                twice = next(item for item, count in Counter(ids).items() if count > 1)
                raise RankingError(f"{where}: id {twice} stands among its {group} twice; ids must be unique")
        if len(self.frames) != n:
            raise RankingError(f"{where}: expected {n} frames, got {len(self.frames)}")
        if self.persons is not None and len(self.persons) != q:
            raise RankingError(f"{where}: expected {q} persons, one a portrait, got {len(self.persons)}")
        shots = None if self.shots is None else np.asarray(self.shots)
        if shots is not None and (shots.shape != (n,) or shots.dtype.kind not in "iuf" or np.isinf(shots).any()):
            raise RankingError(
                f"{where}: shots must be ({n},) finite numbers, NaN where unknown, got {shots.shape} {shots.dtype}"
            )
        if len(self.bodies) == 0:
            raise RankingError(f"{where}: expected the features of at least one body model")
        has_face = np.asarray(self.has_face)
        if has_face.shape != (q + n,) or has_face.dtype != bool:
            raise RankingError(f"{where}: has_face must be ({q + n},) bool, got {has_face.shape} {has_face.dtype}")
        if self.decided is not None and self.decided.said.shape != (len(self._portraits), n):
            raise RankingError(
                f"{where}: decided must be of {len(self._portraits)} people and {n} candidates, got "
                f"{self.decided.said.shape}"
            )
        bodies = tuple(
            self._checked("body", some, (n, q + n) if self.faces is not None else (q + n,)) for some in self.bodies
        )
        faces = None if self.faces is None else self._checked("face", self.faces, (q + n,))
        for name, value in (("has_face", has_face), ("bodies", bodies), ("faces", faces)):
            object.__setattr__(self, name, value)  # as arrays, whatever they came as
        object.__setattr__(self, "shots", None if shots is None else shots.astype(np.float64))

    @property
    def portraits(self) -> dict[str, list[str]]:
        """The ids of each person's portraits, by the first."""
        return {self.cast[own[0]]: [self.cast[portrait] for portrait in own] for own in self._portraits}

    @property
    def people(self) -> list[str]:
        """The p people who are looked for, each by the id of the first portrait."""
        return [self.cast[own[0]] for own in self._portraits]

    @property
    def telling_portraits(self) -> list[npt.NDArray[np.int64]]:
        """For each person the portraits to go by: those that show a face; where none does, all."""
        return [own[self.has_face[own]] if self.has_face[own].any() else own for own in self._portraits]

    @property
    def templates(self) -> list[npt.NDArray[np.int64]]:
        """For each person the rows of ``faces`` to go by: telling portraits, and decided ones that show a face.

        Beside these, portraits that were replaced or show no face do not count.
        """
        portraits = self.telling_portraits
        if self.decided is None:
            return portraits
        faces = [len(self.cast) + own for own in self.decided.portraits]
        faces = [own[self.has_face[own]] for own in faces]
        return [
            own if len(own) and (gone or not self.has_face[first].any()) else np.append(first, own)
            for first, own, gone in zip(portraits, faces, self.decided.replaced, strict=True)
        ]

    @property
    def _portraits(self) -> list[npt.NDArray[np.int64]]:
        numbers = _numbers(self.cast if self.persons is None else self.persons)
        by_person = np.argsort(numbers, kind="stable")
        return np.split(by_person, np.flatnonzero(np.diff(numbers[by_person])) + 1) if len(numbers) else []

    @property
    def frame_numbers(self) -> npt.NDArray[np.int64]:
        """(n,) number of the frame that each candidate is from."""
        return _numbers(self.frames)

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


def _numbers(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number for each different name, in the order of their first places."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
