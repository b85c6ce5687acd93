"""Pictures of a few pixels' width or height: no pack may stall, crash or end a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castsearch.demo_movie import SINGLE, package_picture
from castsearch.faces import open_pack
from castsearch.faces.closeups import detect_portrait
from castsearch.faces.dlib_pack import CNN_SHORT_SIDE, HOG_SHORT_SIDE, _short_side
from castsearch.faces.insightface_networks import InsightFaceDetector, _no_sliver
from castsearch.faces.search import SearchSettings
from castsearch.networks import Place

SHAPES = [(2, 300), (700, 4), (2, 3000), (1, 1), (1, 5000), (5000, 1)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_checkpoints_find_nothing_and_cut_a_chip(checkpoints: Path, shape: tuple[int, int]) -> None:
    pack, image = open_pack(str(checkpoints), -1), noise(*shape)
    assert len(detect_portrait(pack, image)) == 0
    assert pack.align(image, None, None).shape == (3, 112, 112)


@pytest.mark.parametrize("scales", [None, [32]])
def test_scrfd_finds_nothing(testdata: Path, scrfd_of_free_size: Path, scales: list[int] | None) -> None:
    path = scrfd_of_free_size if scales else testdata / "models/scrfd/scrfd_500m_kps.onnx"
    detector = InsightFaceDetector(path, Place(), SearchSettings(scales))
    assert [len(faces) for faces in detector.detect_many([noise(*shape) for shape in SHAPES])] == [0] * len(SHAPES)


@pytest.mark.slow
def test_dlib_finds_nothing() -> None:
    pack = open_pack("dlib")
    for shape in SHAPES:
        assert len(pack.detect(noise(*shape))) == 0
        assert pack.align(noise(*shape), None, None).shape == (3, 150, 150)


@pytest.mark.parametrize(
    ("shape", "side", "scaled", "factor"),
    [
        ((300, 200), HOG_SHORT_SIDE, (720, 480), 2.4),  # as before
        ((200, 1200), HOG_SHORT_SIDE, (480, 2880), 2.4),  # the longest
        ((200, 2400), HOG_SHORT_SIDE, (240, 2880), 1.2),
        ((300, 2), HOG_SHORT_SIDE, (2880, 80), 9.6),  # 19 wide, filled up
        ((2, 3000), CNN_SHORT_SIDE, (80, 1920), 0.64),
        ((1, 50_000), CNN_SHORT_SIDE, (80, 1920), 0.0384),
    ],
)
def test_dlib_gets_what_it_can_take(shape: tuple[int, int], side: int, scaled: tuple[int, int], factor: float) -> None:
    image = noise(*shape)
    small, scale = _short_side(image, side)
    assert small.shape == (*scaled, 3)
    assert scale == pytest.approx(factor)


def test_a_face_in_a_strip_is_where_it_was() -> None:
    """The strip is 8 times as long as it is high, so that its long side is what is limited."""
    pack, image = open_pack("dlib"), package_picture(*SINGLE)
    strip = np.concatenate([image, np.full((512, 7 * 512, 3), 90, np.uint8)], axis=1)
    alone, found = pack.detect(image), pack.detect(strip)
    assert len(found) == len(alone) == 1
    np.testing.assert_allclose(found.boxes, alone.boxes, atol=20)


def test_scrfd_gets_slivers_filled_up() -> None:
    for image in (noise(2, 3000), noise(3000, 2)):
        filled = _no_sliver(image)
        assert sorted(filled.shape) == [3, 94, 3000]
        np.testing.assert_array_equal(filled[: image.shape[0], : image.shape[1]], image)
        assert filled.sum() == image.sum()
    np.testing.assert_array_equal(_no_sliver(noise(10, 320)), noise(10, 320))
