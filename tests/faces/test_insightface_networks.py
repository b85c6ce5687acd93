"""ONNX networks through the insightface library: SCRFD's faces, colours and scores."""

from __future__ import annotations

import numpy as np
import pytest
from insightface.model_zoo import get_model

from castsearch.demo_movie import GROUP, package_picture
from castsearch.faces import PackError
from castsearch.faces.insightface_networks import InsightFaceDetector, InsightFaceEmbedder, as_probability


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
