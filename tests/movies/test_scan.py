"""Drawn films looked through: whom is followed from when to when, how often is looked for faces, and what is kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch.images import declared_size
from castsearch.movies.footage import Survey, Tell, untold
from castsearch.movies.habits import HABITS, Habits
from castsearch.movies.models import Models
from castsearch.movies.scan import scan
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import Track

from .drawn import FACE, GREY, HEIGHT, WIDTH, Actor, Corner, DrawnFilm, Stop, models, still

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 40), (40, 40, 200)  # clothes
ANN, BOB = (240, 200, 160), (160, 220, 240)  # faces
PICTURE = 1 / 25  # seconds
SAMPLE = 1 / HABITS.rate


def film(folder: Path, *shots: tuple[float, list[Actor]]) -> DrawnFilm:
    path = folder / "film.mp4"
    path.touch()
    return DrawnFilm(path, shots)


def looked(some: DrawnFilm, by: Models, habits: Habits = HABITS, survey: Survey | None = None, **more: Any) -> Scan:
    folder = some.path.parent
    return scan(some, survey or some.survey(), by, folder / "frames", folder / "kept", "these", habits, **more)


def between(start: float, end: float, x: float = 100, y: float = 40) -> Callable[[float], Corner | None]:
    """Where somebody stands who is there from ``start`` to ``end`` only."""
    return lambda seconds: (x, y) if start <= seconds < end else None


def x_of(track: Track) -> list[float]:
    """Where the middle of the boxes lies."""
    return [float(one.box[[0, 2]].mean()) for one in track.sightings]


# ---------------------------------------------------------------------------- from when to when


def test_tracks_end_at_cuts(tmp_path: Path) -> None:
    somebody = Actor(RED, ANN, still(100))
    some = film(tmp_path, (2.2, [somebody]), (1.8, [somebody]), (1.0, []), (2.0, [somebody]))
    found = looked(some, models([RED], [ANN])[0])
    assert [(one.shot, one.stretch) for one in found.tracks] == [
        (1, Stretch(0, 2.2)),
        (2, Stretch(2.2, 4.0)),
        (4, Stretch(5.0, 7.0)),
    ]
    assert [one.seconds for one in found.tracks[1].sightings] == pytest.approx(np.arange(2.2, 4.0, 0.2))
    assert found.apart == ()


@pytest.mark.parametrize(("start", "end"), [(1.02, 3.0), (1.2, 2.51), (0.9, 4.99)])
def test_who_comes_and_goes_is_there_within_half_a_sample(tmp_path: Path, start: float, end: float) -> None:
    some = film(tmp_path, (6, [Actor(RED, None, between(start, end))]))
    (track,) = looked(some, models([RED], [])[0]).tracks
    assert track.stretch.start == pytest.approx(start, abs=SAMPLE / 2 + PICTURE)
    assert track.stretch.end == pytest.approx(end, abs=SAMPLE / 2 + PICTURE)
    assert all(start <= one.seconds < end for one in track.sightings)


@pytest.mark.parametrize(("gone", "tracks"), [(0.8, 1), (1.4, 2)])
def test_who_is_away_for_more_than_a_second_is_followed_anew(tmp_path: Path, gone: float, tracks: int) -> None:
    here = Actor(RED, None, lambda seconds: None if 2 <= seconds < 2 + gone else (100, 40))
    found = looked(film(tmp_path, (5, [here])), models([RED], [])[0])
    assert len(found.tracks) == tracks


def test_people_who_cross_keep_their_tracks(tmp_path: Path) -> None:
    right = Actor(RED, None, lambda seconds: (20 + 50 * seconds, 50))
    left = Actor(GREEN, None, lambda seconds: (220 - 50 * seconds, 10))
    found = looked(film(tmp_path, (4, [right, left])), models([RED, GREEN], [])[0])
    assert len(found.tracks) == 2
    for track, clothes in zip(found.tracks, (RED, GREEN), strict=True):
        assert len(track.sightings) == 20
        bodies = np.array(clothes, np.float32) - GREY
        assert track.body @ bodies / np.linalg.norm(bodies) > 0.99
    assert np.diff(x_of(found.tracks[0])).min() > 0 > np.diff(x_of(found.tracks[1])).max()
    assert found.apart == ((0, 1),)


def test_those_in_a_picture_are_apart_unless_one_box_holds_the_other(tmp_path: Path) -> None:
    beside = [Actor(RED, None, still(40)), Actor(GREEN, None, still(150))]
    within = [Actor(RED, None, still(100, 30)), Actor(GREEN, None, still(120, 35))]
    faced = [replace(within[0], face=ANN), replace(within[1], face=BOB)]
    some = film(tmp_path, (1, beside), (1, within), (1, faced))
    assert looked(some, models([RED, GREEN], [ANN, BOB])[0]).apart == ((0, 1), (4, 5))


def test_unsure_boxes_go_on_with_a_track_and_begin_none(tmp_path: Path) -> None:
    """Somebody in red turns green, of which the detector is less sure; green alone is nobody."""
    red, green = Actor(RED, None, between(0, 1)), Actor(GREEN, None, between(1, 2))
    some = film(tmp_path, (2, [red, green]), (1, [replace(green, at=still(100))]))
    by = models({RED: 0.9, GREEN: 0.4}, [])[0]
    by = replace(by, bodies=_Colourless())  # type: ignore[arg-type]
    (track,) = looked(some, by).tracks
    assert [one.score for one in track.sightings] == pytest.approx([0.9] * 5 + [0.4] * 5)


class _Colourless:
    def extract(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        return np.ones((len(list(pictures)), 3), np.float32)


def test_a_body_is_that_of_the_boxes_which_others_cover_least(tmp_path: Path) -> None:
    """The colours of the crops tell: while green covers red's feet, red's crops show green there."""
    passing = Actor(GREEN, None, lambda seconds: (125, 70) if 1 <= seconds < 1.8 else (250, 40))
    found = looked(film(tmp_path, (4, [Actor(RED, None, still(100)), passing])), models([RED, GREEN], [])[0])
    assert len(found.tracks[0].sightings) == 20
    red = np.array(RED, np.float32) - GREY
    assert found.tracks[0].body == pytest.approx(red / np.linalg.norm(red), abs=1e-3)


# ---------------------------------------------------------------------------- faces


def looks(found: Scan) -> list[float]:
    """When pictures were kept: faces were looked for in them, and somebody is there."""
    return sorted({one.seconds for track in found.tracks for one in track.sightings if one.frame})


def test_faces_are_looked_for_often_at_first_and_seldom_later(tmp_path: Path) -> None:
    some = film(tmp_path, (9, [Actor(RED, ANN, still(100))]))
    by, _, pack = models([RED], [ANN])
    found = looked(some, by)
    assert looks(found) == pytest.approx([0, 0.2, 0.4, 1.0, 3.0, 5.0, 7.0])
    assert len(pack.seen) == 7
    (track,) = found.tracks
    assert track.good and track.faces_of == tuple(track.sightings.index(one) for one in track.sightings if one.frame)
    features = pack.features(ANN)
    assert track.faces @ features / np.linalg.norm(features) == pytest.approx([1] * 7)


@pytest.mark.parametrize(
    ("looking", "side"), [("profile", 26), ("front", 22)], ids=["turned away", "smaller than 24 pixels"]
)
def test_as_long_as_no_face_is_good_it_is_looked_for_more_often(tmp_path: Path, looking: str, side: int) -> None:
    some = film(tmp_path, (3, [Actor(RED, ANN, still(100), lambda seconds: looking, side)]))
    by, _, pack = models([RED], [ANN])
    (track,) = looked(some, by).tracks
    assert looks(Scan((track,), ())) == pytest.approx([0, 0.2, 0.4, 1.0, 1.6, 2.2, 2.8])
    assert len(pack.seen) == 7
    assert not track.good and len(track.faces) == 7


def test_who_comes_later_is_looked_at_at_once(tmp_path: Path) -> None:
    some = film(tmp_path, (6, [Actor(RED, ANN, still(60)), Actor(GREEN, BOB, between(3.7, 9, 200))]))
    found = looked(some, models([RED, GREEN], [ANN, BOB])[0])
    assert [one.seconds for one in found.tracks[1].sightings if one.frame][:3] == pytest.approx([3.8, 4.0, 4.2])


def test_where_nobody_is_faces_are_looked_for_seldom_and_no_picture_is_kept(tmp_path: Path) -> None:
    by, persons, pack = models([RED], [ANN])
    found = looked(film(tmp_path, (5, [])), by)
    assert found.tracks == () and not (tmp_path / "frames").exists()
    assert (persons.seen, len(pack.seen)) == (25, 5)  # at 0, .2, .4, 2.4, 4.4


def test_only_the_best_faces_are_embedded(tmp_path: Path) -> None:
    """Of eleven looks the first four show the face half turned: good ones still, but not of the best."""
    turning = Actor(RED, ANN, still(100), lambda seconds: "half" if seconds < 2 else "front")
    by, _, pack = models([RED], [ANN])
    found = looked(film(tmp_path, (17, [turning])), by, replace(HABITS, best=5))
    (track,) = found.tracks
    assert pack.embedded == len(track.faces) == 5
    assert [track.sightings[place].seconds for place in track.faces_of] == pytest.approx([3, 5, 7, 9, 11])
    assert track.good and all(one.good for one in track.sightings if one.face is not None)


@pytest.mark.parametrize(("share", "good"), [(0.25, True), (0.26, False)])
def test_few_good_faces_among_many_poor_ones_do_not_tell(tmp_path: Path, share: float, good: bool) -> None:
    """One of four looks shows a good face."""
    turning = Actor(RED, ANN, still(100), lambda seconds: "front" if 0.1 < seconds < 0.3 else "profile")
    (track,) = looked(
        film(tmp_path, (1.2, [turning])), models([RED], [ANN])[0], replace(HABITS, good_share=share)
    ).tracks
    assert track.good is good
    assert track.faces_of == ((1,) if good else (0, 1, 2, 5))


def test_whom_the_face_alone_tells_gets_the_box_of_a_person(tmp_path: Path) -> None:
    by, _, pack = models([RED], [ANN])
    found = looked(film(tmp_path, (2, [Actor(None, ANN, still(100, 0)), Actor(None, ANN, between(9, 9))])), by)
    (track,) = found.tracks
    x1, y1, side = 100 + FACE[0], FACE[1], FACE[2]
    expected = [x1 - 0.9 * side, 0, x1 + 1.9 * side, y1 + 5.5 * side]  # half a face above would lie outside
    assert track.sightings[0].box.tolist() == pytest.approx(expected)
    assert {one.score for one in track.sightings} == {0.0}
    assert len(pack.seen) == len(track.sightings) == 10  # nothing else holds the track: looked for in each picture
    assert track.stretch == Stretch(0, 2)


def test_without_a_face_pack_people_are_followed_all_the_same(tmp_path: Path) -> None:
    by = replace(models([RED], [ANN])[0], faces=None)
    (track,) = looked(film(tmp_path, (2, [Actor(RED, ANN, still(100))])), by).tracks
    assert len(track.sightings) == 10 and track.faces.size == 0 and not track.good


# ---------------------------------------------------------------------------- what is kept


def test_kept_pictures_carry_shot_and_number_and_show_what_was_seen(tmp_path: Path) -> None:
    walking = Actor(RED, ANN, lambda seconds: (20 + 30 * seconds, 40))
    some = film(tmp_path, (2.2, []), (3, [walking]))
    found = looked(some, models([RED], [ANN])[0])
    kept = {one.frame: one for track in found.tracks for one in track.sightings if one.frame}
    assert sorted(kept) == sorted(path.stem for path in (tmp_path / "frames").iterdir())
    for name, sighting in kept.items():
        assert name == f"shot0002img{round((sighting.seconds - 2.2) * 25)}"
        file = tmp_path / f"frames/{name}.jpg"
        assert declared_size(file) == (WIDTH, HEIGHT)
        assert sighting.box.tolist() == list(walking.box(sighting.seconds) or ())


def test_a_long_shot_is_followed_in_pieces_that_fit_together(tmp_path: Path) -> None:
    somebody = Actor(RED, ANN, still(100))
    some = film(tmp_path, (1, [somebody]), (7, [somebody]))
    found = looked(some, models([RED], [ANN])[0], replace(HABITS, longest=2, unit=3))
    assert [(one.shot, one.stretch) for one in found.tracks] == [
        (1, Stretch(0, 1)),
        (2, Stretch(1, 2.75)),
        (2, Stretch(2.75, 4.5)),
        (2, Stretch(4.5, 6.25)),
        (2, Stretch(6.25, 8)),
    ]
    seconds = [one.seconds for track in found.tracks[1:] for one in track.sightings]
    assert np.diff(seconds).min() > 0 and np.diff(seconds).max() < SAMPLE + PICTURE / 2
    frames = [one.frame for track in found.tracks[1:] for one in track.sightings if one.frame]
    assert len(set(frames)) == len(frames)
    assert frames[-1] == f"shot0002img{round((looks(found)[-1] - 1) * 25)}"


def test_pictures_that_are_missing_are_left_out(tmp_path: Path) -> None:
    some = film(tmp_path, (4, [Actor(RED, None, still(100))]))
    whole = some.survey()
    holed = replace(whole, times=whole.times[(whole.times < 1.5) | (whole.times >= 2.3)])
    (track,) = looked(some, models([RED], [])[0], survey=holed).tracks
    assert [one.seconds for one in track.sightings] == pytest.approx(
        [*np.arange(0, 1.5, 0.2), 2.32, *np.arange(2.4, 4, 0.2)]
    )


class _Holed(DrawnFilm):
    def frames(self, start: float = 0, tell: Tell = untold) -> Iterator[Any]:
        return (frame for frame in super().frames(start, tell) if not 1.5 <= frame.seconds < 2.3)


def test_pictures_that_cannot_be_decoded_again_have_no_stand_in(tmp_path: Path) -> None:
    """Although the first look through the film saw them."""
    whole = film(tmp_path, (4, [Actor(RED, None, still(100))]))
    (track,) = looked(_Holed(whole.path, whole.shots), models([RED], [])[0]).tracks
    seconds = np.arange(0, 4, 0.2)
    assert [one.seconds for one in track.sightings] == pytest.approx(seconds[(seconds < 1.5) | (seconds > 2.3)])


def busy(folder: Path) -> DrawnFilm:
    """Nine seconds of four shots, one of them long."""
    walking = Actor(RED, ANN, lambda seconds: (20 + 25 * seconds, 40))
    other = Actor(GREEN, BOB, between(1.5, 6, 220), lambda seconds: "profile" if seconds < 4 else "front")
    return film(folder, (1.2, [walking]), (5, [walking, other]), (0.8, []), (2, [other, Actor(BLUE, None, still(30))]))


BUSY = replace(HABITS, longest=2, unit=1.5)
COLOURS = ([RED, GREEN, BLUE], [ANN, BOB])


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_killed_anywhere_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "often").mkdir()
    by, persons, pack = models(*COLOURS)
    whole = looked(busy(tmp_path / "once"), by, BUSY)
    expected, often = _bytes(tmp_path / "once"), busy(tmp_path / "often")
    kept = sorted(name for name in expected if name.startswith("kept"))
    assert len(kept) == 6 and persons.seen == 47
    places = np.random.default_rng(0).permutation(20)[:8].tolist()
    done = 0
    for place in places:
        interrupted = models(*COLOURS, fails_at=place)[0]
        try:
            looked(often, interrupted, BUSY)
        except Stop:
            files = [name for name in _bytes(tmp_path / "often") if name.startswith("kept")]
            assert len(files) >= done
            done = len(files)
    assert done > 0
    again = looked(often, models(*COLOURS)[0], BUSY)
    assert _bytes(tmp_path / "often") == expected
    assert [one.stretch for one in again.tracks] == [one.stretch for one in whole.tracks]
    rest = models(*COLOURS)
    looked(often, rest[0], BUSY)
    assert rest[1].seen == 0 and rest[2].seen == [] and pack.embedded > 0


def test_what_comes_after_a_lost_part_does_not_count(tmp_path: Path) -> None:
    some = busy(tmp_path)
    whole = looked(some, models(*COLOURS)[0], BUSY)
    expected = _bytes(tmp_path)
    (tmp_path / "kept/00001.npz").unlink()
    again = looked(some, models(*COLOURS)[0], BUSY)
    assert [one.stretch for one in again.tracks] == [one.stretch for one in whole.tracks]
    assert _bytes(tmp_path) == expected


def test_after_a_kill_only_what_is_left_is_decoded_and_told(tmp_path: Path) -> None:
    some, told = busy(tmp_path), []

    def progress(items: Iterable[Any], *, total: int, unit: str) -> Iterable[Any]:
        told.append((total, unit, 0))
        for number, item in enumerate(items, start=1):
            told[-1] = (total, unit, number)
            yield item

    with pytest.raises(Stop):
        looked(some, models(*COLOURS, fails_at=30)[0], BUSY, progress=progress)
    looked(some, models(*COLOURS)[0], BUSY, progress=progress)
    first, second = told
    assert first[:2] == (9, "s of film") and second[0] == second[2] < 9
    assert some.decoded[0] == 0 and 9 - some.decoded[1] == pytest.approx(second[0], abs=1)


@pytest.mark.parametrize("what", ["depends", "nothing"])
def test_of_other_settings_it_is_done_anew(tmp_path: Path, what: str) -> None:
    some = busy(tmp_path)
    looked(some, models(*COLOURS)[0], BUSY)
    by, persons, _ = models(*COLOURS)
    scan(
        some, some.survey(), by, tmp_path / "frames", tmp_path / "kept", {"depends": 1, "nothing": "these"}[what], BUSY
    )
    assert persons.seen == (47 if what == "depends" else 0)


def test_the_room_opens_without_torch() -> None:
    """It takes seconds to load: who mistypes a name should not wait for it."""
    code = "import sys, castsearch.movies.finding; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
