"""eval.py as a user runs it."""

from __future__ import annotations

import csv
import json
import resource

import numpy as np
import pytest

from castsearch import stagefiles
from tests.rankings import write_ranking

LABELS = {"m_ann": ["m_1", "m_2"], "m_ben": ["m_3"], "n_cat": ["n_1"]}
RANKING = {"m_ann": ["m_1", "m_3", "m_2"], "m_ben": ["m_1", "m_2", "m_3"], "n_cat": ["n_1", "n_2"]}
OTHER = {"m_ann": ["m_1", "m_2", "m_3"], "m_ben": ["m_1", "m_3", "m_2"], "n_cat": ["n_2", "n_1"]}


@pytest.fixture
def files(tmp_path):
    """Labels and two rankings; gives the flags that name the labels and some rankings."""
    (tmp_path / "gt.json").write_text(json.dumps(LABELS))
    write_ranking(tmp_path / "r.txt", RANKING)
    write_ranking(tmp_path / "s.txt", OTHER)

    def flags(*names: str) -> tuple[object, ...]:
        return "--gt", tmp_path / "gt.json", "--submission", *(tmp_path / name for name in names)

    return flags


def test_eval_prints_the_challenges_table(script, testdata):
    folder = testdata / "data/wider_person_search_2018"
    done = script("eval.py", "--gt", folder / "val_label.json", "--submission", folder / "val_rank.txt")
    assert done.stdout.split() == ["mAP", "Rank@1", "Rank@5", "Rank@10", "71.29", "87.07", "90.48", "91.16"]


def test_eval_names_absent_casts(script, tmp_path):
    (tmp_path / "gt.json").write_text('{"a": ["1"], "b": ["2"]}')
    write_ranking(tmp_path / "r.txt", {"a": ["1"]})
    done = script("eval.py", "--gt", tmp_path / "gt.json", "--submission", tmp_path / "r.txt")
    assert "absent from the ranking, each counts 0: b" in done.stderr
    assert "50.00" in done.stdout


def test_eval_says_which_file_is_missing(script, tmp_path):
    done = script("eval.py", "--gt", tmp_path / "gt.json", "--submission", tmp_path / "r.txt", code=2)
    assert done.stderr == f"error: {tmp_path}/gt.json: no such file\n"


def test_submissions_stand_side_by_side(script, files):
    done = script("eval.py", *files("r.txt", "s.txt"))
    assert done.stdout.splitlines() == [
        "submission    mAP  Rank@1  Rank@5  Rank@10  beside the first",
        "r.txt       72.22   66.67  100.00   100.00",
        "s.txt       66.67   33.33  100.00   100.00  -5.6 [-50.0, +16.7]",
    ]
    assert done.stderr == "warning: 2 movies are few: intervals of less than 10 are too narrow to rely on\n"


def test_why_there_is_no_interval(script, files, tmp_path):
    (tmp_path / "gt.json").write_text(json.dumps({"m_ann": ["m_1"]}))
    done = script("eval.py", *files("r.txt", "s.txt"))
    assert done.stdout.splitlines()[2].split() == ["s.txt", *["100.00"] * 4, "+0.0"]
    assert "warning: differences have no interval: an interval needs two movies at least, and there is 1" in done.stderr
    write_ranking(tmp_path / "r.txt", {"ann": ["1"]})
    write_ranking(tmp_path / "s.txt", {"ann": ["2", "1"]})
    (tmp_path / "gt.json").write_text('{"ann": ["1"]}')
    done = script("eval.py", *files("r.txt", "s.txt"), "--per_movie")
    assert done.stdout.splitlines()[2].split()[-1] == "-50.0"
    assert "no interval: an interval is of movies, and the ids do not tell which movie a cast is of" in done.stderr
    assert "no table of movies; give --mode" in done.stderr


def test_movies_and_casts(script, files):
    done = script("eval.py", *files("r.txt"), "--per_movie", "--per_cast")
    table, movies, casts = done.stdout.split("\n\n")
    assert table.split() == ["mAP", "Rank@1", "Rank@5", "Rank@10", "72.22", "66.67", "100.00", "100.00"]
    assert [line.split()[:3] for line in movies.splitlines()[1:]] == [["m", "2", "58.33"], ["n", "1", "100.00"]]
    assert casts.splitlines()[2].split() == ["m_ben", "1", "33.33", "3", "100.00", "100.00"]


def test_files_hold_what_tables_show(script, files, tmp_path):
    out = ("--json", tmp_path / "out/e.json", "--csv", tmp_path / "out/e.csv")
    script("eval.py", *files("r.txt", "s.txt"), *out)
    found = json.loads((tmp_path / "out/e.json").read_text())
    assert [one["file"] for one in found["submissions"]] == ["r.txt", "s.txt"]
    assert found["submissions"][1]["beyond_first"]["mean"] == pytest.approx(-1 / 18)
    rows = [*csv.DictReader((tmp_path / "out/e.csv").open())]
    assert np.mean([float(row["ap"]) for row in rows[:3]]) == pytest.approx(found["submissions"][0]["mAP"])
    assert [row["movie"] for row in rows] == ["m", "m", "n"] * 2
    script("eval.py", *files("r.txt"), *out)  # in place of the old ones
    assert len(json.loads((tmp_path / "out/e.json").read_text())["submissions"]) == 1


def test_files_of_others_stay(script, files, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for flag, name in (("--json", "gt.json"), ("--csv", "gt.json"), ("--json", "r.txt"), ("--csv", "s.txt")):
        told = script("eval.py", *files("r.txt"), flag, tmp_path / name, code=2).stderr
        assert told == (
            f"error: {tmp_path}/{name}: there is a file that is not an evaluation; choose another name, or move it\n"
        )
    told = script("eval.py", *files("r.txt"), "--json", tmp_path / "e", "--csv", tmp_path / "e", code=2).stderr
    assert "was named by --json and by --csv" in told
    assert (
        "is a file, where a folder" in script("eval.py", *files("r.txt"), "--curves", tmp_path / "r.txt", code=2).stderr
    )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "a file is named twice" in script("eval.py", *files("r.txt", "r.txt"), code=2).stderr


def test_what_is_missing_counts_nothing_or_not_at_all(script, files, tmp_path):
    write_ranking(tmp_path / "s.txt", {cast: line for cast, line in OTHER.items() if cast != "m_ben"})
    done = script("eval.py", *files("r.txt", "s.txt"))
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["72.22", "50.00"]
    assert "warning: s.txt: absent from the ranking, each counts 0: m_ben" in done.stderr
    done = script("eval.py", *files("r.txt", "s.txt"), "--missing", "skip")
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["91.67", "75.00"]
    assert "warning: s.txt: absent from the ranking, left out of the means: m_ben" in done.stderr


def test_what_is_odd_is_counted_and_named(script, files, tmp_path):
    write_ranking(
        tmp_path / "r.txt",
        {"m_ann": ["m_1", "m_3", "m_1", "m_2", "n_1"], "m_ben": ["m_3"], "n_cat": ["n_1"]}
        | {f"who{i}": ["m_1"] for i in range(13)},
    )
    assert script("eval.py", *files("r.txt")).stderr.splitlines() == [
        "warning: ranked again 1 times, where the first place counts, for m_ann",
        f"warning: 13 lines count for nothing, whose cast is not in the labels: "
        f"{', '.join(f'who{i}' for i in range(10))} and 3 more",
        "warning: 1 candidate of another movie, as ids tell, each counts as a miss, for m_ann",
        "warning: 1 line lacks candidates that others of the movie have: m_ben (1 of 3)",
    ]


def test_a_split_tells_more_than_ids(script, files, tmp_path):
    """Two portraits of Ann; labels name her by the second. Movies are told by the split, and what it does not have."""
    portraits = [
        {"id": one, "img": f"{one}.jpg", "label": label} for one, label in (("a", "ann"), ("a2", "ann"), ("b", "ben"))
    ]
    boxes = [{"id": one, "img": "f.jpg", "bbox": [0, 0, 9, 9 + int(one)]} for one in "123"]
    movies = {"one": {"cast": portraits[:2], "candidates": boxes}, "two": {"cast": portraits[2:], "candidates": []}}
    movies["two"]["candidates"] = [{"id": "4", "img": "g.jpg", "bbox": [0, 0, 9, 9]}]
    (tmp_path / "val.json").write_text(json.dumps(movies))
    (tmp_path / "val_label.json").write_text('{"a2": ["1"], "a": ["2"], "b": ["4"]}')
    write_ranking(tmp_path / "r.txt", {"a": ["1", "4", "2", "x"], "a2": ["1"], "b": ["4"]})
    where = ("--data", tmp_path, "--submission", tmp_path / "r.txt")
    done = script("eval.py", *where, "--mode", "val", "--per_movie", "--per_cast")
    assert [line.split()[:3] for line in done.stdout.splitlines()[4:6]] == [
        ["one", "1", "83.33"],
        ["two", "1", "100.00"],
    ]
    assert [line.split()[0] for line in done.stdout.splitlines()[8:]] == ["a", "b"]
    assert done.stderr.splitlines() == [
        "warning: 1 line counts for nothing, whose cast is neither in the labels nor a person's first portrait: a2",
        "warning: 1 id is no candidate of the split, each counts as a miss: x",
        "warning: 1 candidate of another movie, each counts as a miss, for a",
        "warning: 1 line lacks candidates of the split: a (2 of 3)",
    ]
    assert script("eval.py", *where).stdout.split()[4] == "77.78"  # as the challenge would: by ids, each portrait alone
    pictures = [
        stagefiles.MoviePictures(
            name,
            tuple(stagefiles.Picture(one["id"], one["img"], one["label"]) for one in groups["cast"]),
            tuple(stagefiles.Picture(one["id"], one["img"]) for one in groups["candidates"]),
        )
        for name, groups in movies.items()
    ]
    stagefiles.write_body(tmp_path / "body_val.pkl", stagefiles.Split(pictures))
    (tmp_path / "val.json").unlink()
    again = script("eval.py", *where, "--mode", "val", "--per_movie", "--per_cast")
    assert (again.stdout, again.stderr) == (done.stdout, done.stderr)


def test_curves_are_drawn(script, files, tmp_path):
    done = script("eval.py", *files("r.txt", "s.txt"), "--curves", tmp_path / "curves")
    drawn = [tmp_path / "curves" / f"{name}.svg" for name in ("precision_recall", "first_hits", "hits")]
    assert done.stdout.splitlines()[3:] == [str(path) for path in drawn]
    assert all("r.txt" in path.read_text() and "s.txt" in path.read_text() for path in drawn)


def test_a_hundred_thousand_lines_are_quick(script, files, tmp_path):
    lines = [(f"m{n // 10}_c{n}", [f"m{n // 10}_{i}" for i in range(10)]) for n in range(100_000)]
    (tmp_path / "gt.json").write_text(json.dumps({cast: [ids[n % 10]] for n, (cast, ids) in enumerate(lines)}))
    write_ranking(tmp_path / "r.txt", dict(lines))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = script("eval.py", *files("r.txt"))
    assert done.stdout.split()[4:6] == ["29.29", "10.00"] and done.stderr == ""
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5  # 2 s where nothing else runs
