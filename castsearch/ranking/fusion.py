"""The ranking of a movie, by the recipe that its settings name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from castsearch.ranking import best, original
from castsearch.ranking.errors import RankingError, RankingWarning
from castsearch.ranking.memory import spare_memory
from castsearch.ranking.movie import MovieFeatures
from castsearch.ranking.ranked import Ranked
from castsearch.ranking.settings import Settings
from castsearch.ranking.threads import Resources

RankedPeople = Iterable[tuple[str, Ranked]]
Progress = Callable[[RankedPeople], RankedPeople]


def rank(
    movie: MovieFeatures, settings: Settings | None = None, progress: Progress | None = None
) -> Iterator[tuple[str, Ranked]]:
    """Rank all candidates of a movie for each of its people.

    Args:
        movie: ids and features. Without ``faces`` the bodies take their place, and the last similarity ranks the rest.
        settings: recipe, thresholds, re-ranking and memory.
        progress: passes the people on, one as each is ranked.

    Yields:
        For each person the id of the first portrait and the ranking; nobody where there are no candidates.

    Raises:
        TooLittleMemory: the memory does not suffice.
        RankingError: something was decided about the movie, and the recipe is not ``best``.

    Warns:
        RankingWarning: nobody's portrait shows a face; no candidates; fewer candidates than a neighbour list needs.
    """
    settings = settings or Settings()
    where = f"movie {movie.name}"
    if not movie.candidates and movie.cast:
        warnings.warn(f"{where} has no candidates: no line for its casts", RankingWarning, stacklevel=2)
    if not movie.candidates or not movie.cast:
        return
    for person, own in zip(movie.people, movie.templates, strict=True):
        if movie.faces is not None and not movie.has_face[own].any():
            warnings.warn(
                f"{where}: the portrait of {person} shows no face; its stored feature is used",
                RankingWarning,
                stacklevel=2,
            )
    if movie.decided is not None and settings.recipe != "best":
        raise RankingError(f"{where}: the recipe {settings.recipe!r} knows no decisions; rank by 'best'")
    recipe = {"original": original, "best": best}[settings.recipe]
    spare = spare_memory(recipe.needed_memory(movie, settings), settings.memory, where)
    ranked = zip(movie.people, recipe.rank(movie, settings, _resources(spare, settings)), strict=True)
    yield from progress(ranked) if progress else ranked


def fuse(
    movie: MovieFeatures, settings: Settings | None = None, progress: Progress | None = None
) -> dict[str, list[str]]:
    """The same as ids: for each person the candidates, best first. See ``rank``."""
    ids = np.array(movie.candidates, dtype=object)
    return {person: ids[ranked.order].tolist() for person, ranked in rank(movie, settings, progress)}


def _resources(spare: int, settings: Settings) -> Resources:
    return replace(Resources.within(settings.memory), memory=spare)
