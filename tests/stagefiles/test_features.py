"""Feature files: rows for the pictures of a split, with those of casts or without."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import MoviePictures, Picture, Split, StageFileError


def pictures(*ids: str) -> tuple[Picture, ...]:
    return tuple(Picture(i, f"{i}.jpg") for i in ids)


SPLIT = Split([MoviePictures("tt1", pictures("c"), pictures("p", "q")), MoviePictures("tt2", (), pictures("r"))])

BOTH = r"\(2, d\) features, or \(3, d\) with casts, got"


def read(tmp_path, rows, *casts):
    stagefiles.write(tmp_path / "face_val.pkl", {"tt0": "passed over", "tt2": np.ones((1, 4), np.float32)} | rows)
    return stagefiles.read_features(tmp_path / "face_val.pkl", SPLIT, *casts)


@pytest.mark.parametrize("casts", ["always", "maybe"])
def test_rows_of_casts_come_first(tmp_path, casts):
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = read(tmp_path, {"tt1": rows}, casts)
    assert list(found) == ["tt1", "tt2"]
    np.testing.assert_array_equal(found["tt1"].cast, rows[:1])
    np.testing.assert_array_equal(found["tt1"].candidates, rows[1:])
    assert len(found["tt2"].cast) == 0 and len(found["tt2"].candidates) == 1


def test_casts_may_be_left_out(tmp_path):
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = read(tmp_path, {"tt1": rows})["tt1"]
    assert found.cast is None
    np.testing.assert_array_equal(found.candidates, rows)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, ">f4"])
def test_numbers_become_float32(tmp_path, dtype):
    found = read(tmp_path, {"tt1": np.ones((3, 4), dtype)})["tt1"]
    assert found.rows.dtype == np.float32 and (found.rows == 1).all()


@pytest.mark.parametrize(
    ("casts", "expected"), [("always", r"\(3, d\) with casts, got"), ("maybe", BOTH), (None, BOTH)]
)
@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros(3, np.float32),
        np.zeros((3, 4, 1), np.float32),
        np.zeros((3, 4), bool),
        np.full((3, 4), "a"),
        [[1], [1, 2], 3],
        None,
    ],
)
def test_features_of_another_split_are_refused(tmp_path, rows, casts, expected):
    with pytest.raises(StageFileError, match=rf"face_val\.pkl: movie tt1: expected {expected}") as error:
        read(tmp_path, {"tt1": rows}, *filter(None, [casts]))
    assert str(error.value).endswith("; the file belongs to another split or run, run its stage again")


def test_casts_must_be_there_where_they_are_asked_for(tmp_path):
    with pytest.raises(StageFileError, match=r"movie tt1: expected \(3, d\) with casts, got \(2, 4\) float32"):
        read(tmp_path, {"tt1": np.zeros((2, 4), np.float32)}, "always")


def test_a_missing_movie_is_named(tmp_path):
    with pytest.raises(StageFileError, match="movie tt1: it is missing; the file belongs to another split"):
        read(tmp_path, {})
