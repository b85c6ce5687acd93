"""OpenTimelineIO and EDL: who appears when as markers, in DaVinci Resolve, Premiere and others.

The film is one clip of one video track; each appearance is a marker on it, of the person's name and colour, over the
frames of the appearance. An EDL's markers have no length: there, the name tells the timecode of the end, and
the adapter writes it in capitals.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from castsearch.movies.appearances import Appearance, FilmCast
from castsearch.movies.formats.text import plain
from castsearch.movies.timecodes import Clock
from castsearch.stagefiles import atomic_write

if TYPE_CHECKING:
    from opentimelineio.opentime import TimeRange
    from opentimelineio.schema import Timeline

_COLOURS = ("RED", "GREEN", "BLUE", "YELLOW", "CYAN", "MAGENTA", "ORANGE", "PURPLE", "PINK")


def write_otio(cast: FilmCast, path: Path) -> None:
    """Write the timeline as OpenTimelineIO's JSON.

    Raises:
        StageFileError: there is no writing there.
    """
    with atomic_write(path) as file:
        file.write(timeline(cast).to_json_string(indent=2).encode())


def write_edl(cast: FilmCast, path: Path) -> None:
    """Write the timeline as a CMX 3600 edit decision list, markers as ``* LOC`` comments.

    Raises:
        StageFileError: there is no writing there.
    """
    import opentimelineio as otio

    clock = Clock(cast.film)
    told = timeline(cast)
    (clip,) = told.find_clips()
    for marker, one in zip(clip.markers, cast.appearances, strict=True):
        marker.name = f"{marker.name} (to {clock.codes(one.stretch)[1]})"
    title, _, events = otio.adapters.write_to_string(told, "cmx_3600", rate=float(clock.rate)).partition("\n")
    counting = "FCM: DROP FRAME" if ";" in clock.code(0) else "FCM: NON-DROP FRAME"
    with atomic_write(path) as file:
        file.write(f"{title}\n{counting}\n{events}".encode())


def timeline(cast: FilmCast) -> Timeline:
    """The film as a clip, with a marker an appearance."""
    import opentimelineio as otio

    film, clock = cast.film, Clock(cast.film)
    length = max(
        [round(film.duration * float(clock.rate)), *(clock.frames(one.stretch)[1] for one in cast.appearances)]
    )
    whole = _range(clock, 0, length)
    clip = otio.schema.Clip(
        name=plain(film.name),
        media_reference=otio.schema.ExternalReference(film.path.resolve().as_uri(), whole),
        source_range=whole,
    )
    clip.markers.extend(_marker(cast, clock, one) for one in cast.appearances)
    told = otio.schema.Timeline(name=plain(film.name), global_start_time=whole.start_time)
    told.tracks.append(otio.schema.Track(name="Film", children=[clip], kind=otio.schema.TrackKind.Video))
    return told


def _marker(cast: FilmCast, clock: Clock, one: Appearance) -> object:
    import opentimelineio as otio

    first, end = clock.frames(one.stretch)
    return otio.schema.Marker(
        name=plain(one.cast),
        marked_range=_range(clock, first, end),
        color=_COLOURS[cast.people.index(one.cast) % len(_COLOURS)],
        metadata={"castsearch": {"shot": one.shot, "probability": one.probability, "found_by": one.found_by}},
    )


def _range(clock: Clock, first: int, end: int) -> TimeRange:
    """The frames from ``first`` up to ``end``, by the film's own clock."""
    from opentimelineio.opentime import RationalTime, TimeRange

    rate = float(clock.rate)
    return TimeRange(RationalTime(clock.first + first, rate), RationalTime(end - first, rate))
