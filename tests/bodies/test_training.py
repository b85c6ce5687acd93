"""Training: it learns, it comes to the same numbers however it is stopped, and it says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, training
from castsearch.bodies.backbones import BACKBONES, BodyModelError
from castsearch.bodies.extraction import Extractor, torch_engine
from castsearch.images import ImageReader

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SETTINGS = training.Settings("triplet", "mobilenet_v2", height=64, width=32, batch_size=4, image_num=2)


def people_of(small: Path) -> dict:
    return data.identities({"train": stagefiles.read_body(small / "data/body_train.pkl")})


def trainer(
    small: Path, folder: Path, settings: training.Settings = SETTINGS, imagenet: Path | None = None
) -> training.Trainer:
    people = people_of(small)
    model = training.new_network(settings, len(people))
    if imagenet:
        checkpoints.load_imagenet(model, imagenet)
    return training.Trainer(settings, people, model, ImageReader(small / "body"), folder, CPU, workers=1)


def same(a: Path, b: Path) -> bool:
    """Whether two checkpoints hold the same numbers, to the last bit."""
    first, second = checkpoints.read(a), checkpoints.read(b)
    moments = [
        torch.equal(first["optimizer"]["state"][i][name], second["optimizer"]["state"][i][name])
        for i in first["optimizer"]["state"]
        for name in ("exp_avg", "exp_avg_sq", "step")
    ]
    weights = [torch.equal(value, second["model"][name]) for name, value in first["model"].items()]
    return all(weights) and all(moments) and (first["step"], first["best"]) == (second["step"], second["best"])


def test_it_learns_and_keeps_the_best(small: Path, imagenet: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, image_num=3)
    body = stagefiles.read_body(small / "data/body_train.pkl")
    validate = training.validator(
        body, "train", lambda model: Extractor(torch_engine(model, CPU), ImageReader(small / "body"), 64, 32)
    )
    records: list = []
    run = trainer(small, tmp_path, settings, imagenet)
    before = validate(run.model)
    assert run.run(15, validate=validate, val_every=5, report=records.append)
    steps = [r for r in records if isinstance(r, training.Step)]
    scores = [r.mean_ap for r in records if isinstance(r, training.Validation)]
    assert [s.step for s in steps] == list(range(1, 31)) and [s.epoch for s in steps] == [1 + i // 2 for i in range(30)]
    assert sum(s.loss for s in steps[-6:]) < 0.7 * sum(s.loss for s in steps[:6])
    assert len(scores) == 3
    # People without a second picture to find ask for nobody: 5 of 6 people, 3 pictures, 2 movies.
    assert len(before.ap) == 30
    best = checkpoints.read(tmp_path / "best.pt")
    assert best["best"] == max(scores) and best["step"] == 10 * (1 + scores.index(max(scores)))
    assert checkpoints.trained(tmp_path) == tmp_path / "best.pt"
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines if "loss" in line] == [s.loss for s in steps]
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_the_learning_rate_rises_then_falls() -> None:
    settings = replace(SETTINGS, lr=1.0, warmup=2, lr_decay_epoch=4, gamma=0.1)
    rates = [settings.learning_rate(step // 2, (step + 1) / 2) for step in range(20)]
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1] + [0.1] * 8 + [0.01] * 4
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("precision", training.PRECISIONS)
def test_stopped_in_an_epoch_and_resumed_it_ends_as_if_it_never_stopped(
    small: Path, tmp_path: Path, precision: str
) -> None:
    settings = replace(SETTINGS, precision=precision)
    assert trainer(small, tmp_path / "whole", settings).run(4)
    first = trainer(small, tmp_path / "parts", settings)
    assert not first.run(4, save_every=100, stopped=lambda: first.step == 3)
    # What a kill would have left: a record of a step that no checkpoint knows.
    with (tmp_path / "parts/log.jsonl").open("a") as log:
        log.write('{"step": 4, "loss": 99}\n{"step": 5, "lo')
    second = trainer(small, tmp_path / "parts", settings)
    assert second.resume() and second.step == 3
    assert second.run(4)
    assert same(tmp_path / "whole/last.pt", tmp_path / "parts/last.pt")
    whole, parts = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert whole == parts and len(parts) == 8


# Forks from a process that imported torch but started no thread of it: ten starts cost little.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, training
from castsearch.images import ImageReader

small, out = Path(sys.argv[2]), Path(sys.argv[3])
settings = training.Settings("triplet", "mobilenet_v2", height=64, width=32, batch_size=4, image_num=2)

def start(folder):
    pid = os.fork()
    if pid:
        return pid
    people = data.identities({"train": stagefiles.read_body(small / "data/body_train.pkl")})
    model = training.new_network(settings, len(people))
    reader = ImageReader(small / "body")
    trainer = training.Trainer(settings, people, model, reader, out / folder, torch.device("cpu"), workers=1)
    trainer.resume()
    trainer.run(30)
    os._exit(0)

def saved():
    last = out / "killed" / "last.pt"
    return checkpoints.read(last)["step"] if last.exists() else 0

def logged():
    log = out / "killed" / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0

assert os.waitpid(start("whole"), 0)[1] == 0
draw = random.Random(0)
for kill in range(10):
    goal = saved() + draw.randint(1, 5)
    pid = start("killed")
    while logged() < goal and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.1))
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), f"kill {kill} came too late"
    print(saved())
assert os.waitpid(start("killed"), 0)[1] == 0
"""


@pytest.mark.slow
def test_killed_ten_times_it_ends_as_if_it_never_was(small: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(ROOT), str(small), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [int(line) for line in done.stdout.split()]
    assert len(steps) == 10 and steps == sorted(steps) and 10 < steps[-1] < 60
    assert same(tmp_path / "whole/last.pt", tmp_path / "killed/last.pt")
    assert sorted(p.name for p in (tmp_path / "killed").glob("*.pt*")) == ["last.pt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, cnn",
    [*(("triplet", cnn) for cnn in BACKBONES), ("mgn", "resnet50"), ("mgn", "densenet121"), ("mgn", "mobilenet_v2")],
)
def test_every_network_trains_saves_resumes_and_extracts(small: Path, tmp_path: Path, network: str, cnn: str) -> None:
    settings = replace(SETTINGS, network=network, cnn=cnn, batch_size=5)
    run = trainer(small, tmp_path, settings)
    assert run.run(1)
    again = trainer(small, tmp_path, settings)
    assert again.resume() and again.step == 2
    model = checkpoints.build(network, cnn)
    assert checkpoints.load_weights(model, checkpoints.trained(tmp_path))
    (tmp_path / "last.pt").unlink()  # up to a gigabyte
    files = people_of(small)["tt1", "nm0"]
    features = Extractor(torch_engine(model, CPU), ImageReader(small / "body"), 64, 32)(files)
    assert features.shape == (3, model.dim * (4 if network == "mgn" else 1))
    trained = Extractor(torch_engine(run.model, CPU), ImageReader(small / "body"), 64, 32)(files)
    torch.testing.assert_close(torch.from_numpy(features), torch.from_numpy(trained))


@pytest.mark.slow
def test_two_processes_follow_one(small: Path, tmp_path: Path) -> None:
    """The same loss curve with the same global batch, over 20 steps."""
    torch.save(BACKBONES["mobilenet_v2"].build(weights=None).state_dict(), tmp_path / "random.pth")
    flags = [
        *(str(ROOT / "reid/triplet.py"), "--image_root", str(small / "body"), "--data", str(small / "data")),
        *("--cnn", "mobilenet_v2", "--ckpt", str(tmp_path / "random.pth"), "--gpu", "-1", "--num_workers", "1"),
        *("--height", "64", "--width", "32", "--batch_size", "4", "--image_num", "4", "--epochs", "10"),
        *("--precision", "float64"),
    ]
    starts = {"one": [], "two": ["-m", "torch.distributed.run", "--nproc_per_node", "2"]}
    curves = {}
    for name, start in starts.items():
        command = [sys.executable, *start, *flags, "--save_dir", str(tmp_path / name)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        curves[name] = torch.tensor([json.loads(line)["loss"] for line in lines])
    assert len(curves["one"]) == 20
    assert curves["one"].std() > 0.1
    torch.testing.assert_close(curves["two"], curves["one"], atol=1e-6, rtol=0)


# ---------------------------------------------------------------------------- mistakes


def test_another_run_cannot_be_resumed(small: Path, tmp_path: Path) -> None:
    assert not trainer(small, tmp_path).resume()
    assert trainer(small, tmp_path).run(1)
    with pytest.raises(BodyModelError, match=r"its lr was 0\.0003, now it is 0\.1"):
        trainer(small, tmp_path, replace(SETTINGS, lr=0.1)).resume()
    state = checkpoints.read(tmp_path / "last.pt")
    checkpoints.write(tmp_path / "last.pt", {**state, "identities": state["identities"][1:]})
    with pytest.raises(BodyModelError, match="other identities"):
        trainer(small, tmp_path).resume()


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"image_num": 1}])
def test_batches_without_triplets_are_refused(change: dict) -> None:
    with pytest.raises(data.TrainingDataError, match="hold no triplet"):
        replace(SETTINGS, **change)


def test_a_label_with_one_picture_trains(small: Path, tmp_path: Path) -> None:
    people = {identity: files[:1] for identity, files in people_of(small).items()}
    model = training.new_network(SETTINGS, len(people))
    assert training.Trainer(SETTINGS, people, model, ImageReader(small / "body"), tmp_path, CPU).run(1)


def test_a_new_run_replaces_the_best_of_the_old(small: Path, tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"old")
    (tmp_path / ".last.pt.x1").write_bytes(b"cut short")
    assert trainer(small, tmp_path).run(1)
    assert sorted(p.name for p in tmp_path.iterdir() if "pt" in p.name) == ["last.pt"]


def test_validation_needs_labels(small: Path) -> None:
    body = {"tt1": {"cast": [], "candidates": [{"id": "tt1_0", "file": "a.jpg"}]}}
    with pytest.raises(data.TrainingDataError, match="tt1_0 has no label"):
        training.validator(body, "test", lambda model: None)  # type: ignore[arg-type, return-value]
