"""The strip: order, aspect ratio and border colours, read back from its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.gallery import GalleryError, Shown, Verdict, cast_strip, strip
from castsearch.gallery.strip import BORDER, CAPTION, CELL, FOOT, MARGIN
from castsearch.images import write_jpeg
from castsearch.stagefiles import MoviePictures, Picture, Split


def filled(height, width, value):
    return np.full((height, width, 3), value, dtype=np.uint8)


def cells(sheet):
    width = CELL[0] + MARGIN
    return [
        sheet[MARGIN : MARGIN + CELL[1], MARGIN + i * width : i * width + width]
        for i in range((sheet.shape[1] - MARGIN) // width)
    ]


def extent(cell, colour):
    rows, columns = np.nonzero((cell == colour).all(axis=2))
    return columns.max() - columns.min() + 1, rows.max() - rows.min() + 1


def test_each_candidate_has_its_verdicts_border_and_its_own_shape():
    shapes = [(100, 50), (60, 240), (300, 300)]
    verdicts = [Verdict.HIT, Verdict.MISS, Verdict.UNKNOWN]
    shown = [Shown(filled(*shape, 10), "x" * 99, verdict) for shape, verdict in zip(shapes, verdicts, strict=True)]
    portrait, *rest = cells(strip(filled(80, 80, 200), "name", shown).image)
    assert extent(portrait, (0, 0, 0)) == (CELL[0], CELL[0])
    for cell, (height, width), verdict in zip(rest, shapes, verdicts, strict=True):
        outer = extent(cell, verdict.value)
        assert outer[0] <= CELL[0]
        assert outer[1] <= CELL[1]
        assert (outer[0] - 2 * BORDER) / (outer[1] - 2 * BORDER) == pytest.approx(width / height, rel=0.02)


def test_captions_stand_in_the_middle_below():
    black = filled(80, 80, 0)
    sheet = strip(black, "nmmmn", [Shown(black, "nmmmn nmmmn", Verdict.HIT)]).image
    for left in (MARGIN, 2 * MARGIN + CELL[0]):
        caption = sheet[MARGIN + CELL[1] :, left : left + CELL[0]].min(axis=2) < 255
        columns, rows = np.flatnonzero(caption.any(axis=0)), np.flatnonzero(caption.any(axis=1))
        assert abs(columns[0] - (CELL[0] - 1 - columns[-1])) <= 2
        assert rows[-1] == CAPTION - FOOT - 1


@pytest.fixture
def split(tmp_path):
    pictures = tuple(Picture(f"c{i}", f"c{i}.jpg") for i in range(9))
    for i, picture in enumerate(pictures):
        write_jpeg(tmp_path / picture.file, filled(40, 30, 25 * i))
    return Split([MoviePictures("tt1", pictures[:1], pictures[1:])]), tmp_path


def test_six_best_in_rank_order(split):
    movies, folder = split
    ranking = {"c0": [f"c{i}" for i in (8, 3, 5, 1, 2, 7, 4, 6)]}
    sheet = cast_strip(movies, ranking, "c0", {"c8", "c5"}, folder).image
    middles = [cell[CELL[1] // 2, CELL[0] // 2, 0] for cell in cells(sheet)]
    np.testing.assert_allclose(np.array(middles, int) / 25, [0, 8, 3, 5, 1, 2, 7], atol=0.15)
    greens = [bool((cell == Verdict.HIT.value).all(axis=2).any()) for cell in cells(sheet)]
    assert greens == [False, True, False, True, False, False, False]
    grey = cast_strip(movies, ranking, "c0", None, folder).image
    assert all((cell == Verdict.UNKNOWN.value).all(axis=2).any() for cell in cells(grey)[1:])


def test_any_portrait_of_a_person_is_shown_beside_the_persons_candidates(tmp_path):
    pictures = [Picture(f"c{i}", f"c{i}.jpg", label) for i, label in enumerate(["ann", "bob", "ann", None, None])]
    for i, picture in enumerate(pictures):
        write_jpeg(tmp_path / picture.file, filled(40, 30, 50 * i))
    movies = Split([MoviePictures("tt1", tuple(pictures[:3]), tuple(pictures[3:]))])
    ranking = {"c0": ["c4", "c3"], "c1": ["c3", "c4"]}

    def shown(cast, ranking):
        sheet = cast_strip(movies, ranking, cast, None, tmp_path).image
        return [round(cell[CELL[1] // 2, CELL[0] // 2, 0] / 50) for cell in cells(sheet)]

    assert [shown(cast, ranking) for cast in ("c0", "c1", "c2")] == [[0, 4, 3], [1, 3, 4], [2, 4, 3]]
    assert shown("c0", {"c2": ["c3"]}) == [0, 3]
    assert shown("c2", ranking | {"c2": ["c3"]}) == [2, 3]  # a line of its own goes before the person's
    with pytest.raises(GalleryError, match="no line for c2"):
        shown("c2", {"c1": ["c3"]})


@pytest.mark.parametrize(
    ("cast", "ranking", "message"),
    [
        ("zz", {}, "no cast member zz; there are c0"),
        ("c0", {}, "no line for c0"),
        ("c0", {"c0": ["c9"]}, "c9 is ranked but no candidate"),
    ],
)
def test_who_is_not_there_is_named(split, cast, ranking, message):
    with pytest.raises(GalleryError, match=message):
        cast_strip(split[0], ranking, cast, None, split[1])
