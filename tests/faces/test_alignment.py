"""Alignment: against scikit-image's similarity transform and the original's aligned faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import estimate_transform

from castsearch import stagefiles
from castsearch.annotations import read_annotations
from castsearch.crops import crop_split
from castsearch.faces.alignment import ARCFACE_TEMPLATE, align_arcface, similarity_transform
from castsearch.faces.stages import align_movie
from castsearch.images import ImageReader


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), mirrored=st.booleans())
def test_the_transform_is_scikit_images(seed, mirrored):
    source = np.random.default_rng(seed).uniform(0, 100, (5, 2))
    if mirrored:
        source[:, 0] *= -1
    expected = estimate_transform("similarity", source, ARCFACE_TEMPLATE).params[:2]
    np.testing.assert_allclose(similarity_transform(source, ARCFACE_TEMPLATE), expected, atol=1e-6)


def test_points_in_one_place_do_not_divide_by_zero():
    assert np.isfinite(similarity_transform(np.full((5, 2), 7.0), ARCFACE_TEMPLATE)).all()


def test_a_box_grows_and_is_clipped():
    image = np.zeros((100, 80, 3), np.uint8)
    image[38:, 18:] = 200  # what is inside the box less its margin
    chip = align_arcface(image, np.array([40.0, 60.0, 79.0, 99.0]), None)
    assert chip.shape == (3, 112, 112)
    assert (chip == 200).all()


@pytest.mark.parametrize("box", [[200.0, 0, 300, 50], [50.0, 50, 20, 20]])
def test_a_box_that_holds_nothing_gives_the_whole_picture(box):
    image = np.full((100, 80, 3), 9, np.uint8)
    assert (align_arcface(image, np.array(box), None) == 9).all()


class ArcFaceAlignment:
    chip_size = 112
    align = staticmethod(align_arcface)


def test_aligned_faces_are_the_originals(testdata, tmp_path):
    """Crops from stage 1, the golden detections: at most 1.5 grey levels off in a picture, 0.2 on average."""
    movies = read_annotations(testdata / "data/jurassic/data/val.json")
    crop_split(movies, testdata / "data/jurassic/origin/val", tmp_path)
    golden = np.load(testdata / "golden/jurassic/val_img.npz")
    retina = stagefiles.read_retina(testdata / "golden/jurassic/retina_val.pkl")
    differences = []
    for name, movie in retina.items():
        chips = align_movie(movie, ImageReader(tmp_path), ArcFaceAlignment())
        differences += list(np.abs(chips.astype(float) - golden[name]).mean(axis=(1, 2, 3)))
    assert len(differences) == 81
    assert max(differences) < 1.5
    assert np.mean(differences) < 0.2
