"""What an ONNX file holds, read without running it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from castsearch.errors import one_line
from castsearch.networks.errors import NetworkError
from castsearch.networks.network import Port


class OnnxFacts(NamedTuple):
    """What an ONNX file tells of itself.

    Attributes:
        inputs: what it takes, without its weights.
        outputs: what it gives.
        in_one_file: whether all of its weights are in it.
        dtypes: of inputs and outputs by name, as numpy calls them; "unknown" for what is none of its.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    in_one_file: bool
    dtypes: Mapping[str, str]


def read_facts(path: Path) -> OnnxFacts:
    """Look into an ONNX file.

    Raises:
        NetworkError: it cannot be read, or is none.
    """
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
        weights = {tensor.name for tensor in graph.initializer}
        inputs = tuple(_port(value) for value in graph.input if value.name not in weights)
        outputs = tuple(_port(value) for value in graph.output)
        dtypes = {value.name: _dtype(value) for value in (*graph.output, *graph.input)}
    except Exception as error:  # of protobuf, whose errors have no common type
        raise NetworkError(f"{path}: not a usable network ({one_line(error)}); get it again") from None
    if not inputs or not outputs:
        raise NetworkError(f"{path}: not a usable network (it takes or gives nothing); get it again")
    tensors = [*graph.initializer, *(attribute.t for node in graph.node for attribute in node.attribute)]
    elsewhere = any(onnx.external_data_helper.uses_external_data(tensor) for tensor in tensors)
    return OnnxFacts(inputs, outputs, not elsewhere, dtypes)


def check_in_one_file(path: Path, facts: OnnxFacts) -> None:
    """See that an ONNX file holds all of its weights: those in another file could change, and nobody would know.

    Raises:
        NetworkError: it does not.
    """
    if not facts.in_one_file:
        raise NetworkError(
            f"{path}: has its weights in another file; put both into one, by onnx.save(onnx.load(NAME), NAME) in Python"
        )


def _dtype(value: Any) -> str:
    import onnx

    try:
        return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    except KeyError:
        return "unknown"


def _port(value: Any) -> Port:
    sides = value.type.tensor_type.shape.dim
    return Port(value.name, tuple(side.dim_value or side.dim_param or None for side in sides))
