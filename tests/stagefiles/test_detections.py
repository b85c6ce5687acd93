"""results/{list}.pkl: what deploy.py writes, and the original did."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import Faces, StageFileError, detection_entry, read_detections

FACES = Faces(
    np.arange(8).reshape(2, 4).astype(float), np.array([0.9, 0.8]), np.arange(20).reshape(2, 5, 2).astype(float)
)


def read(tmp_path, content):
    stagefiles.write(tmp_path / "x.pkl", content)
    return read_detections(tmp_path / "x.pkl")


def test_round_trip(tmp_path):
    entry = detection_entry("val/a.jpg", FACES)
    assert entry["file"] == "val/a.jpg"
    assert entry["faces"].dtype == entry["landmarks"].dtype == np.float32
    np.testing.assert_allclose(entry["faces"], [[0, 1, 2, 3, 0.9], [4, 5, 6, 7, 0.8]], rtol=1e-6)
    found = read(tmp_path, {"val/a.jpg": entry, "val/b.jpg": detection_entry("val/b.jpg", Faces.none())})
    assert list(found) == ["val/a.jpg", "val/b.jpg"]
    np.testing.assert_array_equal(found["val/a.jpg"].boxes, FACES.boxes)
    np.testing.assert_allclose(found["val/a.jpg"].scores, FACES.scores, rtol=1e-6)
    np.testing.assert_array_equal(found["val/a.jpg"].landmarks, FACES.landmarks)
    assert len(found["val/b.jpg"]) == 0


def test_a_detector_without_landmarks(tmp_path):
    entry = detection_entry("a.jpg", Faces(FACES.boxes, FACES.scores, None))
    assert entry["landmarks"] is None
    assert read(tmp_path, {"a.jpg": entry})["a.jpg"].landmarks is None


@pytest.mark.parametrize("rows", [None, np.zeros((0, 5)), np.zeros(0)])
def test_no_face(tmp_path, rows):
    found = read(tmp_path, {"a.jpg": {"file": "a.jpg", "faces": rows, "landmarks": None}})["a.jpg"]
    assert found.boxes.shape == (0, 4) and found.landmarks.shape == (0, 5, 2)


def test_files_of_the_original(testdata):
    found = read_detections(testdata / "golden/jurassic/results_val_cast.pkl")
    assert len(found) == 6
    assert all(path.startswith("val/") and len(faces) for path, faces in found.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"../a.jpg": {"faces": None, "landmarks": None}}, r"picture \.\./a\.jpg: its path must stay below its folder"),
        ({"a.jpg": None}, r"picture a\.jpg: expected a dict of 'faces' and 'landmarks'"),
        ({"a.jpg": {"faces": None}}, "expected a dict of 'faces' and 'landmarks'"),
        ({"a.jpg": {"landmarks": None}}, "expected a dict of 'faces' and 'landmarks'"),
        ({"a.jpg": {"faces": [[1]], "landmarks": None}}, r"faces must be \(n, 5\) numbers, got list"),
        ({"a.jpg": {"faces": np.ones(5), "landmarks": None}}, r"faces must be \(n, 5\) numbers, got \(5,\) float64"),
        ({"a.jpg": {"faces": np.ones((1, 4)), "landmarks": None}}, r"faces must be \(n, 5\) numbers, got \(1, 4\)"),
        ({"a.jpg": {"faces": np.full((1, 5), "a"), "landmarks": None}}, r"boxes must be \(1, 4\) numbers"),
        ({"a.jpg": {"faces": np.ones((1, 5)), "landmarks": np.ones((2, 5, 2))}}, r"landmarks must be \(1, 5, 2\)"),
        ({"a.jpg": {"faces": np.ones((1, 5)), "landmarks": [[1], [1, 2]]}}, "landmarks must be .* got list"),
    ],
)
def test_refuses(tmp_path, content, message):
    with pytest.raises(StageFileError, match=message) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path / 'x.pkl'}: picture ")
    assert str(error.value).endswith("; run RetinaFace/deploy.py again")
