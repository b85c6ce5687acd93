"""Fixtures for tests of networks: real checkpoints, copied, and a small synthetic one; one thread."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


@pytest.fixture
def checkpoint(
    tmp_path: Path, small: tuple[str, dict[str, np.ndarray]], params_bytes: Callable[..., bytes]
) -> tuple[Path, Path]:
    """The small checkpoint as files: graph and parameters."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    symbol, params = folder / "m-symbol.json", folder / "m-0000.params"
    symbol.write_text(small[0])
    params.write_bytes(params_bytes(small[1]))
    return symbol, params


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks run on one thread: many, on a machine that is busy, wait for each other."""
    from castsearch.faces import arcface, retinaface
    from castsearch.networks import onnxruntime_engine, openvino_engine

    for module in (arcface, retinaface, onnxruntime_engine, openvino_engine):
        monkeypatch.setattr(module, "core_count", lambda: 1)
