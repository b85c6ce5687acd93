"""What a gallery of a film shows: everybody's boxes, by the probability of their tracks, then by time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch.annotations import read_annotations
from castsearch.decisions import Decisions
from castsearch.gallery.site.content import MovieContent
from castsearch.gallery.site.films import FilmGallery, overview_of
from castsearch.gallery.site.pictures import Pictures
from castsearch.images import read_image
from castsearch.movies.finding import MODE, Found, look_through, name_people
from castsearch.movies.layout import frames_folder
from castsearch.movies.looks import write_unknown
from castsearch.movies.portraits import read_portraits
from tests.movies.drawn import SIZE, Actor, DrawnFilm, models, painted, still

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 40), (40, 40, 200)  # clothes
ANN, BOB, CAT, DAN = (240, 200, 160), (160, 220, 240), (250, 250, 120), (250, 150, 250)  # faces
HOSTILE = """<script>"Bob" & 'b'%41 ü名"""
SHOTS = [
    (2.0, [Actor(RED, ANN, still(40)), Actor(GREEN, BOB, still(200))]),
    (2.0, [Actor(BLUE, CAT, still(120))]),
    (2.0, [Actor(RED, None, still(100)), Actor(GREEN, BOB, still(220))]),
]


@dataclass(frozen=True)
class Made:
    """A film that was looked through, and what its gallery shows."""

    out: Path
    found: Found
    content: MovieContent


def made(root: Path, portraits: dict[str, list[tuple[int, int, int]]], film: str) -> Made:
    """Look for people, by the colours of their faces on each portrait, in a film of a name."""
    for name, faces in portraits.items():
        for number, face in enumerate(faces):
            (root / "portraits" / name).mkdir(parents=True, exist_ok=True)
            drawn = painted([Actor(None, face, still(40 + number))], 0)
            Image.fromarray(drawn).save(root / "portraits" / name / f"{number}.png")
    (root / film).write_text("")
    seeing, _, pack = models([RED, GREEN, BLUE], [ANN, BOB, CAT, DAN])
    cast, out = read_portraits(root / "portraits", pack), root / "out"
    scanned = look_through(DrawnFilm(root / film, SHOTS), seeing, out, cast.people)
    found = name_people(scanned, cast, pack, cluster=True)
    movie = scanned.movie
    unknown = write_unknown(found, frames_folder(out, MODE, movie), out / "unknown" / movie)
    of_gallery = FilmGallery([found], out, {movie: {path.stem: path for path in unknown}})
    (content,) = of_gallery.movies(Pictures(root / "g"))
    return Made(out, found, content)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("film"), {"Ann": [ANN, ANN], HOSTILE: [BOB], "Dan": [DAN]}, "a #1? <b>%41.mp4")


def times(film: Made, name: str, count: int) -> list[float]:
    """Seconds of the first boxes of somebody."""
    person = next(one for one in film.content.people if one.name == name)
    return [film.content.frames[film.content.boxes[box].frame].seconds for box in person.results[0].order[:count]]


def test_boxes_are_the_layouts(film):
    movie = read_annotations(film.out / "test.json")[film.content.name]
    assert len(movie.candidates) > 10
    assert [(box.id, box.file, box.bbox) for box in film.content.boxes] == [
        (one.id, one.file, one.bbox) for one in movie.candidates
    ]
    assert [film.content.frames[box.frame].name for box in film.content.boxes] == [one.img for one in movie.candidates]
    assert {frame.size for frame in film.content.frames} == {SIZE}
    for box in film.content.boxes:
        frame = read_image(film.out / "origin/test" / film.content.frames[box.frame].name).astype(float)
        x, y, width, height = box.bbox
        shown = read_image(film.out.parent / "g" / box.thumbnail)
        assert shown.shape == (height, width, 3)
        assert np.abs(frame[y : y + height, x : x + width].mean((0, 1)) - shown.mean((0, 1))).max() < 3


def test_people_are_those_of_the_layout_then_groups(film):
    ids = [one.id for one in read_annotations(film.out / "test.json")[film.content.name].cast]
    by_name = {one.name: one for one in film.content.people}
    assert list(by_name) == [HOSTILE, "Ann", "Dan", "unknown-1"]
    assert [one.id for one in film.content.people[:3]] == [one for one in ids if "#" not in one]
    assert [len(one.portraits) for one in film.content.people] == [1, 2, 1, 1]
    assert [one.group for one in film.content.people] == [False, False, False, True]
    presence = film.found.cast.presence
    assert [one.present for one in film.content.people] == [presence[HOSTILE], presence["Ann"], presence["Dan"], None]
    assert presence["Dan"] < 0.5 < presence["Ann"]


def test_everybody_ranks_all_boxes(film):
    n = len(film.content.boxes)
    for person in film.content.people[:3]:
        (ranked,) = person.results
        assert sorted(ranked.order.tolist()) == list(range(n)) and len(ranked.found_by) == n and ranked.ap is None
        falls = np.diff(ranked.probability)
        assert (falls <= 0).all() and (np.diff(ranked.order)[falls == 0] > 0).all()  # then by time
        assert [word == "rest" for word in ranked.found_by] == (ranked.probability <= 0.5).tolist()


def test_who_is_found_by_what(film):
    """Bob's two tracks by the face, and Ann's second, which shows none, by the body; told apart by where they stand."""
    found: dict[str, dict[str, str]] = {}
    for person in film.content.people:
        (ranked,) = person.results
        words = zip(ranked.order, ranked.found_by, strict=True)
        found[person.name] = {film.content.boxes[box].id: word for box, word in words if word != "rest"}
    corner = {box.id: box.bbox[0] for box in film.content.boxes}
    stands = {HOSTILE: {200, 220}, "Ann": {40, 100}, "Dan": set(), "unknown-1": {120}}
    for name, xs in stands.items():
        assert found[name].keys() == {box for box, x in corner.items() if x in xs}
    assert {found["Ann"][box] for box, x in corner.items() if x == 100} == {"body"}
    assert {found["Ann"][box] for box, x in corner.items() if x == 40} >= {"face"}
    assert set(found["unknown-1"].values()) == {"track"}
    for name in (HOSTILE, "Ann"):
        seen = [box for one in film.found.cast.appearances if one.cast == name for box in one.boxes]
        assert found[name] == {box.candidate: box.found_by for box in seen if box.candidate is not None}
    (group,) = film.content.people[-1].results
    assert group.order.tolist() == sorted(group.order) and group.probability is None


def test_times(film):
    assert times(film, "unknown-1", 1) == [pytest.approx(2, abs=0.3)]
    by_name = {one.name: one for one in film.content.people}
    assert [(one.start, one.end, one.found_by) for one in by_name["Ann"].appearances] == [
        (0, pytest.approx(2, abs=0.1), "face"),
        (pytest.approx(4, abs=0.1), pytest.approx(6, abs=0.1), "body"),
    ]
    assert by_name["Dan"].appearances == []
    assert film.content.duration == 6
    svg = (film.out.parent / "g" / film.content.timeline).read_text()
    assert "<script>" not in svg and "Ann" in svg


def test_names_are_the_movies(film):
    overview = overview_of([film.found], Decisions())
    assert (overview.title, list(overview.results)) == (f"Who is in {film.content.name}", ["this search"])


def test_a_picture_that_is_gone_is_grey(film, tmp_path):
    out, movie = shutil.copytree(film.out, tmp_path / "out"), film.content.name
    gone = film.content.frames[0]
    (out / "origin/test" / gone.name).unlink()
    pictures = Pictures(tmp_path / "g")
    unknown = {path.stem: path for path in (out / "unknown" / movie).iterdir()}
    (again,) = FilmGallery([film.found], out, {movie: unknown}).movies(pictures)
    assert (again.frames[0].picture, again.frames[0].size, again.frames[0].seconds) == (None, None, gone.seconds)
    of_gone = [box.thumbnail for box in again.boxes if box.frame == 0]
    assert set(of_gone) == {pictures.blank()} and len(pictures.bad) == 1
    assert again.boxes[-1].thumbnail != pictures.blank()
