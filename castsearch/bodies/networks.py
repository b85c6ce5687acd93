"""The two body networks: a CNN with one embedding, and MGN with four.

Parameters carry the names of the original project, so that its checkpoints load.
"""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from castsearch.bodies import backbones
from castsearch.bodies.body_model import LARGEST_SIDE, BodyModelError

# What a network gives in training mode: embeddings (n, dim) and logits (n, num_classes), one of each per part.
Parts: TypeAlias = tuple[list[Tensor], list[Tensor]]


class CNN(nn.Module):
    """A backbone, pooled by the mean; a BatchNorm stands between embedding and classifier.

    The BatchNorm neck follows Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person
    Re-identification", CVPR Workshops 2019: the triplet loss sees the embedding before it, the
    classifier after it.

    Args:
        cnn: name of the backbone.
        num_classes: identities to tell apart in training; 0 leaves the classifier out.
        last_stride: stride of the last stage, 1 or 2.

    ``forward`` maps (n, 3, h, w) float32 to :data:`Parts` in training mode, to the (n, dim)
    feature in evaluation mode.
    """

    def __init__(self, cnn: str, num_classes: int = 0, last_stride: int = 1) -> None:
        super().__init__()
        self.cnn, self.last_stride, self.dim = cnn, last_stride, backbones.find(cnn).dim
        self.adopt(backbones.headless(cnn, last_stride))
        self.bn = nn.BatchNorm1d(self.dim)
        if num_classes:
            self.logits = _classifier(self.dim, num_classes)

    def forward(self, x: Tensor) -> Tensor | Parts:
        for layer in backbones.find(self.cnn).layers(self.backbone):
            x = layer(x)
        embedding = x.mean(dim=(2, 3))
        if not self.training:
            return embedding
        return [embedding], [self.logits(self.bn(embedding))]

    def adopt(self, net: nn.Module) -> None:
        """Take ``net``, a backbone without its classifier, for its own."""
        self.backbone = net


class MGN(nn.Module):
    """Two branches over a shared trunk, four parts: two whole bodies, an upper and a lower half.

    After Wang et al., "Learning Discriminative Features with Multiple Granularities for Person
    Re-Identification", ACM MM 2018, without its three-part branch. The first branch is pooled
    over the whole body; the second over the whole body and over each half, the upper one first.

    Arguments and results as for :class:`CNN`; the feature has 4 dim numbers, and every embedding
    has unit length for each sample.
    """

    def __init__(self, cnn: str, num_classes: int = 0, last_stride: int = 1) -> None:
        super().__init__()
        self.cnn, self.last_stride, self.dim = cnn, last_stride, backbones.find(cnn).dim
        self.adopt(backbones.headless(cnn, last_stride))
        self.bns = nn.ModuleList(nn.BatchNorm1d(self.dim) for _ in range(4))
        if num_classes:
            self.logits = nn.ModuleList(_classifier(self.dim, num_classes) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor | Parts:
        trunk = self.backbone(x)
        whole, halved = self.branch1(trunk), self.branch2(trunk)
        middle = halved.shape[2] // 2
        pooled = [part.amax(dim=(2, 3)) for part in (whole, halved, halved[:, :, :middle], halved[:, :, middle:])]
        embeddings = [F.normalize(part) for part in pooled]
        if not self.training:
            return torch.cat(embeddings, dim=1)
        return embeddings, [logits(bn(part)) for logits, bn, part in zip(self.logits, self.bns, pooled, strict=True)]

    def adopt(self, net: nn.Module) -> None:
        """Take ``net``, a backbone without its classifier, for trunk and branches, which begin alike."""
        backbone = backbones.find(self.cnn)
        if backbone.tail is None:
            raise BodyModelError(
                f"{self.cnn}: MGN cannot divide networks of timm into trunk and branches; choose triplet, or one of "
                f"{', '.join(backbones.BACKBONES)}"
            )
        layers: list[Any] = backbone.layers(net)
        trunk, branch = layers[: backbone.tail.start], layers[backbone.tail]
        self.backbone = nn.Sequential(*trunk)
        # ResNet's last stage is a sequence already, and the original does not wrap it in another.
        self.branch1 = branch[0] if len(branch) == 1 else nn.Sequential(*branch)
        self.branch2 = copy.deepcopy(self.branch1)


Network: TypeAlias = CNN | MGN
NETWORKS: dict[str, type[CNN] | type[MGN]] = {"triplet": CNN, "mgn": MGN}


def least_size(network: str, last_stride: int) -> tuple[int, int]:
    """Height and width in pixels of the smallest pictures for a network: each cell of its last feature map, of which
    MGN needs two rows, sees so many.
    """
    cell = 16 * last_stride
    return (2 * cell if network == "mgn" else cell), cell


def check_size(network: str, last_stride: int, height: int, width: int) -> None:
    """See that a network takes pictures of a size.

    Raises:
        BodyModelError: it does not.
    """
    sides = zip(("height", "width"), (height, width), least_size(network, last_stride), strict=True)
    for name, side, least in sides:
        if not least <= side <= LARGEST_SIDE:
            raise BodyModelError(f"{name} is {side}; {network} takes {least} to {LARGEST_SIDE} pixels")


def _classifier(dim: int, num_classes: int) -> nn.Linear:
    layer = nn.Linear(dim, num_classes)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer
