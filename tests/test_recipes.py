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
    for name in ("recipes", "ppcc", "simulated", "stills"):
        sys.modules.pop(name, None)


def test_a_quick_run_prints_every_table(recipes: ModuleType, script, tmp_path: Path) -> None:
    printed = script("benchmarks/recipes.py", "--quick", "--out", tmp_path).stdout
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in printed.splitlines()[:20]}
    for name in (*FLAGS, recipes.PPCC, "best"):
        assert len(rows[name]) == 5 and all(0 < float(cell.strip(" |")) <= 100 for cell in rows[name]), name
    figures = np.array([[float(cell.strip(" |")) for cell in rows[name]] for name in ("best", "plain")])
    told = [float(cell.strip(" |")) for cell in rows["best beside plain"]]
    assert told == pytest.approx(figures[0] - figures[1], abs=0.06)
    for name in recipes.PIECES:
        assert f"| without {name} |" in printed
    for of in ("new, constants drawn", "new, default", "new, strangers added", "new, people taken out"):
        for name in ("best", "without presence"):
            line = rf"\| {of} \| {name} \| p >= 0.05 \| [\d,]+ \| \d+ of [\d,]+ \| 0\.\d+ \| 0\.\d+ \| 0\.\d+ \|"
            assert re.search(line, printed), (of, name)
    absent = re.search(r"^\| in no box \| (.*) \|$", printed, re.MULTILINE)[1].split(" | ")
    assert len(absent) == 4 and all(re.fullmatch(r"[\d.]+ % of \d+", cell) for cell in absent)
    picture = (tmp_path / "reliability.svg").read_text()
    assert picture.startswith("<svg") and picture.count("<polyline") == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--jobs", 0), "--jobs 0: it takes a process at least"),
        (("--seeds", "choose", "--cache", "stills"), "no recipe may be chosen by the stills"),
    ],
)
def test_flags_that_make_no_sense_are_refused(script, testdata: Path, flags: tuple[object, ...], message: str) -> None:
    done = script("benchmarks/recipes.py", "--quick", *flags, code=2)
    assert message in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout


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


def test_people_who_are_taken_out_are_in_no_box(recipes: ModuleType) -> None:
    left = recipes.simulated.with_absent(1, 8, 3, 400)
    there = left.truth.any(axis=1)
    assert left.truth.shape[0] == 8 and not there[-3:].any() and there.any() and left.truth.shape[1] < 400
    whole, honest = (recipes.simulated.new_movie(1, False, 8, 400), recipes.simulated.with_absent(1, 8, 0, 400))
    assert np.array_equal(whole.movie.faces, honest.movie.faces)
    assert (honest.truth & ~whole.truth).any() and not (whole.truth & ~honest.truth).any()  # what labels hide
    frames = dict(zip(whole.movie.candidates, whole.movie.frames, strict=True))
    rows = [whole.movie.candidates.index(box) for box in left.movie.candidates]
    assert np.array_equal(left.truth[:-3], honest.truth[:-3, rows])
    assert np.array_equal(left.movie.bodies[0], whole.movie.bodies[0][rows])
    gone = {whole.movie.frames[box] for box in np.flatnonzero(honest.truth[-3:].any(axis=0))}
    assert {frames[box] for box in left.movie.candidates} == set(whole.movie.frames) - gone


def test_strangers_are_of_another_movie(recipes: ModuleType) -> None:
    before = recipes.simulated.with_absent(1, 5, 0, 200)
    other = recipes.simulated.new_movie(7, False, 3, 50)
    added = recipes.simulated.with_strangers(1, 7, 5, 3, 200)
    assert np.array_equal(added.movie.faces[[*range(5), *range(8, 208)]], before.movie.faces)
    assert np.array_equal(added.movie.faces[5:8], other.movie.faces[:3])
    assert np.array_equal(added.truth[:5], before.truth) and not added.truth[5:].any() and len(added.truth) == 8


def test_seeds_of_strangers_are_of_no_other_movie(recipes: ModuleType) -> None:
    every = {seed for seeds in (recipes.CHOOSE, recipes.REPORT) for some in seeds.values() for seed in some}
    for seeds in (recipes.CHOOSE, recipes.REPORT):
        assert not {seed + recipes.OTHER for seed in seeds[recipes.STRANGERS]} & every


def test_ppcc_by_hand(recipes: ModuleType) -> None:
    """Two people, four boxes: two are known by their faces, two look like these; the surest speak first."""
    face = np.array([[0.9, 0.0, 0.1, 0.0], [0.0, 0.8, 0.0, 0.05]])
    body = np.array([[0, 0.1, 0.2, 0.6], [0.1, 0, 0.7, 0.3], [0.2, 0.7, 0, 0], [0.6, 0.3, 0, 0]])
    found = recipes.ppcc.consensus(face, body)
    assert found.sum(axis=0) == pytest.approx([1] * 4)
    # Faces say a of box 2 (0.1 and 0.2 of bodies), b of box 3; the bodies of those frozen before say otherwise.
    for box, (a, b) in ((0, (0.9, 0)), (1, (0, 0.8)), (2, (0.2, 0.7)), (3, (0.6, 0.3))):
        assert found[0, box] == pytest.approx(1 / (1 + np.exp((b - a) / 0.03)), abs=1e-6)


def test_ppcc_ranks_by_face_and_consensus(recipes: ModuleType) -> None:
    movie = recipes.simulated.new_movie(1, False, 5, 200).movie
    links = recipes.ppcc.face_links(movie)
    assert (links[:, ~movie.has_face[5:]] == 0).all() and links.min() == 0 < links.max() <= 1
    bodies = recipes.ppcc.body_links(movie)
    assert (np.diag(bodies) == 0).all() and np.array_equal(bodies, bodies.T)
    score = links + recipes.ppcc.consensus(links, bodies)
    for (person, ranked), row, name in zip(recipes.ppcc.ranked(movie), score, movie.people, strict=True):
        assert person == name and sorted(ranked.order) == list(range(200))
        assert np.array_equal(ranked.score, np.sort(row)[::-1].astype(np.float32))


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


def test_packs_of_stills_without_checkpoints_have_their_own_names(recipes: ModuleType, tmp_path: Path) -> None:
    named = [name for name, checkpoints in recipes.stills.PACKS.items() if not checkpoints]
    assert named == ["dlib", "open"]
    assert [recipes.stills._pack(tmp_path, name) for name in named] == named


def test_stills_have_no_time(recipes: ModuleType, testdata: Path) -> None:
    folder = testdata / "golden/jurassic"
    labels = recipes.stills.LABELS["corrected"]
    read = recipes.read_one(folder, recipes.simulated.REID, labels, "tt0107290", timeless=True)
    assert read.movie.shots is None and read.truth.shape == (4, 43)
    given = recipes.read_one(folder, recipes.simulated.REID, recipes.stills.LABELS["given"], "tt0107290", True)
    assert np.argwhere(read.truth != given.truth)[:, 1].tolist() == [15, 15]  # the box that was mislabelled
