"""Networks run by ONNX Runtime: ONNX files in float32, on CPUs and on CUDA devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from castsearch.errors import one_line
from castsearch.networks.errors import DeviceError, NetworkError, cannot_run
from castsearch.networks.network import Port, Ran
from castsearch.networks.places import CPU, CUDA, Place
from castsearch.parallel import core_count

# What ONNX Runtime raises: its library's errors have no common type, those of its Python part are the last.
_ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    ValueError,
    RuntimeError,  # of an output of bfloat16, which numpy lacks
)

onnxruntime.set_default_logger_severity(3)  # its warnings are about its own fusions


class OnnxRuntimeNetwork:
    """See ``castsearch.networks.network.Network``.

    Args:
        path: the file that messages name.
        model: what is read, a file or its content.
        place: where it runs; float32 only.
        cores: of the CPU that one call takes, by default all.

    Raises:
        NetworkError: it is no usable network.
        DeviceError: the GPU does not run it.
    """

    def __init__(self, path: Path, model: Path | bytes, place: Place, cores: int | None = None) -> None:
        self.path = path
        self._session = _session(path, model, _options(cores), place.gpu)
        try:
            self.inputs = tuple(Port(port.name, tuple(port.shape)) for port in self._session.get_inputs())
            self.outputs = tuple(Port(port.name, tuple(port.shape)) for port in self._session.get_outputs())
        except UnicodeDecodeError:
            raise NetworkError(f"{path}: not a usable network (a name in it is no text); get it again") from None
        self.ran = Ran(f"onnxruntime {onnxruntime.__version__}", place.device, "float32")

    def run(self, feed: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """See ``Network.run``."""
        try:
            return self._session.run(outputs, dict(feed))
        except _ERRORS as error:
            raise cannot_run(self.path, error) from None


def _session(
    path: Path, model: Path | bytes, how: onnxruntime.SessionOptions, gpu: int
) -> onnxruntime.InferenceSession:
    content = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(content, how, providers=_providers(gpu), enable_fallback=0)
    except MemoryError:
        raise
    except Exception as error:  # those of its Python part are of any type
        raise NetworkError(f"{path}: not a usable network ({one_line(error)}); get it again") from None
    session.disable_fallback()  # in mid-run; ONNX Runtime 1.18 and earlier know no enable_fallback
    # Without memory or libraries it takes the CPU in silence.
    if gpu >= 0 and CUDA not in session.get_providers():
        raise DeviceError(
            f"{path}: ONNX Runtime could not put it on GPU {gpu} and would run it on the CPU; see that the GPU has "
            "free memory and that CUDA and cuDNN fit ONNX Runtime, or choose -1 for the CPU"
        )
    return session


def _options(cores: int | None) -> onnxruntime.SessionOptions:
    """Settings for a session on so many cores, by default all. Left alone, ONNX Runtime skips hyper-threads."""
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = cores or core_count()
    # Threads that wait without sleeping gain nothing here, and lose a half where other work wants the cores.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return made


def _providers(gpu: int) -> list[str | tuple[str, dict[str, Any]]]:
    if gpu < 0:
        return [CPU]
    cuda = {
        "device_id": gpu,
        "use_tf32": 0,  # 10 bits of mantissa move features further than the golden results allow
        "cudnn_conv_algo_search": "HEURISTIC",  # the default tries all of them at each new size of picture
    }
    return [(CUDA, cuda), CPU]
