from __future__ import annotations

import numpy as np
import pytest

from castsearch.movies.appearing import Appearances
from castsearch.movies.naming import Named
from castsearch.movies.tracks import Track
from tests.movies.tracks_of import FACE, scan, sighting, track, unit


def piece(shot: int, start: float, end: float, **more) -> Track:
    return track(shot, [sighting(start + 0.1, **more), sighting(end - 0.1, **more)], stretch=(start, end))


def appear(tracks: list[Track], probability: list[float], face: float = 5.0, body: float = 0.0, candidates=None):
    rows = np.array([probability])
    named = Named(rows, np.full_like(rows, face), np.full_like(rows, body), np.array([1.0]))
    made = Appearances(scan(tracks), "film", candidates or {}, (100, 100))
    return list(made.of_person("Joey", 0, named))


@pytest.mark.parametrize(("gap", "count"), [(0.0, 1), (1.0, 1), (1.01, 2)])
def test_pieces_of_a_shot_parted_by_a_second_are_one(gap: float, count: int) -> None:
    found = appear([piece(1, 0, 2), piece(1, 2 + gap, 6)], [0.9, 0.6])
    assert len(found) == count
    assert (found[0].stretch.start, found[-1].stretch.end) == (0, 6)


def test_a_cut_parts() -> None:
    found = appear([piece(1, 0, 2), piece(2, 2, 3)], [0.9, 0.9])
    assert [(one.shot, one.stretch.start, one.stretch.end) for one in found] == [(1, 0, 2), (2, 2, 3)]


def test_the_probability_is_the_mean_over_time() -> None:
    (one,) = appear([piece(1, 0, 1), piece(1, 1, 4)], [0.6, 1.0])
    assert one.probability == pytest.approx((0.6 + 3 * 1.0) / 4)


def test_one_inside_the_other_does_not_end_it() -> None:
    (one,) = appear([piece(1, 0, 5), piece(1, 1, 2), piece(1, 5.5, 6)], [0.9, 0.8, 0.9])
    assert (one.stretch.start, one.stretch.end) == (0, 6)


def test_half_is_not_more_probable_than_not() -> None:
    assert appear([piece(1, 0, 2)], [0.5]) == []


@pytest.mark.parametrize(
    ("face", "body", "kind"),
    [
        (5, 2, "face"),
        (2, 5, "body"),
        (3.0, 6, "face"),
        (2.9, 6, "body"),
        (0.9, 0.9, "track"),
        (1.0, 0.5, "face"),
        (-1, 1, "body"),
    ],
)
def test_what_it_is_found_by(face: float, body: float, kind: str) -> None:
    (one,) = appear([piece(1, 0, 2)], [0.9], face, body)
    assert one.found_by == kind


def test_boxes_tell_what_each_rests_on() -> None:
    seen = [
        sighting(0.1, face=FACE, good=True, frame="shot0001img3"),
        sighting(0.3, face=FACE, good=True),
        sighting(0.5, (10.4, 20.6, 130, 90)),
    ]
    made = track(1, seen, [unit(1, 2)], stretch=(0, 0.6))
    (one,) = appear([made], [0.9], candidates={(0, 0): "film_000007"})
    assert [(box.found_by, box.frame, box.candidate) for box in one.boxes] == [
        ("face", "film/candidates/shot0001img3.jpg", "film_000007"),
        ("track", None, None),
        ("track", None, None),
    ]
    assert one.boxes[2].bbox == (10, 21, 90, 69)


def test_of_two_boxes_at_one_moment_the_likelier_stays() -> None:
    left, right = sighting(1, (0, 0, 10, 10)), sighting(1, (50, 0, 60, 10))
    for probability, x in (([0.9, 0.6], 0), ([0.6, 0.9], 50)):
        (one,) = appear([track(1, [left], stretch=(0, 2)), track(1, [right], stretch=(0, 2))], probability)
        assert [box.bbox[0] for box in one.boxes] == [x]
