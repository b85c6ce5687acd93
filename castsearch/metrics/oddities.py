"""What is odd about a submission and is scored all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from castsearch.metrics.whereabouts import Whereabouts


@dataclass(frozen=True)
class Oddities:
    """What a submission names or leaves out, beside what its ``Evaluation`` tells.

    Attributes:
        strangers: casts with a line of whom nobody knows; the line counts for nothing.
        unknown: ids in lines that are no candidate of the split, sorted; each counts as a miss. Empty where the split
            is not known: most candidates are in no label.
        elsewhere: of each cast whose line names candidates of another movie, how many; each counts as a miss.
        short: of each cast whose line has fewer candidates of its movie than the split, or where that is not known than
            the longest line of the movie: how many it has, and how many there are.
    """

    strangers: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    short: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def oddities(
    labels: Mapping[str, Sequence[str]], ranking: Mapping[str, Sequence[str]], whereabouts: Whereabouts
) -> Oddities:
    """Look through a submission. What the files at hand do not tell is not claimed.

    Args:
        labels: true candidates of each cast.
        ranking: candidates of each cast, best first.
        whereabouts: movies, as far as they are known.
    """
    known = labels if whereabouts.candidates is None else {**labels, **whereabouts.casts}
    unknown: set[str] = set()
    elsewhere: dict[str, int] = {}
    short: dict[str, tuple[int, int]] = {}
    for movie, casts in _casts_by_movie(ranking, whereabouts.casts).items():
        lines = {cast: set(ranking[cast]) for cast in casts}
        named: set[str] = set().union(*lines.values())
        movies = whereabouts.of_candidates(named)
        others = {one for one, its in movies.items() if its != movie}
        strangers = set() if whereabouts.candidates is None else named.difference(movies)
        unknown |= strangers
        if others:
            elsewhere |= {cast: len(line & others) for cast, line in lines.items() if not line.isdisjoint(others)}
        wrong = others | strangers
        own = {cast: len(line - wrong) if wrong else len(line) for cast, line in lines.items()}
        whole = max(own.values()) if whereabouts.candidates is None else len(whereabouts.candidates[movie])
        short |= {cast: (count, whole) for cast, count in own.items() if count < whole}
    return Oddities(tuple(cast for cast in ranking if cast not in known), tuple(sorted(unknown)), elsewhere, short)


def _casts_by_movie(ranking: Mapping[str, Sequence[str]], movies: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for cast in ranking:
        if cast in movies:
            members.setdefault(movies[cast], []).append(cast)
    return members
