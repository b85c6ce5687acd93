"""RetinaFace (Deng et al., CVPR 2020): from the network's outputs to faces.

The conventions are those of the authors' MXNet release, which the thresholds were chosen for:
boxes that include their last pixel (widths are x2 - x1 + 1), anchors centred on the middle pixel of
a cell, and a picture that goes through the network at every scale before one common NMS.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from castsearch.faces.search import DEFAULT_SEARCH, SearchSettings
from castsearch.networks import CheckpointError, Network, Place, Ran, open_checkpoint
from castsearch.networks.network import finite
from castsearch.networks.onnx_graph import INPUT
from castsearch.parallel import core_count
from castsearch.stagefiles import Faces

STRIDES = (32, 16, 8)
ANCHOR_SIDES = {32: (512, 256), 16: (128, 64), 8: (32, 16)}  # pixels at the network's scale
OUTPUTS = tuple(
    f"face_rpn_{what}_stride{stride}"
    for stride in STRIDES
    for what in ("cls_prob_reshape", "bbox_pred", "landmark_pred")
)

SCALES = (500, 800)  # short side in pixels
LONG_SIDE_LIMIT = 1200 / 800  # of the largest scale
SCORE = 0.8  # lowest score of a face
CHANNELS = {"cls_prob_reshape": 4, "bbox_pred": 8, "landmark_pred": 20}  # of the outputs, for two anchors a cell
NMS_IOU = 0.4  # overlap above which the weaker of two boxes goes
MIRRORED_POINTS = (1, 0, 2, 4, 3)  # left and right change places in a mirrored face
CPU_BATCH_PIXELS, GPU_BATCH_PIXELS = 1_000_000, 8_000_000  # more are no faster and take more memory
MAX_STREAMS = 8  # pictures at the same time, for the same reason
GPU_STREAMS = 2  # one scales pictures while the other's are on the GPU; written with care, and never run on one


def scale_factors(scales: Sequence[int], height: int, width: int) -> list[float]:
    """What to multiply a picture's sides by, one factor a scale.

    Args:
        scales: short sides in pixels; where the long side would pass 1.5 times the largest, all shrink alike.
        height: of the picture in pixels.
        width: likewise.
    """
    largest = max(scales)
    base = largest / min(height, width)
    if round(base * max(height, width)) > LONG_SIDE_LIMIT * largest:
        base = LONG_SIDE_LIMIT * largest / max(height, width)
    return [base * scale / largest for scale in scales]


class _Scaling(NamedTuple):
    """One picture at one scale: the places of both, and what its sides are multiplied by."""

    image: int
    scale: int
    factor: float


def scaled_sizes(scales: Sequence[int], height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of a picture at each scale: pictures that share them share runs of the network."""
    return [
        (max(1, round(height * factor)), max(1, round(width * factor)))
        for factor in scale_factors(scales, height, width)
    ]


class RetinaFace:
    """A RetinaFace network with two anchors at strides 32, 16 and 8 ('net3').

    Args:
        open_at: opens the network, whose outputs are those of ``OUTPUTS``, for so many cores a call.
        search: at which scales, by default ``SCALES``, and whether mirrored too.
        cores: of the CPU; 1 where the network runs on a GPU.
        streams: pictures at the same time, by default one a core.
        batch_pixels: what goes through the network together, in pixels at its scale.
        score: lowest score of a face.
    """

    def __init__(
        self,
        open_at: Callable[[int], Network],
        search: SearchSettings = DEFAULT_SEARCH,
        cores: int = 1,
        batch_pixels: int = CPU_BATCH_PIXELS,
        score: float = SCORE,
        streams: int | None = None,
    ) -> None:
        self.streams = min(streams or cores, MAX_STREAMS)
        self.scales, self.flip, self.score = search.scales or SCALES, search.flip, score
        self.cores, self.batch_pixels = cores, batch_pixels
        self._network = cache(self._opened)
        self._open_at = open_at
        self.ran: Ran | None = None
        self._outputs = [f"{name}_output" for name in OUTPUTS]

    def _opened(self, cores: int) -> Network:
        network = self._open_at(cores)
        self.ran = network.ran
        return network

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of one picture, (h, w, 3) uint8 RGB."""
        return self.detect_many([image])[0]

    def glimpse(self, image: np.ndarray) -> Faces:
        """As ``detect``; this network misses no close-ups."""
        return self.detect(image)

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures; those of one size at a scale go through the network together there."""
        # All cores on one picture, or each core on pictures of its own, which wastes less of them.
        streams = min(self.streams, len(images)) or 1
        network = self._network(max(1, self.cores // streams))
        jobs = self._jobs(images)

        def search(job: Sequence[_Scaling]) -> list[list[Faces]]:
            return self._at_scale(network, [(images[index], factor) for index, _, factor in job])

        found: list[list[list[Faces]]] = [[[] for _ in self.scales] for _ in images]
        with ThreadPoolExecutor(streams) as pool:
            for job, results in zip(jobs, pool.map(search, jobs), strict=True):
                for (index, scale, _), faces in zip(job, results, strict=True):
                    found[index][scale] = faces
        return [self._merge([faces for at_scale in scales for faces in at_scale]) for scales in found]

    def feeds(self, image: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """What the network is given for a picture, to calibrate it on: at the smallest scale, which does as well as all
        scales, in a third of the time and less than half of the memory.
        """
        yield {INPUT: cv2.dnn.blobFromImage(_resize(image, min(scale_factors(self.scales, *image.shape[:2]))))}

    def _jobs(self, images: Sequence[np.ndarray]) -> list[list[_Scaling]]:
        """What goes through the network together: pictures that are of one size where they are scaled."""
        groups = defaultdict(list)
        for index, (height, width, _) in enumerate(image.shape for image in images):
            factors = scale_factors(self.scales, height, width)
            for scale, size in enumerate(scaled_sizes(self.scales, height, width)):
                groups[size].append(_Scaling(index, scale, factors[scale]))
        jobs = []
        # The largest first: towards the end, no core waits long for another.
        for (height, width), members in sorted(groups.items(), key=lambda group: -math.prod(group[0])):
            step = max(1, self.batch_pixels // (height * width))
            jobs += [members[start : start + step] for start in range(0, len(members), step)]
        return jobs

    def _at_scale(self, network: Network, images: Sequence[tuple[np.ndarray, float]]) -> list[list[Faces]]:
        """For each image and its factor, which bring them to one size, what is found there: in the picture and, with
        flip, in its mirror image.
        """
        resized = np.stack([_resize(image, factor) for image, factor in images])
        batches = [resized, resized[:, :, ::-1]] if self.flip else [resized]
        name, size = network.inputs[0].name, resized.shape[1:3]
        data = (np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32) for batch in batches)
        runs = [network.run({name: batch}, self._outputs) for batch in data]
        return [
            [
                self._decode([output[index] for output in run], size, factor, mirrored=bool(mirrored))
                for mirrored, run in enumerate(runs)
            ]
            for index, (_, factor) in enumerate(images)
        ]

    def _decode(self, outputs: list[np.ndarray], size: tuple[int, int], factor: float, mirrored: bool) -> Faces:
        """Faces above the score of one picture at one scale, in pixels of the original picture."""
        parts = []
        for position, stride in enumerate(STRIDES):
            scores, boxes, landmarks = outputs[3 * position : 3 * position + 3]
            count = len(ANCHOR_SIDES[stride])
            # The first half are the anchors' scores for "no face".
            which, y, x = np.nonzero(scores[count:] >= self.score)
            # Ties of score are broken by this order: row, column, anchor.
            order = np.lexsort((which, x, y))
            which, y, x = which[order], y[order], x[order]
            parts.append(
                (
                    decode_boxes(_pick(boxes, 4, which, y, x), stride, which, y, x),
                    scores[count:][which, y, x],
                    decode_landmarks(_pick(landmarks, 10, which, y, x).reshape(-1, 5, 2), stride, which, y, x),
                )
            )
        boxes, scores, landmarks = (np.concatenate(column) for column in zip(*parts, strict=True))
        height, width = size
        boxes = np.clip(boxes, 0, np.array([width - 1, height - 1] * 2, np.float32))
        if mirrored:
            boxes[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
            landmarks[..., 0] = width - 1 - landmarks[..., 0]
            landmarks = landmarks[:, MIRRORED_POINTS]
        scale = np.float32(factor)
        return Faces(boxes / scale, scores, landmarks / scale)

    def _merge(self, found: Sequence[Faces]) -> Faces:
        boxes, scores, landmarks = (
            np.concatenate([getattr(faces, name) for faces in found]) for name in ("boxes", "scores", "landmarks")
        )
        # Best first; of equal scores the later one, as the original's reversed ascending sort has it.
        order = np.argsort(scores, kind="stable")[::-1]
        boxes, scores, landmarks = boxes[order], scores[order], landmarks[order]
        kept = suppress(boxes, NMS_IOU)
        return Faces(boxes[kept], scores[kept], landmarks[kept])


def open_retinaface(
    symbol: Path,
    params: Path,
    place: Place,
    search: SearchSettings = DEFAULT_SEARCH,
    score: float = SCORE,
    model: Path | None = None,
) -> RetinaFace:
    """Load an MXNet checkpoint, at first use; ``model`` is the checkpoint quantized, for int8."""

    def open_at(cores: int) -> Network:
        network = open_checkpoint(symbol, params, place, cores, model)
        for output in network.outputs:
            expected = next((n for what, n in CHANNELS.items() if f"_{what}_" in output.name), None)
            if len(output.shape) != 4 or output.shape[1] != expected:
                raise CheckpointError(
                    f"{symbol}: expected {expected} channels of {output.name}, for two anchors a cell, got "
                    f"{output.shape}; only RetinaFace of the kind 'net3' is known"
                )
        return finite(network)

    if place.gpu >= 0:
        return RetinaFace(open_at, search, cores=1, batch_pixels=GPU_BATCH_PIXELS, score=score, streams=GPU_STREAMS)
    return RetinaFace(open_at, search, cores=core_count(), score=score)


def _resize(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = image.shape[:2]
    if round(height * factor) < 1 or round(width * factor) < 1:  # a sliver; OpenCV refuses a side of 0
        return cv2.resize(image, (max(1, round(width * factor)), max(1, round(height * factor))))
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def _pick(output: np.ndarray, numbers: int, which: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The numbers of some anchors, (n, numbers), out of (anchors * numbers, h, w)."""
    return output.reshape(-1, numbers, *output.shape[1:])[which, :, y, x]


def _anchors(stride: int, which: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) x y and sides (n, 1) of square anchors."""
    centres = np.stack([x, y], axis=1).astype(np.float32) * stride + np.float32(7.5)
    return centres, np.array(ANCHOR_SIDES[stride], np.float32)[which, None]


def decode_boxes(deltas: np.ndarray, stride: int, which: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Boxes from their anchors (Ren et al., NeurIPS 2015, section 3.1.2), with widths that include the last pixel.

    Args:
        deltas: (n, 4) shift of the centre in sides of the anchor, logarithm of width and height over its side.
        stride: of the cells.
        which: (n,) anchor of the cell.
        y: (n,) row of the cell.
        x: (n,) column of the cell.

    Returns:
        (n, 4) x1 y1 x2 y2 in pixels.
    """
    centres, sides = _anchors(stride, which, y, x)
    centres = deltas[:, :2] * sides + centres
    halves = (np.exp(deltas[:, 2:]) * sides - 1) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def decode_landmarks(deltas: np.ndarray, stride: int, which: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Landmarks from their anchors: (n, 5, 2) shifts from the centre in sides of the anchor -> (n, 5, 2) pixels."""
    centres, sides = _anchors(stride, which, y, x)
    return deltas * sides[:, None] + centres[:, None]


def suppress(boxes: np.ndarray, iou: float) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: (n, 4) x1 y1 x2 y2, best first; the last pixel belongs to a box.
        iou: a box goes when it overlaps a better one by more than this.

    Returns:
        (k,) int64 indices of the boxes that stay, best first.
    """
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left = np.arange(len(boxes))
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.maximum(high - low + 1, 0).prod(axis=1)
        left = left[shared / (areas[best] + areas[left] - shared) <= iou]
    return np.array(kept, dtype=np.int64)
