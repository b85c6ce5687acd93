"""Annotations: what is read, and the table of what is refused."""

from __future__ import annotations

import copy
import json

import pytest

from castsearch.annotations import AnnotationError, read_annotations, read_labels, read_ranking, write_ranking

GOOD = {
    "tt1": {
        "cast": [{"id": "c1", "img": "tt1/cast/a.jpg", "label": "a"}],
        "candidates": [{"id": "p1", "img": "tt1/candidates/s_1.jpg", "bbox": [1, 2, 3, 4.0], "label": "others"}],
    }
}


def save(tmp_path, content):
    path = tmp_path / "val.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_reads_the_real_split(testdata):
    movies = read_annotations(testdata / "data/jurassic/data/val.json")
    assert {name: (len(m.cast), len(m.candidates)) for name, m in movies.items()} == {
        "tt0107290": (4, 43),
        "tt0369610": (2, 32),
    }
    assert movies["tt0107290"].candidates[0].file == "tt0107290/candidates/shot0001img0_106_21_137_320.jpg"


def test_a_candidate_without_label_is_of_the_test_split(tmp_path):
    content = copy.deepcopy(GOOD)
    del content["tt1"]["candidates"][0]["label"]
    assert read_annotations(save(tmp_path, content))["tt1"].candidates[0].label is None


def candidate(**change):
    content = copy.deepcopy(GOOD)
    content["tt1"]["candidates"][0].update(change)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected an object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ({"tt1": []}, "movie tt1: expected a list under 'cast'"),
        ({"../x": GOOD["tt1"]}, "serves as a file name"),
        (candidate(bbox=[10, 5, -3, 80]), r"movie tt1, candidate 0 \(p1\): bbox \[10, 5, -3, 80\] has a width of -3"),
        (candidate(bbox=[10, 5, 3, 0]), "has a height of 0"),
        (candidate(bbox=[10, 5, 3]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, 4.5]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, "4"]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, float("nan")]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, float("inf")]), "four whole numbers"),
        (candidate(id="c1"), "id c1 stands already at movie tt1, cast 0"),
        (candidate(id="a,b"), "comma or a space"),
        (candidate(id=""), "non-empty string under 'id'"),
        (candidate(img="../../etc/x.jpg"), "must stay below"),
        (candidate(img="/etc/x.jpg"), "must stay below"),
        (candidate(img=None), "non-empty string under 'img'"),
        (candidate(label=3), "non-empty string under 'label'"),
    ],
)
def test_refuses(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_annotations(save(tmp_path, content))
    assert str(error.value).startswith(str(tmp_path / "val.json"))
    assert "\n" not in str(error.value)


def test_refuses_labels_that_are_not_lists(tmp_path):
    with pytest.raises(AnnotationError, match="cast c1: expected a list of candidate ids"):
        read_labels(save(tmp_path, {"c1": "p1"}))


def test_a_ranking_survives_a_round_trip(tmp_path):
    ranking = {"c1": ["p2", "p1"], "c2": ["p1"]}
    write_ranking(tmp_path / "r.txt", ranking)
    assert (tmp_path / "r.txt").read_text() == "c1 p2,p1\nc2 p1\n"
    assert read_ranking(tmp_path / "r.txt") == ranking


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c1 a b\n", "line 1: expected 'castid id,id,...', found 3 words"),
        ("c1 a\nc1 b\n", "line 2: cast c1 has a line already"),
    ],
)
def test_refuses_rankings(tmp_path, text, message):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_ranking(tmp_path / "r.txt")
