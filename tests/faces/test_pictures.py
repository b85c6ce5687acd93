"""Whether a list's pictures are where the user says, and any of them can be read."""

from __future__ import annotations

import pytest

from castsearch.faces.pictures import NoPicturesError, check_pictures
from castsearch.images import ImageReader

FILES = ["val/a.bmp", "val/b.bmp", "val/c.bmp"]


@pytest.mark.parametrize("good", FILES)
def test_one_picture_that_can_be_read_is_enough(tmp_path, paint, good):
    for file in FILES:
        paint(tmp_path / file).write_bytes(b"BM")
    paint(tmp_path / good)
    reader = ImageReader(tmp_path, skip_bad=True)
    check_pictures(tmp_path, FILES, reader)
    assert reader.bad == {}


def test_none_is_an_error_where_bad_ones_are_passed_over(tmp_path, paint):
    """Where they are not, the first one stops the work."""
    for file in FILES:
        paint(tmp_path / file).write_bytes(b"BM")
    check_pictures(tmp_path, FILES, ImageReader(tmp_path))
    check_pictures(tmp_path, [], ImageReader(tmp_path, skip_bad=True))
    with pytest.raises(NoPicturesError, match=rf"^{tmp_path}: none of the 3 pictures can be read; the first: .*a\.bmp"):
        check_pictures(tmp_path, FILES, ImageReader(tmp_path, skip_bad=True))


@pytest.mark.parametrize("given", ["body/val", "."])
def test_the_folder_that_was_meant_is_named(tmp_path, paint, given):
    paint(tmp_path / "body" / FILES[0])
    message = rf"^{tmp_path / given}: val/a\.bmp is not there but below {tmp_path / 'body'}; name that folder$"
    with pytest.raises(NoPicturesError, match=message):
        check_pictures(tmp_path / given, FILES, ImageReader(tmp_path / given))
