"""Networks on disk: what each file is, and how it is loaded.

What a file is, is read from the file: an MXNet graph whose outputs are RetinaFace's, or an ONNX
network with SCRFD's outputs, detects; a network with one output from a 112 x 112 picture embeds.
MXNet checkpoints run through this project's own code, ONNX files through the insightface library's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from castsearch.faces.alignment import ARCFACE_SIZE
from castsearch.faces.errors import PackError
from castsearch.faces.packs import Task
from castsearch.faces.retinaface import OUTPUTS, SCALES, open_retinaface
from castsearch.faces.search import SCRFD_SIDES, SearchSettings
from castsearch.networks import Place, Ran
from castsearch.networks.checkpoints import CACHE_SUFFIX, converted
from castsearch.networks.mxnet import read_symbol
from castsearch.networks.onnx_files import check_in_one_file, read_facts
from castsearch.stagefiles import Faces

SCRFD_OUTPUTS = (9, 15)  # score, box and landmarks at three strides, or at five
SCRFD_STEP = 32  # pixels, its largest stride
# Of tight crops of 74 faces SCRFD found all at a side of 128 or 320 and none at 640, where they are larger than its
# largest anchors; RetinaFace found 72.
SCRFD_CLOSE = 320


class Detector(Protocol):
    """Finds faces.

    Attributes:
        ran: what runs its network where; None before it did.
    """

    @property
    def ran(self) -> Ran | None: ...

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of pictures, (h, w, 3) uint8 RGB each."""

    def glimpse(self, image: np.ndarray) -> Faces:
        """Find what may be a face, unsure ones too; see ``FacePack``."""

    def feeds(self, image: np.ndarray) -> Iterable[Mapping[str, np.ndarray]]:
        """What the network is given for a picture, to calibrate it on."""


class Embedder(Protocol):
    """Embeds aligned faces.

    Attributes:
        ran: what runs its network where.
    """

    @property
    def ran(self) -> Ran: ...

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 112, 112) uint8 RGB into (n, d) float32."""

    def feeds(self, chips: np.ndarray) -> Iterable[Mapping[str, np.ndarray]]:
        """What the network is given for chips, to calibrate it on."""


class NetworkFile(Protocol):
    """A network on disk, of either kind.

    Attributes:
        task: what it does.
        path: the file that a message names.
        files: all of its files.
        libraries: whose versions results may depend on, beside those that run the network.
    """

    libraries: ClassVar[tuple[str, ...]]

    @property
    def task(self) -> Task: ...

    @property
    def path(self) -> Path: ...

    @property
    def files(self) -> tuple[Path, ...]: ...

    def resolve(self, search: SearchSettings) -> SearchSettings:
        """The search as this detector carries it out, its own scales filled in.

        Raises:
            PackError: the detector cannot do what is asked.
        """

    def misses_close_ups(self, search: SearchSettings) -> bool:
        """Whether the detector sees no face that fills its picture, by a search that ``resolve`` gave."""

    def open_detector(self, search: SearchSettings, place: Place, model: Path | None = None) -> Detector:
        """Load the detector; its search is one that ``resolve`` gave, ``model`` the network quantized, for int8."""

    def open_embedder(self, place: Place, model: Path | None = None) -> Embedder:
        """Load the embedder; ``model`` is the network quantized, for int8."""

    def onnx(self) -> Path | bytes:
        """The network as ONNX, a file or its content."""


@dataclass(frozen=True)
class MxnetCheckpoint:
    """RetinaFace or ArcFace as the authors released them; see ``NetworkFile``."""

    task: Task
    path: Path  # the graph
    params: Path
    libraries: ClassVar[tuple[str, ...]] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return self.path, self.params

    def resolve(self, search: SearchSettings) -> SearchSettings:
        return search if search.scales else SearchSettings(SCALES, search.flip)

    def misses_close_ups(self, search: SearchSettings) -> bool:
        return False

    def open_detector(self, search: SearchSettings, place: Place, model: Path | None = None) -> Detector:
        return open_retinaface(self.path, self.params, place, search, model=model)

    def open_embedder(self, place: Place, model: Path | None = None) -> Embedder:
        from castsearch.faces.arcface import open_arcface

        return open_arcface(self.path, self.params, place, model)

    def onnx(self) -> Path | bytes:
        return converted(self.path, self.params)


@dataclass(frozen=True)
class OnnxFile:
    """SCRFD or ArcFace as the insightface library has them; see ``NetworkFile``."""

    task: Task
    path: Path
    side: int | None  # of the square picture, in pixels, where the file fixes it
    libraries: ClassVar[tuple[str, ...]] = ("insightface",)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def resolve(self, search: SearchSettings) -> SearchSettings:
        if search.flip:
            raise PackError(f"{self.path}: flip is for RetinaFace checkpoints only; leave it out")
        if any(scale % SCRFD_STEP for scale in search.scales or ()):
            raise PackError(f"{self.path}: scales {search.scales}: SCRFD takes multiples of {SCRFD_STEP} only")
        if self.side is None:
            return search if search.scales else SearchSettings(SCRFD_SIDES)
        # The library would go by the file and say nothing.
        if search.scales not in (None, (self.side,)):
            raise PackError(
                f"{self.path}: scales {search.scales}: this file takes {self.side} only; leave them out, or get a "
                "SCRFD whose input has no fixed size"
            )
        return SearchSettings((self.side,))

    def misses_close_ups(self, search: SearchSettings) -> bool:
        return min(search.scales or SCRFD_SIDES) > SCRFD_CLOSE

    def open_detector(self, search: SearchSettings, place: Place, model: Path | None = None) -> Detector:
        from castsearch.faces.insightface_networks import InsightFaceDetector

        return InsightFaceDetector(self.path, place, search, model)

    def open_embedder(self, place: Place, model: Path | None = None) -> Embedder:
        from castsearch.faces.insightface_networks import InsightFaceEmbedder

        return InsightFaceEmbedder(self.path, place, model)

    def onnx(self) -> Path | bytes:
        return self.path


def find_networks(folder: Path) -> dict[Task, NetworkFile]:
    """The detector and the embedder in a folder or one level below it.

    Raises:
        PackError: there is not exactly one of each, or a file is damaged.
    """
    files = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    networks = [network for path in files if (network := inspect(path)) is not None]
    tasks: tuple[Task, ...] = ("detector", "embedder")
    for task in tasks:
        found = [str(network.path.relative_to(folder)) for network in networks if network.task == task]
        if len(found) != 1:
            raise PackError(
                f"{folder}: expected one {task}, found {', '.join(found) or 'none'}; "
                "a pack is a folder with one face detector and one embedder (MXNet checkpoints or ONNX files)"
            )
    return {network.task: network for network in networks}


def inspect(path: Path) -> NetworkFile | None:
    """The network that a file is the first one of, if it is one that detects or embeds.

    Raises:
        PackError: it is damaged, or a checkpoint of another kind.
    """
    if path.name.endswith("-symbol.json"):
        return _inspect_checkpoint(path)
    if path.name.endswith(".onnx") and not path.name.endswith(CACHE_SUFFIX):
        return _inspect_onnx(path)
    return None


def _inspect_checkpoint(symbol: Path) -> MxnetCheckpoint:
    graph = read_symbol(symbol)
    prefix = symbol.name.removesuffix("-symbol.json")
    epochs = sorted(p for p in symbol.parent.iterdir() if re.fullmatch(re.escape(prefix) + r"-\d{4}\.params", p.name))
    if not epochs:
        raise PackError(f"{symbol}: its parameters {prefix}-0000.params are missing; put them beside it")
    outputs = [graph.nodes[source].name for source, _ in graph.heads]
    if set(outputs) == set(OUTPUTS):
        return MxnetCheckpoint("detector", symbol, epochs[-1])
    if len(outputs) == 1:
        return MxnetCheckpoint("embedder", symbol, epochs[-1])
    raise PackError(
        f"{symbol}: neither an embedder (one output) nor a RetinaFace with landmarks ({len(OUTPUTS)} outputs), "
        f"it has {len(outputs)}: {', '.join(outputs)[:120]}"
    )


def _inspect_onnx(path: Path) -> OnnxFile | None:
    """None for a network that does neither (InsightFace packs bring age and 106 landmarks too)."""
    facts = read_facts(path)
    shapes, outputs = [port.shape for port in facts.inputs], facts.outputs
    height, width = shapes[0][2:] if len(shapes) == 1 and len(shapes[0]) == 4 else (None, None)
    side = height if height == width and isinstance(height, int) else None
    task: Task
    if len(outputs) in SCRFD_OUTPUTS:
        task = "detector"
    elif len(outputs) == 1 and side == ARCFACE_SIZE:
        task = "embedder"
    else:
        return None
    check_in_one_file(path, facts)
    return OnnxFile(task, path, side)
