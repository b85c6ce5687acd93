"""ONNX networks of InsightFace's kinds, run by the insightface library's own code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from castsearch.errors import one_line
from castsearch.faces.alignment import ARCFACE_SIZE
from castsearch.faces.errors import PackError
from castsearch.faces.network_files import SCRFD_OUTPUTS
from castsearch.faces.search import DEFAULT_SEARCH, SCRFD_SIDES, SMALLEST_SCALE, SearchSettings
from castsearch.networks import Network, NetworkError, Place, Port, open_network
from castsearch.networks.network import finite
from castsearch.stagefiles import Faces

BATCH = 64  # chips at once; bounds memory
GLIMPSED = 0.2  # score of SCRFD from which a place is worth a second look; faces count from 0.5


class _Session:
    """A network in the form in which the library's classes take one: as ONNX Runtime's session."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._given: list[Mapping[str, np.ndarray]] | None = None

    def get_inputs(self) -> Sequence[Port]:
        return self._network.inputs

    def get_outputs(self) -> Sequence[Port]:
        return self._network.outputs

    def run(self, names: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if self._given is not None:
            self._given.append(feed)
        return self._network.run(feed, names)

    @contextmanager
    def noting(self) -> Iterator[list[Mapping[str, np.ndarray]]]:
        """Note what the network is given in the meantime."""
        given: list[Mapping[str, np.ndarray]] = []
        self._given = given
        try:
            yield given
        finally:
            self._given = None


def _opened(path: Path, place: Place, model: Path | None, outputs: Sequence[int]) -> Network:
    """The network, if it has as many outputs as one of its kind: the library's classes take any."""
    network = open_network(path, place, model=model)
    if len(network.outputs) not in outputs:
        counts = " or ".join(map(str, outputs))
        raise PackError(
            f"{path}: expected {counts} outputs, got {len(network.outputs)}; it is a network of another kind"
        )
    return network


@contextmanager
def _running(path: Path) -> Iterator[None]:
    """Tell what stops the library's code: it takes a network's outputs as they come."""
    try:
        yield
    except (MemoryError, NetworkError):
        raise
    except Exception as error:  # of numpy, OpenCV and ONNX Runtime
        raise PackError(f"{path}: insightface cannot run it ({one_line(error)}); get it again") from None


class InsightFaceDetector:
    """SCRFD or RetinaFace as ONNX.

    Args:
        path: the file.
        place: where it runs.
        search: its scales are sides of the square that a picture is fitted into, by default ``SCRFD_SIDES``; a file of
            fixed size keeps its own. There is no flip.
        model: the network quantized, for int8.

    Raises:
        PackError: it is a network of another kind.
        NetworkError: it is damaged, or does not run there.
    """

    def __init__(
        self, path: Path, place: Place, search: SearchSettings = DEFAULT_SEARCH, model: Path | None = None
    ) -> None:
        # It takes most of a second to import, and packs of MXNet checkpoints do without.
        from insightface.model_zoo.scrfd import SCRFD

        network = finite(_opened(path, place, model, SCRFD_OUTPUTS))
        self._path, self.ran = path, network.ran
        self._session = _Session(network)
        with _running(path):
            self._model = SCRFD(session=self._session)
        self._model.prepare(0, input_size=[(side, side) for side in search.scales or SCRFD_SIDES])

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of pictures, (h, w, 3) uint8 RGB each."""
        return [self._detect(image) for image in images]

    def glimpse(self, image: np.ndarray) -> Faces:
        """Find what may be a face of a picture, (h, w, 3) uint8 RGB, unsure ones too."""
        sure, self._model.det_thresh = self._model.det_thresh, GLIMPSED
        try:
            return self._detect(image)
        finally:
            self._model.det_thresh = sure

    def feeds(self, image: np.ndarray) -> list[Mapping[str, np.ndarray]]:
        """What the network is given for a picture, at one size after another."""
        with self._session.noting() as given:
            self._detect(image)
        return given

    def _detect(self, image: np.ndarray) -> Faces:
        with _running(self._path):
            found, landmarks = self._model.detect(_no_sliver(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)))
            order = np.argsort(-found[:, 4], kind="stable")
            found, landmarks = found[order].astype(np.float32), landmarks[order].astype(np.float32)
        return Faces(found[:, :4], as_probability(found[:, 4]), landmarks)


def _no_sliver(image: np.ndarray) -> np.ndarray:
    """The picture, filled up with black to the right or below where the library would scale a side to nothing.

    Coordinates stay; the library fills up with black itself.
    """
    height, width = image.shape[:2]
    thinnest = -(-max(height, width) // SMALLEST_SCALE)
    if min(height, width) >= thinnest:
        return image
    return cv2.copyMakeBorder(
        image, 0, max(0, thinnest - height), 0, max(0, thinnest - width), cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )


def as_probability(scores: np.ndarray) -> np.ndarray:
    """SCRFD's scores on the scale that selection works with.

    SCRFD reports what passes 0.5 and gives sure faces 0.7 to 0.9, where RetinaFace gives 0.99 and more;
    selection admits those over 0.9, and portraits over 0.95. What SCRFD reports counts as that sure: 0.5
    becomes 0.9, and the rest to 1 halves with every 0.1.
    """
    return 1 - 0.1 * 2 ** ((0.5 - scores) / 0.1)


class InsightFaceEmbedder:
    """ArcFace as ONNX; the library reads from the graph whether pixels are scaled inside it.

    Args:
        path: the file.
        place: where it runs.
        model: the network quantized, for int8.

    Raises:
        PackError: it is a network of another kind.
        NetworkError: it is damaged, or does not run there.
    """

    def __init__(self, path: Path, place: Place, model: Path | None = None) -> None:
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX

        network = _opened(path, place, model, [1])
        self._path, self.ran = path, network.ran
        self._session = _Session(network)
        with _running(path):
            self._model = ArcFaceONNX(str(path), self._session)
        size = self._model.input_shape[0]
        self._fixed = isinstance(size, int) and size > 0
        self._batch = size if self._fixed else BATCH

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 112, 112) uint8 RGB into (n, d) float32."""
        pictures = [np.ascontiguousarray(chip.transpose(1, 2, 0)[:, :, ::-1]) for chip in chips]
        if not pictures:
            return self.embed(np.zeros((1, 3, ARCFACE_SIZE, ARCFACE_SIZE), np.uint8))[:0]  # as long as any vector
        parts = [self._embed(pictures[at : at + self._batch]) for at in range(0, len(pictures), self._batch)]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def feeds(self, chips: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        """What the network is given for chips: one after another, or as many together as it takes."""
        step = self._batch if self._fixed else 1
        for at in range(0, len(chips), step):
            with self._session.noting() as given:
                self.embed(chips[at : at + step])
            yield from given

    def _embed(self, pictures: list[np.ndarray]) -> np.ndarray:
        """A short last batch is filled up where the network takes one size only."""
        filling = pictures[-1:] * (self._batch - len(pictures)) if self._fixed else []
        with _running(self._path):
            return self._model.get_feat(pictures + filling)[: len(pictures)]
