"""Stages 1 and 2 on real stills with the two MXNet checkpoints, against what the original gave."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.annotations import read_ranking
from castsearch.ranking import Settings, fuse, read_movies
from castsearch.stagefiles import Picture

MODE = ("--mode", "val")


@pytest.fixture(scope="module")
def run(testdata: Path, script: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages' files, written by the scripts with a pack folder as ``--model``."""
    out = tmp_path_factory.mktemp("jurassic")
    pack, data, body = out / "pack", out / "data", out / "body"
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        shutil.copytree(testdata / "models" / name, pack / name, copy_function=shutil.copyfile)
        (pack / name).chmod(0o755)
    jurassic = testdata / "data/jurassic"
    model, files = ("--model", pack), ("--data", data)
    source = ("--origin", jurassic / "origin", "--annotations", jurassic / "data")
    script("crop_body.py", *source, "--body", body, *MODE, *files)
    script("RetinaFace/datalist.py", "--root", body, *MODE, *files, "--out", out / "lists")
    for listed in sorted((out / "lists").glob("val_*.txt")):
        pickled = out / "results" / f"{listed.stem}.pkl"
        script("RetinaFace/deploy.py", "--txt_file", listed, "--pkl_file", pickled, "--image_root", body, *model)
    script("RetinaFace/merge.py", *MODE, "--results", out / "results", *files)
    script("RetinaFace/face_det.py", "--image_root", body, *MODE, *model, *files, "--out", out)
    script("RetinaFace/face_feat.py", *MODE, *model, *files, "--images", out)
    return out


def pictures(path: Path) -> list[Picture]:
    return [picture for movie in stagefiles.read_retina(path).values() for picture in movie.pictures]


def test_detections(run: Path, testdata: Path) -> None:
    got = pictures(run / "data/retina_val.pkl")
    expected = pictures(testdata / "golden/jurassic/retina_val.pkl")
    assert len(got) == len(expected) == 81
    for mine, golden in zip(got, expected, strict=True):
        assert (mine.id, mine.file) == (golden.id, golden.file)
        if golden.faces is None:
            assert mine.faces is None
            continue
        assert mine.faces is not None
        assert len(mine.faces) == len(golden.faces), mine.file
        np.testing.assert_allclose(mine.faces.boxes, golden.faces.boxes, rtol=0, atol=0.01)
        np.testing.assert_allclose(mine.faces.landmarks, golden.faces.landmarks, rtol=0, atol=0.01)
        np.testing.assert_allclose(mine.faces.scores, golden.faces.scores, rtol=0, atol=1e-4)


def test_metadata_tell_what_ran_where(run: Path) -> None:
    files = ["results/val_cast.pkl", "data/retina_val.pkl", "data/face_val.pkl", *sorted(run.glob("val_img/*.pkl"))]
    assert len(files) == 3 + 2
    for file in files:
        ran = [{"engine": f"onnxruntime {version('onnxruntime')}", "device": "CPU", "precision": "float32"}]
        assert stagefiles.read_metadata(run / file)["ran"] == ran, file


def test_aligned_crops(run: Path, testdata: Path) -> None:
    golden = np.load(testdata / "golden/jurassic/val_img.npz")
    for movie, expected in golden.items():
        got = stagefiles.read(run / f"val_img/{movie}.pkl")[movie]
        assert got.shape == expected.shape
        different = got != expected
        assert different.mean() < 1e-3
        assert np.abs(got.astype(int) - expected).max() <= 8


def test_features(run: Path, testdata: Path) -> None:
    golden = stagefiles.read(testdata / "golden/jurassic/face_val.pkl")
    got = stagefiles.read(run / "data/face_val.pkl")
    assert set(got) == set(golden)
    for movie, expected in golden.items():
        assert got[movie].dtype == np.float32
        cosine = (got[movie] * expected).sum(1) / np.linalg.norm(got[movie], axis=1) / np.linalg.norm(expected, axis=1)
        assert cosine.min() >= 0.9999


@pytest.mark.parametrize("flags", ["plain", "face_rerank", "face_rerank_ecn", "body_rerank", "body_rerank_ecn"])
def test_rankings(run: Path, testdata: Path, tmp_path: Path, flags: str) -> None:
    """With the golden body features, our own faces give the expected rankings."""
    golden = testdata / "golden/jurassic"
    for path in (run / "data/retina_val.pkl", run / "data/face_val.pkl", golden / "triplet_resnext101_32x8d_val.pkl"):
        shutil.copyfile(path, tmp_path / path.name)
    method = {"rerank": "k_reciprocal", "ecn": "ecn"}.get(flags.rpartition("_")[2])
    settings = Settings(**{f"{flags.partition('_')[0]}_rerank": method} if method else {})  # type: ignore[arg-type]
    ranking = {}
    for movie in read_movies(tmp_path, "val", ["triplet_resnext101_32x8d"]):
        ranking.update(fuse(movie, settings))
    assert ranking == read_ranking(golden / f"expected/{flags}.txt")
