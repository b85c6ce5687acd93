"""Body models: a network with its weights, ready to extract features from pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from castsearch.bodies import checkpoints
from castsearch.bodies.engines import Engine, device, fastest_engine
from castsearch.bodies.networks import Network, check_size
from castsearch.bodies.settings import Settings
from castsearch.stagefiles import file_sha256


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) uint8 to (height, width, 3) uint8, bicubic as in the original."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class BodyModel:
    """A body network that runs.

    Attributes:
        engine: the network, on its device.
        height, width: size that pictures are brought to, in pixels.
        depends: what its features depend on; JSON can hold it.
        weights: the file that its weights came from; None for random ones.
    """

    engine: Engine
    height: int = Settings.height
    width: int = Settings.width
    depends: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB to (height, width, 3) uint8."""
        return resize(picture, self.height, self.width)

    def extract(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """(n, d) float32 features of n pictures, (h, w, 3) uint8 RGB of any sizes; not normalised."""
        return self.engine(np.stack([self.prepare(picture) for picture in pictures]))


def open_network(network: Network, height: int, width: int, on: torch.device | None = None) -> BodyModel:
    """The model that runs ``network`` as it is, the fastest way there is on a device; by default a GPU if it can."""
    name, engine = fastest_engine(network, on or device(), height, width)
    return BodyModel(engine, height, width, {"size": [height, width], "engine": name})


def open_model(
    network: str,
    cnn: str,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    imagenet: str | os.PathLike[str] | None = None,
    height: int | None = None,
    width: int | None = None,
    last_stride: int | None = None,
    on: torch.device | None = None,
) -> BodyModel:
    """A body model with trained weights, or with the pretrained backbone alone.

    Args:
        network: ``triplet`` or ``mgn``.
        cnn: the backbone.
        checkpoint: trained weights; None for the pretrained backbone.
        imagenet: without ``checkpoint``, torchvision's file of ImageNet weights; None to download it.
        height, width, last_stride: of pictures and network; None for what the checkpoint was trained with, or the
            defaults of :class:`Settings`.
        on: the device; by default a GPU if there is one.

    Raises:
        BodyModelError: there is no such network, it takes no pictures of that size, or weights are missing, damaged or
            of another network.
    """
    content = {} if checkpoint is None else checkpoints.read(checkpoint)
    shape = {name: getattr(Settings, name) for name in ("height", "width", "last_stride")}
    if checkpoint is not None:
        shape |= checkpoints.size_and_stride(content, checkpoint)
    asked = {"height": height, "width": width, "last_stride": last_stride}
    shape |= {name: value for name, value in asked.items() if value is not None}
    built = checkpoints.build(network, cnn, last_stride=shape.pop("last_stride"))
    check_size(network, built.last_stride, **shape)
    if checkpoint is not None:
        weights = Path(checkpoint)
        checkpoints.fill(built, content, weights)
    else:
        weights = checkpoints.load_imagenet(built, None if imagenet is None else Path(imagenet))
    opened = open_network(built, **shape, on=on)
    names = {"network": network, "cnn": cnn, "last_stride": built.last_stride, "sha256": file_sha256(weights)}
    return replace(opened, weights=weights, depends={**names, **opened.depends})
