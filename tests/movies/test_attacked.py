"""The search attacked: names against loops, films of thousands of tracks, odd footage."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from castsearch.movies import finding, naming
from castsearch.movies.appearances import Appearance
from castsearch.movies.appearing import Appearances
from castsearch.movies.errors import MovieError
from castsearch.movies.finding import find_cast, look_through, name_people
from castsearch.movies.habits import HABITS
from castsearch.movies.naming import TRUST, Named, name_tracks, scatter_of
from castsearch.movies.portraits import read_portraits
from castsearch.movies.scan import scan as scan_of
from castsearch.movies.scanned import Scan
from castsearch.movies.survey import identity
from castsearch.movies.tracks import Linker, Sighting, Track
from castsearch.movies.unknown import cluster_unknown
from castsearch.ranking import Impostors
from castsearch.stagefiles import Faces
from tests.movies.drawn import GREY, Actor, DrawnFilm, Pack, models, painted, still
from tests.movies.reference_naming import named_by_loops
from tests.movies.tracks_of import FACE, scan, sighting, track, unit

IMPOSTORS = Impostors(0.02, 0.1)
D = 12
RED, GREEN, ANN = (200, 40, 40), (40, 180, 40), (240, 200, 160)  # clothes, and a face


def drawn_scan(rng: np.random.Generator, n: int, people: np.ndarray, poor: float = 0.3) -> Scan:
    """Tracks of people and strangers in random shots; some without a face, some turned away, some hardly persons."""
    clothes = rng.normal(size=(len(people), D))
    tracks: list[Track] = []
    for shot in sorted(rng.integers(1, 60, n).tolist()):
        who = int(rng.integers(len(people)))
        faces = None
        if rng.random() < 0.6:
            faces = people[who] + rng.uniform(0.1, 0.4) * rng.normal(size=(int(rng.integers(1, 4)), D))
            faces /= np.linalg.norm(faces, axis=1, keepdims=True)
        good = faces is not None and rng.random() > poor
        score = float(rng.choice([0.3, 0.5, 0.9]))
        seen = [sighting(shot + k, face=None if faces is None else FACE, good=good, score=score) for k in range(3)]
        body = unit(*(clothes[who] + 0.5 * rng.normal(size=D)))
        tracks.append(track(shot, seen, faces, body, d=D))
    apart = [(i, j) for j in range(n) for i in range(j) if tracks[i].shot == tracks[j].shot and rng.random() < 0.8]
    return scan(tracks, apart)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_names_are_what_loops_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(int(rng.integers(2, 7)), D))
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    some = drawn_scan(rng, int(rng.integers(1, 25)), people)
    count = int(rng.integers(1, len(people) + 1))
    portraits = [unit(*(row + 0.2 * rng.normal(size=D)))[None].repeat(2, axis=0) for row in people[:count]]
    trust = replace(TRUST, near=int(rng.integers(0, 60)), others=float(rng.choice([0.2, 0.5, 0.8])))
    told = name_tracks(some, portraits, IMPOSTORS, trust)
    expected = named_by_loops(some, portraits, IMPOSTORS, trust)
    for one, other in zip((told.probability, told.face, told.body, told.present), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# ---------------------------------------------------------------------------- names


def test_what_is_hardly_a_person_takes_nobodys_place() -> None:
    """Two boxes in Joey's clothes, of which the detector believes one only."""
    joey, grey, other = unit(1, 0, 0), unit(1, 0.1, 0), unit(0, 0, 1)
    known = [track(1, [sighting(k, face=FACE, good=True) for k in range(3)], joey, grey, d=3)]
    beside = [track(1, [sighting(1)], None, other, d=3), track(3, [sighting(9)], None, other, d=3)]
    tracks = [*known, *beside[:1], *(track(2, [sighting(5, score=s)], None, grey, d=3) for s in (0.9, 0.4)), beside[1]]
    told = name_tracks(scan(tracks, [(0, 1), (2, 3)]), [joey[None]], IMPOSTORS)
    assert told.probability[0, 2] > 0.9
    assert told.probability[0, 3] == 0


@pytest.mark.parametrize(("most_near", "lends"), [(4, True), (2, False)])
def test_of_very_many_tracks_only_the_nearest_lend_clothes(most_near: int, lends: bool) -> None:
    joey, grey, white = unit(1, 0, 0), unit(1, 0.1, 0), unit(0, 0, 1)
    first = track(1, [sighting(0, face=FACE, good=True)], joey, grey, d=3)
    rest = [track(1, [sighting(k)], None, body, d=3) for k, body in enumerate((white, grey, white, white), start=1)]
    told = name_tracks(scan([first, *rest]), [joey[None]], IMPOSTORS, replace(TRUST, most_near=most_near))
    assert bool(told.body[0, 2] > 1) is lends


def test_portraits_that_contradict_each_other_and_a_face_of_zeros() -> None:
    face = unit(1, 0, 0)
    seen = [sighting(0, face=FACE, good=True)]
    some = scan([track(1, seen, face, d=3), track(2, seen, np.zeros((1, 3)), np.zeros(2, np.float32))])
    told = name_tracks(some, [np.stack([face, -face]), face[None]], IMPOSTORS)
    assert told.probability[1, 0] > 0.9
    assert told.probability[0].max() < 0.5  # nothing tells who is on the second track
    assert np.isfinite([*told.face, *told.body]).all() and np.isfinite(told.present).all()


def test_the_scatter_is_told_by_some_pairs_of_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    bodies = rng.normal(size=(120, 40)) + 1
    bodies /= np.linalg.norm(bodies, axis=1, keepdims=True)
    middle, scatter = scatter_of(bodies)
    cosines = (bodies @ bodies.T)[np.triu_indices(120, 1)]
    assert middle == pytest.approx(np.median(cosines))
    monkeypatch.setattr(naming, "PAIRS", 3000)
    assert scatter_of(bodies) == pytest.approx((middle, scatter), abs=0.1 * scatter)


# ---------------------------------------------------------------------------- thousands of tracks


def test_a_film_of_thousands_of_tracks_takes_no_table_of_all_pairs() -> None:
    """Such a table of 2400 tracks has 46 MB, and to group them by it takes four."""
    pytest.importorskip("sklearn.cluster")  # not measured
    rng = np.random.default_rng(0)
    people = rng.normal(size=(40, 64))
    tracks = []
    for k in range(2400):
        face = unit(*(people[k % 40] + 0.3 * rng.normal(size=64)))
        tracks.append(
            track(1 + k // 4, [sighting(k, face=FACE, good=True)], face, unit(*rng.normal(size=64)), (k, k + 2))
        )
    some = scan(tracks, [(k, k + 1) for k in range(0, 2400, 4)])
    tracemalloc.start()
    try:
        told = name_tracks(some, [unit(*row)[None] for row in people[:3]], Impostors(0.0, 0.1))
        left = np.flatnonzero(told.probability.max(axis=0) < 0.5).tolist()
        found = cluster_unknown(some, left, Impostors(0.0, 0.1))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (told.probability > 0.5).sum(axis=1).tolist() == [60] * 3
    assert [len(one.tracks) for one in found] == [60] * 37
    assert most < 80e6


# ---------------------------------------------------------------------------- odd footage


@pytest.mark.parametrize(("rate", "shown"), [(1, (2.0, 4.0)), (2, (2.0, 4.0)), (25, (1.92, 3.92))])
def test_a_picture_is_shown_until_the_next_one(tmp_path: Path, rate: int, shown: tuple[float, float]) -> None:
    """Somebody is there from 2 to 4 s; of few pictures each is looked at, and tells exactly when. Of many, those
    looked at at 1.8 and 2.0 s tell that it is from some picture between 1.84 and 2.0 s on."""
    path = tmp_path / "film.mp4"
    path.touch()
    actor = Actor(RED, None, lambda seconds: (100, 40) if 2 <= seconds < 4 else None)
    film = DrawnFilm(path, [(8, [actor])], Fraction(rate))
    (found,) = scan_of(film, film.survey(), models([RED], [])[0], tmp_path / "frames", tmp_path / "kept", None).tracks
    assert (found.stretch.start, found.stretch.end) == pytest.approx(shown)


def test_a_picture_that_is_shown_for_long_is_in_one_piece(tmp_path: Path) -> None:
    """Red is shown for 65 s, green for two minutes; pieces last 50 s."""
    path = tmp_path / "film.mp4"
    path.touch()
    red = Actor(RED, None, lambda seconds: (100, 40) if seconds < 65 else None)
    green = Actor(GREEN, None, lambda seconds: (30, 40) if seconds >= 65 else None)
    film = DrawnFilm(path, [(200, [red, green])], Fraction(1))
    survey = replace(film.survey(), times=np.array([0.0, 65.0, 66.0, 190.0]))
    found = scan_of(film, survey, models([RED, GREEN], [])[0], tmp_path / "frames", tmp_path / "kept", None)
    assert [(one.stretch.start, one.stretch.end) for one in found.tracks] == [(0, 65), (65, 190), (190, 200)]
    assert [len(one.sightings) for one in found.tracks] == [1, 2, 1]


def test_somebody_in_a_long_shot_appears_once(tmp_path: Path) -> None:
    """Pieces are named one by one, and joined: Ann is there throughout, but for half a second between two pieces."""
    path = tmp_path / "film.mp4"
    path.touch()
    (tmp_path / "portraits").mkdir()
    Image.fromarray(painted([Actor(None, ANN, still(60))], 0)).save(tmp_path / "portraits/Ann.png")
    by = models([RED], [ANN])[0]
    ann = Actor(RED, ANN, lambda seconds: None if 3.8 <= seconds < 4.3 else (100, 40))
    film, cast = DrawnFilm(path, [(8, [ann])]), read_portraits(tmp_path / "portraits", by.faces)
    scanned = look_through(film, by, tmp_path / "out", cast.people, habits=replace(HABITS, longest=2, unit=3))
    assert len(scanned.scan.tracks) == 4
    (one,) = name_people(scanned, cast, by.faces).cast.appearances
    assert (one.stretch.start, one.stretch.end, one.shot) == (0, 8, 1)
    seconds = [box.seconds for box in one.boxes]
    assert seconds == sorted(set(seconds)) and len(seconds) == 37


class _Broken:
    """A network whose numbers overflow."""

    def extract(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        return np.full((len(pictures), 3), np.nan, np.float32)


class _BrokenPack(Pack):
    def embed(self, chips: np.ndarray) -> np.ndarray:
        return np.full((len(chips), 8), np.inf, np.float32)


@pytest.mark.parametrize("broken", ["the body model", "the embedder of drawn"])
def test_features_that_are_not_finite(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    film, by = DrawnFilm(path, [(1, [Actor(RED, ANN, still(100))])]), models([RED], [ANN])[0]
    by = replace(by, bodies=_Broken()) if "body" in broken else replace(by, faces=_BrokenPack([ANN]))  # type: ignore[arg-type]
    with pytest.raises(MovieError, match=f"{broken} gives numbers that are not finite; "):
        scan_of(film, film.survey(), by, tmp_path / "frames", tmp_path / "kept", None)
    assert not (tmp_path / "kept").exists()


def test_stills_of_other_sizes_than_the_first_have_their_boxes_whole(tmp_path: Path) -> None:
    for folder in ("stills", "portraits"):
        (tmp_path / folder).mkdir()
    small = np.full((60, 60, 3), GREY, np.uint8)
    Image.fromarray(small).save(tmp_path / "stills/0.png")
    Image.fromarray(painted([Actor(RED, ANN, still(200))], 0)).save(tmp_path / "stills/1.png")
    Image.fromarray(painted([Actor(None, ANN, still(60))], 0)).save(tmp_path / "portraits/Ann.png")
    (one,) = find_cast(
        tmp_path / "stills", tmp_path / "portraits", tmp_path / "out", models([RED], [ANN])[0]
    ).appearances
    (candidate,) = json.loads((tmp_path / "out/test.json").read_text())["stills"]["candidates"]
    assert [list(box.bbox) for box in one.boxes] == [candidate["bbox"]] == [[200, 40, 50, 120]]


# ---------------------------------------------------------------------------- stopped and called again


@pytest.mark.parametrize("change", ["code", "shots found"])
def test_what_another_version_found_is_done_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    shots = [(1.0, [Actor(RED, ANN, still(100))]), (1.0, [Actor(GREEN, None, still(100))])]
    by, persons, _ = models([RED, GREEN], [ANN])
    assert len(look_through(DrawnFilm(path, shots), by, tmp_path / "out").scan.tracks) == 2
    if change == "code":
        monkeypatch.setattr(finding, "VERSION", -1)
    else:
        (tmp_path / "out/checkpoints/film/survey.npz").unlink()
        shots = [(0.6, shots[0][1]), (0.4, shots[0][1]), shots[1]]
    again = look_through(DrawnFilm(path, shots), by, tmp_path / "out")
    assert (persons.seen, len(again.scan.tracks)) == ((20, 2) if change == "code" else (20, 3))


def test_a_folder_of_pictures_is_the_same_whatever_else_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    before = identity(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert identity(tmp_path) == before
    (tmp_path / "1.png").touch()
    assert identity(tmp_path) != before


# ---------------------------------------------------------------------------- appearances


def _appearing(tracks: Sequence[Track], face: Sequence[float], body: Sequence[float]) -> list[Appearance]:
    named = Named(np.full((1, len(tracks)), 0.9), np.array([face]), np.array([body]), np.ones(1))
    return list(Appearances(scan(tracks), "film", {}, (100, 100)).of_person("Ann", 0, named))


def test_an_appearance_is_found_by_what_its_longest_track_is_found_by() -> None:
    tracks = [track(1, [sighting(start)], stretch=(start, end)) for start, end in ((0, 1), (1, 4), (4, 6))]
    (one,) = _appearing(tracks, [5, 0, 5], [0, 5, 0])
    assert (one.found_by, [box.found_by for box in one.boxes]) == ("body", ["track", "body", "track"])


def test_a_box_with_a_poor_face_rests_on_its_track() -> None:
    made = track(1, [sighting(0, face=FACE), sighting(1)], unit(1, 0), stretch=(0, 2))
    assert made.faces_of == (0,) and not made.good
    (one,) = _appearing([made], [1.5], [0])
    assert [box.found_by for box in one.boxes] == ["track", "track"]


# ---------------------------------------------------------------------------- tracks


def _numbers(*seen: tuple[Sighting, np.ndarray]) -> list[int | None]:
    """The track of each of some sightings, one a picture."""
    linker = Linker()
    return [linker.add([one], body[None])[0] for one, body in seen]


def test_one_odd_picture_does_not_change_what_a_track_looks_like() -> None:
    """In the fourth picture somebody else's arm hides the clothes; in the fifth red is some way off."""
    red, blue = unit(1, 0), unit(0, 1)
    places = [(0, red), (0, red), (0, red), (0, blue), (20, red)]
    seen = [(sighting(k / 5, (x, 0, x + 40, 100)), body) for k, (x, body) in enumerate(places)]
    assert _numbers(*seen) == [0] * 5
    assert _numbers(*seen[3:]) == [0, 1]


@pytest.mark.parametrize("faces", [True, False])
def test_faces_in_one_place_hold_a_track_whose_boxes_hardly_meet(faces: bool) -> None:
    face = (10, 10, 30, 30) if faces else None
    small, large = sighting(0, (8, 8, 32, 32), face), sighting(0.2, (0, 0, 100, 90), face)
    assert _numbers((small, unit(1, 0)), (large, unit(1, 0))) == ([0, 0] if faces else [0, 1])


@pytest.mark.parametrize("first", [RED, GREEN])
def test_a_small_box_within_a_large_one_may_be_the_same_person(tmp_path: Path, first: tuple[int, int, int]) -> None:
    """Five eighths of the green box, which the edge cuts, lie in the red one; a quarter of the red one in the green."""
    path = tmp_path / "film.mp4"
    path.touch()
    film = DrawnFilm(path, [(1, [Actor(RED, None, still(265)), Actor(GREEN, None, still(300, 60))])])
    by = models({RED: 0.8, GREEN: 0.8} | {first: 0.9}, [])[0]
    found = scan_of(film, film.survey(), by, tmp_path / "frames", tmp_path / "kept", None)
    assert len(found.tracks) == 2 and found.apart == ()


class _Unsure(Pack):
    """Is as sure of each face as ``score`` says."""

    score = 0.9

    def detect(self, image: np.ndarray) -> Faces:
        found = super().detect(image)
        return replace(found, scores=np.full(len(found), self.score, np.float32))


@pytest.mark.parametrize(("score", "count"), [(0.91, 1), (0.89, 0)])
def test_only_a_sure_face_gives_a_person_whom_the_detector_does_not_see(
    tmp_path: Path, score: float, count: int
) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    film, pack = DrawnFilm(path, [(1, [Actor(None, ANN, still(100))])]), _Unsure([ANN])
    pack.score = score
    by = replace(models([RED], [])[0], faces=pack)
    assert len(scan_of(film, film.survey(), by, tmp_path / "frames", tmp_path / "kept", None).tracks) == count
