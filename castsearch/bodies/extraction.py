"""Features of person crops: the mean over a picture and its mirror image, movie by movie."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from castsearch.bodies import distributed
from castsearch.bodies.backbones import normalise
from castsearch.bodies.networks import Network
from castsearch.errors import CastSearchError
from castsearch.images import ImageReader
from castsearch.parallel import ahead
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Item, Resumable, last_change

# Maps (n, h, w, 3) uint8 RGB pictures to (n, d) float32 features.
Engine: TypeAlias = Callable[[np.ndarray], np.ndarray]

Device = torch.device


class DeviceError(CastSearchError):
    """A GPU that was asked for and is not there."""


def device(gpu: int | None) -> Device:
    """The device to compute on.

    Args:
        gpu: number of a GPU, -1 for the CPU, None for a GPU if there is one (under ``torchrun``
            each process takes its own).

    Raises:
        DeviceError: there is no such GPU.
    """
    count = torch.cuda.device_count()
    if gpu is not None and gpu >= count:
        raise DeviceError(f"GPU {gpu} was asked for, but there are {count}; give --gpu -1 for the CPU")
    if gpu == -1 or count == 0:
        return Device("cpu")
    return Device("cuda", (distributed.local_rank() or 0) if gpu is None else gpu)


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) uint8 to (height, width, 3) uint8, bicubic as in the original."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


# ---------------------------------------------------------------------------- engines


class _Mirrored(nn.Module):
    """Mean feature of (n, h, w, 3) uint8 pictures and of their mirror images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        x = normalise(pictures, next(self.model.parameters()).dtype)
        return (self.model(x) + self.model(x.flip(3))) / 2


def torch_engine(model: nn.Module, on: Device) -> Engine:
    """Run ``model`` in PyTorch, channels last."""
    mirrored = _Mirrored(model).eval().to(memory_format=torch.channels_last).to(on)

    def run(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return mirrored(torch.from_numpy(pictures).to(on)).float().cpu().numpy()

    return run


def onnx_engine(model: Network, height: int, width: int) -> Engine:
    """Run ``model`` on the CPU through ONNX Runtime, for pictures of one size."""
    import onnxruntime

    graph: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs one more package for the same graph; what the tracer warns of are constants.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            _Mirrored(model).eval().cpu(),
            (torch.zeros(1, height, width, 3, dtype=torch.uint8),),
            graph,
            dynamo=False,
            input_names=["pictures"],
            output_names=["features"],
            dynamic_axes={"pictures": {0: "n"}, "features": {0: "n"}},
        )
    session = onnxruntime.InferenceSession(graph.getvalue(), providers=["CPUExecutionProvider"])
    return lambda pictures: session.run(None, {"pictures": pictures})[0]


def fastest_engine(model: Network, on: Device, height: int, width: int) -> tuple[str, Engine]:
    """ONNX Runtime on a CPU, PyTorch on a GPU, and its name; benchmarks/bodies.py measures both."""
    if on.type == "cpu":
        return "onnxruntime", onnx_engine(model, height, width)
    return "torch", torch_engine(model, on)


# ---------------------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Extractor:
    """Turns picture files into features.

    Attributes:
        engine: the network.
        reader: reads pictures by file name.
        height, width: size that pictures are brought to.
        batch_size: pictures that go through the network at once.
        workers: threads that read and resize ahead of the network.
    """

    engine: Engine
    reader: ImageReader
    height: int = 256
    width: int = 128
    batch_size: int = 16
    workers: int = 2

    def __call__(self, files: Iterable[str]) -> np.ndarray:
        """(n, d) float32 features of ``files``.

        Raises:
            ImageError: a picture is bad and the reader does not skip it.
        """
        with ahead(self._picture, iter(files), self.workers, 3 * self.batch_size) as pictures:
            rows = []
            while batch := list(islice(pictures, self.batch_size)):
                rows.append(self.engine(np.stack(batch)))
        # A movie without pictures has no rows to tell the width; later stages check the number of rows.
        return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)

    def _picture(self, file: str) -> np.ndarray:
        return resize(self.reader(file), self.height, self.width)


# ---------------------------------------------------------------------------- splits


def files_of(body: Mapping[str, Mapping[str, Sequence[Item]]], mode: str, with_cast: bool) -> dict[str, list[str]]:
    """The pictures of each movie, below the root of the crops: casts first where asked for, then candidates."""
    groups = ("cast", "candidates") if with_cast else ("candidates",)
    return {
        movie: [f"{mode}/{item['file']}" for group in groups for item in content[group]]
        for movie, content in body.items()
    }


def extract_split(
    extractor: Extractor,
    files: Mapping[str, Sequence[str]],
    out: Path,
    metadata: Mapping[str, Any],
    progress: Progress = silent,
) -> None:
    """Write the features of a whole split to ``out``, ``{movie: (n, d) float32}``.

    A run that was cut short goes on with the movie it was in.

    Args:
        extractor: turns files into features; bad pictures are in its reader's account afterwards.
        files: pictures of each movie.
        out: the feature file.
        metadata: what the features depend on; movies of an earlier run count only if it is the same.
        progress: shows how far it is.
    """
    root, bad = extractor.reader.root, extractor.reader.bad
    listing = hashlib.sha256(repr(dict(files)).encode()).hexdigest()
    split = Resumable(
        out,
        {**metadata, "pictures": listing},
        list(files),
        lambda movie: last_change(*(root / file for file in files[movie])),
    )
    todo = [file for movie in split.todo for file in files[movie]]
    names = iter(progress(todo, total=len(todo), unit="picture"))
    for movie in split.todo:
        features = extractor(islice(names, len(files[movie])))
        messages = [bad[file] for file in files[movie] if file in bad]
        split.add(movie, features, "; ".join(messages) or None)
    split.finish()
