"""Face packs that are broken, mended, of another kind or of another run, and devices that are not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from castsearch import stagefiles
from castsearch.faces import open_pack
from castsearch.faces.chips import align_split
from castsearch.faces.detection import detect_files
from castsearch.faces.merging import merge_results
from castsearch.images import ImageReader
from castsearch.networks import Place, open_checkpoint
from castsearch.networks.places import CUDA
from castsearch.stagefiles import MoviePictures, Picture, Split
from tests.cli.table import Case, check

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared")) / "models"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=f"no test data at {MODELS}; set CASTSEARCH_TESTDATA")

DETECTOR, EMBEDDER = ("mnet25-symbol.json", "mnet25-0000.params"), ("model-symbol.json", "model-0000.params")
PICTURES = (Picture("a", "m/a.png", "a"), Picture("b", "m/b_0_0_9_9.png", "others"))
SPLIT = Split([MoviePictures("m", PICTURES[:1], PICTURES[1:])])
FILES = [f"val/{picture.file}" for picture in PICTURES]
RESULTS = ("val_0.pkl", "val_0.pkl.json")
CONVERTED = "pack/*.castsearch.onnx"

PACK = "--model {tmp}/pack"
DEPLOY = (
    f"RetinaFace/deploy.py --txt_file {{tmp}}/val_0.txt --pkl_file {{tmp}}/val_0.pkl --image_root {{tmp}}/body {PACK}"
)
FACE_DET = f"RetinaFace/face_det.py --image_root {{tmp}}/body --mode val --data {{tmp}} --out {{tmp}} {PACK}"
FACE_FEAT = f"RetinaFace/face_feat.py --mode val --data {{tmp}} --images {{tmp}} {PACK}"
AGAIN = "run deploy.py for every list again, then merge.py and face_det.py"


def pack(folder: Path) -> None:
    """Two real checkpoints in ``pack``, a list of two pictures, their split."""
    (folder / "pack").mkdir()
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        for file in (MODELS / name).iterdir():
            shutil.copyfile(file, folder / "pack" / file.name)
    (folder / "body/val/m").mkdir(parents=True)
    for file in FILES:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(folder / "body" / file)
    (folder / "val_0.txt").write_text("".join(f"{file}\n" for file in FILES))
    stagefiles.write_body(folder / "body_val.pkl", SPLIT)


def changed(
    name: str, change: Callable[[bytes], bytes], before: Callable[[Path], object] = pack
) -> Callable[[Path], None]:
    """A pack of which a file is another, maybe since ``before``."""

    def prepare(folder: Path) -> None:
        before(folder)
        path = folder / "pack" / name
        path.write_bytes(change(path.read_bytes()))

    return prepare


def graph(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Changes the JSON of a graph."""

    def apply(content: bytes) -> bytes:
        tree = json.loads(content)
        return json.dumps(change(tree) or tree).encode()

    return apply


def convolution(tree: dict[str, Any]) -> dict[str, Any]:
    """The first of a graph."""
    return next(node for node in tree["nodes"] if node["op"] == "Convolution")


def detected(folder: Path) -> None:
    """The list done, by the pack as it was then."""
    pack(folder)
    opened = open_pack(str(folder / "pack"), -1)
    detect_files(FILES, ImageReader(folder / "body"), opened, folder / "val_0.pkl")


def cut_out(folder: Path) -> None:
    """Everything before face_feat.py done."""
    detected(folder)
    merged, metadata = merge_results(SPLIT, "val", [folder])
    stagefiles.write_retina(folder / "retina_val.pkl", merged, metadata)
    opened = open_pack(str(folder / "pack"), -1)
    align_split(merged, ImageReader(folder / "body/val"), opened, metadata, folder / "val_img")


def two_selections(folder: Path) -> None:
    """A movie within the limits, and one that a killed run without them left."""
    pack(folder)
    opened = open_pack(str(folder / "pack"), -1)
    two = [MoviePictures(name, (), (Picture(name, PICTURES[0].file),)) for name in "mn"]
    stagefiles.write_body(folder / "body_val.pkl", Split(two))
    for movie, limits in zip(two, (True, False), strict=True):
        align_split(Split([movie]), ImageReader(folder / "body/val"), opened, {}, folder / "val_img", limits)


def foreign_cache(folder: Path) -> None:
    """The converted embedder replaced by the converted detector."""
    pack(folder)
    for symbol, params in (DETECTOR, EMBEDDER):
        open_checkpoint(folder / "pack" / symbol, folder / "pack" / params, Place())
    shutil.copyfile(folder / "pack/mnet25-0000.castsearch.onnx", folder / "pack/model-0000.castsearch.onnx")


def onnx_embedder(value: float | None) -> Callable[[Path], None]:
    """An embedder as one ONNX file that adds a number to all; None for a file that is none."""

    def prepare(folder: Path) -> None:
        pack(folder)
        for name in EMBEDDER:
            (folder / "pack" / name).unlink()
        path = folder / "pack/embedder.onnx"
        if value is None:
            path.write_bytes(b"\x08\x08 no network")
            return
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 112, 112]) for name in "x"]
        nodes = [helper.make_node("Add", ["x", "more"], ["sum"]), helper.make_node("Flatten", ["sum"], ["y"])]
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3 * 112 * 112])
        more = numpy_helper.from_array(np.float32([value]), "more")
        made = helper.make_graph(nodes, "embedder", ends, [out], [more])
        onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)

    return prepare


def onnx_detector(change: Callable[[onnx.ModelProto], object], **save: Any) -> Callable[[Path], None]:
    """A SCRFD in which something is changed, in place of the RetinaFace."""

    def prepare(folder: Path) -> None:
        pack(folder)
        for name in DETECTOR:
            (folder / "pack" / name).unlink()
        model = onnx.load(MODELS / "scrfd/scrfd_500m_kps.onnx")
        change(model)
        onnx.save(model, folder / "pack/detector.onnx", **save)

    return prepare


def no_number(model: onnx.ModelProto) -> None:
    """NaN in the place of each weight."""
    for weights in model.graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.ndim and array.dtype == np.float32:
            weights.CopyFrom(numpy_helper.from_array(np.full_like(array, np.nan), weights.name))


CASES = [
    # An embedder is tried before the first picture is searched.
    Case(
        "embedder's parameters cut short",
        changed(EMBEDDER[1], lambda content: content[:-1000]),
        DEPLOY,
        ("{tmp}/pack/model-0000.params: byte ", "get it again"),
    ),
    Case(
        "parameters of another network",
        changed(EMBEDDER[1], lambda content: (MODELS / "retinaface_mnet25" / DETECTOR[1]).read_bytes()),
        DEPLOY,
        ("{tmp}/pack/model-symbol.json: ", "is not in the parameter file"),
    ),
    Case(
        "embedder that gives no numbers",
        onnx_embedder(float("nan")),
        DEPLOY,
        ("{tmp}/pack/embedder.onnx: expected an embedding of a grey chip, a row of finite numbers",),
    ),
    Case("file that is no network", onnx_embedder(None), DEPLOY, ("{tmp}/pack/embedder.onnx: not a usable network",)),
    # A detector that gives no numbers would find no face anywhere.
    Case(
        "detector that gives no numbers",
        onnx_detector(no_number),
        DEPLOY,
        ("{tmp}/pack/detector.onnx: the detector gives numbers that are not finite; get it again",),
        writes=(CONVERTED,),
    ),
    Case(
        "weights in a second file",
        onnx_detector(lambda model: None, save_as_external_data=True, location="weights", size_threshold=0),
        DEPLOY,
        ("{tmp}/pack/detector.onnx: has its weights in another file; put both into one",),
    ),
    # Graphs of the wrong shape.
    Case(
        "graph that is a list", changed(EMBEDDER[0], graph(lambda tree: [tree])), DEPLOY, ("no object); get it again",)
    ),
    Case(
        "graph whose nodes are numbers",
        changed(DETECTOR[0], graph(lambda tree: {**tree, "nodes": [1, 2]})),
        DEPLOY,
        ("{tmp}/pack/mnet25-symbol.json: not an MXNet graph (TypeError: a node is '1', no object); get it again",),
    ),
    Case(
        "graph without outputs",
        changed(DETECTOR[0], graph(lambda tree: tree.pop("heads") and None)),
        DEPLOY,
        ("{tmp}/pack/mnet25-symbol.json: not an MXNet graph (KeyError: 'heads')",),
    ),
    Case(
        "graph that goes round in a circle",
        changed(DETECTOR[0], graph(lambda tree: tree["nodes"][5].update(inputs=[[9, 0, 0]]))),
        DEPLOY,
        ("{tmp}/pack/mnet25-symbol.json: node 5, ", "has an input that does not come before it"),
    ),
    Case(
        "attribute of 20,000 characters",
        changed(EMBEDDER[0], graph(lambda tree: convolution(tree)["attrs"].update(kernel="9" * 20_000))),
        DEPLOY,
        ("{tmp}/pack/model-symbol.json: Convolution ", "attribute kernel is '999", "expected 2 whole number(s)"),
    ),
    # What a network depends on is of that network alone.
    Case(
        "detections by an unchanged detector",
        changed(EMBEDDER[1], lambda content: content[:-1000], detected),
        DEPLOY,
        ("2 pictures, ",),
        code=0,
        writes=RESULTS,
        leaves=RESULTS,
    ),
    Case(
        "faces of an unchanged detector",
        changed(EMBEDDER[1], lambda content: content[:-1000], cut_out),
        FACE_DET,
        ("1 movies, faces of 112 x 112",),
        code=0,
        writes=("val_img/*",),
    ),
    Case(
        "embedder replaced by another",
        changed(EMBEDDER[1], lambda content: content[:2_000_000] + b"\x01\x02" + content[2_000_002:], cut_out),
        FACE_FEAT,
        ("1 movies, 2 faces embedded",),
        code=0,
        writes=("face_val.pkl*", CONVERTED),
    ),
    Case(
        "faces of a detector that has changed",
        changed(DETECTOR[1], lambda content: content[::-1], cut_out),
        FACE_DET,
        ("{tmp}/retina_val.pkl: the detector of {tmp}/pack has changed since (mnet25-0000.params); " + AGAIN,),
    ),
    Case(
        "chips of a detector that has changed",
        changed(DETECTOR[1], lambda content: content[::-1], cut_out),
        FACE_FEAT,
        ("{tmp}/val_img/m.pkl: the detector of {tmp}/pack has changed since (mnet25-0000.params); " + AGAIN,),
    ),
    Case(
        "chips of another pack",
        cut_out,
        FACE_FEAT.replace("{tmp}/pack", "dlib"),
        ("made with the face pack {tmp}/pack, which has another detector than dlib; choose that, or " + AGAIN,),
    ),
    Case(
        "landmarks of nobody knows which detector",
        lambda folder: (cut_out(folder), (folder / "retina_val.pkl.json").unlink()),
        FACE_DET.replace("{tmp}/pack", "dlib"),
        ("{tmp}/retina_val.pkl: nothing beside it tells that dlib made it", "run the step that writes it again"),
    ),
    Case(
        "landmarks of the original, for a pack of the same points",
        lambda folder: (cut_out(folder), (folder / "retina_val.pkl.json").unlink()),
        FACE_DET,
        ("1 movies, faces of 112 x 112",),
        code=0,
        writes=("val_img/*",),
    ),
    Case(
        "chips of two selections",
        two_selections,
        FACE_FEAT,
        (
            "{tmp}/val_img/n.pkl: its faces were selected within other limits than those of {tmp}/val_img/m.pkl, ",
            "run face_det.py again for all",
        ),
    ),
    Case(
        "converted network of another's content",
        foreign_cache,
        DEPLOY,
        ("2 pictures, ",),
        code=0,
        writes=(*RESULTS, "pack/model-0000.castsearch.onnx"),
        leaves=RESULTS,
    ),
    # Devices, numbers, names.
    Case("GPU -7", pack, f"{DEPLOY} --gpu -7", ("GPU -7: no such number; use 0 or above, or -1 for the CPU",)),
    Case(
        "GPU 99",
        pack,
        f"{DEPLOY} --gpu 99",
        (
            "GPU 99: ",
            "choose -1 for the CPU" if CUDA not in onnxruntime.get_available_providers() else "or -1 for the CPU",
        ),
    ),
    Case("GPU 99, embedding", pack, f"{FACE_FEAT} --gpu 99", ("GPU 99: ",)),
    Case("GPU that is no number", pack, f"{DEPLOY} --gpu cuda", ("argument --gpu: invalid int value: 'cuda'",)),
    Case("GPU for dlib", pack, f"{DEPLOY} --gpu 0".replace("{tmp}/pack", "dlib"), ("dlib runs on the CPU",)),
    Case(
        "scales too small",
        pack,
        f"{DEPLOY} --scales 5",
        ("scales [5]: give at least one, whole numbers of 32 to 4096",),
    ),
    Case("scales too large", pack, f"{DEPLOY} --scales 500 1000000", ("scales [500, 1000000]: give",)),
    Case("no scale", pack, f"{DEPLOY} --scales", ("argument --scales: expected at least one argument",)),
    Case("no face at a time", pack, f"{FACE_FEAT} --num 0", ("--num must be at least 1",)),
    Case("unknown pack", pack, f"{DEPLOY}s", ("{tmp}/packs: no such face pack; choose one of dlib, open, r50-r100, ",)),
    Case(
        "pack in upper case",
        pack,
        DEPLOY.replace("/pack", "/PACK"),
        ("but there is {tmp}/pack; write it as it is there",),
    ),
    Case("network for a pack", pack, f"{DEPLOY}/model-0000.params", ("is a file; name the folder that holds it",)),
    # Places that take no result.
    Case("results in no stage file", pack, DEPLOY.replace("val_0.pkl", "val_0.txt"), ("name ends in .pkl",)),
    Case(
        "a folder where the partial results go",
        lambda folder: (pack(folder), (folder / "val_0.pkl.partial").mkdir()),
        DEPLOY,
        ("{tmp}/val_0.pkl.partial: is a folder; choose another name, or remove it",),
    ),
    Case(
        "features where a folder is",
        lambda folder: (cut_out(folder), (folder / "face_val.pkl").mkdir()),
        FACE_FEAT,
        ("{tmp}/face_val.pkl: is a folder",),
    ),
    Case(
        "chips where a file is",
        lambda folder: (
            detected(folder),
            stagefiles.write_retina(folder / "retina_val.pkl", SPLIT),
            (folder / "val_img").touch(),
        ),
        FACE_DET,
        ("{tmp}/val_img: is a file, where a folder was expected",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_packs(case: Case, script: Callable[..., Any], tmp_path: Path) -> None:
    check(case, script, tmp_path)
