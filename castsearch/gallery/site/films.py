"""A gallery of films that were looked through, in the layout of the challenge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from castsearch.annotations import Movie, read_annotations
from castsearch.decisions import Decisions
from castsearch.gallery.site.content import Appearing, Box, Frame, MovieContent, Overview, Person, RankedBoxes
from castsearch.gallery.site.pictures import Kind, Pictures, Wanted
from castsearch.images import declared_size
from castsearch.movies.appearing import LEAST, found_by_box, found_by_track
from castsearch.movies.decided import how_well
from castsearch.movies.finding import MODE, Found
from castsearch.movies.layout import Seen
from castsearch.movies.timeline import timeline_svg
from castsearch.progress import Progress, silent
from castsearch.ranking import asking_order
from castsearch.ranking.ranked import CONFIRMED, REJECTED

REST = "rest"  # how boxes are found that more probably show somebody else
_RESULT = "this search"
_DECIDED = {1: CONFIRMED, -1: REJECTED}


def overview_of(found: Sequence[Found], decisions: Decisions) -> Overview:
    """What all pages of a gallery of films share; ``decisions`` that the search was given."""
    names = ", ".join(each.cast.film.name for each in found)
    return Overview(f"Who is in {names}", [_RESULT], decisions=decisions)


class FilmGallery:
    """What a gallery of films shows.

    Args:
        found: the films.
        out: folder in which they were looked through, with the layout.
        unknown: a portrait of each unknown person of a movie, by the movie's name and the person's.

    Raises:
        AnnotationError: the layout's annotations are broken.
    """

    def __init__(self, found: Sequence[Found], out: Path, unknown: Mapping[str, Mapping[str, Path]]) -> None:
        self._found, self._unknown = found, unknown
        self._origin = out / "origin" / MODE
        self._annotations = read_annotations(out / f"{MODE}.json")

    def movies(self, pictures: Pictures, progress: Progress = silent) -> Iterator[MovieContent]:
        """The films one by one, their pictures written; ``progress`` is given those of each."""
        for found in self._found:
            yield self._content(found, self._annotations[found.scanned.movie], pictures, progress)

    def _content(self, found: Found, movie: Movie, pictures: Pictures, progress: Progress) -> MovieContent:
        seen = {identity: one for one, identity in found.scanned.candidates.items()}
        boxes = [Wanted(self._origin / one.img, Kind.THUMBNAIL, one.bbox) for one in movie.candidates]
        images = list(dict.fromkeys(one.img for one in movie.candidates))
        frames = [Wanted(self._origin / img, Kind.FRAME) for img in images]
        made = pictures.write([*boxes, *frames], progress)
        number = {img: place for place, img in enumerate(images)}
        when = {one.img: _seconds(found, seen[one.id]) for one in movie.candidates}
        return MovieContent(
            name=movie.name,
            people=[*self._cast(found, movie, seen, pictures), *self._groups(found, movie, seen, pictures)],
            boxes=[
                Box(one.id, one.file, path or pictures.blank(), number[one.img], one.bbox, seen[one.id][0])
                for one, path in zip(movie.candidates, made, strict=False)
            ],
            frames=[
                _frame(img, self._origin / img, path, None if found.scanned.footage.stills else when[img])
                for img, path in zip(images, made[len(boxes) :], strict=True)
            ],
            timeline=pictures.timeline(timeline_svg(found.cast)),
            duration=found.cast.film.duration,
        )

    def _cast(self, found: Found, movie: Movie, seen: Mapping[str, Seen], pictures: Pictures) -> Iterator[Person]:
        """Those who were looked for, by the ids and names that the annotations have."""
        files: dict[str, list[Path]] = {}
        for portrait in movie.cast:
            files.setdefault(portrait.label, []).append(self._origin / portrait.img)
        ids = {portrait.label: portrait.id for portrait in reversed(movie.cast)}
        for row, (name, own) in enumerate(files.items()):
            yield Person(
                id=ids[name],
                name=name,
                portraits=_portraits(own, pictures),
                results=[_ranked(found, row, {one.id: seen[one.id] for one in movie.candidates})],
                present=found.cast.presence[name],
                appearances=_appearances(found, name),
            )

    def _groups(self, found: Found, movie: Movie, seen: Mapping[str, Seen], pictures: Pictures) -> Iterator[Person]:
        """People whom nobody looked for, with the boxes of their tracks, in the order of time."""
        for group in found.unknown:
            tracks = set(group.tracks)
            order = [place for place, one in enumerate(movie.candidates) if seen[one.id][0] in tracks]
            yield Person(
                id=group.name,
                name=group.name,
                portraits=_portraits([self._unknown[movie.name][group.name]], pictures),
                results=[RankedBoxes(np.array(order, np.int32), ["track"] * len(order))],
                group=True,
                appearances=_appearances(found, group.name),
            )


def _portraits(files: Sequence[Path], pictures: Pictures) -> list[str]:
    made = pictures.write([Wanted(file, Kind.PORTRAIT) for file in files])
    return [path or pictures.blank() for path in made]


def _ranked(found: Found, person: int, seen: Mapping[str, Seen]) -> RankedBoxes:
    """All boxes, by the probability that their tracks show somebody; those of like tracks in the order of time.

    Args:
        found: the film.
        person: number of the person.
        seen: of each box, by its id, in the order of time.
    """
    ids = list(seen)
    probability = found.named.probability[person].astype(np.float32)[[track for track, _ in seen.values()]]
    decided = {} if found.told is None else found.told.boxes
    verdict = np.array([decided.get((box, person), 0) for box in ids], np.int8)
    order = np.lexsort((-probability, -verdict))
    words = [_DECIDED.get(verdict[box]) or _found_by(found, person, seen[ids[box]]) for box in order]
    asking = _asking(found, person, list(seen.values()), verdict != 0)
    return RankedBoxes(order.astype(np.int32), words, probability[order], asking=asking)


def _asking(found: Found, person: int, seen: Sequence[Seen], decided: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Numbers of boxes, those first that are best to ask about: one a track, for a decision holds for the whole.

    Args:
        found: the film.
        person: number of the person.
        seen: of each box.
        decided: (n,) which boxes were decided on.
    """
    scan = found.scanned.scan
    best: dict[int, int] = {}
    for box, one in enumerate(seen):
        first = best.setdefault(one[0], box)
        if how_well(scan, one) > how_well(scan, seen[first]):
            best[one[0]] = box
    tracks = np.array(sorted(best))
    known = np.isin(tracks, [track for (track, _), done in zip(seen, decided, strict=True) if done])
    shots = np.array([scan.tracks[track].shot for track in tracks], np.float64)
    probability = found.named.probability[person, tracks]
    evidence = found.named.face[person, tracks] + found.named.body[person, tracks]
    chosen = [best[track] for track in tracks[asking_order(probability, evidence, shots, known)].tolist()]
    rest = np.setdiff1d(np.arange(len(seen)), chosen)
    return np.append(chosen, rest).astype(np.int32)


def _found_by(found: Found, person: int, seen: Seen) -> str:
    track, place = seen
    if found.named.probability[person, track] <= LEAST:
        return REST
    return found_by_box(found.scanned.scan.tracks[track], place, found_by_track(found.named, person, track))


def _seconds(found: Found, seen: Seen) -> float:
    return found.scanned.scan.tracks[seen[0]].sightings[seen[1]].seconds


def _frame(img: str, file: Path, picture: str | None, seconds: float | None) -> Frame:
    size = None if picture is None else declared_size(file)
    return Frame(img, None if size is None else picture, size, seconds)


def _appearances(found: Found, name: str) -> list[Appearing]:
    return [
        Appearing(one.stretch.start, one.stretch.end, one.probability, one.found_by)
        for one in found.cast.appearances
        if one.cast == name
    ]
