"""Body models: what is averaged, which engine, which weights at which size, on which device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from castsearch import stagefiles
from castsearch.bodies import checkpoints
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.body_model import BodyModel, BodyModelError
from castsearch.bodies.engines import device, open_engine, torch_engine
from castsearch.bodies.models import open_model, open_network
from castsearch.networks import DeviceError

CPU = torch.device("cpu")
MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def random_crops(n: int, height: int = 64, width: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, height, width, 3), dtype=np.uint8)


def by_hand(model: torch.nn.Module, crops: np.ndarray) -> np.ndarray:
    """Mean of the features of pictures and mirror images."""
    with torch.inference_mode():
        both = []
        for seen in (crops, crops[:, :, ::-1]):
            plain = torch.from_numpy(seen.copy()).permute(0, 3, 1, 2).contiguous().float() / 255
            both.append(model((plain - MEAN) / STD).numpy())
    return (both[0] + both[1]) / 2


@pytest.mark.parametrize("network", ["triplet", "mgn"])
@pytest.mark.parametrize("cnn", ["resnext50_32x4d", "densenet121", "mobilenet_v2"])
def test_engines_give_the_mean_over_picture_and_mirror_image(network: str, cnn: str) -> None:
    torch.manual_seed(0)
    model = checkpoints.build(network, cnn).eval()
    crops = random_crops(3)
    expected = by_hand(model, crops)
    for engine in (torch_engine(model, CPU), open_engine(model, CPU, 64, 32).engine):
        got = engine(crops)
        cosine = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosine.min() > 0.99999
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(engine(crops[:, :, ::-1].copy()), got, atol=1e-5 * np.abs(expected).max())


def test_pictures_of_any_size_are_brought_to_the_models() -> None:
    seen = []
    model = BodyModel(lambda crops: seen.append(crops) or np.zeros((len(crops), 2), np.float32), height=40, width=24)
    crops = [random_crops(1, 90, 31)[0], random_crops(1, 20, 50)[0]]
    assert model.extract(crops).shape == (2, 2)
    expected = [np.asarray(Image.fromarray(crop).resize((24, 40), Image.Resampling.BICUBIC)) for crop in crops]
    np.testing.assert_array_equal(seen[0], np.stack(expected))


def test_a_network_runs_as_it_is() -> None:
    torch.manual_seed(0)
    network = checkpoints.build("triplet", "mobilenet_v2").eval()
    crops = random_crops(2)
    expected = by_hand(network, crops)
    model = open_network(network, 64, 32, CPU)
    assert model.depends == {"size": [64, 32], "engine": "onnxruntime"} and model.weights is None
    np.testing.assert_allclose(model.extract(crops), expected, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of pictures of 64 x 48 and a last stride of 2."""
    torch.manual_seed(3)
    model = checkpoints.build("mgn", "mobilenet_v2", num_classes=3, last_stride=2)
    path = tmp_path_factory.mktemp("trained") / "best.pt"
    settings = {"height": 64, "width": 48, "last_stride": 2}
    checkpoints.write(path, {"model": model.state_dict(), "settings": settings})
    return path


def test_a_checkpoint_opens_at_what_it_was_trained_with(trained: Path) -> None:
    expected = checkpoints.build("mgn", "mobilenet_v2", last_stride=2)
    checkpoints.load_weights(expected, trained)
    crops = random_crops(2, 64, 48)
    model = open_model("mgn", "mobilenet_v2", trained, on=CPU)
    wanted = by_hand(expected.eval(), crops)
    np.testing.assert_allclose(model.extract(crops), wanted, atol=1e-4 * np.abs(wanted).max())
    assert model.weights == trained and (model.height, model.width) == (64, 48)
    assert model.depends == {
        "network": "mgn",
        "cnn": "mobilenet_v2",
        "last_stride": 2,
        "sha256": stagefiles.file_sha256(trained),
        "size": [64, 48],
        "engine": "onnxruntime",
    }


def test_what_is_asked_for_goes_before_what_it_was_trained_with(trained: Path) -> None:
    model = open_model("mgn", "mobilenet_v2", trained, height=96, width=32, last_stride=1, on=CPU)
    assert (model.height, model.width, model.depends["last_stride"], model.depends["size"]) == (96, 32, 1, [96, 32])


def test_without_a_checkpoint_the_pretrained_backbone_runs_at_the_default_size(tmp_path: Path) -> None:
    torch.manual_seed(4)
    backbone = BACKBONES["mobilenet_v2"].build(weights=None)
    torch.save(backbone.state_dict(), tmp_path / "imagenet.pth")
    expected = checkpoints.build("triplet", "mobilenet_v2", last_stride=1)
    expected.backbone.load_state_dict(backbone.state_dict(), strict=False)
    model = open_model("triplet", "mobilenet_v2", imagenet=tmp_path / "imagenet.pth", on=CPU)
    assert (model.height, model.width, model.depends["last_stride"]) == (256, 128, 1)
    crops = random_crops(1, 256, 128)
    wanted = by_hand(expected.eval(), crops)
    np.testing.assert_allclose(model.extract(crops), wanted, atol=1e-4 * np.abs(wanted).max())
    assert model.depends["sha256"] == stagefiles.file_sha256(tmp_path / "imagenet.pth")


@pytest.mark.parametrize(
    ("network", "cnn", "last_stride", "message"),
    [
        ("osnet", "mobilenet_v2", None, "no network 'osnet'; choose one of triplet, mgn"),
        ("mgn", "vgg", None, "no backbone 'vgg'; choose one of resnet50, "),
        ("mgn", "mobilenet_v2", 3, "last_stride is 3; it must be 1 or 2"),
        ("triplet", "mobilenet_v2", None, "weights of another network: "),
    ],
)
def test_models_that_there_are_not(
    trained: Path, network: str, cnn: str, last_stride: int | None, message: str
) -> None:
    with pytest.raises(BodyModelError, match=message):
        open_model(network, cnn, trained, last_stride=last_stride)


@pytest.mark.parametrize("gpu", [-2, torch.cuda.device_count()])
def test_a_gpu_that_is_not_there_is_an_error(gpu: int) -> None:
    assert device(-1).type == "cpu"
    with pytest.raises(DeviceError, match=f"GPU {gpu} was asked for, but there are .*; -1 stands for the CPU"):
        device(gpu)


def test_devices_and_their_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device(gpu) for gpu in (None, 1, -1)] == [torch.device("cuda", 0), torch.device("cuda", 1), CPU]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [device(gpu) for gpu in (None, 0)] == [torch.device("cuda", 1), torch.device("cuda", 0)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert device() == CPU
    opened = open_engine(checkpoints.build("triplet", "mobilenet_v2"), CPU, 64, 32)
    assert opened.ran.engine.startswith("onnxruntime ") and opened.ran[1:3] == ("CPU", "float32")
