"""ONNX networks through the insightface library: its faces and score maps, colours, scores, and one session each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from insightface.model_zoo import get_model
from insightface.model_zoo.scrfd import DEFAULT_DET_SIZES

from castsearch.demo_movie import GROUP, package_picture
from castsearch.faces import PackError
from castsearch.faces.insightface_networks import InsightFaceDetector, InsightFaceEmbedder, as_probability
from castsearch.faces.search import SCRFD_SIDES, SearchSettings
from castsearch.networks import DeviceError, NetworkError, Place, onnxruntime_engine
from castsearch.networks.places import has_bfloat16

CPU = Place()


@pytest.fixture(scope="module")
def scrfd(testdata: Path) -> Path:
    return testdata / "models/scrfd/scrfd_500m_kps.onnx"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return package_picture(*GROUP)


def library(path: Path, sides: tuple[int, ...] | None = None) -> Any:
    """The library's own detector on sessions of its own; it takes BGR."""
    model = get_model(str(path), providers=["CPUExecutionProvider"])
    model.prepare(-1, **({"input_size": [(side, side) for side in sides]} if sides else {}))
    return model


def raw_scores(probabilities: np.ndarray) -> np.ndarray:
    return 0.5 - 0.1 * np.log2((1 - probabilities) / 0.1)


def assert_the_librarys(path: Path, sides: tuple[int, ...] | None, image: np.ndarray, n_faces: int) -> None:
    """Boxes and landmarks to a thousandth of a pixel, scores to a hundred-thousandth."""
    found, landmarks = library(path, sides).detect(np.ascontiguousarray(image[:, :, ::-1]))
    (faces,) = InsightFaceDetector(path, CPU, SearchSettings(sides)).detect_many([image])
    assert len(faces) == len(found) == n_faces
    np.testing.assert_allclose(faces.boxes, found[:, :4], atol=1e-3)
    assert faces.landmarks is not None
    np.testing.assert_allclose(faces.landmarks, landmarks, atol=1e-3)
    np.testing.assert_allclose(raw_scores(faces.scores.astype(float)), found[:, 4], atol=1e-5)


def test_faces_are_the_librarys(scrfd: Path, image: np.ndarray) -> None:
    assert_the_librarys(scrfd, None, image, 6)


@pytest.mark.parametrize(("sides", "n_faces"), [(None, 6), ((128,), 4), ((320,), 6), ((64, 320, 640), 6)])
def test_faces_of_several_sides_are_the_librarys(
    scrfd_of_free_size: Path, image: np.ndarray, sides: tuple[int, ...] | None, n_faces: int
) -> None:
    """The library makes a session of fixed size for each side; ours is one for all."""
    assert_the_librarys(scrfd_of_free_size, sides, image, n_faces)


def test_sides_by_default_are_the_librarys() -> None:
    assert [(side, side) for side in SCRFD_SIDES] == DEFAULT_DET_SIZES


class Noted:
    """A session of either side that notes what goes in and what comes out."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.runs: list[Any] = []
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs

    def run(self, names: Any, feed: Any) -> Any:
        self.runs.append((feed, self.session.run(names, feed)))
        return self.runs[-1][1]


def test_pictures_and_score_maps_are_the_librarys(scrfd: Path, image: np.ndarray) -> None:
    """What the network is given, colours in their order, and its nine maps: scores, boxes, landmarks by stride."""
    model, detector = library(scrfd), InsightFaceDetector(scrfd, CPU)
    theirs, ours = Noted(model.session), Noted(detector._model.session)
    model.session, detector._model.session = theirs, ours
    model.detect(np.ascontiguousarray(image[:, :, ::-1]))
    detector.detect_many([image])
    ((their_feed, their_maps),), ((our_feed, our_maps),) = theirs.runs, ours.runs
    assert list(their_feed) == list(our_feed)
    (name,) = our_feed
    np.testing.assert_array_equal(our_feed[name], their_feed[name])
    height = round(640 * image.shape[0] / image.shape[1])
    red = our_feed[name][0, 0, :height].mean() * 128 + 127.5
    assert abs(red - image[:, :, 0].mean()) < 0.5 < abs(red - image[:, :, 2].mean())
    cells = [2 * (640 // stride) ** 2 for stride in (8, 16, 32)]
    assert [a.shape for a in our_maps] == [(1, n, width) for width in (1, 4, 10) for n in cells]
    for mine, expected in zip(our_maps, their_maps, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-5)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
@pytest.mark.parametrize("free", [False, True])
def test_bfloat16_finds_the_same_faces(scrfd: Path, scrfd_of_free_size: Path, image: np.ndarray, free: bool) -> None:
    path = scrfd_of_free_size if free else scrfd
    detectors = [InsightFaceDetector(path, place) for place in (CPU, Place(-1, "bfloat16"))]
    (expected,), (got,) = (detector.detect_many([image]) for detector in detectors)
    assert [detector.ran.precision for detector in detectors] == ["float32", "bfloat16"]
    assert [detector.ran.engine.split()[0] for detector in detectors] == ["onnxruntime", "openvino"]
    assert len(got) == len(expected) == 6
    order = [int(np.abs(got.boxes - box).sum(axis=1).argmin()) for box in expected.boxes]
    assert sorted(order) == list(range(6))
    assert got.landmarks is not None
    assert expected.landmarks is not None
    widths = expected.boxes[:, 2] - expected.boxes[:, 0]
    assert (np.abs(got.boxes[order] - expected.boxes).max(axis=1) < 0.05 * widths).all()
    assert (np.abs(got.landmarks[order] - expected.landmarks).max(axis=(1, 2)) < 0.05 * widths).all()
    np.testing.assert_allclose(got.scores[order], expected.scores, atol=0.01)


def test_a_glimpse_and_what_is_noted_leave_no_trace(scrfd: Path, image: np.ndarray) -> None:
    """Faces so small that they are not sure ones: a glimpse shows them, the next search does not."""
    detector = InsightFaceDetector(scrfd, CPU)
    canvas = np.full_like(image, 127)
    small = image[::8, ::8]
    canvas[: len(small), : small.shape[1]] = small
    given = detector.feeds(canvas)
    glimpsed = detector.glimpse(canvas)
    assert [len(faces) for faces in detector.detect_many([canvas, image])] == [0, 6]
    assert (len(given), len(glimpsed)) == (1, 7)
    assert raw_scores(glimpsed.scores.astype(float)).min() > 0.2


def test_scores_come_on_the_scale_of_selection() -> None:
    """What SCRFD reports, from 0.5, lies above 0.9; each 0.1 halves the rest to 1."""
    scores = as_probability(np.array([0.5, 0.6, 0.7, 0.75, 1.0]))
    np.testing.assert_allclose(scores, [0.9, 0.95, 0.975, 1 - 0.025 * 2**-0.5, 0.996875])


def test_a_network_of_another_kind_is_refused(scrfd: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"scrfd_500m_kps\.onnx: expected 1 outputs, got 9; it is a network of another"):
        InsightFaceEmbedder(scrfd, CPU)
    model = onnx.load(scrfd)
    del model.graph.output[6:]  # no landmarks
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(
        PackError, match=r"bare\.onnx: expected 9 or 15 outputs, got 6; it is a network of another kind"
    ):
        InsightFaceDetector(tmp_path / "bare.onnx", CPU)


def test_a_session_that_fell_back_to_the_cpu_is_an_error(scrfd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is there, but without memory or libraries; ONNX Runtime takes the CPU and says nothing."""
    monkeypatch.setattr(onnxruntime_engine, "_providers", lambda gpu: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"scrfd_500m_kps\.onnx: ONNX Runtime could not put it on GPU 0"):
        InsightFaceDetector(scrfd, Place(0))


def test_sessions_never_fall_back_in_mid_run(scrfd: Path) -> None:
    assert not InsightFaceDetector(scrfd, CPU)._model.session._network._network._session._enable_fallback


@pytest.mark.parametrize("sides", [None, (64, 320, 640)])
def test_a_session_is_built_once(
    scrfd_of_free_size: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch, sides: tuple[int, ...] | None
) -> None:
    built: list[Any] = []
    real = onnxruntime_engine.onnxruntime.InferenceSession

    def noted(*args: Any, **kw: Any) -> Any:
        built.append(args[0])
        return real(*args, **kw)

    monkeypatch.setattr("onnxruntime.InferenceSession", noted)
    detector = InsightFaceDetector(scrfd_of_free_size, CPU, SearchSettings(sides))
    detector.detect_many([image, image[:100]])
    assert built == [str(scrfd_of_free_size)]


def scaled(path: Path, target: Path, factor: float) -> Path:
    """The network with one score map times a factor."""
    model = onnx.load(path)
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [f"{name}_before" if output == name else output for output in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor"))
    model.graph.node.append(onnx.helper.make_node("Mul", [f"{name}_before", "factor"], [name]))
    onnx.save(model, target)
    return target


def test_scores_that_are_not_finite_stop_the_search(scrfd: Path, image: np.ndarray, tmp_path: Path) -> None:
    """None of them reaches the limit: no face would be found anywhere, and nobody would know why."""
    broken = scaled(scrfd, tmp_path / "nan.onnx", np.nan)
    with pytest.raises(NetworkError, match=r"nan\.onnx: the detector gives numbers that are not finite; get it again"):
        InsightFaceDetector(broken, CPU).detect_many([image])
    assert len(InsightFaceDetector(scaled(scrfd, tmp_path / "x.onnx", 1), CPU).detect_many([image])[0]) == 6


@pytest.mark.parametrize("raised", [ValueError("shapes\n(3,) and (4,)"), IndexError("9"), RuntimeError("")])
def test_whatever_the_library_raises_names_the_file(
    scrfd: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    detector = InsightFaceDetector(scrfd, CPU)

    def fail(image: np.ndarray) -> None:
        raise raised

    monkeypatch.setattr(detector._model, "detect", fail)
    with pytest.raises(
        PackError, match=r"scrfd_500m_kps\.onnx: insightface cannot run it \(.+\); get it again"
    ) as caught:
        detector.detect_many([np.zeros((20, 20, 3), np.uint8)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raised", [NetworkError("m: no"), MemoryError()])
def test_what_has_words_of_its_own_keeps_them(scrfd: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception) -> None:
    detector = InsightFaceDetector(scrfd, CPU)
    monkeypatch.setattr(detector._model, "detect", lambda image: (_ for _ in ()).throw(raised))
    with pytest.raises(type(raised)) as caught:
        detector.detect_many([np.zeros((20, 20, 3), np.uint8)])
    assert caught.value is raised
