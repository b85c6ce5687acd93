"""The ONNX operators of the same meaning as MXNet's.

Each function converts the node at hand; a BatchNorm that follows a convolution or a fully connected layer alone is
folded into its weights. Attributes and shapes that are not known are refused, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from castsearch.networks.errors import CheckpointError
from castsearch.networks.mxnet import Node
from castsearch.networks.onnx_graph import OnnxGraph, Value

CHANNEL_BLOCK = 16  # ONNX Runtime's convolutions work on blocks of so many channels (AVX-512; 8 with AVX2)


def _four(data: Value) -> tuple[int, int, int, int]:
    if len(data.shape) != 4:
        raise CheckpointError(f"expected a (N, C, H, W) input, got {data.shape}")
    return data.shape  # type: ignore[return-value]


def _pair(node: Node, key: str, default: tuple[int, int], at_least: int) -> tuple[int, int]:
    pair = node.integers(key, default, length=2)
    if min(pair) < at_least:
        raise CheckpointError(f"attribute {key} is {pair}")
    return pair[0], pair[1]


def _only(node: Node, key: str, *known: str) -> str:
    """An attribute of which only some values are known; the first one is MXNet's default."""
    value = node.attrs.get(key, known[0])
    if value not in known:
        raise CheckpointError(f"attribute {key} is {value[:40]!r}, only {' and '.join(known)} are known")
    return value


def _convolution(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    n, channels, height, width = _four(data)
    _only(node, "layout", "NCHW", "None")
    kernel = _pair(node, "kernel", (0, 0), 1)
    stride, pad, dilate = (
        _pair(node, "stride", (1, 1), 1),
        _pair(node, "pad", (0, 0), 0),
        _pair(node, "dilate", (1, 1), 1),
    )
    filters, groups = node.integer("num_filter"), node.integer("num_group", 1)
    if groups < 1 or filters < 1 or channels % groups or filters % groups:
        raise CheckpointError(f"{channels} channels to {filters} filters in {groups} groups")
    weight = graph.param(1, (filters, channels // groups, *kernel))
    bias = np.zeros(filters, np.float32) if node.flag("no_bias", False) else graph.param(2, (filters,))
    out = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip((height, width), kernel, stride, pad, dilate, strict=True)
    ]
    return graph.linear(
        "Conv",
        weight,
        bias,
        data,
        (n, filters, *out),
        kernel_shape=kernel,
        strides=stride,
        pads=[*pad, *pad],
        dilations=dilate,
        group=groups,
    )


def _fully_connected(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    if not node.flag("flatten", True) and len(data.shape) != 2:
        raise CheckpointError(f"attribute flatten is False, the input is {data.shape}")
    if len(data.shape) != 2:
        data = graph.add("Flatten", [data.name], (data.shape[0], math.prod(data.shape[1:])), "_flat", axis=1)
    hidden = node.integer("num_hidden")
    weight = graph.param(1, (hidden, data.shape[1]))
    bias = np.zeros(hidden, np.float32) if node.flag("no_bias", False) else graph.param(2, (hidden,))
    return graph.linear("Gemm", weight, bias, data, (data.shape[0], hidden), transB=1)


def _batch_norm(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    if len(data.shape) < 2 or node.integer("axis", 1) != 1:
        raise CheckpointError("normalises along another axis than the channels")
    channels = (data.shape[1],)
    gamma, beta = graph.param(1, channels), graph.param(2, channels)
    mean, variance = graph.param(3, channels, "_moving_mean"), graph.param(4, channels, "_moving_var")
    # Folding in double precision keeps the result within float32's own error.
    with np.errstate(all="ignore"):  # what comes of it is checked
        deviation = np.sqrt(variance.astype(np.float64) + node.number("eps", 1e-3))
        scale = (np.ones(channels) if node.flag("fix_gamma", True) else gamma) / deviation
        shift = beta - mean * scale
        if data.name in graph.folds and graph.uses[node.inputs[0][0]] == 1:
            linear = graph.folds[data.name]
            weight, bias = (graph.constants[name] for name in linear)
            folded = [weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias * scale + shift]
            graph.constants |= zip(linear, map(_as_float32, folded), strict=True)
            return data
        scale, shift = _as_float32(scale), _as_float32(shift)
    # Scale and shift alone: a BatchNormalization whose mean is 0 and variance 1.
    names = [graph.constant(scale, "scale"), graph.constant(shift, "shift")]
    names.append(graph.constant(np.zeros(channels, np.float32), "mean"))
    names.append(graph.constant(np.ones(channels, np.float32), "variance"))
    return graph.add("BatchNormalization", [data.name, *names], data.shape, epsilon=0.0)


def _as_float32(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise CheckpointError("a moving variance is not positive, or a parameter is out of all bounds")
    return array


def _activation(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    kinds = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}
    return graph.add(kinds[_only(node, "act_type", *kinds)], [data.name], data.shape)


def _leaky_relu(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    kind = _only(node, "act_type", "leaky", "prelu", "elu")
    if kind == "elu":
        return graph.add("Elu", [data.name], data.shape, alpha=node.number("slope", 0.25))
    if kind == "leaky":
        return graph.add("LeakyRelu", [data.name], data.shape, alpha=node.number("slope", 0.25))
    channels = data.shape[1] if len(data.shape) > 1 else 0
    slope = graph.param(1, (channels,)).reshape(-1, *[1] * (len(data.shape) - 2))
    if len(data.shape) != 4 or channels % CHANNEL_BLOCK:
        return graph.add("PRelu", [data.name, graph.constant(slope, "slope")], data.shape)
    # a x + (1 - a) max(x, 0), in operators that ONNX Runtime has in the blocked layout of its
    # convolutions; for its PRelu, slow itself, it turns that layout back and forth. A tenth of a network's time.
    positive = graph.add("Relu", [data.name], data.shape, "_positive")
    linear = _scale(graph, data, slope, "_linear")
    rest = _scale(graph, positive, 1 - slope, "_rest")
    return graph.add("Add", [linear.name, rest.name], data.shape)


def _scale(graph: OnnxGraph, data: Value, factors: np.ndarray, step: str) -> Value:
    """Multiply each channel by a number of its own, by a convolution of 1 x 1 pixel."""
    weight = graph.constant(factors.reshape(-1, 1, 1, 1), f"weight{step}")
    return graph.add("Conv", [data.name, weight], data.shape, step, kernel_shape=[1, 1], group=len(factors))


def _pooling(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    n, channels, height, width = _four(data)
    kind = {"max": "MaxPool", "avg": "AveragePool"}[_only(node, "pool_type", "max", "avg")]
    if node.flag("global_pool", False):
        return graph.add(f"Global{kind}", [data.name], (n, channels, 1, 1))
    kernel, stride, pad = (
        _pair(node, "kernel", (0, 0), 1),
        _pair(node, "stride", (1, 1), 1),
        _pair(node, "pad", (0, 0), 0),
    )
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise CheckpointError(f"pads by {pad}, as much as its kernel {kernel}")
    full = _only(node, "pooling_convention", "valid", "full") == "full"
    if full and any(s > k for s, k in zip(stride, kernel, strict=True)):
        raise CheckpointError(f"stride {stride} above kernel {kernel} under the 'full' convention is not known")
    spans = [size + 2 * p - k for size, p, k in zip((height, width), pad, kernel, strict=True)]
    out = [(-(-span // s) if full else span // s) + 1 for span, s in zip(spans, stride, strict=True)]
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": stride,
        "pads": [*pad, *pad],
        "ceil_mode": int(full),
    }
    if kind == "AveragePool":
        attributes["count_include_pad"] = int(node.flag("count_include_pad", True))
    return graph.add(kind, [data.name], (n, channels, *out), **attributes)


def _flatten(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    return graph.add("Flatten", [data.name], (data.shape[0], math.prod(data.shape[1:])), axis=1)


def _concat(graph: OnnxGraph, node: Node) -> Value:
    values = [graph.data(position) for position in range(len(node.inputs))]
    axis = node.integer("dim", 1)
    shapes = [value.shape for value in values]
    if not shapes or not 0 <= axis < len(shapes[0]):
        raise CheckpointError(f"joins {shapes} along axis {axis}")
    if any(shape[:axis] + shape[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for shape in shapes):
        raise CheckpointError(f"joins {shapes} along axis {axis}")
    shape = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    return graph.add("Concat", [value.name for value in values], shape, axis=axis)


def _reshape(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    target = node.integers("shape")
    if node.flag("reverse", False) or min(target) < -1 or target.count(-1) > 1:
        raise CheckpointError(f"reshapes to {target} (reverse={node.attrs.get('reverse')}), which is not known")
    if any(size == 0 and axis >= len(data.shape) for axis, size in enumerate(target)):
        raise CheckpointError(f"reshapes {data.shape} to {target}")
    shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    elements, known = math.prod(data.shape), math.prod(size for size in shape if size != -1)
    shape = [elements // known if size == -1 else size for size in shape]
    if math.prod(shape) != elements:
        raise CheckpointError(f"reshapes {data.shape} to {target}")
    return graph.add("Reshape", [data.name, graph.constant(np.array(target, np.int64), "shape")], tuple(shape))


def _softmax_activation(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    if len(data.shape) < 2:
        raise CheckpointError(f"the input is {data.shape}")
    # "instance" is along the last axis, whatever MXNet's documentation says.
    axis = 1 if _only(node, "mode", "instance", "channel") == "channel" else -1
    return graph.add("Softmax", [data.name], data.shape, axis=axis)


def _up_sampling(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    n, channels, height, width = _four(data)
    _only(node, "sample_type", "nearest")
    scale = node.integer("scale")
    if node.integer("num_args", 1) != 1 or not 1 <= scale <= 64:
        raise CheckpointError(f"enlarges {node.attrs.get('num_args', '1')} inputs by {scale}")
    scales = graph.constant(np.array([1, 1, scale, scale], np.float32), "scales")
    return graph.add(
        "Resize",
        [data.name, "", scales],
        (n, channels, height * scale, width * scale),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _crop(graph: OnnxGraph, node: Node) -> Value:
    data = graph.data()
    n, channels, height, width = _four(data)
    _only(node, "center_crop", "False", "0", "false")
    offset = np.array(_pair(node, "offset", (0, 0), 0), np.int64)
    if node.integer("num_args", len(node.inputs)) == 2:
        like = graph.data(1)
        size = _four(like)[2:]
        shape = graph.add("Shape", [like.name], (4,), "_shape")
        ends = graph.add(
            "Slice",
            [shape.name, *(graph.constant(np.array([n], np.int64), f"at{n}") for n in (2, 4))],
            (2,),
            "_size",
        )
        ends = graph.add("Add", [ends.name, graph.constant(offset, "offset")], (2,), "_ends")
        end = ends.name
    else:
        size = _pair(node, "h_w", (0, 0), 1)
        end = graph.constant(offset + size, "ends")
    if offset[0] + size[0] > height or offset[1] + size[1] > width:
        raise CheckpointError(f"cuts {size} at {tuple(offset.tolist())} out of {data.shape}")
    starts, axes = graph.constant(offset, "starts"), graph.constant(np.array([2, 3], np.int64), "axes")
    return graph.add("Slice", [data.name, starts, end, axes], (n, channels, *size))


def _add(graph: OnnxGraph, node: Node) -> Value:
    a, b = graph.data(0), graph.data(1)
    if a.shape != b.shape:
        raise CheckpointError(f"adds {a.shape} and {b.shape}")
    return graph.add("Add", [a.name, b.name], a.shape)


def _scalar(op: str) -> Callable[[OnnxGraph, Node], Value]:
    def convert(graph: OnnxGraph, node: Node) -> Value:
        data, scalar = graph.data(), node.number("scalar")
        if op == "Div" and scalar == 0:
            raise CheckpointError("divides by zero")
        return graph.add(op, [data.name, graph.constant(np.array(scalar, np.float32), "scalar")], data.shape)

    return convert


def _same(graph: OnnxGraph, node: Node) -> Value:
    return graph.data()


_SCALARS = {"plus": "Add", "minus": "Sub", "mul": "Mul", "div": "Div"}
OPERATORS: dict[str, Callable[[OnnxGraph, Node], Value]] = {
    "Convolution": _convolution,
    "FullyConnected": _fully_connected,
    "BatchNorm": _batch_norm,
    "Activation": _activation,
    "LeakyReLU": _leaky_relu,
    "Pooling": _pooling,
    "Flatten": _flatten,
    "Concat": _concat,
    "Reshape": _reshape,
    "SoftmaxActivation": _softmax_activation,
    "UpSampling": _up_sampling,
    "Crop": _crop,
    "elemwise_add": _add,
    "_Plus": _add,
    "Dropout": _same,
    "_copy": _same,
    **{f"_{name}_scalar": _scalar(op) for name, op in _SCALARS.items()},
    # Their names up to MXNet 0.9.
    **{f"_{name.title()}Scalar": _scalar(op) for name, op in _SCALARS.items()},
}
