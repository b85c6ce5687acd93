"""People who are nobody of the cast, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import cos, radians, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.movies import unknown
from castsearch.movies.scanned import Scan
from castsearch.movies.tracks import F32, Track
from castsearch.movies.unknown import LIKENESS, Unknown, cluster_unknown
from castsearch.ranking import Impostors
from tests.movies.tracks_of import FACE, scan, sighting, track, unit

IMPOSTORS = Impostors(0.0, 0.1)  # so that cosines from .5, angles up to 60 degrees, are one person's


def at(*degrees: float) -> np.ndarray:
    """Faces or a body at these angles."""
    return np.array([[cos(radians(one)), sin(radians(one))] for one in degrees], np.float32)


def seen(shot: int, *faces: float, body: float = 0, seconds: float = 2, good: bool = True, side: float = 20) -> Track:
    """A track in a shot, which begins ten seconds after the last, with faces at these angles, ``side`` pixels wide."""
    start = 10.0 * shot
    face = (30, 15, 30 + side, 15 + side)
    sightings = [sighting(start + k, face=face, good=good, frame=f"shot{shot:04d}img{k}") for k in range(len(faces))]
    found = at(*faces) if faces else None
    return track(shot, sightings or [sighting(start)], found, at(body)[0], (start, start + seconds))


def groups(some: Scan, nobody: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    found = cluster_unknown(some, range(len(some.tracks)) if nobody is None else nobody, IMPOSTORS)
    assert [one.name for one in found] == [f"unknown-{k}" for k in range(1, len(found) + 1)]
    return [one.tracks for one in found]


def test_alike_faces_are_one_person_and_the_longest_seen_comes_first() -> None:
    some = scan([seen(1, 0), seen(2, 180, seconds=9), seen(3, 50), seen(4, 25, 15)])
    assert groups(some) == [(1,), (0, 2, 3)]
    assert groups(some, [3, 0, 0]) == [(0, 3)]
    assert groups(some, [1]) == [(1,)]
    assert groups(some, []) == []


@pytest.mark.parametrize(("degrees", "together"), [(59, True), (61, False)])
def test_the_threshold_is_five_deviations_above_the_mean(degrees: float, together: bool) -> None:
    some = scan([seen(1, 0), seen(2, degrees)])
    assert groups(some) == ([(0, 1)] if together else [(0,), (1,)])
    moved = cluster_unknown(some, [0, 1], Impostors(0.05, 0.1))
    assert [one.tracks for one in moved] == [(0,), (1,)]


def test_linkage_is_average() -> None:
    """0 and 40 meet first; 80 is .17 and .77 from them, .47 on average: too far for one, near for a chain."""
    assert groups(scan([seen(1, 0), seen(2, 38), seen(3, 80)])) == [(0, 1), (2,)]
    assert groups(scan([seen(1, 0), seen(2, 38), seen(3, 76)])) == [(0, 1, 2)]


def test_people_of_one_moment_stay_apart() -> None:
    """The first two are twins in one picture, liker to each other than the third is to the second."""
    some = [seen(1, 0), seen(1, 2), seen(2, 5)]
    assert groups(scan(some)) == [(0, 1, 2)]
    assert groups(scan(some, [(0, 1)])) == [(1, 2), (0,)]


def test_two_groups_stay_apart_by_one_moment() -> None:
    """Twins in six shots each, together in one picture: on average they are near."""
    some = scan([seen(k, 2 * (k % 2)) for k in range(12)], [(0, 1)])
    assert groups(some) == [(0, 2, 4, 6, 8, 10), (1, 3, 5, 7, 9, 11)]


@pytest.fixture
def scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three deviations above the mean lie at a cosine of .7: bodies up to 45 degrees apart are alike."""
    monkeypatch.setattr(unknown, "scatter_of", lambda bodies: (0.1, 0.2))


@pytest.mark.parametrize(
    ("change", "joins"),
    [
        ({"body": 45}, True),
        ({"body": 46}, False),
        ({"shot": 1 + LIKENESS.near}, True),
        ({"shot": 2 + LIKENESS.near}, False),
    ],
)
@pytest.mark.usefixtures("scatter")
def test_clothes_add_tracks_without_good_faces_near_in_time(change: dict[str, int], joins: bool) -> None:
    one = seen(**{"shot": 2, "good": False} | change)  # type: ignore[arg-type]
    assert groups(scan([seen(1, 0), one])) == ([(0, 1)] if joins else [(0,)])
    assert groups(scan([seen(1, 0), one], [(0, 1)])) == [(0,)]


@pytest.mark.usefixtures("scatter")
def test_poor_faces_count_for_nothing() -> None:
    assert groups(scan([seen(1, 0), seen(2, 180, good=False)])) == [(0, 1)]
    assert groups(scan([seen(1, 0), seen(2, 0, good=False, body=90)])) == [(0,)]


@pytest.mark.usefixtures("scatter")
def test_the_likest_of_a_group_and_of_the_groups_tell() -> None:
    """Three of the first person's four tracks wear about the same; the second person's are nearer still."""
    first = [seen(k, 0, body=angle) for k, angle in enumerate((0, 5, 180, 10))]
    assert groups(scan([*first, seen(5, body=48)])) == [(0, 1, 2, 3, 4)]  # .669, .731, .788
    assert groups(scan([*first, seen(5, body=52)])) == [(0, 1, 2, 3)]
    second = [seen(k, 180, body=70) for k in range(4)]
    assert groups(scan([*first, *second, seen(5, body=45)])) == [(4, 5, 6, 7, 8), (0, 1, 2, 3)]


@pytest.mark.usefixtures("scatter")
def test_the_likest_clothes_come_first_and_foes_of_those_who_joined_stay_out() -> None:
    some = [seen(1, 0), seen(2, body=20), seen(2, body=10)]
    assert groups(scan(some)) == [(0, 1, 2)]
    assert groups(scan(some, [(1, 2)])) == [(0, 2)]
    assert groups(scan([*some, seen(2, 180, body=50)], [(1, 2)])) == [(0, 2), (1, 3)]


@pytest.mark.usefixtures("scatter")
def test_clothes_alone_make_nobody_and_lend_nothing() -> None:
    assert groups(scan([seen(1), seen(2)])) == []
    assert groups(scan([seen(1, 0), seen(2, body=40), seen(3, body=80)])) == [(0, 1)]


def test_clothes_are_measured_by_the_film() -> None:
    """Bodies of 30 others are at right angles to the two: .9 is far above how these scatter, .2 is not."""
    rows = np.random.default_rng(0).normal(size=(30, 30))
    crowd = [seen(k, 180) for k in range(30)]
    bodies = [unit(1, *[0] * 31), *(unit(0, 0, *row) for row in rows)]
    for cosine, joins in ((0.9, True), (0.2, False)):
        dressed = unit(cosine, (1 - cosine**2) ** 0.5, *[0] * 30)
        tracks = [seen(1, 0), *crowd, seen(2)]
        some = scan([replace(one, body=body) for one, body in zip(tracks, [*bodies, dressed], strict=True)])
        assert groups(some, [0, 31]) == ([(0, 31)] if joins else [(0,)])


@pytest.mark.parametrize(("seconds", "counts"), [(0.5, True), (0.49, False)])
def test_a_second_of_film_at_least(seconds: float, counts: bool) -> None:
    some = scan([seen(1, 0, seconds=seconds), seen(2, 0, seconds=0.5)])
    assert groups(some) == ([(0, 1)] if counts else [])


def test_the_portrait_is_large_and_like_the_rest() -> None:
    small, large = seen(1, 0, 0), seen(2, 10, 0, 0, side=40)
    (one,) = cluster_unknown(scan([small, large]), [0, 1], IMPOSTORS)
    assert one == Unknown("unknown-1", (0, 1), (1, 1))
    stranger = seen(2, 170, 20, -20, side=60)  # its first face is somebody else's
    (one,) = cluster_unknown(scan([small, stranger]), [0, 1], IMPOSTORS)
    assert one.portrait in ((1, 1), (1, 2))


def test_the_portrait_is_the_sighting_that_shows_the_face() -> None:
    sightings = [sighting(0), sighting(1, face=FACE, good=False), sighting(2, face=FACE, good=True)]
    followed = track(1, sightings, at(0), stretch=(0, 3))
    (one,) = cluster_unknown(scan([followed]), [0], IMPOSTORS)
    assert one.portrait == (0, 2)


def test_two_thousand_at_once() -> None:
    """Fifty people, forty tracks each."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(50, 64))
    faces: F32 = np.repeat(people, 40, axis=0) + rng.normal(size=(2000, 64)) * 0.5
    tracks = [
        track(k, [sighting(2.0 * k, face=FACE, good=True)], unit(*row), stretch=(2.0 * k, 2.0 * k + 1))
        for k, row in enumerate(faces)
    ]
    found = cluster_unknown(scan(tracks), range(2000), IMPOSTORS)
    assert [len(one.tracks) for one in found] == [40] * 50
    assert all(len({number // 40 for number in one.tracks}) == 1 for one in found)


@st.composite
def scans(draw: st.DrawFn) -> tuple[Scan, list[int]]:
    """Tracks of few angles, so that many are alike, of which any may be apart, and some are nobody's."""
    angles = st.sampled_from([0, 20, 45, 70, 180, 200])
    count = draw(st.integers(1, 9))
    tracks = []
    for number in range(count):
        faces = draw(st.lists(angles, max_size=2))
        good = bool(faces) and draw(st.booleans())
        length = draw(st.sampled_from([0.3, 1.0, 5.0]))
        tracks.append(seen(number // 3, *faces, body=draw(angles), seconds=length, good=good))
    pairs = [(one, other) for other in range(count) for one in range(other)]
    apart = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return scan(tracks, apart), draw(st.lists(st.integers(0, count - 1), unique=True))


@settings(max_examples=150, deadline=None)
@given(scans())
def test_whatever_is_seen(drawn: tuple[Scan, list[int]]) -> None:
    some, nobody = drawn
    found = cluster_unknown(some, nobody, IMPOSTORS)
    grouped = [number for one in found for number in one.tracks]
    assert len(set(grouped)) == len(grouped)
    assert set(grouped) <= set(nobody)
    lengths = [sum(some.tracks[number].stretch.duration for number in one.tracks) for one in found]
    assert lengths == pytest.approx(sorted(lengths, reverse=True))
    assert all(length >= LIKENESS.least for length in lengths)
    for one in found:
        assert not any(pair[0] in one.tracks and pair[1] in one.tracks for pair in some.apart)
        number, index = one.portrait
        assert number in one.tracks
        assert some.tracks[number].sightings[index].good
    assert cluster_unknown(some, nobody[::-1], IMPOSTORS) == found
