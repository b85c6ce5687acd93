"""A pack of paper, pictures of one colour, SCRFD of free size; networks on one thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from castsearch.faces import PackError
from castsearch.faces.packs import Task
from castsearch.faces.search import DEFAULT_SEARCH, SearchSettings
from castsearch.networks import Ran
from castsearch.stagefiles import Faces
from tests.checkpoints import checkpoints, graph, one_thread, params_bytes, small  # noqa: F401


@pytest.fixture(scope="session")
def scrfd_of_free_size(testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SCRFD without the size that its file fixes."""
    import onnx

    model = onnx.load(testdata / "models/scrfd/scrfd_500m_kps.onnx")
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "?"
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = f"{output.name}_rows"
    del model.graph.value_info[:]
    path = tmp_path_factory.mktemp("scrfd") / "free.onnx"
    onnx.save(model, path)
    return path


class FakePack:
    """A pack that a test can predict: a face fills each picture that has red in its corner, as sure as it is red.

    Args:
        weights: what tells one detector from another.
        embedder: what tells one embedder from another; "broken" is one that cannot be opened.
        name: as a user might write it.
        search: how it pretends to search.
        border: it sees a face in pictures of at least so many rows only, as one does that needs something around it.
        misses_close_ups: it says so.
    """

    chip_size = 4
    licence, device = "none", "paper"

    def __init__(
        self,
        weights: str = "a",
        name: str = "fake",
        search: SearchSettings = DEFAULT_SEARCH,
        border: int = 0,
        embedder: str = "a",
        misses_close_ups: bool = False,
    ) -> None:
        self.misses_close_ups = misses_close_ups
        self.weights, self.name, self.search, self.border, self.embedder = weights, name, search, border, embedder
        self.seen: list[tuple[int, ...]] = []  # the middle pixel of each picture that was searched
        self.embedded = 0
        self.used: set[Task] = set()

    def detect(self, image: np.ndarray) -> Faces:
        height, width = image.shape[:2]
        middle = tuple(image[height // 2, width // 2].tolist())
        self.seen.append(middle)
        self.used.add("detector")
        if not middle[0] or height < self.border:
            return Faces.none()
        box = np.array([[0, 0, width, height]], np.float32)
        score = np.array([middle[0] / 255], np.float32)
        return Faces(box, score, np.arange(10, dtype=np.float32).reshape(1, 5, 2))

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        return [self.detect(image) for image in images]

    def glimpse(self, image: np.ndarray) -> Faces:
        return self.detect(image)

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """The picture's middle pixel, with 1 in the place of blue where there is a face."""
        chip = np.empty((3, self.chip_size, self.chip_size), np.uint8)
        chip[:] = image[image.shape[0] // 2, image.shape[1] // 2, :, None, None]
        chip[2] = box is not None
        return chip

    def embed(self, chips: np.ndarray) -> np.ndarray:
        self.embedded += len(chips)
        self.used.add("embedder")
        return chips.mean(axis=(2, 3), dtype=np.float32)

    def try_embedder(self) -> None:
        if self.embedder == "broken":
            raise PackError("broken")

    def ran(self, task: Task) -> Ran | None:
        return Ran("pencil 1", self.device, "float32") if task in self.used else None

    def identity(self, task: Task) -> Mapping[str, Any]:
        digest = self.weights if task == "detector" else self.embedder
        return {"sha256": {f"{task}.onnx": digest}, "versions": {"library": "1"}}


@pytest.fixture
def fake_pack() -> type[FakePack]:
    """Makes packs that a test can predict."""
    return FakePack


@pytest.fixture
def paint() -> Callable[..., Path]:
    """Writes a picture of one colour, always of the same number of bytes, with a time of change."""

    def write(path: Path, red: int = 0, green: int = 0, time: int = 1_000_000_000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (red, green, 0)).save(path, format="BMP")
        os.utime(path, (time, time))
        return path

    return write
