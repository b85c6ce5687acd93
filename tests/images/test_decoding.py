"""Decoding: orientation, colour modes, damage, size, boxes at the edge."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import numpy as np
import PIL
import pytest
from PIL import Image, PngImagePlugin

from castsearch.images import ImageError, decode, decoding, read_image

PICTURE = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
SMOOTH = np.linspace(0, 255, 60, dtype=np.uint8)[None, :, None] * np.ones((40, 1, 3), np.uint8)
SMOOTH[:10] //= 3


def save(path, array, orientation=1, **how):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(path, exif=exif, **how)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read_as_opencv_reads_it(tmp_path, orientation):
    path = save(tmp_path / "x.jpg", SMOOTH, orientation, quality=95)
    ours, theirs = read_image(path), cv2.imread(str(path))[:, :, ::-1]
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 3  # two JPEG decoders


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_counts_upright_pixels(tmp_path, orientation):
    path = save(tmp_path / "x.png", PICTURE, orientation)
    whole, picture = read_image(path), decode(path)
    assert picture.size == whole.shape[1::-1]
    np.testing.assert_array_equal(picture.cut((5, 6, 10, 8)), whole[6:14, 5:15])


@pytest.mark.parametrize("name", ["sideways_odd_tag.jpg", "damaged_exif.jpg"])
def test_odd_tags_beside_a_good_orientation_do_no_harm(testdata, name):
    path = testdata / "cases/pictures" / name
    theirs = cv2.imread(str(path))[:, :, ::-1]
    assert np.abs(read_image(path).astype(int) - theirs).max() <= 3


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA", "LAB", "YCbCr"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    if mode == "YCbCr" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow reads such TIFFs from 13 on")
    path = tmp_path / {"CMYK": "x.jpg", "LAB": "x.tif", "YCbCr": "x.tif"}.get(mode, "x.png")
    red = np.tile(np.array([200, 60, 40], np.uint8), (40, 60, 1))
    red[:20] = 0
    image = Image.fromarray(red)
    if mode == "LAB":  # whose a and b are signed
        image = Image.frombytes(
            "LAB", image.size, (cv2.cvtColor(red, cv2.COLOR_RGB2LAB) ^ np.uint8([0, 128, 128])).tobytes()
        )
    image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    image.save(path)
    got = read_image(path)
    assert got.shape == (40, 60, 3)
    assert got[:18].max() <= 4
    if mode in ("L", "LA"):
        assert (got[30, 30] == round(0.299 * 200 + 0.587 * 60 + 0.114 * 40)).all()
    elif mode != "1":
        np.testing.assert_allclose(got[30, 30], [200, 60, 40], atol=8)


def test_transparency_is_left_out_as_opencv_leaves_it(tmp_path):
    array = np.dstack([PICTURE, np.zeros((40, 60), np.uint8)])
    Image.fromarray(array).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), PICTURE)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.png"))[:, :, ::-1], PICTURE)


@pytest.mark.parametrize("name", ["x.gif", "x.tif", "x.png", "x.webp"])
def test_the_first_of_several_pictures_counts(tmp_path, name):
    first, second = (Image.new("RGB", (60, 40), colour) for colour in ("white", "black"))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    assert read_image(tmp_path / name).min() >= 250


def damaged(tmp_path, name):
    path = tmp_path / name
    if name == "truncated.jpg":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif name == "text.jpg":
        path.write_text("not a picture")
    elif name == "folder.jpg":
        path.mkdir()
    elif name == "pipe.jpg":
        os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.jpg", "no such file; put it there"),
        ("truncated.jpg", "cannot be read (image file is truncated"),
        ("text.jpg", "cannot be read (no picture of a kind that is known); replace it"),
        ("folder.jpg", "is a folder, where a file was expected"),
        ("pipe.jpg", "is no file but a device or a pipe"),
    ],
)
def test_a_bad_picture_is_one_line(tmp_path, name, words):
    path = damaged(tmp_path, name)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: {words}")
    assert "\n" not in str(error.value)
    assert error.value.skippable


def test_libtiff_says_nothing_of_a_damaged_tiff(tmp_path, capfd):
    path = save(tmp_path / "x.tif", PICTURE, compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    data[300:400] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"x\.tif: cannot be read"):
        read_image(path)
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


def test_a_tiff_is_read_without_a_standard_error(tmp_path):
    """As a service may start us."""
    path = save(tmp_path / "x.tif", PICTURE, compression="tiff_lzw")
    code = f"from castsearch.images import read_image; assert read_image({str(path)!r}).shape == (40, 60, 3)"
    subprocess.run(["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code], check=True)


@pytest.mark.parametrize("raised", [struct.error, AttributeError, RuntimeError, TypeError, OverflowError, SyntaxError])
def test_whatever_a_decoder_raises_is_a_bad_picture(tmp_path, monkeypatch, raised):
    save(tmp_path / "x.png", PICTURE)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: (_ for _ in ()).throw(raised("a\nb")))
    with pytest.raises(ImageError, match=r"x\.png: cannot be read \(a b\); replace it"):
        read_image(tmp_path / "x.png")


def test_colours_that_have_no_way_to_rgb_are_bad(tmp_path, monkeypatch):
    def convert(self, mode):
        raise ValueError("conversion not supported")

    save(tmp_path / "x.png", PICTURE[..., 0])
    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(ImageError, match=r"x\.png: cannot be read \(conversion not supported\)"):
        decode(tmp_path / "x.png")


def test_exif_that_cannot_be_read_is_none(tmp_path, monkeypatch):
    def getexif(self):
        raise struct.error("unpack requires a buffer of 2 bytes")

    save(tmp_path / "x.png", PICTURE, orientation=6)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "getexif", getexif)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), PICTURE)


@pytest.mark.parametrize("content", [b"", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"12345678heic", b"\0\0\0\x18ftypmp42"])
def test_what_only_looks_like_a_picture_is_none(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content + bytes(100 * bool(content)))
    with pytest.raises(ImageError, match=r"no picture of a kind that is known"):
        read_image(tmp_path / "x.jpg")


def test_a_picture_beyond_memory_is_bad(tmp_path, monkeypatch):
    save(tmp_path / "x.png", PICTURE)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(ImageError, match=r"x\.png: there is too little memory for it; scale it down"):
        read_image(tmp_path / "x.png")


def test_a_damaged_avif_is_bad(testdata):
    with pytest.raises(ImageError, match=r"damaged\.avif: cannot be read"):
        read_image(testdata / "cases/pictures/damaged.avif")


@pytest.mark.parametrize(
    ("bbox", "rows", "columns"),
    [
        ((5, 6, 10, 8), slice(6, 14), slice(5, 15)),
        ((-5, -6, 10, 8), slice(0, 2), slice(0, 5)),
        ((55, 30, 99, 99), slice(30, 40), slice(55, 60)),
    ],
)
def test_a_box_is_cut_at_the_edge(tmp_path, bbox, rows, columns):
    path = save(tmp_path / "x.png", PICTURE)
    np.testing.assert_array_equal(decode(path).cut(bbox), PICTURE[rows, columns])


@pytest.mark.parametrize("bbox", [(60, 0, 5, 5), (0, 40, 5, 5), (-9, 0, 9, 5), (0, -9, 5, 9)])
def test_a_box_outside_the_frame_is_refused(tmp_path, bbox):
    picture = decode(save(tmp_path / "x.png", PICTURE))
    with pytest.raises(ImageError, match="outside the frame of 60 x 40"):
        picture.cut(bbox)


# ---------------------------------------------------------------------------- size


@pytest.fixture
def small_limits(monkeypatch):
    """Pictures of more than 1000 pixels, or 100 a side, count as large."""
    monkeypatch.setattr(decoding, "LARGE", 1000)
    monkeypatch.setattr(decoding, "LONGEST_SIDE", 100)


def means(picture, factor):
    """Means of blocks of factor x factor; of what is left at the edges too."""
    height, width = picture.shape[:2]
    return np.array(
        [
            [picture[y : y + factor, x : x + factor].mean(axis=(0, 1)) for x in range(0, width, factor)]
            for y in range(0, height, factor)
        ]
    )


@pytest.mark.parametrize(("name", "within"), [("x.png", 0.7), ("x.jpg", 4)])
@pytest.mark.parametrize(
    ("shape", "factor"), [((40, 60), 2), ((41, 61), 2), ((61, 90), 3), ((9, 301), 4), ((2, 101), 2)]
)
def test_a_large_picture_is_brought_down_by_a_whole_factor(tmp_path, small_limits, name, within, shape, factor):
    smooth = (np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] * [1, 0.5, 0.25] % 256).astype(np.uint8)
    smooth = cv2.GaussianBlur(smooth, (0, 0), 3)
    picture = decode(save(tmp_path / name, smooth, orientation=6, quality=100, subsampling=0))
    if name == "x.jpg" and factor == 3:
        factor = 4  # its decoder takes off halves
    expected = np.rot90(means(smooth, factor), -1)
    got = picture.pixels()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= within
    new = f"{expected.shape[1]} x {expected.shape[0]}"
    assert picture.scaled == f"{shape[0]} x {shape[1]} pixels became {new}"


def test_bands_meet_without_a_seam(tmp_path, small_limits, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (97, 60, 3), dtype=np.uint8)
    path = save(tmp_path / "x.png", noise)
    monkeypatch.setattr(decoding, "_BAND", 500)
    assert np.abs(read_image(path) - means(noise, 3)).max() <= 0.7
    monkeypatch.setattr(decoding, "LARGE", 10_000)
    np.testing.assert_array_equal(read_image(path), noise)


@pytest.mark.parametrize(("name", "within"), [("x.png", 0), ("x.jpg", 4)])
def test_a_large_frame_keeps_the_pixels_that_boxes_count(tmp_path, small_limits, name, within):
    path = save(tmp_path / name, SMOOTH, orientation=3, quality=100, subsampling=0)
    picture = decode(path, keep_pixels=True)
    cut = picture.cut((0, 0, 20, 10)).astype(int)
    assert np.abs(cut - SMOOTH[::-1, ::-1][:10, :20]).max() <= within
    assert picture.scaled is None


@pytest.mark.parametrize(("how", "pixel"), [({}, 4), ({"progressive": True}, 9)])
def test_decoders_get_what_memory_they_take(tmp_path, monkeypatch, how, pixel):
    path = save(tmp_path / "x.jpg", SMOOTH, **how)
    monkeypatch.setattr(decoding, "MEMORY", 40 * 60 * pixel)
    assert read_image(path).shape == (40, 60, 3)
    monkeypatch.setattr(decoding, "MEMORY", 40 * 60 * pixel - 1)
    with pytest.raises(ImageError, match="60 x 40 pixels, where at most"):
        read_image(path)


@pytest.mark.parametrize("passes", [6, 100, 101])
def test_a_jpeg_of_endless_passes_is_refused(tmp_path, passes):
    """Each takes as long as the picture is large, and next to nothing in the file."""
    path = tmp_path / "x.jpg"
    Image.new("L", (60, 40), 128).save(path, progressive=True)
    start, marker, last = path.read_bytes().rpartition(b"\xff\xda")
    path.write_bytes(start + (marker + last[:-2]) * (passes - 5) + last[-2:])
    if passes <= 100:
        assert (read_image(path) == 128).all()
        return
    with pytest.raises(ImageError, match=r"x\.jpg: 101 passes, where at most 100 are read; save it as a plain JPEG"):
        read_image(path)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declared(kind, width, height):
    """A file that declares a size and holds next to nothing."""
    match kind:
        case "png":
            header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        case "gif":
            return (
                b"GIF89a"
                + struct.pack("<HHBBB", width, height, 0, 0, 0)
                + b","
                + struct.pack("<HHHHB", 0, 0, width, height, 0)
                + b"\x02\x00;"
            )
        case "tif":
            tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
            tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 1000)]
            body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
            return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(1004)
        case "webp":
            frame = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(40)
            data = b"VP8L" + struct.pack("<I", len(frame)) + frame + b"\0" * (len(frame) % 2)
            return b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data
        case "avif":
            import io

            buffer = io.BytesIO()
            Image.new("RGB", (64, 64)).save(buffer, format="AVIF")
            return buffer.getvalue().replace(struct.pack(">II", 64, 64), struct.pack(">II", width, height))
    raise ValueError(kind)


@pytest.mark.parametrize(
    ("kind", "width", "height", "words"),
    [
        ("png", 50_000, 40_000, "2000000000 pixels, where at most 202 million are read of its kind; scale it down"),
        ("png", 20_000, 11_000, "20000 x 11000 pixels, where at most 202 million"),
        ("gif", 65_000, 65_000, "4225000000 pixels, where"),
        ("tif", 40_000, 40_000, "1600000000 pixels, where"),
        ("tif", 10_000, 9_999, "10000 x 9999 pixels, where at most 90 million"),
        ("webp", 16_000, 16_000, "16000 x 16000 pixels, where at most 50 million"),
        ("avif", 16_000, 16_000, "16000 x 16000 pixels, where at most 90 million"),
    ],
)
def test_a_bomb_is_refused_by_what_it_declares(tmp_path, monkeypatch, kind, width, height, words):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(declared(kind, width, height))
    with warnings.catch_warnings(), pytest.raises(ImageError) as error:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        read_image(path)
    assert str(error.value).startswith(f"{path}: {words}")
    assert "attack" not in str(error.value)
