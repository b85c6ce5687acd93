"""The labels of places, and the helper that judges a search by them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from castsearch.movies.appearances import Appearance, Film, FilmCast, SeenBox
from castsearch.movies.times import Stretch
from tests.movies.places import Moment, Place, load_places, misplaced

ANN, BOB, NAMELESS = (Place((across, 20), (across, 60)) for across in (20, 70, 95))
PLACES = [
    Moment(1.0, {"Ann": ANN, "Bob": BOB, "Nameless": NAMELESS}),
    Moment(2.0, {"Ann": ANN}, unclear=("Bob",)),
]
LEFT, RIGHT, END = (5, 5, 40, 90), (50, 5, 40, 90), (90, 5, 10, 90)


def found(*claims: tuple[str, float, tuple[int, int, int, int]]) -> FilmCast:
    """A search that put people into boxes at moments; an appearance each."""
    film = Film("f", Path("f.mp4"), Fraction(25), 3.0, (100, 100), (Stretch(0, 3),), [0.0])
    appearances = tuple(
        Appearance(name, Stretch(0, 3), 1, 0.9, "face", (SeenBox(seconds, box, None, None, "face"),))
        for name, seconds, box in claims
    )
    return FilmCast(film, ("Ann", "Bob"), appearances, {"Ann": 1.0, "Bob": 1.0})


RIGHTLY = (("Ann", 1.1, LEFT), ("Bob", 0.85, RIGHT), ("Ann", 2.0, LEFT))


def test_everybody_in_their_place() -> None:
    assert misplaced(found(*RIGHTLY), PLACES) == []


@pytest.mark.parametrize(
    ("claims", "wrong"),
    [
        ([("Ann", 1.0, RIGHT), *RIGHTLY[1:]], ["1.0 s: Ann is not in (50, 5, 40, 90)"]),
        ([("Ann", 1.0, END), *RIGHTLY[1:]], ["1.0 s: Ann is not in (90, 5, 10, 90)"]),
        (RIGHTLY[1:], ["1.0 s: Ann is found nowhere"]),
        ([("Ann", 1.16, LEFT), *RIGHTLY[1:]], ["1.0 s: Ann is found nowhere"]),
        ([*RIGHTLY, ("Bob", 2.0, LEFT)], []),
        ([*RIGHTLY[:2]], ["2.0 s: Ann is found nowhere"]),
        ([("Ann", 1.0, (15, 40, 60, 50)), *RIGHTLY[1:]], []),
        ([("Ann", 1.0, (15, 10, 30, 30)), *RIGHTLY[1:]], []),
    ],
)
def test_what_is_wrong(claims: list[tuple[str, float, tuple[int, int, int, int]]], wrong: list[str]) -> None:
    assert misplaced(found(*claims), PLACES) == wrong


def test_a_box_that_holds_more_of_somebody_else_is_theirs() -> None:
    both_of_bob = (15, 10, 60, 90)
    chest_of_ann = [Moment(1.0, {"Ann": Place((20, 5), (20, 60)), "Bob": BOB})]
    assert misplaced(found(("Ann", 1.0, both_of_bob), ("Bob", 1.0, both_of_bob)), chest_of_ann) == [
        "1.0 s: Ann is in (15, 10, 60, 90) less than Bob"
    ]


def test_somebody_who_is_not_visible() -> None:
    places = [Moment(1.0, {"Bob": BOB})]
    assert misplaced(found(("Ann", 1.0, LEFT), ("Bob", 1.0, RIGHT)), places) == [
        "1.0 s: Ann is said to be in (5, 5, 40, 90), but is not visible"
    ]


@pytest.mark.parametrize(("clip", "size", "count"), [("friends", (640, 360), 12), ("titanic", (426, 240), 7)])
def test_labels_lie_in_the_picture_head_above_chest(clip: str, size: tuple[int, int], count: int) -> None:
    moments = load_places(clip)
    assert len(moments) == count and [m.seconds for m in moments] == sorted(m.seconds for m in moments)
    for place in (place for moment in moments for place in moment.people.values()):
        for across, down in (place.head, place.chest):
            assert 0 <= across < size[0] and 0 <= down < size[1]
        assert place.chest[1] - place.head[1] > 0.1 * size[1]
