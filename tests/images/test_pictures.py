"""Whether pictures are where the user says, and any of them can be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from castsearch.images import NoPicturesError, check_pictures

FILES = ["val/a.bmp", "val/b.bmp", "val/c.bmp"]


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "BMP")
    return file.getvalue()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("good", FILES)
def test_one_picture_that_can_be_read_is_enough(tmp_path, good):
    for file in FILES:
        write(tmp_path / file, b"BM")
    write(tmp_path / good, picture())
    check_pictures(tmp_path, FILES, skip_bad=True)


def test_none_is_an_error_where_bad_ones_are_passed_over(tmp_path):
    """Where they are not, the first one stops the work."""
    for file in FILES:
        write(tmp_path / file, b"BM")
    check_pictures(tmp_path, FILES, skip_bad=False)
    check_pictures(tmp_path, [], skip_bad=True)
    with pytest.raises(NoPicturesError, match=rf"^{tmp_path}: none of the 3 pictures can be read; the first: .*a\.bmp"):
        check_pictures(tmp_path, FILES, skip_bad=True)


@pytest.mark.parametrize("given", ["body/val", "."])
def test_the_folder_that_was_meant_is_named(tmp_path, given):
    write(tmp_path / "body" / FILES[0], picture())
    message = rf"^{tmp_path / given}: val/a\.bmp is not there but below {tmp_path / 'body'}; name that folder$"
    with pytest.raises(NoPicturesError, match=message):
        check_pictures(tmp_path / given, FILES, skip_bad=False)
