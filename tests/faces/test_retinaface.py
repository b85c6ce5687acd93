"""RetinaFace's conventions, on the real network and in the small."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.faces import retinaface
from castsearch.faces.retinaface import (
    CHANNELS,
    OUTPUTS,
    SCALES,
    RetinaFace,
    decode_boxes,
    decode_landmarks,
    open_retinaface,
    scale_factors,
    scaled_sizes,
    suppress,
)
from castsearch.faces.search import SearchSettings
from castsearch.images import read_image
from castsearch.networks import CheckpointError, NetworkError, Place, Port, Ran
from castsearch.stagefiles import Faces


def network(checkpoints: Path, **settings: object) -> RetinaFace:
    folder = checkpoints / "retinaface_mnet25"
    return open_retinaface(
        folder / "mnet25-symbol.json",
        folder / "mnet25-0000.params",
        Place(),
        SearchSettings(**settings),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def portraits(testdata: Path) -> list[np.ndarray]:
    folder = testdata / "data/jurassic/origin/val/tt0107290/cast"
    return [read_image(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(
    ("size", "scales", "factors"),
    [
        ((800, 800), (500, 800), [0.625, 1.0]),
        ((400, 600), (500, 800), [1.25, 2.0]),  # the long side is 1200 exactly
        ((400, 601), (500, 800), [1200 / 601 * 0.625, 1200 / 601]),
        ((1600, 1000), (500, 800), [1200 / 1600 * 0.625, 1200 / 1600]),
        ((100, 100), (640,), [6.4]),
        ((100, 1000), (640, 320), [0.96, 0.48]),
    ],
)
def test_scales(size: tuple[int, int], scales: tuple[int, ...], factors: list[float]) -> None:
    np.testing.assert_allclose(scale_factors(scales, *size), factors)


def anchor_boxes(stride: int, side: int, y: int, x: int) -> list[float]:
    """The original's anchors: 16 x 16 at the origin, enlarged about their middle, moved cell by cell."""
    middle = 7.5
    half = (side - 1) / 2
    return [
        middle + x * stride - half,
        middle + y * stride - half,
        middle + x * stride + half,
        middle + y * stride + half,
    ]


def test_no_shift_gives_the_anchor() -> None:
    which, y, x = np.array([0, 1]), np.array([3, 2]), np.array([5, 0])
    boxes = decode_boxes(np.zeros((2, 4), np.float32), 16, which, y, x)
    np.testing.assert_allclose(boxes, [anchor_boxes(16, 128, 3, 5), anchor_boxes(16, 64, 2, 0)])
    landmarks = decode_landmarks(np.zeros((2, 5, 2), np.float32), 16, which, y, x)
    np.testing.assert_allclose(landmarks, np.repeat([[[87.5, 55.5]], [[7.5, 39.5]]], 5, axis=1))


def test_shifts_are_in_sides_of_the_anchor() -> None:
    one = np.array([1]), np.array([0]), np.array([0])  # side 16 at stride 8, centre 7.5
    deltas = np.array([[0.5, -0.25, np.log(2), 0]], np.float32)
    # Centre 15.5, 3.5; 32 pixels wide and 16 high, the last one included.
    np.testing.assert_allclose(decode_boxes(deltas, 8, *one), [[0, -4, 31, 11]], atol=1e-5)
    points = np.zeros((1, 5, 2), np.float32)
    points[0, 2] = [0.5, 1]
    np.testing.assert_allclose(decode_landmarks(points, 8, *one)[0, 2], [15.5, 23.5])


def test_suppression_counts_the_last_pixel() -> None:
    # 10 x 10 pixels each; moved by 4 pixels they share 60 of 140, by 5 pixels 50 of 150.
    boxes = np.array([[0, 0, 9, 9], [4, 0, 13, 9], [5, 0, 14, 9], [100, 0, 109, 9]], np.float32)
    assert suppress(boxes, 0.4).tolist() == [0, 2, 3]
    assert suppress(boxes[:2], 60 / 140 + 1e-6).tolist() == [0, 1]
    assert suppress(np.zeros((0, 4), np.float32), 0.4).tolist() == []


@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_suppression_leaves_no_overlap_and_drops_nothing_else(n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (n, 2))
    boxes = np.concatenate([corners, corners + random.uniform(1, 40, (n, 2))], axis=1).astype(np.float32)
    kept = suppress(boxes, 0.4).tolist()

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0]) + 1
        height = min(a[3], b[3]) - max(a[1], b[1]) + 1
        shared = max(width, 0) * max(height, 0)
        area = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
        return shared / (area - shared)

    expected: list[int] = []
    for i in range(n):
        if all(overlap(boxes[i].astype(float), boxes[j].astype(float)) <= 0.4 for j in expected):
            expected.append(i)
    assert kept == expected


class FakeNetwork:
    """Two faces with one score in different cells, all else background."""

    inputs = (Port("data", ("N", 3, None, None)),)
    ran = Ran("pencil 1", "paper", "float32")

    def run(self, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
        n, _, height, width = feed["data"].shape
        given = []
        for stride in (32, 16, 8):
            h, w = -(-height // stride), -(-width // stride)
            scores = np.zeros((n, 4, h, w), np.float32)
            if stride == 8:
                scores[:, 3, 2, 3] = scores[:, 3, 8, 9] = 0.8
                scores[:, 3, 5, 12] = 0.79
            given += [scores, np.zeros((n, 8, h, w), np.float32), np.zeros((n, 20, h, w), np.float32)]
        return given


def test_score_is_admitted_at_the_threshold_and_ties_go_to_the_later() -> None:
    detector = RetinaFace(lambda cores: FakeNetwork(), SearchSettings((320,)))  # type: ignore[arg-type, return-value]
    faces = detector.detect(np.zeros((320, 320, 3), np.uint8))
    np.testing.assert_allclose(faces.scores, [0.8, 0.8])
    np.testing.assert_allclose(faces.boxes, [anchor_boxes(8, 16, 8, 9), anchor_boxes(8, 16, 2, 3)])


class LopsidedNetwork(FakeNetwork):
    """One face in the left half of whatever it is given, its five points and corners all different."""

    def run(self, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
        given = super().run(feed, outputs)
        scores, boxes, landmarks = given[6:]  # stride 8, which has the faces
        scores[:] = 0
        scores[:, 3, 2, 3] = 0.9
        boxes[:, 4:, 2, 3] = [0.25, -0.5, np.log(2), np.log(3)]
        landmarks[:, 10:, 2, 3] = np.arange(10) / 16
        return given


def test_what_the_mirrored_picture_shows_is_mirrored_back() -> None:
    """In a picture of 320 x 240 that goes through the network at twice its size.

    The anchor's centre is at (31.5, 23.5), its side 16: the box has its centre at (35.5, 15.5) and 32 x 48 pixels.
    """
    detector = RetinaFace(lambda cores: LopsidedNetwork(), SearchSettings((480,), flip=True))  # type: ignore[arg-type, return-value]
    faces = detector.detect(np.zeros((240, 320, 3), np.uint8))
    assert len(faces) == 2
    # Of equal scores the later one comes first: the one in the mirror image.
    box = np.array([35.5 - 15.5, 0, 35.5 + 15.5, 15.5 + 23.5])  # cut at the upper edge
    mirrored = np.array([639 - box[2], box[1], 639 - box[0], box[3]])
    np.testing.assert_allclose(faces.boxes, np.array([mirrored, box]) / 2, atol=1e-5)
    points = np.array([[31.5 + 2 * i, 24.5 + 2 * i] for i in range(5)])
    # The left eye of the mirror image is the right one, likewise the mouth's corners; the nose stays.
    back = np.column_stack([639 - points[:, 0], points[:, 1]])[[1, 0, 2, 4, 3]]
    np.testing.assert_allclose(faces.landmarks, np.array([back, points]) / 2, atol=1e-5)


def test_the_mirrored_picture_is_what_the_network_gets() -> None:
    seen = []

    class Noted(FakeNetwork):
        def run(self, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
            seen.append(feed["data"])
            return super().run(feed, outputs)

    image = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    RetinaFace(lambda cores: Noted(), SearchSettings((192,), flip=True)).detect(image)  # type: ignore[arg-type, return-value]
    plain, mirrored = seen
    np.testing.assert_array_equal(plain[0], image.transpose(2, 0, 1))
    np.testing.assert_array_equal(mirrored[0], image[:, ::-1].transpose(2, 0, 1))
    assert plain.dtype == mirrored.dtype == np.float32


def test_batch_gives_what_single_pictures_give(checkpoints: Path, portraits: list[np.ndarray]) -> None:
    detector = network(checkpoints)
    same_size = [portraits[0], np.ascontiguousarray(portraits[0][:, ::-1]), portraits[1]]
    together = detector.detect_many(same_size)
    for image, faces in zip(same_size, together, strict=True):
        alone = detector.detect(image)
        assert len(alone) == len(faces) == 1
        for name in ("boxes", "scores", "landmarks"):
            np.testing.assert_allclose(getattr(faces, name), getattr(alone, name), rtol=1e-4, atol=1e-2)
    assert detector.detect_many([]) == []


def test_pictures_of_one_size_at_a_scale_share_a_run_there() -> None:
    """Whatever their sizes are; each gets the faces that it gets alone, of each scale in turn."""
    batches: list[tuple[int, ...]] = []

    class Noted(FakeNetwork):
        def run(self, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
            batches.append(feed["data"].shape)
            return super().run(feed, outputs)

    detector = RetinaFace(lambda cores: Noted(), SearchSettings((320, 160)), batch_pixels=3 * 320 * 320)  # type: ignore[arg-type, return-value]
    sides = (100, 320, 500, 640)
    images = [np.zeros((side, side, 3), np.uint8) for side in sides] + [np.zeros((200, 100, 3), np.uint8)]
    found = detector.detect_many(images)
    assert sorted(batches) == [(1, 3, 240, 120), (1, 3, 320, 320), (1, 3, 480, 240), (3, 3, 320, 320), (4, 3, 160, 160)]
    for image, faces in zip(images, found, strict=True):
        alone = detector.detect(image)
        for name in ("boxes", "scores", "landmarks"):
            np.testing.assert_array_equal(getattr(faces, name), getattr(alone, name))


@pytest.mark.parametrize("size", [(800, 801), (37, 1000), (1000, 37), (501, 333), (1, 700)])
def test_scaled_sizes_are_those_that_pictures_get(size: tuple[int, int]) -> None:
    for expected, factor in zip(scaled_sizes(SCALES, *size), scale_factors(SCALES, *size), strict=True):
        assert retinaface._resize(np.zeros((*size, 3), np.uint8), factor).shape[:2] == expected


def test_a_gpu_has_two_streams_on_one_network() -> None:
    opened: list[int] = []
    running: list[int] = []
    meet = threading.Barrier(2, timeout=20)

    class Meeting(FakeNetwork):
        def run(self, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
            running.append(meet.wait())
            return super().run(feed, outputs)

    def open_network(cores: int) -> FakeNetwork:
        opened.append(cores)
        return Meeting()

    detector = RetinaFace(open_network, SearchSettings((320,)), cores=1, streams=2)  # type: ignore[arg-type]
    detector.detect_many([np.zeros((100 + i, 100, 3), np.uint8) for i in range(4)])
    assert opened == [1]
    assert sorted(running) == [0, 0, 1, 1]


def test_cores_are_shared_out() -> None:
    """One picture gets all cores; several get a session of fewer, opened once each."""
    opened: list[int] = []

    def open_network(cores: int) -> FakeNetwork:
        opened.append(cores)
        return FakeNetwork()

    detector = RetinaFace(open_network, SearchSettings((320,)), cores=6)  # type: ignore[arg-type]
    images = [np.zeros((100 + i, 100, 3), np.uint8) for i in range(12)]
    for n in (1, 2, 12, 1, 12):
        assert len(detector.detect_many(images[:n])) == n
    assert opened == [6, 3, 1]


def test_flip_mirrors_boxes_and_landmarks(checkpoints: Path, portraits: list[np.ndarray]) -> None:
    """What the mirrored pass finds falls on what the plain one finds: left stays left."""
    image = portraits[0]
    plain = network(checkpoints).detect(image)
    mirrored = network(checkpoints).detect(np.ascontiguousarray(image[:, ::-1]))
    both = network(checkpoints, flip=True).detect(image)
    assert len(both) == 1
    assert both.scores[0] == pytest.approx(max(plain.scores[0], mirrored.scores[0]), abs=1e-3)
    width = image.shape[1]
    np.testing.assert_allclose(plain.boxes[0, [0, 2]], width - 1 - mirrored.boxes[0, [2, 0]], atol=0.02 * width)
    alone = network(checkpoints, flip=True, scales=(500,))
    np.testing.assert_allclose(alone.detect(image).landmarks, plain.landmarks, atol=0.02 * width)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 2000), (33, 17)])
def test_slivers_and_specks_have_no_face(checkpoints: Path, shape: tuple[int, int]) -> None:
    faces = network(checkpoints).detect(np.full((*shape, 3), 90, np.uint8))
    assert isinstance(faces, Faces)
    assert len(faces) == 0


@pytest.mark.parametrize(("what", "shape"), [("bbox_pred", ["N", 12, None, None]), ("cls_prob_reshape", ["N", 4])])
def test_outputs_of_another_kind_of_retinaface_are_refused(monkeypatch, what, shape):
    """Three anchors a cell, or a graph that flattens its scores: decoded, they would be boxes of nothing."""
    outputs = [
        Port(f"{name}_output", ("N", CHANNELS[part], None, None))
        for part in CHANNELS
        for name in OUTPUTS
        if f"_{part}_" in name
    ]
    opened = SimpleNamespace(path=Path("g"), inputs=(), outputs=outputs, run=None, ran=FakeNetwork.ran)
    monkeypatch.setattr(retinaface, "open_checkpoint", lambda *args: opened)
    network = open_retinaface(Path("g-symbol.json"), Path("g-0000.params"), Place())
    assert network._network(1).outputs is outputs
    changed = next(index for index, output in enumerate(outputs) if what in output.name)
    outputs[changed] = outputs[changed]._replace(shape=shape)
    message = rf"g-symbol\.json: expected {CHANNELS[what]} channels of {outputs[changed].name}"
    with pytest.raises(CheckpointError, match=message):
        network._network(2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(monkeypatch, value):
    """Nothing in them would pass the score: all pictures would seem to be without a face."""
    opened = SimpleNamespace(
        path=Path("g-symbol.json"),
        inputs=FakeNetwork.inputs,
        outputs=(),
        run=lambda feed, outputs: [np.zeros(3), np.array([0, value])],
        ran=FakeNetwork.ran,
    )
    monkeypatch.setattr(retinaface, "open_checkpoint", lambda *args: opened)
    network = open_retinaface(Path("g-symbol.json"), Path("g-0000.params"), Place())
    with pytest.raises(NetworkError, match=r"g-symbol\.json: the detector gives numbers that are not finite"):
        network.detect(np.zeros((32, 32, 3), np.uint8))
