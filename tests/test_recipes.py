"""The benchmark of recipes: that it runs, that its movies are what it says, that choosing and reporting share none."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from castsearch.ranking import Settings
from castsearch.tuning import FLAGS, by

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def recipes(testdata: Path) -> Iterator[ModuleType]:
    """The benchmark as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        patch.setenv("CASTSEARCH_TESTDATA", str(testdata))
        patch.setenv("OMP_NUM_THREADS", "1")  # it sets them; they are set back
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield importlib.import_module("recipes")
    for name in ("recipes", "simulated", "stills"):
        sys.modules.pop(name, None)


def test_a_quick_run_prints_every_table(recipes: ModuleType, script, tmp_path: Path) -> None:
    printed = script("benchmarks/recipes.py", "--quick", "--out", tmp_path).stdout
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in printed.splitlines()[:20]}
    for name in (*FLAGS, "best"):
        assert len(rows[name]) == 4 and all(0 < float(cell.strip(" |")) <= 100 for cell in rows[name]), name
    figures = np.array([[float(cell.strip(" |")) for cell in rows[name]] for name in ("best", "plain")])
    told = [float(cell.strip(" |")) for cell in rows["best beside plain"]]
    assert told == pytest.approx(figures[0] - figures[1], abs=0.06)
    for name in recipes.PIECES:
        assert f"| without {name} |" in printed
    assert re.search(r"\| new, default \| p >= 0.05, or hit \| \d+ \|", printed)
    assert "| in no box |" in printed
    picture = (tmp_path / "reliability.svg").read_text()
    assert picture.startswith("<svg") and picture.count("<polyline") == 2


def test_seeds_for_choosing_are_not_reported_on(recipes: ModuleType) -> None:
    assert set(recipes.CHOOSE) == set(recipes.REPORT)
    for chosen in recipes.CHOOSE.values():
        for reported in recipes.REPORT.values():
            assert not set(chosen) & set(reported)


def test_permuting_boxes_moves_nothing_but_ties(recipes: ModuleType) -> None:
    movie = recipes.simulated.new_movie(1, False, 5, 200)
    moved = recipes.permuted(movie, np.random.default_rng(0).permutation(200))
    assert moved.movie.candidates != movie.movie.candidates
    for settings in (Settings(), Settings(recipe="best")):
        before, after = (some.average_precisions(by(settings)) for some in (movie, moved))
        assert after == pytest.approx(before, abs=2e-3)  # boxes of a match's frame tie at the end of the list


def test_absent_people_are_in_no_box(recipes: ModuleType) -> None:
    movie, gone = recipes.simulated.with_absent(1, 4, 400)
    assert gone[-4:].all() and not gone.all()
    assert not movie.truth[gone].any() and movie.truth[~gone].any(axis=1).all()
    assert movie.truth.shape[1] < 400
    whole = recipes.simulated.new_movie(1, False, movie.truth.shape[0], 400)
    kept = {box for box in movie.movie.candidates}
    frames = dict(zip(whole.movie.candidates, whole.movie.frames, strict=True))
    rows = [whole.movie.candidates.index(box) for box in movie.movie.candidates]
    assert np.array_equal(movie.movie.bodies[0], whole.movie.bodies[0][rows])
    assert {frames[box] for box in kept}.isdisjoint({frames[box] for box in frames if box not in kept})


def test_varied_models_are_models(recipes: ModuleType) -> None:
    assert recipes.simulated.varied_model(3) == recipes.simulated.varied_model(3) != recipes.simulated.varied_model(4)
    default = recipes.simulated._tool("make_movie_features").Model()
    changes = []
    for seed in range(200):
        model = recipes.simulated.varied_model(seed)
        assert 128 <= model.face_dim <= 512 and 128 <= model.body_dim <= 512
        assert model.b_common + model.b_build + model.b_outfit + model.b_scene + model.b_view <= 0.8501
        assert sum(model.view) == pytest.approx(1) and max(model.seen) <= 0.95
        assert 0.1 <= model.others <= 0.75 and model.label_noise <= 0.03
        changes.append(np.log(model.scene_shots / default.scene_shots))
    assert np.std(changes) == pytest.approx(0.25, abs=0.04) and np.mean(changes) == pytest.approx(0, abs=0.05)


def test_stills_have_no_time(recipes: ModuleType, testdata: Path) -> None:
    folder = testdata / "golden/jurassic"
    labels = recipes.stills.LABELS["corrected"]
    read = recipes.read_one(folder, recipes.simulated.REID, labels, "tt0107290", timeless=True)
    assert read.movie.shots is None and read.truth.shape == (4, 43)
    given = recipes.read_one(folder, recipes.simulated.REID, recipes.stills.LABELS["given"], "tt0107290", True)
    assert np.argwhere(read.truth != given.truth)[:, 1].tolist() == [15, 15]  # the box that was mislabelled
