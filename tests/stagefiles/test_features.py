"""Feature files: rows for the pictures of a split, with those of casts or without."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import (
    Faces,
    MoviePictures,
    Picture,
    Split,
    StageFileError,
    faces_digest,
    pictures_digest,
)


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


ROWS = np.ones((3, 4), np.float32)


def faces(*numbers):
    n = len(numbers) // 4
    return Faces(np.array(numbers, np.float32).reshape(n, 4), np.full(n, 0.9, np.float32), None)


FOUND = faces(1, 2, 3, 4)


def seen(*files, found=FOUND):
    return tuple(Picture(file.upper(), file, faces=found) for file in files)


def check(tmp_path, movie, told, rows=ROWS):
    stagefiles.write(tmp_path / "face_val.pkl", {"tt1": rows}, told)
    return stagefiles.read_features(tmp_path / "face_val.pkl", Split([movie]))


@pytest.mark.parametrize("with_casts", [True, False])
def test_rows_of_the_same_pictures_in_another_order_are_refused(tmp_path, with_casts):
    movie, other = MoviePictures("tt1", seen("c"), seen("p", "q")), MoviePictures("tt1", seen("c"), seen("q", "p"))
    of, rows = (movie.pictures, ROWS) if with_casts else (movie.candidates, ROWS[1:])
    told = {"rows": {"tt1": pictures_digest(of), "tt2": "passed over"}}
    assert len(check(tmp_path, movie, told, rows)["tt1"].candidates) == 2
    with pytest.raises(
        StageFileError, match=r"face_val\.pkl: movie tt1: its rows are of other pictures, or of these in"
    ):
        check(tmp_path, other, told, rows)


def test_features_of_faces_that_were_found_anew_are_refused(tmp_path):
    movie = MoviePictures("tt1", seen("c"), seen("p", "q"))
    told = {"faces": {"tt1": faces_digest(movie.pictures)}}
    assert check(tmp_path, movie, told)["tt1"].n_casts == 1
    for found in (faces(1, 2, 3, 5), faces(1, 2, 3, 4, 1, 2, 3, 4), None):
        again = MoviePictures("tt1", seen("c"), (*seen("p"), *seen("q", found=found)))
        with pytest.raises(
            StageFileError, match=r"tt1: other faces were found on its pictures since; run face_det\.py"
        ):
            check(tmp_path, again, told)
    unknown = MoviePictures("tt1", seen("c", found=None), seen("p", "q", found=None))
    assert check(tmp_path, unknown, told)["tt1"].n_casts == 1


@pytest.mark.parametrize("told", [{}, {"rows": {}}, {"rows": None, "faces": [1]}, {"faces": {"tt2": "a"}}])
def test_features_of_which_nothing_is_told_are_taken(tmp_path, told):
    assert len(check(tmp_path, MoviePictures("tt1", seen("c"), seen("p", "q")), told)["tt1"].rows) == 3


def test_features_do_without_metadata_that_cannot_be_read(tmp_path):
    movie = MoviePictures("tt1", seen("c"), seen("p", "q"))
    stagefiles.write(tmp_path / "face_val.pkl", {"tt1": ROWS}, {"rows": {"tt1": "others"}})
    stagefiles.metadata_path(tmp_path / "face_val.pkl").write_text("{")
    assert len(stagefiles.read_features(tmp_path / "face_val.pkl", Split([movie]))["tt1"].rows) == 3
