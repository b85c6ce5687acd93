"""What people decided about boxes of films, as the naming of tracks takes it.

A decision on one box is one on its whole track. Where two on one track contradict each other, the tracker took two
people for one: the track is cut halfway between the two boxes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from castsearch.annotations import OTHERS, Movie, person_ids
from castsearch.decisions import DecisionError, Decisions, Verdicts, fitting
from castsearch.identifiers import shown
from castsearch.movies.layout import Seen
from castsearch.movies.portraits import UNKNOWN, Person, unique_words
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import Track
from castsearch.paths import folded


@dataclass(frozen=True)
class Fitting:
    """What of decisions is about films of a layout.

    Attributes:
        people: by the id of a person.
        new: by movie, the names that groups were given and nobody has so far, and the ids of these people.
        strange: a few words on each id that is not there.
    """

    people: Mapping[str, Verdicts]
    new: Mapping[str, Mapping[str, str]]
    strange: Sequence[str]


def check_names(decisions: Decisions) -> None:
    """See that groups were given names that people can have.

    Raises:
        DecisionError: one is ``unknown-1`` or the like, or ``others``.
    """
    for movie, names in sorted(decisions.named.items()):
        for name in sorted(names):
            if UNKNOWN.fullmatch(folded(name)) or folded(name) == OTHERS:
                raise DecisionError(
                    f"movie {shown(movie)}: the name {shown(name)} is what people are called whom nobody knows; give "
                    "the group another"
                )


def fit_decisions(decisions: Decisions, movies: Mapping[str, Movie]) -> Fitting:
    """See what of decisions is about the films of a layout.

    The boxes of a group that was given a name are confirmed for that person, but for those that were decided on one by
    one.

    Args:
        decisions: all of them.
        movies: of the layout's annotations.

    Raises:
        DecisionError: what is decided under two portraits of a person, or under two ids of a box, contradicts itself; a
            group has a name that nobody can have.
    """
    check_names(decisions)
    persons = person_ids(movies.values())
    files = {box.id: box.file for movie in movies.values() for box in movie.candidates}
    homes = {item.id: name for name, movie in movies.items() for item in movie.items}
    strange = {f"{shown(movie)} and the names given there" for movie in decisions.named.keys() - movies.keys()}
    groups: dict[str, Verdicts] = {}
    new: dict[str, dict[str, str]] = {}
    for movie in sorted(decisions.named.keys() & movies.keys()):
        for given, (name, person) in _people_of(movies[movie], decisions.named[movie]).items():
            groups[person] = groups.get(person, Verdicts()) | Verdicts(decisions.named[movie][given])
            if person in files or homes.get(person, movie) != movie:
                where = f"movie {shown(movie)}: the name {shown(given)}"
                raise DecisionError(f"{where} makes the id {shown(person)}, which is taken; give the group another")
            if person not in persons:
                new.setdefault(movie, {})[name] = persons[person] = person
                homes[person] = movie
    fit, gone = fitting(decisions, persons, files, homes)
    there, gone_of_groups = fitting(Decisions(groups), persons, files, homes)
    taken = {box for verdicts in fit.values() for box in verdicts.confirmed}
    for person, group in there.items():
        own = fit.get(person, Verdicts())
        kept = {box: file for box, file in group.confirmed.items() if box not in taken | own.rejected.keys()}
        fit[person] = replace(own, confirmed={**own.confirmed, **kept})
    shown_in_film = {
        movie: {name: person for name, person in sorted(names.items()) if fit[person].confirmed}
        for movie, names in new.items()
    }
    return Fitting(fit, shown_in_film, sorted({*strange, *gone, *gone_of_groups}))


def _people_of(movie: Movie, given: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name and id of whom each name that was given means: somebody of the cast, or somebody new."""
    cast = {folded(portrait.label): (portrait.label, portrait.id) for portrait in reversed(movie.cast)}
    new = {folded(name): normalize("NFC", name) for name in sorted(given, reverse=True) if folded(name) not in cast}
    labels = dict.fromkeys(portrait.label for portrait in movie.cast)
    words = unique_words([*labels, *sorted(new.values())])
    people = cast | {key: (name, f"{movie.name}_{words[name]}") for key, name in new.items()}
    return {name: people[folded(name)] for name in sorted(given)}


@dataclass(frozen=True)
class Told:
    """What decisions make of a film.

    Attributes:
        scan: its tracks, cut where that is needed.
        candidates: ids of the kept sightings in the layout.
        people: who is looked for: those with portraits, then those whose name a group was given.
        said: (p, n) int8, 1 where a track shows a person, -1 where it does not, 0 where nobody said.
        boxes: verdicts, 1 or -1, by the candidate and the person's number.
        portraits: of each new person, by the picture that is to be written, the sighting that shows them best.
    """

    scan: Scan
    candidates: dict[Seen, str]
    people: tuple[Person, ...]
    said: npt.NDArray[np.int8]
    boxes: Mapping[tuple[str, int], int] = field(default_factory=dict)
    portraits: Mapping[Path, Seen] = field(default_factory=dict)


def told_of(
    scan: Scan, candidates: Mapping[Seen, str], people: Sequence[Person], movie: str, decided: Fitting, pictures: Path
) -> Told:
    """What decisions tell of a film's tracks.

    Args:
        scan: its tracks.
        candidates: ids of the kept sightings.
        people: who has portraits; somebody at least.
        movie: the film's name in the layout.
        decided: of ``fit_decisions``.
        pictures: folder that is to receive a portrait of each new person.
    """
    new = decided.new.get(movie, {})
    ids = [*(f"{movie}_{person.id}" for person in people), *new.values()]
    verdicts = [decided.people.get(person, Verdicts()) for person in ids]
    boxes = {(box, number): 1 for number, one in enumerate(verdicts) for box in one.confirmed}
    boxes |= {(box, number): -1 for number, one in enumerate(verdicts) for box in one.rejected}
    seen = {box: one for one, box in candidates.items()}
    scan, moved = _cut(scan, _by_sighting(boxes, seen))
    seen = {box: moved.get(one, one) for box, one in seen.items()}
    said = np.zeros((len(ids), len(scan.tracks)), np.int8)
    for (box, number), verdict in boxes.items():
        said[number, seen[box][0]] = verdict
    grown = [
        _with_portraits(person, own, [seen[box] for box in sorted(own.portraits)], scan)
        for person, own in zip(people, verdicts, strict=False)
    ]
    portraits: dict[Path, Seen] = {}
    for (name, person), own in zip(new.items(), verdicts[len(people) :], strict=True):
        word = person.removeprefix(f"{movie}_")
        shown_in = [seen[box] for box in sorted(own.confirmed)]
        features = [_faces_at(scan, one) for one in shown_in]
        width = people[0].features.shape[1]
        grown.append(Person(name, word, (pictures / f"{word}.jpg",), _rows(features, width)))
        portraits[pictures / f"{word}.jpg"] = max(shown_in, key=lambda one: how_well(scan, one))
    return Told(scan, {one: box for box, one in seen.items()}, tuple(grown), said, boxes, portraits)


def _with_portraits(person: Person, verdicts: Verdicts, seen: Sequence[Seen], scan: Scan) -> Person:
    """Somebody with the faces of the boxes that count as portraits."""
    rows = _rows([_faces_at(scan, one) for one in seen], person.features.shape[1])
    if not rows.any():
        return person
    return replace(person, features=rows if verdicts.replace else np.concatenate([person.features, rows]))


def _rows(parts: Sequence[np.ndarray], width: int) -> np.ndarray:
    """All rows that there are; where there is none, one that is like nobody."""
    rows = [part for part in parts if len(part)]
    return np.concatenate(rows) if rows else np.zeros((1, width), np.float32)


def _faces_at(scan: Scan, seen: Seen) -> np.ndarray:
    """(k, d) the face of a sighting; where none is kept, those of its track."""
    track = scan.tracks[seen[0]]
    own = [row for row, place in enumerate(track.faces_of) if place == seen[1]]
    return track.faces[own] if own else track.faces


def how_well(scan: Scan, seen: Seen) -> tuple[bool, bool, float]:
    """How well a sighting shows somebody: a good face, any face, the larger the better."""
    sighting = scan.tracks[seen[0]].sightings[seen[1]]
    box = sighting.box if sighting.face is None else sighting.face
    return sighting.good, sighting.face is not None, float((box[2] - box[0]) * (box[3] - box[1]))


# ---------------------------------------------------------------------------- tracks that took two people for one


def _by_sighting(boxes: Mapping[tuple[str, int], int], seen: Mapping[str, Seen]) -> dict[Seen, dict[int, int]]:
    """Verdicts by the number of the person, of each sighting that has some."""
    found: dict[Seen, dict[int, int]] = {}
    for (box, number), verdict in boxes.items():
        found.setdefault(seen[box], {})[number] = verdict
    return dict(sorted(found.items()))


def _cut(scan: Scan, verdicts: Mapping[Seen, Mapping[int, int]]) -> tuple[Scan, dict[Seen, Seen]]:
    """Cut the tracks on which verdicts, which are in the order of sightings, contradict each other.

    Returns:
        The scan, and for each sighting its new place; none where nothing is cut.
    """
    begins = _beginnings(scan, verdicts)
    if not begins:
        return scan, {}
    pieces = [
        (old, first, piece)
        for old, track in enumerate(scan.tracks)
        for first, piece in _pieces(track, begins.get(old, []))
    ]
    pieces.sort(key=lambda piece: (piece[2].shot, piece[2].stretch.start))
    numbers: dict[int, list[int]] = {}
    moved: dict[Seen, Seen] = {}
    for number, (old, first, piece) in enumerate(pieces):
        numbers.setdefault(old, []).append(number)
        moved |= {(old, first + place): (number, place) for place in range(len(piece.sightings))}
    tracks = tuple(piece for _, _, piece in pieces)
    apart = [
        (min(one, other), max(one, other))
        for pair in scan.apart
        for one in numbers[pair[0]]
        for other in numbers[pair[1]]
        if tracks[one].stretch & tracks[other].stretch
    ]
    return Scan(tracks, tuple(sorted(apart))), moved


def _beginnings(scan: Scan, verdicts: Mapping[Seen, Mapping[int, int]]) -> dict[int, list[int]]:
    """Of each track that is to be cut, the sightings with which the pieces begin, but for the first."""
    found: dict[int, list[int]] = {}
    so_far: dict[int, int] = {}
    last: Seen = (-1, -1)
    for (track, place), told in verdicts.items():
        if track != last[0]:
            so_far = {}
        elif _contradict(so_far, told):
            seconds = [one.seconds for one in scan.tracks[track].sightings]
            middle = (seconds[last[1]] + seconds[place]) / 2
            begin = min(max(bisect_left(seconds, middle), last[1] + 1), place)
            found.setdefault(track, []).append(begin)
            so_far = {}
        so_far = {**so_far, **told}
        last = track, place
    return found


def _contradict(one: Mapping[int, int], other: Mapping[int, int]) -> bool:
    shown_in = [{number for number, verdict in told.items() if verdict > 0} for told in (one, other)]
    if shown_in[0] and shown_in[1] and shown_in[0] != shown_in[1]:
        return True
    return any(one[number] != other[number] for number in one.keys() & other.keys())


def _pieces(track: Track, begins: Sequence[int]) -> Iterator[tuple[int, Track]]:
    """The pieces of a track, each with the number of its first sighting; the time between two is shared."""
    seconds = [one.seconds for one in track.sightings]
    edges = [0, *begins, len(seconds)]
    times = [track.stretch.start, *((seconds[at - 1] + seconds[at]) / 2 for at in begins), track.stretch.end]
    for (first, end), (start, stop) in zip(pairwise(edges), pairwise(times), strict=True):
        own = [row for row, place in enumerate(track.faces_of) if first <= place < end]
        yield (
            first,
            replace(
                track,
                stretch=Stretch(start, stop),
                sightings=track.sightings[first:end],
                faces=track.faces[own],
                faces_of=tuple(track.faces_of[row] - first for row in own),
                good=track.good and bool(own),
            ),
        )
