"""Annotations: what is read, and the table of what is refused."""

from __future__ import annotations

import copy
import json
import tracemalloc

import pytest

from castsearch.annotations import (
    AnnotationError,
    Cast,
    doubtful_labels,
    labels_of_persons,
    person_ids,
    read_annotations,
    read_labels,
    read_ranking,
)
from tests.rankings import write_ranking

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


@pytest.mark.parametrize("bbox", [[-0.0, 0, 1, 1.0], [100_000, -100_000, 100_000, 100_000]])
def test_numbers_that_are_whole(tmp_path, bbox):
    assert read_annotations(save(tmp_path, candidate(bbox=bbox)))["tt1"].candidates[0].bbox == tuple(map(int, bbox))


def test_the_longest_name_of_a_frame(tmp_path):
    """Its crop's is a_1_2_3_4.jpg."""
    (read,) = read_annotations(save(tmp_path, candidate(img=f"{'a' * 243}.png")))["tt1"].candidates
    assert len(read.file) == 255


def test_marks_and_line_ends(tmp_path):
    """As Windows and old Macs write them."""
    for encoded in (b"\xef\xbb\xbf%s", b"%s\r\n", b"\r%s\r"):
        (tmp_path / "val.json").write_bytes(encoded % json.dumps(GOOD).encode())
        assert list(read_annotations(tmp_path / "val.json")) == ["tt1"]
        (tmp_path / "label.json").write_bytes(encoded % b'{"c1": ["p1"]}')
        assert read_labels(tmp_path / "label.json") == {"c1": ["p1"]}
        (tmp_path / "r.txt").write_bytes(encoded % b"c1 p2,p1")
        assert read_ranking(tmp_path / "r.txt") == {"c1": ["p2", "p1"]}
    (tmp_path / "r.txt").write_bytes(b"c1 p2\rc2 p1\r")
    assert read_ranking(tmp_path / "r.txt") == {"c1": ["p2"], "c2": ["p1"]}


def candidate(**change):
    content = copy.deepcopy(GOOD)
    content["tt1"]["candidates"][0].update(change)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a JSON object, keyed by name, found a list"),
        ("{}", r"val\.json: names no movie"),
        ({"tt1": {"cast": [], "candidates": []}}, "movie tt1: has no cast and no candidates; fill it or leave it out"),
        ({"c1": ["p1"], "c2": []}, r"seems to hold labels, where annotations were expected; give \{mode\}\.json"),
        ('{"tt1": {}, "tt1": {}}', "tt1 stands twice in one object"),
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
        (candidate(bbox=[1e300, 5, 3, 4]), "is larger than any frame: over 100,000 pixels"),
        (candidate(bbox=[-100_001, 5, 3, 4]), r"\(p1\): bbox \[-100001, 5, 3, 4\] is larger than any frame"),
        (candidate(bbox=[10**30, 5, 3, 4]), "is larger than any frame"),
        (candidate(bbox=[0, 0, 3, 100_001]), "is larger than any frame"),
        (candidate(bbox=[10, 5, 3, True]), "four whole numbers"),
        (candidate(id="a" * 256), "id 'a+…' is longer than 255 bytes"),
        (candidate(img="tt1\\a.jpg"), "img 'tt1.+jpg' parts its folders by backslashes; write tt1/a.jpg"),
        (
            candidate(img=f"{'a' * 246}.jpg"),
            "p1.: the path of its crop, 'a+…', has a name in it of more than the 255 bytes .*; give the frame a sh",
        ),
        (candidate(id="c1"), "id c1 stands already at movie tt1, cast 0"),
        (candidate(id="a,b"), "movie tt1, candidate 0: id 'a,b' holds a comma or a blank"),
        (candidate(id="a\ud800"), "id 'a.ud800' holds half a character"),
        (candidate(id=""), "non-empty string under 'id'"),
        (candidate(id=["x" * 10**6]), "non-empty string under 'id', found "),
        (candidate(bbox=["x" * 10**6] * 10), "four whole numbers"),
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


def casts(*entries):
    """GOOD with these entries: what each has otherwise than its first."""
    content = copy.deepcopy(GOOD)
    content["tt1"]["cast"] = [GOOD["tt1"]["cast"][0] | entry for entry in entries]
    return content


def test_a_list_of_portraits_is_a_cast_each(tmp_path):
    content = casts({"img": ["tt1/a.jpg", "tt1/b.jpg", "c.png"]}, {"id": "c2", "label": "b", "img": ["d.jpg"]})
    assert read_annotations(save(tmp_path, content))["tt1"].cast == (
        Cast("c1", "tt1/a.jpg", "a"),
        Cast("c1#2", "tt1/b.jpg", "a"),
        Cast("c1#3", "c.png", "a"),
        Cast("c2", "d.jpg", "b"),
    )
    alone = read_annotations(save(tmp_path, casts({"img": "a.jpg"})))
    assert read_annotations(save(tmp_path, casts({"img": ["a.jpg"]}))) == alone


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (casts({"img": []}), "cast 0: expected at least one path under 'img', found an empty list"),
        (casts({"img": ["a.jpg", 3]}), "cast 0: img 3 is not a non-empty string"),
        (casts({"img": ["a.jpg", ["b.jpg"]]}), "cast 0: img a list is not a non-empty string"),
        (casts({"img": ["a.jpg", "../b.jpg"]}), r"cast 0: img \.\./b\.jpg must stay below its folder"),
        (casts({"img": ["a.jpg", "b.jpg", "a.jpg"]}), "cast 0: img a.jpg stands in its list twice; name each portrait"),
        (
            casts({"img": ["a.jpg", "b.jpg"]}, {"id": "c1#2"}),
            "cast 1: id 'c1#2' stands already at movie tt1, cast 0, portrait 2 of its list; ids must be unique",
        ),
        (
            casts({"id": "c1#2"}, {"img": ["a.jpg", "b.jpg"]}),
            "cast 1, portrait 2 of its list: id 'c1#2' stands already at movie tt1, cast 0; ids must be unique",
        ),
        (
            casts({"id": "a" * 254, "img": ["a.jpg", "b.jpg"]}),
            "cast 0, portrait 2 of its list: id 'a+…' is longer than 255 bytes",
        ),
        (candidate(img=["a.jpg", "b.jpg"]), r"candidate 0 \(p1\): expected a non-empty string under 'img', found \["),
    ],
)
def test_refuses_lists_of_portraits(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=f"movie tt1, {message}") as error:
        read_annotations(save(tmp_path, content))
    assert str(error.value).startswith(str(tmp_path / "val.json"))
    assert str(error.value).isprintable() and len(str(error.value)) < 500


def test_labels_may_name_any_portrait_of_a_person(tmp_path):
    content = casts({"img": ["a.jpg", "b.jpg"]}, {"id": "c2", "label": "b"}, {"id": "c3"})
    content["tt2"] = {"cast": [{"id": "d1", "img": "a.jpg", "label": "a"}], "candidates": []}
    movies = read_annotations(save(tmp_path, content)).values()
    assert list(person_ids(movies).items()) == [
        *(("c1", "c1"), ("c1#2", "c1"), ("c2", "c2"), ("c3", "c1")),
        ("d1", "d1"),  # the same label, in another movie
    ]
    labels = {"c3": ["p3", "p1"], "c1#2": [], "c2": ["p9"], "x": ["p8", "p8"], "c1": ["p1", "p2"], "d1": ["q1"]}
    assert labels_of_persons(labels, movies) == {"c1": ["p3", "p1", "p2"], "c2": ["p9"], "x": ["p8"], "d1": ["q1"]}


def test_portraits_whose_labels_are_nearly_the_same_are_doubted(tmp_path):
    content = casts({"label": "Ann"}, {"id": "c2", "label": "ann "}, {"id": "c3", "label": "Anne"}, {"id": "c4"})
    content["tt2"] = {"cast": [{"id": "d1", "img": "a.jpg", "label": "ANN"}], "candidates": []}
    movies = read_annotations(save(tmp_path, content)).values()
    assert doubtful_labels(movies) == ["movie tt1, cast c2: 'ann ', where there is 'Ann'"]


def test_a_movie_that_is_no_object(tmp_path):
    with pytest.raises(AnnotationError, match="movie tt1: expected a list under 'candidates'"):
        read_annotations(save(tmp_path, {"tt1": {"cast": []}}))
    for entry in (["x"], [None]):
        with pytest.raises(AnnotationError, match="movie tt1, cast 0: expected a non-empty string under 'id'"):
            read_annotations(save(tmp_path, {"tt1": {"cast": entry, "candidates": []}}))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(AnnotationError, match=r"val\.json: no such file"):
        read_annotations(tmp_path / "val.json")
    with pytest.raises(AnnotationError, match="is a folder, where a file was expected"):
        read_labels(tmp_path)
    with pytest.raises(AnnotationError, match=r"r\.txt: no such file; fusion\.py writes it"):
        read_ranking(tmp_path / "r.txt")
    with pytest.raises(AnnotationError, match="is a folder, where a file was expected"):
        read_ranking(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (GOOD, r"seems to hold annotations, where labels were expected; give \{mode\}_label\.json"),
        ("c1 p1,p2\n", r"seems to be a ranking, where labels were expected; give \{mode\}_label\.json"),
        ("\nc1 p1", "seems to be a ranking"),
        ({"format": "castsearch result 1", "ranking": {}}, "seems to be the JSON of a ranking, where labels were"),
        ({"format": ["p1"], "ranking": 3}, "cast ranking: expected a list of candidate ids"),
        ("c1 p1,", "line 1, column 1: Expecting value"),
        ({"c1": "p1"}, "cast c1: expected a list of candidate ids"),
        ({"c1": ["p1", 3]}, "cast c1: id 3 is not a non-empty string"),
        ({"c1": ["p1", "a,b"]}, "cast c1: id 'a,b' holds a comma or a blank"),
        ({"c 1": []}, "cast 'c 1': id 'c 1' holds a comma or a blank"),
    ],
)
def test_refuses_labels(tmp_path, labels, message):
    with pytest.raises(AnnotationError, match=message):
        read_labels(save(tmp_path, labels))


def test_ids_may_begin_as_json_does(tmp_path):
    (tmp_path / "r.txt").write_text("[rec]_c [rec]_0,[rec]_1\n")
    assert read_ranking(tmp_path / "r.txt") == {"[rec]_c": ["[rec]_0", "[rec]_1"]}
    (tmp_path / "r.txt").write_text("c [a],[b]\nd (a),b)\ne [a,[b]\nf [a\n")
    assert read_ranking(tmp_path / "r.txt") == {
        "c": ["[a]", "[b]"],
        "d": ["(a)", "b)"],
        "e": ["[a", "[b]"],
        "f": ["[a"],
    }


@pytest.mark.parametrize(
    ("label", "meant"),
    [("A", "a"), ("a ", "a"), ("\u00e9", "e\u0301"), ("C1", "a"), ("Others", "others"), ("other", "others")],
)
def test_labels_that_are_nearly_right_are_doubted(tmp_path, label, meant):
    content = candidate(label=label)
    content["tt1"]["cast"].append({"id": "c2", "img": "tt1/cast/b.jpg", "label": "e\u0301"})
    (line,) = doubtful_labels(read_annotations(save(tmp_path, content)).values())
    assert line == f"movie tt1, candidate p1: {label!r}, where there is {meant!r}"


def test_labels_of_persons_without_a_portrait_are_not_doubted(tmp_path):
    content = candidate(label="someone else") | {"tt2": {"cast": [], "candidates": []}}
    content["tt2"]["candidates"] = [
        {"id": f"q{i}", "img": "tt2/s_1.jpg", "bbox": [1, 2, 3, 4], "label": label}
        for i, label in enumerate(["A", "a"])
    ]
    del content["tt1"]["candidates"][0]["label"]
    content["tt1"]["candidates"] += [
        {"id": f"r{i}", "img": "tt1/s_1.jpg", "bbox": [1, 2, 3, 4], "label": label}
        for i, label in enumerate(["a", "others", "another", "c1"])
    ]
    assert doubtful_labels(read_annotations(save(tmp_path, content)).values()) == []


def test_a_ranking_keeps_each_candidate_once(tmp_path):
    """The casts of a movie rank the same; a result of all movies together would not fit into memory."""
    ids = [f"tt0000001_{i}" for i in range(5000)]
    write_ranking(tmp_path / "r.txt", {f"c{i}": ids for i in range(100)})
    tracemalloc.start()
    try:
        assert read_ranking(tmp_path / "r.txt")["c99"] == ids
        assert tracemalloc.get_traced_memory()[1] < 4 * (tmp_path / "r.txt").stat().st_size
    finally:
        tracemalloc.stop()


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
        ("c1 a b\n", "line 1: expected 'castid id,id,...', found 3 words; part candidates by commas, without blanks"),
        ("c1 a, b\n", "found 3 words; part candidates by commas, without blanks"),
        (
            "c1,a\nc1,b\n",
            "line 1: expected 'castid id,id,...', found comma-separated values; put a blank behind the cast",
        ),
        ("c1\n", "line 1: expected 'castid id,id,...', found no candidates of c1"),
        ("c1\ta\nc1\tb\n", "line 2: cast c1 has a line already; keep one, with all its candidates, best first"),
        (' {"c1": ["a"]}', "seems to be JSON, where a ranking was expected: 'castid id,id,...' for each cast"),
        ("[]", "seems to be JSON"),
        ("{c1\n", "line 1: expected 'castid id,id,...', found no candidates of '{c1'"),
        ("c1 a\nc1 b\n", "line 2: cast c1 has a line already"),
        ('c1 "a,b"\n', 'line 1: the candidates stand between " and "; take both away'),
        ("c1 a\nc2 {a,b,c}\n", r"line 2: the candidates stand between \{ and \}; take both away"),
        ("c1 a\nc2 a,,b\n", "line 2: id '' is not a non-empty string"),
        ("c1 a\0\n", r"line 1: id 'a\\x00' holds a line break or another control character"),
        ("c1,c2 a\n", "line 1: id 'c1,c2' holds a comma"),
        (f"c1 {'a' * 256}\n", "line 1: id 'a+…' is longer than 255 bytes"),
    ],
)
def test_refuses_rankings(tmp_path, text, message):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_ranking(tmp_path / "r.txt")
