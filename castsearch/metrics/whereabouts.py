"""To which movie casts and candidates belong: by the split, or by their ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


class _Movie(Protocol):
    """What ``annotations.Movie`` and ``stagefiles.MoviePictures`` have."""

    @property
    def name(self) -> str: ...
    @property
    def cast(self) -> Sequence[_Identified]: ...
    @property
    def candidates(self) -> Sequence[_Identified]: ...


@dataclass(frozen=True)
class Whereabouts:
    """What is known of movies.

    Attributes:
        casts: the movie of each cast. By ids: of each cast that has labels, or none where one of them does not tell.
        candidates: of each movie, all that it has; None where the split is not known, but ids alone.
    """

    casts: Mapping[str, str]
    candidates: Mapping[str, frozenset[str]] | None = None

    def of_candidates(self, ids: Collection[str]) -> dict[str, str]:
        """The movies of candidates; those of which nobody knows it are left out."""
        if self.candidates is not None:
            return {one: self._movies[one] for one in ids if one in self._movies}
        found = ((one, _named_in(one, self._names)) for one in ids)
        return {one: movie for one, movie in found if movie is not None}

    @cached_property
    def _movies(self) -> dict[str, str]:
        return {one: movie for movie, own in (self.candidates or {}).items() for one in own}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.casts.values())


def _named_in(identity: str, names: Collection[str]) -> str | None:
    """The longest of the names that an id begins with, an underscore behind it.

    >>> _named_in("my_film_0012", {"my", "my_film"}), _named_in("your_film_1", {"my"})
    ('my_film', None)
    """
    start, _, _ = identity.rpartition("_")
    while start:
        if start in names:
            return start
        start, _, _ = start.rpartition("_")
    return None


def by_split(movies: Iterable[_Movie], people: Collection[str] | None = None) -> Whereabouts:
    """What a split's annotations, or its stage files, tell.

    Args:
        movies: of the split.
        people: ids of those portraits that stand for a person, see ``annotations.person_ids``; by default all do.
    """
    movies = list(movies)
    casts = {cast.id: movie.name for movie in movies for cast in movie.cast}
    return Whereabouts(
        {cast: movie for cast, movie in casts.items() if people is None or cast in people},
        {movie.name: frozenset(candidate.id for candidate in movie.candidates) for movie in movies},
    )


def by_ids(labels: Mapping[str, Sequence[str]]) -> Whereabouts:
    """What ids tell that are made as the challenge makes them, ``MOVIE_cast`` and ``MOVIE_candidate``.

    A cast's movie is all that its id and those of its true candidates begin with alike, up to an underscore. Ids are
    free words: where those of one cast have no such beginning, ids tell nothing of any.

    >>> by_ids({"tt0281358_nm0314514": ["tt0281358_0001", "tt0281358_0012"]}).casts
    {'tt0281358_nm0314514': 'tt0281358'}
    >>> by_ids({"tt0281358_nm0314514": ["tt0281358_0001"], "ann": ["0001"]}).casts
    {}
    """
    casts = {}
    for cast, true in labels.items():
        if true:
            first, last = min(true), max(true)  # what these two begin with, all begin with
            movie, _, _ = cast.rpartition("_")
            while movie and not (first.startswith(f"{movie}_") and last.startswith(f"{movie}_")):
                movie, _, _ = movie.rpartition("_")
            if not movie:
                return Whereabouts({})
            casts[cast] = movie
    return Whereabouts(casts)
