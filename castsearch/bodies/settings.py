"""The settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from castsearch.bodies import backbones
from castsearch.bodies.body_model import HEIGHT, LARGEST_SIDE, WIDTH
from castsearch.bodies.losses import METRICS, MINING
from castsearch.bodies.networks import NETWORKS, least_size
from castsearch.errors import CastSearchError

PRECISIONS = ("float32", "mixed", "float64")

_CHOICES = {
    "network": tuple(NETWORKS),
    "last_stride": backbones.LAST_STRIDES,
    "mining": MINING,
    "metric": METRICS,
    "precision": PRECISIONS,
}
_WHOLE = {
    "batch_size": (2, 10_000),
    "image_num": (2, 1000),
    "warmup": (0, 1_000_000),
    "lr_decay_epoch": (1, 1_000_000),
    "seed": (0, (1 << 63) - 1),
}
_FINITE = ("lr", "weight_decay")
_SHARES = ("gamma", "label_smoothing", "color_jitter")


class SettingsError(CastSearchError):
    """A setting that no run can have."""


@dataclass(frozen=True)
class Settings:
    """Everything that the numbers of a run depend on, besides data and first weights.

    Attributes:
        network, cnn: what is trained.
        height, width: of the pictures, in pixels; see :func:`castsearch.bodies.networks.least_size`.
        last_stride: of the backbone's last stage, 1 or 2.
        batch_size: identities in a batch (P), over all processes; a triplet takes two.
        image_num: pictures of each identity (K); a triplet takes two.
        mining, margin, metric: of the triplet loss; margin None is the soft one.
        lr, weight_decay: of Adam.
        warmup: epochs over which the learning rate rises to ``lr``.
        lr_decay_epoch, gamma: the learning rate is multiplied by ``gamma``, in [0, 1], every so many epochs.
        label_smoothing: of the cross entropy, in [0, 1].
        color_jitter: in [0, 1], see :class:`castsearch.bodies.data.Augmentation`.
        precision: one of :data:`PRECISIONS`; float64 is for comparing runs, free of rounding.
        seed: of everything random.

    Raises:
        SettingsError: a setting is out of its range.
        BodyModelError: there is no such backbone.
    """

    network: str
    cnn: str
    height: int = HEIGHT
    width: int = WIDTH
    last_stride: int = 1
    batch_size: int = 18
    image_num: int = 4
    mining: str = "adaptive"
    margin: float | None = None
    metric: str = "euclidean"
    lr: float = 3e-4
    weight_decay: float = 5e-4
    warmup: int = 0
    lr_decay_epoch: int = 150
    gamma: float = 0.1
    label_smoothing: float = 0.0
    color_jitter: float = 0.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        backbones.find(self.cnn)
        for name, choices in _CHOICES.items():
            self._require(name, getattr(self, name) in choices, f"one of {', '.join(map(str, choices))}")
        height, width = least_size(self.network, self.last_stride)
        sides = {"height": (height, LARGEST_SIDE), "width": (width, LARGEST_SIDE)}
        for name, (least, most) in (sides | _WHOLE).items():
            value = getattr(self, name)
            self._require(name, type(value) is int and least <= value <= most, f"a whole number from {least} to {most}")
        for name in _FINITE:
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number from 0")
        for name in _SHARES:
            self._require(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        self._require("margin", self.margin is None or math.isfinite(self.margin), "a number, or None for the soft one")

    def _require(self, name: str, met: bool, expected: str) -> None:
        if not met:
            raise SettingsError(f"{name} is {getattr(self, name)}; it must be {expected}")

    def learning_rate(self, epoch: int, progress: float) -> float:
        """The learning rate after ``progress`` epochs, of which ``epoch`` are whole.

        >>> settings = Settings("triplet", "resnet50", lr=1.0, warmup=2, lr_decay_epoch=150)
        >>> [settings.learning_rate(epoch, progress) for epoch, progress in ((0, 0.5), (2, 2.5), (150, 150.5))]
        [0.25, 1.0, 0.1]
        """
        rising = min(progress / self.warmup, 1.0) if self.warmup else 1.0
        return self.lr * rising * self.gamma ** (epoch // self.lr_decay_epoch)


def fastest_precision(device: str) -> str:
    """The precision that is fastest on "cuda" or "cpu" without loss: CPUs gain nothing from the mixed one."""
    return "mixed" if device == "cuda" else "float32"
