"""Strange places, portraits and films of find_cast.py and import_movie.py: nothing of others is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from castsearch.movies import finding
from castsearch.movies.encoding import film_writer
from castsearch.movies.times import Stretch
from scripts import films
from tests.cli.here import Run, runs_here
from tests.cli.test_find_cast import ANN, BLUE, BOB, CAT, RED, contents, drawn_models
from tests.movies.clips import write_video
from tests.movies.drawn import Actor, painted, still

ACTORS = [Actor(RED, ANN, still(40)), Actor(BLUE, CAT, still(200))]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs scripts with models that see what is drawn."""
    monkeypatch.setattr(films, "open_models", lambda *_: drawn_models())
    return runs_here(monkeypatch, capfd)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of Ann and Cat."""
    path = tmp_path_factory.mktemp("rendered") / "film.mp4"
    return write_video(path, [painted(ACTORS, number / 25) for number in range(50)], crf="10")


@pytest.fixture
def work(rendered: Path, tmp_path: Path) -> Path:
    """A folder with ``film.mp4``, three of its pictures in ``stills``, and portraits of Ann and Bob."""
    shutil.copy(rendered, tmp_path / "film.mp4")
    for name, face in (("Ann", ANN), ("Bob", BOB)):
        (tmp_path / "portraits").mkdir(exist_ok=True)
        Image.fromarray(painted([Actor(None, face, still(40))], 0)).save(tmp_path / f"portraits/{name}.png")
    (tmp_path / "stills").mkdir()
    for number in range(3):
        Image.fromarray(painted(ACTORS, number)).save(tmp_path / f"stills/{number}.png")
    return tmp_path


def find(script: Run, work: Path, *more: object, code: int = 0, **other: str) -> str:
    """Run find_cast.py; standard error. ``other``: places below ``work`` for its flags."""
    places = {"video": "film.mp4", "portraits": "portraits", "out": "out", **other}
    flags = [part for flag, place in places.items() for part in (f"--{flag}", work / place)]
    return script("scripts/find_cast.py", *flags, *more, code=code).stderr


# ---------------------------------------------------------------------------- places


def of_the_challenge(out: Path) -> None:
    """Somebody else's pictures in the place of the film's, listed elsewhere."""
    for name in ("candidates/shot0001img0.jpg", "candidates/shot0009img0.jpg", "cast/Ann.jpg"):
        path = out / "origin/test/film" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64)).save(path)


def listed(out: Path) -> None:
    """The same, listed where they are."""
    of_the_challenge(out)
    one = {"id": "nm1", "img": "film/cast/Ann.jpg", "label": "nm1"}
    (out / "test.json").write_text(json.dumps({"film": {"cast": [one], "candidates": []}}))


def broken(out: Path) -> None:
    out.mkdir()
    (out / "test.json").write_text("{")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (of_the_challenge, "out/origin/test/film: holds files that no search wrote; write into another folder, or"),
        (listed, "out/test.json: has a movie film that is no film; rename the film, or write elsewhere"),
        (broken, "out/test.json: not valid JSON"),
    ],
)
@pytest.mark.parametrize("name", ["find_cast", "import_movie"])
def test_what_others_keep_there_stays(
    script: Run, work: Path, name: str, prepare: Callable[[Path], None], says: str
) -> None:
    prepare(work / "out")
    before = contents(work)
    flags = ("--video", work / "film.mp4", "--portraits", work / "portraits", "--out", work / "out")
    done = script(f"scripts/{name}.py", *flags, code=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {work}/{says}")
    assert contents(work) == before


def test_a_search_that_was_begun_goes_on_where_its_pictures_lie(script: Run, work: Path) -> None:
    find(script, work)
    before = contents(work / "out")
    for name in ("test.json", "test_times.json"):  # as of a run that was killed before it wrote them
        (work / "out" / name).unlink()
    find(script, work)
    assert contents(work / "out") == before
    shutil.rmtree(work / "out/checkpoints")  # as the page says to begin anew
    find(script, work)
    assert contents(work / "out") == before


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"out": "portraits"}, "portraits: --out lies among the portraits, and would be taken for some; name another"),
        ({"out": "portraits/out"}, "portraits/out: --out lies among the portraits, and would be taken for some; name"),
        (
            {"video": "stills", "out": "stills"},
            "stills: --out is the folder of the film's pictures; name another folder, or one in it",
        ),
    ],
)
def test_results_do_not_lie_among_what_is_read(script: Run, work: Path, other: dict[str, str], says: str) -> None:
    before = contents(work)
    assert find(script, work, code=2, **other).startswith(f"error: {work}/{says}")
    assert contents(work) == before


def test_results_may_lie_below_a_films_pictures(script: Run, work: Path) -> None:
    find(script, work, video="stills", out="stills/out")
    before = contents(work)
    find(script, work, video="stills", out="stills/out")
    assert contents(work) == before


# ---------------------------------------------------------------------------- portraits


def test_portraits_of_unknown_people(script: Run, work: Path) -> None:
    """They are not portraits where they lie, nor elsewhere until they have a name; what somebody named there stays."""
    find(script, work, "--cluster")
    folder = work / "out/unknown/film"
    before = contents(work)
    says = f"error: {folder}: what lies there is written anew; copy the portraits to another folder\n"
    assert find(script, work, code=2, portraits="out/unknown/film") == says
    assert contents(work) == before
    shutil.copy(folder / "unknown-1.jpg", work / "portraits/Unknown-1.jpg")
    says = f"error: {work}/portraits/Unknown-1.jpg: Unknown-1 is what somebody is called whom nobody looks for; name"
    assert find(script, work, "--cluster", code=2).startswith(says)
    (work / "portraits/Unknown-1.jpg").rename(folder / "unknown-1 Cat.jpg")
    find(script, work)
    assert [path.name for path in folder.iterdir()] == ["unknown-1 Cat.jpg"]


def test_a_pipe_is_no_portrait(script: Run, work: Path) -> None:
    os.mkfifo(work / "portraits/Cat.jpg")
    says = f"error: {work}/portraits/Cat.jpg: is a pipe or a device, where a file was expected; "
    assert find(script, work, code=2).startswith(says)


def test_people_who_look_the_same_are_told_of_once_each(script: Run, work: Path) -> None:
    for number in range(5):
        picture = painted([Actor(None, BOB, still(40))], 0)
        picture[0, 0] = number
        Image.fromarray(picture).save(work / f"portraits/B{number}.png")
    lines = find(script, work).splitlines()
    assert [line.split(" look nearly")[0].split(": ")[2] for line in lines] == [
        f"{other} and B0" for other in ("B1", "B2", "B3", "B4", "Bob")
    ]


# ---------------------------------------------------------------------------- films


@pytest.mark.parametrize("rate", ["1e-30", "1/3601", "inf", "nan", "1e9"])
def test_rates_that_no_film_has(script: Run, work: Path, rate: str) -> None:
    """By the first one three pictures would last for ages of the universe, and so would the search."""
    says = f"error: argument --rate: {rate}: expected pictures a second, as 25 or 30000/1001, at least 1/3600; "
    assert find(script, work, f"--rate={rate}", code=2, video="stills").startswith(says)


def test_a_film_that_changes_while_it_is_looked_through(
    script: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is still being copied."""
    whole, half = finding.scan, write_video(work / "half.mp4", [painted(ACTORS, 0)] * 25, crf="10")

    def scan(*args: object) -> object:
        shutil.copy(half, work / "film.mp4")
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(finding, "scan", scan)
    says = f"error: {work}/film.mp4: was changed while it was looked through; run this again once it is whole\n"
    assert find(script, work, code=2) == says
    assert not (work / "out/test.json").exists()
    monkeypatch.undo()


def test_a_picture_shown_for_hours(tmp_path: Path) -> None:
    """MP4 has 32 bits for the ticks of one picture: 4.97 hours."""
    path, lasts = tmp_path / "a.mp4", 6 * 3600
    with film_writer(path, Fraction(25), (64, 64), tmp_path / "no sound", [Stretch(0, lasts + 1)]) as writer:
        for seconds in (0, lasts):
            writer.add(np.full((64, 64, 3), 80, np.uint8), seconds)
    with av.open(str(path)) as film:
        times = [frame.time for frame in film.decode(video=0)]
        assert times == pytest.approx([3600 * hour for hour in range(7)])
        assert film.duration == (lasts + 1) * av.time_base
