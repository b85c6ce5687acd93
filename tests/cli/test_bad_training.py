"""Training and body models: what users give the scripts, and what they are told."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from onnx import helper

from castsearch import stagefiles
from castsearch.bodies import checkpoints
from castsearch.images import write_jpeg
from castsearch.stagefiles import MoviePictures, Picture, Split
from tests.cli.table import Case, check

ROOT = Path(__file__).resolve().parents[2]
RUN = ("run/log.jsonl", "run/events.*", "run/last.pt")


@cache
def _made() -> Path:
    """Train and val split of 3 people seen by two cameras, and random weights; deleted when Python ends."""
    _made.folder = TemporaryDirectory()  # type: ignore[attr-defined]
    root = Path(_made.folder.name)  # type: ignore[attr-defined]
    draw = np.random.default_rng(0)
    for mode in ("train", "val"):
        candidates = []
        for person in range(3):
            clothes = np.kron(draw.integers(0, 255, (8, 4, 3)), np.ones((8, 8, 1)))
            for camera in (1, 3):
                file = f"tt1/candidates/{person}{camera}_0_0_32_64.jpg"
                write_jpeg(root / "body" / mode / file, (clothes * 0.9 + 5 * camera).astype(np.uint8))
                candidates.append(Picture(f"tt1_{person}{camera}", file, f"nm{person}"))
        _write_split(root, mode, candidates)
    torch.manual_seed(0)
    checkpoints.write(root / "first.pt", _checkpoint())
    return root


def _write_split(root: Path, mode: str, candidates: list[Picture]) -> None:
    split = Split([MoviePictures("tt1", (), tuple(candidates))])
    stagefiles.write_body(root / "data" / stagefiles.body_name(mode), split)


def _checkpoint(cnn: str = "mobilenet_v2") -> dict:
    settings = {"height": 64, "width": 32, "last_stride": 1, "batch_size": 3}
    return {"model": checkpoints.build("triplet", cnn).state_dict(), "settings": settings}


def data(folder: Path) -> None:
    """The splits alone."""
    shutil.copytree(_made(), folder, dirs_exist_ok=True)


def odd_checkpoint(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Splits, and ``odd.pt``: what ``change`` makes of a checkpoint."""

    def prepare(folder: Path) -> None:
        data(folder)
        content = checkpoints.read(folder / "first.pt")
        torch.save(change(content) or content, folder / "odd.pt")

    return prepare


def run_of(epoch: int, **more: object) -> Callable[[Path], None]:
    """Splits, and a run: ``last.pt`` after so many epochs, ``best.pt`` after one."""

    def prepare(folder: Path) -> None:
        data(folder)
        content = {**checkpoints.read(folder / "first.pt"), "identities": [["tt1", f"nm{i}"] for i in range(3)]}
        for name, at in (("best.pt", 1), ("last.pt", epoch)):
            checkpoints.write(folder / "run" / name, {**content, "run": "a", "step": at, **more})

    return prepare


def ruined(content: dict) -> None:
    content["model"]["bn.bias"][0] = torch.nan


def dead(content: dict) -> None:
    """The last layer gives nothing but zeros."""
    content["model"]["backbone.features.18.1.weight"].zero_()
    content["model"]["backbone.features.18.1.bias"].fill_(-1)


def odd_onnx(operator: str) -> Callable[[Path], None]:
    """Splits, and ``a.onnx``: the logarithm of the mean of normalised colours, which may be negative, or the input."""

    def prepare(folder: Path) -> None:
        data(folder)
        pooled = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0)] * (operator != "Identity")
        nodes = [*pooled, helper.make_node(operator, ["mean" if pooled else "x"], ["y"])]
        ports = [helper.make_tensor_value_info(*port) for port in (("x", 1, ("n", 3, 64, 32)), ("y", 1, None))]
        graph = helper.make_graph(nodes, "odd", ports[:1], ports[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        (folder / "a.onnx").write_bytes(model.SerializeToString())

    return prepare


class Hostile:
    def __reduce__(self) -> tuple:
        return print, ("it ran",)


def labelled(mode: str, *labels: str | None) -> Callable[[Path], None]:
    """Splits, of which one is of these labels."""

    def prepare(folder: Path) -> None:
        data(folder)
        files = [f"tt1/candidates/{i // 2}{(1, 3)[i % 2]}_0_0_32_64.jpg" for i in range(len(labels))]
        pairs = zip(files, labels, strict=True)
        _write_split(folder, mode, [Picture(f"tt1_{i}{(1, 3)[i % 2]}", *pair) for i, pair in enumerate(pairs)])

    return prepare


def features(folder: Path, first: float = 2) -> None:
    labelled("val", "a", "b", "a", "others", None, "b")(folder)
    rows = np.eye(6, dtype=np.float32) + 1
    rows[0, 0] = first
    stagefiles.write(folder / "f.pkl", {"tt1": rows})


def obstacles(folder: Path) -> None:
    data(folder)
    (folder / "file").touch()
    (folder / "folder.pkl").mkdir()


PLACES = "--data {tmp}/data --cnn mobilenet_v2 --gpu -1 --num_workers 1"
BODY = "--image_root {tmp}/body"
TRAIN = (
    f"reid/triplet.py {PLACES} --save_dir {{tmp}}/run --height 64 --width 32 --batch_size 3 --image_num 2 --epochs 1"
)
EVAL = f"reid/triplet.py {PLACES} --eval --out {{tmp}}/f.pkl"
EXTRACT = "reid/extract.py --checkpoint {tmp}/a.onnx --data {tmp}/data --gpu -1 --num_workers 1 --precision float32"
SCORE = "scripts/reid_score.py {tmp}/f.pkl --data {tmp}/data"
WEIGHTS = "--ckpt {tmp}/first.pt"


def flag(words: str, *says: str) -> Case:
    """A flag that no training takes, told before any work."""
    return Case(words, obstacles, f"{TRAIN} {BODY} {WEIGHTS} {words}", says)


FLAGS = [
    flag("--lr -0.1", "lr is -0.1; it must be a number from 0"),
    flag("--weight_decay nan", "weight_decay is nan; it must be a number from 0"),
    flag("--margin nan", "margin is nan; it must be a number, or None"),
    flag("--label_smoothing 2", "label_smoothing is 2.0; it must be a number from 0 to 1"),
    flag("--gamma 1.5", "gamma is 1.5; it must be a number from 0 to 1"),
    flag("--seed -1", "--seed: expected a whole number from 0, got '-1'"),
    flag("--warmup -1", "--warmup: expected a whole number from 0, got '-1'"),
    flag("--val_every -1", "--val_every: expected a whole number from 0, got '-1'"),
    flag("--batch_size 0", "--batch_size: expected a whole number from 2, got '0'"),
    flag("--height 1", "height is 1; it must be a whole number from 16 to 2048"),
    flag("--gpu -7", "GPU -7 was asked for, but there are", "-1 stands for the CPU"),
    flag("--resume --overwrite", "--resume and --overwrite exclude each other"),
    flag("--checkpoint {tmp}/first.pt", "--checkpoint is for extraction, and does nothing without --eval"),
    flag("--with_cast", "--with_cast is for extraction, and does nothing without --eval"),
    flag("--out {tmp}/f.pkl", "--out is for extraction, and does nothing without --eval"),
    flag("--test_batch_size 8", "--test_batch_size is for extraction, and does nothing without --eval"),
    flag("--save_dir {tmp}/file", "{tmp}/file: is a file, where a folder was expected"),
    flag("--precision int8", "--precision int8: training knows float32, mixed, float64"),
    flag("--cnn vgg", "--cnn: no backbone 'vgg'; choose one of resnet50, ", "or timm:NAME"),
    flag("--cnn timm:vgg", "timm:vgg: timm knows no such network; did you mean "),
    flag("--batch_size 4", "a batch needs 4 identities, and there are 3; give a smaller batch_size"),
]
CASES = [
    Case(
        "a rate that lets it diverge",
        data,
        f"{TRAIN} {BODY} {WEIGHTS} --lr 1e30 --epochs 9 --save_every 9",
        ("step 2: the loss is nan, the training diverged; no checkpoint was written", "lower learning rate"),
        writes=("run/log.jsonl", "run/events.*"),
    ),
    Case(
        "weights that are not finite",
        odd_checkpoint(ruined),
        f"{EVAL} {BODY} --checkpoint {{tmp}}/odd.pt",
        ("{tmp}/odd.pt: bn.bias is not finite: its training diverged; take an earlier checkpoint",),
    ),
    Case(
        "weights whose features are zero",
        odd_checkpoint(dead),
        f"{EVAL} {BODY} --checkpoint {{tmp}}/odd.pt",
        ("movie tt1: val/tt1/candidates/01_0_0_32_64.jpg: its feature is all zero", "odd.pt: the training diverged"),
    ),
    Case(
        "first weights, to extract",
        data,
        f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt {WEIGHTS}",
        ("--ckpt does nothing with --eval but for --checkpoint imagenet; name trained weights by --checkpoint",),
    ),
    Case(
        "a training's flag, to extract",
        data,
        f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt --margin soft",
        ("--margin is for training, and does nothing with --eval",),
    ),
    Case(
        "a training's precision, to extract",
        data,
        f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt --precision mixed",
        ("--precision mixed: extraction knows float32, bfloat16, int8",),
    ),
    Case(
        "int8 on six pictures",
        data,
        f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt --precision int8",
        ("int8: 6 pictures that can be read are too few, 4 to calibrate on and 2 others to compare, 24 are needed",),
    ),
    Case(
        "an ONNX file where weights belong",
        data,
        f"{EVAL} {BODY} --checkpoint {{tmp}}/a.onnx",
        ("{tmp}/a.onnx: an ONNX file is a whole network; reid/extract.py extracts by it",),
    ),
    Case(
        "weights for a network",
        data,
        f"{EXTRACT.replace('a.onnx', 'first.pt')} {BODY}",
        ("{tmp}/first.pt: weights alone, where a network in an ONNX file is wanted; reid/triplet.py extracts by",),
    ),
    Case(
        "text for a network",
        lambda folder: (data(folder), (folder / "a.onnx").write_text("no network")),
        f"{EXTRACT} {BODY}",
        ("{tmp}/a.onnx: not a usable network (",),
    ),
    Case(
        "a network whose features are not finite",
        odd_onnx("Log"),
        f"{EXTRACT} {BODY} --no_mirror",
        ("movie tt1: val/tt1/candidates/01_0_0_32_64.jpg: its feature is not finite; {tmp}/a.onnx: ",),
    ),
    Case(
        "a network that gives maps",
        odd_onnx("Identity"),
        f"{EXTRACT} {BODY}",
        ("{tmp}/a.onnx: no body model: output y is (2, 3, 64, 32) float32 for 2 pictures",),
    ),
    Case(
        "a network of another size",
        odd_onnx("Identity"),
        f"{EXTRACT} {BODY} --height 128",
        ("{tmp}/a.onnx: takes pictures of height 64, not 128; leave height out",),
    ),
    Case(
        "another stage's file, for a network's features",
        data,
        f"{EXTRACT} {BODY} --out {{tmp}}/face_val.pkl",
        ("is the name of a file that RetinaFace/face_feat.py writes; choose another",),
    ),
    Case(
        "features into a folder",
        obstacles,
        f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt --out {{tmp}}/folder.pkl",
        ("{tmp}/folder.pkl: is a folder; choose another name",),
    ),
    Case(
        "a folder that holds a run",
        run_of(3),
        f"{TRAIN} {BODY} {WEIGHTS}",
        ("{tmp}/run/last.pt: cannot be resumed: it is damaged, or not of a run; train anew; --overwrite",),
    ),
    Case(
        "a run to replace",
        run_of(3),
        f"{TRAIN} {BODY} {WEIGHTS} --overwrite",
        ("1 of 1 steps -> {tmp}/run/last.pt",),
        code=0,
        writes=(*RUN, "run/best.pt"),
    ),
    Case(
        "a run to go on with, of other pictures",
        lambda folder: (real_run(folder), labelled("train", "nm0", "nm0", "nm1", "nm2", "nm2")(folder)),
        f"{TRAIN} {BODY} {WEIGHTS} --resume",
        ("run/last.pt: cannot be resumed: it was trained on other pictures of nm1 in tt1",),
    ),
    Case(
        "a run to go on with, damaged",
        run_of(3, model=[1]),
        f"{TRAIN} {BODY} --resume",
        ("{tmp}/run/last.pt: cannot be resumed: it is damaged, or not of a run; train anew",),
        silent_on=("weights_only",),
    ),
    Case(
        "a best one before the last one",
        run_of(3),
        f"{EVAL} {BODY} --save_dir {{tmp}}/run",
        ("warning: best.pt is of epoch 1, last.pt of epoch 3; name {tmp}/run/last.pt to use that by --checkpoint",),
        code=0,
        writes=("f.pkl", "f.pkl.json"),
    ),
    Case(
        "weights that want to run code",
        odd_checkpoint(lambda content: {"model": Hostile()}),
        f"{EVAL} {BODY} --checkpoint {{tmp}}/odd.pt",
        ("odd.pt: not a usable file of weights (it asks for __builtin__.print, which no file of weights needs)",),
        silent_on=("weights_only", "it ran"),
    ),
    Case(
        "weights cut short",
        lambda folder: (data(folder), (folder / "odd.pt").write_bytes((folder / "first.pt").read_bytes()[:9999])),
        f"{EVAL} {BODY} --checkpoint {{tmp}}/odd.pt",
        ("odd.pt: not a usable file of weights (it is damaged, or holds more than weights (BadZipFile))",),
        silent_on=("weights_only",),
    ),
    Case(
        "weights of another backbone",
        odd_checkpoint(lambda content: _checkpoint("resnet50")),
        f"{EVAL} {BODY} --checkpoint {{tmp}}/odd.pt",
        ("odd.pt: weights of another network: backbone.", "check network and cnn"),
    ),
    Case(
        "weights as torchreid writes them",
        odd_checkpoint(
            lambda content: {
                "epoch": 60,
                "rank1": np.float64(0.5),
                "state_dict": {
                    f"module.{name.removeprefix('backbone.')}": value
                    for name, value in content["model"].items()
                    if name.startswith("backbone.")
                },
            }
        ),
        f"{TRAIN} {BODY} --ckpt {{tmp}}/odd.pt",
        ("1 of 1 steps -> {tmp}/run/last.pt",),
        code=0,
        writes=RUN,
    ),
    Case(
        "a folder too deep, to train",
        data,
        f"{TRAIN} {BODY}/val {WEIGHTS}",
        ("{tmp}/body/val: train/tt1/candidates/01_0_0_32_64.jpg is not there but below {tmp}/body; name that folder",),
        silent_on=("--skip_bad",),
    ),
    Case(
        "a folder too deep, to extract, bad ones passed over",
        data,
        f"{EVAL} {BODY}/val --checkpoint {{tmp}}/first.pt --skip_bad",
        ("{tmp}/body/val: val/tt1/candidates/01_0_0_32_64.jpg is not there but below {tmp}/body; name that folder",),
    ),
    Case(
        "no picture that can be read",
        lambda folder: (data(folder), [path.write_bytes(b"no") for path in (folder / "body/val").rglob("*.jpg")]),
        f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt --skip_bad",
        ("{tmp}/body: none of the 6 pictures can be read; the first: ",),
    ),
    Case(
        "one person to train on",
        labelled("train", "nm0", "nm0", "others"),
        f"{TRAIN} {BODY} {WEIGHTS}",
        ("body_train.pkl: all labelled candidates are of one person; label another one too",),
    ),
    Case(
        "validation on what it trains on",
        data,
        f"{TRAIN} {BODY} {WEIGHTS} --use_val --val_every 1",
        ("warning: --mode val is trained on, so that its scores, by which best.pt is chosen, say little",),
        code=0,
        writes=(*RUN, "run/best.pt"),
    ),
    Case(
        "a camera that is not there",
        features,
        f"{SCORE} --cameras 7 3",
        ("nobody to find of camera 7 at camera 3; ids end with their camera, here in 1, 3",),
    ),
    Case(
        "features that are not finite",
        lambda folder: features(folder, np.inf),
        f"{SCORE} --cameras 1 3",
        ("{tmp}/f.pkl: movie tt1: row 0 is not finite; extract the features again",),
    ),
    Case(
        "no cast to look for",
        features,
        SCORE,
        ("{tmp}/f.pkl: ",),
    ),
]


@cache
def _run() -> TemporaryDirectory:
    """A run of one epoch, by the real script."""
    made = TemporaryDirectory()
    folder = Path(made.name)
    data(folder)
    command = f"{TRAIN} {BODY} {WEIGHTS}".replace("{tmp}", str(folder)).split()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return made


def real_run(folder: Path) -> None:
    """Splits, and a run of one epoch."""
    shutil.copytree(_run().name, folder, dirs_exist_ok=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The scripts share the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_training(case: Case, script, tmp_path: Path) -> None:
    check(case, script, tmp_path)


@pytest.fixture
def script_here(monkeypatch, capsys):
    """Runs a script as ``script`` does, but in this process, which has imported torch already."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(name: str, *args: object, code: int = 0) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        assert (ended.value.code or 0) == code
        return subprocess.CompletedProcess(sys.argv, code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("case", FLAGS, ids=str)
def test_bad_flags(case: Case, script_here, tmp_path: Path) -> None:
    check(case, script_here, tmp_path)


# ---------------------------------------------------------------------------- what takes two, or a signal


def words_of(command: str, folder: Path) -> list[str]:
    return [sys.executable, *command.replace("{tmp}", str(folder)).split()]


def test_a_second_run_in_the_folder_waits_and_a_signal_saves_the_first(tmp_path: Path) -> None:
    data(tmp_path)
    command = f"{TRAIN} {BODY} {WEIGHTS} --epochs 400 --val_every 1 --test_batch_size 1 --resume"
    first = subprocess.Popen(words_of(command, tmp_path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    log = tmp_path / "run/log.jsonl"
    while first.poll() is None and (not log.exists() or log.read_text().count("mean_ap") < 2):
        time.sleep(0.01)
    second = subprocess.Popen(words_of(command, tmp_path), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    told = second.stderr.readline()
    second.kill()
    second.communicate()
    assert told.startswith(f"warning: {tmp_path}/run/last.pt: another run is at work on it (process {first.pid} on ")
    asked = time.monotonic()
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130 and errors.endswith(b"interrupted\n") and time.monotonic() - asked < 10
    state = checkpoints.RunState.read(tmp_path / "run/last.pt")
    assert state.step >= 2 and state.validated in (state.step, state.step - 1)  # validated after each step, or in it


def test_a_bad_picture_of_one_process_ends_all_in_a_line_each(tmp_path: Path) -> None:
    data(tmp_path)
    bad = tmp_path / "body/val/tt1/candidates/11_0_0_32_64.jpg"  # in the second batch, which is the second process's
    bad.write_bytes(b"no")
    command = f"{EVAL} {BODY} --checkpoint {{tmp}}/first.pt --test_batch_size 2"
    launch = "-m torch.distributed.run --nproc_per_node 2"
    done = subprocess.run(words_of(f"{launch} {command}", tmp_path), cwd=ROOT, capture_output=True, text=True)
    errors = {line for line in done.stderr.splitlines() if line.startswith("error: ")}
    lost = "error: another process of this run ended early; mend what its message says"
    assert any(line.startswith(f"error: {bad}: ") for line in errors) and len(errors - {lost}) == 1
    assert "[rank0]" not in done.stderr and not (tmp_path / "f.pkl").exists()


@pytest.mark.skipif(os.name != "posix", reason="limits of a shell")
def test_a_full_disk_is_one_line_and_the_old_checkpoint_stays(tmp_path: Path) -> None:
    real_run(tmp_path)
    before = (tmp_path / "run/last.pt").read_bytes()
    command = " ".join(words_of(f"{TRAIN} {BODY} --epochs 2 --resume", tmp_path))
    done = subprocess.run(["bash", "-c", f"ulimit -f 9000; {command}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path}/run/last.pt: cannot be written (File too large); make room\n"
    assert (tmp_path / "run/last.pt").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*"))


def test_a_query_never_finds_itself(script, tmp_path: Path) -> None:
    """Camera 1 at camera 1: a looks for its other picture; the stranger between is a distractor."""
    features(tmp_path)
    command = f"{SCORE} --cameras 1 1".replace("{tmp}", str(tmp_path)).split()
    done = script(*command)
    assert done.stdout.splitlines()[1].split() == ["cosine", "100.00", "100.00", "100.00", "100.00"]
