"""Conversion to ONNX: operators and whole networks against MXNet 1.9.1, errors, folding."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from castsearch.networks import CheckpointError
from castsearch.networks.convert import to_onnx
from castsearch.networks.mxnet import read_params, read_symbol

ROOT = Path(__file__).resolve().parents[2]
Oracle = Callable[..., None]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """Runs benchmarks/mxnet_oracle.py in MXNet's own environment."""
    python = Path(os.environ.get("CASTSEARCH_MXNET_PYTHON", ROOT / ".venv-mxnet/bin/python"))
    if not python.exists():
        pytest.skip(f"no MXNet at {python}: see requirements-mxnet.txt, or set CASTSEARCH_MXNET_PYTHON")

    def run(*args: object) -> None:
        command = [str(python), str(ROOT / "benchmarks/mxnet_oracle.py"), *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "MXNET_SUBGRAPH_BACKEND": "NONE"}
        )
        assert done.returncode == 0, done.stderr[-2000:]

    return run


def run_ours(symbol: Path, params: Path, data: np.ndarray) -> list[np.ndarray]:
    model = to_onnx(read_symbol(symbol), read_params(params), {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"data": data})


def compare(oracle: Oracle, folder: Path, symbol: Path, inputs: Mapping[str, np.ndarray]) -> None:
    """Outputs for random weights agree to 1e-4 of the output's largest value."""
    params = folder / "random-0000.params"
    first = next(iter(inputs.values()))
    oracle("init", symbol, params, "--shape", ",".join(map(str, first.shape)))
    np.savez(folder / "inputs.npz", **inputs)
    oracle("run", symbol, params, folder / "inputs.npz", folder / "outputs.npz")
    expected = np.load(folder / "outputs.npz")
    for name, data in inputs.items():
        got = run_ours(symbol, params, data)
        assert sum(key.startswith(f"{name}/") for key in expected.files) == len(got)
        for i, output in enumerate(got):
            want = expected[f"{name}/{i}"]
            assert output.shape == want.shape
            assert want.std() > 1e-6  # a dead network agrees with anything
            np.testing.assert_allclose(output, want, rtol=0, atol=1e-4 * np.abs(want).max(), err_msg=f"output {i}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph_file", "shapes"),
    [
        ("graphs/R50-symbol.json", [(1, 3, 640, 640), (1, 3, 1167, 500)]),
        ("graphs/LResNet100E-IR-symbol.json", [(1, 3, 112, 112), (7, 3, 112, 112)]),
        ("retinaface_mnet25/mnet25-symbol.json", [(1, 3, 640, 640), (2, 3, 333, 501)]),
        ("mobilefacenet_y1/model-symbol.json", [(1, 3, 112, 112), (7, 3, 112, 112)]),
    ],
)
def test_network_agrees_with_mxnet(
    oracle: Oracle, testdata: Path, tmp_path: Path, graph_file: str, shapes: Sequence[tuple[int, ...]]
) -> None:
    random = np.random.default_rng(1)
    inputs = {f"input{i}": random.uniform(0, 255, shape).astype(np.float32) for i, shape in enumerate(shapes)}
    compare(oracle, tmp_path, testdata / "models" / graph_file, inputs)


def test_operators_agree_with_mxnet(oracle: Oracle, tmp_path: Path, graph: Any) -> None:
    """Each operator in each of its forms, those that the four networks do not use included."""
    data = graph.data
    pixels = graph.add("_div_scalar", "div", [graph.add("_plus_scalar", "plus", [data], scalar=3.5)], scalar=50)
    bn = ("gamma", "beta", "moving_mean", "moving_var")
    conv = graph.add(
        "Convolution", "conv", [pixels], ["weight", "bias"], kernel=(3, 2), num_filter=6, pad=(2, 0), stride=(1, 2)
    )
    heads = [conv]
    heads.append(
        graph.add("Convolution", "groups", [conv], ["weight", "bias"], kernel=(3, 3), num_filter=12, num_group=3)
    )
    heads.append(
        graph.add(
            "Convolution", "dilated", [conv], ["weight"], kernel=(3, 3), num_filter=4, dilate=(2, 3), no_bias=True
        )
    )
    heads.append(graph.add("BatchNorm", "bn_shared", [conv], bn, fix_gamma=False))  # conv is an output: must not fold
    alone = graph.add("Convolution", "conv2", [conv], ["weight"], kernel=(1, 1), num_filter=5, no_bias=True)
    heads.append(graph.add("BatchNorm", "bn_folded", [alone], bn, eps=1e-2))  # fix_gamma by default
    for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign"):
        heads.append(graph.add("Activation", kind, [conv], act_type=kind))
    heads.append(graph.add("LeakyReLU", "leaky", [conv]))
    heads.append(graph.add("LeakyReLU", "elu", [conv], act_type="elu", slope=0.7))
    heads.append(graph.add("LeakyReLU", "prelu", [conv], ["gamma"], act_type="prelu"))
    for convention in ("valid", "full"):
        for pool in ("max", "avg"):
            for kernel, stride, pad in ((3, 2, 0), (3, 2, 1), (2, 2, 0), (5, 3, 2)):
                attrs = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (pad, pad)}
                name = f"{pool}_{convention}_{kernel}{stride}{pad}"
                heads.append(graph.add("Pooling", name, [conv], pool_type=pool, pooling_convention=convention, **attrs))
    heads.append(
        graph.add("Pooling", "bare", [conv], kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False)
    )
    for pool in ("max", "avg"):
        heads.append(graph.add("Pooling", f"global_{pool}", [conv], kernel=(1, 1), global_pool=True, pool_type=pool))
    small = graph.add("Pooling", "small", [conv], kernel=(4, 4), stride=(4, 4), pool_type="max")
    up = graph.add("UpSampling", "up", [small], scale=3, sample_type="nearest", num_args=1)
    heads.append(up)
    heads.append(graph.add("Crop", "crop_like", [up, small], num_args=2, offset=(3, 2)))
    heads.append(graph.add("Crop", "crop_to", [up], num_args=1, h_w=(5, 6), offset=(1, 0)))
    heads.append(graph.add("Concat", "joined", [conv, conv, heads[-3]][:2], dim=2, num_args=2))
    heads.append(graph.add("Reshape", "reshaped", [conv], shape=(0, 2, -1, 0)))
    heads.append(graph.add("SoftmaxActivation", "channel", [conv], mode="channel"))
    heads.append(graph.add("SoftmaxActivation", "instance", [small]))
    heads.append(graph.add("Flatten", "flat", [small]))
    heads.append(graph.add("_copy", "copied", [graph.add("Dropout", "dropped", [small], p=0.4)]))
    heads.append(graph.add("elemwise_add", "sum", [conv, conv]))
    fc = graph.add("FullyConnected", "fc", [small], ["weight"], num_hidden=7, no_bias=True)
    bn_fc = graph.add("BatchNorm", "bn_fc", [fc], bn, fix_gamma=False)
    heads.append(graph.add("LeakyReLU", "prelu_fc", [bn_fc], ["gamma"], act_type="prelu"))
    heads.append(graph.add("SoftmaxActivation", "soft_fc", [bn_fc]))
    heads.append(
        graph.add("_mul_scalar", "mul", [graph.add("_minus_scalar", "minus", [bn_fc], scalar="1e-1")], scalar=2)
    )
    graph.heads = heads
    symbol = tmp_path / "ops-symbol.json"
    symbol.write_text(graph.dumps())
    data_in = np.random.default_rng(2).uniform(0, 255, (2, 3, 112, 112)).astype(np.float32)
    compare(oracle, tmp_path, symbol, {"input": data_in})


def write(folder: Path, graph: str, params: bytes) -> tuple[Path, Path]:
    paths = folder / "m-symbol.json", folder / "m-0000.params"
    paths[0].write_text(graph)
    paths[1].write_bytes(params)
    return paths


Small = tuple[str, dict[str, np.ndarray]]
Build = Callable[..., bytes]


def test_any_batch_and_size(tmp_path: Path, testdata: Path) -> None:
    folder = testdata / "models/retinaface_mnet25"
    model = to_onnx(read_symbol(folder / "mnet25-symbol.json"), read_params(folder / "mnet25-0000.params"), {"k": "v"})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"k": "v"}
    data = np.random.default_rng(0).uniform(0, 255, (2, 3, 97, 65)).astype(np.float32)
    both = session.run(None, {"data": data})
    assert [output.shape[2:] for output in both[::3]] == [(4, 3), (7, 5), (13, 9)]
    for i in range(2):
        for batched, single in zip(both, session.run(None, {"data": data[i : i + 1]}), strict=True):
            np.testing.assert_allclose(batched[i], single[0], rtol=1e-4, atol=1e-4)


def test_batch_norm_is_folded(testdata: Path) -> None:
    folder = testdata / "models/mobilefacenet_y1"
    symbol = read_symbol(folder / "model-symbol.json")
    model = to_onnx(symbol, read_params(folder / "model-0000.params"), {})
    kinds = [node.op_type for node in model.graph.node]
    assert sum(node.op == "BatchNorm" for node in symbol.nodes) == 50
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv") == 49 + 2 * 33  # a PReLU takes two more


def test_repeated_names_and_old_batch_norm(tmp_path: Path, small: Small, params_bytes: Build) -> None:
    """Two nodes of one name, as in R50; moving averages left out of the graph, as before 0.9."""
    graph = json.loads(small[0])
    data = np.random.default_rng(3).uniform(0, 255, (1, 3, 112, 112)).astype(np.float32)
    paths = write(tmp_path, small[0], params_bytes(small[1]))
    expected = run_ours(*paths, data)
    for node in graph["nodes"]:
        if node["op"] == "BatchNorm":
            node["inputs"] = node["inputs"][:3]
        if node["name"] in ("plus", "deep", "pool", "both"):
            node["name"] = "_plus0"
    old = write(tmp_path, json.dumps(graph), params_bytes(small[1], 0))
    for got, want in zip(run_ours(*old, data), expected, strict=True):
        np.testing.assert_array_equal(got, want)


def change(graph: str, name: str, **attrs: str) -> str:
    content = json.loads(graph)
    node = next(node for node in content["nodes"] if node["name"] == name)
    node["op"] = attrs.pop("op", node["op"])
    node["attrs"] |= attrs
    return json.dumps(content)


@pytest.mark.parametrize(
    ("node", "attrs", "message"),
    [
        ("soft", {"op": "SoftmaxOutput"}, "operator SoftmaxOutput is not known; known are Activation, BatchNorm"),
        ("conv", {"num_filter": "8"}, r"'conv': parameter 'conv_weight' must be \(8, 3, 3, 3\), got \(4, 3, 3, 3\)"),
        ("conv", {"kernel": "(3,)"}, "attribute kernel"),
        ("conv", {"kernel": "__import__('os')"}, "attribute kernel"),
        ("conv", {"stride": "(0, 0)"}, "attribute stride"),
        ("conv", {"pad": "(-1, 0)"}, "attribute pad"),
        ("conv", {"pad": "(99999999, 99999999)"}, "gives .* for a picture of 112 x 112"),
        ("conv", {"layout": "NHWC"}, "only NCHW"),
        ("deep", {"num_group": "3"}, "in 3 groups"),
        ("deep", {"dilate": "(500, 500)"}, "gives"),
        ("bn", {"axis": "3"}, "along another axis"),
        ("bn", {"eps": "nan"}, "attribute eps"),
        ("bn", {"eps": "-3"}, "not positive"),
        ("prelu", {"act_type": "rrelu"}, "only leaky and prelu and elu are known"),
        ("pool", {"pool_type": "lp"}, "only max and avg"),
        ("pool", {"pad": "(2, 2)"}, "as much as its kernel"),
        ("pool", {"stride": "(3, 3)"}, "above kernel"),
        ("up", {"sample_type": "bilinear"}, "only nearest"),
        ("up", {"scale": "100"}, "enlarges"),
        ("crop", {"offset": "(1, 1)"}, "cuts"),
        ("crop", {"center_crop": "True"}, "only False"),
        ("both", {"dim": "4"}, "along axis 4"),
        ("split", {"shape": "(0, -3, -1)"}, "which is not known"),
        ("split", {"shape": "(0, 3, -1, 0)"}, "reshapes"),
        ("split", {"shape": "(0, 2, -1, 0, 0)"}, "reshapes"),
        ("soft", {"mode": "spatial"}, "only instance and channel"),
        ("fc", {"num_hidden": "6"}, "parameter 'fc_weight' must be"),
        ("fc", {"flatten": "False"}, "flatten is False"),
        ("minus", {"scalar": "inf"}, "attribute scalar"),
        ("minus", {"op": "_div_scalar", "scalar": "0"}, "divides by zero"),
    ],
)  # fmt: skip
def test_bad_graph(
    tmp_path: Path, small: Small, params_bytes: Build, node: str, attrs: dict[str, str], message: str
) -> None:
    symbol, params = write(tmp_path, change(small[0], node, **attrs), params_bytes(small[1]))
    with pytest.raises(CheckpointError, match=message) as caught:
        to_onnx(read_symbol(symbol), read_params(params), {})
    assert "\n" not in str(caught.value)


def test_missing_and_misused_parameters(tmp_path: Path, small: Small, params_bytes: Build) -> None:
    arrays = dict(small[1])
    del arrays["aux:bn_moving_var"]
    symbol, params = write(tmp_path, small[0], params_bytes(arrays))
    with pytest.raises(
        CheckpointError, match=r"BatchNorm 'bn': parameter 'bn_moving_var' is not in the parameter file"
    ):
        to_onnx(read_symbol(symbol), read_params(params), {})

    for value, message in ((np.nan, "'prelu_gamma' holds values that are not finite"), (3e38, "out of all bounds")):
        arrays = small[1] | {"arg:prelu_gamma" if np.isnan(value) else "arg:conv_weight": np.float32(value)}
        arrays = {name: np.broadcast_to(array, small[1][name].shape).copy() for name, array in arrays.items()}
        arrays["aux:bn_moving_var"] = np.full(4, 1e-4, np.float32)
        symbol, params = write(tmp_path, small[0], params_bytes(arrays))
        with pytest.raises(CheckpointError, match=message):
            to_onnx(read_symbol(symbol), read_params(params), {})

    graph = json.loads(small[0])
    graph["nodes"][1]["inputs"] = []
    symbol, params = write(tmp_path, json.dumps(graph), params_bytes(small[1]))
    with pytest.raises(CheckpointError, match="has 0 inputs"):
        to_onnx(read_symbol(symbol), read_params(params), {})
