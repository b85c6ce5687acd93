"""Body networks as ONNX graphs, opened at a place; int8 is calibrated on some pictures and compared on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from castsearch import networks
from castsearch.images import ImageReader
from castsearch.networks import Place, PrecisionError, Ran
from castsearch.networks.int8 import Agreement, Draw, Feed, Quantized, check_enough, cosine_agreement, draw, quantized
from castsearch.stagefiles import file_sha256

# Maps (n, h, w, 3) uint8 RGB pictures to (n, d) float32 features.
Engine: TypeAlias = Callable[[np.ndarray], np.ndarray]


class Graph(Protocol):
    """A body network as an ONNX graph."""

    @property
    def path(self) -> Path:
        """The file that messages name."""

    @property
    def model(self) -> Path | bytes:
        """The ONNX file, or its content."""

    @property
    def depends(self) -> Mapping[str, Any]:
        """What its features depend on besides; JSON can hold it."""

    @property
    def at_once(self) -> int:
        """How many pictures one run takes, whether they are there or not; 1 where it takes any number."""

    def feeds(self, pictures: np.ndarray) -> Iterator[Feed]:
        """The inputs of the runs that (n, h, w, 3) uint8 pictures take."""

    def engine(self, network: networks.Network) -> Engine:
        """What runs ``network``, which is this graph on a device."""


@dataclass(frozen=True)
class Sample:
    """Pictures of which some calibrate int8 and others tell how far it agrees with float32.

    Attributes:
        reader: reads them by file name.
        files: all that features are wanted of; some are drawn.
        prepare: brings one to the network's size, (height, width, 3) uint8.
    """

    reader: ImageReader
    files: Sequence[str]
    prepare: Callable[[np.ndarray], np.ndarray]

    def draw(self) -> Draw:
        """The files drawn, of those that can be read.

        Raises:
            PrecisionError: there are too few.
            ImageError: one is bad and the reader does not skip it.
        """
        drawn = draw(self.files)
        for file in drawn.calibration + drawn.comparison:
            self.reader(file)
        good = Draw(*([file for file in some if file not in self.reader.bad] for some in drawn))
        check_enough(*map(len, good))
        return good

    def pictures(self, files: Sequence[str], at_once: int = 1) -> Iterator[np.ndarray]:
        """They in batches of so many, (at_once, height, width, 3) uint8; the last one may be smaller."""
        for start in range(0, len(files), at_once):
            yield np.stack([self.prepare(self.reader(file)) for file in files[start : start + at_once]])

    def digest(self, drawn: Draw) -> dict[str, list[str]]:
        """What the drawn files hold."""
        return {
            name: [file_sha256(self.reader.root / file) for file in files] for name, files in drawn._asdict().items()
        }


class Opened(NamedTuple):
    """A network that runs.

    Attributes:
        engine: it.
        ran: what runs it where.
        quantized: it in int8; None at other precisions.
    """

    engine: Engine
    ran: Ran
    quantized: Quantized | None = None

    @property
    def depends(self) -> dict[str, Any]:
        """What its features depend on besides weights and settings; in float32 as it always was told."""
        told: dict[str, Any] = {"engine": self.ran.engine.partition(" ")[0]}
        if self.ran.device != "CPU" and told["engine"] != "torch":  # which runs nothing on CPUs
            told["device"] = "GPU"
        if self.ran.precision != "float32":
            told["precision"] = self.ran.precision
        if self.quantized is not None:
            told["int8"] = self.quantized.digest
        return told

    @property
    def agreement(self) -> Agreement | None:
        """Of int8 with float32."""
        return self.quantized and self.quantized.agreement


def open_graph(graph: Graph, place: Place, sample: Sample | None = None) -> Opened:
    """Make a graph ready to run.

    Args:
        graph: the network.
        place: where it runs.
        sample: pictures to calibrate int8 on.

    Raises:
        NetworkError: it cannot be run.
        PrecisionError: in int8 it is too far from itself in float32, or there are too few pictures to tell.
    """
    if place.precision == "int8":
        return _open_int8(graph, place, sample)
    network = networks.open_network(graph.path, place, model=graph.model)
    return Opened(graph.engine(network), network.ran)


def _open_int8(graph: Graph, place: Place, sample: Sample | None) -> Opened:
    if sample is None:
        raise PrecisionError(f"{graph.path}: int8 is calibrated on pictures; give some")
    given, drawn = sample, sample.draw()
    plain = open_graph(graph, Place(place.gpu)).engine  # first: a file that is no body network is told as such

    def open_quantized(model: Path) -> networks.Network:
        return networks.open_network(graph.path, place, model=model)

    def feeds() -> Iterator[Feed]:
        return (feed for some in given.pictures(drawn.calibration, graph.at_once) for feed in graph.feeds(some))

    def compare(model: Path) -> Agreement:
        engine = graph.engine(open_quantized(model))
        pairs = [(plain(some), engine(some)) for some in given.pictures(drawn.comparison, graph.at_once)]
        float32, int8 = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
        if not (np.isfinite(float32).all() and float32.any(axis=1).all()):
            raise PrecisionError(
                f"{graph.path}: some features are not finite or all zero in float32, too, so that int8 has nothing to "
                "agree with; choose float32, which names the picture"
            )
        return cosine_agreement(float32, int8, len(drawn.calibration))

    found = quantized(graph.path, graph.model, feeds, compare, {**graph.depends, "pictures": given.digest(drawn)})
    found.agreement.check(graph.path)
    network = open_quantized(found.model)
    return Opened(graph.engine(network), network.ran._replace(agreement=str(found.agreement)), found)
