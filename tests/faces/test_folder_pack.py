"""Packs out of files: what each file is, what is missing, and both kinds of networks at work."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from castsearch.demo_movie import GROUP, package_picture
from castsearch.faces import arcface, catalogue
from castsearch.faces.errors import PackError
from castsearch.faces.folder_pack import open_folder, open_insightface, open_original
from castsearch.faces.packs import FacePack
from castsearch.faces.search import SearchSettings
from castsearch.images import read_image
from castsearch.networks import NetworkError, Place, Ran, onnxruntime_engine
from castsearch.networks.places import Precision, has_bfloat16

CPU = Place()
FLOAT32 = "float32"
BFLOAT16 = pytest.param(
    "bfloat16", marks=pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
)


def link(folder: Path, *sources: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copyfile(source, folder / source.name)
    return folder


@pytest.fixture
def detector(testdata: Path) -> list[Path]:
    return sorted((testdata / "models/retinaface_mnet25").iterdir())


@pytest.fixture
def embedder(testdata: Path) -> list[Path]:
    return sorted((testdata / "models/mobilefacenet_y1").iterdir())


@pytest.fixture
def scrfd(testdata: Path) -> Path:
    return testdata / "models/scrfd/scrfd_500m_kps.onnx"


def onnx_embedder(path: Path, size: int = 112, batch: int | str | None = "N", scaled: bool = False) -> Path:
    """Mean colour of each quarter of the chip as a 12-d embedding; with ``scaled``, pixels are scaled in the graph."""
    scaling = [
        helper.make_node("Sub", ["data", "mean"], ["m"], "Sub0"),
        helper.make_node("Mul", ["m", "by"], ["x"], "Mul0"),
    ]
    quarter = [size // 2] * 2
    nodes = scaling if scaled else []
    nodes.append(helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=quarter, strides=quarter))
    nodes.append(helper.make_node("Flatten", ["p"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info("data" if scaled else "x", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 12])],
        [numpy_helper.from_array(np.float32([value]), name) for name, value in (("mean", 127.5), ("by", 1 / 127.5))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the sessions that are built, as they are."""
    names: list[str] = []
    real = onnxruntime_engine._session

    def noted(path: Path, *rest: Any) -> Any:
        names.append(path.name)
        return real(path, *rest)

    monkeypatch.setattr(onnxruntime_engine, "_session", noted)
    return names


def test_flat_folder_and_subfolders_are_the_same_pack(
    tmp_path: Path, detector: list[Path], embedder: list[Path]
) -> None:
    flat = open_folder(link(tmp_path / "flat", *detector, *embedder), "flat", CPU)
    link(tmp_path / "deep/a", *detector)
    deep = open_folder(link(tmp_path / "deep/b", *embedder).parent, "deep", CPU)
    for task, names in (
        ("detector", {"mnet25-0000.params", "mnet25-symbol.json"}),
        ("embedder", {"model-0000.params", "model-symbol.json"}),
    ):
        digests = [pack.identity(task)["sha256"] for pack in (flat, deep)]  # type: ignore[arg-type]
        assert set(digests[0]) == names
        assert sorted(digests[0].values()) == sorted(digests[1].values())
    assert (
        flat.identity("detector")["sha256"]["mnet25-0000.params"]
        == "051313a2e7e62e981aafcf0dd5cb16505eca4295c4d2f6f36749a173eda8413c"
    )
    assert "non-commercial" in flat.licence


def test_converted_files_are_not_networks_of_their_own(checkpoints: Path) -> None:
    pack = open_folder(checkpoints, "pack", CPU)
    before = pack.identity("embedder")
    pack.embed(np.zeros((1, 3, 112, 112), np.uint8))
    assert list(checkpoints.glob("*/*.castsearch.onnx"))
    assert open_folder(checkpoints, "pack", CPU).identity("embedder") == before


def test_networks_load_at_first_use_only_and_once(checkpoints: Path, opened: list[str]) -> None:
    pack = open_folder(checkpoints, "pack", CPU)
    pack.identity("detector")
    pack.align(np.zeros((50, 50, 3), np.uint8), None, None)
    assert (pack.ran("detector"), pack.ran("embedder")) == (None, None)
    assert opened == []
    for _ in range(2):
        pack.embed(np.zeros((1, 3, 112, 112), np.uint8))
    assert opened == ["model-symbol.json"]
    for _ in range(2):
        pack.detect(np.zeros((50, 50, 3), np.uint8))
    assert opened == ["model-symbol.json", "mnet25-symbol.json"]


def test_onnx_networks_are_looked_into_without_a_session_and_built_once(
    tmp_path: Path, scrfd_of_free_size: Path, opened: list[str]
) -> None:
    folder = link(tmp_path / "p", scrfd_of_free_size)
    onnx_embedder(folder / "e.onnx", batch=4)
    pack = open_folder(folder, "p", CPU, SearchSettings([64, 128, 640]))
    pack.identity("detector")
    assert opened == []
    for _ in range(2):
        pack.detect(np.zeros((50, 50, 3), np.uint8))
        pack.embed(np.zeros((5, 3, 112, 112), np.uint8))
    assert opened == ["free.onnx", "e.onnx"]


@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16])
def test_what_ran_is_told_of_the_network_that_ran(
    tmp_path: Path, scrfd: Path, embedder: list[Path], precision: Precision
) -> None:
    """An ONNX detector and an MXNet embedder; of each once it ran, in the words of the library that did."""
    pack = open_folder(link(tmp_path / "p", scrfd, *embedder), "p", Place(-1, precision))
    engine = {"float32": "onnxruntime", "bfloat16": "openvino"}[precision]
    expected = Ran(f"{engine} {version(engine)}", "CPU", precision)
    pack.detect(np.zeros((50, 50, 3), np.uint8))
    assert (pack.ran("detector"), pack.ran("embedder")) == (expected, None)
    pack.embed(np.zeros((1, 3, 112, 112), np.uint8))
    assert pack.ran("embedder") == expected


def test_latest_epoch_counts(tmp_path: Path, detector: list[Path], embedder: list[Path]) -> None:
    folder = link(tmp_path / "p", *detector, *embedder)
    shutil.copyfile(folder / "model-0000.params", folder / "model-0007.params")
    assert "model-0007.params" in open_folder(folder, "p", CPU).identity("embedder")["sha256"]


def test_scrfd_with_an_mxnet_embedder(
    tmp_path: Path, testdata: Path, scrfd: Path, embedder: list[Path], checkpoints: Path
) -> None:
    """The faces are those that RetinaFace finds, close enough for the same embeddings."""
    pack: FacePack = open_folder(link(tmp_path / "p", scrfd, *embedder), "p", CPU)
    reference = open_folder(checkpoints, "r", CPU)
    for path in sorted((testdata / "data/jurassic/origin/val").glob("*/cast/*.jpg")):
        image = read_image(path)
        mine, other = pack.detect(image), reference.detect(image)
        assert len(mine) == len(other) == 1
        width = other.boxes[0, 2] - other.boxes[0, 0]
        assert np.abs(mine.landmarks - other.landmarks).max() < 0.1 * width
        assert 0.9 < mine.scores[0] < 1
        chips = np.stack([p.align(image, f.boxes[0], f.landmarks[0]) for p, f in ((pack, mine), (reference, other))])
        a, b = pack.embed(chips)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.85


def test_scrfd_scales(tmp_path: Path, scrfd: Path, embedder: list[Path]) -> None:
    folder = link(tmp_path / "p", scrfd, *embedder)
    for search in (SearchSettings(), SearchSettings([640])):
        assert open_folder(folder, "p", CPU, search).search.metadata() == {"scales": [640], "flip": False}
    with pytest.raises(PackError, match=r"scrfd_500m_kps\.onnx: scales \(320,\): this file takes 640 only"):
        open_folder(folder, "p", CPU, SearchSettings([320]))
    with pytest.raises(PackError, match="multiples of 32"):
        open_folder(folder, "p", CPU, SearchSettings([500]))
    with pytest.raises(PackError, match="flip is for RetinaFace"):
        open_folder(folder, "p", CPU, SearchSettings(flip=True))


def test_scrfd_of_free_size_searches_at_the_scales_asked_for(
    tmp_path: Path, scrfd_of_free_size: Path, embedder: list[Path]
) -> None:
    folder = link(tmp_path / "p", scrfd_of_free_size, *embedder)
    image = package_picture(*GROUP)
    found = {}
    for scales in (None, (64,), (640,), (64, 640)):
        pack = open_folder(folder, "p", CPU, SearchSettings(scales))
        assert pack.search == SearchSettings(scales or (128, 640))
        found[scales] = pack.detect(image)
    assert len(found[None]) == len(found[(640,)]) == 6
    assert len(found[(64,)]) < 6  # faces of 6 pixels
    np.testing.assert_allclose(found[(64, 640)].boxes[-1], found[(640,)].boxes[-1], atol=1)


@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("batch", ["N", None, 1, 4])
@pytest.mark.parametrize("scaled", [False, True])
def test_onnx_embedder(
    tmp_path: Path, scrfd: Path, batch: int | str | None, scaled: bool, precision: Precision
) -> None:
    """RGB order, scaling inside or outside of the graph, a fixed batch size with a short last batch."""
    folder = link(tmp_path / "p", scrfd)
    onnx_embedder(folder / "e.onnx", batch=batch, scaled=scaled)
    chips = np.random.default_rng(0).integers(0, 256, (5, 3, 112, 112), dtype=np.uint8)
    pack = open_folder(folder, "p", Place(-1, precision))
    quarters = chips.reshape(5, 3, 2, 56, 2, 56).mean(axis=(3, 5)).reshape(5, 12)
    np.testing.assert_allclose(pack.embed(chips), (quarters - 127.5) / 127.5, atol=1e-5)
    assert pack.embed(chips[:0]).shape == (0, 12)


def test_onnx_embedder_that_does_not_tell_how_long_its_vectors_are(tmp_path: Path, scrfd: Path) -> None:
    path = onnx_embedder(link(tmp_path / "p", scrfd) / "e.onnx")
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    assert open_folder(path.parent, "p", CPU).embed(np.zeros((0, 3, 112, 112), np.uint8)).shape == (0, 12)


def test_nine_outputs_of_another_kind_than_scrfds(tmp_path: Path) -> None:
    path = onnx_embedder(link(tmp_path / "p") / "e.onnx").with_name("d.onnx")
    nodes = [helper.make_node("AveragePool", ["x"], [f"o{n}"], kernel_shape=[8, 8], strides=[8, 8]) for n in range(9)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", *(f"o{n}" for n in range(9)))
    ]
    ends[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])
    graph = helper.make_graph(nodes, "detector", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(PackError, match=r"d\.onnx: insightface cannot run it \(.*\); get it again") as caught:
        open_folder(path.parent, "p", CPU).detect(np.zeros((50, 50, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_insightface_layout(tmp_path: Path, scrfd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack as the insightface library keeps it: other networks lie beside, one level deeper for antelopev2."""
    home = tmp_path / "models"
    monkeypatch.setattr(catalogue, "INSIGHTFACE_FOLDER", home)
    for name, folder in (("buffalo_sc", home / "buffalo_sc"), ("antelopev2", home / "antelopev2/antelopev2")):
        link(folder, scrfd)
        onnx_embedder(folder / "w600k_mbf.onnx")
        onnx_embedder(folder / "genderage.onnx", size=96)
        pack = open_insightface(name, CPU)
        for task, file in (("detector", "scrfd_500m_kps.onnx"), ("embedder", "w600k_mbf.onnx")):
            assert [Path(name).name for name in pack.identity(task)["sha256"]] == [file]  # type: ignore[arg-type]
        assert "non-commercial research" in pack.licence
        assert pack.embed(np.zeros((1, 3, 112, 112), np.uint8)).shape == (1, 12)
    with pytest.raises(
        PackError, match=r"buffalo_l: the pack buffalo_l is not there; get it by scripts/download_models\.py buffalo_l"
    ):
        open_insightface("buffalo_l", CPU)


def test_original_weights_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: list[Path]) -> None:
    monkeypatch.setattr(catalogue, "ORIGINAL_FOLDER", tmp_path)
    with pytest.raises(
        PackError, match=r"R50-symbol\.json: weights of the pack r50-r100 are missing; take them from retinaface-R50"
    ):
        open_original(CPU)
    for name in ("R50-symbol.json", "R50-0000.params"):
        (tmp_path / name).touch()
    assert catalogue.missing_original() == list(catalogue.ORIGINAL_FILES)  # a download that was cut off at once
    for name in ("R50-symbol.json", "R50-0000.params"):
        (tmp_path / name).write_text("x")
    with pytest.raises(
        PackError, match=r"model-r100-ii/model-symbol\.json: weights .* model-r100-arcface-ms1m-refine-v2\.zip"
    ):
        open_original(CPU)


def test_original_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: list[Path], embedder: list[Path]
) -> None:
    """The layout of r50-r100, with smaller networks under its names."""
    monkeypatch.setattr(catalogue, "ORIGINAL_FOLDER", tmp_path)
    (tmp_path / "model-r100-ii").mkdir()
    sources = [detector[1], detector[0], embedder[1], embedder[0]]
    for name, source in zip(catalogue.ORIGINAL_FILES, sources, strict=True):
        shutil.copyfile(source, tmp_path / name)
    pack = open_original(CPU)
    assert {*pack.identity("detector")["sha256"], *pack.identity("embedder")["sha256"]} == set(catalogue.ORIGINAL_FILES)
    assert pack.embed(np.zeros((2, 3, 112, 112), np.uint8)).shape == (2, 128)
    assert len(pack.detect(np.zeros((64, 64, 3), np.uint8))) == 0


MNET, MOBILE = "retinaface_mnet25/mnet25", "mobilefacenet_y1/model"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "expected one detector, found none"),
        ((f"{MNET}-symbol.json",), r"mnet25-symbol\.json: its parameters mnet25-0000\.params are missing"),
        ((f"{MNET}-symbol.json", f"{MNET}-0000.params"), "expected one embedder, found none"),
        ((f"{MOBILE}-symbol.json", f"{MOBILE}-0000.params"), "expected one detector, found none"),
        (("osnet/osnet_x0_25_msmt17.onnx", "scrfd/scrfd_500m_kps.onnx"), "expected one embedder, found none"),
    ],
)
def test_incomplete_folder(tmp_path: Path, testdata: Path, files: tuple[str, ...], message: str) -> None:
    folder = link(tmp_path / "p", *(testdata / "models" / file for file in files))
    with pytest.raises(PackError, match=message) as caught:
        open_folder(folder, "p", CPU)
    assert "\n" not in str(caught.value)


def test_two_detectors(tmp_path: Path, detector: list[Path], embedder: list[Path], scrfd: Path) -> None:
    folder = link(tmp_path / "p", *detector, *embedder, scrfd)
    with pytest.raises(PackError, match=r"expected one detector, found mnet25-symbol\.json, scrfd_500m_kps\.onnx"):
        open_folder(folder, "p", CPU)


def test_graph_of_another_kind(tmp_path: Path, detector: list[Path], embedder: list[Path]) -> None:
    folder = link(tmp_path / "p", *detector, *embedder)
    symbol = folder / "mnet25-symbol.json"
    symbol.write_text(symbol.read_text().replace("landmark_pred_stride8", "other_stride8"))
    with pytest.raises(PackError, match=r"mnet25-symbol\.json: neither an embedder \(one output\) nor a RetinaFace"):
        open_folder(folder, "p", CPU)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_damaged_onnx(tmp_path: Path, embedder: list[Path], scrfd: Path, content: bytes | None) -> None:
    folder = link(tmp_path / "p", *embedder)
    (folder / "d.onnx").write_bytes(scrfd.read_bytes()[:100_000] if content is None else content)
    with pytest.raises(NetworkError, match=r"d\.onnx: not a usable network") as caught:
        open_folder(folder, "p", CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[], ["scrfd"]])
def test_insightface_pack_that_is_not_whole(
    tmp_path: Path, scrfd: Path, monkeypatch: pytest.MonkeyPatch, content: list[str]
) -> None:
    monkeypatch.setattr(catalogue, "INSIGHTFACE_FOLDER", tmp_path)
    link(tmp_path / "buffalo_s", *[scrfd for _ in content])
    message = (
        r"buffalo_s: expected one (detector|embedder), found none; .*; get it again by scripts/download_models\.py b"
    )
    with pytest.raises(PackError, match=message):
        open_insightface("buffalo_s", CPU)


def test_trying_an_embedder_keeps_nothing(checkpoints: Path, tmp_path: Path, scrfd: Path, opened: list[str]) -> None:
    """Detection needs the memory."""
    pack = open_folder(checkpoints, "pack", CPU)
    for _ in range(2):
        pack.try_embedder()
    assert opened == ["model-symbol.json"] * 2
    assert pack.ran("embedder") is None
    folder = link(tmp_path / "p", scrfd)
    onnx_embedder(folder / "e.onnx")
    model = onnx.load(folder / "e.onnx")
    model.graph.node[0].CopyFrom(helper.make_node("Div", ["x", "zero"], ["p"]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([0]), "zero"))
    del model.graph.output[0].type.tensor_type.shape.dim[1:]
    onnx.save(model, folder / "e.onnx")
    with pytest.raises(PackError, match=r"e\.onnx: expected an embedding of a grey chip, a row of finite numbers, got"):
        open_folder(folder, "p", CPU).try_embedder()


def test_an_embedding_is_a_row_of_numbers(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = open_folder(checkpoints, "pack", CPU)
    monkeypatch.setattr(arcface.ArcFace, "embed", lambda self, chips: np.zeros((len(chips), 8, 1, 1), np.float32))
    with pytest.raises(PackError, match=r"expected an embedding .*, got an array of \(1, 8, 1, 1\) between 0\.0 and"):
        pack.try_embedder()
