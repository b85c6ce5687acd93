"""Reading ahead, and the account of bad and scaled pictures."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import ExifTags, Image

from castsearch.images import ImageError, ImageReader, declared_size, decoding, read_image

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


def test_groups_are_read_in_order(tmp_path):
    for i in range(5):
        Image.fromarray(PICTURE + np.uint8(i)).save(tmp_path / f"{i}.png")
    groups = [["3.png", "0.png"], ["2.png"], [], ["1.png", "4.png"]]
    read = list(ImageReader(tmp_path).read_together(groups))
    assert [[name for name, _ in group] for group in read] == groups
    for name, image in (pair for group in read for pair in group):
        np.testing.assert_array_equal(image, PICTURE + np.uint8(int(name[0])))


def test_the_account_in_another_order(tmp_path):
    reader = ImageReader(tmp_path, skip_bad=True)
    for name in "cab":
        reader(name)
    reader.sort_account(["a", "x", "b", "c"])
    assert list(reader.bad) == ["a", "b", "c"]
    reader.sort_account(["b"])
    assert list(reader.bad) == ["a", "c", "b"]


def test_large_frames_keep_their_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE", 40 * 60 - 1)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    assert ImageReader(tmp_path)("a.png").shape == (20, 30, 3)
    assert ImageReader(tmp_path, keep_pixels=True)("a.png").shape == (40, 60, 3)


@pytest.mark.parametrize(("orientation", "size"), [(1, (60, 40)), (3, (60, 40)), (6, (40, 60)), (8, (40, 60))])
def test_a_declared_size_is_that_of_the_upright_picture(tmp_path, orientation, size):
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg", exif=tags)
    whole = (tmp_path / "a.jpg").read_bytes()
    assert declared_size(tmp_path / "a.jpg") == size == read_image(tmp_path / "a.jpg").shape[1::-1]
    (tmp_path / "a.jpg").write_bytes(whole[:-30])  # what cannot be decoded may tell it still
    assert declared_size(tmp_path / "a.jpg") == size


def test_what_declares_no_size(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("text.jpg", "pipe.jpg", "missing.jpg", "."):
        assert declared_size(tmp_path / name) is None
