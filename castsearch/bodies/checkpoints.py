"""Weights of body networks: the original's, ours and torchvision's; read without running code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from castsearch.bodies import backbones
from castsearch.bodies.backbones import BodyModelError
from castsearch.bodies.networks import NETWORKS, Network
from castsearch.stagefiles import atomic_write

BEST, LAST = "best.pt", "last.pt"


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file of ``torch.save`` that holds tensors and builtin containers, nothing else.

    Raises:
        BodyModelError: it is missing, damaged or asks for more.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BodyModelError(f"{path}: no such file of weights; train first, or name one that is there") from None
    except Exception as error:  # of a damaged file, torch raises what it stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BodyModelError(f"{path}: not a usable file of weights ({reason}); copy or train it again") from None
    if not isinstance(content, dict):
        raise BodyModelError(f"{path}: expected a dict of weights, found {type(content).__name__}")
    return content


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write with ``torch.save``, atomically."""
    with atomic_write(path) as file:
        torch.save(dict(content), file)


def load_weights(model: Network, path: str | os.PathLike[str]) -> bool:
    """Load weights of a whole network or of its backbone alone, strictly but for the classifier.

    The classifier tells the identities of one training set apart and no others, so it is left
    out on purpose, whether or not ``model`` has one.

    Args:
        model: network to fill.
        path: a checkpoint of this project, a state dict of the original, or torchvision's
            ImageNet weights.

    Returns:
        Whether the file held a whole network; otherwise it held a backbone.

    Raises:
        BodyModelError: the file is unusable or belongs to another network.
    """
    content = read(path)
    found = content.get("model", content)
    if not isinstance(found, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items()):
        raise BodyModelError(f"{path}: expected weights by name; give a checkpoint or torchvision's file")
    state = {key.removeprefix("module."): value for key, value in found.items()}
    whole = any(key.startswith("backbone.") for key in state)
    if whole:
        fresh = {key: value for key, value in model.state_dict().items() if key.startswith("logits.")}
        _fill(model, {key: value for key, value in state.items() if not key.startswith("logits.")} | fresh, path)
    else:
        net = backbones.headless(model.cnn, model.last_stride)
        _fill(net, backbones.without_classifier(model.cnn, state), path)
        model.adopt(net)
    return whole


def _fill(net: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """``load_state_dict``, strict, with an error of one line."""
    wanted = net.state_dict()
    # Counters of batches came to BatchNorm after some of these weights were published; they do not matter.
    state = {key: value for key, value in wanted.items() if key.endswith("num_batches_tracked")} | dict(state)
    for key in sorted(wanted.keys() | state.keys()):
        found, expected = (list(weights[key].shape) if key in weights else "absent" for weights in (state, wanted))
        if found != expected:
            raise BodyModelError(
                f"{path}: weights of another network: {key} is {found}, expected {expected}; check network and cnn"
            )
    net.load_state_dict(state)


def load_imagenet(model: Network, path: Path | None = None) -> Path:
    """Give the backbone torchvision's ImageNet weights, from ``path`` or by download.

    Returns:
        The file they came from.

    Raises:
        BodyModelError: they cannot be had, are unusable, or belong to another backbone.
    """
    path = path or backbones.download(model.cnn)
    if load_weights(model, path):
        raise BodyModelError(f"{path}: a trained network, not ImageNet weights; name it as the checkpoint")
    return path


def trained(folder: Path) -> Path:
    """The checkpoint that a training left in ``folder``: its best where it looked for one, or else its last.

    Raises:
        BodyModelError: there is none.
    """
    for name in (BEST, LAST):
        if (folder / name).exists():
            return folder / name
    raise BodyModelError(f"{folder}: no checkpoint in it; train first, or name a checkpoint")


def build(network: str, cnn: str, num_classes: int = 0, last_stride: int = 1) -> Network:
    """A network with random weights; ``network`` is ``triplet`` or ``mgn``.

    Raises:
        BodyModelError: there is no such network or backbone.
    """
    if network not in NETWORKS:
        raise BodyModelError(f"no network {network!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[network](cnn, num_classes, last_stride)
