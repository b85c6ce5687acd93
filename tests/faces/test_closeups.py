"""Pictures that a face fills."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from castsearch.faces import SearchSettings, open_pack
from castsearch.faces.closeups import CELL, CELLS, ENLARGED, _cells_with_faces, detect_candidates, detect_portrait
from castsearch.faces.network_files import MxnetCheckpoint, OnnxFile
from castsearch.faces.packs import FacePack
from castsearch.images import read_image
from castsearch.stagefiles import Faces


class FakePack:
    """Finds one box, given as shares of the picture, in the pictures of the given numbers."""

    def __init__(self, *sees: int, box: tuple[float, float, float, float] = (0.4, 0.4, 0.6, 0.6)) -> None:
        self.sees, self.box, self.sizes = sees, np.array(box), []

    def detect(self, image: np.ndarray) -> Faces:
        height, width = image.shape[:2]
        self.sizes.append((width, height))
        if len(self.sizes) - 1 not in self.sees:
            return Faces.none()
        box = (self.box * [width, height, width, height]).astype(np.float32)
        return Faces(box[None], np.ones(1, np.float32), np.repeat(box[None, None, :2], 5, axis=1))


def test_first_finding_stands() -> None:
    pack = FakePack(0, 1, 2)
    faces = detect_portrait(pack, np.zeros((100, 80, 3), np.uint8))  # type: ignore[arg-type]
    assert pack.sizes == [(80, 100)]
    np.testing.assert_allclose(faces.boxes, [[32, 40, 48, 60]])


@pytest.mark.parametrize("turn", [1, 2])
def test_coordinates_come_back(turn: int) -> None:
    pack = FakePack(turn)
    faces = detect_portrait(pack, np.zeros((100, 80, 3), np.uint8))  # type: ignore[arg-type]
    times = ENLARGED[turn - 1]
    assert pack.sizes[-1] == (80 * times, 100 * times)
    # 0.4 to 0.6 of the bordered picture, about the same middle.
    low, high = 0.5 - 0.1 * times, 0.5 + 0.1 * times
    np.testing.assert_allclose(faces.boxes, [[80 * low, 100 * low, 80 * high, 100 * high]], rtol=1e-5)
    np.testing.assert_allclose(faces.landmarks[0, 0], [80 * low, 100 * low], rtol=1e-5)


def test_large_portrait_is_shrunk_and_boxes_are_cut_at_its_edge() -> None:
    pack = FakePack(1, box=(0.1, 0.4, 0.6, 0.6))
    faces = detect_portrait(pack, np.zeros((3000, 2000, 3), np.uint8))  # type: ignore[arg-type]
    assert max(pack.sizes[1]) <= 1201
    np.testing.assert_allclose(faces.boxes, [[0, 900, 1400, 2100]], atol=3)
    assert faces.landmarks[0, 0, 0] == pytest.approx(-600, abs=5)  # landmarks are not cut


def test_what_lies_in_the_border_is_no_face() -> None:
    pack = FakePack(1, box=(0.0, 0.0, 0.2, 0.2))
    assert len(detect_portrait(pack, np.zeros((100, 100, 3), np.uint8))) == 0  # type: ignore[arg-type]


def test_real_face_that_fills_the_picture(checkpoints: Path, testdata: Path) -> None:
    pack = open_pack(str(checkpoints), -1)
    for path in sorted((testdata / "data/jurassic/origin/val").glob("*/cast/*.jpg")):
        image = read_image(path)
        whole = pack.detect(image)
        x1, y1, x2, y2 = whole.boxes[0]
        corners = np.array([[x1, y1], [x2, y2]])
        inset = 0.2 * (corners[1] - corners[0])  # leaves eyes to mouth, nothing else
        (left, top), (right, bottom) = (corners + np.array([inset, -inset])).clip(0).astype(int)
        close = np.ascontiguousarray(image[top:bottom, left:right])
        assert len(pack.detect(close)) == 0
        found = detect_portrait(pack, close)
        assert len(found) == 1
        error = np.abs(found.landmarks[0] + [left, top] - whole.landmarks[0]).max()
        assert error < 0.08 * (x2 - x1)


@pytest.fixture(scope="module")
def scrfd(testdata: Path, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> FacePack:
    """A pack with the real SCRFD, whose file fixes its side at 640."""
    folder = tmp_path_factory.mktemp("scrfd")
    shutil.copyfile(testdata / "models/scrfd/scrfd_500m_kps.onnx", folder / "scrfd.onnx")
    shutil.copytree(checkpoints / "mobilefacenet_y1", folder / "embedder", copy_function=shutil.copyfile)
    return open_pack(str(folder), -1)


class Sheets:
    """Finds nothing but a red spot on a sheet, and whatever has a border of its own."""

    misses_close_ups = True

    def __init__(self) -> None:
        self.sheets: list[np.ndarray] = []
        self.enlarged = 0

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        return [Faces.none() for _ in images]

    def glimpse(self, image: np.ndarray) -> Faces:
        assert image.shape == (CELLS * CELL, CELLS * CELL, 3)
        self.sheets.append(image)
        spots = np.argwhere((image == (255, 0, 0)).all(axis=2)[::20, ::20]) * 20
        return self._faces(np.column_stack([spots[:, ::-1] - 2, spots[:, ::-1] + 2]).astype(np.float32))

    def detect(self, image: np.ndarray) -> Faces:
        self.enlarged += 1
        height, width = image.shape[:2]
        return self._faces(np.array([[width * 0.3, height * 0.3, width * 0.7, height * 0.7]], np.float32))

    @staticmethod
    def _faces(boxes: np.ndarray) -> Faces:
        return Faces(boxes, np.ones(len(boxes), np.float32), np.repeat(boxes[:, None, :2], 5, axis=1))


def pictures(n: int, red: set[int]) -> list[np.ndarray]:
    return [np.full((90, 60 + i, 3), (255 * (i in red), 0, 0), np.uint8) for i in range(n)]


def test_candidates_without_a_face_are_looked_through_on_sheets() -> None:
    """A sheet for sixteen; only those that show something small are enlarged, and found in their own pixels."""
    pack, red = Sheets(), {0, 3, 7, 15, 16, 19}
    found = detect_candidates(pack, pictures(20, red))  # type: ignore[arg-type]
    assert {i for i, faces in enumerate(found) if len(faces)} == red
    assert (len(pack.sheets), pack.enlarged) == (2, len(red))
    # The middle 0.4 of a picture twice as wide and high is its middle 0.8.
    np.testing.assert_allclose(found[3].boxes, [[6.3, 9, 56.7, 81]], atol=0.6)
    # In its cell, a picture has its longer side a half of the cell's, in the middle.
    rows, columns = np.nonzero((pack.sheets[0] == (255, 0, 0)).all(axis=2)[:CELL, 3 * CELL :])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 119, 52, 107)


def test_what_is_seen_past_the_sheets_edge_lies_in_the_cell_beside_it() -> None:
    pack = Sheets()
    side = CELLS * CELL
    box = np.array([[side - 10, 10, side + 30, 40], [-30, side - 40, 10, side + 60]], np.float32)
    pack.glimpse = lambda image: pack._faces(box)  # type: ignore[method-assign]
    assert _cells_with_faces(pack, pictures(16, set())) == [3, 12]  # type: ignore[arg-type]


def test_packs_that_see_close_ups_look_once() -> None:
    pack = Sheets()
    pack.misses_close_ups = False
    assert not any(map(len, detect_candidates(pack, pictures(3, {0}))))  # type: ignore[arg-type]
    assert not pack.sheets


@pytest.mark.parametrize(
    ("side", "scales", "misses"),
    [(None, None, False), (None, (640,), True), (None, (320, 640), False), (640, None, True), (320, None, False)],
)
def test_scrfd_misses_close_ups_where_its_smallest_side_is_large(side, scales, misses) -> None:
    file = OnnxFile("detector", Path("d.onnx"), side)
    assert file.misses_close_ups(file.resolve(SearchSettings(scales))) is misses
    checkpoint = MxnetCheckpoint("detector", Path("d-symbol.json"), Path("d-0000.params"))
    assert not checkpoint.misses_close_ups(checkpoint.resolve(SearchSettings(scales)))


def test_whether_a_face_is_looked_at_does_not_hang_on_those_beside_it(
    testdata: Path, checkpoints: Path, scrfd: FacePack
) -> None:
    """Sixteen faces without their foreheads, beside other ones in other places: at a score of 0.5 some are missed."""
    retinaface, tight = open_pack(str(checkpoints), -1), []
    for path in sorted((testdata / "data/jurassic/origin/val").glob("*/candidates/*.jpg"))[28:44]:
        image = read_image(path)
        x1, y1, x2, y2 = (int(v) for v in retinaface.detect(image).boxes[0].round())
        tight.append(np.ascontiguousarray(image[y1 + (y2 - y1) // 5 : y2 + 1, x1 : x2 + 1]))
    rng = np.random.default_rng(0)
    for _ in range(12):
        some = [tight[index] for index in rng.permutation(16)[: rng.integers(8, 17)]]
        assert _cells_with_faces(scrfd, some) == list(range(len(some)))


def test_scrfd_finds_real_faces_that_fill_their_box(testdata: Path, checkpoints: Path, scrfd: FacePack) -> None:
    """Ten candidates cut to the face that RetinaFace found, in which SCRFD finds nothing at first, and ten of noise."""
    retinaface = open_pack(str(checkpoints), -1)
    tight, expected = [], []
    for path in sorted((testdata / "data/jurassic/origin/val").glob("*/candidates/*.jpg"))[1:60:6]:
        image = read_image(path)
        best = retinaface.detect(image)
        x1, y1, x2, y2 = (int(v) for v in best.boxes[0].round())
        tight.append(np.ascontiguousarray(image[y1 : y2 + 1, x1 : x2 + 1]))
        expected.append((best.landmarks[0] - (x1, y1)) / (x2 - x1))
    bare = [np.random.default_rng(i).integers(0, 256, (120, 60, 3), dtype=np.uint8) for i in range(10)]
    assert not any(map(len, scrfd.detect_many(tight)))
    found = detect_candidates(scrfd, [*tight, *bare])
    assert [len(faces) for faces in found] == [1] * 10 + [0] * 10
    for image, faces, points in zip(tight, found[:10], expected, strict=True):
        assert np.abs(faces.landmarks[0] / image.shape[1] - points).max() < 0.1
