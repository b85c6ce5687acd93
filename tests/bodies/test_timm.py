"""timm's networks as backbones: which maps and strides, which weights, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from castsearch.bodies import backbones, checkpoints
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.distributed import SyncedBatchNorm, synchronised

timm = pytest.importorskip("timm", reason="timm is not installed")


@pytest.mark.parametrize(
    ("name", "dim", "strides"),
    [
        ("resnet18", 512, (1, 2)),
        ("efficientnet_b0", 1280, (1, 2)),
        ("convnext_atto", 320, (1, 2)),
        ("mobilenetv3_small_050", 288, (2,)),
        ("densenet121", 1024, (2,)),
    ],
)
def test_maps_strides_and_no_weight_without_gradient(name: str, dim: int, strides: tuple[int, ...]) -> None:
    for stride in (1, 2):
        if stride not in strides:
            words = f"timm:{name}: its last stage cannot keep its resolution; choose a last_stride of 2"
            with pytest.raises(BodyModelError, match=words):
                checkpoints.build("triplet", f"timm:{name}", last_stride=stride)
            continue
        model = checkpoints.build("triplet", f"timm:{name}", 3, stride).train()
        (layer,) = backbones.find(model.cnn).layers(model.backbone)
        maps = layer(torch.randn(2, 3, 64, 32))
        assert maps.shape == (2, dim, 4 // stride, 2 // stride) and model.dim == dim
        embeddings, logits = model(torch.randn(2, 3, 64, 32))
        sum(part.square().sum() for part in embeddings + logits).backward()
        assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


def test_a_feature_is_the_mean_over_timms_last_map() -> None:
    torch.manual_seed(0)
    model = checkpoints.build("triplet", "timm:resnet18", last_stride=2).eval()
    whole = timm.create_model("resnet18", num_classes=0).eval()
    whole.load_state_dict(model.backbone.state_dict())
    x = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), whole(x))


@pytest.mark.parametrize(("name", "ending"), [("resnet18", "pt"), ("convnext_atto", "safetensors")])
def test_weights_from_a_file_are_strict_but_for_the_head(tmp_path: Path, name: str, ending: str) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(1)
    state = timm.create_model(name, num_classes=7).state_dict()
    path = tmp_path / f"a.{ending}"
    (torch.save if ending == "pt" else save_file)(state, path)
    model = checkpoints.build("triplet", f"timm:{name}")
    assert checkpoints.load_imagenet(model, path) == path
    for key, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, state[key])
    with pytest.raises(BodyModelError, match="weights of another network: "):
        checkpoints.load_weights(checkpoints.build("triplet", "timm:resnet26"), path)


def test_a_safetensors_file_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"no tensors at all", (1 << 60).to_bytes(8, "little") + b"{}"):
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(BodyModelError, match=r"a\.safetensors: not a usable file of weights \(.*\); copy it again"):
            checkpoints.read(tmp_path / "a.safetensors")


def test_a_checkpoint_of_a_timm_network_loads(tmp_path: Path) -> None:
    torch.manual_seed(2)
    first = checkpoints.build("triplet", "timm:resnet18", num_classes=3)
    checkpoints.write(tmp_path / "last.pt", {"model": first.state_dict()})
    second = checkpoints.build("triplet", "timm:resnet18", num_classes=2)
    assert checkpoints.load_weights(second, tmp_path / "last.pt"), "a whole network"
    torch.testing.assert_close(second.backbone.layer4[1].conv2.weight, first.backbone.layer4[1].conv2.weight)


@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        ("triplet", "resnet5", r"timm:resnet5: timm knows no such network; did you mean resnet50 or "),
        ("triplet", "../evil", r"timm:\.\./evil: timm knows no such network; "),
        ("triplet", "hf-hub:a/b", r"timm:hf-hub:a/b: timm knows no such network; "),
        ("triplet", "resnet18.none", r"timm:resnet18\.none: cannot be a body network \(Invalid pretrained tag"),
        ("triplet", "resnet18.", r"timm:resnet18\.: timm knows no such network; did you mean resnet18"),
        ("triplet", "lambda_resnet26t", r"timm:lambda_resnet26t: cannot be a body network \(required rank 4 tensor"),
        ("triplet", "vit_tiny_patch16_224", r"timm:vit_.*: cannot be a body network \(.*; choose a convolutional"),
        (
            "mgn",
            "resnet18",
            r"timm:resnet18: MGN cannot divide networks of timm .*; choose triplet, or one of resnet50, ",
        ),
    ],
)
def test_what_is_no_backbone(network: str, name: str, message: str) -> None:
    with pytest.raises(BodyModelError, match=message) as error:
        checkpoints.build(network, f"timm:{name}", last_stride=2)
    assert "\n" not in str(error.value)


def test_pictures_are_normalised_as_its_weights_expect() -> None:
    white, half = torch.full((1, 1, 1, 3), 255, dtype=torch.uint8), "timm:resnet18d.ra4_e3600_r224_in1k"
    assert (backbones.find(half).mean, backbones.find(half).std) == ((0.5,) * 3, (0.5,) * 3)
    assert backbones.normalise(white, torch.float64, half).flatten().tolist() == pytest.approx([1, 1, 1])
    earlier = "timm:tf_efficientnetv2_s_in21ft1k"  # its name of today is another
    assert (backbones.find(earlier).mean, backbones.find(earlier).dim) == ((0.5,) * 3, 1280)
    usual = backbones.normalise(white, torch.float64)
    assert torch.equal(backbones.normalise(white, torch.float64, "timm:resnet18"), usual)


def test_a_download_is_kept_and_one_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, pretrained, **more: made(*args, **more))
    model = checkpoints.build("triplet", "timm:resnet18")
    path = checkpoints.load_imagenet(model)
    assert path == tmp_path / "checkpoints/timm_resnet18.pt"

    def offline(*args: object, pretrained: bool, **more: object) -> nn.Module:
        if pretrained:
            raise ConnectionError("no\nnetwork")
        return made(*args, **more)

    monkeypatch.setattr(timm, "create_model", offline)
    assert checkpoints.load_imagenet(model) == path
    path.unlink()
    with pytest.raises(BodyModelError) as error:
        checkpoints.load_imagenet(model)
    assert str(error.value) == (
        "timm:resnet18: pretrained weights cannot be downloaded (no network); "
        "fetch their file by other means and name it"
    )


def test_a_batch_norm_with_an_activation_keeps_it_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: None)  # one process alone
    torch.manual_seed(3)
    norm = timm.layers.BatchNormAct2d(4)
    x = torch.randn(5, 4, 3, 3)
    synced = synchronised(nn.Sequential(norm), torch.device("cpu"))[0]
    assert isinstance(synced, SyncedBatchNorm) and synced.state_dict().keys() == norm.state_dict().keys()
    torch.testing.assert_close(synced.train()(x), norm.train()(x))
    torch.testing.assert_close(synced.eval()(x), norm.eval()(x))
    assert (synced(x) == 0).any()
