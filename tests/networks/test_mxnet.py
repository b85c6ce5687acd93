"""The checkpoint reader: every version of the format, and whatever a damaged file may hold."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.networks import CheckpointError
from castsearch.networks.mxnet import Node, read_params, read_symbol
from tests.conftest import MODULES


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"])
def test_params_of_every_version_and_type(
    tmp_path: Path, params_bytes: Callable[..., bytes], version: int, kind: str
) -> None:
    arrays = {
        "arg:weight": np.arange(24).reshape(2, 3, 4).astype(kind),
        "aux:mean": np.array([1, 2, 3]).astype(kind),
    }
    path = tmp_path / "m-0000.params"
    path.write_bytes(params_bytes(arrays, version))
    got = read_params(path)
    assert list(got) == list(arrays)
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


def test_scalar_of_numpy_shapes(tmp_path: Path, params_bytes: Callable[..., bytes]) -> None:
    path = tmp_path / "m-0000.params"
    path.write_bytes(params_bytes({"arg:s": np.array(3.5, np.float32)}, 3))
    assert read_params(path)["arg:s"].shape == ()
    assert read_params(path)["arg:s"] == 3.5


def test_array_without_shape_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m-0000.params"
    empty = struct.pack("<IiI", 0xF993FAC9, 0, 0)
    name = struct.pack("<QQ", 1, 5) + b"arg:a"
    path.write_bytes(struct.pack("<QQQ", 0x112, 0, 1) + empty + name)
    assert read_params(path) == {}


def test_real_checkpoint(testdata: Path) -> None:
    params = read_params(testdata / "models/retinaface_mnet25/mnet25-0000.params")
    symbol = read_symbol(testdata / "models/retinaface_mnet25/mnet25-symbol.json")
    variables = {node.name for node in symbol.nodes if node.op == "null"}
    assert {name.partition(":")[2] for name in params} == variables - {"data"}
    assert params["arg:mobilenet0_conv0_weight"].shape == (8, 3, 3, 3)
    assert all(np.isfinite(array).all() for array in params.values())


def _list(*arrays: bytes, names: bytes | None = None) -> bytes:
    if names is None:
        names = struct.pack("<Q", len(arrays)) + b"".join(
            struct.pack("<Q", 1) + bytes([97 + i]) for i in range(len(arrays))
        )
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays) + names


def _array(*shape: int, kind: int = 0, storage: int = 0, size: int = 0) -> bytes:
    return struct.pack(f"<IiI{len(shape)}qiii", 0xF993FAC9, storage, len(shape), *shape, 1, 0, kind) + bytes(size)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "8 bytes are promised, 0 are left"),
        (b"PK\x03\x04" * 9, "does not begin as an MXNet parameter file"),
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), "1152921504606846976 arrays are promised"),
        (_list(_array(1 << 40, 1 << 40)), "bytes are promised"),
        (_list(_array(-1, size=4)), r"an array of shape \(-1,\)"),
        (_list(_array(0, size=4)), r"an array of shape \(0,\)"),
        (_list(_array(1, kind=77, size=4)), "unknown type 77"),
        (_list(_array(1, storage=1, size=4)), "a sparse array"),
        (_list(_array(*[1] * 9, size=4)), "an array of 9 dimensions"),
        (_list(_array(1, size=4), names=struct.pack("<Q", 0)), "0 names"),
        (_list(_array(1, size=4), names=struct.pack("<QQ", 1, 1 << 50)), "1125899906842624 bytes are promised"),
        (_list(_array(1, size=4), names=struct.pack("<QQ", 1, 1) + b"\xff"), "not text"),
        (_list(*[_array(1, size=4)] * 2, names=struct.pack("<Q", 2) + 2 * (struct.pack("<Q", 1) + b"a")), "1 of them"),
    ],
)  # fmt: skip
def test_bad_params(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m-0000.params"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_params(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_params(tmp_path / "absent.params")
    with pytest.raises(CheckpointError, match="No such file"):
        read_symbol(tmp_path / "absent-symbol.json")


def test_old_and_new_graphs_read_alike(tmp_path: Path, small: tuple[str, dict[str, np.ndarray]]) -> None:
    new = json.loads(small[0])
    path = tmp_path / "m-symbol.json"
    read = {}
    for age in ("0.8", "0.9", "1.0"):
        old = json.loads(small[0])
        for node in old["nodes"]:
            attrs = node.pop("attrs", {})
            if age == "0.8":  # operators' parameters apart from users' attributes, references of two
                node |= {"param": attrs, "attr": {"lr_mult": "2"}, "backward_source_id": -1}
                node["inputs"] = [entry[:2] for entry in node["inputs"]]
            else:
                node["attr" if age == "0.9" else "attrs"] = attrs
        if age == "0.8":
            old["heads"] = [head[:2] for head in new["heads"]]
        path.write_text(json.dumps(old))
        symbol = read_symbol(path)
        read[age] = (
            [
                (node.op, node.name, {k: v for k, v in node.attrs.items() if k != "lr_mult"}, node.inputs)
                for node in symbol.nodes
            ],
            symbol.heads,
        )
    assert read["0.8"] == read["0.9"] == read["1.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not an MXNet graph"),
        ("[1]", "not an MXNet graph"),
        ("[" * 100_000, "not an MXNet graph"),
        ('{"nodes": [], "heads": []}', "outputs"),
        ('{"nodes": [{"op": "null", "name": "data", "inputs": []}], "heads": [[1, 0, 0]]}', "not among its 1 nodes"),
        ('{"nodes": [{"op": "null", "name": "data", "inputs": [[0, 0]]}], "heads": [[0, 0]]}', "not come before"),
        ('{"nodes": [{"op": "null", "name": "data", "inputs": [[-1, 0]]}], "heads": [[0, 0]]}', "not an MXNet graph"),
        ('{"nodes": [{"op": "null", "name": "data", "inputs": [[1e9, 0]]}], "heads": [[0, 0]]}', "not an MXNet graph"),
        ('{"nodes": [{"op": 5, "name": "data", "inputs": []}], "heads": [[0, 0]]}', "not an MXNet graph"),
        ('{"nodes": [{"op": "x", "name": "y", "attrs": {"k": 3}, "inputs": []}], "heads": [[0, 0]]}', "not text"),
        ("[1]", r"TypeError: the whole is '\[1\]', no object"),
        ('{"nodes": [7], "heads": [[0, 0]]}', "a node is '7', no object"),
        ('{"nodes": {"op": "x"}, "heads": [[0, 0]]}', "a node is 'op', no object"),
        (
            '{"nodes": [{"op": "x", "name": "y", "attrs": ["k"], "inputs": []}], "heads": [[0, 0]]}',
            "attrs is .*, no object",
        ),
        ('{"nodes": [], "heads": [[0]]}', r"a reference to a node that reads \[0\]"),
        ('{"nodes": [], "heads": {"a": 1}}', "a reference to a node that reads a"),
        (
            '{"nodes": [{"op": "x", "name": "' + "y" * 201 + '", "inputs": []}], "heads": [[0, 0]]}',
            "more than 200 charact",
        ),
        (
            '{"nodes": [{"op": "x", "name": "y", "inputs": [[1, 0]]}, {"op": "x", "name": "z", "inputs": [[0, 0]]}], '
            '"heads": [[1, 0]]}',
            "node 0, 'y', has an input that does not come before it",
        ),
    ],
)
def test_bad_graphs(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "m-symbol.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_symbol(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(3, 3)", (3, 3)),
        ("(3L, 3L)", (3, 3)),
        ("[3,3]", (3, 3)),
        ("(0, 2, -1, 0)", (0, 2, -1, 0)),
        ("7", (7,)),
        ("(7,)", (7,)),
    ],
)
def test_attribute_of_whole_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert Node("Op", "n", {"k": text}, ()).integers("k") == expected


@given(st.text(max_size=60) | st.from_regex(r"\(?[-0-9L, ]{0,300}\)?", fullmatch=True))
@settings(max_examples=500, deadline=1000)
def test_attributes_never_evaluate_nor_hang(text: str) -> None:
    node = Node("Op", "n", {"k": text}, ())
    for read in (node.integers, node.number, lambda key: node.flag(key, True)):
        try:
            read("k")
        except CheckpointError as error:
            assert "attribute k" in str(error)


@pytest.mark.slow
def test_ten_thousand_mutated_checkpoints(
    tmp_path: Path, small: tuple[str, dict[str, np.ndarray]], testdata: Path
) -> None:
    """Truncated, bit-flipped, with hostile lengths: a typed error or a result, under 1 GB."""
    graph, arrays = small
    (tmp_path / "small-symbol.json").write_text(graph)
    np.savez(tmp_path / "small.npz", **arrays)
    real = testdata / "models/retinaface_mnet25"
    command = [sys.executable, str(Path(__file__).with_name("fuzz_checkpoints.py")), str(tmp_path), str(real)]
    environment = {**os.environ, "PYTHONPATH": MODULES, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout)
    assert counts["files"] == 10_000
    # Both ends must be common, or the mutations test nothing.
    assert counts["errors"] > 2_000
    assert counts["results"] > 500
    assert counts["peak_megabytes"] < 1024
