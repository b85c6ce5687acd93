"""Precisions of body networks: what runs, what is told of it, and when int8 is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from castsearch import stagefiles
from castsearch.bodies import checkpoints
from castsearch.bodies.body_model import BodyModel, Pictures
from castsearch.bodies.engines import OwnGraph, open_engine
from castsearch.bodies.extraction import Extractor, extract_split, files_of
from castsearch.bodies.graphs import Opened
from castsearch.bodies.models import open_model, open_network
from castsearch.images import ImageReader
from castsearch.networks import PrecisionError, Ran, int8
from castsearch.networks.places import has_bfloat16

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """A folder of one's own for what is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    settings = {"height": 64, "width": 32, "last_stride": 1}
    checkpoints.write(path, {"model": checkpoints.build("triplet", "tiny").state_dict(), "settings": settings})
    return path


@pytest.fixture
def pictures(small: Path) -> Pictures:
    split = stagefiles.read_body(small / "data/body_val.pkl")
    return Pictures(ImageReader(small / "body"), [f for some in files_of(split, "val", False).values() for f in some])


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def features(model: BodyModel, pictures: Pictures) -> np.ndarray:
    return model.extract([pictures.reader(file) for file in pictures.files])


def in_int8(checkpoint: Path, pictures: Pictures) -> BodyModel:
    return open_model("triplet", "tiny", checkpoint, on=CPU, precision="int8", pictures=pictures)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_agrees_and_is_told(checkpoint: Path, pictures: Pictures) -> None:
    plain = open_model("triplet", "tiny", checkpoint, on=CPU)
    model = open_model("triplet", "tiny", checkpoint, on=CPU, precision="bfloat16")
    assert model.depends == {**plain.depends, "engine": "openvino", "precision": "bfloat16"}
    found = cosines(features(plain, pictures), features(model, pictures))
    assert found.min() > 0.999
    assert found.min() < 1 - 1e-7, "float32 would agree wholly"


def test_int8_is_calibrated_compared_told_and_kept(
    checkpoint: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_model("triplet", "tiny", checkpoint, on=CPU)
    model = in_int8(checkpoint, pictures)
    assert model.agreement is not None and model.ran is not None and model.ran.precision == "int8"
    assert (model.agreement.calibrated, model.agreement.compared) == (24, 12)
    digest = model.depends["int8"]
    assert model.depends == {**plain.depends, "engine": "openvino", "precision": "int8", "int8": digest}
    found = cosines(features(plain, pictures), features(model, pictures))
    assert 0.99 < found.min() < 1 - 1e-6
    drawn = int8.draw(pictures.files).comparison
    compared = [i for i, file in enumerate(pictures.files) if file in drawn]
    assert model.agreement.mean == pytest.approx(found[compared].mean(), abs=1e-5)
    monkeypatch.setattr(int8, "_quantize", None)  # from here on nothing is quantized any more
    assert in_int8(checkpoint, pictures).depends == model.depends


def test_int8_of_other_pictures_is_another(checkpoint: Path, small: Path, pictures: Pictures, tmp_path: Path) -> None:
    body = shutil.copytree(small / "body", tmp_path / "body")
    copied = Pictures(ImageReader(body), pictures.files)
    first = in_int8(checkpoint, copied).depends["int8"]
    assert first == in_int8(checkpoint, pictures).depends["int8"], "the same bytes elsewhere are the same"
    drawn = int8.draw(pictures.files)
    shutil.copyfile(body / drawn.comparison[0], body / drawn.calibration[0])
    assert in_int8(checkpoint, copied).depends["int8"] != first


def test_too_few_or_too_bad_pictures_are_refused(
    checkpoint: Path, small: Path, pictures: Pictures, tmp_path: Path
) -> None:
    few = Pictures(pictures.reader, pictures.files[:23])
    with pytest.raises(PrecisionError, match="23 pictures that can be read are too few"):
        in_int8(checkpoint, few)
    body = shutil.copytree(small / "body", tmp_path / "body")
    for file in pictures.files[:13]:
        (body / file).write_bytes(b"no picture")
    reader = ImageReader(body, skip_bad=True)
    with pytest.raises(PrecisionError, match="23 pictures that can be read are too few"):
        in_int8(checkpoint, Pictures(reader, pictures.files))
    assert len(reader.bad) == 13
    with pytest.raises(PrecisionError, match="int8 is calibrated on pictures; give some"):
        open_network(checkpoints.build("triplet", "tiny"), 64, 32, CPU, "int8")


def test_int8_too_far_from_float32_is_refused(
    checkpoint: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(int8.LIMITS, "cosine", int8.Limits(0.5, 1.0))
    with pytest.raises(PrecisionError, match=r"best\.pt: in int8 it is too far from itself in float32: cosine"):
        in_int8(checkpoint, pictures)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_nothing_agrees_with_features_that_say_nothing(
    checkpoint: Path, pictures: Pictures, tmp_path: Path, value: float
) -> None:
    """That is no fault of int8."""
    content = checkpoints.read(checkpoint)
    for name in ("weight", "bias"):
        content["model"][f"backbone.last.1.{name}"].fill_(value)
    model = checkpoints.build("triplet", "tiny")
    model.load_state_dict(content["model"])
    with pytest.raises(PrecisionError, match="network: some features are not finite or all zero in float32, too, so"):
        open_network(model, 64, 32, CPU, "int8", pictures)


def test_the_metadata_tells_the_agreement(checkpoint: Path, pictures: Pictures, small: Path, tmp_path: Path) -> None:
    model, out = in_int8(checkpoint, pictures), tmp_path / "f.pkl"
    split = stagefiles.read_body(small / "data/body_val.pkl")
    extract_split(Extractor(model, pictures.reader), split, "val", out)
    told = stagefiles.read_metadata(out)
    assert told["precision"] == "int8" and told["int8"] == model.depends["int8"]
    (ran,) = told["ran"]
    assert ran == model.ran.words() and ran["precision"] == "int8"
    assert ran["agreement"].startswith("cosine to float32 0.99") and "(calibrated on 24 others)" in ran["agreement"]


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_gpus_have_float32_alone(precision: str) -> None:
    with pytest.raises(PrecisionError, match=f"{precision} on GPU 3: only CPUs run it here; choose -1 for the CPU"):
        open_engine(checkpoints.build("triplet", "tiny"), torch.device("cuda", 3), 64, 32, precision)


@pytest.mark.parametrize(
    ("engine", "device", "told"),
    [
        ("onnxruntime 1.32.0", "CPU", {"engine": "onnxruntime"}),
        ("onnxruntime 1.32.0", "GPU 1", {"engine": "onnxruntime", "device": "GPU"}),
        ("torch 2.14.1", "GPU 1", {"engine": "torch"}),
    ],
)
def test_features_in_float32_depend_on_the_library_and_the_kind_of_device(engine: str, device: str, told: dict) -> None:
    assert Opened(lambda pictures: pictures, Ran(engine, device, "float32")).depends == told


def test_each_picture_and_its_mirror_image_go_through_at_once() -> None:
    """The graph that int8 is made of holds each convolution once."""
    graph = onnx.load_from_string(OwnGraph(checkpoints.build("triplet", "tiny"), 64, 32, Path("a")).model).graph
    assert [node.op_type for node in graph.node].count("Conv") == 3
