"""Aligned faces: which one is cut, where it is kept, and that they are the original's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.annotations import read_annotations
from castsearch.crops import Cropping
from castsearch.faces.alignment import align_arcface
from castsearch.faces.chips import Chips, align_movie, align_split
from castsearch.images import ImageError, ImageReader
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split, StageFileError

DETECTIONS = {
    "detector": {"sha256": {"other_name.onnx": "a"}, "versions": {"library": "0.9"}},
    "search": {"scales": [500], "flip": False},
    "frames": True,
    "close_ups": True,
    "model": "packs/fake",
    "licence": "free",
    "ran": [{"engine": "pencil 1", "device": "GPU 3", "precision": "float32"}],
}
UNSURE = Faces(np.array([[0, 0, 12, 10]], np.float32), np.array([0.6], np.float32), np.zeros((1, 5, 2), np.float32))


@pytest.fixture
def split(tmp_path, paint):
    """Two movies; everybody with a face has an unsure one."""
    for n, name in enumerate(("p", "c0", "c1", "d0")):
        paint(tmp_path / f"{name}.bmp", red=10 * n, green=n)
    first = MoviePictures(
        "tt1", (Picture("p", "p.bmp", faces=UNSURE),), (Picture("c0", "c0.bmp", faces=UNSURE), Picture("c1", "c1.bmp"))
    )
    return Split([first, MoviePictures("tt2", (), (Picture("d0", "d0.bmp", faces=UNSURE),))])


def cut(chips):
    """Red of each chip, and whether a face was cut."""
    return [(int(chip[0, 0, 0]), bool(chip[2, 0, 0])) for chip in chips]


def test_portraits_take_their_only_face_and_candidates_a_sure_one(tmp_path, split, fake_pack):
    reader = ImageReader(tmp_path)
    assert cut(align_movie(split["tt1"], reader, fake_pack())) == [(0, True), (10, False), (20, False)]
    assert cut(align_movie(split["tt1"], reader, fake_pack(), limits=False)) == [(0, True), (10, True), (20, False)]


def test_the_pack_is_given_the_chosen_face(tmp_path, paint, fake_pack):
    """Of two faces the second: its box, its five points; and a face without points where the file has none."""
    given = []

    class Noted(fake_pack):
        def align(self, image, box, landmarks):
            given.append((image.shape, box.tolist(), landmarks if landmarks is None else landmarks.tolist()))
            return super().align(image, box, landmarks)

    paint(tmp_path / "c.bmp")
    boxes = np.array([[0, 0, 3, 3], [2, 2, 8, 8]], np.float32)
    points = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    for landmarks in (points, None):
        picture = Picture("c", "c.bmp", faces=Faces(boxes, np.array([0.99, 0.95], np.float32), landmarks))
        align_movie(MoviePictures("tt1", (), (picture,)), ImageReader(tmp_path), Noted())
    assert given == [((10, 12, 3), [2, 2, 8, 8], points[1].tolist()), ((10, 12, 3), [2, 2, 8, 8], None)]


def told_of(chips: Path) -> dict[str, Any]:
    """Metadata without stamps and what stands for pictures."""
    stamps = ("made_from", "sources", "rows", "faces")
    return {field: told for field, told in stagefiles.read_metadata(chips).items() if field not in stamps}


@pytest.mark.parametrize("single", [False, True])
def test_written_and_read_again(tmp_path, split, fake_pack, single):
    folder = tmp_path / "out/val_img"
    target = align_split(split, ImageReader(tmp_path), fake_pack(), DETECTIONS, folder, limits=False, single=single)
    assert target == (tmp_path / "out/val_img.pkl" if single else folder)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.pkl")) == (
        ["val_img.pkl"] if single else ["tt1.pkl", "tt2.pkl"]
    )
    chips = Chips(folder)
    assert chips.file("tt2") == (target if single else folder / "tt2.pkl")
    assert cut(chips.read("tt1", 3, 4)) == [(0, True), (10, True), (20, False)]
    assert cut(chips.read("tt2", 1, 4)) == [(30, True)]
    assert told_of(chips.file("tt1")) == DETECTIONS | {"limits": False, "alignment": "FakePack 4"}


def test_what_is_told_of_chips_is_what_is_told_of_the_detections(tmp_path, split, fake_pack):
    """Nothing of the original's; of earlier versions' the detector, and not the device that was asked for."""

    def told(detections):
        align_split(split, ImageReader(tmp_path), fake_pack(), detections, tmp_path / "val_img")
        return told_of(tmp_path / "val_img/tt2.pkl")

    assert told({}) == {"limits": True, "alignment": "FakePack 4"}
    both = {"sha256": {"detector.onnx": "b", "embedder.onnx": "c"}, "versions": {"library": "0.9"}}
    assert told({"face_pack": both, "model": "old", "device": "GPU 0", "doubts": {}}) == {
        "detector": {"sha256": {"detector.onnx": "b"}, "versions": {"library": "0.9"}},
        "model": "old",
        "limits": True,
        "alignment": "FakePack 4",
    }


@pytest.mark.parametrize("single", [False, True])
def test_pictures_and_faces_are_told_movie_by_movie(tmp_path, split, fake_pack, single):
    folder = tmp_path / "val_img"
    align_split(split, ImageReader(tmp_path), fake_pack(), DETECTIONS, folder, single=single)
    told = Chips(folder).of_rows(split)
    assert {field: list(of) for field, of in told.items()} == {"rows": ["tt1", "tt2"], "faces": ["tt1", "tt2"]}
    assert told["rows"]["tt1"] != told["rows"]["tt2"] and told["faces"]["tt1"] != told["faces"]["tt2"]
    assert Chips(folder).of_rows(["tt2"]) == {field: {"tt2": of["tt2"]} for field, of in told.items()}
    for file in {Chips(folder).file(movie) for movie in split}:
        stagefiles.write(file, stagefiles.read(file), {"rows": 5, "faces": {"tt3": "another"}})
    assert Chips(folder).of_rows(split) == {"rows": {}, "faces": {}}
    for file in {Chips(folder).file(movie) for movie in split}:
        stagefiles.metadata_path(file).unlink()  # as the original wrote them
    assert Chips(folder).of_rows(split) == {"rows": {}, "faces": {}}


@pytest.mark.parametrize("single", [False, True])
def test_what_could_not_be_read_is_tried_again(tmp_path, split, fake_pack, single):
    """The movie is done again, with a word about its picture, and the other one is not."""
    (tmp_path / "c1.bmp").write_bytes(b"damaged")

    def align(skip_bad):
        reader = ImageReader(tmp_path, skip_bad)
        align_split(split, reader, fake_pack(), DETECTIONS, tmp_path / "val_img", single=single)
        return list(reader.bad)

    assert align(skip_bad=True) == align(skip_bad=True) == ["c1.bmp"]
    (tmp_path / "d0.bmp").write_bytes(b"never read again, being of the size and time that it was".ljust(414))
    with pytest.raises(ImageError, match=r"c1\.bmp: cannot be read"):
        align(skip_bad=False)


@pytest.mark.parametrize("single_is_newer", [False, True])
def test_of_both_forms_the_newer_is_read(tmp_path, split, fake_pack, single_is_newer):
    folder = tmp_path / "val_img"
    align_split(split, ImageReader(tmp_path), fake_pack(), DETECTIONS, folder, limits=False)
    align_split(split, ImageReader(tmp_path), fake_pack(), DETECTIONS, folder, limits=True, single=True)
    os.utime(folder, (1000, 1000))
    os.utime(folder.with_name("val_img.pkl"), (2000, 2000) if single_is_newer else (500, 500))
    assert cut(Chips(folder).read("tt2", 1, 4)) == [(30, not single_is_newer)]


@pytest.mark.parametrize("single", [False, True])
def test_chips_are_current_whatever_ran_and_read_where_they_were_asked_for_last(tmp_path, split, fake_pack, single):
    """Though the other form, of another selection, was written since."""
    folder, reader = tmp_path / "val_img", ImageReader(tmp_path)

    def align(single, limits, **changed):
        align_split(split, reader, fake_pack(), DETECTIONS | changed, folder, limits, single)
        return Chips(folder).file("tt2"), Chips(folder).file("tt2").stat().st_mtime_ns

    first, written = align(single, limits=False)
    assert align(single, limits=False) == (first, written)
    assert align(not single, limits=True)[0] != first
    found, again = align(single, limits=False, **{} if single else {"model": "p", "licence": "l", "ran": []})
    assert found == first and (single or again == written)
    assert cut(Chips(folder).read("tt2", 1, 4)) == [(30, True)]


def test_missing_or_foreign_chips_are_named(tmp_path, split, fake_pack):
    folder = tmp_path / "val_img"
    with pytest.raises(StageFileError, match=r"val_img: no such folder, nor val_img\.pkl; run face_det\.py first"):
        Chips(folder)
    align_split(split, ImageReader(tmp_path), fake_pack(), DETECTIONS, folder)
    chips = Chips(folder)
    for rows, size in ((2, 4), (3, 5)):
        message = rf"tt1\.pkl: movie tt1: expected chips \({rows}, 3, {size}, {size}\) of uint8, got \(3, 3, 4, 4\)"
        with pytest.raises(StageFileError, match=message):
            chips.read("tt1", rows, size)
    for content in ({"tt1": np.zeros((3, 3, 4, 4), np.float32)}, {"tt1": [1, 2]}, {"other": 1}):
        stagefiles.write(folder / "tt1.pkl", content)
        with pytest.raises(StageFileError, match=r"run face_det\.py again"):
            chips.read("tt1", 3, 4)
    with pytest.raises(StageFileError, match=r"tt3\.pkl"):
        chips.read("tt3", 1, 4)


class ArcFaceAlignment:
    chip_size = 112
    align = staticmethod(align_arcface)


def test_aligned_faces_are_the_originals(testdata, tmp_path):
    """Crops from stage 1, the golden detections: at most 1.5 grey levels off in a picture, 0.2 on average."""
    movies = read_annotations(testdata / "data/jurassic/data/val.json")
    Cropping(movies, testdata / "data/jurassic/origin/val", tmp_path, tmp_path / "body_val.pkl").run()
    golden = np.load(testdata / "golden/jurassic/val_img.npz")
    retina = stagefiles.read_retina(testdata / "golden/jurassic/retina_val.pkl")
    differences = []
    for name, movie in retina.items():
        chips = align_movie(movie, ImageReader(tmp_path), ArcFaceAlignment())
        differences += list(np.abs(chips.astype(float) - golden[name]).mean(axis=(1, 2, 3)))
    assert len(differences) == 81
    assert max(differences) < 1.5
    assert np.mean(differences) < 0.2
