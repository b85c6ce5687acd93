"""Who appears when in a film that went through the stages: told by its ranked boxes, and the times of their pictures.

A search of a film knows more, since it sees every track whole: here only pictures that were kept tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from castsearch.gallery.site.content import Appearing, Box, MovieContent, Person
from castsearch.movies.appearances import Appearance, Film, FilmCast, FoundBy
from castsearch.movies.appearing import GAP
from castsearch.movies.layout import Times
from castsearch.movies.times import Stretch
from castsearch.results import IN_A_BOX

FARTHEST = 1.0  # seconds that a kept picture tells of, before and after it


def with_moments(content: MovieContent, times: Times) -> tuple[MovieContent, FilmCast | None]:
    """A movie with everybody's appearances by the first result, and what a timeline shows of it.

    A track is a person's where the mean probability of its boxes is above a half. It lasts from its first kept picture
    to its last, and half the way to the next ones that were kept, a second at most, within its shot.

    Args:
        content: of the movie; its frames have their seconds.
        times: of the movie.

    Returns:
        The content as it is, and None, where no result tells probabilities.
    """
    if not any(_shares(person) is not None for person in content.people):
        return content, None
    lasting = _lasting(content, times)
    own = {person.id: tuple(_appearances(person, content.boxes, times, lasting)) for person in content.people}
    people = [
        replace(person, appearances=[_told(one) for one in own[person.id]] or person.appearances)
        for person in content.people
    ]
    presence = {person.name: likeliest(person) or 0.0 for person in content.people}
    film = Film(content.name, Path(content.name), times.rate, times.duration, (0, 0), times.shots, ())
    cast = FilmCast(
        film=film,
        people=tuple(person.name for person in content.people),
        appearances=tuple(sorted((one for some in own.values() for one in some), key=lambda one: one.stretch)),
        presence=presence,
        absent=tuple(name for name, share in presence.items() if share <= IN_A_BOX),
    )
    return replace(content, people=people), cast


def _shares(person: Person) -> npt.NDArray[np.float32] | None:
    """What the first result tells of somebody's boxes, in its order; None where it tells no probability."""
    ranked = person.results[0] if person.results else None
    return None if ranked is None else ranked.probability


def likeliest(person: Person) -> float | None:
    """The largest probability of somebody's boxes by the first result; None where none is told."""
    shares = _shares(person)
    return None if shares is None or not len(shares) else float(shares.max())


def _lasting(content: MovieContent, times: Times) -> dict[int, tuple[int, Stretch]]:
    """The shot of each track, from 1, and when it is seen."""
    moments = np.unique([frame.seconds for frame in content.frames if frame.seconds is not None])
    seen: dict[int, list[float]] = {}
    for box in content.boxes:
        seconds = content.frames[box.frame].seconds
        if box.id in times.tracks and seconds is not None:
            seen.setdefault(times.tracks[box.id], []).append(seconds)
    lasting = {}
    for track, at in seen.items():
        number = next((n for n, shot in enumerate(times.shots, start=1) if min(at) in shot), 0)
        shot = times.shots[number - 1] if number else Stretch(0, times.duration)
        lasting[track] = (number, Stretch(_edge(moments, min(at), -1), _edge(moments, max(at), 1)) & shot)
    return lasting


def _edge(moments: np.ndarray, seconds: float, way: int) -> float:
    """Half the way from a kept picture to the next one, or a second.

    Args:
        moments: (n,) seconds of all kept pictures, ascending.
        seconds: one of them.
        way: 1 to the one after it, -1 to the one before.
    """
    place = int(np.searchsorted(moments, seconds)) + way
    half = abs(float(moments[place]) - seconds) / 2 if 0 <= place < len(moments) else FARTHEST
    return max(0.0, seconds + way * min(half, FARTHEST))


def _appearances(
    person: Person, boxes: Sequence[Box], times: Times, lasting: Mapping[int, tuple[int, Stretch]]
) -> Iterator[Appearance]:
    """Somebody's tracks of one shot that overlap, or are parted by a moment, as one."""
    ranked, shares = person.results[0] if person.results else None, _shares(person)
    if ranked is None or shares is None:
        return
    told: dict[int, list[tuple[float, str]]] = {}
    for box, share, word in zip(ranked.order.tolist(), shares.tolist(), ranked.found_by, strict=True):
        if (track := times.tracks.get(boxes[box].id, -1)) in lasting:
            told.setdefault(track, []).append((share, word))
    theirs = [track for track, some in told.items() if np.mean([share for share, _ in some]) > IN_A_BOX]
    together: list[int] = []
    for track in sorted(theirs, key=lambda one: lasting[one]):
        if together and not _goes_on([lasting[one] for one in together], lasting[track]):
            yield _joined(person.name, together, told, lasting)
            together = []
        together.append(track)
    if together:
        yield _joined(person.name, together, told, lasting)


def _goes_on(before: Sequence[tuple[int, Stretch]], then: tuple[int, Stretch]) -> bool:
    return before[0][0] == then[0] and then[1].start <= max(stretch.end for _, stretch in before) + GAP


def _joined(
    name: str,
    tracks: Sequence[int],
    told: Mapping[int, Sequence[tuple[float, str]]],
    lasting: Mapping[int, tuple[int, Stretch]],
) -> Appearance:
    whole = lasting[tracks[0]][1]
    for track in tracks:
        whole = whole | lasting[track][1]
    shares, words = zip(*(one for track in tracks for one in told[track]), strict=True)
    (most, _), *_ = Counter(words).most_common()
    found_by: FoundBy = most if most in get_args(FoundBy) else "track"
    return Appearance(name, whole, lasting[tracks[0]][0], float(np.mean(shares)), found_by, ())


def _told(one: Appearance) -> Appearing:
    return Appearing(one.stretch.start, one.stretch.end, one.probability, one.found_by)
