"""Writing JPEGs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from castsearch.images import ImageError, write_jpeg

PICTURE = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


def test_jpegs_have_the_originals_quality(tmp_path):
    write_jpeg(tmp_path / "x.jpg", PICTURE)
    Image.fromarray(PICTURE).save(tmp_path / "y.jpg")
    assert (tmp_path / "x.jpg").read_bytes() == (tmp_path / "y.jpg").read_bytes()


def test_what_jpeg_cannot_hold_is_said(tmp_path):
    write_jpeg(tmp_path / "x.jpg", np.zeros((1, 65_500, 3), np.uint8))
    with pytest.raises(ImageError, match="65501 x 1 pixels are more than the 65500 a side that JPEG takes"):
        write_jpeg(tmp_path / "x.jpg", np.zeros((1, 65_501, 3), np.uint8))
