"""scripts/tune.py as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles, tuning
from castsearch.ranking import Impostors, read_movies


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Stage files of three labelled movies, whose impostors' cosines have a mean of 0 and a spread of 1/8."""
    rng = np.random.default_rng(0)
    body, retina, face, reid, labels = {}, {}, {}, {}, {}
    for name in ("tt1", "tt2", "tt3"):
        people, who = rng.normal(size=(5, 64)), rng.integers(5, size=50)
        cast = [{"id": f"{name}_nm{i}", "file": f"{name}/cast/nm{i}.jpg", "label": f"nm{i}"} for i in range(3)]
        boxes = [
            {"id": f"{name}_{i}", "file": f"{name}/candidates/shot{i:04d}img0_0_0_9_9.jpg", "label": f"nm{who[i]}"}
            for i in range(50)
        ]
        seen = {"faces": np.zeros((1, 4), "f4"), "landmarks": np.zeros((1, 10), "f4"), "scores": np.ones(1, "f4")}
        body[name] = {"cast": cast, "candidates": boxes}
        retina[name] = {kind: [item | seen for item in items] for kind, items in body[name].items()}
        face[name] = np.concatenate([people[:3], people[who] + rng.normal(size=(50, 64))]).astype("f4")
        reid[name] = (people[who] + rng.normal(size=(50, 64))).astype("f4")
        for i in range(3):
            labels[cast[i]["id"]] = [boxes[j]["id"] for j in range(50) if who[j] == i]
    for file, content in {"body": body, "retina": retina, "face": face, "triplet_resnext101_32x8d": reid}.items():
        stagefiles.write(tmp_path / f"{file}_val.pkl", content)
    (tmp_path / "val_label.json").write_text(json.dumps(labels))
    return tmp_path


def fitted(split: Path) -> Impostors:
    """What the library fits."""
    labels = json.loads((split / "val_label.json").read_text())
    movies = tuning.label_movies(read_movies(split, "val", ["triplet_resnext101_32x8d"]), labels)
    found = tuning.fit([tuning.face_pairs(movie) for movie in movies]).impostors
    return Impostors(round(found.mean, 3), round(found.sd, 3))


def test_it_prints_the_flag_and_the_table(script, split: Path) -> None:
    done = script("scripts/tune.py", "--mode", "val", "--data", split)
    lines = done.stdout.splitlines()
    assert lines[0] == "3 labelled movies, 9 people in their boxes"
    counts = r"pairs of a portrait and a face: (\d+) of 9 people, (\d+) of impostors"
    genuine, impostor = map(int, re.fullmatch(counts, lines[1]).groups())
    labels = json.loads((split / "val_label.json").read_text())
    assert genuine == sum(map(len, labels.values())) and genuine + impostor == 9 * 50
    mean, spread = map(float, re.fullmatch(r"impostors' cosines: mean (\S+), spread (\S+)", lines[2]).groups())
    assert mean == pytest.approx(0, abs=0.03) and spread == pytest.approx(0.125, abs=0.02)
    cost = r"cost of the faces' evidence \(Cllr; 1 tells nothing\): (\S+) by these, (\S+) calibrated"
    before, after = map(float, re.fullmatch(cost, lines[3]).groups())
    assert 0 < after <= before < 1
    flag = lines[4].removeprefix("for other movies: fusion.py --recipe best --impostors ")
    impostors = Impostors(*map(float, flag.split()))
    assert impostors == fitted(split)
    cells = [re.split(r"\s{2,}", line, maxsplit=1) for line in lines[7:17]]
    rows = {name: figures.split() for name, figures in cells}
    assert len(rows) == 10 and next(iter(rows)) == "plain"
    assert all(0 < float(row[0]) <= 100 for row in rows.values())
    best = rows["best, impostors of the other movies"]
    difference = float(best[0]) - float(rows["plain"][0])
    assert float(best[1]) == pytest.approx(difference, abs=0.06)  # shown with one digit
    low, high = float(best[2].strip("[,")), float(best[3].strip("]"))
    assert low <= float(best[1]) <= high
    assert "3 movies are few" in done.stderr


def test_it_repeats_itself(script, split: Path) -> None:
    first, second = (script("scripts/tune.py", "--mode", "val", "--data", split).stdout for _ in range(2))
    assert first == second


def test_one_movie_is_fitted_and_not_reported_on(script, split: Path) -> None:
    labels = json.loads((split / "val_label.json").read_text())
    only = {cast: true for cast, true in labels.items() if cast.startswith("tt2")}
    (split / "one.json").write_text(json.dumps(only))
    done = script("scripts/tune.py", "--mode", "val", "--data", split, "--gt", split / "one.json")
    assert len(done.stdout.splitlines()) == 5 and "--impostors" in done.stdout and "mAP" not in done.stdout
    assert "warning: tt2 is the only labelled movie" in done.stderr
    few = sum(map(len, only.values()))
    assert f"warning: {few} pairs of a portrait and its person's face are few" in done.stderr


def test_what_the_split_lacks_is_told(script, split: Path) -> None:
    labels = json.loads((split / "val_label.json").read_text())
    before = script("scripts/tune.py", "--mode", "val", "--data", split, "--fit_only").stdout
    cast = min(labels)
    more = labels | {cast: [*labels[cast], "tt1_999"], "nobody": ["tt1_1"], "unseen": []}
    (split / "val_label.json").write_text(json.dumps(more))
    done = script("scripts/tune.py", "--mode", "val", "--data", split, "--fit_only")
    assert done.stdout == before
    told = [line.partition("val_label.json: ")[2] for line in done.stderr.splitlines()[:2]]
    assert told == [
        "the split lacks these casts, which count for nothing here: nobody",
        "the split lacks these candidates, which count for nothing here: tt1_999",
    ]


def test_fitting_alone(script, split: Path) -> None:
    done = script("scripts/tune.py", "--mode", "val", "--data", split, "--fit_only")
    assert len(done.stdout.splitlines()) == 5
    assert len(done.stderr.splitlines()) == 1 and "85 pairs of a portrait and its person's face are few" in done.stderr


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('{"tt9_nm1": ["tt9_1"]}', "labels and split have no cast in common"),
        ('{"tt1_nm1": []}', "the labels name no true candidate of any cast"),
        (None, "no such file"),
    ],
)
def test_labels_that_teach_nothing_are_refused(script, split: Path, labels: str | None, message: str) -> None:
    path = split / "val_label.json"
    path.unlink() if labels is None else path.write_text(labels)
    done = script("scripts/tune.py", "--mode", "val", "--data", split, code=2)
    assert message in done.stderr and str(path) in done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1 and not done.stdout
