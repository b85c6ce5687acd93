"""fusion.py as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fusion as fusion_script
from castsearch import stagefiles
from castsearch.annotations import read_ranking
from castsearch.ranking import Ranked
from castsearch.results import read_result

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Stage files of two movies with 2 casts and 14 and 9 candidates, and their labels."""
    rng = np.random.default_rng(0)
    body, retina, face, reid, labels = {}, {}, {}, {}, {}
    for movie, n in (("tt1", 14), ("tt2", 9)):
        people = rng.normal(size=(3, 16))
        who = np.arange(n) % 3
        cast = [{"id": f"{movie}_nm{i}", "file": f"{movie}/cast/nm{i}.jpg", "label": f"nm{i}"} for i in range(2)]
        boxes = [
            {"id": f"{movie}_{i}", "file": f"{movie}/candidates/shot{i // 2}img0_{i}_0_9_9.jpg", "label": f"nm{who[i]}"}
            for i in range(n)
        ]
        seen = {"faces": np.zeros((1, 4), "f4"), "landmarks": np.zeros((1, 10), "f4"), "scores": np.ones(1, "f4")}
        unseen = {"faces": None, "landmarks": None, "scores": None}
        body[movie] = {"cast": cast, "candidates": boxes}
        retina[movie] = {
            "cast": [item | seen for item in cast],
            "candidates": [item | (unseen if i % 4 == 3 else seen) for i, item in enumerate(boxes)],
        }
        face[movie] = np.concatenate([people[:2], people[who] + 0.3 * rng.normal(size=(n, 16))]).astype("f4")
        reid[movie] = (people[who] + 0.3 * rng.normal(size=(n, 16))).astype("f4")
        labels |= {c["id"]: [b["id"] for b in boxes if b["label"] == c["label"]] for c in cast}
    stagefiles.write(tmp_path / "body_val.pkl", body)
    stagefiles.write(tmp_path / "retina_val.pkl", retina)
    stagefiles.write(tmp_path / "face_val.pkl", face)
    stagefiles.write(tmp_path / "triplet_resnext101_32x8d_val.pkl", reid)
    (tmp_path / "val_label.json").write_text(json.dumps(labels))
    return tmp_path


@pytest.fixture
def fusion(script, split):
    """Runs fusion.py on the split: ``fusion("--face_rerank", code=0)``."""

    def run(*flags: object, code: int = 0) -> subprocess.CompletedProcess:
        where = ("--mode", "val", "--data", split, "--submission", split / "result.txt")
        return script("fusion.py", *where, *flags, code=code)

    return run


def change(path: Path, edit) -> None:
    """Read a stage file, edit it, write it back."""
    content = stagefiles.read(path)
    edit(content)
    stagefiles.write(path, content)


@pytest.mark.parametrize("flags", ["plain", "face_rerank_ecn+body_rerank_ecn"])
def test_golden_ranking(script, testdata, tmp_path, flags):
    golden = testdata / "golden/fusion"
    words = [] if flags == "plain" else [f"--{flag}" for flag in flags.split("+")]
    out = tmp_path / "result.txt"
    script("fusion.py", "--mode", "val", "--root", golden / "data", "--submission", out, *words)
    assert out.read_text() == (golden / f"expected/{flags}.txt").read_text()


def test_metrics_are_printed_where_there_are_labels(fusion, split):
    done = fusion()
    assert done.stdout.splitlines()[0] == f"4 casts ranked: {split}/result.txt"
    assert done.stdout.split()[4:8] == ["mAP", "Rank@1", "Rank@5", "Rank@10"]
    (split / "val_label.json").rename(split / "elsewhere.json")
    assert fusion("--overwrite").stdout == f"4 casts ranked: {split}/result.txt\n"
    assert fusion("--overwrite", "--gt", split / "elsewhere.json").stdout == done.stdout


OTHERS = {"tt9_nm0": ["tt9_0"]}


def test_labels_of_another_split_are_told_before_the_work(fusion, split):
    (split / "others.json").write_text(json.dumps(OTHERS))
    told = (
        "labels and split have no cast in common: tt9_nm0 stands in the labels, tt1_nm0 in the split; they seem to be "
        "of different splits"
    )
    done = fusion("--gt", split / "others.json", code=2)
    assert done.stderr == f"error: {split}/others.json: {told}\n"
    assert not (split / "result.txt").exists()
    (split / "val_label.json").write_text(json.dumps(OTHERS))
    done = fusion()
    assert done.stderr == f"warning: {split}/val_label.json: {told}; the ranking is not scored\n"
    assert done.stdout == f"4 casts ranked: {split}/result.txt\n"


def test_labels_that_share_only_what_is_not_ranked_are_told_before_the_work(fusion, split):
    """Casts of a movie without candidates, candidates of a movie without casts."""

    def edit(content):
        content["tt1"]["candidates"] = []
        content["tt2"]["cast"] = []
        content["tt3"] = {
            group: [item | {"id": f"tt3_{i}{group}"} for i, item in enumerate(content[movie][group])]
            for group, movie in (("cast", "tt1"), ("candidates", "tt2"))
        }

    def cut(content):
        cast, candidates = content["tt1"][:2], content["tt2"][-9:]
        with_cast = len(content["tt1"]) == 16
        content.update(tt1=cast[: 2 * with_cast], tt2=candidates)
        content["tt3"] = np.concatenate([cast[: 2 * with_cast], candidates])

    change(split / "retina_val.pkl", edit)
    for name in ("face_val.pkl", "triplet_resnext101_32x8d_val.pkl"):
        change(split / name, cut)
    (split / "others.json").write_text(json.dumps({"tt1_nm0": ["tt2_0"]}))
    told = fusion("--gt", split / "others.json", code=2).stderr
    assert "labels and split have no cast in common: tt1_nm0 stands in the labels, tt3_0cast in the split" in told
    assert not (split / "result.txt").exists()
    done = fusion("--gt", split / "others.json", "--across")
    assert len(read_ranking(split / "result.txt")) == 4
    assert "mAP" in done.stdout


@pytest.mark.parametrize("flags", [[], ["--across"]])
def test_nothing_to_rank_leaves_the_old_result(fusion, split, flags):
    fusion()
    before = (split / "result.txt").read_bytes()

    def edit(content):
        for movie in content.values():
            movie["candidates"] = []

    change(split / "retina_val.pkl", edit)
    assert "no movie of val has both a cast and candidates" in fusion(*flags, code=2).stderr
    assert (split / "result.txt").read_bytes() == before


def test_labels_of_more_than_the_split_count_what_is_missing(fusion, split):
    labels = json.loads((split / "val_label.json").read_text())
    (split / "val_label.json").write_text(json.dumps({**labels, **OTHERS, "tt1_nm0": [*labels["tt1_nm0"], "tt1_99"]}))
    done = fusion()
    assert "absent from the ranking, each counts 0: tt9_nm0\n" in done.stderr
    assert "true candidates that no line ranks, each counts as missed: tt1_99, tt9_0\n" in done.stderr


def two_portraits(split: Path) -> None:
    """Casts 0 and 1 of tt1 show one person."""
    change(split / "retina_val.pkl", lambda content: content["tt1"]["cast"][1].update(label="nm0"))


def test_a_person_of_two_portraits_has_one_line_and_the_labels_of_both(fusion, split):
    two_portraits(split)
    labels = json.loads((split / "val_label.json").read_text())
    ours, theirs = labels["tt1_nm0"], labels["tt1_nm1"]
    told = set()
    for of_nm0, of_nm1 in (
        (ours, theirs),
        ([*ours, *theirs], None),
        (None, [*theirs, *ours]),
        ([*ours, *theirs], ours),
    ):
        named = labels | {"tt1_nm0": of_nm0, "tt1_nm1": of_nm1}
        (split / "val_label.json").write_text(json.dumps({k: v for k, v in named.items() if v is not None}))
        done = fusion("--overwrite")
        assert "absent" not in done.stderr
        told.add(done.stdout)
    assert len(told) == 1
    (told,) = told
    assert told.splitlines()[0] == f"3 casts ranked: {split}/result.txt"
    ranking = read_ranking(split / "result.txt")
    assert list(ranking) == ["tt1_nm0", "tt2_nm0", "tt2_nm1"]
    assert set(ranking["tt1_nm0"][:7]) <= {*ours, *theirs}
    fusion("--across")
    assert list(read_ranking(split / "result.txt")) == list(ranking)


def test_every_candidate_of_the_movie_is_ranked_once(fusion, split):
    fusion("--face_rerank", "--body_rerank")
    for cast, ranked in read_ranking(split / "result.txt").items():
        movie, n = (cast[:3], 14 if cast.startswith("tt1") else 9)
        assert sorted(ranked) == sorted(f"{movie}_{i}" for i in range(n))


def test_across_ranks_the_whole_split(fusion, split):
    fusion("--across")
    ranking = read_ranking(split / "result.txt")
    assert list(ranking) == ["tt1_nm0", "tt1_nm1", "tt2_nm0", "tt2_nm1"]
    assert {len(set(ranked)) for ranked in ranking.values()} == {23}


def test_one_thread_or_two(split):
    results = []
    for threads in ("1", "2"):
        out = split / f"result{threads}.txt"
        flags = ["--mode", "val", "--data", split, "--submission", out, "--face_rerank_ecn", "--body_rerank"]
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        subprocess.run([sys.executable, ROOT / "fusion.py", *flags], env=environment, check=True)
        results.append(out.read_bytes())
    assert results[0] == results[1]


def test_several_body_models(fusion, split):
    fusion()
    alone = read_ranking(split / "result.txt")
    change(split / "triplet_resnext101_32x8d_val.pkl", lambda content: content.update(tt1=content["tt1"] * 3))
    (split / "triplet_resnext101_32x8d_val.pkl").rename(split / "mgn_resnet50_val.pkl")
    missing = fusion(code=2).stderr
    assert missing.startswith(f"error: {split}/triplet_resnext101_32x8d_val.pkl: no such file")
    fusion("--reid", "mgn_resnet50", "mgn_resnet50")
    assert read_ranking(split / "result.txt") == alone


def test_bodies_alone_need_the_casts(fusion, split):
    features = split / "triplet_resnext101_32x8d_val.pkl"
    stderr = fusion("--body_only", code=2).stderr
    assert stderr == f"error: {features}: movie tt1: no features of its casts; extract them again, with the casts\n"
    for name in ("retina_val.pkl", "face_val.pkl"):
        (split / name).unlink()
    change(features, lambda content: content.update({m: np.concatenate([x[:2], x]) for m, x in content.items()}))
    fusion("--body_only")
    assert [ranked[0] for ranked in read_ranking(split / "result.txt").values()] == ["tt1_0", "tt1_1", "tt2_0", "tt2_1"]


def test_warnings_name_what_is_odd(fusion, split):
    def edit(content):
        content["tt1"]["cast"][1] |= {"faces": None, "landmarks": None, "scores": None}
        content["tt2"]["candidates"] = []

    change(split / "retina_val.pkl", edit)
    change(split / "face_val.pkl", lambda content: content.update(tt2=content["tt2"][:2]))
    change(split / "triplet_resnext101_32x8d_val.pkl", lambda content: content.update(tt2=content["tt2"][:0]))
    lines = fusion("--face_rerank").stderr.splitlines()
    assert "warning: movie tt1: the portrait of tt1_nm1 shows no face; its stored feature is used" in lines
    assert "warning: movie tt2 has no candidates: no line for its casts" in lines
    assert "warning: absent from the ranking, each counts 0: tt2_nm0, tt2_nm1" in lines
    assert sum("fewer points than a neighbour list" in line for line in lines) == 1
    assert list(read_ranking(split / "result.txt")) == ["tt1_nm0", "tt1_nm1"]


def test_bad_features_leave_the_old_result(fusion, split):
    fusion()
    before = (split / "result.txt").read_bytes()
    change(split / "face_val.pkl", lambda content: content["tt2"].__setitem__((4, 3), np.nan))
    stderr = fusion("--body_rerank", code=2).stderr
    assert stderr == (
        "error: movie tt2: tt2_2: its face feature is not finite; extract it again or leave the item out\n"
    )
    assert (split / "result.txt").read_bytes() == before
    assert not list(split.glob(".*"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [(13, "expected (14, d) features, or (16, d) with casts, got (13, 16)"), (None, "is missing")],
)
def test_features_of_another_split(fusion, split, rows, message):
    def edit(content):
        features = content.pop("tt1")
        if rows is not None:
            content["tt1"] = features[:rows]

    change(split / "triplet_resnext101_32x8d_val.pkl", edit)
    stderr = fusion(code=2).stderr
    assert message in stderr
    assert "movie tt1" in stderr
    assert stderr.count("\n") == 1
    assert not (split / "result.txt").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--face_rerank", "--face_rerank_ecn"], "not allowed with argument --face_rerank"),
        (["--body_rerank", "--body_rerank_ecn"], "not allowed with argument --body_rerank"),
        (["--body_only", "--face_rerank"], "--body_only uses no faces"),
        (["--memory", "0"], "--memory must lie between 0 and"),
        (["--memory", "0.01"], "error: movie tt1 needs about 0.1 GB of memory to rank"),
        (["--thres", "nan"], "expected at least one number, all finite"),
        (["--memory", "0.001"], "GB; allow more: --memory 0."),
        (["--memory", "inf"], "--memory must lie between 0 and"),
        (["--gt", "nowhere.json"], "error: nowhere.json: no such file"),
        (["--reid", "mgn_x_val.pkl"], "--reid takes names without _val.pkl: mgn_x"),
        (["--gt", "same.txt", "--submission", "same.txt"], "--gt and --submission name the same file"),
        (["--reid", "mgn_x_val"], "--reid takes names without _val.pkl: mgn_x"),
        (["--recipe", "better"], "argument --recipe: invalid choice: 'better'"),
        (["--no_time"], "error: --no_time is a flag of --recipe best"),
        (["--impostors", "0.1", "0.2"], "error: --impostors is a flag of --recipe best"),
        (["--recipe", "best", "--thres", "0.5", "0.4"], "error: --recipe best has no --thres: leave it out"),
        (["--recipe", "best", "--body_only"], "error: --recipe best has no --body_only: leave it out"),
        *(
            (["--recipe", "best", flag], f"error: --recipe best has no {flag}: leave it out")
            for flag in ("--face_rerank", "--face_rerank_ecn", "--body_rerank", "--body_rerank_ecn")
        ),
        *(
            (["--recipe", "best", "--impostors", *words], "error: --impostors: impostors of mean ")
            for words in (["0", "0"], ["1", "0.1"], ["nan", "0.1"], ["0", "nan"], ["0", "1.5"], ["0", "1e-300"])
        ),
    ],
)
def test_flags_that_do_not_fit(fusion, split, flags, message):
    assert message in fusion(*flags, code=2).stderr
    assert not (split / "result.txt").exists()


# ---------------------------------------------------------------------------- the JSON beside it


def test_the_json_tells_how_each_was_found(fusion, split):
    two_portraits(split)
    fusion("--face_rerank_ecn", "--thres", "0.5", "0.25")
    result = read_result(split / "result.json")
    result.check_ranking(split / "result.txt")
    assert (result.mode, result.recipe) == ("val", "original")
    assert result.settings == {
        "reid": ["triplet_resnext101_32x8d"],
        "across": False,
        "thresholds": [0.5, 0.25],
        "body_only": False,
        "face_rerank": "ecn",
        "body_rerank": None,
    }
    assert list(result.versions) == ["castsearch", "numpy", "scipy"]
    people = {person: own for people in result.movies.values() for person, own in people.items()}
    assert {person: own.places.ids for person, own in people.items()} == read_ranking(split / "result.txt")
    assert {movie: list(people) for movie, people in result.movies.items()} == {
        "tt1": ["tt1_nm0"],
        "tt2": ["tt2_nm0", "tt2_nm1"],
    }
    assert people["tt1_nm0"].portraits == ("tt1_nm0", "tt1_nm1")
    assert people["tt2_nm1"].portraits == ("tt2_nm1",)
    order = ["face", "spread 1", "body", "frame-mate", "decided"]
    for person in people.values():
        found_by = person.places.found_by
        assert [*found_by] == sorted(found_by, key=order.index)
        mates = np.array(found_by) == "frame-mate"
        assert mates.any()
        np.testing.assert_array_equal(np.isnan(person.places.score), mates)


def test_across_people_stand_under_their_movies(fusion, split):
    fusion("--across")
    result = read_result(split / "result.json")
    assert {movie: list(people) for movie, people in result.movies.items()} == {
        "tt1": ["tt1_nm0", "tt1_nm1"],
        "tt2": ["tt2_nm0", "tt2_nm1"],
    }
    assert result.settings["across"] is True
    assert {len(person.places) for people in result.movies.values() for person in people.values()} == {23}


def test_a_failure_leaves_both_old_files(fusion, split):
    fusion()
    before = [(split / name).read_bytes() for name in ("result.txt", "result.json")]
    assert "GB of memory to rank" in fusion("--memory", "0.01", "--overwrite", code=2).stderr
    assert [(split / name).read_bytes() for name in ("result.txt", "result.json")] == before
    assert not list(split.glob(".*"))


@pytest.mark.parametrize("name", ["val.txt", "val", "test_label.txt", "face_val.pkl.txt"])
def test_the_json_takes_no_place_of_other_files(script, split, name):
    told = script("fusion.py", "--mode", "val", "--data", split, "--submission", split / name, code=2).stderr
    beside = split / f"{name.removesuffix('.txt')}.json"
    assert told == (
        f"error: {beside}: is written beside {name}, but such names are other files'; choose another name for the "
        "ranking\n"
    )
    assert not (split / name).exists()


def test_the_json_takes_no_place_of_the_labels(script, split, tmp_path):
    labels = (split / "val_label.json").rename(split / "mine.json")
    where = ("--mode", "val", "--data", split, "--submission", split / "mine.txt", "--gt", labels)
    assert "mine.json: is written beside mine.txt, but there is a file that is no result" in (
        script("fusion.py", *where, code=2).stderr
    )


@pytest.mark.parametrize(
    ("likeliest", "told"),
    [
        ({"tt1": 0.5, "tt2": 0.5}, "2 of 4 casts are probably absent (no box above 0.5): tt1_nm0, tt2_nm0"),
        ({"tt1": 0.6, "tt2": 0.5}, "1 of 4 casts is probably absent (no box above 0.5): tt2_nm0"),
    ],
)
def test_who_is_in_no_box_is_named(split, monkeypatch, capsys, likeliest, told):
    """Whatever recipe gives the probabilities."""

    def rank(movie, settings, progress=None):
        assert settings.recipe == "best" and movie.shots is None
        n = len(movie.candidates)
        for person, best in zip(movie.people, (likeliest[movie.name], 0.9), strict=True):
            probability = np.linspace(best, 0, n, dtype=np.float32)
            score = np.float32(np.log(probability + 0.01))
            yield person, Ranked(np.arange(n), score, np.full(n, "face"), probability, {"face": score})

    monkeypatch.setattr(fusion_script, "rank", rank)
    out = split / "result.txt"
    words = ["fusion.py", "--mode", "val", "--data", split, "--submission", out, "--recipe", "best", "--no_time"]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])
    fusion_script.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"4 casts ranked: {out}"
    assert lines[1].split() == ["mAP", "Rank@1", "Rank@5", "Rank@10"]
    assert lines[3:] == [told]
    result = read_result(split / "result.json")
    assert result.settings == {
        **{"reid": ["triplet_resnext101_32x8d"], "across": False},
        **{"time": False, "impostors": None},
    }
    places = result.movies["tt1"]["tt1_nm1"].places
    np.testing.assert_allclose(places.probability, np.linspace(0.9, 0, 14), atol=1e-5)
    assert list(places.evidence) == ["face"]


@pytest.mark.parametrize(
    ("without", "flags", "warned"),
    [
        (["tt1"], [], ["tt1"]),
        (["tt1", "tt2"], [], ["tt1, tt2"]),
        (["tt1"], ["--across"], []),
        (["tt1", "tt2"], ["--across"], ["tt1, tt2"]),
        ([], [], []),
    ],
)
def test_where_no_candidate_shows_a_face_nobody_is_called_absent(fusion, split, without, flags, warned):
    def edit(content):
        for movie in without:
            for item in content[movie]["candidates"]:
                item.update(faces=None, landmarks=None, scores=None)

    change(split / "retina_val.pkl", edit)
    done = fusion("--recipe", "best", *flags)
    told = [line for line in done.stderr.splitlines() if "no candidate shows a face" in line]
    assert told == [
        f"warning: no candidate shows a face, so that nobody can tell who is absent, in {names}" for names in warned
    ]
    if warned:
        assert not any(f"{movie}_nm" in done.stdout for movie in without)


def test_start_up_is_light(split):
    heavy = {"torch", "cv2", "dlib", "sklearn", "onnxruntime", "PIL"}
    code = f"import sys, fusion; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_thresholds_in_percent_are_doubted(fusion):
    done = fusion("--thres", "50", "40")
    assert "warning: thresholds [50.0, 40.0]: similarities lie within -1 to 1" in done.stderr


def test_pictures_without_a_box_in_their_name_are_frames_of_their_own(fusion, split):
    """All of frame_0001_... were one frame once; one warning says what is done, and the ranking stays."""

    def rename(ending: str):
        def edit(content):
            for movie in content.values():
                for number, item in enumerate(movie["candidates"]):
                    item["file"] = f"{movie['cast'][0]['id']}/frame_0001_{number}{ending}.jpg"

        change(split / "retina_val.pkl", edit)

    rename("_0_0_9_9")
    known = fusion()
    assert "warning" not in known.stderr
    in_frames = (split / "result.txt").read_text()
    rename("")
    done = fusion()
    assert done.stderr.count("warning: ") == done.stderr.count("do not end in the _x_y_w_h of a box") == 1
    assert "tt1_nm0/frame_0001_0.jpg and 22 more of 23 names do not end" in done.stderr
    assert (split / "result.txt").read_text() == in_frames
    assert done.stdout == known.stdout
