"""A ranking as a gallery shows it: its text, and what its JSON adds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from castsearch.annotations import read_ranking
from castsearch.decisions import Decisions, parse_decisions
from castsearch.results import Places, Result, ResultError, json_beside, read_result


@dataclass(frozen=True)
class Submission:
    """A ranking as a gallery shows it.

    Attributes:
        path: of the text file.
        lines: candidates by the id of a portrait, best first.
        places: what its JSON tells of each person, by id; empty where the text stands alone.
        decisions: that it was made with.
        doubt: why the JSON beside the text is not used; None where it is, or there is none.
    """

    path: Path
    lines: Mapping[str, Sequence[str]]
    places: Mapping[str, Places] = field(default_factory=dict)
    decisions: Decisions = field(default_factory=Decisions)
    doubt: str | None = None


def read_submission(path: str | os.PathLike[str]) -> Submission:
    """Read a ranking, with its JSON where that lies beside it and is of the same run.

    Raises:
        AnnotationError: the text is missing, or no ranking.
        DecisionError: the JSON holds decisions of another shape.
    """
    path, doubt = Path(path), None
    beside = json_beside(path)
    if path.is_file() and beside.exists():
        try:
            result = read_result(beside)
            result.check_ranking(path)
            return _told(path, result)
        except ResultError as error:
            doubt = str(error)
    return Submission(path, read_ranking(path), doubt=doubt)


def _told(path: Path, result: Result) -> Submission:
    places = {person: told.places for people in result.movies.values() for person, told in people.items()}
    lines = {person: own.ids for person, own in places.items()}
    given = result.settings.get("decisions")
    decisions = Decisions() if given is None else parse_decisions(given, f"{result.path}: decisions")
    return Submission(path, lines, places, decisions)


def names_of(paths: Sequence[Path]) -> list[str]:
    """What rankings are called: by their files, with as many of their folders as tell them apart.

    >>> names_of([Path("a/val_result.txt"), Path("b/val_result.txt")])
    ['a/val_result', 'b/val_result']
    """
    parts = [path.absolute().with_name(path.name.removesuffix(".txt")).parts for path in paths]
    for depth in range(1, max(map(len, parts))):
        names = ["/".join(own[-depth:]) for own in parts]
        if max(Counter(names).values()) == 1:
            return names
    return [f"{path.name.removesuffix('.txt')} {number}" for number, path in enumerate(paths, start=1)]
