"""What a gallery shows, whatever it comes from. All paths of pictures are relative to the gallery's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from castsearch.decisions import Decisions
from castsearch.metrics import Difference


@dataclass(frozen=True)
class Frame:
    """A moment of a movie.

    Attributes:
        name: as in the annotations, ``MOVIE/candidates/shot0001img0.jpg``.
        picture: of the whole frame; None where the gallery has none.
        size: (width, height) of the frame itself, in whose pixels boxes are given; None with ``picture``.
        seconds: when it is shown, None where nobody knows.
    """

    name: str
    picture: str | None
    size: tuple[int, int] | None
    seconds: float | None = None


@dataclass(frozen=True)
class Box:
    """A candidate.

    Attributes:
        id: of the candidate.
        file: the crop's path below ``BODY/{mode}/``, by which a box is known from run to run.
        thumbnail: its picture.
        frame: number of the frame among the movie's.
        bbox: x, y, width, height in pixels of the frame; None where nobody knows.
        track: number of the track, of a film; what was decided on one of its boxes holds for all.
    """

    id: str
    file: str
    thumbnail: str
    frame: int
    bbox: tuple[int, int, int, int] | None
    track: int | None = None


@dataclass(frozen=True)
class RankedBoxes:
    """The boxes of a movie as one result ranks them for one person: columns of one length, best first.

    Attributes:
        order: (n,) numbers of the movie's boxes.
        found_by: n words, what put each there; ``confirmed`` and ``rejected`` of those that were decided.
        probability: (n,) float32 in [0, 1]; None where the result does not tell.
        ap: average precision; None without labels.
        asking: numbers of all boxes, in the order in which decisions on them tell most; None where there are no
            probabilities.
    """

    order: npt.NDArray[np.integer]
    found_by: Sequence[str]
    probability: npt.NDArray[np.float32] | None = None
    ap: float | None = None
    asking: npt.NDArray[np.integer] | None = None


@dataclass(frozen=True)
class Appearing:
    """Somebody is visible from ``start`` to ``end``, seconds, half-open."""

    start: float
    end: float
    probability: float
    found_by: str


@dataclass(frozen=True)
class Person:
    """Somebody with a page.

    Attributes:
        id: by which decisions know the person: of the first portrait. Of a group its name.
        name: as people call them.
        portraits: their pictures.
        results: what each of the gallery's results says; None where it has no line for the person.
        hits: numbers of the movie's boxes that show the person, by the labels; None without labels.
        group: whether nobody looked for this person: some boxes that look alike, without a name.
        present: probability that the person is in the movie at all; None where nobody knows.
        appearances: in the order of time; empty where there are no times.
    """

    id: str
    name: str
    portraits: Sequence[str]
    results: Sequence[RankedBoxes | None]
    hits: frozenset[int] | None = None
    group: bool = False
    present: float | None = None
    appearances: Sequence[Appearing] = ()


@dataclass(frozen=True)
class MovieContent:
    """A movie and its people.

    Attributes:
        name: of the movie.
        people: in the order of the cast; groups last.
        boxes: n candidates, in the order of the annotations.
        frames: those that the boxes are in.
        timeline: a picture of who appears when; None where there are no times.
        duration: seconds; None likewise.
    """

    name: str
    people: Sequence[Person]
    boxes: Sequence[Box]
    frames: Sequence[Frame]
    timeline: str | None = None
    duration: float | None = None


@dataclass(frozen=True)
class Score:
    """What labels say of one result.

    Attributes:
        mean_ap: over all people who have labels.
        rank: for each k, the share of people with a hit among their first k boxes.
        beyond_first: how much better it is than the first result; None of the first, or of too few movies.
    """

    mean_ap: float
    rank: dict[int, float]
    beyond_first: Difference | None = None


@dataclass(frozen=True)
class Overview:
    """What all pages of a gallery share, and its index shows.

    Attributes:
        title: of the gallery.
        results: names of the results, one or two; the first is what is looked at and corrected.
        scores: of each result; empty without labels.
        decisions: that the ranking was given already.
    """

    title: str
    results: Sequence[str]
    scores: Sequence[Score] = ()
    decisions: Decisions = field(default_factory=Decisions)
