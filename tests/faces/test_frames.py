"""Frames in place of crops: whose face is whose, and what is written."""

from __future__ import annotations

import math
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch.faces import open_pack
from castsearch.faces.detection import detect_files
from castsearch.faces.frames import FrameError, crops_of_frames, detect_in_frames, share_out
from castsearch.faces.selection import select_candidate
from castsearch.images import ImageError, ImageReader, NoPicturesError, decoding
from castsearch.stagefiles import Faces, read_detections, read_metadata

SIZE = (640, 360)


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.repeat(corners[:, None, :2], 5, axis=1) + np.arange(5, dtype=np.float32)[None, :, None]
    return Faces(corners, np.linspace(0.99, 0.95, len(corners), dtype=np.float32), points)


def corners_in_frame(shares: list[Faces], boxes: list[tuple[int, int, int, int]]) -> list[list[float] | None]:
    return [
        [*(share.boxes[0, :2] + (max(x, 0), max(y, 0)))] if len(share) else None
        for share, (x, y, _, _) in zip(shares, boxes, strict=True)
    ]


@pytest.mark.parametrize(
    ("boxes", "found", "given"),
    [
        # Two people side by side whose boxes overlap: to each their own, whichever comes first.
        ([(100, 50, 120, 300), (180, 50, 120, 300)], [(140, 70, 180, 110), (220, 70, 260, 110)], [0, 1]),
        ([(180, 50, 120, 300), (100, 50, 120, 300)], [(140, 70, 180, 110), (220, 70, 260, 110)], [1, 0]),
        # One face for two: to whom it sits better, and to the other none.
        ([(100, 50, 120, 300), (130, 50, 160, 300)], [(140, 70, 180, 110)], [0, None]),
        # Somebody small behind somebody large: size tells, though both faces lie in the large box.
        ([(100, 20, 300, 340), (300, 60, 60, 160)], [(210, 60, 300, 180), (318, 70, 340, 98)], [0, 1]),
        # The large person's face is turned away: the small one keeps theirs.
        ([(100, 20, 300, 340), (300, 60, 60, 160)], [(318, 70, 340, 98)], [None, 0]),
        # A face in no box is nobody's; two faces in one box: that of the upper middle.
        ([(100, 50, 120, 300)], [(400, 70, 440, 110)], [None]),
        ([(100, 50, 120, 300)], [(110, 280, 150, 320), (140, 70, 180, 110)], [1]),
        # Far from the usual is unlikely only: a single person's only face.
        ([(100, 50, 120, 300)], [(102, 290, 122, 310)], [0]),
        # Each box takes one of three faces.
        ([(0, 0, 640, 360)], [(10, 10, 60, 60), (250, 90, 390, 270), (500, 10, 560, 60)], [1]),
        ([(100, 50, 120, 300), (180, 50, 120, 300)], [], [None, None]),
        ([], [(1, 1, 9, 9)], []),
        # Two boxes alike, two faces alike; a face without a width, or of less.
        ([(100, 0, 100, 200)] * 2, [(130, 60, 170, 100)] * 2, [0, 1]),
        ([(100, 0, 100, 200)], [(150, 60, 150, 100)], [0]),
        ([(100, 0, 100, 200)], [(160, 60, 140, 100)], [0]),
        # A box that ends before the frame begins.
        ([(-90, 0, 50, 50), (0, 0, 100, 200)], [(-70, 0, 30, 40)], [None, None]),
    ],
)
def test_whose_face_is_whose(boxes, found, given):
    shares = share_out(faces(*found), boxes, SIZE)
    expected = [None if number is None else [*map(float, found[number][:2])] for number in given]
    assert corners_in_frame(shares, boxes) == expected
    assert all(len(share) <= 1 for share in shares)


TYPICAL, OFF, FAR = (140, 160, 180, 200), (160, 280, 200, 320), (95, 220, 125, 250)


@pytest.mark.parametrize(
    ("found", "scores", "given"),
    [
        ((TYPICAL, OFF), (0.99, 0.99), 0),
        ((TYPICAL, OFF), (0.90, 0.91), 1),  # selection takes no face of 0.9, however well it sits
        ((TYPICAL, OFF), (0.89, 0.90), 0),
        ((TYPICAL,), (0.5,), 0),
        (((155, 180, 165, 190), OFF), (0.99, 0.99), 1),  # nor one of less than a fiftieth of the crop
        ((FAR, OFF), (0.99, 0.99), 1),
    ],
)
def test_faces_that_selection_admits_come_first(found, scores, given):
    """Of a box of 120 x 300 that is alone; the others are its person's only where there is no such face."""
    box = (100, 50, 120, 300)
    of_frame = Faces(faces(*found).boxes, np.float32(scores), None)
    (share,) = share_out(of_frame, [box], SIZE)
    assert [*share.boxes[0]] == [*_placed(found[given], box)]
    if scores[given] > 0.9:
        assert select_candidate(share, box[2:]) == 0


def test_shares_are_the_best_of_all_ways_there_are():
    """Beside every way tried one by one, over boxes and faces by chance: equal ones, past the edge, of a pixel."""
    rng = np.random.default_rng(0)
    for trial in range(150):
        corners, sides = rng.integers(-60, 200, (1 + trial % 3, 2)), rng.integers(1, 300, (3, 2))
        boxes = [(*corner, *side) for corner, side in zip(corners.tolist(), sides.tolist(), strict=False)]
        corners = rng.uniform(0, 250, (int(rng.integers(1, 6)), 2))
        found = np.concatenate([corners, corners + rng.uniform(2, 90, corners.shape)], axis=1).astype(np.float32)
        boxes[-1], found[-1] = (boxes[0], found[0]) if trial % 5 == 0 else (boxes[-1], found[-1])
        marks = np.repeat(np.arange(len(found), dtype=np.float32) * 10_000, 10).reshape(-1, 5, 2)  # tell which is which
        of_frame = Faces(found, np.full(len(found), 0.99, np.float32), marks)
        value = [[_merit(box, face) for face in found.astype(float)] + [0] * len(boxes) for box in boxes]
        ways = permutations(range(len(value[0])), len(boxes))
        best = max(sum(value[box][face] for box, face in enumerate(way)) for way in ways)
        shares = share_out(of_frame, boxes, SIZE)
        way = {box: round(float(share.landmarks[0, 0, 0]) / 10_000) for box, share in enumerate(shares) if len(share)}
        assert len(set(way.values())) == len(way)
        assert sum(value[box][face] for box, face in way.items()) == pytest.approx(best, rel=1e-5, abs=1e-12)


def _placed(face, box):
    return [max(0, min(side - 1, at - low)) for at, low, side in zip(face, box[:2] * 2, box[2:] * 2, strict=True)]


def _merit(box, face):
    """As the rules say it of one pair, in plain numbers."""
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], SIZE[0]), min(box[1] + box[3], SIZE[1])
    x, y, width = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2, max(face[2] - face[0], 1)
    if not (left <= x < right and top <= y < bottom):
        return 0
    short = min(right - left, bottom - top)
    off = (x - left) / (right - left) - 0.5, (y - top) / short - 0.44, math.log(width / short / 0.36)
    merit = max(1e-6, math.exp(-sum((z / sigma) ** 2 for z, sigma in zip(off, (0.15, 0.25, 0.6), strict=True)) / 2))
    x1, y1, x2, y2 = _placed(face, (left, top, right - left, bottom - top))
    within = (right - left) / 6 < (x1 + x2) / 2 < (right - left) * 5 / 6
    return merit if within and (x2 - x1) * (y2 - y1) > (right - left) * (bottom - top) / 50 else 1e-9 * merit


@pytest.mark.parametrize(
    ("second", "face"), [((200, 0, 100, 200), (180, 60, 220, 100)), ((100, 200, 100, 100), (130, 180, 170, 220))]
)
def test_a_centre_between_two_boxes_lies_in_the_right_or_lower_one(second, face):
    for boxes, expected in (([(100, 0, 100, 200), second], [0, 1]), ([second, (100, 0, 100, 200)], [1, 0])):
        assert [len(share) for share in share_out(faces(face), boxes, SIZE)] == expected
    assert len(share_out(faces(face), [(100, 0, 100, 200)], SIZE)[0]) == 0


def test_faces_are_given_in_pixels_of_the_crop(monkeypatch):
    """Which begins where the frame does; boxes are cut at its edge, landmarks are not."""
    (share,) = share_out(faces((-4, 8, 36, 58)), [(-30, -20, 100, 200)], SIZE)
    np.testing.assert_array_equal(share.boxes, [[0, 8, 36, 58]])
    np.testing.assert_array_equal(share.landmarks[0, 1], [-3, 9])
    (share,) = share_out(faces((600, 300, 650, 358)), [(580, 280, 100, 200)], SIZE)
    np.testing.assert_array_equal(share.boxes, [[20, 20, 59, 78]])
    np.testing.assert_array_equal(share.scores, np.float32([0.99]))
    monkeypatch.setattr(decoding, "LARGE", 99 * 199)  # a crop so large is read at a half of its sides
    (share,) = share_out(faces((40, 8, 80, 58)), [(20, 4, 100, 200)], SIZE)
    np.testing.assert_array_equal(share.boxes, [[10, 2, 30, 27]])
    np.testing.assert_array_equal(share.landmarks[0, 1], [10.5, 2.5])
    no_points = Faces(np.float32([[600, 300, 620, 320]]), np.float32([0.9]), None)
    assert share_out(no_points, [(580, 280, 60, 80)], SIZE)[0].landmarks is None


@pytest.fixture
def origin(tmp_path, paint):
    """Two frames of 12 x 10 pixels, the first red: a face fills it."""
    paint(tmp_path / "origin/val/m/a.bmp", 255)
    paint(tmp_path / "origin/val/m/b.bmp", 0)
    return tmp_path / "origin"


CROPS = ["val/m/a_0_0_12_10.jpg", "val/m/b_0_0_5_5.jpg", "val/m/a_1_-2_12_12.jpg"]


@pytest.fixture
def detect(tmp_path, origin, fake_pack):
    """Searches the frames of crops; tells which reds were looked at, and how many faces each crop has."""

    def run(files=CROPS, pack=None, skip_bad=False, root=origin):
        pack = pack or fake_pack()
        reader = ImageReader(root, skip_bad, keep_pixels=True)
        found = detect_in_frames(files, reader, pack, tmp_path / "val_0.pkl").faces
        assert list(found) == files
        return [red for red, *_ in pack.seen], [len(found[file]) for file in files]

    return run


def test_what_is_written(detect, tmp_path, origin):
    """As of crops, by their paths and in the list's order; a frame is searched once, and its face given once."""
    assert detect() == ([255, 0], [1, 0, 0])
    written = read_detections(tmp_path / "val_0.pkl")
    np.testing.assert_array_equal(written[CROPS[0]].boxes, [[0, 0, 11, 9]])
    metadata = read_metadata(tmp_path / "val_0.pkl")
    assert (metadata["frames"], metadata["portraits"], metadata["root"]) == (True, False, str(origin))
    assert metadata["ran"] == [{"engine": "pencil 1", "device": "paper", "precision": "float32"}]
    assert detect() == ([], [1, 0, 0])


def test_a_frame_that_changed_is_searched_again_for_all_of_its_boxes(detect, origin, paint):
    detect()
    paint(origin / "val/m/a.bmp", 128, time=1_000_000_500)
    assert detect() == ([128], [1, 0, 0])


def test_another_box_on_a_frame_shares_its_faces_out_anew(detect):
    """The face was the first box's while that was alone; the second has a better claim, and no face counts twice."""
    before, after = ["val/m/a_3_2_6_7.jpg"], ["val/m/a_3_2_6_7.jpg", "val/m/a_0_0_12_10.jpg"]
    assert detect(before) == ([255], [1])
    assert detect(after) == ([255], [0, 1])
    assert detect(after[::-1]) == ([], [1, 0])
    assert detect(before) == ([255], [1])


def test_what_was_found_in_crops_is_not_taken_for_what_is_found_in_frames(detect, tmp_path, origin, fake_pack, paint):
    for file in CROPS:
        paint(origin / file, 255)
    for _ in range(2):
        pack = fake_pack()
        assert len(detect_files(CROPS, ImageReader(origin), pack, tmp_path / "val_0.pkl").faces[CROPS[2]]) == 1
        assert len(pack.seen) == 3
        assert "frames" not in read_metadata(tmp_path / "val_0.pkl")
        assert detect() == ([255, 0], [1, 0, 0])


def test_boxes_whose_crops_a_killed_run_did_keep_their_faces(detect, tmp_path, monkeypatch):
    """The frame's face went to the first box; the other must not get it in the next run."""
    from castsearch.faces import frames

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        add = frames.detection_entry

        def killed(file, found):
            if file == CROPS[2]:
                raise KeyboardInterrupt
            return add(file, found)

        patch.setattr(frames, "detection_entry", killed)
        detect()
    assert not (tmp_path / "val_0.pkl").exists()
    assert detect() == ([255, 0], [1, 0, 0])


def test_bad_frames_leave_their_crops_faceless_and_are_tried_again(detect, origin, tmp_path):
    whole = (origin / "val/m/a.bmp").read_bytes()
    (origin / "val/m/a.bmp").write_bytes(b"BM")
    with pytest.raises(ImageError, match=r"a\.bmp"):
        detect()
    assert detect(skip_bad=True) == ([0], [0, 0, 0])
    assert list(read_metadata(tmp_path / "val_0.pkl")["bad"]) == [CROPS[0], CROPS[2]]
    (origin / "val/m/a.bmp").write_bytes(whole)
    assert detect() == ([255], [1, 0, 0])


def test_bad_frames_are_told_of_in_their_order(origin, fake_pack, tmp_path):
    whole = (origin / "val/m/a.bmp").read_bytes()
    (origin / "val/m/a.bmp").write_bytes(whole[:-20])  # searched last: its size can be read
    (origin / "val/m/b.bmp").write_bytes(b"BM")
    shutil.copyfile(origin / "val/m/b.bmp", origin / "val/m/c.bmp")
    (origin / "val/m/d.bmp").write_bytes(whole)
    reader = ImageReader(origin, skip_bad=True)
    files = [*CROPS, "val/m/c_0_0_5_5.jpg", "val/m/d_0_0_12_10.jpg"]
    detect_in_frames(files, reader, fake_pack(), tmp_path / "val_0.pkl")
    assert list(reader.bad) == ["val/m/a.bmp", "val/m/b.bmp", "val/m/c.bmp"]


def test_a_frame_that_is_not_there(detect, origin, tmp_path):
    (origin / "val/m/b.bmp").unlink()
    with pytest.raises(ImageError, match=rf"{origin}/val/m/b\.jpg: no such file"):
        detect()
    assert detect(skip_bad=True) == ([255], [1, 0, 0])
    with pytest.raises(NoPicturesError, match=rf"{origin}/val: val/m/b\.jpg is not there but below {origin}"):
        (origin / "val/m/b.jpg").touch()
        detect(files=[CROPS[1]], root=origin / "val")
    with pytest.raises(ImageError, match=r"elsewhere/val/m/a\.jpg"):
        detect(root=tmp_path / "elsewhere")


def test_which_frame_a_crop_is_of(origin):
    found = crops_of_frames(CROPS, origin)
    assert list(found) == ["val/m/a.bmp", "val/m/b.bmp"]
    assert [crop.file for crop in found["val/m/a.bmp"]] == [CROPS[0], CROPS[2]]
    assert [crop.box for crop in found["val/m/a.bmp"]] == [(0, 0, 12, 10), (1, -2, 12, 12)]
    (origin / "val/m/a.txt").write_text("notes beside a frame are no frame")
    assert list(crops_of_frames(CROPS[:1], origin)) == ["val/m/a.bmp"]
    (origin / "val/m/b.bmp").rename(origin / "val/m/b.png")
    (origin / "val/m/b.png").write_bytes(b"damaged")
    (origin / "val/m/b.txt").write_text("notes")
    assert list(crops_of_frames(CROPS[1:2], origin)) == ["val/m/b.png"]
    own = ["val/m/a_1_2_3_4_5_6_7_8.jpg", "val/m/a.b_1_2_3_4.jpg"]
    assert list(crops_of_frames(own, origin)) == ["val/m/a_1_2_3_4.jpg", "val/m/a.b.jpg"]
    Image.new("RGB", (4, 4)).save(origin / "val/m/a.png")
    with pytest.raises(
        FrameError, match=rf"{origin}/val/m: a\.bmp and a\.png may both be the frame of the crops a_x_y"
    ):
        crops_of_frames(CROPS, origin)


@pytest.mark.parametrize("name", ["val/m/a.jpg", "val/m/a_1_2_3.jpg", "val/m/_1_2_3_4.jpg", "val/m/a_1_2_0_4.jpg"])
def test_a_name_without_a_box(origin, name):
    with pytest.raises(FrameError, match=rf"{name}: its name does not end in the _x_y_w_h of a box"):
        crops_of_frames([name], origin)


def test_a_real_frame_gives_what_its_crop_gives(checkpoints: Path, testdata: Path, tmp_path: Path) -> None:
    """Of a box that is nearly its whole frame, within a few pixels of the original."""
    frame = testdata / "data/jurassic/origin/val/tt0107290/cast/alangrant.jpg"
    target = tmp_path / "origin/val/m/f.jpg"
    target.parent.mkdir(parents=True)
    shutil.copyfile(frame, target)
    image = Image.open(frame)
    width, height = image.size
    file = f"val/m/f_4_6_{width}_{height}.jpg"
    crop = tmp_path / "body" / file
    crop.parent.mkdir(parents=True)
    image.convert("RGB").crop((4, 6, width, height)).save(crop, quality=95)
    pack = open_pack(str(checkpoints), -1)
    (of_frame,) = detect_in_frames([file], ImageReader(tmp_path / "origin"), pack, tmp_path / "f.pkl").faces.values()
    (of_crop,) = detect_files([file], ImageReader(tmp_path / "body"), pack, tmp_path / "c.pkl").faces.values()
    assert len(of_frame) == len(of_crop) == 1
    side = of_crop.boxes[0, 2] - of_crop.boxes[0, 0]
    np.testing.assert_allclose(of_frame.landmarks, of_crop.landmarks, rtol=0, atol=0.03 * side)
    np.testing.assert_allclose(of_frame.boxes, of_crop.boxes, rtol=0, atol=0.05 * side)


def test_the_script_searches_frames_and_portraits_as_ever(checkpoints, script, movie, tmp_path):
    """Noise has no face; lists of portraits take no notice of the frames."""
    source = ("--origin", movie / "origin", "--annotations", movie, "--mode", "val")
    script("crop_body.py", *source, "--body", tmp_path / "body", "--data", tmp_path / "data")
    lists = ("--root", tmp_path / "body", "--mode", "val", "--data", tmp_path / "data", "--out", tmp_path / "lists")
    script("RetinaFace/datalist.py", *lists)
    shutil.rmtree(tmp_path / "body/val/tt1/candidates")
    for name in ("val_cast", "val_candidates_0"):
        files = ("--txt_file", tmp_path / f"lists/{name}.txt", "--pkl_file", tmp_path / f"results/{name}.pkl")
        flags = ("--image_root", tmp_path / "body", "--frames", movie / "origin", "--scales", 64)
        script("RetinaFace/deploy.py", *files, *flags, "--model", checkpoints, "--gpu", -1)
    assert len(read_detections(tmp_path / "results/val_cast.pkl")) == 1
    assert len(read_detections(tmp_path / "results/val_candidates_0.pkl")) == 3
    assert read_metadata(tmp_path / "results/val_candidates_0.pkl")["frames"] is True
    assert "frames" not in read_metadata(tmp_path / "results/val_cast.pkl")
