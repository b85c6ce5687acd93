"""The rankings of a split's movies, each of a run of its own, as the result of the whole split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from castsearch.identifiers import shown
from castsearch.ranking.inputs import ranked_from
from castsearch.results import Result, ResultError, json_beside, read_result, write_result


def join_results(parts: Mapping[str, Path], target: str | os.PathLike[str], data: Path | None = None) -> int:
    """Write ``{mode}_result.txt`` and its JSON from those of the movies, with the bytes of one run through all of them.

    One movie is in memory at a time.

    Args:
        parts: the movies' text files, in the order of the annotations.
        target: the joined text file.
        data: folder of the split's joined stage files, so that ``fusion.py`` knows the result as its own; None where
            there are none.

    Returns:
        How many people there are.

    Raises:
        ResultError: a part is missing or damaged, holds another movie, or was ranked in another way than the first.
        StageFileError: there is no writing there.
    """
    if not parts:
        raise ResultError(f"{target}: no movie has both a cast and candidates, so that nothing is ranked")
    first = read_result(json_beside(next(iter(parts.values()))))
    head: dict[str, Any] = {
        "mode": first.mode,
        "recipe": first.recipe,
        "settings": first.settings,
        "versions": first.versions,
    }
    count = 0
    with write_result(target, made="" if data is None else _made_from(first, data), **head) as writer:
        for name, path in parts.items():
            part = read_result(json_beside(path))
            part.check_ranking(path)
            _check_alike(part, first, name)
            for person in part.movies[name].values():
                writer.add(name, person.portraits, person.places)
            count += len(part.movies[name])
    return count


def _made_from(result: Result, data: Path) -> str:
    """What ``fusion.py`` tells a ranking of the whole split to be made from, without flags that the workflow lacks."""
    how = {**result.settings, "recipe": result.recipe, "versions": result.versions}
    if "impostors" in how:
        how["impostors"] = None  # none were given: those in the settings are known of the embedder
    body_only = bool(how.get("body_only", False))
    return ranked_from(data, result.mode, result.settings["reid"], body_only, how)


def _check_alike(part: Result, first: Result, name: str) -> None:
    if list(part.movies) != [name]:
        found = ", ".join(map(shown, part.movies)) or "no movie"
        raise ResultError(f"{part.path}: expected movie {shown(name)} alone, found {found}; rank it again")
    for field in ("mode", "recipe", "settings", "versions"):
        ours, theirs = getattr(part, field), getattr(first, field)
        if ours != theirs:
            raise ResultError(f"{part.path}: ranked with other {field} than {first.path}; rank one of them again")
