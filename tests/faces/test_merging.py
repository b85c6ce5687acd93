"""Merging the results of a split's lists."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from castsearch.faces.merging import merge_results
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split, StageFileError, detection_entry, write

PACK = {"detector": {"sha256": {"net": "a"}}, "search": {"scales": [500]}, "model": "packs/mnet", "licence": "none"}
SPLIT = Split(
    [
        MoviePictures("tt1", (Picture("p", "tt1/cast/p.jpg", "p"),), (Picture("c0", "tt1/c0.jpg", "p"),)),
        MoviePictures("tt2", (), (Picture("c1", "tt2/c1.jpg"),)),
    ]
)
NO_DOUBTS: dict = {"doubts": {}}
CASTS, CANDIDATES = ["val/tt1/cast/p.jpg"], ["val/tt1/c0.jpg", "val/tt2/c1.jpg"]


def faces(score, n=1):
    return Faces(np.full((n, 4), 7, np.float32), np.full(n, score, np.float32), np.ones((n, 5, 2), np.float32))


@pytest.fixture
def put(tmp_path):
    """Writes a result file: each of its pictures with one face of that score."""

    def write_results(name, files, score, time=1000, metadata=PACK, n=1):
        path = tmp_path / name
        write(path, {file: detection_entry(file, faces(score, n)) for file in files}, metadata)
        os.utime(path, (time, time))

    return write_results


def scores(split):
    return [None if p.faces is None else float(p.faces.scores[0]) for m in split.values() for p in m.pictures]


def test_pictures_get_their_faces(tmp_path, put):
    put("val_cast.pkl", CASTS, 0.5)
    put("val_candidates_0.pkl", CANDIDATES[:1], 0.25, n=2)
    put("val_candidates_1.pkl", CANDIDATES[1:], 0.75, n=0)
    put("train_cast.pkl", [*CASTS, *CANDIDATES], 1.0, time=9000)
    merged, metadata = merge_results(SPLIT, "val", [tmp_path])
    assert scores(merged) == [0.5, 0.25, None]
    assert len(merged["tt1"].candidates[0].faces) == 2
    portrait = merged["tt1"].cast[0]
    assert (portrait.id, portrait.file, portrait.label) == ("p", "tt1/cast/p.jpg", "p")
    np.testing.assert_array_equal(portrait.faces.boxes, [[7, 7, 7, 7]])
    assert portrait.faces.landmarks.shape == (1, 5, 2)
    assert metadata == PACK | NO_DOUBTS


@pytest.mark.parametrize(("first", "second", "expected"), [(1000, 2000, 0.75), (2000, 1000, 0.5)])
def test_the_newest_result_counts(tmp_path, put, first, second, expected):
    put("a/val_all.pkl", [*CASTS, *CANDIDATES], 0.5, time=first)
    put("b/val_some.pkl", CANDIDATES, 0.75, time=second)
    merged, _ = merge_results(SPLIT, "val", [tmp_path / "a", tmp_path / "b"])
    assert scores(merged) == [0.5, expected, expected]


def test_results_of_two_packs_are_refused(tmp_path, put):
    put("val_a.pkl", CASTS, 0.5)
    for other in (PACK | {"detector": {"sha256": {"net": "b"}}}, PACK | {"search": {"scales": [320]}}):
        put("val_b.pkl", CANDIDATES, 0.5, metadata=other)
        with pytest.raises(StageFileError, match=r"val_b\.pkl: made with another detector .* than \S*val_a\.pkl"):
            merge_results(SPLIT, "val", [tmp_path])


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("frames", "frames were searched, for {} crops"),
        ("close_ups", "close-ups were looked at again, for {} they were not"),
    ],
)
def test_candidates_are_searched_in_one_way(tmp_path, put, field, told):
    """Which is told of all; portraits have another."""
    put("val_cast.pkl", CASTS, 0.5, metadata=PACK | {"portraits": True})
    way = PACK | {"portraits": False, field: True}
    for name, files in (("val_0.pkl", CANDIDATES[:1]), ("val_1.pkl", CANDIDATES[1:])):
        put(name, files, 0.5, metadata=way)
    assert merge_results(SPLIT, "val", [tmp_path])[1] == PACK | {field: True} | NO_DOUBTS
    for other, files in (("val_0.pkl", CANDIDATES[:1]), ("val_1.pkl", CANDIDATES[1:])):
        one = "val_1.pkl" if other == "val_0.pkl" else "val_0.pkl"
        put(other, files, 0.5, metadata=PACK)
        message = f"{tmp_path / one}: {told.format(tmp_path / other)}; run deploy.py again for one of them"
        with pytest.raises(StageFileError, match=re.escape(message)):
            merge_results(SPLIT, "val", [tmp_path])
        put(other, files, 0.5, metadata=way)


def test_a_frame_parted_between_lists_is_refused(tmp_path, put):
    """Its face may have been given to a person of each."""
    crops = [Picture("c0", "m/f_0_0_9_9.jpg"), Picture("c1", "m/f_2_0_9_9.jpg"), Picture("c2", "m/g_2_0_9_9.jpg")]
    split = Split([MoviePictures("m", (), tuple(crops))])
    files = [f"val/{crop.file}" for crop in crops]

    def part(at, metadata):
        put("val_0.pkl", files[:at], 0.5, metadata=metadata)
        put("val_1.pkl", files[at:], 0.5, metadata=metadata)
        return scores(merge_results(split, "val", [tmp_path])[0])

    assert part(2, PACK | {"frames": True}) == part(1, PACK) == [0.5] * 3
    message = rf"{tmp_path}/val_1\.pkl: val/m/f_2_0_9_9\.jpg is in it, and other crops .* in {tmp_path}/val_0\.pkl, so"
    with pytest.raises(StageFileError, match=message):
        part(1, PACK | {"frames": True})


@pytest.mark.parametrize("bare", ["val_a.pkl", "val_b.pkl"])
def test_a_result_that_tells_nothing_beside_one_that_does(tmp_path, put, bare):
    for name, files in (("val_a.pkl", CASTS), ("val_b.pkl", CANDIDATES)):
        put(name, files, 0.5, metadata=None if name == bare else PACK)
    with pytest.raises(StageFileError, match=rf"/{bare}: nothing beside it tells which detector .* told of \S*/val_"):
        merge_results(SPLIT, "val", [tmp_path])


def test_a_file_that_holds_no_detections_is_named(tmp_path, put):
    put("val_all.pkl", [*CASTS, *CANDIDATES], 0.5)
    write(tmp_path / "val_notes.pkl", {"a": 1})
    with pytest.raises(StageFileError, match=r"val_notes\.pkl: picture a: .*, or move the file away"):
        merge_results(SPLIT, "val", [tmp_path])


def test_one_pack_by_two_names_is_one(tmp_path, put):
    put("val_a.pkl", CASTS, 0.5)
    put("val_b.pkl", CANDIDATES, 0.5, metadata=PACK | {"model": "../packs/mnet", "device": "GPU", "root": "/b"})
    _, metadata = merge_results(SPLIT, "val", [tmp_path])
    assert metadata == PACK | NO_DOUBTS


def test_what_ran_for_any_of_the_results_is_told(tmp_path, put):
    cpu, gpu = ({"engine": "onnxruntime 1", "device": device, "precision": "float32"} for device in ("CPU", "GPU 0"))
    put("val_old.pkl", [*CASTS, *CANDIDATES], 0.5, time=500, metadata=PACK | {"ran": [{"engine": "superseded"}]})
    put("val_a.pkl", CASTS, 0.5, metadata=PACK | {"ran": [cpu, gpu]})
    put("val_b.pkl", CANDIDATES, 0.5, metadata=PACK | {"ran": [gpu]})
    assert merge_results(SPLIT, "val", [tmp_path])[1] == PACK | NO_DOUBTS | {"ran": [cpu, gpu]}
    for nonsense in (None, "CPU", [3], [{"engine": 3}]):
        put("val_a.pkl", CASTS, 0.5, metadata=PACK | {"ran": nonsense})
        assert merge_results(SPLIT, "val", [tmp_path])[1]["ran"] == [gpu]


def test_superseded_results_of_another_pack_do_not_matter(tmp_path, put):
    put("val_old.pkl", [*CASTS, *CANDIDATES], 0.5, time=1000, metadata=PACK | {"detector": {}})
    put("val_new.pkl", [*CASTS, *CANDIDATES], 0.75, time=2000)
    merged, metadata = merge_results(SPLIT, "val", [tmp_path])
    assert scores(merged) == [0.75] * 3
    assert metadata == PACK | NO_DOUBTS


def test_results_of_the_original_record_nothing(tmp_path, put):
    put("val_all.pkl", [*CASTS, *CANDIDATES], 0.5, metadata=None)
    assert merge_results(SPLIT, "val", [tmp_path])[1] == NO_DOUBTS


def test_results_of_an_earlier_version_are_merged_but_not_with_todays(tmp_path, put):
    old = {"face_pack": {"sha256": {"net": "a", "embedder": "b"}}, "search": {"scales": [500]}}
    put("val_a.pkl", CASTS, 0.5, metadata=old)
    put("val_b.pkl", CANDIDATES, 0.5, metadata=old)
    assert merge_results(SPLIT, "val", [tmp_path])[1] == old | NO_DOUBTS
    put("val_b.pkl", CANDIDATES, 0.5, metadata=old | {"face_pack": {"sha256": {"net": "b"}}})
    with pytest.raises(StageFileError, match=r"val_b\.pkl: made with another detector"):
        merge_results(SPLIT, "val", [tmp_path])
    put("val_b.pkl", CANDIDATES, 0.5)
    with pytest.raises(
        StageFileError, match=r"val_a\.pkl: made by an earlier version .*; run deploy\.py again for its list"
    ):
        merge_results(SPLIT, "val", [tmp_path])


def test_doubts_go_by_the_casts_ids(tmp_path, put):
    """As told in the metadata of the newest result; of results that tell none, as the faces alone do."""
    put("val_old.pkl", CASTS, 0.5, time=500, metadata=PACK | {"doubts": {CASTS[0]: "superseded"}})
    put("val_a.pkl", CASTS, 0.5, metadata=PACK | {"doubts": {CASTS[0]: "two of like size"}})
    put("val_b.pkl", CANDIDATES, 0.5)
    assert merge_results(SPLIT, "val", [tmp_path])[1]["doubts"] == {"p": "two of like size"}
    put("val_a.pkl", CASTS, 0.5, n=3)
    assert merge_results(SPLIT, "val", [tmp_path])[1]["doubts"]["p"].startswith("3 faces, none sure enough")
    put("val_a.pkl", CASTS, 0.5, n=0)
    assert merge_results(SPLIT, "val", [tmp_path])[1]["doubts"]["p"].startswith("no face;")


def test_a_missing_result_is_named(tmp_path, put):
    put("val_a.pkl", [*CASTS, CANDIDATES[0]], 0.5)
    message = f"{tmp_path}: movie tt2: no detection of val/tt2/c1.jpg in 1 files val_*.pkl; run datalist.py"
    with pytest.raises(StageFileError, match=re.escape(message)):
        merge_results(SPLIT, "val", [tmp_path])
