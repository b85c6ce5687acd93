"""triplet.py, mgn.py and reid_score.py, as a user runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from castsearch import stagefiles
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.extraction import resize
from castsearch.images import read_image, write_jpeg

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--cnn", "mobilenet_v2", "--height", 64, "--width", 32, "--gpu", -1, "--num_workers", 1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train and val split of 4 people in two cameras, with a portrait in val, and random weights to begin with."""
    root = tmp_path_factory.mktemp("reid")
    draw = np.random.default_rng(0)
    for mode in ("train", "val"):
        items: dict = {"cast": [], "candidates": []}
        for person in range(4):
            clothes = np.kron(draw.integers(0, 255, (8, 4, 3)), np.ones((8, 8, 1)))
            for camera in (1, 3):
                file = f"tt1/candidates/{person}{camera}_0_0_32_64.jpg"
                picture = np.clip(clothes + draw.normal(0, 10, clothes.shape), 0, 255).astype(np.uint8)
                write_jpeg(root / "body" / mode / file, picture)
                items["candidates"].append({"id": f"tt1_{person}{camera}", "file": file, "label": f"nm{person}"})
        write_jpeg(root / "body" / mode / "tt1/cast/nm0.jpg", picture)
        items["cast"].append({"id": "tt1_nm3", "file": "tt1/cast/nm0.jpg", "label": "nm3"})
        stagefiles.write(root / "data" / stagefiles.body_name(mode), {"tt1": items})
    torch.manual_seed(0)
    torch.save(BACKBONES["mobilenet_v2"].build(weights=None).state_dict(), root / "mobilenet_v2.pth")
    return root


@pytest.fixture
def flags(world: Path, tmp_path: Path) -> list:
    given = ("--image_root", world / "body", "--data", world / "data", "--ckpt", world / "mobilenet_v2.pth")
    return [*SMALL, *given, "--save_dir", tmp_path / "run"]


@pytest.mark.parametrize("network", ["triplet", "mgn"])
def test_train_then_extract(script, flags, tmp_path, network):
    training = ("--batch_size", 4, "--image_num", 2, "--epochs", 2, "--val_every", 1)
    done = script(f"reid/{network}.py", *flags, *training)
    assert "4 identities, 8 pictures, 1 steps an epoch, on cpu" in done.stdout
    for words in (
        "epoch 2/2: loss ",
        "top-1 ",
        "precision ",
        "images/s",
        "left",
        "mAP ",
        "Rank-1 ",
        "2 of 2 steps -> ",
    ):
        assert words in done.stdout
    unsized = [*flags[:2], *flags[6:]]  # the checkpoint knows its size
    done = script(f"reid/{network}.py", *unsized, "--eval", "--mode", "val", "--with_cast", "--out", tmp_path / "f.pkl")
    assert "best.pt: loaded, all but its classifier" in done.stdout
    assert stagefiles.read_metadata(tmp_path / "f.pkl")["size"] == [64, 32]
    dim = 1280 * (4 if network == "mgn" else 1)
    assert stagefiles.read_features(tmp_path / "f.pkl", {"tt1": 9})["tt1"].shape == (9, dim)
    assert len(stagefiles.read_metadata(tmp_path / "f.pkl")["sha256"]) == 64
    done = script("scripts/reid_score.py", tmp_path / "f.pkl", *flags[flags.index("--data") :][:2], "--rerank")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["Rank-1", "cosine", "k-reciprocal", "ECN"]


def test_features_go_to_the_data_folder_from_the_scripts_own_folder_too(script, flags, world):
    out = world / "data/triplet_mobilenet_v2_val.pkl"
    script("reid/triplet.py", *flags, "--eval", "--checkpoint", "imagenet", cwd=ROOT / "reid")
    features = stagefiles.read_features(out, {"tt1": 8})["tt1"]
    assert features.dtype == np.float32 and features.shape == (8, 1280)
    out.unlink()


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_goes_on(flags, tmp_path):
    """The second run ends as one that nobody stopped."""
    training = ["--batch_size", 2, "--image_num", 2, "--epochs", 12, "--save_every", 100, "--resume"]
    command = [sys.executable, str(ROOT / "reid/triplet.py"), *map(str, [*flags, *training])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run/log.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130 and errors.endswith("interrupted\n"), errors
    assert " of 24 steps -> " in output
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "last.pt: resumed after " in done.stdout and "24 of 24 steps" in done.stdout
    whole = [*command[: command.index("--save_dir") + 1], str(tmp_path / "whole"), *map(str, training)]
    subprocess.run(whole, capture_output=True, check=True)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("run", "whole")
    ]
    assert len(losses[0]) == 24 and losses[0] == losses[1]


@pytest.mark.parametrize(
    "given, message",
    [
        (("--batch_size", 9), "a batch needs 9 identities, and there are 4; give a smaller --batch_size"),
        (("--image_num", 1), "hold no triplet"),
        (("--eval",), "no checkpoint in it; train first"),
        (("--eval", "--checkpoint", "absent.pt"), "absent.pt: no such file of weights"),
        (("--eval", "--checkpoint", "imagenet", "--cnn", "resnet50"), "of another network: "),
        (("--eval", "--checkpoint", "imagenet", "--mode", "test"), "body_test.pkl: no such file"),
        (("--gpu", 99), "GPU 99 was asked for"),
        (("--image_root", "nowhere", "--batch_size", 4), "nowhere/train/tt1/candidates/"),
    ],
)
def test_mistakes_are_one_line(script, flags, tmp_path, given, message):
    done = script("reid/triplet.py", *flags, *given, code=2)
    (line,) = [line for line in done.stderr.splitlines() if "warning" not in line.lower()]
    assert line.startswith("error: ") and message in line
    assert list((tmp_path / "run").glob("*.pt*")) == []


def test_skip_bad_goes_on_and_lists_them(script, flags, world, tmp_path):
    crops = tmp_path / "body"
    for file in (world / "body").rglob("*.jpg"):
        copy = crops / file.relative_to(world / "body")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"" if file.name.startswith("13") else file.read_bytes())
    given = ("--image_root", crops, "--skip_bad")
    done = script("reid/triplet.py", *flags, *given, "--batch_size", 4, "--image_num", 2, "--epochs", 1)
    assert "went on without 1 bad picture:" in done.stderr and "train/tt1/candidates/13_" in done.stderr
    done = script("reid/triplet.py", *flags, *given, "--eval", "--out", tmp_path / "f.pkl")
    assert "went on without 1 bad picture:" in done.stderr and "val/tt1/candidates/13_" in done.stderr
    assert len(stagefiles.read_features(tmp_path / "f.pkl", {"tt1": 8})["tt1"]) == 8


# ---------------------------------------------------------------------------- scores


def test_scores_by_hand(script, tmp_path):
    """Camera 1 looks at camera 3: one finds its like first, one second; a stranger looks for nobody."""
    ids = {"a1": "a", "b1": "b", "c1": "c", "a3": "a", "b3": "b", "d3": "d"}
    features = np.array([[1, 0], [0, 1], [1, 1], [1, 0.1], [1, 0.2], [0.1, 1]], dtype=np.float32)
    items = [{"id": name, "file": f"{name}.jpg", "label": label} for name, label in ids.items()]
    stagefiles.write(tmp_path / "body_val.pkl", {"tt1": {"cast": [], "candidates": items}})
    stagefiles.write(tmp_path / "f.pkl", {"tt1": features})
    given = (tmp_path / "f.pkl", "--data", tmp_path)
    done = script("scripts/reid_score.py", *given, "--cameras", 1, 3)
    assert done.stdout.splitlines()[1].split() == ["cosine", "50.00", "100.00", "100.00", "75.00"]
    done = script("scripts/reid_score.py", *given, code=2)
    assert "nobody to find of the casts among the candidates" in done.stderr
    done = script("scripts/reid_score.py", *given, "--cameras", 7, 3, code=2)
    assert "nobody to find of camera 7 at camera 3" in done.stderr


@pytest.mark.slow
def test_scores_of_a_public_model(script, testdata, tmp_path):
    """OSNet x0.25 trained on MSMT17, from camera 1 to camera 3; another implementation gave Rank-1 63.0, mAP 73.7."""
    import onnxruntime

    session = onnxruntime.InferenceSession(testdata / "models/osnet/osnet_x0_25_msmt17.onnx")
    data = testdata / "data/cuhk01/data"
    items = stagefiles.read_body(data / "body_val.pkl")["cuhk01"]["candidates"]
    rows = []
    for item in items:
        picture = resize(read_image(testdata / "data/cuhk01/body/val" / item["file"]), 256, 128).astype(np.float32)
        seen = (picture / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        rows.append(session.run(None, {"input": seen.transpose(2, 0, 1)[None].astype(np.float32)})[0][0])
    stagefiles.write(tmp_path / "osnet.pkl", {"cuhk01": np.stack(rows)})
    done = script("scripts/reid_score.py", tmp_path / "osnet.pkl", "--data", data, "--cameras", 1, 3)
    rank1, *_, mean_ap = map(float, done.stdout.splitlines()[1].split()[1:])
    assert rank1 == pytest.approx(63.0, abs=1) and mean_ap == pytest.approx(73.7, abs=0.5)
