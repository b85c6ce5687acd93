"""find_cast.py --decisions as a user runs it, on a drawn film."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from castsearch import stagefiles
from castsearch.annotations import read_annotations
from castsearch.results import read_result
from scripts import films
from tests.cli.here import Run, runs_here
from tests.cli.test_find_cast import contents, drawn_models, stopped
from tests.conftest import ROOT
from tests.movies.clips import write_video
from tests.movies.drawn import Actor, painted, still

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 40), (40, 40, 200)  # clothes
ANN, BOB, CAT = (240, 200, 160), (160, 220, 240), (250, 250, 120)  # faces
ANNS, BOBS, CATS, BEHIND = 40, 200, 120, 80  # where they stand: about the left edges of their boxes
SHOTS = [
    ((90, 90, 90), [Actor(RED, ANN, still(ANNS)), Actor(GREEN, BOB, still(BOBS))]),
    ((140, 130, 110), [Actor(BLUE, CAT, still(CATS))]),
    ((70, 90, 110), [Actor(RED, None, still(BEHIND)), Actor(GREEN, BOB, still(BOBS))]),
]
FORMAT = {"format": "castsearch decisions 1"}


@pytest.fixture
def find(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], film: Path, portraits: Path, tmp_path: Path
) -> Run:
    """Runs find_cast.py on the film into ``tmp_path/out``: ``find("--decisions", path, code=0)``."""
    monkeypatch.setattr(films, "open_models", lambda *_: drawn_models())
    script = runs_here(monkeypatch, capfd)

    def run(*flags: object, code: int = 0, out: str = "out") -> subprocess.CompletedProcess[str]:
        return script("scripts/find_cast.py", *where(film, portraits, tmp_path / out), *flags, code=code)

    return run


def where(film: Path, portraits: Path, out: Path) -> list[object]:
    return ["--video", film, "--portraits", portraits, "--out", out, "--cluster"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shots of two seconds."""
    pictures = [painted(actors, 0, backdrop) for backdrop, actors in SHOTS for _ in range(50)]
    return write_video(tmp_path_factory.mktemp("film") / "m.mp4", pictures, crf="10", g="25")


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    (tmp_path / "portraits").mkdir()
    for name, face in (("Ann", ANN), ("bob", BOB)):
        Image.fromarray(painted([Actor(None, face, still(40))], 0)).save(tmp_path / f"portraits/{name}.png")
    return tmp_path / "portraits"


def boxes(out: Path, left: int) -> dict[str, str]:
    """Ids and crops of who stands about there."""
    found = read_annotations(out / "test.json")["m"].candidates
    return {one.id: one.file for one in found if abs(one.bbox[0] - left) < 5}


def write(path: Path, people: Mapping[str, Any], named: Mapping[str, Any] | None = None) -> Path:
    content = {**FORMAT, "people": people} | ({"named": {"m": named}} if named else {})
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def seen(out: Path) -> dict[str, list[float]]:
    """When somebody's appearances begin."""
    found: dict[str, list[float]] = {}
    with (out / "appearances.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["cast"], []).append(round(float(row["start"]), 1))
    return found


def lasting(out: Path) -> dict[str, bytes]:
    """All but the gallery, and the pictures of people who have another name now."""
    kept = contents(out)
    return {name: kept[name] for name in kept if not name.startswith(("gallery/", "strips/"))}


def test_decisions_lead_and_leave_nothing_behind(find: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    find()
    plain = lasting(out)
    assert seen(out) == {"Ann": [0, 4], "bob": [0, 4], "unknown-1": [2]} and "named" not in plain
    (first, file), *_ = boxes(out, BOBS).items()
    path = write(
        tmp_path / "decisions.json",
        {"m_bob": {"rejected": {first: file}}, "m_Eve": {"confirmed": {"x": "x.jpg"}}},
        {"Cat <b>": boxes(out, CATS)},
    )
    stored = path.read_bytes()
    done = find("--decisions", path)
    assert done.stderr == (
        "warning: decisions on what is not in these films are left out: m_Eve and what is decided for it\n"
    )
    assert path.read_bytes() == stored
    assert "  Cat <b>: 2.0 s in 1 appearance, first at 2.0 s" in done.stdout
    assert "looking for Ann, bob\n" in done.stdout
    assert seen(out) == {"Ann": [0, 4], "bob": [4], "Cat <b>": [2], "unknown-1": [0]}
    assert [one.id for one in read_annotations(out / "test.json")["m"].cast] == ["m_Ann", "m_bob", "m_Cat_b"]
    decided = contents(out)
    assert "named/m/Cat_b.jpg" in decided
    assert find("--decisions", path).returncode == 0 and contents(out) == decided

    assert find().stderr == ""
    assert lasting(out) == plain


def test_neither_files_nor_entries_have_an_order(find: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    find()
    ann, bob = (list(boxes(out, left).items()) for left in (ANNS, BOBS))
    people = {
        "m_Ann": {"confirmed": dict(ann[:2]), "rejected": dict(bob[:1])},
        "m_bob": {"confirmed": dict(bob[-1:]), "rejected": dict(ann[-1:])},
    }
    group = list(boxes(out, CATS).items())
    find("--decisions", write(tmp_path / "all.json", people, {"Cat": dict(group[1:]), "Dan": dict(group[:1])}))
    expected = contents(out)
    assert seen(out).keys() == {"Ann", "bob", "Cat", "Dan"}
    parts = [
        write(tmp_path / "1.json", {"m_bob": people["m_bob"]}, {"Dan": dict(group[:1])}),
        write(tmp_path / "2.json", {"m_Ann": {"rejected": dict(bob[:1]), "confirmed": dict(ann[1:2])}}),
        write(tmp_path / "3.json", {"m_Ann": {"confirmed": dict(ann[:1])}}, {"Cat": dict(reversed(group[1:]))}),
    ]
    random.Random(1).shuffle(parts)
    find("--decisions", *parts)
    assert contents(out) == expected


KILLED = """
import runpy, sys
from scripts import films
from tests.cli.test_find_cast import drawn_models

films.open_models = lambda *_: drawn_models()
sys.argv = ["find_cast.py", *sys.argv[1:]]
runpy.run_path("scripts/find_cast.py", run_name="__main__")
"""


def test_killed_in_between_it_ends_alike(find: Run, film: Path, portraits: Path, tmp_path: Path) -> None:
    find()
    path = write(tmp_path / "d.json", {}, {"Cat": boxes(tmp_path / "out", CATS)})
    shutil.copytree(tmp_path / "out", tmp_path / "killed")
    find("--decisions", path)
    command = [sys.executable, "-c", KILLED, *where(film, portraits, tmp_path / "killed"), "--decisions", path]
    running = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    code, _ = stopped(running, signal.SIGKILL, tmp_path / "killed/named/m/Cat.jpg")
    assert code == -signal.SIGKILL
    find("--decisions", path, out="killed")
    found = contents(tmp_path / "killed")
    assert {name: data for name, data in found.items() if not Path(name).name.startswith(".tmp")} == contents(
        tmp_path / "out"
    )


WRONG = {
    "others": (
        {"Others": {"m_1": "m/1.jpg"}},
        {},
        "movie m: the name Others is what people are called whom nobody knows; give the group another",
    ),
    "path": ({"a/b": {"m_1": "m/1.jpg"}}, {}, "holds a path, but serves as a file name; choose another"),
    "both": (
        {},
        {"m_Ann": {"confirmed": {"old": "CROP"}}, "m_bob": {"confirmed": {"older": "CROP"}}},
        "is confirmed for both m_Ann and m_bob; keep one of them",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_a_line(find: Run, tmp_path: Path, case: str) -> None:
    named, people, line = WRONG[case]
    if case == "both":
        find()
        (file, *_) = boxes(tmp_path / "out", ANNS).values()
        people = json.loads(json.dumps(people).replace("CROP", file))
    path = write(tmp_path / "d.json", people, named)
    (told,) = find("--decisions", path, code=2).stderr.splitlines()
    assert told.startswith(f"error: {path}: ") and line in told
    assert (tmp_path / "out").exists() == (case == "both")  # else it is told before the film is looked through


def test_the_stages_and_films_know_the_same_boxes(find: Run, tmp_path: Path, monkeypatch, capfd) -> None:
    """What is decided on one's pages leads the other."""
    out = tmp_path / "out"
    find()
    bob, group = boxes(out, BOBS), boxes(out, CATS)
    one = dict(list(bob.items())[:1])
    path = write(tmp_path / "d.json", {"m_bob": {"confirmed": one}, "m_Ann": {"rejected": one}}, {"Cat": group})
    script = runs_here(monkeypatch, capfd)
    script("crop_body.py", *("--origin", out / "origin", "--body", tmp_path / "body", "--mode", "test", "--data", out))
    movie = stagefiles.read_body(out / stagefiles.body_name("test"))["m"]
    rng, unseen = np.random.default_rng(0), {"faces": None, "landmarks": None, "scores": None}
    face = {"faces": np.zeros((1, 4), "f4"), "landmarks": np.zeros((1, 10), "f4"), "scores": np.ones(1, "f4")}
    stagefiles.write(
        out / "retina_test.pkl",
        {
            "m": {
                "cast": [{"id": each.id, "file": each.file, "label": each.label} | face for each in movie.cast],
                "candidates": [{"id": each.id, "file": each.file} | unseen for each in movie.candidates],
            }
        },
    )
    n = len(movie.candidates)
    stagefiles.write(out / "face_test.pkl", {"m": rng.normal(size=(2 + n, 16)).astype("f4")})
    stagefiles.write(out / "triplet_resnext101_32x8d_test.pkl", {"m": rng.normal(size=(n, 12)).astype("f4")})
    ranked = ("--mode", "test", "--data", out, "--submission", out / "test_result.txt", "--recipe", "best")
    done = script("fusion.py", *ranked, "--decisions", path)
    assert "warning: names of groups are for scripts/find_cast.py, and left out: Cat\n" in done.stderr
    result = read_result(out / "test_result.json").movies["m"]
    assert result["m_bob"].places.ids[0] in one and result["m_Ann"].places.ids[-1] in one
    assert result["m_bob"].places.found_by[0] == "confirmed" and result["m_Ann"].places.found_by[-1] == "rejected"
