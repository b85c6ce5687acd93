"""A body network that runs, whatever runs it; none of this needs torch, which takes seconds to load and 650 MB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from castsearch.bodies.graphs import Engine, Opened, Sample
from castsearch.errors import CastSearchError
from castsearch.images import ImageReader
from castsearch.networks import Ran
from castsearch.networks.int8 import Agreement

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
HEIGHT, WIDTH = 256, 128  # pixels, where nothing tells otherwise
LARGEST_SIDE = 2048  # pixels


class BodyModelError(CastSearchError):
    """An unknown backbone, or weights that are missing, damaged or of another network."""


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
        ran: what runs it where.
        agreement: with float32; of int8 only.
    """

    engine: Engine
    height: int = HEIGHT
    width: int = WIDTH
    depends: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    ran: Ran | None = None
    agreement: Agreement | None = None

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB to (height, width, 3) uint8."""
        return resize(picture, self.height, self.width)

    def extract(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """(n, d) float32 features of n pictures, (h, w, 3) uint8 RGB of any sizes; not normalised."""
        return self.engine(np.stack([self.prepare(picture) for picture in pictures]))


@dataclass(frozen=True)
class Pictures:
    """Pictures that a model will be used on, which int8 needs to see some of.

    Attributes:
        reader: reads them by file name.
        files: their names.
    """

    reader: ImageReader
    files: Sequence[str]

    def at(self, height: int, width: int) -> Sample:
        """They at the size that a network takes."""
        return Sample(self.reader, self.files, lambda picture: resize(picture, height, width))


def as_model(opened: Opened, height: int, width: int, depends: Mapping[str, Any], weights: Path | None) -> BodyModel:
    """The model of a network that runs; ``depends`` is what its features depend on besides size and engine."""
    told = {**depends, "size": [height, width], **opened.depends}
    return BodyModel(opened.engine, height, width, told, weights, opened.ran, opened.agreement)
