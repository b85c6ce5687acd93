"""body_{mode}.pkl and retina_{mode}.pkl: what is written, read and refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split, StageFileError

LANDMARKS = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
FACES = Faces(np.arange(8, dtype=np.float32).reshape(2, 4), np.array([0.9, 0.8], np.float32), LANDMARKS)
BARE = Faces(np.ones((1, 4)), np.ones(1), None)
SPLIT = Split(
    [
        MoviePictures("tt1", (Picture("c", "tt1/c.jpg", "x", FACES),), (Picture("p", "tt1/p.jpg", "x", BARE),)),
        MoviePictures("tt2", (), (Picture("q", "tt2/q.jpg"),)),
    ]
)
ITEM = {"id": "c", "file": "tt1/c.jpg", "label": "x"}
COLUMNS = {"faces": np.ones((1, 4)), "landmarks": np.ones((1, 10)), "scores": np.ones(1)}


def test_a_body_file_is_what_the_original_wrote(tmp_path):
    stagefiles.write_body(tmp_path / "x.pkl", SPLIT, {"body": "b"})
    assert pickle.loads((tmp_path / "x.pkl").read_bytes()) == {
        "tt1": {"cast": [ITEM], "candidates": [{"id": "p", "file": "tt1/p.jpg", "label": "x"}]},
        "tt2": {"cast": [], "candidates": [{"id": "q", "file": "tt2/q.jpg"}]},
    }
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {"body": "b"}
    found = stagefiles.read_body(tmp_path / "x.pkl")
    assert list(found) == ["tt1", "tt2"]
    assert found["tt1"].cast == (Picture("c", "tt1/c.jpg", "x"),)
    assert found["tt2"] == MoviePictures("tt2", (), (Picture("q", "tt2/q.jpg"),))


def test_a_retina_file_is_what_the_original_wrote(tmp_path):
    stagefiles.write_retina(tmp_path / "x.pkl", SPLIT, {"pack": "p"})
    written = pickle.loads((tmp_path / "x.pkl").read_bytes())
    item = written["tt1"]["cast"][0]
    assert list(item) == ["id", "file", "label", "faces", "landmarks", "scores"]
    # five x, then five y
    np.testing.assert_array_equal(item["landmarks"], np.hstack([LANDMARKS[:, :, 0], LANDMARKS[:, :, 1]]))
    assert written["tt1"]["candidates"][0]["landmarks"] is None
    assert written["tt2"]["candidates"][0] == {
        "id": "q",
        "file": "tt2/q.jpg",
        "faces": None,
        "landmarks": None,
        "scores": None,
    }
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {"pack": "p"}
    found = stagefiles.read_retina(tmp_path / "x.pkl")
    faces = found["tt1"].cast[0].faces
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_array_equal(getattr(faces, name), getattr(FACES, name))
    assert found["tt1"].cast[0].label == "x"
    assert found["tt1"].candidates[0].faces.landmarks is None
    assert found["tt2"].candidates == (Picture("q", "tt2/q.jpg"),)


def test_files_without_metadata(tmp_path):
    stagefiles.write_body(tmp_path / "b.pkl", SPLIT)
    stagefiles.write_retina(tmp_path / "r.pkl", SPLIT)
    assert len(list(tmp_path.iterdir())) == 2


def test_real_files_survive_a_round_trip(tmp_path, testdata):
    for name in ("golden/jurassic/retina_val.pkl", "golden/fusion/data/retina_val.pkl"):
        stagefiles.write_retina(tmp_path / "x.pkl", stagefiles.read_retina(testdata / name))
        first, second = (pickle.loads(path.read_bytes()) for path in (testdata / name, tmp_path / "x.pkl"))
        for movie, groups in first.items():
            for group, items in groups.items():
                for a, b in zip(items, second[movie][group], strict=True):
                    assert a.keys() == b.keys()
                    for field in a:
                        np.testing.assert_array_equal(a[field], b[field])


def write(tmp_path, content: Any):
    stagefiles.write(tmp_path / "x.pkl", content)
    return tmp_path / "x.pkl"


@pytest.mark.parametrize("empty", [None, np.zeros((0, 4), np.float32), np.zeros((0, 5)), np.zeros(0)])
def test_no_face_is_none(tmp_path, empty):
    item = ITEM | {"faces": empty, "landmarks": empty, "scores": empty}
    found = stagefiles.read_retina(write(tmp_path, {"tt1": {"cast": [], "candidates": [item]}}))
    assert found["tt1"].candidates[0].faces is None


def changed(**fields: Any) -> dict[str, Any]:
    return {"tt1": {"cast": [], "candidates": [ITEM | COLUMNS | {"id": "first"}, ITEM | COLUMNS | fields]}}


def without(field: str) -> dict[str, Any]:
    content = copy.deepcopy(changed())
    del content["tt1"]["candidates"][1][field]
    return content


WRONG = [
    ({"tt1": []}, "movie tt1: expected a dict of 'cast' and 'candidates', found list"),
    ({"tt1": {"cast": []}}, "movie tt1: expected a list under 'candidates', found NoneType"),
    ({"tt1": {"cast": {}, "candidates": []}}, "movie tt1: expected a list under 'cast', found dict"),
    ({"tt1": {"cast": [], "candidates": ["x"]}}, "movie tt1: candidates 0: expected a dict, found str"),
    ({"../../x": {"cast": [], "candidates": []}}, r"movie \.\./\.\./x holds a path"),
    ({"tt\n1": {"cast": [], "candidates": []}}, r"movie 'tt\\n1' holds a line break"),
    ({"tt\ud800": {"cast": [], "candidates": []}}, r"movie 'tt\\ud800' holds half a character"),
    ({b"tt1": {"cast": [], "candidates": []}}, "movie a bytes is not a non-empty string"),
    (without("id"), "movie tt1: candidates 1: there is no 'id'"),
    (without("file"), "movie tt1: candidates 1: there is no 'file'"),
    (changed(id="first"), "movie tt1: id first stands already in movie tt1"),
    (changed(id="a b"), "movie tt1: candidates 1: id 'a b' holds a comma or a blank"),
    (changed(id="a\n"), "candidates 1: id 'a.n' holds a comma or a blank"),
    (changed(id="a\0"), "candidates 1: id 'a.x00' holds a line break or another control character"),
    (changed(id=np.ones(9)), "candidates 1: id a ndarray is not a non-empty string"),
    (changed(file="/etc/passwd"), "candidates 1: c: file /etc/passwd must stay below its folder"),
    (changed(label=["x"]), "candidates 1: c: expected a string or nothing as label, found a list"),
]
WRONG_FACES = [
    (without("faces"), "candidates 1: there is no 'faces'"),
    (without("landmarks"), "candidates 1: there is no 'landmarks'"),
    (without("scores"), "candidates 1: there is no 'scores'"),
    (changed(faces=np.ones((1, 5))), r"candidates 1: boxes must be \(1, 4\) numbers, got \(1, 5\) float64"),
    (changed(faces=np.ones((2, 4))), r"scores must be \(2,\) numbers, got \(1,\)"),
    (changed(faces=[[1, 2, 3, 4]]), "boxes must be .* numbers, got list"),
    (changed(faces=np.array(1.0)), r"boxes must be \(0, 4\) numbers, got \(\)"),
    (changed(faces="faces"), "boxes must be .* numbers, got str"),
    (changed(scores=None), r"scores must be \(1,\) numbers, got NoneType"),
    (changed(scores=np.ones((1, 1))), r"scores must be \(1,\) numbers"),
    (changed(scores=np.array(["a"])), r"scores must be \(1,\) numbers, got \(1,\) <U1"),
    (changed(landmarks=np.ones((1, 5, 2))), r"landmarks must be \(n, 10\) numbers, got \(1, 5, 2\)"),
    (changed(landmarks=np.ones(10)), r"landmarks must be \(n, 10\) numbers"),
    (changed(landmarks=np.ones((1, 8))), r"landmarks must be \(n, 10\) numbers, got \(1, 8\)"),
    (changed(landmarks=np.ones((2, 10))), r"landmarks must be \(1, 5, 2\) numbers, got \(2, 5, 2\)"),
    (changed(landmarks=[[1], [1, 2]]), r"landmarks must be \(n, 10\) numbers, got list"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
@pytest.mark.parametrize("reader", [stagefiles.read_body, stagefiles.read_retina])
def test_refuses(tmp_path, reader, content, message):
    check_refused(reader, write(tmp_path, content), message)


@pytest.mark.parametrize(("content", "message"), WRONG_FACES)
def test_refuses_faces(tmp_path, content, message):
    check_refused(stagefiles.read_retina, write(tmp_path, content), message)


def check_refused(reader, path, message):
    with pytest.raises(StageFileError, match=message) as error:
        reader(path)
    text = str(error.value)
    assert text.startswith(f"{path}: movie") and text.endswith("; run its stage again")
    assert text.isprintable() and len(text) < 400


@pytest.mark.parametrize("reader", [stagefiles.read_body, stagefiles.read_retina])
def test_no_movie_is_no_split(tmp_path, reader):
    stagefiles.write(tmp_path / "x.pkl", {})
    with pytest.raises(StageFileError, match=r"x\.pkl: holds no movie; run its stage again"):
        reader(tmp_path / "x.pkl")


def test_hostile_words_make_no_long_line(tmp_path):
    for content in (changed(id="," * 10**6), changed(file="../" * 10**6), {"/" * 10**6: {}}):
        check_refused(stagefiles.read_body, write(tmp_path, content), "movie")
