"""Features: what is averaged, which engine, which pictures, and where a killed run goes on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from castsearch import stagefiles
from castsearch.bodies import checkpoints
from castsearch.bodies.extraction import (
    DeviceError,
    Extractor,
    ahead,
    device,
    extract_split,
    files_of,
    onnx_engine,
    torch_engine,
)
from castsearch.images import ImageError, ImageReader

MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


@pytest.fixture(scope="module")
def body(small: Path) -> dict:
    return stagefiles.read_body(small / "data/body_val.pkl")


def pixels(pictures: np.ndarray) -> np.ndarray:
    """Stands in for a network: the mean colour and one corner."""
    return np.concatenate([pictures.mean((1, 2)), pictures[:, 0, 0]], axis=1)


@pytest.mark.parametrize("network", ["triplet", "mgn"])
@pytest.mark.parametrize("cnn", ["resnext50_32x4d", "densenet121", "mobilenet_v2"])
def test_engines_give_the_mean_over_picture_and_mirror_image(network: str, cnn: str) -> None:
    torch.manual_seed(0)
    model = checkpoints.build(network, cnn).eval()
    pictures = np.random.default_rng(0).integers(0, 255, (3, 64, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        both = []
        for seen in (pictures, pictures[:, :, ::-1]):
            plain = torch.from_numpy(seen.copy()).permute(0, 3, 1, 2).contiguous().float() / 255
            both.append(model((plain - MEAN) / STD).numpy())
    expected = (both[0] + both[1]) / 2
    for engine in (torch_engine(model, torch.device("cpu")), onnx_engine(model, 64, 32)):
        got = engine(pictures)
        cosine = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosine.min() > 0.99999
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_casts_come_first(body: dict) -> None:
    plain, with_cast = (files_of(body, "val", flag)["tt2"] for flag in (False, True))
    assert len(plain) == 18 and plain[0] == "val/tt2/candidates/shot0img0_0_0_32_64.jpg"
    assert with_cast == ["val/tt2/cast/nm0.jpg", *plain]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_rows_follow_the_files_whatever_the_batch(small: Path, body: dict, batch_size: int) -> None:
    files = files_of(body, "val", True)["tt1"]
    reader = ImageReader(small / "body")
    features = Extractor(pixels, reader, height=64, width=32, batch_size=batch_size, workers=3)(files)
    assert features.dtype == np.float32 and features.shape == (19, 6)
    np.testing.assert_allclose(features[1:], pixels(np.stack([reader(file) for file in files[1:]])), rtol=1e-6)


def test_a_killed_run_goes_on_with_the_movie_it_was_in(small: Path, body: dict, tmp_path: Path) -> None:
    files, out = files_of(body, "val", False), tmp_path / "features.pkl"
    calls = []

    def dies_in_the_second_movie(pictures: np.ndarray) -> np.ndarray:
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return pixels(pictures)

    reader = ImageReader(small / "body")
    with pytest.raises(KeyboardInterrupt):
        extract_split(Extractor(dies_in_the_second_movie, reader, batch_size=32), files, out, {"cnn": "a"})
    assert not out.exists()
    extract_split(Extractor(dies_in_the_second_movie, reader, batch_size=32), files, out, {"cnn": "a"})
    assert calls == [18, 18, 18]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.json", "features.pkl"]
    assert stagefiles.read_metadata(out)["cnn"] == "a"
    features = stagefiles.read_features(out, {"tt1": 18, "tt2": 18})
    np.testing.assert_array_equal(features["tt1"], Extractor(pixels, reader)(files["tt1"]))

    extract_split(Extractor(dies_in_the_second_movie, reader, batch_size=32), files, out, {"cnn": "a"})
    assert len(calls) == 3, "nothing changed, nothing to do"
    extract_split(Extractor(dies_in_the_second_movie, reader, batch_size=32), files, out, {"cnn": "b"})
    assert len(calls) == 5, "other weights, all to do"


def test_a_picture_that_changed_is_extracted_again(small: Path, body: dict, tmp_path: Path) -> None:
    files, out = files_of(body, "val", False), tmp_path / "features.pkl"
    seen = []

    def engine(pictures: np.ndarray) -> np.ndarray:
        seen.append(len(pictures))
        return pixels(pictures)

    extractor = Extractor(engine, ImageReader(small / "body"), batch_size=32)
    extract_split(extractor, files, out, {})
    later = out.stat().st_mtime + 5
    changed = small / "body" / files["tt2"][3]
    before = changed.stat().st_mtime
    os.utime(changed, (later, later))
    extract_split(extractor, files, out, {})
    os.utime(changed, (before, before))
    assert seen == [18, 18, 18]


def test_a_bad_picture_stops_the_run_or_keeps_its_row_and_is_tried_again(
    small: Path, body: dict, tmp_path: Path
) -> None:
    files = {"tt1": [*files_of(body, "val", False)["tt1"][:2], "val/absent.jpg"], "tt2": []}
    with pytest.raises(ImageError, match=r"absent\.jpg"):
        extract_split(Extractor(pixels, ImageReader(small / "body")), files, tmp_path / "a.pkl", {})
    assert list(tmp_path.glob("*.pkl")) == []
    for _ in range(2):
        reader = ImageReader(small / "body", skip_bad=True)
        extract_split(Extractor(pixels, reader), files, tmp_path / "a.pkl", {})
        assert list(reader.bad) == ["val/absent.jpg"]
    features = stagefiles.read_features(tmp_path / "a.pkl", {"tt1": 3, "tt2": 0})
    np.testing.assert_array_equal(features["tt1"][2], np.full(6, 127))


def test_pictures_are_read_no_further_ahead_than_asked() -> None:
    started: list[int] = []
    with ahead(lambda i: started.append(i) or i * i, iter(range(100)), workers=4, depth=7) as results:
        for i, square in zip(range(20), results, strict=False):
            assert square == i * i
            assert len(started) <= i + 1 + 7
    assert len(started) < 40


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    assert device(-1).type == "cpu"
    with pytest.raises(DeviceError, match="--gpu -1"):
        device(torch.cuda.device_count())
