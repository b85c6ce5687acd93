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
        ({"../x": GOOD["tt1"]}, r"val\.json: movie \.\./x holds a path, but serves as a file name; rename it"),
        ({"tt\n1": GOOD["tt1"]}, r"movie 'tt\\n1' holds a line break"),
        ({"": GOOD["tt1"]}, "movie '' is not a non-empty string"),
        (candidate(bbox=[10, 5, -3, 80]), r"movie tt1, candidate 0 \(p1\): bbox \[10, 5, -3, 80\] has a width of -3"),
        (candidate(bbox=[10, 5, 3, 0]), "has a height of 0"),
        (candidate(bbox=[10, 5, 3]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, 4.5]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, "4"]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, float("nan")]), "four whole numbers"),
        (candidate(bbox=[10, 5, 3, float("inf")]), "four whole numbers"),
        (candidate(id="c1"), "id c1 stands already at movie tt1, cast 0"),
        (candidate(id="a,b"), "movie tt1, candidate 0: id 'a,b' holds a comma or a blank"),
        (candidate(id="a\ud800"), "id 'a.ud800' holds half a character"),
        (candidate(id=""), "non-empty string under 'id'"),
        (candidate(id=["x" * 10**6]), "non-empty string under 'id', found "),
        (candidate(bbox=["x" * 10**6] * 1000), "four whole numbers"),
        (candidate(img="../../etc/x.jpg"), r"candidate 0 \(p1\): img \.\./\.\./etc/x\.jpg must stay below its folder"),
        (candidate(img="/etc/x.jpg"), "must stay below its folder"),
        (candidate(img="a\n.jpg"), r"img 'a\\n\.jpg' holds a line break or another control character"),
        (candidate(img="."), "img . names no file"),
        (candidate(img=None), "non-empty string under 'img'"),
        (candidate(label=3), "non-empty string under 'label'"),
    ],
)
def test_refuses(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_annotations(save(tmp_path, content))
    assert str(error.value).startswith(str(tmp_path / "val.json"))
    assert str(error.value).isprintable() and len(str(error.value)) < 500


def test_a_cast_is_checked_as_a_candidate_is(tmp_path):
    for field, word in (("id", "a b"), ("img", "../a.jpg"), ("label", None)):
        content = copy.deepcopy(GOOD)
        content["tt1"]["cast"][0][field] = word
        with pytest.raises(AnnotationError, match=r"movie tt1, cast 0: .*" + field):
            read_annotations(save(tmp_path, content))


def test_a_movie_that_is_no_object(tmp_path):
    with pytest.raises(AnnotationError, match="movie tt1: expected a list under 'candidates'"):
        read_annotations(save(tmp_path, {"tt1": {"cast": []}}))
    for entry in (["x"], [None]):
        with pytest.raises(AnnotationError, match="movie tt1, cast 0: expected a non-empty string under 'id'"):
            read_annotations(save(tmp_path, {"tt1": {"cast": entry, "candidates": []}}))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(AnnotationError, match=r"val\.json: no such file"):
        read_annotations(tmp_path / "val.json")
    with pytest.raises(AnnotationError, match=r"cannot be read \(Is a directory\)"):
        read_labels(tmp_path)
    with pytest.raises(AnnotationError, match=r"r\.txt: no such file; fusion\.py writes it"):
        read_ranking(tmp_path / "r.txt")
    with pytest.raises(AnnotationError, match="cannot be read as text"):
        read_ranking(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"c1": "p1"}, "cast c1: expected a list of candidate ids"),
        ({"c1": ["p1", 3]}, "cast c1: id a int is not a non-empty string"),
        ({"c1": ["p1", "a,b"]}, "cast c1: id 'a,b' holds a comma or a blank"),
        ({"c 1": []}, "cast 'c 1': id 'c 1' holds a comma or a blank"),
    ],
)
def test_refuses_labels(tmp_path, labels, message):
    with pytest.raises(AnnotationError, match=message):
        read_labels(save(tmp_path, labels))


def test_a_ranking_survives_a_round_trip(tmp_path):
    ranking = {"c1": ["p2", "p1"], "c2": ["p1"]}
    write_ranking(tmp_path / "r.txt", ranking)
    assert (tmp_path / "r.txt").read_text() == "c1 p2,p1\nc2 p1\n"
    assert read_ranking(tmp_path / "r.txt") == ranking
    (tmp_path / "r.txt").write_text("\n c1\tp2,p1 \n\nc2 p1")
    assert read_ranking(tmp_path / "r.txt") == ranking


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c1 a b\n", "line 1: expected 'castid id,id,...', found 3 words"),
        ("c1 a\nc1 b\n", "line 2: cast c1 has a line already"),
        ("c1 a\nc2 a,,b\n", "line 2: id '' is not a non-empty string"),
        ("c1 a\0\n", r"line 1: id 'a\\x00' holds a line break or another control character"),
        ("c1,c2 a\n", "line 1: id 'c1,c2' holds a comma"),
    ],
)
def test_refuses_rankings(tmp_path, text, message):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_ranking(tmp_path / "r.txt")
