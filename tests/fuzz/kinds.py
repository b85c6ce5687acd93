"""The kinds of input that are fuzzed: real examples, what makes them odd, and what reads them.

A new kind is one entry in ``KINDS``. Heavy libraries are imported where a kind needs them.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutations import mutated_bytes, mutated_json, mutated_lines

TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", Path(__file__).resolve().parents[3] / "shared"))

Files = dict[str, bytes]  # the end of a file's name -> its bytes; readers are given the first
Opened = tuple[Callable[[random.Random], Files], Callable[[Path], object]]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: as the table shows it.
        open: gives what makes a case by chance, and what reads it and sees that the content is in order.
        share: of all cases, in eighths.
    """

    name: str
    open: Callable[[], Opened]
    share: float = 1.0


def _simple(
    ending: str, seeds: Sequence[bytes], mutate: Callable[[random.Random, Sequence[bytes]], bytes]
) -> Callable[[random.Random], Files]:
    """Now and then a seed as it is: some files must be read."""
    return lambda chance: {ending: chance.choice(seeds) if chance.random() < 0.05 else mutate(chance, seeds)}


# ---------------------------------------------------------------------------- text

MOVIE: dict[str, Any] = {
    "cast": [{"id": "tt1_nm1", "img": "tt1/cast/nm1.jpg", "label": "nm1"}, {"id": "é", "img": "é.png", "label": "é"}],
    "candidates": [
        {"id": "tt1_0", "img": "tt1/candidates/shot0001img0.jpg", "bbox": [10, 20, 50, 60], "label": "nm1"},
        {"id": "tt1_1", "img": "tt1/candidates/shot0001img0.jpg", "bbox": [-5, 0, 9.0, 8], "label": "others"},
        {"id": "tt1_2", "img": "tt1/candidates/shot0002img0.jpg", "bbox": [1, 2, 3, 4]},
    ],
}
LABELS = {"tt1_nm1": ["tt1_0", "tt1_2"], "tt1_nm2": ["tt1_1"], "é": []}
RANKING = b"tt1_nm1 tt1_2,tt1_0,tt1_1\ntt1_nm2 tt1_1,tt1_0\n\n\xc3\xa9 tt1_2\n"
LIST = b"val/tt1/cast/nm1.jpg\nval/tt1/candidates/shot0001img0_10_20_50_60.jpg\nval/tt1/b c/\xc3\xa9.png\n"


def _annotations() -> Opened:
    from castsearch.annotations import read_annotations
    from castsearch.identifiers import path_fault

    def read(path: Path) -> None:
        movies = read_annotations(path)
        assert movies
        assert not any(path_fault(item.file) for movie in movies.values() for item in (*movie.cast, *movie.candidates))

    empty = {"tt2": {"cast": [], "candidates": MOVIE["candidates"][:1]}}
    portraits = [{"id": "tt4_nm1", "img": ["tt4/cast/nm1.jpg", "tt4/cast/nm1b.jpg"], "label": "nm1"}]
    contents = (
        {"tt1": MOVIE},
        {**empty, "tt 3": {**MOVIE, "candidates": []}},
        {"tt4": {"cast": portraits, "candidates": []}},
    )
    seeds = [json.dumps(content).encode() for content in contents]
    return _simple(".json", seeds, mutated_json), read


def _labels() -> Opened:
    from castsearch.annotations import read_labels
    from castsearch.metrics import evaluate

    def read(path: Path) -> None:
        try:
            found = evaluate(read_labels(path), {cast: ["tt1_0", "tt1_1", "tt1_2"] for cast in LABELS})
        except Exception as error:
            _named(error, path)
            raise
        assert 0 <= found.mean_ap <= 1

    return _simple(".json", [json.dumps(LABELS).encode(), json.dumps(LABELS, indent=2).encode()], mutated_json), read


def _named(error: Exception, path: Path) -> None:
    """Labels and rankings that do not fit each other are told by their ids; scripts name the files."""
    from castsearch.metrics import EvaluationError

    if isinstance(error, EvaluationError):
        error.args = (f"{path}: {error}",)


def _ranking() -> Opened:
    from castsearch.annotations import read_ranking
    from castsearch.metrics import evaluate

    def read(path: Path) -> None:
        try:
            evaluate(LABELS, read_ranking(path))
        except Exception as error:
            _named(error, path)
            raise

    return _simple(
        ".txt", [RANKING, RANKING.replace(b"\n", b"\r\n"), RANKING.replace(b" ", b"\t")], mutated_lines
    ), read


def _list() -> Opened:
    from castsearch.faces.lists import read_list
    from castsearch.identifiers import path_fault

    def read(path: Path) -> None:
        assert not any(map(path_fault, read_list(path)))

    return _simple(".txt", [LIST, LIST.replace(b"\n", b"\r\n")], mutated_lines), read


# ---------------------------------------------------------------------------- binary


def _pickle() -> Opened:
    from tests.stagefiles import fuzz_pickles

    files = fuzz_pickles.stage_files()
    refused = fuzz_pickles.StageFileError

    def read(path: Path) -> None:
        if fuzz_pickles.judge(path, path.read_bytes()) == "refused":
            raise refused(f"{path}: refused")

    return lambda chance: {".pkl": fuzz_pickles.case(chance, files)[1]}, read


def _pictures() -> list[bytes]:
    from PIL import Image

    def deep(grey: np.ndarray) -> Image.Image:
        return Image.fromarray(grey.astype(np.uint16) * 200)

    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    made = Image.fromarray(noise)
    exif = Image.Exif()
    exif.update({274: 6, 271: "maker", 33432: "\u00a9"})
    pictures: list[tuple[Any, str, dict[str, Any]]] = [
        (made, "JPEG", {"exif": exif}), (made, "JPEG", {"progressive": True}), (made.convert("L"), "JPEG", {}),
        (made.convert("CMYK"), "JPEG", {}), (made, "PNG", {"exif": exif}), (made.convert("RGBA"), "PNG", {}),
        (made.convert("P"), "PNG", {"transparency": 3}), (deep(noise[..., 0]), "PNG", {}),
        (made, "TIFF", {}), (made, "TIFF", {"compression": "tiff_lzw"}), (made.convert("F"), "TIFF", {}),
        (made, "BMP", {}), (made.convert("P"), "GIF", {}), (made, "WEBP", {"exif": exif}), (made, "PPM", {}),
    ]  # fmt: skip
    encoded = []
    for picture, form, options in pictures:
        file = io.BytesIO()
        picture.save(file, form, **options)
        encoded.append(file.getvalue())
    real = sorted((TESTDATA / "cases/pictures").glob("*"))
    return encoded + [path.read_bytes() for path in real if path.stat().st_size < 100_000]


def _picture() -> Opened:
    from castsearch.images import read_image

    def read(path: Path) -> None:
        image = read_image(path)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size

    return _simple(".jpg", _pictures(), mutated_bytes), read


def _torch_checkpoint() -> Opened:
    import torch

    from castsearch.bodies.checkpoints import read

    torch.set_num_threads(1)
    state = {"backbone.conv.weight": torch.ones(2, 3), "n": torch.tensor(3), "half": torch.ones(4, dtype=torch.float16)}
    contents: list[Any] = [state, {"model": state, "step": 3, "cnn": "mobilenet_v2", "settings": {"margin": None}}]
    seeds = []
    for content in contents:
        for zipped in (True, False):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=zipped)
            seeds.append(file.getvalue())
    return _simple(".pt", seeds, mutated_bytes), read


def _mxnet_checkpoint() -> Opened:
    from castsearch.networks.convert import to_onnx
    from castsearch.networks.mxnet import read_params, read_symbol
    from tests.networks.fuzz_checkpoints import mutate_bytes, mutate_graph

    folder = TESTDATA / "models/retinaface_mnet25"
    graph, params = (folder / "mnet25-symbol.json").read_text(), (folder / "mnet25-0000.params").read_bytes()

    def make(chance: random.Random) -> Files:
        if chance.random() < 0.5:
            return {"-symbol.json": mutate_graph(graph, chance).encode(), "-0000.params": params}
        return {"-symbol.json": graph.encode(), "-0000.params": mutate_bytes(params, chance)}

    def read(path: Path) -> None:
        arrays = read_params(path.with_name(path.name.replace("-symbol.json", "-0000.params")))
        try:
            to_onnx(read_symbol(path), arrays, {})
        except Exception as error:
            if str(path) not in str(error):  # whoever calls the converter knows the file
                error.args = (f"{path}: {error}",)
            raise

    return make, read


def _onnx() -> Opened:
    from castsearch.faces.network_files import inspect

    seeds = [path.read_bytes() for path in sorted((TESTDATA / "models").glob("*/*.onnx"))]
    return _simple(".onnx", seeds, mutated_bytes), inspect


KINDS = {
    kind.name: kind
    for kind in (
        Kind("annotation JSON", _annotations),
        Kind("label JSON", _labels),
        Kind("list", _list),
        Kind("result text", _ranking),
        Kind("stage pickle", _pickle),
        Kind("picture", _picture),
        Kind("torch checkpoint", _torch_checkpoint, 0.5),
        Kind("MXNet checkpoint", _mxnet_checkpoint, 0.5),
        Kind("ONNX file", _onnx),
    )
}
NEED_TESTDATA = ("MXNet checkpoint", "ONNX file")
