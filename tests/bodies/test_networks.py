"""Networks and weights: names and shapes of the original, strict loading, one-line errors."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from castsearch.bodies import backbones, checkpoints
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.body_model import BodyModelError


def shapes(state: dict[str, torch.Tensor]) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in state.items()}


@pytest.mark.parametrize("network, prefix", [("triplet", "CNN"), ("mgn", "MGN")])
def test_names_and_shapes_of_the_original(testdata: Path, network: str, prefix: str) -> None:
    golden = json.loads((testdata / "golden/reid/state_dict_keys.json").read_text())
    cases = {name.partition("/")[2]: keys for name, keys in golden.items() if name.startswith(prefix)}
    assert len(cases) == (9 if prefix == "CNN" else 2)
    for cnn, keys in cases.items():
        embedding = keys.pop("__embedding__", None)
        with torch.device("meta"):
            model = checkpoints.build(network, cnn, num_classes=7)
        assert shapes(model.state_dict()) == keys
        assert embedding is None or embedding == [2, model.dim]


@pytest.mark.parametrize("cnn", ["resnet50", "densenet121", "mobilenet_v2"])
@pytest.mark.parametrize("network, parts", [("triplet", 1), ("mgn", 4)])
def test_feature_and_parts(network: str, parts: int, cnn: str) -> None:
    torch.manual_seed(0)
    model = checkpoints.build(network, cnn, num_classes=3)
    pictures = torch.randn(2, 3, 64, 32)
    embeddings, logits = model.train()(pictures)
    assert [e.shape for e in embeddings] == [(2, BACKBONES[cnn].dim)] * parts
    assert [scores.shape for scores in logits] == [(2, 3)] * parts
    with torch.inference_mode():
        assert model.eval()(pictures).shape == (2, parts * BACKBONES[cnn].dim)


def test_mgn_sees_whole_body_and_halves_at_unit_length_each() -> None:
    torch.manual_seed(0)
    model = checkpoints.build("mgn", "mobilenet_v2").eval()
    with torch.inference_mode():
        pictures = torch.randn(1, 3, 64, 32)
        feature = model(pictures).view(4, -1)
        torch.testing.assert_close(feature.norm(dim=1), torch.ones(4))
        maps = model.branch2(model.backbone(pictures))
    pooled = [part.amax((2, 3))[0] for part in (maps, maps[:, :, :2], maps[:, :, 2:])]
    assert maps.shape[2] == 4
    for got, expected in zip(feature[1:], pooled, strict=True):
        torch.testing.assert_close(got, expected / expected.norm())


@pytest.mark.parametrize("network", ["triplet", "mgn"])
def test_the_neck_stands_before_the_classifier_alone(network: str) -> None:
    torch.manual_seed(0)
    model = checkpoints.build(network, "tiny", num_classes=3).train()
    necks, classifiers = ([model.bn], [model.logits]) if network == "triplet" else (model.bns, model.logits)
    for number, (neck, classifier) in enumerate(zip(necks, classifiers, strict=True)):
        torch.nn.init.constant_(neck.weight, 2.0 + number)
        torch.nn.init.constant_(neck.bias, -1.0)
        torch.nn.init.normal_(classifier.weight)
        torch.nn.init.normal_(classifier.bias)
    inputs: list[torch.Tensor] = []
    for neck in necks:
        neck.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    embeddings, logits = model(torch.randn(4, 3, 64, 32))
    assert len(inputs) == len(logits)
    for number, (pooled, classifier, scores) in enumerate(zip(inputs, classifiers, logits, strict=True)):
        normed = (pooled - pooled.mean(0)) / (pooled.var(0, unbiased=False) + 1e-5).sqrt() * (2 + number) - 1
        torch.testing.assert_close(scores, normed @ classifier.weight.T + classifier.bias, rtol=1e-4, atol=1e-4)
        expected = pooled if network == "triplet" else pooled / pooled.norm(dim=1, keepdim=True)
        torch.testing.assert_close(embeddings[number], expected)


def test_the_branches_of_mgn_begin_alike_and_part() -> None:
    model = checkpoints.build("mgn", "tiny")
    first, second = (next(branch.parameters()) for branch in (model.branch1, model.branch2))
    assert torch.equal(first, second)
    with torch.no_grad():
        first.zero_()
    assert second.any()


def test_a_classifier_begins_near_zero() -> None:
    model = checkpoints.build("triplet", "tiny", num_classes=500)
    assert float(model.logits.weight.detach().std()) == pytest.approx(0.001, rel=0.1)
    assert not model.logits.bias.any()


def test_pictures_are_normalised_as_torchvisions_weights_expect() -> None:
    pictures = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    found = backbones.normalise(pictures, torch.float64)
    assert found.shape == (1, 3, 1, 1) and found.dtype == torch.float64
    assert found.flatten().tolist() == pytest.approx(expected)
    assert backbones.normalise(pictures).dtype == torch.float32


@pytest.mark.parametrize("cnn", ["resnet50", "densenet121", "mobilenet_v2"])
def test_last_stride_keeps_resolution(cnn: str) -> None:
    layers = BACKBONES[cnn].family.layers
    for stride, rows in ((1, 4), (2, 2)):
        x = torch.zeros(1, 3, 64, 32)
        for layer in layers(backbones.headless(cnn, stride).eval()):
            x = layer(x)
        assert x.shape[2:] == (rows, rows // 2)


# ---------------------------------------------------------------------------- weights


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict as the original wrote it: from DataParallel, with a classifier of its own identities."""
    torch.manual_seed(1)
    model = checkpoints.build("triplet", "mobilenet_v2", num_classes=5)
    path = tmp_path_factory.mktemp("weights") / "model450.pkl"
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, path)
    return path


def test_checkpoint_of_the_original_loads_without_its_classifier(original: Path) -> None:
    for num_classes in (0, 3):
        model = checkpoints.build("triplet", "mobilenet_v2", num_classes)
        before = {key: value.clone() for key, value in model.state_dict().items() if key.startswith("logits")}
        assert checkpoints.load_weights(model, original)
        stored = torch.load(original, weights_only=True)
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, before[key] if key in before else stored[f"module.{key}"])


def test_imagenet_weights_fill_both_branches_of_mgn(tmp_path: Path) -> None:
    torch.manual_seed(2)
    whole = BACKBONES["densenet121"].build(weights=None)
    # As published: no counters of batches, layers named norm.1 where today's torchvision says norm1.
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in key else key: value
        for key, value in whole.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save(old, tmp_path / "densenet121.pth")
    model = checkpoints.build("mgn", "densenet121")
    checkpoints.load_imagenet(model, tmp_path / "densenet121.pth")
    torch.testing.assert_close(model.backbone[0].weight, whole.features.conv0.weight)
    for branch in (model.branch1, model.branch2):
        expected = whole.features.denseblock4.denselayer16.conv2.weight
        torch.testing.assert_close(branch[1].denselayer16.conv2.weight, expected)


def test_unusable_weights_are_one_line(original: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return print, ("it ran",)

    (tmp_path / "hostile.pt").write_bytes(pickle.dumps({"model": Hostile()}, protocol=2))
    torch.save(Hostile(), tmp_path / "hostile2.pt")
    (tmp_path / "cut.pt").write_bytes(original.read_bytes()[:5000])
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"a": 1}, tmp_path / "words.pt")
    cases = {
        original: ("resnet50", "of another network: backbone"),
        tmp_path / "absent.pt": ("mobilenet_v2", "no such file"),
        tmp_path / "hostile.pt": ("mobilenet_v2", "not a usable file"),
        tmp_path / "hostile2.pt": ("mobilenet_v2", "not a usable file"),
        tmp_path / "cut.pt": ("mobilenet_v2", "not a usable file"),
        tmp_path / "list.pt": ("mobilenet_v2", "expected a dict"),
        tmp_path / "words.pt": ("mobilenet_v2", "expected weights by name"),
    }
    for path, (cnn, message) in cases.items():
        with pytest.raises(BodyModelError) as error:
            checkpoints.load_weights(checkpoints.build("triplet", cnn), path)
        assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_trained_network_is_not_imagenet(original: Path) -> None:
    with pytest.raises(BodyModelError, match="not ImageNet weights"):
        checkpoints.load_imagenet(checkpoints.build("triplet", "mobilenet_v2"), original)


def test_unknown_backbone_names_the_known() -> None:
    with pytest.raises(BodyModelError, match="no backbone 'vgg'; choose one of resnet50, "):
        backbones.find("vgg")
