"""Building an ONNX graph out of the nodes of an MXNet graph.

Along with it, each value's shape is worked out for a nominal input, which is how a parameter of the wrong shape is
found here, by name, and not by the runtime.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from castsearch.networks.errors import CheckpointError
from castsearch.networks.mxnet import Symbol

if TYPE_CHECKING:
    from onnx import NodeProto

INPUT = "data"


class Value:
    """What a node gives: its name in the ONNX graph and its shape for the nominal input."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape


class OnnxGraph:
    """An ONNX graph in the making; operators see the MXNet node at hand through ``data`` and ``param``.

    Args:
        symbol: the MXNet graph.
        params: as ``mxnet.read_params`` gives them.
        size: side of the nominal input, in pixels.

    Attributes:
        nodes: made so far.
        constants: their weights, by name.
        values: what converted MXNet nodes give, by their index.
        uses: how often a node's output is used, by its index.
        folds: output of a linear layer -> the names of its weight and bias, which a BatchNorm may change.
    """

    def __init__(self, symbol: Symbol, params: Mapping[str, np.ndarray], size: int) -> None:
        self.symbol, self.size = symbol, size
        self.params = {key.partition(":")[2] if ":" in key else key: array for key, array in params.items()}
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.values: dict[int, Value] = {}
        self.folds: dict[str, tuple[str, str]] = {}
        self.uses = Counter(source for node in symbol.nodes for source, _ in node.inputs)
        self.uses.update(source for source, _ in symbol.heads)

    def turn_to(self, index: int) -> None:
        """Make an MXNet node the one at hand."""
        self.index, self.node = index, self.symbol.nodes[index]

    def data(self, position: int = 0) -> Value:
        """The value at an input of the node at hand."""
        if position >= len(self.node.inputs):
            raise CheckpointError(f"has {len(self.node.inputs)} inputs, expected more")
        source, output = self.node.inputs[position]
        return self.value(source, output)

    def value(self, source: int, output: int) -> Value:
        """The value at an output of an MXNet node that is converted, or the graph's input."""
        node = self.symbol.nodes[source]
        if output != 0:
            raise CheckpointError(f"asks for output {output} of {node.name!r}; only the first one is known")
        if node.op != "null":
            return self.values[source]
        if node.name in self.params:
            raise CheckpointError(f"takes the parameter {node.name!r} as its input")
        if node.name != INPUT:
            raise CheckpointError(f"parameter {node.name!r} is not in the parameter file")
        return Value(INPUT, (1, 3, self.size, self.size))

    def param(self, position: int, shape: tuple[int, ...], suffix: str = "") -> np.ndarray:
        """The parameter at an input of the node at hand, as float32, checked.

        ``suffix`` names it where the graph, written before 0.9, leaves moving averages out.
        """
        if position < len(self.node.inputs):
            name = self.symbol.nodes[self.node.inputs[position][0]].name
        elif suffix:
            name = self.node.name + suffix
        else:
            raise CheckpointError(f"has {len(self.node.inputs)} inputs, expected more")
        if name not in self.params:
            raise CheckpointError(f"parameter {name!r} is not in the parameter file")
        array = self.params[name]
        if array.shape != shape:
            raise CheckpointError(f"parameter {name!r} must be {shape}, got {array.shape}")
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise CheckpointError(f"parameter {name!r} holds values that are not finite")
        return array

    def constant(self, array: np.ndarray, what: str) -> str:
        """Keep an array; its name."""
        name = f"{self.index}_{what}"
        self.constants[name] = array
        return name

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], step: str = "", **attributes: Any) -> Value:
        """Add an ONNX node of one output; ``step`` tells apart those that one MXNet node becomes."""
        from onnx import helper

        # The index keeps names apart: R50 has nodes that share one.
        name = f"{self.index}_{self.node.name}{step}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return Value(name, shape)

    def linear(
        self, op: str, weight: np.ndarray, bias: np.ndarray, data: Value, shape: tuple[int, ...], **attributes: Any
    ) -> Value:
        """A layer that a BatchNorm behind it can be folded into."""
        names = self.constant(weight, "weight"), self.constant(bias, "bias")
        value = self.add(op, [data.name, *names], shape, **attributes)
        self.folds[value.name] = names
        return value

    def output(self, source: int, index: int) -> str:
        """The graph's output that a head stands for, under MXNet's name for it."""
        from onnx import helper

        node = self.symbol.nodes[source]
        name = f"{node.name}_output"
        taken = {output for made in self.nodes for output in made.output}
        if name in taken:
            name = f"{source}_{name}"
            if name in taken:
                raise CheckpointError(f"the graph gives {node.name!r} twice")
        self.nodes.append(helper.make_node("Identity", [self.value(source, index).name], [name], name=name))
        return name
