"""What people decided about boxes: ``decisions.json``, which the gallery writes and rankings take.

A box is confirmed for somebody, or rejected. It is known by its id and by the crop it was cut as, so that boxes of
another run, whose ids were dealt anew, are told from those that were looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from castsearch.errors import CastSearchError
from castsearch.identifiers import id_fault, movie_fault, path_fault, shown
from castsearch.textfiles import format_version, read_json

FORMAT, VERSION = "castsearch decisions", 1

Boxes = Mapping[str, str]  # the crop's path of each candidate, by id


class DecisionError(CastSearchError):
    """Decisions of the wrong shape, or that contradict each other."""


@dataclass(frozen=True)
class Verdicts:
    """What was decided for one person.

    Attributes:
        confirmed: boxes that show the person.
        rejected: boxes that do not.
        portraits: ids of confirmed boxes that count as portraits.
        replace: whether they take the place of the portraits that there were.

    Raises:
        DecisionError: a box is both confirmed and rejected, or a portrait is not confirmed.
    """

    confirmed: Boxes = field(default_factory=dict)
    rejected: Boxes = field(default_factory=dict)
    portraits: tuple[str, ...] = ()
    replace: bool = False

    def __post_init__(self) -> None:
        if both := self.confirmed.keys() & self.rejected.keys():
            raise DecisionError(f"candidate {shown(min(both))} is both confirmed and rejected; take one of them out")
        if odd := set(self.portraits) - self.confirmed.keys():
            raise DecisionError(f"candidate {shown(min(odd))} is a portrait, but not confirmed; confirm it, too")

    def __or__(self, other: Verdicts) -> Verdicts:
        """Both together."""
        return Verdicts(
            _united(self.confirmed, other.confirmed),
            _united(self.rejected, other.rejected),
            tuple(sorted({*self.portraits, *other.portraits})),
            self.replace or other.replace,
        )


@dataclass(frozen=True)
class Decisions:
    """All decisions on a split.

    Attributes:
        people: by the id of a person's portrait.
        named: by movie and name, the boxes of a group of unknown people that was given that name. They show that
            person but for those that ``people`` tell otherwise of.

    Raises:
        DecisionError: a box is confirmed for two people, or named twice.
    """

    people: Mapping[str, Verdicts] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, Boxes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_once(((person, verdicts.confirmed) for person, verdicts in self.people.items()), "confirmed for")
        for names in self.named.values():
            _check_once(names.items(), "named")

    def __or__(self, other: Decisions) -> Decisions:
        """Both together.

        Raises:
            DecisionError: they contradict each other.
        """
        people = dict(self.people)
        for person, verdicts in other.people.items():
            try:
                people[person] = people[person] | verdicts if person in people else verdicts
            except DecisionError as error:
                raise DecisionError(f"person {shown(person)}: {error}") from None
        named: dict[str, dict[str, Boxes]] = {movie: dict(names) for movie, names in self.named.items()}
        for movie, names in other.named.items():
            for name, boxes in names.items():
                own = named.setdefault(movie, {})
                own[name] = _united(own.get(name, {}), boxes)
        return Decisions(people, named)

    def __bool__(self) -> bool:
        return any(each.confirmed or each.rejected for each in self.people.values()) or any(self.named.values())


def _united(one: Boxes, other: Boxes) -> Boxes:
    for box in sorted(one.keys() & other.keys()):
        if one[box] != other[box]:
            raise DecisionError(
                f"candidate {shown(box)} is {shown(one[box])} here and {shown(other[box])} there: the decisions are on "
                "different runs; take those of the last one"
            )
    return {**one, **other}


def _check_once(groups: Iterable[tuple[str, Boxes]], verb: str) -> None:
    """See that no box stands in two groups."""
    whose: dict[str, str] = {}
    for name, boxes in groups:
        for box in boxes:
            if (first := whose.setdefault(box, name)) != name:
                pair = " and ".join(map(shown, sorted((first, name))))
                raise DecisionError(f"candidate {shown(box)} is {verb} both {pair}; keep one of them")


def fitting(
    decisions: Decisions, persons: Mapping[str, str], files: Mapping[str, str], movies: Mapping[str, str] | None = None
) -> tuple[dict[str, Verdicts], list[str]]:
    """What of decisions is about these people and boxes.

    Args:
        decisions: all of them.
        persons: for each portrait's id that of the person, see ``annotations.person_ids``.
        files: the crop's path of each candidate, by id. A box that has another id now is found by its crop.
        movies: of each person and candidate; only boxes of the person's own movie count then.

    Returns:
        By person, with the ids that boxes have now; and a few words on each id that is not there.

    Raises:
        DecisionError: what is decided under two portraits of a person, or under two ids of a box, contradicts itself.
    """
    ids = {file: box for box, file in files.items()}
    fit: dict[str, Verdicts] = {}
    strange: dict[str, None] = {}

    def now(boxes: Boxes, person: str) -> dict[str, str]:
        """The ids of boxes, by those that they had."""
        there = {}
        for box, file in boxes.items():
            own = box if files.get(box) == file else ids.get(file)  # crops alike may have several ids
            if own is None:
                strange[f"{shown(box)} (another box has this id now)" if box in files else shown(box)] = None
            elif movies is not None and movies[own] != movies[person]:
                strange[f"{shown(box)} (of another movie than {shown(person)})"] = None
            else:
                there[box] = own
        return there

    for portrait, verdicts in decisions.people.items():
        if (person := persons.get(portrait)) is None:
            strange[f"{shown(portrait)} and what is decided for it"] = None
            continue
        confirmed, rejected = now(verdicts.confirmed, person), now(verdicts.rejected, person)
        portraits = tuple(confirmed[box] for box in verdicts.portraits if box in confirmed)
        try:
            here = Verdicts(
                {box: files[box] for box in confirmed.values()},
                {box: files[box] for box in rejected.values()},
                portraits,
                verdicts.replace and bool(portraits),
            )
            fit[person] = fit[person] | here if person in fit else here
        except DecisionError as error:
            raise DecisionError(f"person {shown(person)}: {error}") from None
    # Of different runs, a box may have been decided on by two ids.
    _check_once(((person, verdicts.confirmed) for person, verdicts in fit.items()), "confirmed for")
    return fit, sorted(strange)


# ---------------------------------------------------------------------------- files


def read_decisions(paths: Sequence[str | os.PathLike[str]]) -> Decisions:
    """Read what was saved, in one file or in several.

    Raises:
        DecisionError: a file is missing, not JSON, of the wrong shape, or they contradict each other.
    """
    read = [parse_decisions(read_json(Path(path), DecisionError, _WHENCE), f"{path}") for path in paths]
    try:
        return reduce(Decisions.__or__, read, Decisions())
    except DecisionError as error:
        raise DecisionError(f"{' and '.join(map(str, paths))}: {error}") from None


_WHENCE = "the gallery saves it"


def parse_decisions(content: Mapping[str, Any], where: str) -> Decisions:
    """Decisions as JSON has them.

    Args:
        content: of the file.
        where: what messages begin with.

    Raises:
        DecisionError: it is of the wrong shape, or contradicts itself.
    """
    _check_format(content, where)
    people = {
        person: _verdicts(entry, f"{where}: person {shown(person)}")
        for person, entry in _part(content, "people", where).items()
    }
    named = {
        movie: {
            name: _boxes(boxes, f"{where}: movie {shown(movie)}, name {shown(name)}")
            for name, boxes in _object(names, f"{where}: movie {shown(movie)}").items()
        }
        for movie, names in _part(content, "named", where).items()
    }
    for person in people:
        if (why := id_fault(person)) is not None:
            raise DecisionError(f"{where}: person {shown(person)}: the id {why}")
    for movie, names in named.items():
        if (why := movie_fault(movie)) is not None:
            raise DecisionError(f"{where}: movie {shown(movie)}: the name {why}")
        for name in names:
            if (why := movie_fault(name)) is not None:
                raise DecisionError(f"{where}: movie {shown(movie)}: the name {shown(name)} {why}; choose another")
    try:
        return Decisions(people, named)
    except DecisionError as error:
        raise DecisionError(f"{where}: {error}") from None


def as_json(decisions: Decisions) -> dict[str, Any]:
    """Decisions as JSON has them, the same ones in the same order."""
    people = {person: _entry(decisions.people[person]) for person in sorted(decisions.people)}
    named = {
        movie: {name: dict(sorted(boxes.items())) for name, boxes in sorted(names.items())}
        for movie, names in sorted(decisions.named.items())
    }
    return {"format": f"{FORMAT} {VERSION}", "people": {who: entry for who, entry in people.items() if entry}} | (
        {"named": named} if named else {}
    )


def _entry(verdicts: Verdicts) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "confirmed": dict(sorted(verdicts.confirmed.items())),
        "rejected": dict(sorted(verdicts.rejected.items())),
        "portraits": sorted(verdicts.portraits),
        "replace": verdicts.replace,
    }
    return {key: value for key, value in entry.items() if value}


def _check_format(content: Mapping[str, Any], where: str) -> None:
    version = format_version(content, FORMAT)
    if version is None:
        found = shown(content.get("format"))
        raise DecisionError(f"{where}: holds no decisions: expected '{FORMAT} {VERSION}' under 'format', found {found}")
    if version != VERSION:
        raise DecisionError(
            f"{where}: holds decisions of version {version}, where {VERSION} is read; save them by a gallery of this "
            "version"
        )
    if odd := content.keys() - {"format", "people", "named"}:
        raise DecisionError(f"{where}: decisions have no {shown(min(odd))}; take it out")


def _part(content: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    return _object(content.get(key, {}), f"{where}: {key}")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DecisionError(f"{where}: expected an object, found {shown(value)}")
    return value


def _verdicts(entry: Any, where: str) -> Verdicts:
    entry = _object(entry, where)
    if odd := entry.keys() - {"confirmed", "rejected", "portraits", "replace"}:
        raise DecisionError(f"{where}: a person has no {shown(min(odd))}; take it out")
    portraits, replace = entry.get("portraits", []), entry.get("replace", False)
    if not isinstance(portraits, list) or not all(isinstance(word, str) for word in portraits):
        raise DecisionError(f"{where}: portraits: expected a list of ids, found {shown(portraits)}")
    if not isinstance(replace, bool):
        raise DecisionError(f"{where}: replace: expected true or false, found {shown(replace)}")
    confirmed, rejected = (_boxes(entry.get(key, {}), f"{where}: {key}") for key in ("confirmed", "rejected"))
    try:
        return Verdicts(confirmed, rejected, tuple(sorted(set(portraits))), replace)
    except DecisionError as error:
        raise DecisionError(f"{where}: {error}") from None


def _boxes(value: Any, where: str) -> Boxes:
    boxes = _object(value, where)
    for word, file in boxes.items():
        if (fault := id_fault(word)) is not None:
            raise DecisionError(f"{where}: id {shown(word)} {fault}")
        if (fault := path_fault(file)) is not None:
            raise DecisionError(f"{where}: {shown(word)}: the path of its crop, {shown(file)}, {fault}")
    return boxes
