from __future__ import annotations

import numpy as np
import pytest

from castsearch.movies.tracks import Linker, Sighting, areas, intersections, overlaps
from tests.movies.tracks_of import sighting, unit

RED, BLUE = unit(1, 0, 0), unit(0, 1, 0)


def numbers(pictures: list[list[tuple[Sighting, np.ndarray]]]) -> list[list[int | None]]:
    """What a linker makes of pictures, each with persons and their bodies."""
    linker = Linker()
    return [linker.add([one for one, _ in some], np.stack([body for _, body in some])) for some in pictures]


def at(seconds: float, left: float, score: float = 0.9, face: bool = False) -> Sighting:
    """A person 40 pixels wide and 100 high."""
    of_face = (left + 10, 5, left + 30, 30) if face else None
    return sighting(seconds, (left, 0, left + 40, 100), of_face, score=score)


def test_areas_by_hand() -> None:
    some = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    others = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float32)
    assert areas(some).tolist() == [100, 0]
    np.testing.assert_allclose(intersections(some, others), [[50, 0, 100], [0, 0, 0]])
    np.testing.assert_allclose(overlaps(some, others), [[1 / 3, 0, 1], [0, 0, 0]])


def test_people_who_cross_keep_their_tracks_by_their_bodies() -> None:
    """Red walks right, blue left; in the middle each stands where the other one was."""
    pictures = [[(at(t / 5, 20 * t), RED), (at(t / 5, 120 - 20 * t), BLUE)] for t in range(7)]
    assert numbers(pictures) == [[0, 1]] * 7


def test_people_in_the_same_clothes_are_told_by_where_they_are() -> None:
    pictures = [[(at(t / 5, 3 * t), RED), (at(t / 5, 60 - 3 * t), RED)] for t in range(5)]
    assert numbers(pictures) == [[0, 1]] * 5


def test_of_the_order_in_a_picture_nothing_hangs() -> None:
    assert numbers([[(at(0, 0), RED), (at(0, 60), RED)], [(at(0.2, 60), RED), (at(0.2, 0), RED)]]) == [[0, 1], [1, 0]]


@pytest.mark.parametrize(("missed", "same"), [(0.8, True), (1.0, True), (1.2, False)])
def test_who_is_missed_for_longer_than_a_second_is_given_up(missed: float, same: bool) -> None:
    (_, (again,)) = numbers([[(at(0, 0), RED)], [(at(missed, 0), RED)]])
    assert (again == 0) is same


def test_unsure_boxes_go_on_with_a_track_and_begin_none() -> None:
    assert numbers([[(at(0, 0, score=0.4), RED)]]) == [[None]]
    assert numbers([[(at(0, 0, score=0.4, face=True), RED)]]) == [[0]]
    assert numbers([[(at(0, 0, score=0.5), RED)], [(at(0.2, 4, score=0.31), RED)]]) == [[0], [0]]


def test_faces_that_overlap_hold_together_what_boxes_alone_do_not() -> None:
    """The box jumps from the head to the whole person, and the body looks otherwise."""
    small, large = (0, 0, 40, 50), (0, 0, 80, 150)
    for face, same in (((10, 5, 30, 30), True), (None, False)):
        first, second = sighting(0, small, face), sighting(0.2, large, face)
        found = numbers([[(first, RED)], [(second, BLUE)]])
        assert (found[1][0] == found[0][0]) is same


def test_bodies_alone_do_not_carry_a_track_across_the_picture() -> None:
    assert numbers([[(at(0, 0), RED)], [(at(0.2, 300), RED)]]) == [[0], [1]]


def test_nobody_in_a_picture() -> None:
    linker = Linker()
    assert linker.add([], np.zeros((0, 0), np.float32)) == []
    linker.add([at(0, 0)], RED[None])
    assert linker.open(1.0) == [0]
    assert linker.open(1.1) == []
