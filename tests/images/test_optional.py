"""HEIC and AVIF: read where there is a reader, named where there is none."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from castsearch.images import ImageError, declared_size, read_image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_heic_without_its_package_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "x.jpg").write_bytes(HEIC)
    with pytest.raises(ImageError, match=r"x\.jpg: is a HEIC picture; pip install pillow-heif$"):
        read_image(tmp_path / "x.jpg")


def test_heic_is_read_once_its_package_is_asked(tmp_path, monkeypatch):
    """A stand-in for the package, which reads every HEIC as a red square."""
    heif = ModuleType("pillow_heif")

    def opener(file, name=None):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (250, 0, 0)).save(buffer, format="PNG")
        return Image.open(buffer)

    def register_heif_opener():
        Image.register_open("HEIF", opener, lambda prefix: prefix[4:8] == b"ftyp")

    heif.register_heif_opener = register_heif_opener
    monkeypatch.setitem(sys.modules, "pillow_heif", heif)
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    monkeypatch.setattr(Image, "OPEN", {**Image.OPEN})
    (tmp_path / "x.heic").write_bytes(HEIC)
    assert declared_size(tmp_path / "x.heic") == (8, 8)
    np.testing.assert_array_equal(read_image(tmp_path / "x.heic"), np.full((8, 8, 3), (250, 0, 0)))


def test_heic_by_the_package_itself(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = np.full((40, 60, 3), 90, np.uint8)
    pillow_heif.from_pillow(Image.fromarray(picture)).save(tmp_path / "x.heic")
    assert np.abs(read_image(tmp_path / "x.heic").astype(int) - picture).max() <= 3


def test_avif_without_its_decoder_says_how_to_get_it(tmp_path, monkeypatch):
    path = tmp_path / "x.avif"
    Image.new("RGB", (64, 64)).save(path)
    assert read_image(path).shape == (64, 64, 3)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "AVIF"])
    for plugin in (None, ModuleType("PIL.AvifImagePlugin")):
        if plugin is not None:
            plugin.SUPPORTED = False
        monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", plugin)
        with pytest.raises(ImageError, match=r"AVIF picture, which this Pillow cannot read; pip install --upgrade"):
            read_image(path)


def test_a_damaged_avif_does_not_blame_pillow(tmp_path):
    path = tmp_path / "x.avif"
    Image.new("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"x\.avif: cannot be read"):
        read_image(path)
