"""Alignment: against scikit-image's similarity transform and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.utils.face_align import arcface_dst
from skimage.transform import estimate_transform

from castsearch.faces.alignment import ARCFACE_TEMPLATE, align_arcface, similarity_transform

# scikit-image averages points of float32 in float32, which is off by up to 1.5e-6 pixels.
TEMPLATE = ARCFACE_TEMPLATE.astype(np.float64)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), mirrored=st.booleans())
def test_the_transform_is_scikit_images(seed, mirrored):
    source = np.random.default_rng(seed).uniform(0, 100, (5, 2))
    if mirrored:
        source[:, 0] *= -1
    expected = estimate_transform("similarity", source, TEMPLATE).params[:2]
    np.testing.assert_allclose(similarity_transform(source, TEMPLATE), expected, atol=1e-9)


def test_the_template_is_arcfaces():
    np.testing.assert_array_equal(ARCFACE_TEMPLATE, arcface_dst)
    assert ARCFACE_TEMPLATE.dtype == np.float32


def test_the_transform_computes_in_double_precision():
    """float32 points, as files hold them, lose nothing beyond their own rounding, on either side."""
    points = (np.random.default_rng(0).uniform(0, 100, (5, 2)) + 4000).astype(np.float32)
    for source, target in ((points, TEMPLATE), (TEMPLATE, points)):
        expected = estimate_transform("similarity", source.astype(np.float64), target.astype(np.float64)).params[:2]
        np.testing.assert_allclose(similarity_transform(source, target), expected, rtol=0, atol=1e-9)


def test_points_in_one_place_do_not_divide_by_zero():
    assert np.isfinite(similarity_transform(np.full((5, 2), 7.0), ARCFACE_TEMPLATE)).all()


def test_points_on_a_line_are_turned_not_mirrored():
    """A face in profile: all that is left is a direction; what stands off the line keeps its side."""
    along = np.array([[0.0, 0], [1, 0], [2, 0]])
    got = similarity_transform(along, along[:, ::-1] * 3)
    np.testing.assert_allclose(got, [[0, -3, 0], [3, 0, 0]], atol=1e-12)


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows by 2 a column, green by 1 a row, blue is 50."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, y, np.full_like(x, 50)], axis=2).astype(np.uint8)


def test_landmarks_on_the_template_copy_the_picture():
    chip = align_arcface(gradient(120, 127), np.zeros(4), ARCFACE_TEMPLATE)
    assert chip.dtype == np.uint8
    assert chip.flags.c_contiguous
    np.testing.assert_array_equal(chip, gradient(112, 112).transpose(2, 0, 1))


def test_a_face_off_the_edge_is_black_there():
    chip = align_arcface(gradient(120, 127), None, ARCFACE_TEMPLATE - [10, 20])
    assert not chip[:, :20].any()
    assert not chip[:, :, :10].any()
    np.testing.assert_array_equal(chip[:, 20:, 10:], gradient(92, 102).transpose(2, 0, 1))


def test_positions_are_rounded_to_a_32nd_of_a_pixel():
    """Half a pixel to the right is halfway; a 65th is nothing; columns and rows alike."""
    half = align_arcface(gradient(120, 127), None, ARCFACE_TEMPLATE + np.array([0.5, 0]))
    np.testing.assert_array_equal(half[0, 0, :100], 2 * np.arange(100) + 1)
    np.testing.assert_array_equal(half[1, :100, 0], np.arange(100))
    nothing = align_arcface(gradient(120, 127) // 2 * 2, None, ARCFACE_TEMPLATE + 1 / 65)
    np.testing.assert_array_equal(nothing, (gradient(112, 112) // 2 * 2).transpose(2, 0, 1))
    # A 32nd more in the picture, times 64, is 2 grey levels: steps of one 32nd show, and so does their direction.
    steep = np.zeros((120, 127, 3), np.uint8)
    steep[:, 60:, 0] = 64
    steep[50:, :, 1] = 64
    for n in (1, 2, 31):
        chip = align_arcface(steep, None, ARCFACE_TEMPLATE + n / 32)
        assert chip[0, 0, 59] == 2 * n
        assert chip[1, 49, 0] == 2 * n
    # Positions have ten bits behind the point before they are rounded: 15 / 1024 go down, half of a 32nd goes up.
    for shift, level in ((15, 0), (16, 2), (47, 2), (48, 4)):
        assert align_arcface(steep, None, ARCFACE_TEMPLATE + shift / 1024)[0, 0, 59] == level
    # Steps along a row are rounded to those ten bits, too: 15.75 / 1024 more a pixel count as 16.
    assert align_arcface(steep[:, 58:], None, TEMPLATE * (1 + 15.75 / 1024))[0, 0, 1] == 2


def test_the_template_grows_with_the_chip():
    image = gradient(120, 127)
    large = align_arcface(image, None, ARCFACE_TEMPLATE, size=224)
    assert large.shape == (3, 224, 224)
    np.testing.assert_array_equal(large[:, ::2, ::2], align_arcface(image, None, ARCFACE_TEMPLATE))


def test_a_box_grows_and_is_clipped():
    """Grown by 22 pixels a side to (18, 38), and cut at the right and lower edge; then stretched to the chip."""
    image = np.zeros((100, 80, 3), np.uint8)
    image[38:, 18:] = [200, 100, 50]
    chip = align_arcface(image, np.array([40.0, 60.0, 79.0, 99.0]), None)
    assert chip.shape == (3, 112, 112)
    assert chip.flags.c_contiguous
    assert (chip == np.array([200, 100, 50]).reshape(3, 1, 1)).all()


def test_a_box_is_cut_at_whole_pixels():
    image = gradient(112 + 20, 112 + 15)  # the cut is 112 x 112: no stretching, nothing but a copy
    chip = align_arcface(image, np.array([27.9, 42.9, 27 + 68, 42 + 68]), None)
    np.testing.assert_array_equal(chip, image[20:132, 5:117].transpose(2, 0, 1))
    corner = align_arcface(image, np.array([-5.0, 3.0, 90.0, 90.9]), None)
    np.testing.assert_array_equal(corner, image[:112, :112].transpose(2, 0, 1))


def test_without_a_face_the_middle_is_taken():
    """A sixteenth off each side, then the margin of a box, which for a picture below 352 pixels takes in all of it."""
    image = gradient(100, 90)
    np.testing.assert_array_equal(align_arcface(image, None, None, size=100)[2], np.full((100, 100), 50))
    wide = np.zeros((100, 640, 3), np.uint8)
    wide[:, 40 - 22 : 600 + 22] = 9
    assert (align_arcface(wide, None, None) == 9).all()
    tall = np.zeros((655, 100, 3), np.uint8)
    tall[40 - 22 : 615 + 22] = 9  # the edge is 40.9 pixels, of which 40 count
    assert (align_arcface(tall, None, None) == 9).all()


@pytest.mark.parametrize(
    "box", [[200.0, 0, 300, 50], [50.0, 50, 20, 20], [0, 200.0, 50, 300], [122.0, 0, 123, 50], [0, 122.0, 50, 123]]
)
def test_a_box_that_holds_nothing_gives_the_whole_picture(box):
    image = np.full((100, 100, 3), 9, np.uint8)
    assert (align_arcface(image, np.array(box), None) == 9).all()


@pytest.mark.parametrize("shift", [65536, -65536])
def test_a_face_far_outside_is_black(shift):
    """Positions beyond what 16 bits hold must not come round to the picture again."""
    assert not align_arcface(np.full((120, 127, 3), 9, np.uint8), None, TEMPLATE + shift).any()
