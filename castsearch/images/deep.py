"""Pictures whose samples Pillow would cut to 8 bits, or does not read: their samples as they are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from castsearch.images.optional import cv2_for
from castsearch.images.turns import TURNS, Turn, turn_of

_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # that Pillow keeps whole
_COLOURS = ("RGB", "RGBA", "RGBX", "LA")  # that it cuts
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _CHANNELS, _PLANES = 256, 257, 258, 262, 277, 284  # TIFF tags
_WHITE_IS_ZERO, _APART = 0, 2  # values of the tags for what is white, and where the colours are


class Deep(NamedTuple):
    """A deep picture.

    Attributes:
        samples: as they are, (height, width) or (height, width, 3) RGB.
        turn: takes them upright.
        white_is_zero: they count from white.
    """

    samples: np.ndarray
    turn: Turn
    white_is_zero: bool = False


def is_deep(image: Image.Image) -> bool:
    """Whether an open picture, not loaded yet, has samples of more than 8 bits that Pillow keeps or could be kept."""
    if image.mode in _GREY:
        return True
    if image.mode not in _COLOURS:
        return False
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(_BITS, (8,))) > 8
    return isinstance(image, PngImageFile) and any(";16" in str(tile[3]) for tile in image.tile)


def read_samples(path: Path, image: Image.Image) -> Deep:
    """Read a deep picture that is open.

    Raises:
        ImageError: OpenCV is needed and not there.
        ValueError: OpenCV cannot read it, or its colours lie apart.
    """
    if isinstance(image, TiffImageFile):  # of which Pillow takes bytes of compressed floats in the wrong order
        return read_tiff(path, image.tag_v2)
    if image.mode in _GREY:
        return Deep(np.asarray(image), turn_of(image))
    turn = turn_of(image)
    with Image.open(path) as again:
        again.verify()  # libpng would tell of damage on the standard error
    return Deep(_read_by_opencv(path), turn)


def read_tiff(path: Path, tags: ImageFileDirectory_v2) -> Deep:
    """Read a TIFF; see ``read_samples``.

    OpenCV turns a TIFF itself, and takes colours that are stored one after the other for something else.
    """
    if tags.get(_PLANES) == _APART and tags.get(_CHANNELS, 1) > 1:
        raise ValueError("its colours are stored one after the other, which is read of 8 bits a sample only")
    return Deep(_read_by_opencv(path), TURNS[1], tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _read_by_opencv(path: Path) -> np.ndarray:
    """See ``read_samples``."""
    cv2 = cv2_for(path)
    samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype == np.uint8:  # it cuts what it does not know
        raise ValueError("its samples are of an unusual kind, or damaged")
    return samples if samples.ndim == 2 else samples[:, :, 2::-1]


def tiff_tags(path: Path) -> ImageFileDirectory_v2 | None:
    """The tags of a TIFF, even of a kind that Pillow does not open; None of any other file."""
    with path.open("rb") as file:
        magic = file.read(8)
        if magic[:4] not in (b"II*\0", b"MM\0*"):
            return None
        tags = ImageFileDirectory_v2(magic)
        file.seek(tags.next)
        tags.load(file)
    return tags if _WIDTH in tags and _HEIGHT in tags else None


def tiff_size(tags: ImageFileDirectory_v2) -> tuple[int, int]:
    """Width and height in pixels."""
    return tags[_WIDTH], tags[_HEIGHT]


def tiff_bytes(tags: ImageFileDirectory_v2) -> int:
    """Bytes that reading a pixel takes: those of its samples, held in the file, in a strip of it and as they are."""
    return 3 * sum(tags.get(_BITS, (64, 64, 64))) // 8
