"""Body models: a network with its weights, ready to extract features from pictures."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from castsearch.bodies import checkpoints
from castsearch.bodies.body_model import BodyModel, Pictures, as_model
from castsearch.bodies.engines import device, open_engine
from castsearch.bodies.networks import Network, check_size
from castsearch.bodies.settings import Settings
from castsearch.networks import Precision
from castsearch.stagefiles import file_sha256


def open_network(
    network: Network,
    height: int,
    width: int,
    on: torch.device | None = None,
    precision: Precision = "float32",
    pictures: Pictures | None = None,
) -> BodyModel:
    """The model that runs ``network`` as it is, the fastest way there is on a device; by default a GPU if it can.

    Args and errors as for :func:`open_model`.
    """
    sample = pictures.at(height, width) if pictures else None
    return as_model(open_engine(network, on or device(), height, width, precision, sample), height, width, {}, None)


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
    precision: Precision = "float32",
    pictures: Pictures | None = None,
) -> BodyModel:
    """A body model with trained weights, or with the pretrained backbone alone.

    Args:
        network: ``triplet`` or ``mgn``.
        cnn: the backbone; ``timm:NAME`` for one of timm's.
        checkpoint: trained weights; None for the pretrained backbone.
        imagenet: without ``checkpoint``, its library's file of ImageNet weights; None to download it.
        height, width, last_stride: of pictures and network; None for what the checkpoint was trained with, or the
            defaults of :class:`Settings`.
        on: the device; by default a GPU if there is one.
        precision: of products; GPUs have float32 alone.
        pictures: what int8 is calibrated on and compared with float32 on, a part each.

    Raises:
        BodyModelError: there is no such network, it takes no pictures of that size, or weights are missing, damaged or
            of another network.
        PrecisionError: the device does not have that precision, or the network does not bear it.
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
    sample = pictures.at(**shape) if pictures else None
    opened = open_engine(built, on or device(), **shape, precision=precision, sample=sample, path=weights)
    names = {"network": network, "cnn": cnn, "last_stride": built.last_stride, "sha256": file_sha256(weights)}
    return as_model(opened, **shape, depends=names, weights=weights)
