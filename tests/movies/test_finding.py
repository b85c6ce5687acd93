"""A film and portraits in, who appears when out: of drawn films, and of two real clips."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from castsearch.movies.appearances import FilmCast
from castsearch.movies.errors import MovieError
from castsearch.movies.finding import Scanned, find_cast, look_through, name_people
from castsearch.movies.formats import write_formats
from castsearch.movies.habits import HABITS
from castsearch.movies.models import Models, open_models
from castsearch.movies.portraits import Cast, read_portraits
from tests.movies.drawn import Actor, Bodies, DrawnFilm, Pack, Persons, models, painted, still
from tests.movies.places import load_places, misplaced

RED, GREEN = (200, 40, 40), (40, 180, 40)  # clothes
ANN, BOB = (240, 200, 160), (160, 220, 240)  # faces


# ---------------------------------------------------------------------------- drawn


def drawn(folder: Path) -> DrawnFilm:
    path = folder / "film.mp4"
    path.write_bytes(b"drawn")
    return DrawnFilm(path, [(1.5, [Actor(RED, ANN, still(100))]), (1.5, [Actor(GREEN, BOB, still(60))])])


def other_film(folder: Path, by: Models) -> Models:
    (folder / "film.mp4").write_bytes(b"drawn anew")
    return by


CHANGES: dict[str, tuple[Callable[[Path, Models], Models], dict[str, Any]]] = {
    "film": (other_film, {}),
    "face pack": (lambda folder, by: replace(by, faces=Pack((ANN, BOB), weights="1")), {}),
    "no face pack": (lambda folder, by: replace(by, faces=None), {}),
    "bodies": (lambda folder, by: replace(by, bodies=Bodies({"weights": "other"})), {}),  # type: ignore[arg-type]
    "persons": (lambda folder, by: replace(by, persons=Persons({RED: 0.9}, name="other")), {}),
    "habits": (lambda folder, by: by, {"habits": replace(HABITS, seldom=3.0)}),
    "shots": (lambda folder, by: by, {"shots": "transnetv2"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_found_counts_as_long_as_nothing_changes(tmp_path: Path, change: str) -> None:
    film = drawn(tmp_path)
    by, persons, _ = models([RED, GREEN], [ANN, BOB])
    first = look_through(film, by, tmp_path / "out")
    assert (persons.seen, len(first.scan.tracks), first.movie) == (16, 2, "film")
    again = look_through(film, by, tmp_path / "out")
    assert persons.seen == 16 and again.candidates == first.candidates
    changed, more = CHANGES[change]
    anew = changed(tmp_path, by)
    before = anew.persons.seen  # type: ignore[attr-defined]
    look_through(film, anew, tmp_path / "out", **more)
    assert anew.persons.seen == before + 16  # type: ignore[attr-defined]


def test_a_film_that_shows_nobody(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    empty = DrawnFilm(path, [(2, [])])
    with pytest.raises(MovieError, match=r"film\.mp4: shows nobody, as far as drawn sees; choose another detector"):
        look_through(empty, models([RED], [ANN])[0], tmp_path / "out")
    assert not (tmp_path / "out/test.json").exists()


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """A folder of two pictures of Ann and one of Bob, and their portraits in another."""
    for folder in ("stills", "portraits"):
        (tmp_path / folder).mkdir()
    for number, (clothes, face) in enumerate([(RED, ANN), (GREEN, BOB), (RED, ANN)]):
        Image.fromarray(painted([Actor(clothes, face, still(90))], 0)).save(tmp_path / f"stills/{number}.png")
    for name, face in (("Ann", ANN), ("Bob", BOB)):
        Image.fromarray(painted([Actor(None, face, still(60))], 0)).save(tmp_path / f"portraits/{name}.png")
    return tmp_path / "stills"


def test_from_python_in_one_call(stills: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = stills.parent / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    by = models([RED, GREEN], [ANN, BOB])[0]
    found = find_cast(stills, str(stills.parent / "portraits"), models=by)
    assert [(one.cast, one.stretch.start, one.shot) for one in found.appearances] == [
        ("Ann", 0, 1),
        ("Bob", 1, 2),
        ("Ann", 2, 3),
    ]
    assert found.people == ("Ann", "Bob") and found.absent == () and list(temporary.iterdir()) == []
    kept = find_cast(stills, stills.parent / "portraits", stills.parent / "out", by)
    assert kept.appearances == found.appearances and (stills.parent / "out/test.json").exists()
    with pytest.raises(MovieError, match="people are named by their faces: a face pack is needed"):
        find_cast(stills, stills.parent / "portraits", models=replace(by, faces=None))


# ---------------------------------------------------------------------------- real


@dataclass(frozen=True)
class Clip:
    """A clip that was looked through, and its people."""

    scanned: Scanned
    cast: Cast
    models: Models

    def named(self, cast: Cast | None = None) -> FilmCast:
        assert self.models.faces is not None
        return name_people(self.scanned, cast or self.cast, self.models.faces).cast


@pytest.fixture(scope="module")
def strong(testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """RetinaFace-mnet25 with MobileFaceNet, and OSNet."""
    pack = tmp_path_factory.mktemp("pack")
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        for file in (testdata / "models" / name).iterdir():
            shutil.copy(file, pack)
    return open_models(str(pack), testdata / "models/osnet/osnet_x0_25_msmt17.onnx", gpu=-1)


def _clip(name: str, testdata: Path, by: Models, folder: Path) -> Clip:
    from castsearch.movies.opening import open_footage

    assert by.faces is not None
    where = testdata / "data/clips" / name
    cast = read_portraits(where / "portraits", by.faces)
    return Clip(look_through(open_footage(where / f"{name}.mp4"), by, folder, cast.people), cast, by)


@pytest.fixture(scope="module")
def friends(testdata: Path, strong: Models, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return _clip("friends", testdata, strong, tmp_path_factory.mktemp("friends"))


@pytest.fixture(scope="module")
def titanic(testdata: Path, strong: Models, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return _clip("titanic", testdata, strong, tmp_path_factory.mktemp("titanic"))


def test_friends_are_found_for_as_long_as_they_are_seen(testdata: Path, friends: Clip, tmp_path: Path) -> None:
    write_formats([friends.named()], tmp_path)
    truth = testdata / "data/clips/friends/truth.json"
    scorer = testdata / "tools/score_appearances.py"
    command = [sys.executable, str(scorer), str(tmp_path / "appearances.csv"), str(truth)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    score = float(done.stdout.splitlines()[-1].split("F1")[1].split()[0])
    assert score >= 0.97, done.stdout


def test_friends_are_where_they_are_said_to_be(friends: Clip) -> None:
    assert misplaced(friends.named(), load_places("friends")) == []


def test_both_of_titanic_are_found_at_first_and_nobody_from_the_air(titanic: Clip) -> None:
    """What is said is right; of the last shot, where faces are 30 pixels wide, nothing need be."""
    found = titanic.named()
    assert [shot.start for shot in found.film.shots] == pytest.approx([0, 2.419, 8.8], abs=0.001)
    for name in ("jack", "rose"):
        first = next(one for one in found.appearances if one.cast == name)
        assert (first.stretch.start, first.stretch.end) == pytest.approx((0, 2.419), abs=0.15)
    assert 2 not in {one.shot for one in found.appearances}
    wrong = misplaced(found, load_places("titanic"))
    assert [line for line in wrong if "nowhere" not in line or float(line.split()[0]) < 2.4] == []


def test_who_is_not_in_a_film_is_not_found_in_it(friends: Clip, titanic: Clip) -> None:
    for clip, strangers in ((friends, titanic.cast), (titanic, friends.cast)):
        found = clip.named(strangers)
        assert found.appearances == ()
        assert found.absent == tuple(person.name for person in strangers.people)
