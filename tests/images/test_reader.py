"""Reading ahead, and the account of bad and scaled pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from castsearch.images import ImageError, ImageReader

PICTURE = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


def test_going_on_without_bad_pictures_keeps_their_rows(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    reader = ImageReader(tmp_path, skip_bad=True)
    names = ["good.png", "text.jpg", "missing.jpg", "good.png"] * 5
    pictures = list(reader.read_ahead(names))
    assert [name for name, _ in pictures] == names
    assert all(np.array_equal(image, PICTURE) == (name == "good.png") for name, image in pictures)
    assert set(reader.bad) == {"text.jpg", "missing.jpg"}
    assert reader.scaled == {}


def test_reading_ahead_raises_without_skip_bad(tmp_path):
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        list(ImageReader(tmp_path).read_ahead(["missing.jpg"]))


def test_scaled_pictures_are_accounted_for(tmp_path):
    Image.fromarray(PICTURE.astype(np.uint16)[..., 0] * 16).save(tmp_path / "deep.png")
    Image.fromarray(PICTURE).save(tmp_path / "good.png")
    reader = ImageReader(tmp_path)
    list(reader.read_ahead(["good.png", "deep.png"]))
    assert reader.scaled == {"deep.png": "samples of 0 to 4095 became 0 to 255"}
