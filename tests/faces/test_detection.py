"""Detecting a list's pictures: what is written, and what a later run keeps."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from castsearch.faces import PackError, SearchSettings, detection
from castsearch.faces.detection import PIXELS_TOGETHER, TOGETHER, _together, detect_files
from castsearch.faces.retinaface import SCALES, scaled_sizes
from castsearch.images import ImageError, ImageReader, NoPicturesError
from castsearch.stagefiles import Faces, read, read_detections, read_metadata, write

FILES = ["val/a.bmp", "val/b.bmp", "val/c.bmp"]
RED = {"val/a.bmp": 255, "val/b.bmp": 0, "val/c.bmp": 128}


@pytest.fixture
def body(tmp_path, paint):
    for file, red in RED.items():
        paint(tmp_path / "body" / file, red)
    return tmp_path / "body"


@pytest.fixture
def detect(tmp_path, body, fake_pack):
    """Detects and tells which reds were looked at."""

    def run(pack=None, root=body, files=FILES, **kw):
        pack = pack or fake_pack()
        detect_files(files, ImageReader(root, kw.pop("skip_bad", False)), pack, tmp_path / "val_0.pkl", **kw)
        return [red for red, *_ in pack.seen]

    return run


def test_what_is_written(tmp_path, body, fake_pack):
    target = tmp_path / "val_0.pkl"
    found, doubts = detect_files(FILES, ImageReader(body), fake_pack(search=SearchSettings([64])), target)
    assert doubts == {}
    assert list(found) == FILES
    assert [len(faces) for faces in found.values()] == [1, 0, 1]
    np.testing.assert_array_equal(found["val/a.bmp"].boxes, [[0, 0, 12, 10]])
    np.testing.assert_allclose(found["val/c.bmp"].scores, [128 / 255])
    np.testing.assert_array_equal(found["val/a.bmp"].landmarks, np.arange(10).reshape(1, 5, 2))
    written = read(target)["val/a.bmp"]
    assert written["file"] == "val/a.bmp"
    np.testing.assert_array_equal(written["faces"], [[0, 0, 12, 10, 1]])
    metadata = read_metadata(target)
    assert metadata["detector"] == {"sha256": {"detector.onnx": "a"}, "versions": {"library": "1"}}
    assert not {"face_pack", "embedder", "doubts"} & metadata.keys()
    assert metadata["search"] == {"scales": [64], "flip": False}
    assert (metadata["model"], metadata["licence"]) == ("fake", "none")
    assert metadata["ran"] == [{"engine": "pencil 1", "device": "paper", "precision": "float32"}]
    assert metadata["root"] == str(body)


def test_what_is_done_is_not_done_again(detect):
    assert detect() == [255, 0, 128]
    assert detect() == []


def test_the_packs_name_and_the_roots_spelling_do_not_matter(detect, fake_pack, body, tmp_path, monkeypatch):
    detect(fake_pack(name="packs/mnet"))
    monkeypatch.chdir(tmp_path)
    assert detect(fake_pack(name="../packs/mnet"), root=body.relative_to(tmp_path)) == []
    assert read_metadata(tmp_path / "val_0.pkl")["model"] == "../packs/mnet"


@pytest.mark.parametrize("change", [{"weights": "b"}, {"search": SearchSettings([64])}])
def test_another_pack_or_search_does_all_again(detect, fake_pack, change):
    detect()
    assert detect(fake_pack(**change)) == [255, 0, 128]


def test_portraits_are_searched_harder(detect, fake_pack, tmp_path):
    """The pack sees nothing in a picture of 10 rows, and a face with a border that makes it 20."""
    detect(fake_pack(border=20))
    assert not any(map(len, read_detections(tmp_path / "val_0.pkl").values()))
    seen = detect(fake_pack(border=20), portraits=True)
    assert seen == [255, 255, 0, 0, 0, 128, 128]  # what is red is found at the second look, what is not never
    assert [len(faces) for faces in read_detections(tmp_path / "val_0.pkl").values()] == [1, 0, 1]
    assert detect(fake_pack(border=20), portraits=True) == []


def test_close_ups_of_candidates_are_looked_at_again_where_the_pack_misses_them(detect, fake_pack, tmp_path):
    """Metadata tell so, and of no other pack: what was found without such looks stands, or is done again."""
    assert detect(fake_pack(border=20)) == [255, 0, 128]
    assert "close_ups" not in read_metadata(tmp_path / "val_0.pkl")
    looked = {"border": 20, "misses_close_ups": True}
    # All three, then the sheet that shows them small. This pack sees a face in its grey middle, where none of them is.
    assert detect(fake_pack(**looked)) == [255, 0, 128, 127]
    assert read_metadata(tmp_path / "val_0.pkl")["close_ups"] is True
    assert detect(fake_pack(**looked)) == []
    detect(fake_pack(**looked), portraits=True)
    assert "close_ups" not in read_metadata(tmp_path / "val_0.pkl")


@pytest.fixture
def of_sizes(tmp_path):
    """Writes pictures of sizes, as red as their number; returns their names."""

    def write(sizes):
        folder = tmp_path / "sized/val"
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number, size in enumerate(sizes):
            names.append(f"val/{number}.png")
            Image.new("RGB", size, (number + 1, 0, 0)).save(folder / f"{number}.png")
        return names

    return write


def test_pictures_of_one_size_after_scaling_follow_each_other(of_sizes, fake_pack, tmp_path):
    """Each is read once, and results stand in the list's order."""
    files = of_sizes([(30, 40), (40, 30), (60, 80), (20, 20), (80, 60), (15, 20)])
    pack, reader = fake_pack(), ImageReader(tmp_path / "sized")
    assert list(detect_files(files, reader, pack, tmp_path / "val_0.pkl").faces) == files
    assert [red for red, *_ in pack.seen] == [4, 2, 5, 1, 3, 6]
    written = read_detections(tmp_path / "val_0.pkl")
    assert list(written) == files
    np.testing.assert_allclose([faces.scores[0] * 255 for faces in written.values()], range(1, 7), rtol=1e-5)


def test_what_was_odd_is_told_in_the_lists_order(of_sizes, fake_pack, tmp_path):
    files = of_sizes([(30, 40), (40, 30), (20, 20), (30, 40)])
    for number in (0, 3):
        whole = (tmp_path / "sized" / files[number]).read_bytes()
        (tmp_path / "sized" / files[number]).write_bytes(whole[:-20])  # its size can be read
    (tmp_path / "sized" / files[1]).write_bytes(b"no picture")
    reader = ImageReader(tmp_path / "sized", skip_bad=True)
    detect_files(files, reader, fake_pack(), tmp_path / "val_0.pkl")
    assert list(reader.bad) == [files[0], files[1], files[3]]


def test_what_is_read_together():
    """A size is parted only where it is larger than what there is room for; unknown ones come first, alone."""
    sizes = {f"a{i}": (400, 400) for i in range(TOGETHER + 6)}
    sizes |= {f"b{i}": (400, 200) for i in range(40)}
    sizes |= {f"c{i}": (200, 400) for i in range(30)}
    sizes |= {"x": None, "y": None}
    chunks = list(_together(list(sizes), sizes, SCALES))
    assert [Counter(name[0] for name in chunk) for chunk in chunks] == [
        {"x": 1},
        {"y": 1},
        {"b": 40},
        {"a": TOGETHER},
        {"a": 6, "c": 30},
    ]
    large = {str(i): (4096, PIXELS_TOGETHER // 8192) for i in range(5)}
    assert [len(chunk) for chunk in _together(list(large), large, SCALES)] == [2, 2, 1]


def test_runs_at_the_challenges_sizes(testdata):
    """The first list of the 2019 validation split: 1.0003 pictures shared a size when 16 neighbours were looked at."""
    movies = json.loads(gzip.decompress((testdata / "data/csm_2019_val_boxes/candidates.json.gz").read_bytes()))
    boxes = [candidate["bbox"] for candidate in chain(*movies.values())][:10_000]
    sizes = {str(i): (w, h) for i, (_, _, w, h) in enumerate(boxes)}
    alike = searched = 0
    for chunk in _together(list(sizes), sizes, SCALES):
        searched += len(chunk)
        alike += len({scaled_sizes(SCALES, *sizes[file][::-1])[-1] for file in chunk})
    assert searched == 10_000
    assert searched / alike > 6.3


@pytest.mark.parametrize("time", [999_999_999, 1_000_000_001], ids=["older", "newer"])
def test_a_picture_replaced_by_another_is_done_again(detect, body, paint, time):
    detect()
    paint(body / FILES[1], red=77, time=time)
    assert detect() == [77]


def test_pictures_below_another_root_are_done_anew(detect, body, paint, tmp_path):
    """Even those of the same name, size and time."""
    detect()
    other = tmp_path / "other"
    shutil.copytree(body, other)
    paint(other / FILES[1], red=77)
    assert detect(root=other) == [255, 77, 128]


def test_a_picture_replaced_in_mid_run_is_done_again_by_the_next(detect, body, paint, fake_pack):
    """The first run read the old picture and wrote its result after the new one was there."""

    class Slow(fake_pack):
        def detect(self, image):
            paint(body / FILES[1], red=77, time=1_000_000_500)
            return super().detect(image)

    assert detect(Slow()) == [255, 0, 128]
    assert detect() == [77]


@pytest.mark.parametrize(("limit", "least"), [("TOGETHER", 1), ("PIXELS_TOGETHER", 120)])
def test_a_killed_run_goes_on(detect, body, fake_pack, monkeypatch, tmp_path, limit, least):
    """It keeps what was searched together; so many pixels are one picture."""
    monkeypatch.setattr(detection, limit, least)

    class Killed(fake_pack):
        def detect(self, image):
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().detect(image)

    with pytest.raises(KeyboardInterrupt):
        detect(Killed())
    assert not (tmp_path / "val_0.pkl").exists()
    assert detect() == [128]
    assert list(read_detections(tmp_path / "val_0.pkl")) == FILES


def test_bad_pictures_are_faceless_and_tried_again(detect, body, paint, tmp_path):
    whole = (body / FILES[0]).read_bytes()
    (body / FILES[0]).write_bytes(whole[:60])
    stamp = (body / FILES[0]).stat()
    with pytest.raises(ImageError):
        detect()
    assert detect(skip_bad=True) == [0, 128]
    assert [len(faces) for faces in read_detections(tmp_path / "val_0.pkl").values()] == [0, 0, 1]
    assert list(read_metadata(tmp_path / "val_0.pkl")["bad"]) == [FILES[0]]
    (body / FILES[0]).write_bytes(whole)
    os.utime(body / FILES[0], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert detect() == [255]
    assert "bad" not in read_metadata(tmp_path / "val_0.pkl")


def test_another_embedder_leaves_detections_as_they_are(detect, fake_pack):
    assert detect() == [255, 0, 128]
    assert detect(fake_pack(embedder="b")) == []


def test_a_broken_embedder_is_found_before_the_first_picture(detect, fake_pack, tmp_path):
    pack = fake_pack(embedder="broken")
    with pytest.raises(PackError, match="broken"):
        detect(pack)
    assert pack.seen == []
    assert not list(tmp_path.glob("val_0*"))
    detect()
    assert detect(fake_pack(embedder="broken")) == []  # with nothing to do, nothing is tried


def test_detections_of_an_earlier_version_stand(detect, tmp_path, fake_pack):
    """It told of both networks as one; what it told of the detector is compared."""
    detect()
    target = tmp_path / "val_0.pkl"
    metadata = read_metadata(target)
    del metadata["detector"]
    digests = {"detector.onnx": "a", "embedder.onnx": "of another time"}
    metadata["face_pack"] = {"sha256": digests, "versions": {"library": "1", "insightface": "2"}}
    write(target, read(target), metadata)
    assert detect(fake_pack(weights="b")) == [255, 0, 128]
    write(target, read(target), metadata)
    assert detect() == []
    assert read_metadata(target)["detector"] == {"sha256": {"detector.onnx": "a"}, "versions": {"library": "1"}}
    assert "face_pack" not in read_metadata(target)
    for nonsense in ({"sha256": 1}, [], {"sha256": {"detector.onnx": "a"}, "versions": None}):
        write(target, read(target), metadata | {"face_pack": nonsense})
        assert detect() == [255, 0, 128]


def test_doubts_are_told_again_by_a_run_that_has_nothing_to_do(body, fake_pack, tmp_path):
    """And kept in the metadata; pictures that are no portraits have none."""

    class Two(fake_pack):
        def detect(self, image):
            found = super().detect(image)
            if not len(found) or found.scores[0] < 1:
                return found
            boxes = np.array([[1, 2, 5, 6], [6, 2, 9, 6]], np.float32)
            return Faces(boxes, np.ones(2, np.float32), np.zeros((2, 5, 2), np.float32))

    expected = {
        FILES[0]: "2 faces of like size; the one at 6,2 (3 x 4 pixels) was taken: crop the portrait to the person",
        FILES[1]: "no face; its features will say little, take a portrait that shows one",
    }
    for _ in range(2):
        pack = Two()
        doubts = detect_files(FILES, ImageReader(body), pack, tmp_path / "val_cast.pkl", portraits=True).doubts
        assert doubts == read_metadata(tmp_path / "val_cast.pkl")["doubts"] == expected
    assert pack.seen == []
    assert detect_files(FILES, ImageReader(body), Two(), tmp_path / "val_0.pkl").doubts == {}


def test_a_bad_portrait_is_told_of_as_such_only(body, fake_pack, tmp_path):
    (body / FILES[0]).write_bytes(b"BM")
    reader = ImageReader(body, skip_bad=True)
    doubts = detect_files(FILES, reader, fake_pack(), tmp_path / "val_cast.pkl", portraits=True).doubts
    assert list(doubts) == [FILES[1]]
    assert list(reader.bad) == [FILES[0]]


def test_a_list_of_bad_pictures_only_is_an_error(detect, body, tmp_path):
    for file in FILES:
        (body / file).write_bytes(b"BM")
    with pytest.raises(NoPicturesError, match=rf"{body}: none of the 3 pictures can be read; the first: .*a\.bmp"):
        detect(skip_bad=True)
    assert not list(tmp_path.glob("val_0*"))


@pytest.mark.parametrize(("given", "meant"), [("body/val", "body"), (".", "body")])
def test_a_root_too_deep_or_too_high_is_recognised(detect, tmp_path, given, meant):
    message = rf"{tmp_path / given}: val/a\.bmp is not there but below {tmp_path / meant}; name that folder"
    with pytest.raises(NoPicturesError, match=message):
        detect(root=tmp_path / given)
