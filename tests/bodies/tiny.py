"""A backbone of 3 convolutions, for tests of what is done with one; scripts that tests start import it too."""

from __future__ import annotations

from typing import Any

from torch import nn

from castsearch.bodies.backbones import BACKBONES, Backbone, Family


class Tiny(nn.Module):
    """8 channels at an eighth of the size; takes ``weights`` as torchvision's networks do."""

    def __init__(self, weights: None = None) -> None:
        super().__init__()
        self.stem, self.middle, self.last = _block(3), _block(8), _block(8)
        self.fc = nn.Linear(8, 1000)


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())


def _layers(net: Any) -> list:
    return [net.stem, net.middle, net.last]


def _keep_stride(net: Any) -> None:
    net.last[0].stride = (1, 1)


def register() -> None:
    """Make it known as "tiny"; there are no weights to download."""
    family = Family("fc", _layers, slice(2, 3), _keep_stride)
    BACKBONES["tiny"] = Backbone(family, Tiny, None, 8)  # type: ignore[arg-type]
