"""A network that is ready to run, whichever library runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from castsearch.networks.errors import NetworkError
from castsearch.networks.places import LIBRARIES, Place, Precision


class Port(NamedTuple):
    """An input or output.

    Attributes:
        name: in the graph.
        shape: free dimensions are a name or None.
    """

    name: str
    shape: tuple[int | str | None, ...]


class Ran(NamedTuple):
    """What ran a network where, as it was and not as it was asked.

    Attributes:
        engine: the library and its version.
        device: the device in words.
        precision: of products.
        agreement: of int8 with float32, in words.
    """

    engine: str
    device: str
    precision: Precision
    agreement: str | None = None

    def words(self) -> dict[str, str]:
        """What is known of it by name, as metadata tell it."""
        return {field: told for field, told in self._asdict().items() if told is not None}


class Network(Protocol):
    """A network on a device. Several threads may run it at the same time.

    Attributes:
        path: the file that messages name.
        inputs: what it takes.
        outputs: what it gives.
        ran: what runs it where.
    """

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    ran: Ran

    def run(self, feed: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """Run it once.

        Args:
            feed: the inputs by name.
            outputs: names of those that are wanted, in this order; by default all.

        Returns:
            An array for each, which nobody else writes to.

        Raises:
            NetworkError: it cannot be run on what it is given.
        """


def open_network(path: Path, place: Place, cores: int | None = None, model: Path | bytes | None = None) -> Network:
    """Make a network ready to run.

    ONNX Runtime runs ONNX files in float32. OpenVINO runs the other precisions, and what only it reads: TensorFlow's
    frozen graphs (``.pb``) and its own files (``.xml``).

    Args:
        path: the network's file, which messages name.
        place: where it runs.
        cores: of the CPU that one call takes, by default all; that many calls at the same time are worth while as
            there are such shares.
        model: what ``path`` was converted to, a file or an ONNX file's content.

    Raises:
        NetworkError: it is damaged, or of no known kind.
        DeviceError: the GPU does not run it.
        PrecisionError: it does not run at that precision.
    """
    readable = path if model is None else model
    suffix = "" if isinstance(readable, bytes) else readable.suffix.lower()
    if suffix in (".pb", ".xml") or place.precision != "float32":
        if place.gpu >= 0:
            raise NetworkError(f"{path}: only the CPU runs networks of this kind; choose -1 for the CPU")
        # OpenVINO takes a fifth of a second to load.
        from castsearch.networks.openvino_engine import OpenVinoNetwork

        return OpenVinoNetwork(path, readable, place, cores)
    from castsearch.networks.onnxruntime_engine import OnnxRuntimeNetwork

    return OnnxRuntimeNetwork(path, readable, place, cores)


def libraries(place: Place) -> tuple[str, ...]:
    """The packages that run an ONNX network there, whose versions its results may depend on."""
    return LIBRARIES[place.precision]


def finite(network: Network) -> Network:
    """A detector's network that stops at outputs that are not finite: none is a face's score, so none would be found.

    Its ``run`` raises ``NetworkError`` then.
    """
    return _FiniteNetwork(network)


class _FiniteNetwork:
    def __init__(self, network: Network) -> None:
        self._network = network
        self.path, self.inputs, self.outputs, self.ran = network.path, network.inputs, network.outputs, network.ran

    def run(self, feed: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        arrays = self._network.run(feed, outputs)
        if not all(np.isfinite(array).all() for array in arrays):
            raise NetworkError(f"{self.path}: the detector gives numbers that are not finite; get it again")
        return arrays
