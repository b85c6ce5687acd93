"""File lists."""

from __future__ import annotations

import pytest

from castsearch.faces import lists
from castsearch.faces.lists import check_root, read_list, write_lists
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
    for stale in ("val_candidates_1.txt", "val_candidates_7.txt", "train_candidates_7.txt", "val_candidates_mine.txt"):
        (tmp_path / stale).write_text("old\n")
    written = write_lists(tmp_path, SPLIT, "val")
    assert [path.name for path in written] == ["val_cast.txt", "val_candidates_0.txt", "val_candidates_1.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["train_candidates_7.txt", "val_candidates_mine.txt", *(p.name for p in written)]
    )
    assert [read_list(path) for path in written] == [
        ["val/tt1/cast/p.jpg", "val/tt2/cast/p.jpg"],
        ["val/tt1/0.jpg", "val/tt1/1.jpg", "val/tt2/0.jpg"],
        ["val/tt2/1.jpg"],
    ]


def test_the_crops_of_a_frame_stand_in_one_list(tmp_path, monkeypatch):
    """Together, where they stood apart, too; a frame of more boxes than a list has lines stays whole."""
    monkeypatch.setattr(lists, "LIST_LENGTH", 3)
    names = ["a_1_1_9_9", "b_1_1_9_9", "b_2_1_9_9", "c_0_0_5_5", "a_2_2_9_9", "d_1_1_1_1", "d_2_1_1_1", "d_3_1_1_1"]
    names += ["d_4_1_1_1", "plain"]
    candidates = tuple(Picture(name, f"m/{name}.jpg") for name in names)
    written = write_lists(tmp_path, Split([MoviePictures("m", (), candidates)]), "val")
    assert [[line.split("/")[-1][:-4] for line in read_list(path)] for path in written] == [
        ["a_1_1_9_9", "a_2_2_9_9"],
        ["b_1_1_9_9", "b_2_1_9_9", "c_0_0_5_5"],
        ["d_1_1_1_1", "d_2_1_1_1", "d_3_1_1_1", "d_4_1_1_1"],
        ["plain"],
    ]


def test_a_frame_of_more_boxes_than_a_list_has_lines_may_be_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "LIST_LENGTH", 2)
    candidates = tuple(Picture(name, f"m/{name}.jpg") for name in ("a_1_1_9_9", "a_2_1_9_9", "a_3_1_9_9", "b_1_1_9_9"))
    written = write_lists(tmp_path, Split([MoviePictures("m", (), candidates)]), "val")
    assert [len(read_list(path)) for path in written] == [3, 1]


def test_a_list_without_a_path_is_not_written_nor_left(tmp_path):
    write_lists(tmp_path, SPLIT, "val")
    nobody = Split(MoviePictures(movie.name, (), movie.candidates) for movie in SPLIT.values())
    assert [path.name for path in write_lists(tmp_path, nobody, "val")] == ["val_candidates_0.txt"]
    nothing = Split(MoviePictures(movie.name, movie.cast, ()) for movie in SPLIT.values())
    assert [path.name for path in write_lists(tmp_path, nothing, "val")] == ["val_cast.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["val_cast.txt"]


def test_a_root_too_deep(tmp_path):
    for name in ("val/tt1/cast/p.jpg", "empty/val/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    check_root(tmp_path, SPLIT, "val")
    for wrong in (tmp_path / "val", tmp_path / "empty"):
        with pytest.raises(StageFileError, match=rf"p\.jpg is not there but below {tmp_path}; name that folder"):
            check_root(wrong, SPLIT, "val")
    with pytest.raises(StageFileError, match=r"train: no such folder; run crop_body\.py"):
        check_root(tmp_path, SPLIT, "train")


def test_a_path_counts_once(tmp_path):
    (tmp_path / "l.txt").write_text("b.jpg\na.jpg\nb.jpg\n")
    assert read_list(tmp_path / "l.txt") == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("/etc/x.jpg", "/etc/x.jpg must stay below its folder"),
        ("../x.jpg", "../x.jpg must stay below its folder"),
        ("a/../../x.jpg", "must stay below its folder"),
        ("val\\tt1\\a.jpg", "parts its folders by backslashes; write val/tt1/a.jpg"),
        ("a\x85b.jpg", "holds a line break"),
        ("a" * 10**6, "has a name in it of more than the 255 bytes"),
    ],
)
def test_a_path_must_stay_below_the_root(tmp_path, line, fault):
    (tmp_path / "l.txt").write_text(f"a.jpg\n{line}\n")
    with pytest.raises(StageFileError) as error:
        read_list(tmp_path / "l.txt")
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/l.txt: line 2: ") and message.endswith(
        "; expected a path below the image root"
    )
    assert fault in message and message.isprintable() and len(message) < 500


def test_lists_as_people_save_them(tmp_path):
    for data in (b"\xef\xbb\xbfa.jpg\r\nb c.jpg\r\n", b"a.jpg\rb c.jpg", b"\na.jpg\n\nb c.jpg\n\n"):
        (tmp_path / "l.txt").write_bytes(data)
        assert read_list(tmp_path / "l.txt") == ["a.jpg", "b c.jpg"]


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf\r\n"])
def test_an_empty_list(tmp_path, data):
    (tmp_path / "l.txt").write_bytes(data)
    with pytest.raises(StageFileError, match=r"l\.txt: names no picture; datalist\.py writes it"):
        read_list(tmp_path / "l.txt")


def test_no_list(tmp_path):
    with pytest.raises(StageFileError, match=r"l\.txt: no such file; datalist\.py writes it"):
        read_list(tmp_path / "l.txt")
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StageFileError, match="seems to be UTF-16 text"):
        read_list(tmp_path / "l.txt")
