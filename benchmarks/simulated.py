"""Movies of the two simulators in the folder of test data, written as stage files and read as fusion.py reads them."""

from __future__ import annotations

import importlib.util
import pickle
import re
import sys
import tempfile
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from stills import TESTDATA

from castsearch.ranking import read_movies
from castsearch.tuning import LabelledMovie, label_movies

REID = "triplet_resnext101_32x8d"
OLD_MOVIES = ((5, 120), (8, 330), (3, 60))  # casts and boxes of a split of the old simulator, as in golden/fusion
NOISE = 0.25  # sigma of the lognormal factor on each of the simulator's constants
DIMS = (128, 513)  # widths of features are drawn from this range
# Limits of the simulator's constants: shares stay shares, cosines cosines.
LIMITS = {
    "others": (0.1, 0.75),
    "recurring": (0.2, 0.95),
    "new_day": (0.05, 0.8),
    "change": (0.0, 0.5),
    "reuse": (0.0, 0.9),
    "b_style": (0.1, 0.9),
    "cluster": (0.0, 0.3),
    "yaw_loss": (0.3, 1.0),
    "lowq": (0.0, 0.4),
    "weak_portrait": (0.0, 0.2),
    "wrong_face": (0.0, 0.15),
    "label_noise": (0.0, 0.03),
    "body_rank": (12.0, 96.0),
    "face_rank": (60.0, 400.0),
}
COPY_NOISE = 0.2  # share of what differs between two pictures of a box: their cosine is about .8
_COPY = re.compile(r"shot\d+img\d")
MOST_OF_BODY = 0.85  # that the named parts of a body's feature may make up; the rest is noise
# What a mean share of identity, a chance or a portion of shots may at most be.
MOST_SHARE = 0.95


@cache
def _tool(name: str) -> ModuleType:
    path = TESTDATA / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        sys.exit(f"no simulator at {path}; set CASTSEARCH_TESTDATA")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def old_movie(seed: int, part: int) -> LabelledMovie:
    """A movie of make_stage_pickles.py: easy, without scenes.

    Args:
        seed: of the split.
        part: which of its movies, see ``OLD_MOVIES``.
    """
    casts, size = OLD_MOVIES[part]
    name = f"tt8{seed:04d}{part:02d}"
    rng = np.random.default_rng([seed, part])
    cast, candidates, face, body = _tool("make_stage_pickles").movie(rng, name, casts, size, 512, 256)
    seen = {"faces": np.array([[10, 10, 80, 90]], "f4"), "scores": np.array([0.99], "f4")}
    seen["landmarks"] = np.full((1, 10), 50, "f4")
    return _through_files(name, [item | seen for item in cast], candidates, face, body)


def new_movie(seed: int, varied: bool, casts: int = 0, boxes: int = 0) -> LabelledMovie:
    """A movie of make_movie_features.py.

    Args:
        seed: of the movie, and of its model where that varies.
        varied: with the model's constants drawn at random.
        casts: how many; 0 draws them as the simulator does.
        boxes: how many; likewise.
    """
    tool = _tool("make_movie_features")
    model = varied_model(seed) if varied else tool.Model()
    _, retina, face, reid, _, _ = tool.split(seed, 1, casts, boxes, model)
    ((name, pictures),) = retina.items()
    return _through_files(name, pictures["cast"], pictures["candidates"], face[name], reid[name])


def doubled_movie(seed: int, boxes: int) -> LabelledMovie:
    """A movie of which each box is there twice, in another frame of its shot, as in a film seen every second or so.

    Args:
        seed: of the movie.
        boxes: how many, copies included.
    """
    tool = _tool("make_movie_features")
    _, retina, face, reid, _, _ = tool.split(seed, 1, 0, boxes // 2, tool.Model())
    ((name, pictures),) = retina.items()
    rng, cast, once = np.random.default_rng([seed, 2]), pictures["cast"], pictures["candidates"]
    copies = [item | {"id": f"{item['id']}b", "file": _COPY.sub(r"\g<0>9", item["file"])} for item in once]

    def twice(features: np.ndarray) -> np.ndarray:
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        seen = []
        for _ in range(2):
            noise = rng.normal(size=unit.shape) / np.sqrt(unit.shape[1])
            seen.append(np.sqrt(1 - COPY_NOISE) * unit + np.sqrt(COPY_NOISE) * noise)
        return np.concatenate(seen).astype(np.float32)

    faces = np.concatenate([face[name][: len(cast)], twice(face[name][len(cast) :])])
    return _through_files(name, cast, [*once, *copies], faces, twice(reid[name]))


def with_strangers(seed: int, other: int, casts: int, absent: int, boxes: int) -> LabelledMovie:
    """A movie to which portraits of people of another one are added.

    Its labels are the truth, without the one box in a hundred that the simulator hides from them.

    Args:
        seed: of the movie.
        other: seed of the other movie.
        casts: people who may be in the boxes.
        absent: portraits of the other movie.
        boxes: how many.
    """
    name, pictures, face, body = _honest(seed, casts, boxes)
    _, others, faces, _ = _honest(other, absent, 1)  # portraits are drawn before boxes
    strangers = [item | {"label": f"stranger {item['label']}"} for item in others["cast"]]
    faces = np.concatenate([face[:casts], faces[:absent], face[casts:]])
    return _through_files(name, pictures["cast"] + strangers, pictures["candidates"], faces, body)


def with_absent(seed: int, casts: int, absent: int, boxes: int) -> LabelledMovie:
    """A movie some of whose portraits show people who are in no box, though of its world.

    They are of the same clusters of faces, and were in its boxes: every frame with one of them is taken out, for in
    such a frame their face may be seen in another's box. Labels as in ``with_strangers``.

    Args:
        seed: of the movie.
        casts: its people.
        absent: how many of them, the last ones, are taken out.
        boxes: before that.
    """
    name, pictures, face, body = _honest(seed, casts, boxes)
    gone = {item["label"] for item in pictures["cast"][casts - absent :]}
    frames = [re.sub(r"(_-?\d+){4}\.jpg$", "", item["file"]) for item in pictures["candidates"]]
    shown = zip(frames, pictures["candidates"], strict=True)
    emptied = {frame for frame, item in shown if item["label"] in gone}
    kept = [index for index, frame in enumerate(frames) if frame not in emptied]
    rows = [*range(casts), *(casts + index for index in kept)]
    candidates = [pictures["candidates"][index] for index in kept]
    return _through_files(name, pictures["cast"], candidates, face[rows], body[kept])


def _honest(seed: int, casts: int, boxes: int) -> tuple[str, dict[str, Any], np.ndarray, np.ndarray]:
    """Name, pictures, faces and bodies of a movie, whose labels hide nothing; all else is as with noise."""
    tool = _tool("make_movie_features")
    _, retina, face, reid, _, _ = tool.split(seed, 1, casts, boxes, tool.Model(label_noise=0.0))
    ((name, pictures),) = retina.items()
    return name, pictures, face[name], reid[name]


def varied_model(seed: int) -> Any:
    """The simulator's model, each of its constants times a lognormal factor; equal seeds give equal models."""
    model = _tool("make_movie_features").Model()
    rng = np.random.default_rng([seed, 1])

    def around(name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(around(name, part) for part in value)
        low, high = LIMITS.get(name, (0.0, MOST_SHARE if value <= 1 else np.inf))
        return float(np.clip(value * rng.lognormal(0, NOISE), low, high))

    drawn = {f.name: around(f.name, getattr(model, f.name)) for f in fields(model) if not f.name.endswith("_dim")}
    drawn["view"] = tuple(share / sum(drawn["view"]) for share in drawn["view"])
    parts = [name for name in drawn if name.startswith("b_") and name != "b_style"]
    shrunk = min(1.0, MOST_OF_BODY / sum(drawn[name] for name in parts))
    drawn |= {name: drawn[name] * shrunk for name in parts}
    dims = {name: int(rng.integers(*DIMS)) for name in ("face_dim", "body_dim")}
    for rank, dim in (("face_rank", dims["face_dim"]), ("body_rank", dims["body_dim"])):
        drawn[rank] = min(drawn[rank], 0.6 * dim)  # an effective dimension needs some more real ones
    return replace(model, **dims, **drawn)


def _through_files(
    name: str, cast: list[dict[str, Any]], candidates: list[dict[str, Any]], face: np.ndarray, body: np.ndarray
) -> LabelledMovie:
    """The movie as fusion.py gets it."""
    truth = {item["id"]: [box["id"] for box in candidates if box["label"] == item["label"]] for item in cast}
    contents = {"retina": {"cast": cast, "candidates": candidates}, "face": face, REID: body}
    with tempfile.TemporaryDirectory() as folder:
        for file, content in contents.items():
            (Path(folder) / f"{file}_val.pkl").write_bytes(pickle.dumps({name: content}))
        ((labelled),) = label_movies(read_movies(Path(folder), "val", [REID]), truth)
    return labelled
