"""``--precision`` of stage 2: one calibration for all lists of a split, resumed, told apart, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.images import ImageReader, write_jpeg
from castsearch.networks.places import has_bfloat16
from castsearch.stagefiles import MoviePictures, Picture, Split

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--scales", "320")


@pytest.fixture(scope="module")
def split(testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of two portraits and 26 persons out of film stills, its lists, and a pack of real checkpoints."""
    folder = tmp_path_factory.mktemp("split")
    content = json.loads((testdata / "data/jurassic/data/val.json").read_text())
    film = next(iter(content.values()))
    reader = ImageReader(testdata / "data/jurassic/origin/val")
    cast = [(item["img"], reader(item["img"])) for item in film["cast"][:2]]
    persons = []
    for item in film["candidates"][:26]:
        x, y, width, height = item["bbox"]
        persons.append((item["img"], reader(item["img"])[max(0, y) : y + height, max(0, x) : x + width]))
    pictures = [Picture(f"i{n}", f"m/{n}_0_0_9_9.jpg", "x") for n in range(len(cast) + len(persons))]
    for picture, (_, image) in zip(pictures, cast + persons, strict=True):
        write_jpeg(folder / "body/val" / picture.file, image)
    stagefiles.write_body(
        folder / "body_val.pkl", Split([MoviePictures("m", tuple(pictures[:2]), tuple(pictures[2:]))])
    )
    (folder / "lists").mkdir()
    (folder / "lists/val_cast.txt").write_text("".join(f"val/{p.file}\n" for p in pictures[:2]))
    (folder / "lists/val_candidates_0.txt").write_text("".join(f"val/{p.file}\n" for p in pictures[2:]))
    (folder / "pack").mkdir()
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        for file in (testdata / "models" / name).iterdir():
            (folder / "pack" / file.name).write_bytes(file.read_bytes())
    return folder


def stage(split: Path, name: str, *flags: object, code: int = 0, cache: str = "cache") -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / f"RetinaFace/{name}.py"), *map(str, flags)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(split / cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def deploy(split: Path, name: str, results: str, *flags: object, code: int = 0) -> subprocess.CompletedProcess:
    source, target = split / f"lists/{name}.txt", split / results / f"{name}.pkl"
    pack = ("--model", split / "pack", "--image_root", split / "body")
    return stage(split, "deploy", "--txt_file", source, "--pkl_file", target, *pack, *SMALL, *flags, code=code)


def made(split: Path) -> dict[str, int]:
    """The kept networks and when they were made."""
    return {str(path): path.stat().st_mtime_ns for path in (split / "cache/castsearch/int8").glob("*/*")}


def test_int8_from_lists_to_features(split: Path) -> None:
    done = deploy(split, "val_cast", "int8", "--precision", "int8")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("int8 detector: "))
    assert line.endswith("% of the faces as in float32 of 10 pictures (calibrated on 18 others)")
    assert done.stderr == ""
    kept = made(split)
    assert len(kept) == 3
    done = deploy(split, "val_candidates_0", "int8", "--precision", "int8")
    assert line in done.stdout and made(split) == kept  # one calibration for both lists
    told = [stagefiles.read_metadata(split / f"int8/{name}.pkl") for name in ("val_cast", "val_candidates_0")]
    assert told[0]["detector"] == told[1]["detector"] and told[0]["detector"]["precision"] == "int8"
    assert told[1]["ran"][0]["precision"] == "int8" and f"int8 detector: {told[1]['ran'][0]['agreement']}" == line

    before = (split / "int8/val_candidates_0.pkl").stat().st_mtime_ns
    assert line in deploy(split, "val_candidates_0", "int8", "--precision", "int8").stdout  # all is done
    assert made(split) == kept and (split / "int8/val_candidates_0.pkl").stat().st_mtime_ns >= before
    assert stagefiles.read_metadata(split / "int8/val_candidates_0.pkl") == told[1]

    data = ("--mode", "val", "--data", split)
    pack = ("--model", split / "pack")
    stage(split, "merge", *data, "--results", split / "int8")
    stage(split, "face_det", *data, "--image_root", split / "body", "--out", split, *pack)  # which runs no network
    chips = stagefiles.read_metadata(split / "val_img/m.pkl")
    assert chips["detector"] == told[1]["detector"] and chips["ran"] == told[1]["ran"]
    exact = stage(split, "face_feat", *data, "--images", split, *pack)  # of chips found at another precision
    assert "int8" not in exact.stdout
    features = stagefiles.read(split / "face_val.pkl")["m"]
    done = stage(split, "face_feat", *data, "--images", split, *pack, "--precision", "int8")
    assert "\nint8 embedder: cosine to float32 0.9" in done.stdout and done.stderr == ""
    rounded = stagefiles.read(split / "face_val.pkl")["m"]
    cosines = (features * rounded).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(rounded, axis=1)
    assert 0.8 < cosines.min() < cosines.max() < 0.99999
    told = stagefiles.read_metadata(split / "face_val.pkl")
    assert told["embedder"]["precision"] == told["ran"][0]["precision"] == "int8"
    assert len(told["embedder"]["calibrated"]) == 64


def test_results_of_two_precisions_are_not_merged(split: Path) -> None:
    deploy(split, "val_cast", "mixed")
    told = stagefiles.read_metadata(split / "mixed/val_cast.pkl")["detector"]
    assert {*told} == {"sha256", "versions"} and {*told["versions"]} == {"onnxruntime"}  # as it always was
    deploy(split, "val_candidates_0", "mixed", "--precision", "int8")
    done = stage(split, "merge", "--mode", "val", "--data", split, "--results", split / "mixed", code=2)
    assert "made with another detector or other settings than" in done.stderr


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_is_another_detector(split: Path) -> None:
    """A finished float32 run is done again, not taken for one in bfloat16."""
    deploy(split, "val_cast", "bfloat16")
    deploy(split, "val_cast", "bfloat16", "--precision", "bfloat16")
    told = stagefiles.read_metadata(split / "bfloat16/val_cast.pkl")
    assert told["detector"]["precision"] == "bfloat16" and [ran["precision"] for ran in told["ran"]] == ["bfloat16"]


def test_int8_of_a_few_pictures_is_refused_before_any_work(split: Path, tmp_path: Path) -> None:
    (split / "lists/few.txt").write_text("val/m/0_0_0_9_9.jpg\n")
    done = deploy(split, "few", "few", "--precision", "int8", code=2)
    assert done.stderr.startswith("error: int8: 1 pictures that can be read are too few")
    assert done.stderr.count("\n") == 1 and not (split / "few").exists()


def test_dlib_knows_one_precision(split: Path) -> None:
    flags = ("--mode", "val", "--data", split, "--images", split, "--model", "dlib", "--precision", "int8")
    done = stage(split, "face_feat", *flags, code=2)
    assert "the pack dlib runs on the CPU in float32" in done.stderr and done.stderr.count("\n") == 1
