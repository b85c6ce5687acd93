"""How often is looked for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Habits:
    """How footage is looked through.

    Attributes:
        rate: pictures a second in which persons are looked for.
        longest: seconds of a shot that are followed in one go.
        unit: seconds of film after which results are kept.
        often: pictures at the beginning of a track, one after the other, in which faces are looked for.
        unsure: seconds between such pictures as long as a track has too few good faces.
        seldom: seconds between them otherwise.
        enough: good faces of a track.
        off_axis: at most, of a good face; see ``faces.pose``.
        side: pixels of a good face's box at least.
        best: faces of a track that are embedded.
        good_share: of a track's faces that are good, at least, so that these tell whose it is. Of somebody seen from
            the side all the time, the few that just pass are as poor as the rest.
        face_score: of the detector, from which a face that lies in no person's box gives one.
        covered: share of a box from which others cover too much of it, where better ones are there.
        apart: share of the smaller of two boxes that both cover, from which they may be one person, found twice.
        quality: of the JPEGs that are kept.
    """

    rate: float = 5.0
    longest: float = 60.0
    unit: float = 60.0
    often: int = 3
    unsure: float = 0.6
    seldom: float = 2.0
    enough: int = 4
    off_axis: float = 0.5
    side: float = 24.0
    best: int = 8
    good_share: float = 0.2
    face_score: float = 0.9
    covered: float = 0.3
    apart: float = 0.5
    quality: int = 90


HABITS = Habits()
CLOSE = 1e-6  # seconds that times may differ by and be the same
