"""The named packs: where their files belong, where they come from, and on which terms."""

from __future__ import annotations

from pathlib import Path

DLIB = "dlib"

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

NAMES = (DLIB, ORIGINAL, *INSIGHTFACE_PACKS)

NON_COMMERCIAL = "InsightFace's pretrained models: non-commercial research only"
UNKNOWN_LICENCE = f"as the makers of the files in the folder set it ({NON_COMMERCIAL})"


def missing_original() -> list[str]:
    """Which files of ``ORIGINAL_FILES`` are not in ``ORIGINAL_FOLDER``, or are empty there."""
    paths = {name: ORIGINAL_FOLDER / name for name in ORIGINAL_FILES}
    return [name for name, path in paths.items() if not path.is_file() or not path.stat().st_size]
