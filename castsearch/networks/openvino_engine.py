"""Networks run by OpenVINO on the CPU: bfloat16 and int8, and TensorFlow's frozen graphs."""

from __future__ import annotations

import io
import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.errors import one_line
from castsearch.networks.errors import NetworkError, PrecisionError, cannot_run
from castsearch.networks.network import Port, Ran
from castsearch.networks.places import Place, Precision
from castsearch.networks.unwatched import unwatched
from castsearch.parallel import core_count

with unwatched():
    import openvino
    from openvino.frontend import FrontEndManager

# Kernels that are kept for sizes of pictures already met. They come sorted by size; 5,000, the default, take gigabytes.
_KEPT_KERNELS = 20
# int8 networks compute what is not quantized in float32.
_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


@cache
def _core() -> openvino.Core:
    return openvino.Core()


class OpenVinoNetwork:
    """See ``castsearch.networks.network.Network``.

    Args:
        path: the file that messages name.
        model: what is read: an ONNX file or its content, a frozen graph (``.pb``), or OpenVINO's own ``.xml``, beside
            which its weights lie in a ``.bin``; for int8 a quantized one.
        place: where it runs; on the CPU.
        cores: of the CPU that one call takes, by default all.

    Raises:
        NetworkError: it is no usable network.
        PrecisionError: it does not run at that precision, or is to run in int8 and is not quantized.
    """

    def __init__(self, path: Path, model: Path | bytes, place: Place, cores: int | None = None) -> None:
        self.path = path
        read = read_model(path, model)
        if place.precision == "int8" and not any(node.get_type_name() == "FakeQuantize" for node in read.get_ops()):
            raise PrecisionError(f"{path}: nothing of it is quantized, so it would not run in int8; choose float32")
        streams = max(1, core_count() // (cores or core_count()))
        self._requests: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()  # those that nobody runs
        with _usable(path):
            self._compiled = _compile(read, place.precision, streams)
            for _ in range(streams):
                self._requests.put(self._compiled.create_infer_request())
            self.inputs = tuple(_port(port) for port in self._compiled.inputs)
            self.outputs = tuple(_port(port) for port in self._compiled.outputs)
        hint = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if hint != _HINTS[place.precision]:
            raise PrecisionError(f"{path}: OpenVINO runs it in {hint} instead of {place.precision}; choose float32")
        # One output has all the names that layers before it have, which do nothing now.
        self._names = [port.names for port in self._compiled.inputs]
        self._places = {name: i for i, port in enumerate(self._compiled.outputs) for name in port.names}
        self.ran = Ran(f"openvino {openvino.__version__.partition('-')[0]}", place.device, place.precision)

    def run(self, feed: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """See ``Network.run``."""
        # What it is not given anew it would take from the run before.
        if unfed := [port.name for port, names in zip(self.inputs, self._names, strict=True) if names.isdisjoint(feed)]:
            raise cannot_run(self.path, f"input {unfed[0]} is missing")
        try:
            places = range(len(self.outputs)) if outputs is None else [self._places[name] for name in outputs]
        except KeyError as error:
            raise cannot_run(self.path, error) from None
        request = self._requests.get()
        try:
            # Run by the caller's own thread, two requests may fall to one stream and wait for each other.
            request.start_async(dict(feed), share_inputs=True)
            request.wait()
            return [request.get_output_tensor(place).data.copy() for place in places]
        except RuntimeError as error:
            raise cannot_run(self.path, error) from None
        finally:
            self._requests.put(request)


def read_model(path: Path, model: Path | bytes) -> openvino.Model:
    """Read a network as what it says it is: left to guess, OpenVINO takes a damaged file for one of any kind.

    Args:
        path: the file that messages name.
        model: see ``OpenVinoNetwork``.

    Raises:
        NetworkError: it is damaged.
    """
    suffix = "" if isinstance(model, bytes) else model.suffix.lower()
    with _usable(path):
        if suffix == ".xml":
            return _core().read_model(str(model))
        reader = FrontEndManager().load_by_framework("tf" if suffix == ".pb" else "onnx")
        read = reader.convert(reader.load(io.BytesIO(model) if isinstance(model, bytes) else str(model)))
        if not read.inputs or not read.outputs:
            raise NetworkError(f"{path}: not a usable network (it takes or gives nothing); get it again")
        return read


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Tell what OpenVINO says of a file."""
    try:
        yield
    except (MemoryError, NetworkError):
        raise
    except UnicodeDecodeError:  # of a name that it shall tell
        raise NetworkError(f"{path}: not a usable network (a name in it is no text); get it again") from None
    except Exception as error:  # of its readers, whose errors have no common type
        raise NetworkError(f"{path}: not a usable network ({one_line(error)}); get it again") from None


def _compile(model: openvino.Model, precision: Precision, streams: int) -> openvino.CompiledModel:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": core_count(),
        "NUM_STREAMS": streams,
        "CPU_RUNTIME_CACHE_CAPACITY": _KEPT_KERNELS,
        "ENABLE_CPU_PINNING": False,  # other work may want the same cores
    }
    return _core().compile_model(model, "CPU", settings)


def _port(port: Any) -> Port:
    shape = port.partial_shape
    sides = [None if side.is_dynamic else side.get_length() for side in shape] if shape.rank.is_static else []
    return Port(port.any_name, tuple(sides))
