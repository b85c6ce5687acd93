"""Doubts about portraits, on their way from detection to ranking."""

from __future__ import annotations

import numpy as np

from castsearch.faces.doubts import doubts_of_list, doubts_of_split, told_doubt
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split


def faces(n, score=0.99):
    boxes = np.tile(np.array([0, 0, 50, 60], np.float32), (n, 1))
    return Faces(boxes, np.full(n, score, np.float32), None)


def test_the_size_is_asked_for_where_there_are_several_faces():
    """It takes reading the picture."""
    asked = []

    def size(file):
        asked.append(file)
        return 100, 200

    found = {"one": faces(1), "none": Faces.none(), "two": faces(2)}
    doubts = doubts_of_list(found, size)
    assert asked == ["two"]
    assert list(doubts) == ["none", "two"]
    assert doubts["two"].startswith("2 faces of like size; the one at 0,0 (50 x 60 pixels) was taken")


def test_what_metadata_tell_counts_and_faces_only_without_them():
    unsure = faces(3, score=0.5)
    assert told_doubt(unsure, {"a": "told"}, "a") == "told"
    assert told_doubt(unsure, {}, "a") is told_doubt(unsure, {"a": ["no words"]}, "a") is None
    assert told_doubt(None, {}, "a") is None
    for nothing in (None, "nonsense"):
        assert told_doubt(unsure, nothing, "a").startswith("3 faces, none sure enough")
        assert told_doubt(None, nothing, "a").startswith("no face; ")
        assert told_doubt(faces(2), nothing, "a") is None


def test_each_cast_by_id_and_file_and_none_without_a_face():
    """Those without a face the ranking names itself."""
    cast = (
        Picture("a", "m/a.jpg", faces=faces(2)),
        Picture("b", "m/b.jpg"),
        Picture("c", "m/c.jpg", faces=faces(2, 0.5)),
    )
    split = Split([MoviePictures("m", cast, (Picture("d", "m/d.jpg", faces=faces(2, 0.5)),))])
    told = {"doubts": {"a": "two of like size", "b": "no face", "d": "a candidate"}}
    assert doubts_of_split(split, told) == ["a (m/a.jpg): two of like size"]
    (line,) = doubts_of_split(split, {})
    assert line.startswith("c (m/c.jpg): 2 faces, none sure enough")
