"""The demo movie: the challenge's layout, true boxes, the same bytes for the same seed."""

from __future__ import annotations

import hashlib

from castsearch.annotations import OTHERS, read_annotations, read_labels
from castsearch.demo_movie import FRAME_SIZE, render_split
from castsearch.images import read_image


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def test_layout_boxes_and_labels(tmp_path):
    n_boxes = render_split(tmp_path, "val", "tt1", 12, [0, 1])
    (movie,) = read_annotations(tmp_path / "val.json").values()
    assert len(movie.candidates) == n_boxes
    assert len(movie.cast) == 4
    assert len({candidate.img for candidate in movie.candidates}) == 12
    for candidate in movie.candidates:
        x, y, w, h = candidate.bbox
        assert x >= 0 and y >= 0 and x + w <= FRAME_SIZE[0] and y + h <= FRAME_SIZE[1]
        assert read_image(tmp_path / "origin/val" / candidate.img).shape == (*FRAME_SIZE[::-1], 3)
    labels = read_labels(tmp_path / "val_label.json")
    for cast in movie.cast:
        assert labels[cast.id] == [c.id for c in movie.candidates if c.label == cast.label]
    assert {c.label for c in movie.candidates} - {c.label for c in movie.cast} == {OTHERS}


def test_the_test_split_tells_no_labels(tmp_path):
    render_split(tmp_path, "test", "tt1", 2, [0])
    assert not (tmp_path / "test_label.json").exists()
    assert all(c.label is None for c in read_annotations(tmp_path / "test.json")["tt1"].candidates)


def test_the_same_seed_gives_the_same_pictures(tmp_path):
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        render_split(tmp_path / folder, "val", "tt1", 3, [seed])
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
