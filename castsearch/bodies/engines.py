"""Body networks made ready to run on a device: by PyTorch on GPUs, as an ONNX graph on CPUs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from castsearch import networks
from castsearch.bodies import distributed
from castsearch.bodies.backbones import normalise
from castsearch.bodies.graphs import Engine, Opened, Sample, open_graph
from castsearch.bodies.networks import Network
from castsearch.networks import DeviceError, Place, Precision, PrecisionError, Ran
from castsearch.networks.int8 import Feed


def device(gpu: int | None = None) -> torch.device:
    """The device to compute on.

    Args:
        gpu: number of a GPU, -1 for the CPU, None for a GPU if there is one (under ``torchrun``
            each process takes its own).

    Raises:
        DeviceError: there is no such GPU.
    """
    count = torch.cuda.device_count()
    if gpu is not None and not -1 <= gpu < count:
        raise DeviceError(f"GPU {gpu} was asked for, but there are {count}; -1 stands for the CPU")
    if gpu == -1 or count == 0:
        return torch.device("cpu")
    return torch.device("cuda", (distributed.local_rank() or 0) if gpu is None else gpu)


@contextmanager
def memory() -> Iterator[None]:
    """Make a ``MemoryError`` of what the libraries raise for want of memory, of the machine or of a GPU."""
    try:
        yield
    except Exception as error:
        short = any(words in str(error).lower() for words in ("allocate memory", "bad_alloc", "bad allocation"))
        if short or isinstance(error, torch.cuda.OutOfMemoryError):
            raise MemoryError from None
        raise


class _Mirrored(nn.Module):
    """Mean feature of (n, h, w, 3) uint8 pictures and of their mirror images, which go through the network at once.

    One pass costs no more than two, and int8 sees each layer once.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        both = torch.cat([pictures, pictures.flip(2)])
        rows = self.model(normalise(both, next(self.model.parameters()).dtype, self.model.cnn))
        return (rows[: rows.shape[0] // 2] + rows[rows.shape[0] // 2 :]) / 2


def torch_engine(model: Network, on: torch.device) -> Engine:
    """Run ``model`` in PyTorch, channels last; in float32 on GPUs too, whose TF32 has 10 bits of mantissa."""
    mirrored = _Mirrored(model).eval().to(memory_format=torch.channels_last).to(on)

    def run(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return mirrored(torch.from_numpy(pictures).to(on)).float().cpu().numpy()

    def run_on_gpu(pictures: np.ndarray) -> np.ndarray:
        # Pictures have one size, for which cuDNN may look for its best way.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            return run(pictures)

    return run_on_gpu if on.type == "cuda" else run


class OwnGraph:
    """One of this project's networks as an ONNX graph; see ``castsearch.bodies.graphs.Graph``.

    Args:
        model: the network.
        height, width: of the pictures.
        path: where its weights came from, for messages.
    """

    def __init__(self, model: Network, height: int, width: int, path: Path) -> None:
        self.path = path
        self.depends = {"size": [height, width]}
        self.at_once = 1
        self.model = exported(_Mirrored(model), torch.zeros(2, height, width, 3, dtype=torch.uint8), any_number=True)

    def feeds(self, pictures: np.ndarray) -> Iterator[Feed]:
        """See ``Graph``."""
        yield {"pictures": pictures}

    def engine(self, network: networks.Network) -> Engine:
        """See ``Graph``."""
        return lambda pictures: network.run({"pictures": pictures})[0]


def exported(network: nn.Module, pictures: Tensor, any_number: bool) -> bytes:
    """An ONNX file's content: uint8 ``pictures`` to float32 ``features``.

    Args:
        network: maps (n, h, w, 3) uint8 to (n, d) float32.
        pictures: an example; the graph takes pictures of its size.
        any_number: of pictures at once; otherwise as many as the example has.
    """
    graph: Any = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs one more package for the same graph; what the tracer warns of are constants.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            network.eval().cpu(),
            (pictures,),
            graph,
            dynamo=False,
            input_names=["pictures"],
            output_names=["features"],
            dynamic_axes={"pictures": {0: "n"}, "features": {0: "n"}} if any_number else None,
        )
    return graph.getvalue()


def open_engine(
    model: Network,
    on: torch.device,
    height: int,
    width: int,
    precision: Precision = "float32",
    sample: Sample | None = None,
    path: Path | None = None,
) -> Opened:
    """The fastest way to run ``model`` on a device at a precision; benchmarks/bodies.py measures them.

    Args:
        model: the network.
        on: the device: a graph on a CPU, PyTorch on a GPU.
        height, width: of the pictures.
        precision: of products; GPUs have float32 alone.
        sample: pictures to calibrate int8 on.
        path: where its weights came from, for messages.

    Raises:
        PrecisionError: the device does not have that precision, or the network does not bear it.
    """
    if on.type == "cpu":
        place = networks.find_place(-1, precision)
        return open_graph(OwnGraph(model, height, width, path or Path("network")), place, sample)
    place = Place(on.index or 0, precision)
    if precision != "float32":
        raise PrecisionError(f"{precision} on {place.device}: only CPUs run it here; choose -1 for the CPU, or float32")
    return Opened(torch_engine(model, on), Ran(f"torch {torch.__version__}", place.device, precision))
