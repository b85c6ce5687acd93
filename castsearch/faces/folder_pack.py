"""Face packs made of network files: MXNet checkpoints, ONNX files, InsightFace packs.

What a file is, is read from the file: an MXNet graph whose outputs are RetinaFace's, or an ONNX
network with SCRFD's outputs, detects; a network with one output from a 112 x 112 picture embeds.
MXNet checkpoints run on this project's own code, ONNX files on the insightface library's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from castsearch.faces.alignment import ARCFACE_SIZE, align_arcface
from castsearch.faces.mxnet import read_symbol
from castsearch.faces.packs import Faces, PackError
from castsearch.faces.retinaface import OUTPUTS, SCALES, DetectionSettings, open_retinaface
from castsearch.faces.sessions import (
    CACHE_SUFFIX,
    device_name,
    onnx_signature,
    resolve_gpu,
)
from castsearch.stagefiles import file_sha256

ORIGINAL = "r50-r100"
ORIGINAL_FOLDER = Path(__file__).resolve().parents[2] / "RetinaFace" / "model"
_R50 = "retinaface-R50.zip, https://www.dropbox.com/s/53ftnlarhyrpkg2/retinaface-R50.zip"
_R100 = (
    "model-r100-arcface-ms1m-refine-v2.zip, "
    "https://www.dropbox.com/s/tj96fsm6t6rq8ye/model-r100-arcface-ms1m-refine-v2.zip"
)
# Where each file comes from: InsightFace's model zoo, as the original project linked it.
ORIGINAL_FILES = {
    "R50-symbol.json": _R50,
    "R50-0000.params": _R50,
    "model-r100-ii/model-symbol.json": _R100,
    "model-r100-ii/model-0000.params": _R100,
}
INSIGHTFACE_PACKS = ("buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "antelopev2")
INSIGHTFACE_FOLDER = Path("~/.insightface/models")  # where the insightface library keeps them

NON_COMMERCIAL = "InsightFace's pretrained models: non-commercial research only"
UNKNOWN_LICENCE = f"as the makers of the files in the folder set it ({NON_COMMERCIAL})"


class Detector(Protocol):
    """Finds faces."""

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of pictures, (h, w, 3) uint8 RGB each."""


class Embedder(Protocol):
    """Embeds aligned faces."""

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 112, 112) uint8 RGB into (n, d) float32."""


@dataclass(frozen=True)
class Search:
    """How pictures are searched.

    Attributes:
        scales: short sides in pixels for RetinaFace, sides of the square input for SCRFD; None for the detector's own.
        flip: search the mirrored picture too (RetinaFace only).
    """

    scales: tuple[int, ...] | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.scales is not None and (not self.scales or min(self.scales) < 32):
            raise PackError(f"scales {self.scales}: give at least one, none below 32 pixels")


@dataclass(frozen=True)
class Network:
    """One network on disk.

    Attributes:
        task: what it does.
        graph: an ONNX file, or an MXNet checkpoint's graph.
        params: an MXNet checkpoint's parameters.
    """

    task: Literal["detector", "embedder"]
    graph: Path
    params: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All of its files."""
        return [self.graph] if self.params is None else [self.graph, self.params]

    @property
    def default_scales(self) -> tuple[int, ...]:
        """At which scales the detector searches; empty where the insightface library chooses."""
        return () if self.params is None else SCALES

    def check(self, search: Search) -> None:
        """Refuse what the detector cannot do before anything is loaded."""
        if self.params is not None:
            return
        if search.flip:
            raise PackError(f"{self.graph}: flip is for RetinaFace checkpoints only; leave it out")
        if any(scale % 32 for scale in search.scales or ()):
            raise PackError(f"{self.graph}: scales {search.scales}: SCRFD takes multiples of 32 only")

    def detector(self, gpu: int | None, search: Search) -> Detector:
        """Load the detector."""
        if self.params is None:
            from castsearch.faces.insightface_networks import InsightFaceDetector

            return InsightFaceDetector(self.graph, gpu, search.scales)
        settings = DetectionSettings(scales=search.scales or SCALES, flip=search.flip)
        return open_retinaface(self.graph, self.params, gpu, settings)

    def embedder(self, gpu: int | None) -> Embedder:
        """Load the embedder."""
        if self.params is None:
            from castsearch.faces.insightface_networks import InsightFaceEmbedder

            return InsightFaceEmbedder(self.graph, gpu)
        from castsearch.faces.arcface import open_arcface

        return open_arcface(self.graph, self.params, gpu)


class FolderPack:
    """A detector and an embedder; see ``castsearch.faces.packs.FacePack``.

    Attributes:
        device: where the networks run, in words for the user.
    """

    chip_size = ARCFACE_SIZE

    def __init__(
        self, name: str, licence: str, networks: Sequence[Network], folder: Path, gpu: int | None, search: Search
    ) -> None:
        self.name, self.licence, self.device = name, licence, device_name(gpu)
        self._networks = {network.task: network for network in networks}
        self._networks["detector"].check(search)
        self._folder, self._gpu, self._search = folder, resolve_gpu(gpu), search

    @cached_property
    def _detector(self) -> Detector:
        return self._networks["detector"].detector(self._gpu, self._search)

    @cached_property
    def _embedder(self) -> Embedder:
        return self._networks["embedder"].embedder(self._gpu)

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB."""
        return self.detect_many([image])[0]

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures; those of one size go through the network together."""
        return self._detector.detect_many(images)

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """Cut one face out upright: (3, 112, 112) uint8 RGB."""
        return align_arcface(image, box, landmarks)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 112, 112) uint8 RGB chips into (n, d) float32, not normalised."""
        return self._embedder.embed(chips)

    def metadata(self) -> Mapping[str, Any]:
        """Name, licence, weights and how pictures are searched."""
        libraries = ["onnxruntime"]
        if any(network.params is None for network in self._networks.values()):
            libraries.append("insightface")
        return {
            "pack": self.name,
            "licence": self.licence,
            "sha256": dict(self._digests),
            "scales": list(self._search.scales or self._networks["detector"].default_scales),
            "flip": self._search.flip,
            "versions": {library: version(library) for library in libraries},
        }

    @cached_property
    def _digests(self) -> dict[str, str]:
        files = sorted(file for network in self._networks.values() for file in network.files)
        return {file.relative_to(self._folder).as_posix(): file_sha256(file) for file in files}


# ---------------------------------------------------------------------------- opening


def open_original(gpu: int | None, scales: Sequence[int] | None = None, flip: bool = False) -> FolderPack:
    """The pack ``r50-r100``: RetinaFace-R50 and LResNet100E-IR in ``RetinaFace/model/``.

    Raises:
        PackError: a file is missing, or a scale makes no sense.
        DeviceError: the GPU asked for is not there.
    """
    if missing := missing_original():
        raise PackError(
            f"{ORIGINAL_FOLDER / missing[0]}: weights of the pack {ORIGINAL} are missing; take them from "
            f"{ORIGINAL_FILES[missing[0]]} (see {ORIGINAL_FOLDER / 'README.md'}), or choose another pack by --model"
        )
    paths = [ORIGINAL_FOLDER / name for name in ORIGINAL_FILES]
    networks = [Network("detector", *paths[:2]), Network("embedder", *paths[2:])]
    return FolderPack(ORIGINAL, NON_COMMERCIAL, networks, ORIGINAL_FOLDER, gpu, _search(scales, flip))


def missing_original() -> list[str]:
    """Which files of ``ORIGINAL_FILES`` are not in ``ORIGINAL_FOLDER``."""
    return [name for name in ORIGINAL_FILES if not (ORIGINAL_FOLDER / name).is_file()]


def open_insightface(name: str, gpu: int | None, scales: Sequence[int] | None = None, flip: bool = False) -> FolderPack:
    """An InsightFace pack where the insightface library keeps it.

    Raises:
        PackError: it is not there, or damaged.
        DeviceError: the GPU asked for is not there.
    """
    folder = INSIGHTFACE_FOLDER.expanduser() / name
    if not folder.is_dir():
        raise PackError(
            f"{folder}: the pack {name} is not there; get it by scripts/download_models.py {name}, "
            "or name its folder by --model"
        )
    networks = find_networks(folder)
    return FolderPack(name, NON_COMMERCIAL, networks, folder, gpu, _search(scales, flip))


def open_folder(
    path: Path, name: str, gpu: int | None, scales: Sequence[int] | None = None, flip: bool = False
) -> FolderPack:
    """A folder, or its subfolders, with one detector and one embedder of any kind.

    Args:
        path: the folder.
        name: what the user called it.
        gpu: number of the GPU, -1 for the CPU, None for a GPU if there is one.
        scales: see ``Search``.
        flip: see ``Search``.

    Raises:
        PackError: there is not exactly one of each, or a file is damaged.
        DeviceError: the GPU asked for is not there.
    """
    networks = find_networks(path)
    insightface = any(part in INSIGHTFACE_PACKS for part in path.resolve().parts)
    licence = NON_COMMERCIAL if insightface else UNKNOWN_LICENCE
    return FolderPack(name, licence, networks, path, gpu, _search(scales, flip))


def _search(scales: Sequence[int] | None, flip: bool) -> Search:
    return Search(None if scales is None else tuple(scales), flip)


# ---------------------------------------------------------------------------- what a folder holds


def find_networks(folder: Path) -> list[Network]:
    """The detector and the embedder in a folder or one level below it.

    Raises:
        PackError: there is not exactly one of each, or a file is damaged.
    """
    files = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    networks = [network for path in files for network in _inspect(path)]
    for task in ("detector", "embedder"):
        found = [str(network.graph.relative_to(folder)) for network in networks if network.task == task]
        if len(found) != 1:
            raise PackError(
                f"{folder}: expected one {task}, found {', '.join(found) or 'none'}; "
                "a pack is a folder with one face detector and one embedder (MXNet checkpoints or ONNX files)"
            )
    return networks


def _inspect(path: Path) -> list[Network]:
    """The network that a file belongs to, if it is one's first file."""
    if path.name.endswith("-symbol.json"):
        return [_inspect_checkpoint(path)]
    if path.name.endswith(".onnx") and not path.name.endswith(CACHE_SUFFIX):
        return _inspect_onnx(path)
    return []


def _inspect_checkpoint(symbol: Path) -> Network:
    graph = read_symbol(symbol)
    prefix = symbol.name.removesuffix("-symbol.json")
    epochs = sorted(p for p in symbol.parent.iterdir() if re.fullmatch(re.escape(prefix) + r"-\d{4}\.params", p.name))
    if not epochs:
        raise PackError(f"{symbol}: its parameters {prefix}-0000.params are missing; put them beside it")
    outputs = [graph.nodes[source].name for source, _ in graph.heads]
    if set(outputs) == set(OUTPUTS):
        return Network("detector", symbol, epochs[-1])
    if len(outputs) == 1:
        return Network("embedder", symbol, epochs[-1])
    raise PackError(
        f"{symbol}: neither an embedder (one output) nor a RetinaFace with landmarks ({len(OUTPUTS)} outputs), "
        f"it has {len(outputs)}: {', '.join(outputs)[:120]}"
    )


def _inspect_onnx(path: Path) -> list[Network]:
    """Empty for a network that does neither (InsightFace packs bring age and 106 landmarks too)."""
    inputs, outputs = onnx_signature(path)
    # SCRFD: score, box and landmarks at three strides, or at five.
    if len(outputs) in (9, 15):
        return [Network("detector", path)]
    if len(outputs) == 1 and len(inputs) == 1 and list(inputs[0][2:]) == [ARCFACE_SIZE, ARCFACE_SIZE]:
        return [Network("embedder", path)]
    return []
