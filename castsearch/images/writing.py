"""Writing pictures."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from castsearch.images.errors import ImageError
from castsearch.stagefiles import atomic_write

JPEG_QUALITY = 75  # Pillow's default, which the original wrote
JPEG_LONGEST_SIDE = 65_500  # pixels


def write_jpeg(path: str | os.PathLike[str], image: np.ndarray, quality: int = JPEG_QUALITY) -> None:
    """Write (h, w, 3) uint8 RGB as a JPEG, atomically; the same picture again leaves the file as it is.

    Raises:
        ImageError: a side is longer than the format takes.
    """
    height, width = image.shape[:2]
    if max(height, width) > JPEG_LONGEST_SIDE:
        raise ImageError(f"{width} x {height} pixels are more than the {JPEG_LONGEST_SIDE} a side that JPEG takes")
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="JPEG", quality=quality)
    write_changed(path, encoded.getvalue())


def write_changed(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, atomically, unless it holds ``data`` already: what was made of it then need not be made again.

    A link is replaced by the file: what it leads to may be somebody's original.
    """
    path = Path(path)
    try:
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    except OSError:
        pass  # absent, or not to be read: writing will tell
    with atomic_write(path, sync=False, follow=False) as file:
        file.write(data)
