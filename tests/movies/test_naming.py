"""Tracks of a small film: two people of the cast, strangers, clothes in two dimensions beside noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.movies.naming import TRUST, Apart, Named, name_tracks, scatter_of
from castsearch.movies.scanned import Scan
from castsearch.movies.tracks import Track
from castsearch.ranking import Impostors
from tests.movies.tracks_of import FACE, scan, sighting, track, unit

IMPOSTORS = Impostors(0.0, 0.08)
RNG = np.random.default_rng(7)
D = 64
FACES = {name: unit(*RNG.normal(size=D)) for name in ("joey", "rachel", "stranger", "other")}
CLOTHES = {name: RNG.normal(size=D) for name in ("grey", "green", "white", "brown")}
COMMON = RNG.normal(size=D)


@pytest.fixture(autouse=True)
def _same_noise() -> None:
    """Each test its own noise, whichever ran before."""
    RNG.bit_generator.state = np.random.default_rng(8).bit_generator.state


def looks(name: str, share: float = 0.7) -> np.ndarray:
    """A face that is like its person's portrait by that cosine."""
    noise = RNG.normal(size=D)
    noise -= noise @ FACES[name] * FACES[name]
    return unit(*(share * FACES[name] + np.sqrt(1 - share**2) * noise / np.linalg.norm(noise)))


def wears(name: str) -> np.ndarray:
    """A body in these clothes: like others by about 0.5, like its own by 0.95."""
    return unit(*(COMMON + CLOTHES[name] + 0.2 * RNG.normal(size=D)))


def seen(shot: int, clothes: str, face: str | None = None, share: float = 0.7, good: bool = True) -> Track:
    """A track of a shot."""
    pictures = [
        sighting(shot + 0.2 * k, face=None if face is None else FACE, good=good and face is not None) for k in range(3)
    ]
    rows = None if face is None else [looks(face, share) for _ in pictures]
    return track(shot, pictures, rows, wears(clothes), (shot, shot + 0.6), d=D)


PORTRAITS = [FACES["joey"][None], FACES["rachel"][None]]


CROWD = 8  # tracks of people in clothes of their own, in the first shot


def named(tracks: list[Track], apart: tuple[tuple[int, int], ...] = (), **changes: float) -> Named:
    """What is believed of the tracks, behind a crowd that tells how bodies scatter."""
    crowd = [track(1, [sighting(1.0)], body=unit(*(COMMON + RNG.normal(size=D))), d=D) for _ in range(CROWD)]
    pairs = [(one + CROWD, other + CROWD) for one, other in apart]
    told = name_tracks(scan([*crowd, *tracks], pairs), PORTRAITS, IMPOSTORS, replace(TRUST, **changes))
    return Named(told.probability[:, CROWD:], told.face[:, CROWD:], told.body[:, CROWD:], told.present)


@pytest.fixture
def film() -> tuple[list[Track], tuple[tuple[int, int], ...]]:
    """Joey by his face, from behind, and in other clothes from behind; Rachel by her face; strangers."""
    tracks = [
        seen(1, "grey", "joey"),
        seen(1, "green", "rachel"),
        seen(1, "white", "stranger"),
        seen(2, "grey"),
        seen(2, "brown"),
        seen(3, "grey", "joey", share=0.25, good=False),
        seen(3, "brown", "other"),
        seen(4, "white", "stranger"),
        seen(4, "green"),
    ]
    return tracks, ((0, 1), (0, 2), (1, 2), (3, 4), (5, 6), (7, 8))


def test_faces_name_and_clothes_carry_on(film) -> None:
    told = named(*film)
    names = np.where(told.probability.max(axis=0) > 0.5, told.probability.argmax(axis=0), -1)
    assert names.tolist() == [0, 1, -1, 0, -1, 0, -1, -1, 1]
    assert (told.present > 0.9).all()
    assert told.face[0, 0] > 6 > told.body[0, 0]
    assert told.body[0, 3] > 3
    assert told.face[0, 3] == 0


def test_each_track_has_one_name_and_nobody_two_places(film) -> None:
    told = named(*film)
    assert (told.probability.sum(axis=0) <= 1 + 1e-9).all()
    twice = named([seen(1, "grey", "joey", 0.6), seen(1, "white", "joey", 0.5)], ((0, 1),))
    assert twice.probability[0].sum() < 1.1
    assert named([seen(1, "grey", "joey", 0.6), seen(1, "white", "joey", 0.5)]).probability[0].sum() > 1.9


def test_unsure_tracks_lend_no_clothes() -> None:
    """A stranger who looks a little like Joey, once with a face and four times without."""
    tracks = [
        seen(1, "white", "joey", 0.12),
        *(seen(shot, "white") for shot in range(2, 6)),
        seen(6, "green", "rachel"),
    ]
    told = named(tracks)
    assert told.probability[0].max() < 0.5
    assert (told.body[0] == 0).all()
    loose = named(tracks, seed=0.1)
    assert loose.probability[0, 1:5].min() > 1.3 * told.probability[0, 1:5].max()


def test_clothes_tell_near_in_time_only() -> None:
    def at(shot: int) -> float:
        return float(named([seen(1, "grey", "joey"), seen(1, "green", "rachel"), seen(shot, "grey")]).body[0, 2])

    assert at(1 + TRUST.near) > 2
    assert at(2 + TRUST.near) == 0


def test_faces_seen_from_the_side_say_little_against_anybody() -> None:
    told = named([seen(1, "grey", "stranger", good=False), seen(2, "grey", "stranger")])
    assert np.log(TRUST.poor) <= told.face[0, 0] < np.log(TRUST.poor) + 0.2
    assert np.log(TRUST.recipe.useless) <= told.face[0, 1] < np.log(TRUST.recipe.useless) + 1.2


def test_who_is_not_in_the_film() -> None:
    tracks = [seen(shot, clothes, "stranger") for shot, clothes in enumerate(("grey", "green", "white"), start=1)]
    told = named(tracks)
    assert (told.present < 0.5).all()
    assert told.probability.max() < 0.2


def test_boxes_that_are_hardly_persons_are_nobodys() -> None:
    tracks = [seen(1, "grey", "joey"), seen(2, "grey"), seen(2, "green")]
    weak = [replace(one, score=0.45) for one in tracks[1].sightings]
    assert named(tracks).probability[0, 1] > 0.5
    assert named([tracks[0], replace(tracks[1], sightings=tuple(weak)), tracks[2]]).probability[0, 1] == 0
    face = seen(2, "grey", "joey")
    unsure = replace(face, sightings=tuple(replace(one, score=0.0) for one in face.sightings))
    assert named([tracks[0], unsure]).probability[0, 1] > 0.9


def test_the_order_of_people_and_tracks_within_a_shot_does_not_matter(film) -> None:
    tracks, apart = film
    told = name_tracks(scan(tracks, apart), PORTRAITS, IMPOSTORS)
    order = [2, 0, 1, 4, 3, 6, 5, 8, 7]
    place = {track: new for new, track in enumerate(order)}
    turned = name_tracks(
        scan([tracks[k] for k in order], [(place[a], place[b]) for a, b in apart]), PORTRAITS[::-1], IMPOSTORS
    )
    np.testing.assert_allclose(turned.probability[::-1][:, [place[k] for k in range(9)]], told.probability, atol=1e-9)
    np.testing.assert_allclose(turned.present[::-1], told.present, atol=1e-9)


def test_nobody_to_look_for_and_nobody_seen() -> None:
    assert name_tracks(Scan((), ()), PORTRAITS, IMPOSTORS).probability.shape == (2, 0)
    assert name_tracks(scan([seen(1, "grey")]), [], IMPOSTORS).probability.shape == (0, 1)
    lonely = named([seen(1, "grey")])
    assert lonely.probability.shape == (2, 1)
    assert np.isfinite(lonely.present).all()


def test_scatter_is_that_of_different_people() -> None:
    """A fifth of the pairs are one person's, far above the rest."""
    rng = np.random.default_rng(3)
    people = rng.normal(size=(5, 300))
    common = rng.normal(size=300)
    bodies = np.array([unit(*(common + people[k % 5] + 0.1 * rng.normal(size=300))) for k in range(60)], np.float64)
    middle, scatter = scatter_of(bodies)
    different = np.array([bodies[i] @ bodies[j] for i in range(60) for j in range(i) if (i - j) % 5])
    assert middle == pytest.approx(np.median(different), abs=different.std())
    assert scatter < 4 * different.std()
    assert scatter_of(bodies[:1]) == (0.0, 1.0)
    assert scatter_of(np.tile(bodies[:1], (4, 1)))[1] == 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_company_is_what_a_loop_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.4]
    values = rng.random((3, n))
    expected = np.zeros_like(values)
    for i, j in pairs:
        expected[:, i] += values[:, j]
        expected[:, j] += values[:, i]
    np.testing.assert_allclose(Apart(n, pairs).sums_beside(values), expected)
