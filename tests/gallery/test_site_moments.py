"""Appearances of ranked boxes: by tracks, half the way to the next kept picture, within shots."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from castsearch.gallery.site.content import Box, Frame, MovieContent, Person, RankedBoxes
from castsearch.gallery.site.moments import with_moments
from castsearch.movies.layout import Times
from castsearch.movies.timeline import timeline_svg
from castsearch.movies.times import Stretch

KEPT = (0.0, 0.4, 1.0, 5.0, 6.0, 12.0)  # seconds of frames 0 to 5
SHOTS = (Stretch(0, 4.5), Stretch(4.5, 20))
# Track 0 in frames 0 to 2, 1 in 3, 2 in 4, 3 in 5, 4 in 0.
BOXES = ((0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (0, 4))
TIMES = Times(
    Fraction(25), Fraction(1, 25), 20.0, SHOTS, {}, {f"b{n}": track for n, (_, track) in enumerate(BOXES) if n != 6}
)


def person(name: str, shares: list[float] | None, words: list[str] | None = None) -> Person:
    n = len(BOXES)
    order = np.arange(n)[::-1]
    probability = None if shares is None else np.array(shares, np.float32)[order]
    told = (words or ["face"] * n)[::-1]
    return Person(f"m_{name}", name, [], [RankedBoxes(order, told, probability)])


def content(*people: Person) -> MovieContent:
    boxes = [Box(f"b{n}", f"m/b{n}.jpg", "t", frame, None) for n, (frame, _) in enumerate(BOXES)]
    return MovieContent("m", people, boxes, [Frame(f"f{n}", None, None, at) for n, at in enumerate(KEPT)])


def test_tracks_become_appearances():
    words = ["face", "body", "body", "time", "time", "frame", "rest"]
    ann = person("Ann", [0.9, 0.3, 0.6, 0.7, 0.9, 0.6, 0.9], words)
    bob = person("Bob", [0.2, 0.8, 0.2, 0.1, 0.1, 0.5, 0.1])
    dan = person("Dan", [0.1] * 7)
    made, cast = with_moments(content(ann, bob, dan), TIMES)
    told = [[(one.start, one.end, one.found_by) for one in each.appearances] for each in made.people]
    assert told == [
        # To 2, a second after 1.0, since the next is at 5.0; 4.5 is the shot's begin; 4.5 and 6.5 meet; 12 alone.
        [(0, 2.0, "body"), (4.5, 7.0, "track"), (11.0, 13.0, "track")],
        [],
        [],
    ]
    assert [one.probability for one in made.people[0].appearances] == pytest.approx([0.6, 0.8, 0.6])
    assert [(one.cast, one.shot) for one in cast.appearances] == [("Ann", 1), ("Ann", 2), ("Ann", 2)]
    assert cast.absent == ("Dan",) and cast.presence == pytest.approx({"Ann": 0.9, "Bob": 0.8, "Dan": 0.1})
    svg = timeline_svg(cast)
    assert svg.count("by track</title>") == 2 and "probably not in the film (10 %)" in svg


def test_the_way_to_the_next_kept_picture_is_halved():
    made, _ = with_moments(content(person("Ann", [0, 0, 0, 0, 0.9, 0, 0])), TIMES)
    assert [(one.start, one.end) for one in made.people[0].appearances] == [(5.5, 7.0)]


def test_without_probabilities_nothing_is_told():
    plain = content(person("Ann", None), Person("m_Bob", "Bob", [], [None]))
    assert with_moments(plain, TIMES) == (plain, None)
