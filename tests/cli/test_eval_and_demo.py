"""demo.py as a user runs it."""

from __future__ import annotations

import json

import numpy as np

from castsearch import stagefiles
from castsearch.images import read_image, write_jpeg
from tests.rankings import write_ranking


def test_demo_writes_the_picture(script, movie):
    script("crop_body.py", "--origin", movie / "origin", "--body", movie / "body", "--mode", "val", "--data", movie)
    write_ranking(movie / "r.txt", {"tt1_nm1": ["tt1_2", "tt1_1", "tt1_0"]})
    flags = ("--data", movie, "--submission", movie / "r.txt", "--out", movie / "demo.jpg")
    done = script("demo.py", "--movcast", "tt1_nm1", *flags)
    assert done.stdout.strip() == str(movie / "demo.jpg")
    grey = read_image(movie / "demo.jpg")
    (movie / "val_label.json").write_text('{"tt1_nm1": ["tt1_0", "tt1_2"]}')
    script("demo.py", "--movcast", "tt1_nm1", *flags)
    coloured = read_image(movie / "demo.jpg")
    assert grey.shape == coloured.shape
    assert np.abs(grey.astype(int) - coloured).max() > 50
    told = script("demo.py", "--movcast", "nobody", *flags, code=2).stderr
    assert told == f"error: {movie}/body_val.pkl, {movie}/r.txt: no cast member nobody; there are tt1_nm1\n"
    told = script("demo.py", "--movcast", "TT1_nm1", *flags, code=2).stderr
    assert "no cast member TT1_nm1; there is tt1_nm1: upper and lower case differ" in told


def test_demo_draws_no_misses_that_nobody_labelled(script, movie):
    """All is grey, as without labels, where the labels are of others."""
    script("crop_body.py", "--origin", movie / "origin", "--body", movie / "body", "--mode", "val", "--data", movie)
    write_ranking(movie / "r.txt", {"tt1_nm1": ["tt1_2", "tt1_1", "tt1_0"]})
    flags = ("--movcast", "tt1_nm1", "--data", movie, "--submission", movie / "r.txt", "--out", movie / "demo.jpg")
    script("demo.py", *flags)
    grey = (movie / "demo.jpg").read_bytes()
    for labels, told in (
        ('{"tt9_nm9": ["tt9_0"]}', "labels and split have no cast in common"),
        ('{"tt1_nm1": ["tt1_0.jpg"]}', "one has a path or an extension in it; all is grey"),
    ):
        (movie / "val_label.json").write_text(labels)
        assert told in script("demo.py", *flags).stderr
        assert (movie / "demo.jpg").read_bytes() == grey
        assert told.split(";")[0] in script("demo.py", *flags, "--gt", movie / "val_label.json", code=2).stderr
    annotations = json.loads((movie / "val.json").read_text())
    annotations["tt1"]["cast"].append(annotations["tt1"]["cast"][0] | {"id": "tt1_nm2", "label": "nm2"})
    (movie / "val.json").write_text(json.dumps(annotations))
    script("crop_body.py", "--origin", movie / "origin", "--body", movie / "body", "--mode", "val", "--data", movie)
    (movie / "val_label.json").write_text('{"tt1_nm2": ["tt1_0"]}')
    done = script("demo.py", *flags)
    assert done.stderr == "warning: the labels know nothing of tt1_nm1, whose candidates are grey\n"
    assert (movie / "demo.jpg").read_bytes() == grey
    (movie / "val_label.json").write_text('{"tt1_nm1": [], "tt1_nm2": ["tt1_0"]}')
    assert script("demo.py", *flags).stderr == ""  # nobody is she, so that all are misses
    assert (movie / "demo.jpg").read_bytes() != grey


def test_demo_takes_any_portrait_of_a_person(script, movie):
    """And the labels of any: all name one person's candidates."""
    annotations = json.loads((movie / "val.json").read_text())
    annotations["tt1"]["cast"].append(annotations["tt1"]["cast"][0] | {"id": "tt1_nm2"})
    (movie / "val.json").write_text(json.dumps(annotations))
    script("crop_body.py", "--origin", movie / "origin", "--body", movie / "body", "--mode", "val", "--data", movie)
    write_ranking(movie / "r.txt", {"tt1_nm1": ["tt1_2", "tt1_1", "tt1_0"]})
    where = ("--data", movie, "--submission", movie / "r.txt", "--out", movie / "demo.jpg")

    def drawn(cast, labels):
        (movie / "val_label.json").write_text(json.dumps(labels))
        assert script("demo.py", "--movcast", cast, *where).stderr == ""
        return (movie / "demo.jpg").read_bytes()

    labels = (
        {"tt1_nm1": ["tt1_0", "tt1_2"]},
        {"tt1_nm2": ["tt1_0", "tt1_2"]},
        {"tt1_nm2": ["tt1_0"], "tt1_nm1": ["tt1_2"]},
    )
    for cast in ("tt1_nm1", "tt1_nm2"):
        assert len({drawn(cast, some) for some in labels}) == 1
        assert drawn(cast, {"tt1_nm2": ["tt1_0"]}) != drawn(cast, labels[0])


def test_demo_on_files_of_the_original_asks_for_the_crops(script, tmp_path):
    write_jpeg(tmp_path / "val/a.jpg", np.zeros((9, 9, 3), np.uint8))
    stagefiles.write(tmp_path / "body_val.pkl", {"tt1": {"cast": [{"id": "a", "file": "a.jpg"}], "candidates": []}})
    write_ranking(tmp_path / "r.txt", {})
    flags = ("--movcast", "a", "--data", tmp_path, "--submission", tmp_path / "r.txt")
    assert "give --image_root" in script("demo.py", *flags, code=2).stderr
    stagefiles.metadata_path(tmp_path / "body_val.pkl").write_text('{"body": 3}')
    assert "give --image_root" in script("demo.py", *flags, code=2).stderr
