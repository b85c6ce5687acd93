"""Packages that some kinds of pictures need: loaded at first need, named where they are missing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from castsearch.images.errors import ImageError

# What ISO media files (AVIF and HEIC are such) carry at byte 8.
_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def cv2_for(path: Path) -> Any:
    """OpenCV, which a picture of more than 8 bits needs, told to keep its complaints to itself.

    Raises:
        ImageError: it is not installed.
    """
    cv2 = _load("cv2", path, "has more than 8 bits a sample; pip install opencv-python")
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # where it is changed with version 5
    set_level(0)
    return cv2


def add_reader(path: Path) -> bool:
    """Teach Pillow a kind of picture that it did not know; whether it may know it now.

    Raises:
        ImageError: what reads it is not installed.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp":
        return False
    if head[8:] in _AVIF and not _reads_avif():
        raise ImageError(f"{path}: is an AVIF picture, which this Pillow cannot read; pip install --upgrade Pillow")
    if head[8:] not in _HEIC:
        return False
    _load("pillow_heif", path, "is a HEIC picture; pip install pillow-heif").register_heif_opener()
    return True


def _reads_avif() -> bool:
    """Whether this Pillow does: from 11.3 on, unless it was built without."""
    try:
        return bool(import_module("PIL.AvifImagePlugin").SUPPORTED)
    except ImportError:
        return False


def _load(package: str, path: Path, mend: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise ImageError(f"{path}: {mend}") from None
