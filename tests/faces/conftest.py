"""Checkpoints to test on: real ones, copied, and a small synthetic one; a pack of paper; networks on one thread."""

from __future__ import annotations

import json
import os
import struct
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

MAGIC = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}
KINDS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}


@pytest.fixture(scope="session")
def checkpoints(testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack folder: the real RetinaFace and MobileFaceNet, copied, since conversion writes beside them."""
    folder = tmp_path_factory.mktemp("pack")
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        (folder / name).mkdir()
        for file in (testdata / "models" / name).iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    return folder


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


@pytest.fixture(scope="session")
def params_bytes() -> Callable[..., bytes]:
    """Builds an MXNet parameter file of the given version, after the format's description."""

    def array_bytes(array: np.ndarray, version: int) -> bytes:
        header = b"" if version == 0 else struct.pack("<I", MAGIC[version])
        if version >= 2:
            header += struct.pack("<i", 0)  # dense
        dimension = "<I" if version == 0 else "<q"
        header += struct.pack("<I", array.ndim) + b"".join(struct.pack(dimension, size) for size in array.shape)
        return header + struct.pack("<iii", 1, 0, KINDS[array.dtype.name]) + array.tobytes()

    def build(arrays: Mapping[str, np.ndarray], version: int = 2) -> bytes:
        parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
        parts += [array_bytes(array, version) for array in arrays.values()]
        parts.append(struct.pack("<Q", len(arrays)))
        parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
        return b"".join(parts)

    return build


class GraphBuilder:
    """Writes an MXNet graph node by node; variables are made where a node needs them."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.heads: list[int] = []
        self.data = self.variable("data")

    def variable(self, name: str) -> int:
        self.nodes.append({"op": "null", "name": name, "inputs": []})
        return len(self.nodes) - 1

    def add(self, op: str, name: str, inputs: Sequence[int], params: Sequence[str] = (), **attrs: object) -> int:
        sources = [*inputs, *(self.variable(f"{name}_{param}") for param in params)]
        self.nodes.append(
            {
                "op": op,
                "name": name,
                "attrs": {key: str(value) for key, value in attrs.items()},
                "inputs": [[source, 0, 0] for source in sources],
            }
        )
        return len(self.nodes) - 1

    def dumps(self) -> str:
        variables = [i for i, node in enumerate(self.nodes) if node["op"] == "null"]
        return json.dumps(
            {
                "nodes": self.nodes,
                "arg_nodes": variables,
                "node_row_ptr": list(range(len(self.nodes) + 1)),
                "heads": [[head, 0, 0] for head in self.heads],
                "attrs": {"mxnet_version": ["int", 10900]},
            }
        )


@pytest.fixture
def graph() -> GraphBuilder:
    """An empty graph with the variable ``data``."""
    return GraphBuilder()


BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_var")


@pytest.fixture
def small() -> tuple[str, dict[str, np.ndarray]]:
    """A graph with most operators, and parameters for it."""
    graph = GraphBuilder()
    x = graph.add("_minus_scalar", "minus", [graph.data], scalar=127.5)
    x = graph.add(
        "Convolution", "conv", [x], ["weight"], kernel=(3, 3), num_filter=4, pad=(1, 1), stride=(2, 2), no_bias=True
    )
    x = graph.add("BatchNorm", "bn", [x], BATCH_NORM, fix_gamma=False, eps=2e-5)
    x = graph.add("LeakyReLU", "prelu", [x], ["gamma"], act_type="prelu")
    y = graph.add(
        "Convolution",
        "deep",
        [x],
        ["weight", "bias"],
        kernel=(3, 3),
        num_filter=4,
        num_group=4,
        pad=(2, 2),
        dilate=(2, 2),
    )
    x = graph.add("elemwise_add", "plus", [x, y])
    p = graph.add("Pooling", "pool", [x], kernel=(2, 2), stride=(2, 2), pool_type="max", pooling_convention="full")
    u = graph.add("UpSampling", "up", [p], scale=2, sample_type="nearest", num_args=1)
    x = graph.add("Concat", "both", [x, graph.add("Crop", "crop", [u, x], num_args=2)], dim=1)
    r = graph.add("Reshape", "split", [x], shape=(0, 2, -1, 0))
    graph.heads = [graph.add("SoftmaxActivation", "soft", [r], mode="channel")]
    graph.heads.append(graph.add("FullyConnected", "fc", [x], ["weight", "bias"], num_hidden=5))
    random = np.random.default_rng(0)
    shapes = {
        "arg:conv_weight": (4, 3, 3, 3),
        "arg:prelu_gamma": (4,),
        "arg:deep_weight": (4, 1, 3, 3),
        "arg:deep_bias": (4,),
        "arg:fc_weight": (5, 8 * 56 * 56),
        "arg:fc_bias": (5,),
        "arg:bn_gamma": (4,),
        "arg:bn_beta": (4,),
        "aux:bn_moving_mean": (4,),
        "aux:bn_moving_var": (4,),
    }
    return graph.dumps(), {name: random.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks run on one thread: many, on a machine that is busy, wait for each other."""
    from castsearch.faces import arcface, retinaface
    from castsearch.networks import onnxruntime_engine, openvino_engine

    for module in (arcface, retinaface, onnxruntime_engine, openvino_engine):
        monkeypatch.setattr(module, "core_count", lambda: 1)


class FakePack:
    """A pack that a test can predict: a face fills each picture that has red in its corner, as sure as it is red.

    Args:
        weights: what tells one detector from another.
        embedder: what tells one embedder from another; "broken" is one that cannot be opened.
        name: as a user might write it.
        search: how it pretends to search.
        border: it sees a face in pictures of at least so many rows only, as one does that needs something around it.
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
    ) -> None:
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
