"""Face packs made of network files: the original's checkpoints, InsightFace packs, any folder with both networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.faces import catalogue
from castsearch.faces.alignment import ARCFACE_SIZE, align_arcface
from castsearch.faces.calibration import CalibrationSet, calibrated
from castsearch.faces.errors import PackError
from castsearch.faces.network_files import Detector, Embedder, MxnetCheckpoint, NetworkFile, find_networks
from castsearch.faces.packs import Task
from castsearch.faces.search import DEFAULT_SEARCH, SearchSettings
from castsearch.networks import NetworkError, Place, Precision, PrecisionError, Ran
from castsearch.networks.int8 import Agreement, Quantized
from castsearch.networks.network import libraries
from castsearch.stagefiles import Faces, file_sha256


class FolderPack:
    """A detector and an embedder; see ``castsearch.faces.packs.FacePack``.

    Args:
        name: as the user wrote it.
        licence: the terms of the weights.
        folder: where the files lie.
        networks: its detector and embedder.
        place: where they run.
        search: how pictures are to be searched.

    Raises:
        PackError: the detector cannot search so.
    """

    chip_size = ARCFACE_SIZE

    def __init__(
        self,
        name: str,
        licence: str,
        folder: Path,
        networks: Mapping[Task, NetworkFile],
        place: Place,
        search: SearchSettings,
    ) -> None:
        self.name, self.licence, self.device = name, licence, str(place)
        self.search = networks["detector"].resolve(search)
        self.misses_close_ups = networks["detector"].misses_close_ups(self.search)
        self._folder, self._networks, self._place = folder, networks, place
        self._digest = cache(file_sha256)
        self._quantized: dict[Task, Quantized] = {}

    @cached_property
    def _detector(self) -> Detector:
        return self._networks["detector"].open_detector(self.search, self._place, self._model("detector"))

    @cached_property
    def _embedder(self) -> Embedder:
        return self._networks["embedder"].open_embedder(self._place, self._model("embedder"))

    def _model(self, task: Task) -> Path | None:
        """A network quantized, for int8."""
        if self.precision != "int8":
            return None
        if task not in self._quantized:
            raise PrecisionError(
                f"{self._networks[task].path}: in int8 a network is calibrated on pictures before it is used; "
                f"call calibrate, or choose bfloat16 or float32"
            )
        return self._quantized[task].model

    @property
    def precision(self) -> Precision:
        """At which the networks compute."""
        return self._place.precision

    def calibrate(self, task: Task, given: CalibrationSet) -> Agreement:
        """Make a network ready for int8, whose first use this must come before.

        Args:
            task: which network.
            given: what it is calibrated on and compared on.

        Returns:
            Its agreement with itself in float32.

        Raises:
            NetworkError: it is damaged.
            PrecisionError: it cannot be quantized, or agrees too little.
        """
        network = self._networks[task]
        made = calibrated(network, self.search, self._place, given)
        made.agreement.check(network.path)
        self._quantized[task] = made
        return made.agreement

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB."""
        return self.detect_many([image])[0]

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures; those of one size go through the network together."""
        return self._detector.detect_many(images)

    def glimpse(self, image: np.ndarray) -> Faces:
        """Find what may be a face of a picture, unsure ones too."""
        return self._detector.glimpse(image)

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """Cut one face out upright: (3, 112, 112) uint8 RGB."""
        return align_arcface(image, box, landmarks)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed (n, 3, 112, 112) uint8 RGB chips into (n, d) float32, not normalised."""
        return self._embedder.embed(chips)

    def try_embedder(self) -> None:
        """Embed one chip; the network is let go, since detection needs the memory."""
        network = self._networks["embedder"]
        grey = np.full((1, 3, ARCFACE_SIZE, ARCFACE_SIZE), 127, np.uint8)
        # In float32 where it may not be calibrated yet: whether it is broken shows as well.
        place = replace(self._place, precision="float32") if self.precision == "int8" else self._place
        vectors = network.open_embedder(place).embed(grey)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise PackError(
                f"{network.path}: expected an embedding of a grey chip, a row of finite numbers, got an array of "
                f"{vectors.shape} between {vectors.min()} and {vectors.max()}; get it again"
            )

    def ran(self, task: Task) -> Ran | None:
        """What runs a network where; None before its first use."""
        opened: Detector | Embedder | None = vars(self).get(f"_{task}")  # asking the property would open it
        ran = None if opened is None else opened.ran
        if ran is None or task not in self._quantized:
            return ran
        return ran._replace(agreement=str(self._quantized[task].agreement))

    def identity(self, task: Task) -> Mapping[str, Any]:
        """Weights of a network, the libraries that run them, and how, where not in float32."""
        network = self._networks[task]
        files = {file.relative_to(self._folder).as_posix(): file for file in network.files}
        told: dict[str, Any] = {
            "sha256": {name: self._digest(files[name]) for name in sorted(files)},
            "versions": {library: version(library) for library in (*libraries(self._place), *network.libraries)},
        }
        if self.precision != "float32":
            told["precision"] = self.precision
        if task in self._quantized:
            told["calibrated"] = self._quantized[task].digest
        return told


def open_original(place: Place, search: SearchSettings = DEFAULT_SEARCH) -> FolderPack:
    """The pack ``r50-r100``: RetinaFace-R50 and LResNet100E-IR in ``RetinaFace/model/``.

    Raises:
        PackError: a file is missing.
    """
    folder = catalogue.ORIGINAL_FOLDER
    if missing := catalogue.missing_original():
        raise PackError(
            f"{folder / missing[0]}: weights of the pack {catalogue.ORIGINAL} are missing; take them from "
            f"{catalogue.ORIGINAL_FILES[missing[0]]} (see {folder / 'README.md'}), or choose another pack"
        )
    paths = [folder / name for name in catalogue.ORIGINAL_FILES]
    networks: dict[Task, NetworkFile] = {
        "detector": MxnetCheckpoint("detector", *paths[:2]),
        "embedder": MxnetCheckpoint("embedder", *paths[2:]),
    }
    return FolderPack(catalogue.ORIGINAL, catalogue.NON_COMMERCIAL, folder, networks, place, search)


def open_insightface(name: str, place: Place, search: SearchSettings = DEFAULT_SEARCH) -> FolderPack:
    """An InsightFace pack where the insightface library keeps it.

    Raises:
        PackError: it is not there, or damaged, or its detector cannot search so.
    """
    folder = catalogue.INSIGHTFACE_FOLDER.expanduser() / name
    if not folder.is_dir():
        raise PackError(
            f"{folder}: the pack {name} is not there; get it by scripts/download_models.py {name}, "
            "or name the folder where it lies"
        )
    try:
        networks = find_networks(folder)
    except (PackError, NetworkError) as error:
        raise PackError(f"{error}; get it again by scripts/download_models.py {name}") from None
    return FolderPack(name, catalogue.NON_COMMERCIAL, folder, networks, place, search)


def open_folder(path: Path, name: str, place: Place, search: SearchSettings = DEFAULT_SEARCH) -> FolderPack:
    """A folder, or its subfolders, with one detector and one embedder of any kind.

    Args:
        path: the folder.
        name: what the user called it.
        place: where its networks run.
        search: how pictures are searched.

    Raises:
        PackError: there is not exactly one of each, a file is damaged, or the detector cannot search so.
    """
    networks = find_networks(path)
    insightface = any(part in catalogue.INSIGHTFACE_PACKS for part in path.resolve().parts)
    licence = catalogue.NON_COMMERCIAL if insightface else catalogue.UNKNOWN_LICENCE
    return FolderPack(name, licence, path, networks, place, search)
