"""ONNX networks through the insightface library: SCRFD's faces, colours and scores."""

from __future__ import annotations

import numpy as np
import pytest
from insightface.model_zoo import get_model

from castsearch.demo_movie import GROUP, package_picture
from castsearch.faces import PackError, insightface_networks
from castsearch.faces.insightface_networks import InsightFaceDetector, InsightFaceEmbedder, as_probability
from castsearch.faces.sessions import DeviceError


@pytest.fixture(scope="module")
def scrfd(testdata):
    return testdata / "models/scrfd/scrfd_500m_kps.onnx"


@pytest.fixture(scope="module")
def library(scrfd):
    """The library's own detector, which takes BGR."""
    model = get_model(str(scrfd), providers=["CPUExecutionProvider"])
    model.prepare(-1)
    return model


def raw_scores(probabilities):
    return 0.5 - 0.1 * np.log2((1 - probabilities) / 0.1)


def test_faces_are_the_librarys(scrfd, library):
    image = package_picture(*GROUP)
    found, landmarks = library.detect(np.ascontiguousarray(image[:, :, ::-1]))
    order = np.argsort(-found[:, 4])
    (faces,) = InsightFaceDetector(scrfd, -1).detect_many([image])
    assert len(faces) == len(found) == 6
    np.testing.assert_allclose(faces.boxes, found[order, :4], atol=1e-3)
    np.testing.assert_allclose(faces.landmarks, landmarks[order], atol=1e-3)
    np.testing.assert_allclose(raw_scores(faces.scores.astype(float)), found[order, 4], atol=1e-3)
    swapped, _ = library.detect(image)
    assert np.abs(np.sort(swapped[:, 4])[-6:] - np.sort(found[:, 4])).max() > 0.01  # colours matter


def test_scores_come_on_the_scale_of_selection():
    """What SCRFD reports, from 0.5, lies above 0.9; each 0.1 halves the rest to 1."""
    scores = as_probability(np.array([0.5, 0.6, 0.7, 0.75, 1.0]))
    np.testing.assert_allclose(scores, [0.9, 0.95, 0.975, 1 - 0.025 * 2**-0.5, 0.996875])


def test_a_network_of_another_kind_is_refused(scrfd):
    with pytest.raises(PackError, match=r"scrfd_500m_kps\.onnx: insightface takes it for detection, not recognition"):
        InsightFaceEmbedder(scrfd, -1)


def test_a_session_that_fell_back_to_the_cpu_is_an_error(scrfd, monkeypatch):
    """The GPU is there, but without memory or libraries; ONNX Runtime takes the CPU and says nothing."""
    monkeypatch.setattr(insightface_networks, "resolve_gpu", lambda gpu: 0)
    monkeypatch.setattr(insightface_networks, "providers", lambda device: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"scrfd_500m_kps\.onnx: ONNX Runtime could not put it on GPU 0"):
        InsightFaceDetector(scrfd, 0)


def test_sessions_never_fall_back_in_mid_run(scrfd):
    assert not InsightFaceDetector(scrfd, -1)._model.session._enable_fallback


@pytest.mark.parametrize("raised", [ValueError("shapes\n(3,) and (4,)"), IndexError("9"), RuntimeError("")])
def test_whatever_the_library_raises_names_the_file(scrfd, monkeypatch, raised):
    detector = InsightFaceDetector(scrfd, -1)

    def fail(image):
        raise raised

    monkeypatch.setattr(detector._model, "detect", fail)
    with pytest.raises(
        PackError, match=r"scrfd_500m_kps\.onnx: insightface cannot run it \(.+\); get it again"
    ) as caught:
        detector.detect_many([np.zeros((20, 20, 3), np.uint8)])
    assert "\n" not in str(caught.value)
