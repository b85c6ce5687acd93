"""The body model that needs no download: ImageNet's MobileNetV2 from an installed package, and colours of clothes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from castsearch import networks
from castsearch.bodies import backbones, checkpoints
from castsearch.bodies.body_model import BodyModel, as_model
from castsearch.bodies.colours import colours
from castsearch.bodies.engines import exported
from castsearch.bodies.graphs import Engine, open_graph
from castsearch.bodies.networks import Network
from castsearch.networks import Place
from castsearch.networks.int8 import Feed
from castsearch.stagefiles import file_sha256

CNN = "mobilenet_v2"
HEIGHT, WIDTH = 224, 112  # pixels
COLOURS = 0.75  # the weight of colours beside the network, whose feature counts 1; both have unit length
NAME = "offline"


def open_offline() -> BodyModel:
    """A body model for films, on the CPU, where no trained one is here.

    Its feature is MobileNetV2's (Sandler et al., CVPR 2018) before the last layer, which tells classes of ImageNet
    rather than people, pooled over all but the topmost and lowest row; and beside it ``colours``. A picture takes 10 ms
    on one core. Mirror images are left out: they cost as much again, and told no more.

    How well cosines tell pairs of one person from others (area under the curve), which pairs are in different pictures
    of one film or of CUHK01, or tracks in different shots of the clip friends:

    ==========================  =============  ======  =======
    feature                     film stills    CUHK01  friends
    ==========================  =============  ======  =======
    this                        0.748, 0.697   0.734   0.962
    its network alone           0.740, 0.691   0.633   0.958
    its colours alone           0.626, 0.570   0.760   0.911
    MobileNetV2's last layer    0.706, 0.717   0.575   0.910
    OSNet x0.25 of MSMT17       0.728, 0.680   0.973   0.997
    ==========================  =============  ======  =======

    Raises:
        BodyModelError: the weights are missing and cannot be downloaded, or are damaged.
    """
    built = checkpoints.build("triplet", CNN, last_stride=1)
    weights = checkpoints.load_imagenet(built)
    opened = open_graph(_MiddleGraph(built, weights), Place())
    engine = opened.engine

    def run(pictures: np.ndarray) -> np.ndarray:
        seen = engine(pictures)
        seen /= np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9)
        return np.hstack([seen, COLOURS * np.stack([colours(picture) for picture in pictures])])

    depends = {"network": NAME, "cnn": CNN, "colours": COLOURS, "sha256": file_sha256(weights)}
    return as_model(opened._replace(engine=run), HEIGHT, WIDTH, depends, weights)


class _Middle(nn.Module):
    """(n, h, w, 3) uint8 pictures to (n, 320) features."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        x = backbones.normalise(pictures, cnn=CNN)
        for layer in backbones.find(CNN).layers(self.model.backbone)[:-1]:
            x = layer(x)
        return x[:, :, 1:-1].mean(dim=(2, 3))


class _MiddleGraph:
    """``_Middle`` as an ONNX graph; see ``castsearch.bodies.graphs.Graph``."""

    def __init__(self, model: Network, path: Path) -> None:
        self.path = path
        self.model = exported(_Middle(model), torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8), any_number=False)
        self.depends: dict[str, Any] = {}
        self.at_once = 1

    def feeds(self, pictures: np.ndarray) -> Iterator[Feed]:
        """See ``Graph``: one after the other, which is as fast as many at once, and needs little memory."""
        for picture in pictures:
            yield {"pictures": picture[None]}

    def engine(self, network: networks.Network) -> Engine:
        """See ``Graph``."""
        return lambda pictures: np.concatenate([network.run(feed)[0] for feed in self.feeds(pictures)])
