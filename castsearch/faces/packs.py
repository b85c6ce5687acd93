"""Model packs for faces: one name selects detector, alignment and embedder together.

A pack detects (picture -> boxes, scores, landmarks), aligns (picture, box, landmarks -> chip) and
embeds (chips -> vectors). Each pack aligns by the meaning of its own landmarks and to the chip size
that its embedder was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from castsearch.faces.errors import PackError
from castsearch.faces.search import SearchSettings
from castsearch.stagefiles import Faces


class FacePack(Protocol):
    """What every pack offers. Networks load at the first use of the method that needs them.

    Attributes:
        name: as the user wrote it.
        chip_size: side of an aligned face in pixels.
        licence: the terms of the weights, in one line.
        device: where the networks run, in words for the user.
        search: how ``detect`` searches.
    """

    name: str
    chip_size: int
    licence: str
    device: str
    search: SearchSettings

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB, best first."""

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

    def identity(self) -> Mapping[str, Any]:
        """What makes two packs one, as JSON has it: ``sha256`` of the weights' files, ``versions`` of the libraries."""


# Under these names the metadata beside a stage file tell which pack made it, and how it searched.
IDENTITY, SEARCH = "face_pack", "search"


def notes(pack: FacePack) -> dict[str, str]:
    """What else metadata tell of a pack, and results do not depend on."""
    return {"model": pack.name, "licence": pack.licence, "device": pack.device}


def check_same_pack(recorded: Mapping[str, Any], pack: FacePack, source: object) -> None:
    """Make sure that an earlier step used the same weights; files of the original record nothing.

    Args:
        recorded: metadata of the earlier step.
        pack: the one at hand.
        source: the earlier step's file, for the message.

    Raises:
        PackError: they differ.
    """
    if IDENTITY not in recorded:
        return
    made_with = recorded[IDENTITY]
    if not isinstance(made_with, Mapping) or made_with.get("sha256") != pack.identity()["sha256"]:
        raise PackError(
            f"{source}: made with the face pack {recorded.get('model')}, which has other weights than {pack.name}; "
            "choose the same pack, or run that step again"
        )
