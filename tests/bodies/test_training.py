"""Training: the numbers of plain PyTorch, however it is stopped; it learns, and it says what is wrong."""

from __future__ import annotations

import errno
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, losses, training
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.body_model import BodyModel, BodyModelError
from castsearch.bodies.data import Augmentation, Batches, TrainingDataError
from castsearch.bodies.engines import torch_engine
from castsearch.bodies.extraction import Extractor
from castsearch.bodies.log import Log, Step, Validation
from castsearch.bodies.runs import RunExistsError
from castsearch.bodies.scoring import Retrieval
from castsearch.bodies.settings import PRECISIONS, Settings
from castsearch.bodies.training import DivergedError, Start, Trainer, new_network, open_run
from castsearch.bodies.validation import validator
from castsearch.images import ImageReader
from castsearch.stagefiles import MoviePictures, Picture, Split, StageFileError, writing

CPU = torch.device("cpu")
SETTINGS = Settings("triplet", "tiny", height=64, width=32, batch_size=4, image_num=2)


def people_of(small: Path) -> dict:
    return data.identities({"train": stagefiles.read_body(small / "data/body_train.pkl")})


def trainer(small: Path, folder: Path, settings: Settings = SETTINGS, imagenet: Path | None = None) -> Trainer:
    people = people_of(small)
    network = new_network(settings, len(people))
    if imagenet:
        checkpoints.load_imagenet(network, imagenet)
    return Trainer(settings, people, network, ImageReader(small / "body"), folder, CPU, workers=1)


def extractor(small: Path, network: torch.nn.Module) -> Extractor:
    return Extractor(BodyModel(torch_engine(network, CPU), 64, 32), ImageReader(small / "body"))


def logged(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


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


# ---------------------------------------------------------------------------- numbers


def parts_by_hand(network: torch.nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Embeddings and logits: the neck, a BatchNorm, stands before the classifier alone."""

    def normed(rows: Tensor, norm: torch.nn.Module) -> Tensor:
        centred = rows - rows.mean(0)
        return centred / (rows.var(0, unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias

    if network.__class__.__name__ == "CNN":
        net = network.backbone
        pooled = [net.last(net.middle(net.stem(x))).mean((2, 3))]
        return pooled, [F.linear(normed(pooled[0], network.bn), network.logits.weight, network.logits.bias)]
    trunk = network.backbone(x)
    whole, halved = network.branch1(trunk), network.branch2(trunk)
    middle = halved.shape[2] // 2
    pooled = [part.amax((2, 3)) for part in (whole, halved, halved[:, :, :middle], halved[:, :, middle:])]
    logits = [
        F.linear(normed(part, norm), classifier.weight, classifier.bias)
        for part, norm, classifier in zip(pooled, network.bns, network.logits, strict=True)
    ]
    return [part / part.norm(dim=1, keepdim=True) for part in pooled], logits


def training_by_hand(settings: Settings, people: dict, reader: ImageReader, epochs: int) -> Iterator[dict]:
    """The same training in plain PyTorch, one loop; its figures after each step, with the weights."""
    torch.manual_seed(settings.seed)
    network = checkpoints.build(settings.network, settings.cnn, len(people), settings.last_stride).double().train()
    optimizer = torch.optim.Adam(network.parameters(), weight_decay=settings.weight_decay)
    files = list(people.values())
    batches = Batches([len(some) for some in files], settings.batch_size, settings.image_num, settings.seed)
    augmentation = Augmentation(settings.height, settings.width, settings.color_jitter)
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    steps = [(epoch, batch) for epoch in range(epochs) for batch in batches.epoch(epoch)]
    for step, (epoch, batch) in enumerate(steps):
        rising = min(1.0, (step + 1) / batches.per_epoch / settings.warmup) if settings.warmup else 1.0
        lr = settings.lr * rising * settings.gamma ** (epoch // settings.lr_decay_epoch)
        optimizer.param_groups[0]["lr"] = lr
        seen = [
            augmentation(reader(files[s.label][s.picture]), np.random.default_rng((settings.seed, epoch, s.place)))
            for s in batch
        ]
        x = ((torch.from_numpy(np.stack(seen)).double() / 255 - mean) / std).permute(0, 3, 1, 2)
        labels = torch.tensor([sample.label for sample in batch])
        embeddings, logits = parts_by_hand(network, x)
        triplets = [
            losses.triplet_loss(part, labels, settings.mining, settings.margin, settings.metric) for part in embeddings
        ]
        triplet = sum(part.loss for part in triplets)
        classes = torch.zeros((), dtype=torch.float64)
        for part in logits:
            log = part.log_softmax(1)
            right = log[torch.arange(len(labels)), labels]
            smooth = settings.label_smoothing
            classes = classes - ((1 - smooth) * right + smooth * log.mean(1)).mean()
        optimizer.zero_grad()
        (classes + triplet).backward()
        optimizer.step()
        yield {
            **{"step": step + 1, "epoch": epoch + 1, "lr": lr, "images": len(batch)},
            **{"loss": (classes + triplet).item(), "class_loss": classes.item(), "triplet_loss": triplet.item()},
            **{name: sum(getattr(t, name).item() for t in triplets) / len(triplets) for name in ("top1", "precision")},
            "weights": {name: value.detach().clone() for name, value in network.named_parameters()},
        }


OTHER = {"mining": "hard", "margin": 0.3, "metric": "cosine", "label_smoothing": 0.2, "color_jitter": 0.4}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mining": "hard"},
        {"mining": "uniform"},
        {"margin": 0.5},
        {"metric": "sqeuclidean"},
        {"weight_decay": 0.3},
        {"warmup": 2},
        {"lr_decay_epoch": 1, "gamma": 0.5},
        {"label_smoothing": 0.3},
        {"color_jitter": 0.4},
        {"last_stride": 2, "height": 96, "width": 48},
        {"seed": 1},
        {"network": "mgn"},
        {"network": "mgn", "weight_decay": 0.1, "warmup": 1, "lr_decay_epoch": 2, **OTHER},
    ],
    ids=lambda change: ",".join(change) or "defaults",
)
def test_steps_are_those_of_plain_pytorch(small: Path, tmp_path: Path, change: dict) -> None:
    settings = replace(SETTINGS, lr=0.01, weight_decay=0.01, precision="float64")
    settings = replace(settings, **change)
    run = trainer(small, tmp_path, settings)
    weights: list = []

    def keep(record: Step | Validation) -> None:
        weights.append({name: value.detach().clone() for name, value in run.model.named_parameters()})

    assert run.run(3, report=keep)
    expected = list(training_by_hand(settings, people_of(small), ImageReader(small / "body"), epochs=3))
    found = logged(tmp_path)
    assert len(found) == len(expected) == 6
    for step, wanted, now in zip(found, expected, weights, strict=True):
        for name, value in wanted.pop("weights").items():
            torch.testing.assert_close(now[name], value, rtol=1e-7, atol=1e-9, msg=name)
        assert step.pop("seconds") > 0
        assert step == pytest.approx(wanted, rel=1e-8)


def test_every_setting_changes_the_numbers(small: Path, tmp_path: Path) -> None:
    """What the test above compares is not the same whatever the settings."""

    def last(**change: object) -> float:
        settings = replace(SETTINGS, lr=0.01, precision="float64", **change)
        return list(training_by_hand(settings, people_of(small), ImageReader(small / "body"), epochs=2))[-1]["loss"]

    changes = [{}, *({name: value} for name, value in OTHER.items()), {"weight_decay": 0.3}, {"warmup": 2}, {"seed": 1}]
    assert len({round(last(**change), 6) for change in changes}) == len(changes)


def test_the_learning_rate_rises_then_falls() -> None:
    settings = replace(SETTINGS, lr=1.0, warmup=2, lr_decay_epoch=4, gamma=0.1)
    rates = [settings.learning_rate(step // 2, (step + 1) / 2) for step in range(20)]
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1] + [0.1] * 8 + [0.01] * 4
    assert rates == pytest.approx(expected)


def test_mixed_precision_stays_near_the_wide_one(small: Path, tmp_path: Path) -> None:
    for precision in ("float32", "mixed"):
        assert trainer(small, tmp_path / precision, replace(SETTINGS, precision=precision)).run(3)
    wide, mixed = ([step["loss"] for step in logged(tmp_path / name)] for name in ("float32", "mixed"))
    assert wide != mixed and mixed == pytest.approx(wide, rel=0.05)


def test_it_learns_and_keeps_the_best(small: Path, imagenet: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, cnn="mobilenet_v2", image_num=3)
    split = stagefiles.read_body(small / "data/body_train.pkl")
    validate = validator(split, "train", lambda network: extractor(small, network))
    records: list = []
    run = trainer(small, tmp_path, settings, imagenet)
    before = validate(run.model)
    assert run.run(15, validate=validate, val_every=5, report=records.append)
    steps = [r for r in records if isinstance(r, Step)]
    scores = [r.mean_ap for r in records if isinstance(r, Validation)]
    assert [s.step for s in steps] == list(range(1, 31)) and [s.epoch for s in steps] == [1 + i // 2 for i in range(30)]
    assert sum(s.loss for s in steps[-6:]) < 0.7 * sum(s.loss for s in steps[:6])
    assert len(scores) == 3
    # People without a second picture to find ask for nobody: 5 of 6 people, 3 pictures, 2 movies.
    assert len(before.ap) == 30
    best = checkpoints.read(tmp_path / "best.pt")
    assert best["best"] == max(scores) and best["step"] == 10 * (1 + scores.index(max(scores)))
    assert checkpoints.trained(tmp_path) == tmp_path / "best.pt"
    assert [line["loss"] for line in logged(tmp_path) if "loss" in line] == [s.loss for s in steps]
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, cnn",
    [
        *(("triplet", cnn) for cnn in BACKBONES if cnn != "tiny"),
        *(("mgn", cnn) for cnn in ("resnet50", "densenet121", "mobilenet_v2")),
    ],
)
def test_every_network_trains_saves_resumes_and_extracts(small: Path, tmp_path: Path, network: str, cnn: str) -> None:
    settings = replace(SETTINGS, network=network, cnn=cnn, batch_size=2)
    run = trainer(small, tmp_path, settings)
    assert not run.run(1, stopped=lambda: run.step == 1)
    again = trainer(small, tmp_path, settings)
    assert again.resume() and again.step == 1
    trained = run.model.state_dict()
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, trained[name]), name
    model = checkpoints.build(network, cnn)
    assert checkpoints.load_weights(model, checkpoints.trained(tmp_path))
    (tmp_path / "last.pt").unlink()  # up to a gigabyte
    files = people_of(small)["tt1", "nm0"][:2]
    features = extractor(small, model)(files)
    assert features.shape == (2, model.dim * (4 if network == "mgn" else 1))
    torch.testing.assert_close(features, extractor(small, run.model)(files))


# ---------------------------------------------------------------------------- stopped and resumed


@pytest.mark.parametrize("precision", PRECISIONS)
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
    whole, parts = ([line["loss"] for line in logged(tmp_path / name)] for name in ("whole", "parts"))
    assert whole == parts and len(parts) == 8


def test_checkpoints_and_validations_come_as_often_as_asked(small: Path, tmp_path: Path) -> None:
    run, saves, records = trainer(small, tmp_path), [], []
    save = run.save
    run.save = lambda name: (saves.append((name, run.step)), save(name))  # type: ignore[method-assign, assignment]
    split = stagefiles.read_body(small / "data/body_train.pkl")
    validate = validator(split, "train", lambda network: extractor(small, network))
    assert run.run(5, save_every=2, validate=validate, val_every=3, report=records.append)
    assert [step for name, step in saves if name == "last.pt"] == [4, 8, 10]
    assert [(r.step, r.epoch) for r in records if isinstance(r, Validation)] == [(6, 3), (10, 5)]
    resumed = trainer(small, tmp_path)
    assert resumed.resume() and resumed.best == run.best > 0
    assert resumed.run(5) and resumed.step == 10, "all is done"
    assert (tmp_path / "best.pt").exists()


def test_the_best_is_the_first_of_the_largest(small: Path, tmp_path: Path) -> None:
    scores = iter([0.5, 0.7, 0.7, 0.6])
    run, saves = trainer(small, tmp_path), []
    run.save = lambda name: saves.append((name, run.step))  # type: ignore[method-assign, assignment]
    assert run.run(4, validate=lambda network: Retrieval(np.array([next(scores)]), np.array([0])))
    assert [step for name, step in saves if name == "best.pt"] == [2, 4] and run.best == 0.7


@pytest.mark.slow
def test_killed_twenty_times_it_ends_as_if_it_never_was(small: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(small), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [int(line) for line in done.stdout.split()]
    assert len(steps) == 20 and steps == sorted(steps) and 20 < steps[-1] < 240
    assert same(tmp_path / "whole/last.pt", tmp_path / "killed/last.pt")
    assert sorted(p.name for p in (tmp_path / "killed").glob("*.pt*")) == ["last.pt"]


def test_where_a_run_begins(small: Path, tmp_path: Path) -> None:
    people, reader = people_of(small), ImageReader(small / "body")

    def opened(weights: Path | None, folder: str = "run", **how: bool) -> tuple[Trainer, Start]:
        return open_run(SETTINGS, people, reader, tmp_path / folder, CPU, weights=weights, workers=1, **how)

    torch.manual_seed(5)
    backbone, whole = BACKBONES["tiny"].build(weights=None), checkpoints.build("triplet", "tiny", num_classes=3)
    torch.save(backbone.state_dict(), tmp_path / "backbone.pth")
    torch.save({"model": whole.state_dict()}, tmp_path / "whole.pt")

    run, start = opened(tmp_path / "backbone.pth", resume=True)
    assert start is Start.BACKBONE and torch.equal(run.model.backbone.stem[0].weight, backbone.stem[0].weight)
    run, start = opened(tmp_path / "whole.pt")
    assert start is Start.NETWORK and torch.equal(run.model.backbone.stem[0].weight, whole.backbone.stem[0].weight)
    assert run.model.logits.weight.shape == (10, 8)
    assert run.run(1)
    again, start = opened(tmp_path / "absent.pt", resume=True)
    assert start is Start.CHECKPOINT and again.step == 2
    assert torch.equal(again.model.backbone.stem[0].weight, run.model.backbone.stem[0].weight)
    with pytest.raises(BodyModelError, match=r"absent\.pt: no such file"):
        opened(tmp_path / "absent.pt", folder="other")


def test_without_weights_a_run_begins_at_torchvisions(small: Path, tmp_path: Path, imagenet: Path) -> None:
    settings = replace(SETTINGS, cnn="mobilenet_v2")
    run, start = open_run(settings, people_of(small), ImageReader(small / "body"), tmp_path, CPU)
    first = torch.load(imagenet, weights_only=True)["features.0.0.weight"]
    assert start is Start.BACKBONE and torch.equal(run.model.backbone.features[0][0].weight, first)


def test_the_first_weights_come_from_the_seed() -> None:
    first = [new_network(replace(SETTINGS, seed=seed), 5).backbone.stem[0].weight for seed in (3, 3, 4)]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


# ---------------------------------------------------------------------------- told to stop


def scorer(small: Path, network: torch.nn.Module, stopped: object = lambda: False) -> Retrieval:
    split = stagefiles.read_body(small / "data/body_train.pkl")
    validate = validator(split, "train", lambda model: replace(extractor(small, model), stopped=stopped))
    return validate(network)


def test_stopped_in_a_validation_and_resumed_it_ends_as_if_it_never_stopped(small: Path, tmp_path: Path) -> None:
    whole = trainer(small, tmp_path / "whole")
    assert whole.run(4, save_every=4, validate=lambda network: scorer(small, network), val_every=2)
    asked: list[int] = []

    def stopped() -> bool:
        """Says so at the tenth picture of the first validation."""
        asked.append(first.step)
        return len(asked) >= 10

    first = trainer(small, tmp_path / "parts")
    assert not first.run(4, save_every=4, validate=lambda network: scorer(small, network, stopped), val_every=2)
    assert (first.step, first.validated) == (4, 0) and not (tmp_path / "parts/best.pt").exists()
    assert len(asked) <= 18, "the second movie is not begun"
    assert [line["step"] for line in logged(tmp_path / "parts")] == [1, 2, 3, 4]
    second = trainer(small, tmp_path / "parts")
    assert second.resume() and second.run(4, save_every=4, validate=lambda network: scorer(small, network), val_every=2)
    for name in ("last.pt", "best.pt"):
        assert same(tmp_path / "whole" / name, tmp_path / "parts" / name)
    records = [[{**line, "seconds": 0} for line in logged(tmp_path / name)] for name in ("whole", "parts")]
    assert records[0] == records[1] and [line["step"] for line in records[0] if "mean_ap" in line] == [4, 8]


def test_a_last_validation_that_was_stopped_is_made_up_for(small: Path, tmp_path: Path) -> None:
    first = trainer(small, tmp_path)
    assert not first.run(1, validate=lambda network: scorer(small, network, lambda: True))
    second = trainer(small, tmp_path)
    assert second.resume() and (second.step, second.validated) == (2, 0)
    assert second.run(1, validate=lambda network: scorer(small, network)) and second.validated == 2
    again = trainer(small, tmp_path)
    assert again.resume() and again.run(1), "the checkpoint need not tell"


def test_a_stop_is_heeded_while_pictures_are_read(small: Path, tmp_path: Path) -> None:
    reads: list[str] = []

    class Slow(ImageReader):
        def __call__(self, file: str) -> np.ndarray:
            reads.append(file)
            return super().__call__(file)

    people = people_of(small)
    run = Trainer(SETTINGS, people, new_network(SETTINGS, len(people)), Slow(small / "body"), tmp_path, CPU, workers=1)
    assert not run.run(4, stopped=lambda: len(reads) >= 5)
    assert (len(reads), run.step) == (5, 0), "a batch has 8 pictures"
    assert list(tmp_path.glob("*")) == [], "nothing was done, and nothing is written"


# ---------------------------------------------------------------------------- divergence


def poisoned(run: Trainer, step: int, what: str) -> None:
    """Make a loss of NaN in a step, or a weight or a moment infinite after it."""
    train, losses_of = run._train, run._losses

    def after(pictures: np.ndarray, labels: list, began: float) -> Step:
        done = train(pictures, labels, began)
        if run.step == step and what != "loss":
            weight = run.model.backbone.stem[0].weight
            tensor = weight.data if what == "weight" else run.optimizer.state[weight]["exp_avg_sq"]
            tensor[0] = torch.inf
        return done

    def ruined(pictures: np.ndarray, people: Tensor) -> tuple:
        classes, mined = losses_of(pictures, people)
        return classes * (torch.nan if what == "loss" and run.step + 1 == step else 1), mined

    run._train, run._losses = after, ruined  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("loss", "step 3: the loss is nan"),
        ("weight", "step 4: backbone.stem.0.weight is not finite"),
        ("moment", "step 4: exp_avg_sq of weight 0 is not finite"),
    ],
)
def test_a_run_that_diverges_stops_and_keeps_its_last_good_checkpoint(
    small: Path, tmp_path: Path, what: str, words: str
) -> None:
    run = trainer(small, tmp_path)
    poisoned(run, 3 if what == "loss" else 4, what)
    with pytest.raises(DivergedError, match=rf"^{words}, the training diverged; .*last\.pt of step 2 is kept"):
        run.run(4, validate=lambda network: scorer(small, network))
    state = checkpoints.read(tmp_path / "last.pt")
    assert state["step"] == 2 and checkpoints.not_finite(state["model"]) is None
    assert checkpoints.read(tmp_path / "best.pt")["step"] == 2
    assert all(np.isfinite(line["loss"]) for line in logged(tmp_path) if "loss" in line)


def test_a_stop_after_divergence_saves_nothing(small: Path, tmp_path: Path) -> None:
    run = trainer(small, tmp_path)
    poisoned(run, 1, "weight")
    with pytest.raises(DivergedError, match=r"step 1: .*; no checkpoint was written"):
        run.run(4, stopped=lambda: run.step == 1)
    assert not (tmp_path / "last.pt").exists()


# ---------------------------------------------------------------------------- another run in the folder


def old_run(small: Path, folder: Path) -> dict[str, bytes]:
    """A run of 3 epochs with a best one; its files."""
    assert trainer(small, folder).run(3, validate=lambda network: scorer(small, network))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def new_run(small: Path, folder: Path) -> Trainer:
    people, settings = people_of(small), replace(SETTINGS, seed=5)
    torch.save(BACKBONES["tiny"].build(weights=None).state_dict(), folder.parent / "backbone.pth")
    how = {"weights": folder.parent / "backbone.pth", "overwrite": True, "workers": 1}
    return open_run(settings, people, ImageReader(small / "body"), folder, CPU, **how)[0]


def test_a_folder_with_a_run_is_refused(small: Path, tmp_path: Path) -> None:
    for name in ("last.pt", "best.pt", "log.jsonl"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).touch()
        with pytest.raises(RunExistsError, match=rf"holds a run already \({name}\)"):
            open_run(SETTINGS, people_of(small), ImageReader(small / "body"), folder, CPU)


def test_nothing_of_an_old_run_is_touched_before_the_first_checkpoint(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    before = old_run(small, folder)
    run = new_run(small, folder)
    poisoned(run, 3, "loss")
    with pytest.raises(DivergedError):
        run.run(4, save_every=4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_new_run_takes_the_place_of_the_old_one_whole(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    old_run(small, folder)
    run = new_run(small, folder)
    assert run.run(2)
    assert sorted(p.name for p in folder.iterdir() if "tfevents" not in p.name) == ["last.pt", "log.jsonl"]
    assert [line["step"] for line in logged(folder)] == [1, 2, 3, 4]
    assert checkpoints.read(folder / "last.pt")["settings"]["seed"] == 5


def test_a_best_one_of_a_new_run_never_stands_beside_the_last_one_of_another(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    old_run(small, folder)
    run, wrote = new_run(small, folder), []
    save = run.save
    run.save = lambda name: (wrote.append(name), save(name))  # type: ignore[method-assign, assignment]
    assert run.run(2, save_every=2, validate=lambda network: scorer(small, network))
    assert wrote[:2] == ["last.pt", "best.pt"]
    assert checkpoints.origin(folder / "best.pt") == checkpoints.origin(folder / "last.pt") == run.run_name


@pytest.mark.parametrize("moment", ["put_aside", "begin", "take_over"])
def test_killed_while_it_takes_over_it_is_one_run_or_the_other(
    small: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    before = old_run(small, folder)
    run = new_run(small, folder)

    def kill(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "put_aside":
            patch.setattr(checkpoints.RunState, "write", kill)
        else:
            patch.setattr(*((Log, "begin") if moment == "begin" else (training.runs, "take_over")), kill)
        with pytest.raises(KeyboardInterrupt):
            run.run(2)
    if moment == "put_aside":
        assert checkpoints.trained(folder).read_bytes() == before["best.pt"]
        assert trainer(small, folder).resume()
        again = trainer(small, folder)
        assert again.resume() and again.run(3)
        assert {name: (folder / name).read_bytes() for name in before} == before
        return
    assert checkpoints.trained(folder) == folder / "last.pt", "the best one is not of this run"
    again = Trainer(run.settings, people_of(small), run.model, ImageReader(small / "body"), folder, CPU, workers=1)
    assert again.resume() and again.step == 2 and again.run(2)
    assert [line["step"] for line in logged(folder)] == [1, 2, 3, 4]
    assert sorted(p.name for p in folder.rglob("*") if "tfevents" not in p.name) == ["last.pt", "log.jsonl"]


def test_the_later_of_last_and_best_is_said(small: Path, tmp_path: Path) -> None:
    scores = iter([0.5, 0.7, 0.6])
    run = trainer(small, tmp_path)
    assert run.run(3, validate=lambda network: Retrieval(np.array([next(scores)]), np.array([0])))
    best = checkpoints.trained(tmp_path)
    assert best == tmp_path / "best.pt"
    assert (
        checkpoints.later(best) == f"best.pt is of epoch 2, last.pt of epoch 3; name {tmp_path / 'last.pt'} to use that"
    )
    assert checkpoints.later(tmp_path / "last.pt") is None
    (tmp_path / "last.pt").write_bytes(best.read_bytes())
    assert checkpoints.later(best) is None


def test_a_disk_that_is_full_keeps_the_old_checkpoint(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(small, tmp_path)
    assert run.run(1)
    before = (tmp_path / "last.pt").read_bytes()

    class Full(io.FileIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fdopen", lambda handle, mode: Full(handle, "w"))
    with pytest.raises(StageFileError, match=r"last\.pt: cannot be written \(No space left on device\); make room"):
        run.save("last.pt")
    assert (tmp_path / "last.pt").read_bytes() == before and not list(tmp_path.glob(".last*"))


def test_gpus_that_only_emulate_bfloat16_compute_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args, **kwargs: True)
    for capability, dtype in (((7, 0), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert training.half_precision(torch.device("cuda", 0)) == dtype
    assert training.half_precision(CPU) == torch.bfloat16


# ---------------------------------------------------------------------------- two processes


@pytest.fixture(scope="module")
def two(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two_processes.py left."""
    out = tmp_path_factory.mktemp("two")
    command = [sys.executable, str(Path(__file__).with_name("two_processes.py")), str(small), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "FutureWarning" not in done.stderr
    return out


@pytest.mark.parametrize("network", ["triplet", "mgn"])
def test_two_processes_follow_one(small: Path, two: Path, tmp_path: Path, network: str) -> None:
    """The same figures and weights with the same global batch, over 20 steps."""
    import two_processes

    model = two_processes.train(small, tmp_path, network, "float64")
    one, both = logged(tmp_path), logged(two / f"two_{network}")
    assert len(one) == 22 and np.std([line["loss"] for line in one if "loss" in line]) > 0.1
    for wanted, found in zip(one, both, strict=True):
        figures = wanted.keys() - {"seconds"}
        assert wanted.keys() == found.keys()
        assert {k: found[k] for k in figures} == pytest.approx({k: wanted[k] for k in figures}, rel=0, abs=1e-9)
    for rank in range(2):
        state = torch.load(two / f"two_{network}{rank}.pt", weights_only=True)
        torch.testing.assert_close(state, dict(model.state_dict()), rtol=0, atol=1e-8)


def test_two_processes_train_in_mixed_precision(small: Path, two: Path, tmp_path: Path) -> None:
    import two_processes

    two_processes.train(small, tmp_path, "triplet", "mixed")
    one, both = (
        [line["loss"] for line in logged(folder) if "loss" in line] for folder in (tmp_path, two / "two_mixed")
    )
    assert both[:5] == pytest.approx(one[:5], rel=0.02)


def test_processes_share_the_movies_of_a_validation(small: Path, two: Path) -> None:
    from two_processes import precisions

    whole = precisions(small)
    assert len(whole) == 30 and len(set(whole)) > 4
    assert [torch.load(two / f"precisions{process}.pt") for process in range(2)] == [whole, whole]


def test_processes_share_an_extraction(small: Path, two: Path, tmp_path: Path) -> None:
    """Of 19 pictures a movie, two a batch: the file has the bytes of one process, and a killed run goes on."""
    import two_processes

    two_processes.extract(small, tmp_path / "features.pkl")
    calls = [torch.load(two / f"features{process}.calls")[0] for process in range(2)]
    assert calls == [[2] * 10, ([2] * 4 + [1]) * 2], "the first process has batches 1, 3, ... of each movie"
    for name in ("features.pkl", "resumed.pkl"):
        assert (two / name).read_bytes() == (tmp_path / "features.pkl").read_bytes()
        assert stagefiles.read_metadata(two / name) == stagefiles.read_metadata(tmp_path / "features.pkl")
    calls = [torch.load(two / f"resumed{process}.calls")[0] for process in range(2)]
    assert calls == [[2] * 5, [2] * 4 + [1]], "the first movie was done before the kill"
    assert not (two / "resumed.pkl.partial").exists()


def test_one_process_that_is_told_to_stop_stops_both(two: Path) -> None:
    assert [torch.load(two / f"stopped{process}.pt") for process in range(2)] == [3, 3]
    assert checkpoints.read(two / "stopped/last.pt")["step"] == 3


def test_gradients_between_processes_are_of_the_sum_of_their_losses(two: Path) -> None:
    from two_processes import batch, loss_of

    parts = [batch(process).flatten(1).requires_grad_() for process in range(2)]
    rows = torch.cat(parts)
    sum(loss_of(rows, process) for process in range(2)).backward()
    for process in range(2):
        found = torch.load(two / f"collectives{process}.pt", weights_only=True)
        assert torch.equal(found["gathered"], rows)
        torch.testing.assert_close(found["rows.grad"], parts[process].grad, rtol=1e-12, atol=1e-12)
        assert found["labels"].tolist() == [0, 7, 1, 7]
        assert found["any_of"] == [False, True] and found["joined"] == [0, "a", 1, "a"] and found["world"] == 2


def test_batch_norm_of_two_processes_is_that_of_the_whole_batch(two: Path) -> None:
    from two_processes import batch

    norm = torch.nn.BatchNorm2d(2, momentum=0.3).double()
    whole = torch.cat([batch(0), batch(1)]).requires_grad_()
    normed = norm(whole)
    (normed.square() * torch.cat([batch(5), batch(6)])).sum().backward()
    found = [torch.load(two / f"collectives{process}.pt", weights_only=True) for process in range(2)]
    for name, wanted in (("normed", normed.detach()), ("pictures.grad", whole.grad)):
        torch.testing.assert_close(torch.cat([part[name] for part in found]), wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[0]["weight.grad"] + found[1]["weight.grad"], norm.weight.grad)
    for part in found:
        for name, value in norm.state_dict().items():
            torch.testing.assert_close(part["norm"][f"0.{name}"], value, rtol=1e-12, atol=1e-12)


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


def test_a_run_goes_on_with_the_same_pictures_only(small: Path, tmp_path: Path) -> None:
    assert trainer(small, tmp_path).run(1)
    people = people_of(small)
    people["tt1", "nm3"][1] = "train/another.jpg"
    other = Trainer(SETTINGS, people, new_network(SETTINGS, len(people)), ImageReader(small / "body"), tmp_path, CPU)
    with pytest.raises(BodyModelError, match="cannot be resumed: it was trained on other pictures of nm3 in tt1"):
        other.resume()
    state = checkpoints.read(tmp_path / "last.pt")
    same_run = trainer(small, tmp_path)
    assert same_run.resume() and same_run.known_pictures
    checkpoints.write(
        tmp_path / "last.pt", {k: v for k, v in state.items() if k not in ("pictures", "run", "validated")}
    )
    assert other.resume() and not other.known_pictures and (other.step, other.validated) == (2, 2)
    other.save("last.pt")
    assert checkpoints.read(tmp_path / "last.pt")["pictures"] is None, "they are not known to be these"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": [1]}, "it is damaged, or not of a run"),
        ({"optimizer": {}}, "it is damaged, or not of a run"),
        ({"optimizer": {"state": {}}}, "exp_avg of weight 0 is absent"),
        ({"step": "4"}, "it is damaged, or not of a run"),
        ({"step": -1}, "it is damaged, or not of a run"),
        ({"best": float("nan")}, "it is damaged, or not of a run"),
        ({"identities": "nm1"}, "it is damaged, or not of a run"),
        ({"settings": {"lr": torch.zeros(2)}}, "it is damaged, or not of a run"),
        ({"model": {}}, "it is damaged, or not of a run"),
        ({"model": {"a": torch.zeros(2)}}, "weights of another network: a is [2], expected absent"),
        ({"nan": True}, "is not finite, its training diverged"),
    ],
    ids=str,
)
def test_a_damaged_checkpoint_is_not_resumed(small: Path, tmp_path: Path, change: dict, words: str) -> None:
    assert trainer(small, tmp_path).run(1)
    state = checkpoints.read(tmp_path / "last.pt")
    if "nan" in change:
        state["model"]["bn.weight"][0] = torch.nan
        change = {}
    checkpoints.write(tmp_path / "last.pt", {**state, **change})
    with pytest.raises(BodyModelError, match=rf"^{re.escape(str(tmp_path / 'last.pt'))}: .*{re.escape(words)}"):
        trainer(small, tmp_path).resume()


def test_a_batch_that_cannot_be_shared_is_refused(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.distributed, "world", lambda: 3)
    with pytest.raises(training.SettingsError, match="batch_size of 4 cannot be shared evenly by 3 processes"):
        trainer(small, tmp_path)


def test_a_label_with_one_picture_trains(small: Path, tmp_path: Path) -> None:
    people = {identity: files[:1] for identity, files in people_of(small).items()}
    network = new_network(SETTINGS, len(people))
    assert Trainer(SETTINGS, people, network, ImageReader(small / "body"), tmp_path, CPU).run(1)


def test_a_new_run_replaces_the_best_of_the_old(small: Path, tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"old")
    (tmp_path / ".last.pt.x1").write_bytes(b"cut short")
    assert trainer(small, tmp_path).run(1)
    assert sorted(p.name for p in tmp_path.iterdir() if "pt" in p.name) == ["last.pt"]


def test_validation_needs_labels(small: Path) -> None:
    split = Split([MoviePictures("tt1", (), (Picture("tt1_0", "a.jpg"),))])
    with pytest.raises(TrainingDataError, match=r"body_test\.pkl: movie tt1: tt1_0 has no label"):
        validator(split, "test", lambda network: extractor(small, network))
