"""triplet.py, mgn.py and reid_score.py, as a user runs them."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper

from castsearch import stagefiles
from castsearch.bodies import checkpoints
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.body_model import resize
from castsearch.bodies.data import identities
from castsearch.bodies.settings import Settings
from castsearch.bodies.training import open_run
from castsearch.images import ImageReader, read_image, write_jpeg
from castsearch.networks.places import CPUINFO
from castsearch.stagefiles import MoviePictures, Picture, Split

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from reid import options  # noqa: E402

SMALL = ("--cnn", "mobilenet_v2", "--height", 64, "--width", 32, "--gpu", -1, "--num_workers", 1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The scripts share the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train and val split of 4 people in two cameras, with a portrait in val, and random weights to begin with."""
    root = tmp_path_factory.mktemp("reid")
    draw = np.random.default_rng(0)
    for mode in ("train", "val"):
        candidates = []
        for person in range(4):
            clothes = np.kron(draw.integers(0, 255, (8, 4, 3)), np.ones((8, 8, 1)))
            for camera in (1, 3):
                file = f"tt1/candidates/{person}{camera}_0_0_32_64.jpg"
                picture = np.clip(clothes + draw.normal(0, 10, clothes.shape), 0, 255).astype(np.uint8)
                write_jpeg(root / "body" / mode / file, picture)
                candidates.append(Picture(f"tt1_{person}{camera}", file, f"nm{person}"))
        write_jpeg(root / "body" / mode / "tt1/cast/nm0.jpg", picture)
        cast = Picture("tt1_nm3", "tt1/cast/nm0.jpg", "nm3")
        split = Split([MoviePictures("tt1", (cast,), tuple(candidates))])
        stagefiles.write_body(root / "data" / stagefiles.body_name(mode), split)
    torch.manual_seed(0)
    torch.save(BACKBONES["mobilenet_v2"].build(weights=None).state_dict(), root / "mobilenet_v2.pth")
    return root


@pytest.fixture
def places(world: Path, tmp_path: Path) -> list:
    """Flags that say where things are."""
    return ["--image_root", world / "body", "--data", world / "data", "--save_dir", tmp_path / "run"]


@pytest.fixture
def flags(world: Path, places: list) -> list:
    """Flags of a training."""
    return [*SMALL, *places, "--ckpt", world / "mobilenet_v2.pth"]


@pytest.mark.parametrize("network", ["triplet", "mgn"])
def test_train_then_extract(script, flags, places, world, tmp_path, network):
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
    unsized = [*SMALL[:2], *SMALL[6:]]  # the checkpoint knows its size
    done = script(
        f"reid/{network}.py", *unsized, *places, "--eval", "--mode", "val", "--with_cast", "--out", tmp_path / "f.pkl"
    )
    assert "best.pt: loaded, all but its classifier" in done.stdout
    assert stagefiles.read_metadata(tmp_path / "f.pkl")["size"] == [64, 32]
    dim = 1280 * (4 if network == "mgn" else 1)
    val = stagefiles.read_body(world / "data/body_val.pkl")
    features = stagefiles.read_features(tmp_path / "f.pkl", val, "always")["tt1"]
    assert features.n_casts == 1 and features.rows.shape == (9, dim)
    assert len(stagefiles.read_metadata(tmp_path / "f.pkl")["sha256"]) == 64
    done = script("scripts/reid_score.py", tmp_path / "f.pkl", *flags[flags.index("--data") :][:2], "--rerank")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["Rank-1", "cosine", "k-reciprocal", "ECN"]


def test_features_go_to_the_data_folder_from_the_scripts_own_folder_too(script, flags, world):
    out = world / "data/triplet_mobilenet_v2_val.pkl"
    script("reid/triplet.py", *flags, "--eval", "--checkpoint", "imagenet", cwd=ROOT / "reid")
    features = stagefiles.read_features(out, stagefiles.read_body(world / "data/body_val.pkl"))["tt1"]
    assert features.cast is None and features.candidates.shape == (8, 1280)
    out.unlink()


def test_a_timm_network_trains_and_extracts_by_its_name(script, world, tmp_path):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "a.pth")
    flags = ["--cnn", "timm:test_resnet", "--image_root", world / "body", "--data", world / "data", "--gpu", -1]
    folder = ["--save_dir", tmp_path / "run", "--num_workers", 1]
    training = ("--ckpt", tmp_path / "a.pth", "--batch_size", 4, "--image_num", 2, "--height", 64, "--width", 32)
    script("reid/triplet.py", *flags, *folder, *training, "--epochs", 1)
    done = script("reid/triplet.py", *flags, *folder, *training, "--epochs", 2, "--resume")
    assert "last.pt: resumed after 1 steps" in done.stdout
    script("reid/triplet.py", *flags, *folder, "--eval")
    out = world / "data/triplet_timm_test_resnet_val.pkl"
    features = stagefiles.read_features(out, stagefiles.read_body(world / "data/body_val.pkl"))["tt1"]
    told = stagefiles.read_metadata(out)
    assert features.rows.shape[0] == 8 and told["cnn"] == "timm:test_resnet" and told["size"] == [64, 32]
    out.unlink()
    out.with_name(f"{out.name}.json").unlink()


def test_a_network_of_any_maker_is_used_as_its_flags_say(script, world, tmp_path):
    pooled = [helper.make_node(f"Reduce{name}", ["x"], [name], axes=[2, 3], keepdims=0) for name in ("Min", "Max")]
    ports = [
        helper.make_tensor_value_info(*port)
        for port in (("x", 1, ("n", 3, "h", "w")), ("Min", 1, None), ("Max", 1, None))
    ]
    graph = helper.make_graph(pooled, "pooled", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "my net.v2.onnx").write_bytes(model.SerializeToString())
    given = ["--image_root", world / "body", "--data", world / "data", "--gpu", -1, "--height", 40, "--width", 20]
    given += ["--mean", 0, 0, 0, "--std", *["0.00392157"] * 3, "--output", "Max", "--with_cast"]
    out = world / "data/onnx_my_net.v2_val.pkl"
    script("reid/extract.py", *given, "--no_mirror", "--checkpoint", tmp_path / "my net.v2.onnx")
    split = stagefiles.read_body(world / "data/body_val.pkl")
    rows = stagefiles.read_features(out, split, "always")["tt1"].rows
    pictures = [read_image(world / "body/val" / picture.file) for picture in split["tt1"].pictures]
    expected = [resize(picture, 40, 20).max(axis=(0, 1)) for picture in pictures]
    np.testing.assert_allclose(rows, expected, atol=1e-3)
    told = stagefiles.read_metadata(out)
    assert told["size"] == [40, 20] and told["output"] == "Max" and told["mirror"] is False
    out.unlink()
    out.with_name(f"{out.name}.json").unlink()


@pytest.mark.skipif(
    "vnni" not in CPUINFO.read_text(),
    reason="this processor has no VNNI: its products of int8 saturate, and a random network agrees too little",
)
def test_torchrun_extracts_what_one_process_does_in_int8(script, world, tmp_path, monkeypatch):
    """The first process calibrates, on 24 pictures at least, and the other finds what it made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    picture = world / "body/val/tt1/candidates/01_0_0_32_64.jpg"
    files = [f"tt1/candidates/{i}_0_0_32_64.jpg" for i in range(26)]
    for i, file in enumerate(files):
        write_jpeg(tmp_path / "body/val" / file, np.roll(read_image(picture), i, 0))
    split = Split([MoviePictures("tt1", (), tuple(Picture(f"c{i}", file) for i, file in enumerate(files)))])
    stagefiles.write_body(tmp_path / "data" / stagefiles.body_name("val"), split)
    torch.manual_seed(0)
    network = checkpoints.build("triplet", "mobilenet_v2")
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean: without it, random weights give features of 1e-9
    network.train().backbone.features(torch.randn(8, 3, 64, 32))
    checkpoints.write(tmp_path / "a.pt", {"model": network.state_dict()})
    given = [*SMALL, "--eval", "--checkpoint", tmp_path / "a.pt", "--precision", "int8", "--test_batch_size", "4"]
    given += ["--image_root", tmp_path / "body", "--data", tmp_path / "data", "--out"]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*start, ROOT / "reid/triplet.py", *given, tmp_path / "two.pkl"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("int8: cosine to float32 0.9") == 1, "the first process speaks for all"
    done = script("reid/triplet.py", *given, tmp_path / "one.pkl")
    assert "(calibrated on 17 others)" in done.stdout
    one, two = (stagefiles.read_features(tmp_path / name, split)["tt1"].rows for name in ("one.pkl", "two.pkl"))
    np.testing.assert_array_equal(one, two)
    assert len(list((tmp_path / "cache/castsearch/int8").iterdir())) == 1


def test_torchrun_comes_to_the_numbers_of_one_process(flags, world, tmp_path):
    training = ("--batch_size", 4, "--image_num", 2, "--epochs", 3, "--precision", "float64", "--val_every", 2)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*start, ROOT / "reid/triplet.py", *flags, *training, "--mode", "train"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 identities, 8 pictures, 1 steps an epoch") == 1, "the first process speaks for all"
    assert done.stdout.count("mAP ") == 2 and "FutureWarning" not in done.stderr

    people = identities({"train": stagefiles.read_body(world / "data/body_train.pkl")})
    settings = Settings("triplet", "mobilenet_v2", 64, 32, batch_size=4, image_num=2, precision="float64")
    reader, weights = ImageReader(world / "body"), world / "mobilenet_v2.pth"
    one, _ = open_run(settings, people, reader, tmp_path / "one", torch.device("cpu"), weights=weights, workers=1)
    assert one.run(3)
    losses = [
        [line["loss"] for line in map(json.loads, (tmp_path / name / "log.jsonl").open()) if "loss" in line]
        for name in ("run", "one")
    ]
    assert len(losses[0]) == 3 and losses[0] == pytest.approx(losses[1], rel=0, abs=1e-9)


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
    whole = [str(tmp_path / "whole") if word == str(tmp_path / "run") else word for word in command]
    subprocess.run(whole, capture_output=True, check=True)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("run", "whole")
    ]
    assert len(losses[0]) == 24 and losses[0] == losses[1]


@pytest.fixture
def mistake(monkeypatch, capsys):
    """Runs a script in this process, which spares it importing torch again, and gives its line on standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(name: str, *args: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        assert ended.value.code == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line.lower()]
        return line

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "given, message",
    [
        (("--batch_size", 9), "a batch needs 9 identities, and there are 4; give a smaller batch_size"),
        (("--margin", "hard"), "expected a number or 'soft', got 'hard'"),
        (("--epochs", 0), "expected a whole number from 1, got '0'"),
        (("--eval", "--checkpoint", "imagenet", "--cnn", "resnet50"), "of another network: "),
        (("--eval", "--checkpoint", "imagenet", "--mode", "test"), "body_test.pkl: no such file"),
        (("--gpu", 99), "GPU 99 was asked for"),
        (("--image_root", "nowhere", "--batch_size", 4), "nowhere/train: no such folder; check --image_root"),
    ],
)
def test_mistakes_are_one_line(mistake, flags, tmp_path, given, message):
    line = mistake("reid/triplet.py", *flags, *given)
    assert line.startswith("error: ") and message in line
    assert list((tmp_path / "run").glob("*.pt*")) == []


def test_a_mistake_ends_the_process_with_2(script, flags):
    done = script("reid/mgn.py", *flags, "--batch_size", 9, code=2)
    assert done.stderr.splitlines()[-1].startswith("error: a batch needs 9 identities") and done.stdout == ""


FLAGS = {
    "--batch_size": ("batch_size", 6),
    "--image_num": ("image_num", 3),
    "--type": ("mining", "hard"),
    "--margin": ("margin", 0.3),
    "--metric": ("metric", "cosine"),
    "--lr": ("lr", 0.1),
    "--weight_decay": ("weight_decay", 0.2),
    "--warmup": ("warmup", 5),
    "--lr_decay_epoch": ("lr_decay_epoch", 7),
    "--gamma": ("gamma", 0.5),
    "--label_smoothing": ("label_smoothing", 0.25),
    "--color_jitter": ("color_jitter", 0.35),
    "--precision": ("precision", "float64"),
    "--seed": ("seed", 11),
    "--height": ("height", 96),
    "--width": ("width", 48),
    "--last_stride": ("last_stride", 2),
    "--cnn": ("cnn", "resnet50"),
}


def test_flags_are_the_settings(monkeypatch):
    def settings(*given: object, network: str = "triplet", device: str = "cpu") -> Settings:
        monkeypatch.setattr(sys, "argv", ["triplet.py", "--image_root", "body", *map(str, given)])
        return options.settings(options.parse(network, None), torch.device(device))

    assert settings() == Settings("triplet", "resnext101_32x8d")
    assert settings(network="mgn") == Settings("mgn", "resnet50")
    assert settings(device="cuda") == Settings("triplet", "resnext101_32x8d", precision="mixed")
    given = [word for flag, (_, value) in FLAGS.items() for word in (flag, value)]
    assert settings(*given) == Settings(network="triplet", **dict(FLAGS.values()))
    assert settings("--margin", "soft").margin is None


def test_skip_bad_goes_on_and_lists_them(script, flags, places, world, tmp_path):
    crops = tmp_path / "body"
    for file in (world / "body").rglob("*.jpg"):
        copy = crops / file.relative_to(world / "body")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"" if file.name.startswith("13") else file.read_bytes())
    given = ("--image_root", crops, "--skip_bad")
    done = script("reid/triplet.py", *flags, *given, "--batch_size", 4, "--image_num", 2, "--epochs", 1)
    assert "went on without 1 bad picture:" in done.stderr and "train/tt1/candidates/13_" in done.stderr
    extraction = ("--eval", "--checkpoint", tmp_path / "run/last.pt", "--out", tmp_path / "f.pkl")
    done = script("reid/triplet.py", *SMALL, *places, *given, *extraction)
    assert "went on without 1 bad picture:" in done.stderr and "val/tt1/candidates/13_" in done.stderr
    val = stagefiles.read_body(world / "data/body_val.pkl")
    assert len(stagefiles.read_features(tmp_path / "f.pkl", val)["tt1"].candidates) == 8


# ---------------------------------------------------------------------------- scores


def test_scores_by_hand(script, tmp_path):
    """Camera 1 looks at camera 3: one finds its like first, one second; a stranger looks for nobody."""
    ids = {"a1": "a", "b1": "b", "c1": "c", "a3": "a", "b3": "b", "d3": "d"}
    features = np.array([[1, 0], [0, 1], [1, 1], [1, 0.1], [1, 0.2], [0.1, 1]], dtype=np.float32)
    candidates = tuple(Picture(name, f"{name}.jpg", label) for name, label in ids.items())
    stagefiles.write_body(tmp_path / "body_val.pkl", Split([MoviePictures("tt1", (), candidates)]))
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

    osnet = testdata / "models/osnet/osnet_x0_25_msmt17.onnx"
    session = onnxruntime.InferenceSession(osnet)
    data = testdata / "data/cuhk01/data"
    rows = []
    for crop in stagefiles.read_body(data / "body_val.pkl")["cuhk01"].candidates:
        picture = resize(read_image(testdata / "data/cuhk01/body/val" / crop.file), 256, 128).astype(np.float32)
        seen = (picture / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        rows.append(session.run(None, {"input": seen.transpose(2, 0, 1)[None].astype(np.float32)})[0][0])
    stagefiles.write(tmp_path / "osnet.pkl", {"cuhk01": np.stack(rows)})
    done = script("scripts/reid_score.py", tmp_path / "osnet.pkl", "--data", data, "--cameras", 1, 3)
    rank1, *_, mean_ap = map(float, done.stdout.splitlines()[1].split()[1:])
    assert rank1 == pytest.approx(63.0, abs=1) and mean_ap == pytest.approx(73.7, abs=0.5)

    given = ("--checkpoint", osnet, "--image_root", testdata / "data/cuhk01/body", "--data", data, "--gpu", -1)
    script("reid/extract.py", *given, "--no_mirror", "--out", tmp_path / "ours.pkl")
    val = stagefiles.read_body(data / "body_val.pkl")
    ours, by_hand = (stagefiles.read_features(tmp_path / f"{n}.pkl", val)["cuhk01"].rows for n in ("ours", "osnet"))
    np.testing.assert_allclose(ours, by_hand, atol=1e-4 * np.abs(by_hand).max())
    script("reid/extract.py", *given, "--out", tmp_path / "mirrored.pkl")
    done = script("scripts/reid_score.py", tmp_path / "mirrored.pkl", "--data", data, "--cameras", 1, 3)
    rank1, *_, mean_ap = map(float, done.stdout.splitlines()[1].split()[1:])
    assert rank1 == pytest.approx(63.5, abs=1) and mean_ap == pytest.approx(73.6, abs=0.5)
