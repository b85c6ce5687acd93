"""Backbones by the names of timm (Wightman, PyTorch Image Models): the convolutional ones, whatever their parts."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from castsearch.bodies.backbones import TIMM, Layer
from castsearch.bodies.body_model import MEAN, STD, BodyModelError
from castsearch.errors import one_line
from castsearch.stagefiles import atomic_write

_PROBE = 128  # pixels, the side of the picture that tells of a network's last map
_CELL = 16  # pixels that one place of the last map sees at a last stride of 1


class _Shape(NamedTuple):
    """What a network is like.

    Attributes:
        dim: channels of its last map.
        unused: its parts that come after that map, the classifier among them.
        mean, std: by which its pretrained weights expect pictures.
    """

    dim: int
    unused: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class TimmBackbone:
    """One of timm's networks; see ``castsearch.bodies.backbones.AnyBackbone``.

    Attributes:
        name: timm's, with or without the tag of its weights.
        dim, mean, std: see ``AnyBackbone``.
        heads: see ``AnyBackbone``.
    """

    name: str
    dim: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    heads: tuple[str, ...]
    tail = None

    def headless(self, last_stride: int) -> nn.Module:
        """The network without weights and without what comes after its last map.

        Raises:
            BodyModelError: it does not have that stride.
        """
        return _without(_shape(self.name, last_stride).unused, _make(self.name, last_stride))

    def layers(self, net: Any) -> list[Layer]:
        """All in one."""
        return [net.forward_features]

    def download(self) -> Path:
        """timm's pretrained weights, as timm finds and downloads them, kept in torch's cache.

        Raises:
            BodyModelError: they cannot be had.
        """
        path = Path(torch.hub.get_dir()) / "checkpoints" / f"timm_{self.name}.pt"
        if not path.exists():
            # Its line for each of many tries says no more than the error at their end.
            logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
            try:
                state = _without(_shape(self.name, 2).unused, _make(self.name, 2, pretrained=True)).state_dict()
                with atomic_write(path) as file:
                    torch.save(state, file)
            except Exception as error:  # of whatever library it downloads by
                raise BodyModelError(
                    f"{TIMM}{self.name}: pretrained weights cannot be downloaded ({one_line(error)}); "
                    "fetch their file by other means and name it"
                ) from None
        return path


@cache
def find_timm(name: str) -> TimmBackbone:
    """One of timm's networks.

    Args:
        name: timm's, with or without the tag of its weights (``resnet50``, ``resnet50.a1_in1k``).

    Raises:
        BodyModelError: timm is not installed, knows no such network, or it is none that gives maps.
    """
    try:
        import timm
    except ImportError:
        raise BodyModelError(f"{TIMM}{name}: timm is not installed; pip install timm") from None
    architecture = name.partition(".")[0]
    if not re.fullmatch(r"[\w.-]*\w", name) or not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), 3)
        mend = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() in Python names all"
        raise BodyModelError(f"{TIMM}{name}: timm knows no such network; {mend}")
    shape = _shape(name, 2)
    heads = tuple(f"{part}." for part in shape.unused)
    return TimmBackbone(name, shape.dim, shape.mean, shape.std, heads)


def _make(name: str, last_stride: int, pretrained: bool = False) -> Any:
    import timm

    # Only where another one is wanted: not every architecture can be told its stride.
    stride: dict[str, Any] = {"output_stride": _CELL} if last_stride == 1 else {}
    return timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **stride)


def _without(parts: tuple[str, ...], net: nn.Module) -> nn.Module:
    """The network without these parts, which would have weights that nobody trains."""
    for part in parts:
        setattr(net, part, nn.Identity())
    return net


@cache
def _shape(name: str, last_stride: int) -> _Shape:
    """What a network is like, found by a picture without content that goes through it.

    Raises:
        BodyModelError: it does not have that stride, or gives no maps.
    """
    try:
        with torch.device("meta"):
            net = _make(name, last_stride).eval().to(memory_format=torch.channels_last)  # as it will run
            with torch.no_grad(), _calls(net) as called:
                maps = net.forward_features(torch.zeros(1, 3, _PROBE, _PROBE))
    except Exception as error:  # of whatever a network of timm's wants
        raise (_no_stride(name) if last_stride == 1 else _unusable(name, one_line(error))) from None
    if getattr(maps, "ndim", 0) != 4 or maps.shape[1] != net.num_features:
        raise _unusable(name, "it gives tokens, or several maps")
    if maps.shape[2] != _PROBE // (_CELL * last_stride):
        raise _no_stride(name) if last_stride == 1 else _unusable(name, "its last map is no 32nd of the picture")
    unused = tuple(part for part, _ in net.named_children() if part not in called)
    told = net.pretrained_cfg or {}  # also of a name that timm had in earlier versions
    return _Shape(maps.shape[1], unused, tuple(told.get("mean", MEAN)), tuple(told.get("std", STD)))


@contextmanager
def _calls(net: nn.Module) -> Iterator[set[str]]:
    """Gathers which of the network's parts are called, or a part of theirs."""
    called: set[str] = set()

    def note(part: str) -> Any:
        return lambda *_: called.add(part)

    hooks = [
        layer.register_forward_pre_hook(note(part)) for part, child in net.named_children() for layer in child.modules()
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def _unusable(name: str, why: str) -> BodyModelError:
    return BodyModelError(f"{TIMM}{name}: cannot be a body network ({why}); choose a convolutional network of one map")


def _no_stride(name: str) -> BodyModelError:
    return BodyModelError(f"{TIMM}{name}: its last stage cannot keep its resolution; choose a last_stride of 2")
