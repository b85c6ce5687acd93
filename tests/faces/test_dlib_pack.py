"""The dlib pack on real faces."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.demo_movie import GROUP, SINGLE, package_picture
from castsearch.faces import PackError, open_pack


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


def test_a_gpu_is_refused():
    with pytest.raises(PackError, match="runs on the CPU"):
        open_pack("dlib", gpu=0)


def test_metadata_names_the_weights(pack):
    assert len(pack.metadata()["sha256"]) == 3
    assert "CC0" in pack.metadata()["licence"]
