"""MXNet graph and parameters -> ONNX.

Every node becomes the ONNX operator of the same meaning. Height, width and batch stay free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from castsearch.networks.errors import CheckpointError
from castsearch.networks.mxnet import Symbol
from castsearch.networks.onnx_graph import INPUT, OnnxGraph
from castsearch.networks.operators import OPERATORS

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 13
IR_VERSION = 8  # what ONNX Runtime 1.17 reads
# Embedders have a fully connected layer, which fixes their input; detectors take any size.
EMBEDDER_SIZE, DETECTOR_SIZE = 112, 640
MAX_ELEMENTS = 1 << 26  # of one layer at the nominal size; the largest of the four graphs has 1 << 23


def to_onnx(symbol: Symbol, params: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> ModelProto:
    """Convert a graph and its parameters.

    Args:
        symbol: the graph.
        params: as ``mxnet.read_params`` gives them.
        metadata: goes into the ONNX file's own metadata.

    Returns:
        A model with input ``data`` (N, 3, H, W) float32 and one output for each head.

    Raises:
        CheckpointError: an operator is not known, or a parameter is missing or of the wrong shape.
    """
    # onnx is needed at conversion only; detection and embedding start without it.
    from onnx import TensorProto, helper

    graph = _convert(symbol, params)
    names = [graph.output(source, index) for source, index in symbol.heads]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "mxnet",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, "H", "W"])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
            [_tensor(name, array) for name, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="castsearch",
    )
    helper.set_model_props(model, dict(metadata))
    return model


def _tensor(name: str, array: np.ndarray) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def _convert(symbol: Symbol, params: Mapping[str, np.ndarray]) -> OnnxGraph:
    unknown = sorted({node.op for node in symbol.nodes} - set(OPERATORS) - {"null"})
    if unknown:
        names = ", ".join(unknown)[:200]
        raise CheckpointError(f"operator {names} is not known; known are {', '.join(sorted(OPERATORS))}")
    embedder = any(node.op == "FullyConnected" for node in symbol.nodes)
    graph = OnnxGraph(symbol, params, EMBEDDER_SIZE if embedder else DETECTOR_SIZE)
    for index, node in enumerate(symbol.nodes):
        if node.op != "null":
            _convert_node(graph, index)
    return graph


def _convert_node(graph: OnnxGraph, index: int) -> None:
    graph.turn_to(index)
    node = graph.node
    try:
        value = OPERATORS[node.op](graph, node)
    except CheckpointError as error:
        where = f"{node.op} {node.name!r}"
        raise error if str(error).startswith(where) else CheckpointError(f"{where}: {error}") from None
    if any(size <= 0 for size in value.shape) or math.prod(value.shape) > MAX_ELEMENTS:
        raise CheckpointError(
            f"{node.op} {node.name!r} gives {value.shape} for a picture of {graph.size} x {graph.size}"
        )
    graph.values[index] = value
