"""Model packs for faces: one name selects detector, alignment and embedder together.

A pack detects (picture -> boxes, scores, landmarks), aligns (picture, box, landmarks -> chip) and
embeds (chips -> vectors). Each pack aligns by the meaning of its own landmarks and to the chip size
that its embedder was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from castsearch.errors import CastSearchError


class PackError(CastSearchError):
    """A pack that is not known, or whose weights are missing, damaged or of another kind."""


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, columnar, best score first.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the picture.
        scores: (n,) float32; larger is surer, the scale is the detector's own.
        landmarks: (n, 5, 2) float32, x y in pixels; which points they are is the pack's matter.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.boxes)
        for name, expected in (("boxes", (n, 4)), ("scores", (n,)), ("landmarks", (n, 5, 2))):
            got = np.shape(getattr(self, name))
            if got != expected:
                raise ValueError(f"{name} must be {expected}, got {got}")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> Faces:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


class FacePack(Protocol):
    """What every pack offers. Networks load at the first use of the method that needs them.

    Attributes:
        name: as the user wrote it.
        chip_size: side of an aligned face in pixels.
        licence: the terms of the weights, in one line.
        device: where the networks run, in words for the user.
    """

    name: str
    chip_size: int
    licence: str
    device: str

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB."""

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures, which may share runs of the network."""

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """Cut one face out upright.

        Args:
            image: (h, w, 3) uint8 RGB.
            box: (4,) x1 y1 x2 y2, or None where no face was found.
            landmarks: (5, 2) x y, or None.

        Returns:
            (3, chip_size, chip_size) uint8 RGB.
        """

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed chips, (n, 3, chip_size, chip_size) uint8 RGB, into (n, d) float32, not normalised."""

    def metadata(self) -> Mapping[str, Any]:
        """Name, licence, weights' SHA-256 and settings, for the file beside a stage pickle."""


def check_same_pack(recorded: Mapping[str, Any], pack: FacePack, source: object) -> None:
    """Make sure that an earlier step used the same weights; files of the original record nothing.

    Raises:
        PackError: they differ.
    """
    if "sha256" in recorded and recorded["sha256"] != pack.metadata()["sha256"]:
        raise PackError(
            f"{source}: made with the face pack {recorded.get('pack')}, not {pack.name}; "
            "give the same --model, or run its step again"
        )
