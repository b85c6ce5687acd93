"""Typed content is checked where it is made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from castsearch.stagefiles import Faces, Features, MoviePictures, Picture, Split, StageFileError

BOXES, SCORES, LANDMARKS = np.ones((2, 4)), np.ones(2), np.ones((2, 5, 2))


def faces(n: int) -> Faces:
    return Faces(np.ones((n, 4)), np.ones(n), None)


def movie(name: str, cast: str, candidates: str) -> MoviePictures:
    return MoviePictures(name, *(tuple(Picture(i, f"{i}.jpg") for i in ids) for ids in (cast, candidates)))


def test_faces():
    assert len(Faces(BOXES, SCORES, LANDMARKS)) == len(Faces(BOXES.astype(int), SCORES, None)) == 2
    none = Faces.none()
    assert len(none) == 0
    assert (none.boxes.shape, none.scores.shape, none.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.ones((2, 5)), SCORES, None), r"boxes must be \(2, 4\) numbers, got \(2, 5\) float64"),
        ((np.ones(4), SCORES, None), r"boxes must be \(4, 4\) numbers"),
        ((np.float64(1), SCORES, None), r"boxes must be \(0, 4\) numbers, got float64"),
        (([[1, 2, 3, 4]], SCORES, None), r"boxes must be \(1, 4\) numbers, got list"),
        ((None, SCORES, None), "boxes must be"),
        ((np.full((2, 4), "a"), SCORES, None), "boxes must be .* numbers"),
        ((np.ones((2, 4), bool), SCORES, None), "boxes must be .* numbers"),
        ((np.ones((2, 4), complex), SCORES, None), "boxes must be .* numbers"),
        ((BOXES, np.ones(3), None), r"scores must be \(2,\) numbers, got \(3,\)"),
        ((BOXES, np.ones((2, 1)), None), r"scores must be \(2,\) numbers"),
        ((BOXES, None, None), r"scores must be \(2,\) numbers, got NoneType"),
        ((BOXES, SCORES, np.ones((2, 10))), r"landmarks must be \(2, 5, 2\) numbers, got \(2, 10\)"),
        ((BOXES, SCORES, np.ones((1, 5, 2))), r"landmarks must be \(2, 5, 2\) numbers"),
        ((BOXES, SCORES * np.nan, None), "scores must be numbers from -10000000 to 10000000, got another"),
        ((BOXES * np.inf, SCORES, None), "boxes must be numbers from"),
        ((BOXES, SCORES, np.full((2, 5, 2), 1e30)), "landmarks must be numbers from"),
        ((np.full((2, 4), np.iinfo(np.int64).min), SCORES, None), "boxes must be numbers from"),
    ],
)
def test_faces_of_other_shapes(arrays, message):
    with pytest.raises(StageFileError, match=message):
        Faces(*arrays)


def test_pictures():
    picture = Picture("p", "tt1/p.jpg", "others", faces(1))
    assert (picture.id, picture.file, picture.label, len(picture.faces)) == ("p", "tt1/p.jpg", "others", 1)
    assert Picture("p", "p.jpg").label is None and Picture("p", "p.jpg").faces is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("a,b", "p.jpg"), "id 'a,b' holds a comma or a blank"),
        ((3, "p.jpg"), "id 3 is not a non-empty string"),
        (("p", "../p.jpg"), r"p: file \.\./p\.jpg must stay below its folder"),
        (("p", None), "p: file a NoneType is not a non-empty string"),
        (("p", "p.jpg", 3), "p: expected a string or nothing as label, found 3"),
        (("p", "p.jpg", None, faces(0)), "p: expected at least one face, or None"),
    ],
)
def test_pictures_that_no_stage_can_use(fields, message):
    with pytest.raises(StageFileError, match=message):
        Picture(*fields)


def test_movies():
    found = movie("tt1", "ab", "cde")
    assert [picture.id for picture in found.pictures] == list("abcde")
    assert len(found) == 5
    with pytest.raises(StageFileError, match=r"movie \.\./x holds a path, but serves as a file name; rename it"):
        movie("../x", "a", "b")


def test_splits():
    split = Split([movie("tt2", "a", "b"), movie("tt1", "c", "")])
    assert list(split) == ["tt2", "tt1"] and len(split) == 2
    assert split["tt1"].cast[0].id == "c"
    with pytest.raises(StageFileError, match="movie tt1 stands in the split twice"):
        Split([movie("tt1", "a", "b"), movie("tt1", "c", "d")])


@pytest.mark.parametrize("movies", [("aa", "", "", ""), ("a", "a", "", ""), ("", "aa", "", ""), ("a", "", "", "a")])
def test_ids_are_unique_in_a_split(movies):
    other = "tt2" if movies[3] else "tt1"
    with pytest.raises(StageFileError, match=f"movie {other}: id a stands already in movie tt1; ids must be unique"):
        Split([movie("tt1", *movies[:2]), movie("tt2", *movies[2:])])


def test_features():
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    both, alone = Features(rows, 2), Features(rows, None)
    np.testing.assert_array_equal(both.cast, rows[:2])
    np.testing.assert_array_equal(both.candidates, rows[2:])
    assert alone.cast is None
    np.testing.assert_array_equal(alone.candidates, rows)
    assert len(Features(rows, 0).cast) == 0 and len(Features(rows, 5).candidates) == 0


@pytest.mark.parametrize(
    ("rows", "n_casts", "message"),
    [
        (np.ones((2, 3)), 1, r"features must be \(rows, d\) float32, got \(2, 3\) float64"),
        (np.ones(3, np.float32), 1, r"features must be \(rows, d\) float32, got \(3,\)"),
        ([[1.0]], None, "got list"),
        (np.ones((2, 3), np.float32), 3, "a row for each of 3 casts, got 2"),
    ],
)
def test_features_of_other_shapes(rows, n_casts, message):
    with pytest.raises(StageFileError, match=message):
        Features(rows, n_casts)


@pytest.mark.parametrize(
    "made", [faces(1), Picture("p", "p.jpg"), movie("tt1", "a", "b"), Features(np.ones((1, 2), np.float32), None)]
)
def test_what_is_checked_stays_as_it_is(made):
    field = next(iter(vars(made)))
    with pytest.raises(FrozenInstanceError):
        setattr(made, field, None)
