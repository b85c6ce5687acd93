"""From named tracks to appearances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from castsearch.movies.appearances import Appearance, FoundBy, SeenBox
from castsearch.movies.layout import Seen, whole_box
from castsearch.movies.naming import Named
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import Track

LEAST = 0.5  # probability above which a track is somebody's, and below which somebody is not in the film
GAP = 1.0  # seconds: pieces of a shot that are parted by no more are one appearance
TELLING = 1.0  # log likelihood ratio from which evidence of a kind tells who somebody is
ENOUGH = 3.0  # from which a face does by itself, whatever the body adds


class Appearances:
    """Makes appearances of tracks.

    Args:
        scan: the tracks.
        movie: of the layout, in which pictures were kept.
        candidates: their ids in it, see ``layout.write_layout``.
        size: width and height of the pictures; ``layout.ANY_SIZE`` where they differ.
    """

    def __init__(self, scan: Scan, movie: str, candidates: Mapping[Seen, str], size: tuple[int, int]) -> None:
        self._scan, self._movie, self._candidates, self._size = scan, movie, candidates, size

    def of_person(self, name: str, person: int, named: Named) -> Iterator[Appearance]:
        """Those of somebody who was looked for: of the tracks that are more probably theirs than not."""
        tracks = np.flatnonzero(named.probability[person] > LEAST).tolist()
        kinds: dict[int, FoundBy] = {track: found_by_track(named, person, track) for track in tracks}
        yield from self._joined(name, {track: float(named.probability[person, track]) for track in tracks}, kinds)

    def of_unknown(self, name: str, tracks: Sequence[int]) -> Iterator[Appearance]:
        """Those of somebody whom nobody looked for."""
        yield from self._joined(name, dict.fromkeys(tracks, 1.0), dict.fromkeys(tracks, "track"))

    def _joined(
        self, name: str, probability: Mapping[int, float], kinds: Mapping[int, FoundBy]
    ) -> Iterator[Appearance]:
        """Tracks of a shot that overlap, or are parted by a moment, as one appearance."""
        tracks = self._scan.tracks
        ordered = sorted(probability, key=lambda track: (tracks[track].shot, tracks[track].stretch, track))
        for shot, of_shot in groupby(ordered, key=lambda track: tracks[track].shot):
            together: list[int] = []
            whole = Stretch(0, 0)
            for track in of_shot:
                if together and tracks[track].stretch.start > whole.end + GAP:
                    yield self._appearance(name, shot, whole, together, probability, kinds)
                    together = []
                whole = whole | tracks[track].stretch if together else tracks[track].stretch
                together.append(track)
            yield self._appearance(name, shot, whole, together, probability, kinds)

    def _appearance(
        self,
        name: str,
        shot: int,
        whole: Stretch,
        together: Sequence[int],
        probability: Mapping[int, float],
        kinds: Mapping[int, FoundBy],
    ) -> Appearance:
        lasts = np.array([self._scan.tracks[track].stretch.duration for track in together])
        mean = float(np.average([probability[track] for track in together], weights=np.maximum(lasts, 1e-9)))
        boxes: dict[float, SeenBox] = {}
        for track in sorted(together, key=probability.__getitem__):  # of two at one moment the likelier stays
            boxes.update({box.seconds: box for box in self._boxes(track, kinds[track])})
        seen = tuple(boxes[seconds] for seconds in sorted(boxes))
        return Appearance(name, whole, shot, mean, kinds[together[int(lasts.argmax())]], seen)

    def _boxes(self, number: int, kind: FoundBy) -> Iterator[SeenBox]:
        track = self._scan.tracks[number]
        for place, seen in enumerate(track.sightings):
            frame = None if seen.frame is None else f"{self._movie}/candidates/{seen.frame}.jpg"
            candidate = self._candidates.get((number, place))
            own = found_by_box(track, place, kind)
            yield SeenBox(seen.seconds, whole_box(seen.box, self._size), frame, candidate, own)


def found_by_box(track: Track, place: int, kind: FoundBy) -> FoundBy:
    """What the box at a place of a track rests on itself, where its track was found by ``kind``."""
    tells = track.good and place in track.faces_of
    return "track" if kind == "face" and not tells else kind


def found_by_track(named: Named, person: int, track: int) -> FoundBy:
    """What tells most that a track is somebody's; ``track`` where it is only who else is there, and when."""
    face, body = float(named.face[person, track]), float(named.body[person, track])
    if max(face, body) < TELLING:
        return "track"
    return "face" if face >= min(body, ENOUGH) else "body"
