"""Decisions on a drawn film that was looked through: what lies in the layout then, and who is found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch.annotations import read_annotations
from castsearch.decisions import Boxes, Decisions, Verdicts
from castsearch.gallery.site.content import MovieContent
from castsearch.gallery.site.films import FilmGallery
from castsearch.gallery.site.pictures import Pictures
from castsearch.images import read_image
from castsearch.movies.correcting import NAMED, correct
from castsearch.movies.errors import MovieError
from castsearch.movies.finding import MODE, Found, Scanned, look_through, name_people
from castsearch.movies.layout import frames_folder
from castsearch.movies.looks import write_unknown
from castsearch.movies.portraits import Cast, read_portraits
from tests.movies.drawn import Actor, DrawnFilm, models, painted, still

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 40), (40, 40, 200)  # clothes
ANN, BOB, CAT = (240, 200, 160), (160, 220, 240), (250, 250, 120)  # faces
ANNS, BOBS, CATS, BEHIND = 40, 200, 120, 80  # where they stand: left edges of their boxes
SHOTS = [
    (2.0, [Actor(RED, ANN, still(ANNS)), Actor(GREEN, BOB, still(BOBS))]),
    (2.0, [Actor(BLUE, CAT, still(CATS))]),
    (2.0, [Actor(RED, None, still(BEHIND)), Actor(GREEN, BOB, still(BOBS))]),
]


@dataclass(frozen=True)
class Film:
    """Films that were looked through into one folder."""

    out: Path
    cast: Cast
    pack: object
    scans: tuple[Scanned, ...]

    def boxes(self, left: int, movie: str = "a") -> Boxes:
        """Those of a movie whose left edge is there."""
        found = read_annotations(self.out / "test.json")[movie].candidates
        return {one.id: one.file for one in found if one.bbox[0] == left}

    def find(self, decisions: Decisions) -> tuple[list[Found], list[MovieContent], list[str]]:
        """Who is found, what a gallery shows, and what is strange."""
        told, strange = correct(self.scans, self.cast, decisions, self.out)
        found = [
            name_people(scanned, self.cast, self.pack, cluster=True, told=one)  # type: ignore[arg-type]
            for scanned, one in zip(self.scans, told, strict=True)
        ]
        unknown = {}
        for each in found:
            movie = each.scanned.movie
            paths = write_unknown(each, frames_folder(self.out, MODE, movie), self.out / "unknown" / movie)
            unknown[movie] = {path.stem: path for path in paths}
        gallery = FilmGallery(found, self.out, unknown)
        return found, list(gallery.movies(Pictures(self.out.parent / "g"))), list(strange)


@pytest.fixture
def looked(tmp_path: Path) -> Callable[..., Film]:
    """Looks through drawn films of these names."""

    def look(*names: str) -> Film:
        (tmp_path / "portraits").mkdir(exist_ok=True)
        for name, face in (("Ann", ANN), ("bob", BOB)):
            Image.fromarray(painted([Actor(None, face, still(40))], 0)).save(tmp_path / f"portraits/{name}.png")
        seeing, _, pack = models([RED, GREEN, BLUE], [ANN, BOB, CAT])
        cast, out = read_portraits(tmp_path / "portraits", pack), tmp_path / "out"
        scans = []
        for name in names:
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (0, 0))  # another time would be another film
            scans.append(look_through(DrawnFilm(tmp_path / name, SHOTS), seeing, out, cast.people))
        return Film(out, cast, pack, tuple(scans))

    return look


def lefts(content: MovieContent, name: str, word: str) -> set[int]:
    """Left edges of somebody's boxes that are found so."""
    (ranked,) = next(one for one in content.people if one.name == name).results
    words = zip(ranked.order, ranked.found_by, strict=True)
    return {content.boxes[box].bbox[0] for box, own in words if own == word}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def seconds(found: Found, name: str) -> list[tuple[float, float]]:
    return [
        (round(one.stretch.start, 1), round(one.stretch.end, 1))
        for one in found.cast.appearances
        if one.cast == name
    ]  # fmt: skip


def test_a_named_group_is_a_person(looked: Callable[..., Film]) -> None:
    film = looked("a")
    before = files_of(film.out)
    (plain,), (content,), strange = film.find(Decisions())
    assert (seconds(plain, "unknown-1"), strange, files_of(film.out / NAMED)) == ([(2, 4)], [], {})
    group = content.people[-1].results[0].order
    boxes = {content.boxes[box].id: content.boxes[box].file for box in group}
    assert boxes == film.boxes(CATS)

    (found,), (content,), strange = film.find(Decisions({}, {"a": {"Cat, Dr. 王": boxes}}))
    name = "Cat, Dr. 王"
    assert found.cast.people == ("Ann", "bob", name) and not strange and not found.unknown
    assert seconds(found, name) == [(2, 4)] and found.cast.presence[name] == 1
    assert [(one.id, one.img, one.label) for one in read_annotations(film.out / "test.json")["a"].cast][2:] == [
        ("a_Cat_Dr._王", "a/cast/Cat_Dr._王.jpg", name)
    ]
    assert [(one.id, one.name, one.group, len(one.portraits)) for one in content.people][2:] == [
        ("a_Cat_Dr._王", name, False, 1)
    ]
    assert lefts(content, name, "confirmed") == {CATS}
    portrait = film.out / NAMED / "a" / "Cat_Dr._王.jpg"
    assert portrait.read_bytes() == (film.out / "origin/test/a/cast/Cat_Dr._王.jpg").read_bytes()
    assert np.abs(np.median(read_image(portrait)[15:-15, 15:-15], axis=(0, 1)) - CAT).max() < 12

    looked("a").find(Decisions())
    after = files_of(film.out)
    assert after.keys() - before.keys() == {"unknown/a/unknown-1.jpg"}
    assert {name: after[name] for name in before} == before


def test_a_name_of_the_cast_is_that_person(looked: Callable[..., Film]) -> None:
    film = looked("a")
    (found,), (content,), _ = film.find(Decisions({}, {"a": {"Bob": film.boxes(CATS)}}))
    assert found.cast.people == ("Ann", "bob") and seconds(found, "bob") == [(0, 2), (2, 4), (4, 6)]
    assert lefts(content, "bob", "confirmed") == {CATS} and files_of(film.out / NAMED) == {}


def test_decisions_hold_for_tracks(looked: Callable[..., Film]) -> None:
    """Ann is rejected where she shows her face, and confirmed from behind."""
    film = looked("a")
    box, file = sorted(film.boxes(ANNS).items())[2]
    one = dict(sorted(film.boxes(BEHIND).items())[:1])
    (found,), (content,), _ = film.find(Decisions({"a_Ann": Verdicts(one, {box: file})}))
    assert seconds(found, "Ann") == [(4, 6)] and (0, 2) not in seconds(found, "bob")[1:]
    (ranked,) = content.people[0].results
    by_rank = [content.boxes[place] for place in ranked.order]
    assert by_rank[-1].id == box and ranked.found_by[-1] == "rejected" and ranked.probability[-1] < 1e-9
    assert {by_rank[0].id: by_rank[0].file} == one and ranked.found_by[0] == "confirmed"
    n = len(film.boxes(BEHIND))
    assert {each.bbox[0] for each in by_rank[:n]} == {BEHIND} and (ranked.probability[:n] == 1).all()
    asked = [content.boxes[place].bbox[0] for place in ranked.asking]
    assert sorted(asked[:3]) == [CATS, BOBS, BOBS]  # one of each track that nothing was said of


def test_a_cut_track(looked: Callable[..., Film]) -> None:
    """Bob's first track is his to the middle, and then Ann's, who is seen beside: she is in two places, as was said."""
    film = looked("a")
    mine = [(box, file) for box, file in sorted(film.boxes(BOBS).items())]
    first = [one for one in mine if "shot0001" in one[1]]
    layout = files_of(film.out)
    decisions = Decisions({"a_bob": Verdicts(dict(first[:1])), "a_Ann": Verdicts(dict(first[-1:]))})
    (found,), (content,), _ = film.find(decisions)
    when = {box.id: content.frames[box.frame].seconds for box in content.boxes}
    middle = seconds(found, "bob")[0][1]
    assert middle == pytest.approx((when[first[0][0]] + when[first[-1][0]]) / 2, abs=0.15)
    assert seconds(found, "bob") == [(0, middle), (4, 6)]
    assert len(found.scanned.scan.tracks) == 6 == len(film.scans[0].scan.tracks) + 1
    assert {name: data for name, data in files_of(film.out).items() if name in layout} == layout
    times = (film.out / "test_times.json").read_bytes()
    film.find(Decisions(decisions.people, {"a": {"Cat": film.boxes(CATS)}}))
    assert (film.out / "test_times.json").read_bytes() == times  # of the tracks that were found
    (ranked,) = content.people[0].results
    assert content.boxes[ranked.order[0]].id == first[-1][0]
    for one in found.cast.appearances:
        for box in one.boxes:
            if box.candidate is None:
                continue
            candidate = next(each for each in content.boxes if each.id == box.candidate)
            assert candidate.bbox == box.bbox and content.frames[candidate.frame].seconds == box.seconds


def test_several_films_are_corrected_one_by_one(looked: Callable[..., Film]) -> None:
    film = looked("a", "b")
    decisions = Decisions(
        {"b_Ann": Verdicts(rejected=film.boxes(ANNS, "b")), "a_bob": Verdicts(rejected=film.boxes(ANNS, "b"))},
        {"b": {"Cat": film.boxes(CATS, "b")}, "c": {"Cat": {"c_1": "c/1.jpg"}}},
    )
    found, content, strange = film.find(decisions)
    assert [one.cast.people for one in found] == [
        ("Ann", "bob", "unknown-1"),
        ("Ann", "bob", "Cat", "unknown-1"),  # Ann is nobody there
    ]
    assert (0, 2) in seconds(found[0], "Ann") and (0, 2) not in seconds(found[1], "Ann")
    assert strange[-1] == "c and the names given there" and all("of another movie" in one for one in strange[:-1])
    assert files_of(film.out / NAMED).keys() == {"b/Cat.jpg"}
    assert [len(movie.people) for movie in content] == [3, 4]

    alone = Film(film.out, film.cast, film.pack, film.scans[:1])
    before = json.loads((film.out / "test.json").read_text())
    _, _, strange = alone.find(decisions)  # b was looked through earlier, and stays as it is
    assert json.loads((film.out / "test.json").read_text()) == before
    assert files_of(film.out / NAMED).keys() == {"b/Cat.jpg"}


def test_renamed_groups_leave_nothing(looked: Callable[..., Film]) -> None:
    film = looked("a")
    group = film.boxes(CATS)
    film.find(Decisions({}, {"a": {"Cat": group}}))
    (film.out / NAMED / "a/notes.txt").write_text("mine")
    film = looked("a")
    film.find(Decisions({}, {"a": {"Dan": group}}))
    assert files_of(film.out / NAMED).keys() == {"a/Dan.jpg", "a/notes.txt"}
    assert files_of(film.out / "origin/test/a/cast").keys() == {"Ann.jpg", "bob.jpg", "Dan.jpg"}
    assert [one.label for one in read_annotations(film.out / "test.json")["a"].cast] == ["Ann", "bob", "Dan"]

    Image.fromarray(painted([Actor(None, CAT, still(50))], 0)).save(film.out.with_name("portraits") / "Dan.png")
    looked("a").find(Decisions())
    assert files_of(film.out / NAMED).keys() == {"a/notes.txt"}
    assert files_of(film.out / "origin/test/a/cast").keys() == {"Ann.jpg", "bob.jpg", "Dan.jpg"}


def test_pictures_of_others_beside_portraits_stay(looked: Callable[..., Film]) -> None:
    film = looked("a")
    decisions = Decisions({}, {"a": {"Cat": film.boxes(CATS)}})
    mine = film.out / NAMED / "a/mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own")
    (film.out / "origin/test/a/cast/mine.jpg").write_bytes(b"my own")
    film.find(decisions)
    looked("a").find(Decisions())
    assert files_of(film.out / NAMED) == {"a/mine.jpg": b"my own"}
    assert (film.out / "origin/test/a/cast/mine.jpg").read_bytes() == b"my own"

    taken = mine.rename(mine.with_name("Cat.jpg"))
    with pytest.raises(MovieError, match=r"Cat\.jpg: is a picture that no search wrote, where a portrait"):
        looked("a").find(decisions)
    assert taken.read_bytes() == b"my own"
