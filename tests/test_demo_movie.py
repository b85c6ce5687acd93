"""The demo's movie: the challenge's layout, true boxes, the same bytes for the same seed; its film and who is in it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from castsearch.annotations import OTHERS, read_annotations, read_labels
from castsearch.demo_movie import FRAME_SIZE, render_film, render_split
from castsearch.images import read_image
from castsearch.movies import open_footage, read_appearances


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def test_layout_boxes_and_labels(tmp_path):
    n_boxes = render_split(tmp_path, "val", "tt1", 12, [0, 1])
    (movie,) = read_annotations(tmp_path / "val.json").values()
    assert len(movie.candidates) == n_boxes
    assert len(movie.cast) == 4
    assert len({candidate.img for candidate in movie.candidates}) == 12
    for candidate in movie.candidates:
        x, y, w, h = candidate.bbox
        assert x >= 0 and y >= 0 and x + w <= FRAME_SIZE[0] and y + h <= FRAME_SIZE[1]
        assert read_image(tmp_path / "origin/val" / candidate.img).shape == (*FRAME_SIZE[::-1], 3)
    labels = read_labels(tmp_path / "val_label.json")
    for cast in movie.cast:
        assert labels[cast.id] == [c.id for c in movie.candidates if c.label == cast.label]
    assert {c.label for c in movie.candidates} - {c.label for c in movie.cast} == {OTHERS}


def test_the_test_split_tells_no_labels(tmp_path):
    render_split(tmp_path, "test", "tt1", 2, [0])
    assert not (tmp_path / "test_label.json").exists()
    assert all(c.label is None for c in read_annotations(tmp_path / "test.json")["tt1"].candidates)


def test_the_same_seed_gives_the_same_pictures(tmp_path):
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        render_split(tmp_path / folder, "val", "tt1", 3, [seed])
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("film")
    assert render_film(out) == 20.2
    return out


def test_the_film_has_its_pictures_and_its_cuts(rendered):
    footage = open_footage(rendered / "demo.mp4")
    assert (footage.rate, footage.size, footage.duration) == (25, (640, 360), pytest.approx(20.2))
    small = [frame.small_bgr(36, 64).astype(float) for frame in footage.frames()]
    assert len(small) == 505
    changes = [float(np.abs(one - other).mean()) for one, other in itertools.pairwise(small)]
    cuts = [(number + 1) / 25 for number, change in enumerate(changes) if change > 10]
    assert cuts == json.loads((rendered / "truth.json").read_text())["cuts"] == [4.0, 7.4, 13.4, 17.0]


def test_the_truth_is_what_the_pictures_show(rendered):
    """Ann's suit is the only thing that is bright orange."""
    truth = json.loads((rendered / "truth.json").read_text())
    assert truth["visible"]["Ann"] == [[0.0, 4.0], [7.4, 9.28], [11.88, 13.4], [17.0, 20.2]]
    assert truth["unclear"]["Ann"] == [[9.28, 9.48], [11.72, 11.88]]
    assert truth["visible"]["Eve"] == []
    for frame in open_footage(rendered / "demo.mp4").frames():
        red, green, blue = frame.rgb().astype(int).reshape(-1, 3).T
        orange = int(((red > 190) & (red - green > 110) & (green - blue > 10) & (blue < 80)).sum())
        shown, unclear = (
            any(start <= frame.seconds < end for start, end in truth[kind]["Ann"]) for kind in ("visible", "unclear")
        )
        assert unclear or (orange > 1500) == shown, (frame.seconds, orange)


@pytest.mark.slow
def test_the_quickstart_of_films_finds_its_cast_with_nothing_but_packages(script, testdata, monkeypatch, tmp_path):
    monkeypatch.setenv("CASTSEARCH_TESTDATA", str(tmp_path / "none"))
    done = script("scripts/film.sh", tmp_path / "film")
    shown = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("$ python3 ")]
    assert shown == ["scripts/make_demo_film.py", "scripts/find_cast.py"]
    assert "Eve: probably not in it" in done.stdout
    found = tmp_path / "film/found"
    (cast,) = read_appearances(found / "appearances.json")
    assert cast.absent == ("Eve",)
    assert [shot.start for shot in cast.film.shots] == [0.0, 4.0, 7.4, 13.4, 17.0]
    assert [one.shot for one in cast.appearances if one.cast == "unknown-1"] == [2, 4]
    assert [one.found_by for one in cast.appearances if (one.cast, one.shot) == ("Ben", 5)] == ["body"]
    for path in ("annotated.mp4", "demo.svg", "strips/demo/Ben.jpg", "unknown/demo/unknown-1.jpg"):
        assert (found / path).is_file(), path
    precision, f1 = precision_and_f1(testdata, found / "appearances.csv", tmp_path / "film/truth.json")
    assert precision >= 0.99
    assert f1 >= 0.9


def precision_and_f1(testdata, appearances, truth) -> tuple[float, float]:
    command = [sys.executable, testdata / "tools/score_appearances.py", appearances, truth]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (scores,) = re.findall(r"^all +precision ([\d.]+) recall [\d.]+ F1 ([\d.]+)", told, re.MULTILINE)
    return float(scores[0]), float(scores[1])
