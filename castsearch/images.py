"""Pictures: read, crop, write. One error type for a bad one."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from castsearch.errors import CastSearchError
from castsearch.parallel import ahead
from castsearch.stagefiles import atomic_write

JPEG_QUALITY = 75  # Pillow's default, which the original wrote
READ_AHEAD = 2  # threads that decode pictures while a network works on earlier ones

# What stands in for a picture that cannot be read when the user asks to go on: mid grey has no
# face and, unlike black, gives networks a feature that is not all zero.
_BLANK = np.full((128, 64, 3), 127, dtype=np.uint8)


class ImageError(CastSearchError):
    """A picture that is missing, truncated or not a picture."""

    skippable = True


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture, turned upright by its EXIF orientation (as OpenCV does).

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: the file is missing, truncated or not a picture.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a picture that may be a decompression bomb, up to twice its limit.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise ImageError(f"{path}: no such picture; put it there") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{path}: cannot be read ({error}); replace it") from None


class ImageReader:
    """Reads pictures below one folder; keeps account of the bad ones.

    Args:
        root: folder that paths are relative to.
        skip_bad: note a bad picture in ``bad`` and give a blank in its place, so that rows
            stay where later stages expect them; otherwise a bad picture raises.

    Attributes:
        bad: the message of each bad picture met so far.
    """

    def __init__(self, root: str | os.PathLike[str], skip_bad: bool = False) -> None:
        self.root = Path(root)
        self.skip_bad = skip_bad
        self.bad: dict[str, str] = {}

    def __call__(self, file: str) -> np.ndarray:
        try:
            return read_image(self.root / file)
        except ImageError as error:
            if not self.skip_bad:
                raise
            self.bad[file] = str(error)
            return _BLANK.copy()

    def read_ahead(self, files: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Files with their pictures, in order, the next few decoded while the caller works."""
        with ahead(lambda file: (file, self(file)), iter(files), READ_AHEAD, 2 * READ_AHEAD) as pictures:
            yield from pictures


def crop_box(image: np.ndarray, bbox: Sequence[int]) -> np.ndarray:
    """The part of ``image`` (h, w, 3) inside ``bbox`` (x, y, w, h, pixels), cut at the frame's edge.

    Raises:
        ImageError: nothing of the box lies inside the picture.
    """
    x, y, w, h = bbox
    height, width = image.shape[:2]
    crop = image[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
    if crop.size == 0:
        raise ImageError(f"bbox {list(bbox)} lies outside the frame of {width} x {height}")
    return crop


def write_jpeg(path: str | os.PathLike[str], image: np.ndarray, quality: int = JPEG_QUALITY) -> None:
    """Write (h, w, 3) uint8 RGB as a JPEG, atomically; the same picture again leaves the file as it is."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="JPEG", quality=quality)
    write_changed(path, encoded.getvalue())


def write_changed(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, atomically, unless it holds ``data`` already: what was made of it then need not be made again."""
    path = Path(path)
    try:
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    except OSError:
        pass  # absent, or not to be read: writing will tell
    with atomic_write(path, sync=False) as file:
        file.write(data)
