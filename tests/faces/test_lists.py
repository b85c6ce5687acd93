"""File lists."""

from __future__ import annotations

import pytest

from castsearch.faces import lists
from castsearch.faces.lists import read_list, write_lists
from castsearch.stagefiles import MoviePictures, Picture, Split, StageFileError

SPLIT = Split(
    MoviePictures(
        movie,
        (Picture(f"{movie}_p", f"{movie}/cast/p.jpg"),),
        tuple(Picture(f"{movie}_{i}", f"{movie}/{i}.jpg") for i in range(2)),
    )
    for movie in ("tt1", "tt2")
)


def test_casts_in_one_list_and_candidates_in_lists_of_a_length(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "LIST_LENGTH", 3)
    for stale in ("val_candidates_1.txt", "val_candidates_7.txt", "train_candidates_7.txt"):
        (tmp_path / stale).write_text("old\n")
    written = write_lists(tmp_path, SPLIT, "val")
    assert [path.name for path in written] == ["val_cast.txt", "val_candidates_0.txt", "val_candidates_1.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["train_candidates_7.txt", *(p.name for p in written)]
    )
    assert [read_list(path) for path in written] == [
        ["val/tt1/cast/p.jpg", "val/tt2/cast/p.jpg"],
        ["val/tt1/0.jpg", "val/tt1/1.jpg", "val/tt2/0.jpg"],
        ["val/tt2/1.jpg"],
    ]


def test_a_path_counts_once(tmp_path):
    (tmp_path / "l.txt").write_text("b.jpg\na.jpg\nb.jpg\n")
    assert read_list(tmp_path / "l.txt") == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize("line", ["", "/etc/x.jpg", "../x.jpg", "a/../../x.jpg"])
def test_a_path_must_stay_below_the_root(tmp_path, line):
    (tmp_path / "l.txt").write_text(f"a.jpg\n{line}\n")
    with pytest.raises(StageFileError, match=rf"l\.txt: line 2: expected a path below the image root, found {line!r}"):
        read_list(tmp_path / "l.txt")


def test_no_list(tmp_path):
    with pytest.raises(StageFileError, match=r"l\.txt: no such file list; datalist\.py writes it"):
        read_list(tmp_path / "l.txt")
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StageFileError, match=r"l\.txt: not a file list"):
        read_list(tmp_path / "l.txt")
