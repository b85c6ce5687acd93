"""Body networks made ready to run on a device: PyTorch, or ONNX Runtime on CPUs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from castsearch.bodies import distributed
from castsearch.bodies.backbones import normalise
from castsearch.bodies.networks import Network
from castsearch.errors import CastSearchError

# Maps (n, h, w, 3) uint8 RGB pictures to (n, d) float32 features.
Engine: TypeAlias = Callable[[np.ndarray], np.ndarray]


class DeviceError(CastSearchError):
    """A GPU that was asked for and is not there."""


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
    """Make a ``MemoryError`` of what PyTorch and ONNX Runtime raise for want of memory, of the machine or of a GPU."""
    try:
        yield
    except Exception as error:
        short = any(words in str(error).lower() for words in ("allocate memory", "bad_alloc", "bad allocation"))
        if short or isinstance(error, torch.cuda.OutOfMemoryError):
            raise MemoryError from None
        raise


class _Mirrored(nn.Module):
    """Mean feature of (n, h, w, 3) uint8 pictures and of their mirror images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        x = normalise(pictures, next(self.model.parameters()).dtype)
        return (self.model(x) + self.model(x.flip(3))) / 2


def torch_engine(model: nn.Module, on: torch.device) -> Engine:
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


def fastest_engine(model: Network, on: torch.device, height: int, width: int) -> tuple[str, Engine]:
    """ONNX Runtime on a CPU, PyTorch on a GPU, and its name; benchmarks/bodies.py measures both."""
    if on.type == "cpu":
        return "onnxruntime", onnx_engine(model, height, width)
    return "torch", torch_engine(model, on)
