"""demo.py --gallery, and the gallery that find_cast.py ends with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from castsearch import stagefiles
from scripts import films
from tests.cli.here import Run, runs_here
from tests.movies.clips import write_video
from tests.movies.drawn import Actor, models, painted, still
from tests.rankings import write_ranking

RED, ANN = (200, 40, 40), (240, 200, 160)  # clothes and face


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs scripts with models that see what is drawn."""
    monkeypatch.setattr(films, "open_models", lambda *_: models([RED], [ANN])[0])
    return runs_here(monkeypatch, capfd)


@pytest.fixture
def split(script: Run, movie: Path) -> Path:
    """The small split, cropped and ranked."""
    script("crop_body.py", "--origin", movie / "origin", "--body", movie / "body", "--mode", "val", "--data", movie)
    write_ranking(movie / "r.txt", {"tt1_nm1": ["tt1_2", "tt1_1", "tt1_0"]})
    return movie


def flags(root: Path, *more: object) -> tuple[object, ...]:
    return ("demo.py", "--gallery", root / "g", "--data", root, "--submission", root / "r.txt", *more)


def told(script: str) -> dict:
    """What a page's script sets."""
    return json.loads(script.partition("= ")[2].rstrip().removesuffix(";"))


def shown(root: Path, movie: int = 1) -> dict:
    """What all pages of a movie share."""
    return told((root / f"g/movies/{movie}/movie.js").read_text())


def pictures(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}


def test_a_gallery_of_a_split(script: Run, split: Path) -> None:
    (split / "val_label.json").write_text('{"tt1_nm1": ["tt1_0", "tt1_2"]}')
    done = script(*flags(split))
    assert (done.stdout, done.stderr) == (f"{split}/g/index.html\n", "")
    content = shown(split)
    assert content["boxes"]["id"] == ["tt1_0", "tt1_1", "tt1_2"] and content["boxes"]["frame"] == [0, 0, 1]
    assert content["boxes"]["bbox"][0] == [10, 20, 50, 60] and content["frames"]["size"] == [[160, 120]] * 2
    assert len(pictures(split / "g")) == 3 + 2 + 1
    assert "83.3" in (split / "g/index.html").read_text()  # mAP: hits at 1 and 3
    before = pictures(split / "g")
    (split / "g/decisions.json").write_text("{}")
    assert script(*flags(split)).stderr == ""
    assert pictures(split / "g") == before and (split / "g/decisions.json").read_text() == "{}"


def test_two_results_and_one_movie(script: Run, split: Path) -> None:
    write_ranking(split / "s.txt", {"tt1_nm1": ["tt1_0"]})
    script(*flags(split, split / "s.txt", "--movie", "tt1"))
    assert told((split / "g/assets/gallery.js").read_text())["results"] == ["r", "s"]
    error = script(*flags(split, "--movie", "tt2"), code=2).stderr
    assert error == "error: no movie tt2; there are tt1\n"
    assert "two for --gallery" in script(*flags(split, split / "s.txt", split / "s.txt"), code=2).stderr
    strip = ("demo.py", "--movcast", "tt1_nm1", "--data", split, "--submission", split / "r.txt", split / "s.txt")
    assert "names one ranking" in script(*strip, code=2).stderr
    assert "--submission names a file twice" in script(*flags(split, split / "r.txt"), code=2).stderr


def test_flags_of_the_other_picture_are_refused(script: Run, split: Path) -> None:
    strip = ("demo.py", "--movcast", "tt1_nm1", "--data", split, "--submission", split / "r.txt")
    assert "--movie is a flag of --gallery" in script(*strip, "--movie", "tt1", code=2).stderr
    assert "--origin is a flag of --gallery" in script(*strip, "--origin", split / "origin", code=2).stderr
    assert "--out is a flag of --movcast" in script(*flags(split, "--out", split / "a.jpg"), code=2).stderr


def test_files_that_do_not_tell_where_frames_are(script: Run, split: Path) -> None:
    """As of before there were galleries: crops only, or ``--origin``."""
    content = stagefiles.read_body(split / "body_val.pkl")
    assert stagefiles.read_metadata(split / "body_val.pkl")["origin"] == str((split / "origin").resolve())
    stagefiles.write_body(split / "body_val.pkl", content, {"body": str(split / "body")})
    assert script(*flags(split)).stderr == (
        "warning: the crops do not tell where their frames are: the gallery shows crops without their frames; --origin "
        "names the folder of the frames\n"
    )
    assert shown(split)["frames"]["picture"] == [None, None] and len(pictures(split / "g")) == 3 + 1
    assert script(*flags(split, "--origin", split / "origin")).stderr == ""
    assert len(pictures(split / "g")) == 6
    stagefiles.write_body(split / "body_val.pkl", content, {"body": str(split / "body"), "origin": str(split / "gone")})
    assert f"warning: {split}/gone is not there: " in script(*flags(split)).stderr
    assert "no such folder" in script(*flags(split, "--origin", split / "gone"), code=2).stderr


def test_pictures_that_are_gone_are_told_of_once(script: Run, split: Path) -> None:
    (split / "body/val/tt1/candidates/shot0001img0_10_20_50_60.jpg").unlink()
    (split / "origin/val/tt1/candidates/shot0002img0.jpg").unlink()
    first, second = script(*flags(split)).stderr.splitlines()
    assert first.startswith("warning: pictures that cannot be shown: 1; the first: ") and "_10_20_50_60.jpg" in first
    assert second == f"warning: 1 of 2 frames in {split}/origin/val are not to be shown; check --origin"
    shutil.rmtree(split / "body/val/tt1/candidates")
    assert "none of the 3 pictures can be read" in script(*flags(split), code=2).stderr


def test_a_gallery_takes_no_other_folders_place(script: Run, split: Path) -> None:
    (split / "g").mkdir()
    (split / "g/index.html").write_text("mine")
    error = script(*flags(split), code=2).stderr
    assert error == f"error: {split}/g: holds other things than a gallery; name a folder of its own\n"
    for folder in (split, split / "origin", "."):
        assert "holds other things" in script(*flags(split)[:2], folder, *flags(split)[3:], code=2).stderr
    for folder, told in (("body/val/g", "among the crops"), ("origin/val/g", "among the frames")):
        among = ("demo.py", "--gallery", split / folder, *flags(split)[3:])
        assert f"{split / folder}: would lie {told}; choose" in script(*among, code=2).stderr
    assert (split / "g/index.html").read_text() == "mine"


def test_a_search_ends_with_a_gallery(script: Run, tmp_path: Path) -> None:
    name = """O'Neil & "<b>%41"""
    (tmp_path / "portraits").mkdir()
    Image.fromarray(painted([Actor(None, ANN, still(40))], 0)).save(tmp_path / f"portraits/{name}.png")
    film = write_video(
        tmp_path / "a #1.mp4", [painted([Actor(RED, ANN, still(60))], n / 25) for n in range(25)], crf="10"
    )
    out = tmp_path / "out"
    find = ("scripts/find_cast.py", "--video", film, "--portraits", tmp_path / "portraits", "--out", out)
    (out / "gallery").mkdir(parents=True)
    (out / "gallery/photo.jpg").write_text("mine")
    assert "holds other things than a gallery" in script(*find, code=2).stderr
    assert not (out / "appearances.csv").exists()
    (out / "gallery/photo.jpg").unlink()
    done = script(*find)
    assert done.stderr == "" and done.stdout.splitlines()[-1] == str(out / "gallery/index.html")
    content = told((out / "gallery/movies/1/movie.js").read_text())
    layout = json.loads((out / "test.json").read_text())["a_1"]
    assert content["boxes"]["id"] == [one["id"] for one in layout["candidates"]]
    assert [one["id"] for one in content["people"]] == [one["id"] for one in layout["cast"]]
    assert [one["name"] for one in content["people"]] == [name]
