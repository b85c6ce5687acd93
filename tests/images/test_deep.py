"""Pictures of more than 8 bits: the look that they were made with."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from castsearch.images import ImageError, decode, read_image
from castsearch.images.samples import eight_bit

RAMP = np.linspace(0, 1, 40 * 60 * 3).reshape(40, 60, 3) * [1, 0.75, 0.5]


@pytest.mark.parametrize(
    ("samples", "eight", "words"),
    [
        (np.uint16([0, 100, 255]), [0, 100, 255], None),
        (np.uint16([0, 256, 1023]), [0, 64, 255], "0 to 1023"),
        (np.uint16([0, 1024, 4095]), [0, 64, 255], "0 to 4095"),
        (np.uint16([0, 2048, 4096]), [0, 32, 64], "0 to 16383"),
        (np.uint16([257, 32896, 65535]), [1, 128, 255], "0 to 65535"),
        (np.int32([0, 65535]), [0, 255], "0 to 65535"),
        (np.uint32([0, 2**31, 2**32 - 1]), [0, 128, 255], "0 to 4.29497e+09"),
        (np.uint64([2**64 - 1, 0]), [255, 0], "0 to 1.84467e+19"),
        (np.int16([-100, 0, 100]), [0, 128, 255], "-100 to 100"),
        (np.float32([0, 0.5, 0.9]), [0, 128, 229], "0 to 1"),
        (np.float32([0, 100.4, 255]), [0, 100, 255], None),
        (np.float32([0, 0.5, 1.25]), [0, 102, 255], "0 to 1.25"),
        (np.float64([-1, 0, 1]), [0, 128, 255], "-1 to 1"),
        (np.float32([0, 300]), [0, 255], "0 to 300"),
        (np.float32([300, 300]), [0, 0], "300 to 300"),
    ],
)
def test_the_range_that_becomes_0_to_255(samples, eight, words):
    got, told = eight_bit(samples[None])
    assert got.dtype == np.uint8
    assert got.tolist() == [eight]
    assert told == (words and f"samples of {words} became 0 to 255")


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_no_picture(odd):
    with pytest.raises(ValueError, match="not finite"):
        eight_bit(np.array([[0, odd, 1]]))


def test_large_pictures_are_scaled_part_by_part(monkeypatch):
    monkeypatch.setattr("castsearch.images.samples._CHUNK", 400)
    np.testing.assert_array_equal(eight_bit(RAMP)[0], np.rint(RAMP * 255))


def written(folder, name, samples):
    assert cv2.imwrite(str(folder / name), samples[..., ::-1] if samples.ndim == 3 else samples)
    return folder / name


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize(
    ("name", "kind", "white"),
    [
        ("x.png", np.uint16, 65535),
        ("x.png", np.uint16, 4095),
        ("x.tif", np.uint16, 65535),
        ("x.tif", np.uint16, 4095),
        ("x.tif", np.float32, 1),
        ("x.tif", np.float64, 255),
    ],
)
def test_pictures_keep_their_look(tmp_path, grey, name, kind, white):
    samples = (RAMP * white).astype(kind)
    path = written(tmp_path, name, samples[..., 0] if grey else samples)
    expected = np.rint((RAMP[..., :1] if grey else RAMP) * 255)
    assert np.abs(read_image(path) - expected).max() <= 1


def test_transparency_does_not_count_for_the_range(tmp_path):
    samples = np.dstack([(RAMP * 4095).astype(np.uint16), np.full((40, 60), 65535, np.uint16)])
    cv2.imwrite(str(tmp_path / "x.png"), samples[..., [2, 1, 0, 3]])
    assert np.abs(read_image(tmp_path / "x.png") - np.rint(RAMP * 255)).max() <= 1


@pytest.mark.parametrize("name", ["grey_16_bit.png", "grey_float_0_to_1.tif"])
def test_portraits_of_16_bits_and_floats(testdata, name):
    """They show the same as the picture of 8 bits that they were made of."""
    picture = decode(testdata / "cases/pictures" / name)
    assert picture.scaled in ("samples of 0 to 65535 became 0 to 255", "samples of 0 to 1 became 0 to 255")
    pixels = picture.pixels()
    assert 100 < pixels.mean() < 140
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_holds_for_them_too(tmp_path, orientation):
    """As it does for the same picture of 8 bits."""
    tifffile = pytest.importorskip("tifffile")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rint(RAMP * 255).astype(np.uint8)).save(tmp_path / "8.png", exif=exif)
    expected = read_image(tmp_path / "8.png").astype(int)
    deep = (RAMP * 65535).astype(np.uint16)
    Image.fromarray(deep[..., 0]).save(tmp_path / "grey.png", exif=exif)
    Image.fromarray(deep[..., 0]).save(tmp_path / "grey.tif", exif=exif)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "16.tif", deep, photometric="rgb", extratags=tag)
    tifffile.imwrite(tmp_path / "float.tif", RAMP.astype(np.float32), photometric="rgb", extratags=tag)
    plain, carrying = (written(tmp_path, "16.png", deep), tmp_path / "8.png")
    plain.write_bytes(with_exif(plain.read_bytes(), carrying.read_bytes()))
    for name in ("grey.png", "grey.tif", "16.tif", "float.tif", "16.png"):
        assert np.abs(read_image(tmp_path / name) - (expected[..., :1] if "grey" in name else expected)).max() <= 1, (
            name
        )


def with_exif(png, other):
    """One PNG with the EXIF chunk of another, after its header."""
    at = other.index(b"eXIf") - 4
    length = int.from_bytes(other[at : at + 4], "big") + 12
    return png[:33] + other[at : at + length] + png[33:]


@pytest.mark.parametrize("black", [1.0, 0.5])
def test_a_tiff_that_counts_from_white(tmp_path, black):
    """White is 0, however dark the picture's darkest is."""
    tifffile = pytest.importorskip("tifffile")
    samples = (RAMP[..., 0] * black * 4095).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="miniswhite")
    assert np.abs(read_image(tmp_path / "x.tif")[..., 0] - (255 - RAMP[..., 0] * black * 255)).max() <= 1


def test_bytes_of_compressed_floats_are_in_order(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    grey = RAMP[..., 0].astype(np.float32)
    tifffile.imwrite(tmp_path / "x.tif", grey, byteorder=">", compression="zlib", photometric="minisblack")
    assert np.abs(read_image(tmp_path / "x.tif")[..., 0] - RAMP[..., 0] * 255).max() <= 1


def test_grey_lies_apart_from_nothing(tmp_path):
    """Some programs write the tag into every TIFF."""
    grey = (RAMP[..., 0] * 65535).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "x.tif", tiffinfo={284: 2})
    assert np.abs(read_image(tmp_path / "x.tif")[..., 0] - RAMP[..., 0] * 255).max() <= 1


def test_what_opencv_would_cut_is_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    samples = (RAMP[..., :2] * 65535).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="minisblack", extrasamples=["unassalpha"])
    with pytest.raises(ImageError, match="its samples are of an unusual kind"):
        read_image(tmp_path / "x.tif")


def test_both_kinds_of_scaling_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("castsearch.images.decoding.LONGEST_SIDE", 30)
    picture = decode(written(tmp_path, "x.png", (RAMP * 65535).astype(np.uint16)))
    assert picture.scaled == "60 x 40 pixels became 30 x 20; samples of 0 to 65535 became 0 to 255"
    assert picture.pixels().shape == (20, 30, 3)


def test_colours_that_lie_apart_are_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for kind in (np.uint16, np.float32):
        samples = (RAMP.transpose(2, 0, 1) * 65535).astype(kind)
        tifffile.imwrite(tmp_path / "x.tif", samples, photometric="rgb", planarconfig="separate")
        with pytest.raises(ImageError, match="colours are stored one after the other"):
            read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_cut_short_they_are_bad_and_libraries_say_nothing(tmp_path, name, grey, share, capfd):
    noise = np.random.default_rng(0).integers(0, 65536, (60, 80, 3)).astype(np.uint16)
    path = written(tmp_path, name, noise[..., 0] if grey else noise)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ImageError, match=r"cannot be read"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_without_opencv_it_is_named(tmp_path, monkeypatch):
    path = written(tmp_path, "x.png", (RAMP * 65535).astype(np.uint16))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImageError, match="has more than 8 bits a sample; pip install opencv-python"):
        read_image(path)


def test_ordinary_pictures_do_without_opencv():
    code = "import sys, castsearch.images; assert 'cv2' not in sys.modules and 'pillow_heif' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "kind", "pixel"), [("x.tif", np.float32, 36), ("x.tif", np.float64, 72), ("x.png", np.uint16, 16)]
)
def test_memory_is_bounded(tmp_path, monkeypatch, name, kind, pixel):
    path = written(tmp_path, name, (RAMP * 65535).astype(kind))
    monkeypatch.setattr("castsearch.images.decoding.MEMORY", 40 * 60 * pixel)
    assert read_image(path).shape == (40, 60, 3)
    monkeypatch.setattr("castsearch.images.decoding.MEMORY", 40 * 60 * pixel - 1)
    with pytest.raises(ImageError, match="60 x 40 pixels, where at most 0 million"):
        read_image(path)
