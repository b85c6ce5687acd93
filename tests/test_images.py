"""Pictures: orientation, damage, boxes at the edge, reading ahead."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from castsearch.images import ImageError, ImageReader, crop_box, read_image, write_jpeg

PICTURE = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read_as_opencv_reads_it(tmp_path, orientation):
    cv2 = pytest.importorskip("cv2")
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = np.linspace(0, 255, 60, dtype=np.uint8)[None, :, None] * np.ones((40, 1, 3), np.uint8)
    smooth[:10] //= 3
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=95, exif=exif)
    ours, theirs = read_image(tmp_path / "x.jpg"), cv2.imread(str(tmp_path / "x.jpg"))[:, :, ::-1]
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 3  # two JPEG decoders


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    image = (
        Image.fromarray(PICTURE.mean(axis=2).astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(PICTURE).convert(mode)
    )
    image.save(path)
    assert read_image(path).shape == (40, 60, 3)


def damaged(tmp_path, name):
    path = tmp_path / name
    if name == "truncated.jpg":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif name == "text.jpg":
        path.write_text("not a picture")
    elif name == "folder.jpg":
        path.mkdir()
    return path


@pytest.mark.parametrize("name", ["missing.jpg", "truncated.jpg", "text.jpg", "folder.jpg"])
def test_a_bad_picture_is_one_line(tmp_path, name):
    path = damaged(tmp_path, name)
    with pytest.raises(ImageError, match="--skip_bad") as error:
        read_image(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_going_on_without_bad_pictures_keeps_their_rows(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "good.png")
    damaged(tmp_path, "text.jpg")
    reader = ImageReader(tmp_path, skip_bad=True)
    names = ["good.png", "text.jpg", "missing.jpg", "good.png"] * 5
    pictures = list(reader.read_ahead(names))
    assert [name for name, _ in pictures] == names
    assert all(np.array_equal(image, PICTURE) == (name == "good.png") for name, image in pictures)
    assert set(reader.bad) == {"text.jpg", "missing.jpg"}


def test_reading_ahead_raises_without_skip_bad(tmp_path):
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        list(ImageReader(tmp_path).read_ahead(["missing.jpg"]))


@pytest.mark.parametrize(
    ("bbox", "rows", "columns"),
    [
        ((5, 6, 10, 8), slice(6, 14), slice(5, 15)),
        ((-5, -6, 10, 8), slice(0, 2), slice(0, 5)),
        ((55, 30, 99, 99), slice(30, 40), slice(55, 60)),
    ],
)
def test_a_box_is_cut_at_the_edge(bbox, rows, columns):
    np.testing.assert_array_equal(crop_box(PICTURE, bbox), PICTURE[rows, columns])


@pytest.mark.parametrize("bbox", [(60, 0, 5, 5), (0, 40, 5, 5), (-9, 0, 9, 5), (0, -9, 5, 9)])
def test_a_box_outside_the_frame_is_refused(bbox):
    with pytest.raises(ImageError, match="outside the frame of 60 x 40"):
        crop_box(PICTURE, bbox)


def test_jpegs_have_the_originals_quality(tmp_path):
    write_jpeg(tmp_path / "x.jpg", PICTURE)
    Image.fromarray(PICTURE).save(tmp_path / "y.jpg")
    assert (tmp_path / "x.jpg").read_bytes() == (tmp_path / "y.jpg").read_bytes()
