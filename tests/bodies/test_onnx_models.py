"""Body models in ONNX files: what is read from the graph, what is given, what is no body model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from castsearch import stagefiles
from castsearch.bodies import graphs
from castsearch.bodies.body_model import MEAN, STD, BodyModelError, Pictures
from castsearch.bodies.onnx_models import Habits, open_onnx
from castsearch.errors import CastSearchError
from castsearch.images import ImageReader
from castsearch.networks import NetworkError, PrecisionError, find_place
from castsearch.networks.places import has_bfloat16

CPU = find_place(-1)
NEEDS_BFLOAT16 = pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
CROPS = np.random.default_rng(0).integers(0, 255, (3, 8, 6, 3), dtype=np.uint8)


def corner(
    path: Path,
    shape: tuple = ("n", 3, "h", "w"),
    kind: int = TensorProto.FLOAT,
    *,
    flat: bool = True,
    outputs: tuple[str, ...] = ("feature",),
    inputs: tuple[str, ...] = ("x",),
) -> Path:
    """A network whose feature is the upper left pixel as it is given."""
    last = shape[-1] == 3
    nodes = [helper.make_node("Cast", [inputs[0]], ["number"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("Transpose", ["number"], ["first"], perm=[0, 3, 1, 2] if last else [0, 1, 2, 3]))
    nodes.append(helper.make_node("Slice", ["first", "starts", "ends", "axes"], ["pixel"]))
    nodes += [helper.make_node("Flatten" if flat else "Identity", ["pixel"], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "corner",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.array(v), n) for n, v in (("starts", [0, 0]), ("ends", [1, 1]), ("axes", [2, 3]))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def normalised(pixels: np.ndarray, mean: tuple = MEAN, std: tuple = STD) -> np.ndarray:
    return (pixels / 255 - mean) / std


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (("n", 3, "h", "w"), (8, 6)),
        ((None, None, None, None), (8, 6)),
        ((1, 3, 8, 6), (None, None)),
        ((4, 3, 8, 6), (8, 6)),
        (("n", "h", "w", 3), (8, 6)),
        ((5, 8, 6, 3), (None, None)),
        ((-1, 3, -1, -1), (8, 6)),
    ],
    ids=str,
)
def test_layout_batch_and_size_are_the_graphs(tmp_path: Path, shape: tuple, size: tuple, flat: bool) -> None:
    path = corner(tmp_path / "a.onnx", shape, flat=flat)
    model = open_onnx(path, CPU, None, *size)
    assert (model.height, model.width) == (8, 6)
    expected = (normalised(CROPS[:, 0, 0]) + normalised(CROPS[:, 0, -1])) / 2
    np.testing.assert_allclose(model.extract(CROPS), expected, atol=1e-5)
    plain = open_onnx(path, CPU, Habits(mirror=False), *size)
    np.testing.assert_allclose(plain.extract(CROPS), normalised(CROPS[:, 0, 0]), atol=1e-5)


def test_a_free_size_is_the_usual_one(tmp_path: Path) -> None:
    model = open_onnx(corner(tmp_path / "a.onnx"), CPU)
    assert (model.height, model.width) == (256, 128)


@pytest.mark.parametrize(
    ("kind", "habits", "expected"),
    [
        (TensorProto.UINT8, Habits(mirror=False), CROPS[:, 0, 0]),
        (TensorProto.FLOAT, Habits((0, 0, 0), (1 / 255,) * 3, mirror=False), CROPS[:, 0, 0]),
        (TensorProto.FLOAT, Habits((0.5,) * 3, (0.5,) * 3, mirror=False), CROPS[:, 0, 0] / 127.5 - 1),
        (TensorProto.FLOAT16, Habits(mirror=False), normalised(CROPS[:, 0, 0])),
    ],
    ids=["bytes", "0 to 255", "-1 to 1", "half"],
)
def test_what_numbers_it_takes(tmp_path: Path, kind: int, habits: Habits, expected: np.ndarray) -> None:
    path = corner(tmp_path / "a.onnx", ("n", 3, 8, 6), kind)
    tolerance = 2e-3 if kind == TensorProto.FLOAT16 else 1e-4
    np.testing.assert_allclose(open_onnx(path, CPU, habits).extract(CROPS), expected, atol=tolerance)


def test_what_features_depend_on(tmp_path: Path) -> None:
    path = corner(tmp_path / "a.onnx", ("n", 3, 8, 6), outputs=("a", "b"))
    model = open_onnx(path, CPU, Habits(output="b"))
    assert model.depends == {
        "network": "onnx",
        "sha256": stagefiles.file_sha256(path),
        "size": [8, 6],
        "mean": MEAN,
        "std": STD,
        "mirror": True,
        "output": "b",
        "engine": "onnxruntime",
    }
    assert model.weights == path and model.agreement is None


@NEEDS_BFLOAT16
def test_bfloat16_is_told(tmp_path: Path) -> None:
    model = open_onnx(corner(tmp_path / "a.onnx", (2, 3, 8, 6)), find_place(-1, "bfloat16"), Habits(mirror=False))
    assert model.depends["engine"] == "openvino" and model.depends["precision"] == "bfloat16"
    assert model.ran is not None and model.ran.precision == "bfloat16"
    np.testing.assert_allclose(model.extract(CROPS), normalised(CROPS[:, 0, 0]), atol=2e-2)


def two_sizes(path: Path) -> None:
    corner(path, ("n", 3, 8, 6))


WRONG = [
    ("text", lambda path: path.write_text("no network"), {}, "a.onnx: not a usable network "),
    ("absent", lambda path: None, {}, "a.onnx: no such file"),
    ("a folder", lambda path: path.mkdir(), {}, "a.onnx: "),
    ("two inputs", lambda path: corner(path, inputs=("x", "y")), {}, "no body model: it takes 2 inputs (x, y)"),
    ("grey", lambda path: corner(path, ("n", 1, 8, 6)), {}, "input x is (n, 1, 8, 6), where one of three sides is 3"),
    ("a row", lambda path: corner(path, ("n", 3)), {}, "input x has 2 dimensions, where pictures have 4"),
    ("whole numbers", lambda path: corner(path, kind=TensorProto.INT64), {}, "it takes int64; float32, "),
    ("a batch too large", lambda path: corner(path, (9999, 3, 8, 6)), {}, "it takes 9999 pictures at once"),
    ("a size too large", lambda path: corner(path, (1, 3, 9999, 6)), {}, "a.onnx: height is 9999; at most 2048"),
    ("another height", two_sizes, {"height": 16}, "a.onnx: takes pictures of height 8, not 16; leave height out"),
    ("another width", two_sizes, {"width": 7}, "a.onnx: takes pictures of width 6, not 7; leave width out"),
    ("two outputs", lambda path: corner(path, outputs=("a", "b")), {}, "gives a, b; name the output that is the"),
    ("no such output", two_sizes, {"habits": Habits(output="b")}, "gives no 'b'; choose of feature"),
    (
        "bytes of a mean",
        lambda path: corner(path, kind=TensorProto.UINT8),
        {"habits": Habits(mean=(0, 0, 0))},
        "takes pictures as bytes, without mean and std; leave them out",
    ),
]


@pytest.mark.parametrize(("make", "given", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_no_body_model_is_one_line(tmp_path: Path, make, given: dict, message: str) -> None:
    path = tmp_path / "a.onnx"
    make(path)
    with pytest.raises(CastSearchError) as error:
        open_onnx(path, CPU, **given)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_maps_are_no_features(tmp_path: Path) -> None:
    """A detector's one output, rows of another number, and whole numbers."""
    for node, shape in (("Identity", "(2, 3, 8, 6)"), ("Size", "()")):
        graph = helper.make_graph(
            [helper.make_node(node, ["x"], ["y"])],
            "maps",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 6))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT if node == "Identity" else TensorProto.INT64, None)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, tmp_path / "a.onnx")
        with pytest.raises(BodyModelError) as error:
            open_onnx(tmp_path / "a.onnx", CPU)
        assert f"no body model: output y is {shape} " in str(error.value)


def cast_to(path: Path, kind: int) -> Path:
    """A network whose feature, of a type, is the upper left pixel."""
    model = onnx.load(corner(path, ("n", 3, 8, 6), outputs=("pixel_of_32_bits",)))
    model.graph.node.append(helper.make_node("Cast", ["pixel_of_32_bits"], ["y"], to=kind))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", kind, None))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=NEEDS_BFLOAT16)])
def test_a_feature_of_bfloat16_is_refused(tmp_path: Path, precision: str) -> None:
    place = find_place(-1, precision)
    half = open_onnx(cast_to(tmp_path / "half.onnx", TensorProto.FLOAT16), place, Habits(mirror=False))
    np.testing.assert_allclose(half.extract(CROPS), normalised(CROPS[:, 0, 0]), atol=2e-2)
    with pytest.raises(BodyModelError, match=r"a\.onnx: no body model: output y is bfloat16, where float32 or float16"):
        open_onnx(cast_to(tmp_path / "a.onnx", TensorProto.BFLOAT16), place)


def test_means_and_deviations_out_of_proportion_are_not_warned_of(tmp_path: Path) -> None:
    path = corner(tmp_path / "a.onnx", ("n", 3, 8, 6), TensorProto.FLOAT16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = open_onnx(path, CPU, Habits(std=(1e-300, 1e-6, 1))).extract(CROPS)
    assert not np.isfinite(rows).all(), "which extraction tells, with the picture's name"


def test_int8_of_other_habits_is_another(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = [str(file.relative_to(small / "body")) for file in (small / "body/val").rglob("candidates/*.jpg")]
    # A convolution, which can be quantized: three times as many sums of colours, pooled in two ways.
    model = onnx.load(corner(tmp_path / "a.onnx", ("n", 3, 8, 6), outputs=("a", "b")))
    weights = np.random.default_rng(0).normal(size=(9, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    del model.graph.node[1:]
    model.graph.node.append(helper.make_node("Conv", ["number", "weights"], ["maps"]))
    for pool, name in (("ReduceMean", "a"), ("ReduceMax", "b")):
        model.graph.node.append(helper.make_node(pool, ["maps"], [name], axes=[2, 3], keepdims=0))
    path = tmp_path / "a.onnx"
    onnx.save(model, path)

    def digest(habits: Habits) -> str:
        pictures = Pictures(ImageReader(small / "body"), files)
        return str(open_onnx(path, find_place(-1, "int8"), habits, pictures=pictures).depends["int8"])

    habits = [Habits(output="a"), Habits(output="b"), Habits(output="a", mirror=False), Habits((0, 0, 0), output="a")]
    assert len({digest(some) for some in habits}) == 4
    assert digest(habits[0]) == digest(Habits(output="a"))


@pytest.mark.parametrize(("batch", "mirror", "runs"), [(8, True, 6), (8, False, 3), ("n", True, 24), (1, True, 48)])
def test_calibration_fills_a_fixed_batch(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, batch: int | str, mirror: bool, runs: int
) -> None:
    """36 pictures, of which 24 calibrate: none is shown twice."""
    files = [str(file.relative_to(small / "body")) for file in (small / "body/val").rglob("candidates/*.jpg")]
    shown: list[np.ndarray] = []

    def quantized(path: Path, model: object, feeds: Callable, *more: object) -> None:
        shown.extend(feed["x"] for feed in feeds())
        raise PrecisionError("enough")

    monkeypatch.setattr(graphs, "quantized", quantized)
    path = corner(tmp_path / "a.onnx", (batch, 3, 8, 6))
    with pytest.raises(PrecisionError, match="enough"):
        open_onnx(
            path, find_place(-1, "int8"), Habits(mirror=mirror), pictures=Pictures(ImageReader(small / "body"), files)
        )
    assert len(shown) == runs
    assert len(np.unique(np.concatenate(shown), axis=0)) == sum(map(len, shown)) == 24 * (2 if mirror else 1)


def test_a_face_detector_is_none(testdata: Path) -> None:
    with pytest.raises(BodyModelError, match=r"scrfd_500m_kps\.onnx: gives .*; name the output that is the feature"):
        open_onnx(testdata / "models/scrfd/scrfd_500m_kps.onnx", CPU)


def test_weights_elsewhere_are_refused(tmp_path: Path) -> None:
    model = onnx.load(corner(tmp_path / "whole.onnx"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(5000, np.float32), "unused"))
    onnx.save(model, tmp_path / "a.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(NetworkError, match=r"a\.onnx: has its weights in another file"):
        open_onnx(tmp_path / "a.onnx", CPU)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((np.nan, 0, 0), STD, "mean is nan 0 0; it must be finite numbers"),
        (MEAN, (0, 1, 1), "std is 0 1 1; it must be positive numbers"),
        (MEAN, (1, -1, 1), "std is 1 -1 1; it must be positive"),
    ],
)
def test_means_and_deviations_that_are_none(mean: tuple, std: tuple, message: str) -> None:
    with pytest.raises(BodyModelError, match=message):
        Habits(mean, std)
