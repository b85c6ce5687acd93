"""Face networks in int8: on what they are calibrated, what is compared, and what results tell of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch.faces import PackError, SearchSettings, open_pack
from castsearch.faces.calibration import (
    CalibrationSet,
    chips_of_split,
    face_agreement,
    lists_beside,
    pictures_of_lists,
)
from castsearch.faces.chips import Chips
from castsearch.faces.retinaface import RetinaFace
from castsearch.images import ImageError, ImageReader, NoPicturesError
from castsearch.networks import Network, Place, PrecisionError, int8, open_checkpoint
from castsearch.networks.int8 import draw
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split, write

SMALL = SearchSettings((400,))  # pixels, for speed


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Faces(array, np.linspace(0.99, 0.9, len(array), dtype=np.float32), np.zeros((len(array), 5, 2), np.float32))


def test_lists_of_one_split_share_a_calibration(tmp_path: Path) -> None:
    names = ["val_cast.txt", "val_candidates_0.txt", "val_candidates_11.txt"]
    others = ["test_cast.txt", "val_candidates_x.txt", "val_cast.txt.bak", "notes.txt", "my_val_cast.txt"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    expected = sorted(tmp_path / name for name in names)
    assert all(lists_beside(tmp_path / name) == expected for name in names)
    assert lists_beside(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    assert lists_beside(tmp_path / "my_val_cast.txt") == [tmp_path / "my_val_cast.txt"]


@pytest.fixture
def lists(tmp_path: Path, paint) -> tuple[Path, Path]:
    """Two lists of a split, and the root of their 30 pictures, each of its own red."""
    for n in range(30):
        paint(tmp_path / f"body/val/{n}.bmp", red=n)
    (tmp_path / "val_cast.txt").write_text("".join(f"val/{n}.bmp\n" for n in range(6)))
    (tmp_path / "val_candidates_0.txt").write_text("".join(f"val/{n}.bmp\n" for n in range(6, 30)))
    return tmp_path / "val_cast.txt", tmp_path / "body"


def reds(pictures) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pictures]


def test_pictures_are_drawn_from_all_lists_beside(lists: tuple[Path, Path]) -> None:
    given = pictures_of_lists(*lists)
    calibration, comparison = reds(given.calibration()), reds(given.comparison())
    assert len(calibration) == 20 and sorted([*calibration, *comparison]) == list(range(30))
    assert reds(given.calibration()) == calibration  # from the first again
    other = pictures_of_lists(lists[0].with_name("val_candidates_0.txt"), lists[1])
    assert other.digests == given.digests and reds(other.calibration()) == calibration


def test_what_is_largest_where_it_is_searched_comes_first(lists: tuple[Path, Path]) -> None:
    """Or the memory of calibrating doubles."""
    drawn = draw(f"val/{n}.bmp" for n in range(30)).calibration
    for red, size in ((100, (300, 200)), (101, (20, 21)), (102, (900, 60))):
        Image.new("RGB", size, (red, 0, 0)).save(lists[1] / drawn[red - 100])
    others = [int(Path(file).stem) for file in drawn[3:]]  # of 12 x 10, as they were drawn
    assert reds(pictures_of_lists(*lists).calibration()) == [100, *others, 101, 102]


def test_another_picture_is_another_calibration(lists: tuple[Path, Path], paint) -> None:
    before = pictures_of_lists(*lists).digests
    paint(lists[1] / "val/3.bmp", red=3, time=5)
    assert pictures_of_lists(*lists).digests == before  # the same picture at another time
    paint(lists[1] / "val/3.bmp", red=200)
    assert pictures_of_lists(*lists).digests != before


def test_bad_pictures_are_left_out_or_told_of(lists: tuple[Path, Path]) -> None:
    drawn = draw(f"val/{n}.bmp" for n in range(30))
    (lists[1] / drawn.calibration[3]).write_bytes(b"no picture")
    (lists[1] / drawn.comparison[0]).unlink()
    given = pictures_of_lists(*lists, skip_bad=True)
    assert len(reds(given.calibration())) == 19 and len(reds(given.comparison())) == 9
    given = pictures_of_lists(*lists)
    with pytest.raises(ImageError, match=Path(drawn.calibration[3]).name):
        list(given.calibration())
    with pytest.raises(ImageError, match=Path(drawn.comparison[0]).name):
        list(given.comparison())


@pytest.mark.parametrize(
    ("part", "left"),
    [("calibration", "10 pictures .*, 0 to calibrate on and 10"), ("comparison", "20 pictures .*, 20 .* and 0 others")],
)
def test_bad_pictures_that_leave_too_few_are_refused(lists: tuple[Path, Path], part: str, left: str) -> None:
    for file in getattr(draw(f"val/{n}.bmp" for n in range(30)), part):
        (lists[1] / file).write_bytes(b"no picture")
    with pytest.raises(PrecisionError, match=rf"^int8: {left} .* 24 are needed, 16 and 8; choose"):
        pictures_of_lists(*lists, skip_bad=True)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_pictures_below_another_folder_are_told_of_as_such(lists: tuple[Path, Path], skip_bad: bool) -> None:
    with pytest.raises(
        NoPicturesError, match=r"body/val: val/\d+\.bmp is not there but below .*body; name that folder"
    ):
        pictures_of_lists(lists[0], lists[1] / "val", skip_bad)


def test_too_few_pictures_are_refused(lists: tuple[Path, Path]) -> None:
    lists[0].with_name("val_candidates_0.txt").unlink()
    with pytest.raises(PrecisionError, match=r"^int8: 6 pictures that can be read are too few"):
        pictures_of_lists(*lists)


class Counted(Chips):
    """Notes which movies are read."""

    def read(self, movie: str, rows: int, size: int) -> np.ndarray:
        self.seen = [*getattr(self, "seen", []), movie]
        return super().read(movie, rows, size)


def movies(folder: Path, sizes: list[int]) -> tuple[Split, Counted]:
    """Movies of so many chips each, a chip of its own colour."""
    parts = []
    for number, size in enumerate(sizes):
        name = f"m{number}"
        parts.append(MoviePictures(name, (), tuple(Picture(f"{name}_{i}", f"{name}/{i}.jpg") for i in range(size))))
        chips = np.zeros((size, 3, 4, 4), np.uint8)
        chips[:, 0], chips[:, 1] = number, np.arange(size)[:, None, None]
        write(folder / "val_img" / f"{name}.pkl", {name: chips})
    return Split(parts), Counted(folder / "val_img")


def test_chips_are_drawn_from_a_few_movies(tmp_path: Path) -> None:
    split, chips = movies(tmp_path, [40] * 20)
    given = chips_of_split(split, chips, 4)
    calibration = [tuple(chip[:2, 0, 0].tolist()) for chip in given.calibration()]
    comparison = [tuple(chip[:2, 0, 0].tolist()) for chip in given.comparison()]
    assert (len(calibration), len(comparison)) == (300, 64)
    assert len({*calibration, *comparison}) == 364
    assert len({movie for movie, _ in calibration}) == len(chips.seen) == 12  # each read once
    assert chips_of_split(split, chips, 4).digests == given.digests


def test_chips_of_small_movies_come_from_as_many_as_it_takes(tmp_path: Path) -> None:
    split, chips = movies(tmp_path, [2] * 20)
    given = chips_of_split(split, chips, 4)
    assert (len(list(given.calibration())), len(list(given.comparison()))) == (26, 14)
    assert len(chips.seen) == 20
    with pytest.raises(PrecisionError, match=r"^int8: 22 pictures"):
        chips_of_split(Split(list(split.values())[:11]), chips, 4)


def test_another_chip_is_another_calibration(tmp_path: Path) -> None:
    split, chips = movies(tmp_path, [30])
    before = chips_of_split(split, chips, 4).digests
    content = np.zeros((30, 3, 4, 4), np.uint8)
    write(tmp_path / "val_img/m0.pkl", {"m0": content})
    assert chips_of_split(split, Chips(tmp_path / "val_img"), 4).digests != before


def test_agreement_of_faces() -> None:
    one = [faces((0, 0, 10, 10), (20, 0, 30, 10)), faces((0, 0, 8, 8)), faces(), faces()]
    other = [faces((21, 0, 31, 10), (0, 0, 10, 9)), faces((6, 6, 14, 14)), faces(), faces((0, 0, 5, 5))]
    agreement = face_agreement(one, other, 7)
    assert agreement == int8.Agreement("faces", 0.0, pytest.approx(2 * 2 / 7), 4, 7)
    assert face_agreement(one, one, 7).mean == face_agreement(one, one, 7).lowest == 1
    with pytest.raises(PrecisionError, match=r"^int8: no face was found in 2 pictures that were to tell how far"):
        face_agreement([faces()] * 2, [faces()] * 2, 7)


def test_faces_are_matched_one_to_one() -> None:
    """Two boxes on one face are no two faces found; overlaps of half count, by the best assignment."""
    twice = faces((0, 0, 10, 10), (0, 0, 10, 9.5))
    assert face_agreement([faces((0, 0, 10, 10))], [twice], 1).mean == pytest.approx(2 / 3)
    chain = faces((0, 0, 10, 10), (3, 0, 13, 10)), faces((2.5, 0, 12.5, 10), (6, 0, 16, 10))
    assert face_agreement([chain[0]], [chain[1]], 1).mean == 1
    assert face_agreement([faces((0, 0, 9, 10))], [faces((4.5, 0, 9, 10))], 1).mean == 1
    assert face_agreement([faces((0, 0, 9, 10))], [faces((4.6, 0, 9, 10))], 1).mean == 0


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One for all tests of this run."""
    folder = tmp_path_factory.getbasetemp() / "int8"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def real_pictures(testdata: Path) -> list[np.ndarray]:
    """Persons cut out of film stills; nearly all show a face."""
    content = json.loads((testdata / "data/jurassic/data/val.json").read_text())
    items = [item for movie in content.values() for item in movie["candidates"]][::3][:24]
    reader = ImageReader(testdata / "data/jurassic/origin/val")
    pictures = []
    for item in items:
        x, y, width, height = item["bbox"]
        pictures.append(reader(item["img"])[max(0, y) : y + height, max(0, x) : x + width])
    return pictures


def given(items: list[np.ndarray], name: str) -> CalibrationSet:
    return CalibrationSet(lambda: iter(items[:16]), lambda: iter(items[16:]), {"name": name})


def test_a_pack_in_int8(checkpoints: Path, testdata: Path, cache: Path) -> None:
    """Refused before it is calibrated; near float32 afterwards, and told of in what makes it another pack's."""
    exact = open_pack(str(checkpoints), -1, SMALL)
    pack = open_pack(str(checkpoints), -1, SMALL, "int8")
    pictures = real_pictures(testdata)
    with pytest.raises(PrecisionError, match=r"mnet25-symbol\.json: in int8 a network is calibrated .* before it is"):
        pack.detect(pictures[0])
    pack.try_embedder()  # whether it is broken shows without
    agreement = pack.calibrate("detector", given(pictures, "a"))
    assert agreement.measure == "faces" and (agreement.compared, agreement.calibrated) == (8, 16)
    assert agreement.mean > 0.9
    detected = pack.detect_many(pictures[16:])
    assert face_agreement(exact.detect_many(pictures[16:]), detected, 16) == agreement
    ran, identity = pack.ran("detector"), pack.identity("detector")
    assert ran.precision == "int8" and ran.agreement == str(agreement)
    assert exact.ran("detector").agreement is None
    assert identity["precision"] == "int8" and len(identity["calibrated"]) == 64
    assert {*identity["versions"]} == {"openvino", "nncf"}
    assert {*exact.identity("detector")} == {"sha256", "versions"}
    assert identity["sha256"] == exact.identity("detector")["sha256"]

    chips = np.stack([pack.align(image, None, None) for image in pictures])
    agreement = pack.calibrate("embedder", given(list(chips), "chips"))
    vectors = pack.embed(chips[16:])
    assert agreement == int8.cosine_agreement(exact.embed(chips[16:]), vectors, 16)
    assert 0.8 < agreement.lowest < agreement.mean < 0.99999
    assert pack.identity("embedder")["calibrated"] not in (None, identity["calibrated"])


class Noting:
    """A network that notes what it is given."""

    def __init__(self, network: Network) -> None:
        self.inputs, self.ran, self._network = network.inputs, network.ran, network
        self.given: list[np.ndarray] = []

    def run(self, feed: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        self.given += feed.values()
        return self._network.run(feed, outputs)


def test_retinaface_is_calibrated_on_what_it_sees_at_its_smallest_scale(checkpoints: Path, testdata: Path) -> None:
    (symbol,), (params,) = (sorted(checkpoints.rglob(f"mnet25-{end}")) for end in ("symbol.json", "*.params"))
    network = Noting(open_checkpoint(symbol, params, Place()))
    detector = RetinaFace(lambda cores: network, SearchSettings((200, 300)))
    image = real_pictures(testdata)[0]
    detector.detect(image)
    (feed,) = detector.feeds(image)
    (name,) = feed
    assert name == network.inputs[0].name and len(network.given) == 2
    np.testing.assert_array_equal(feed[name], min(network.given, key=np.size))


def test_another_search_is_another_calibration(checkpoints: Path, testdata: Path, cache: Path) -> None:
    made = set()
    for search in (SMALL, SearchSettings((320,)), SearchSettings((400,), flip=True)):
        pack = open_pack(str(checkpoints), -1, search, "int8")
        pack.calibrate("detector", given(real_pictures(testdata), "a"))
        made.add(pack.identity("detector")["calibrated"])
    assert len(made) == 3


def test_int8_far_from_float32_is_refused(
    checkpoints: Path, testdata: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept all the same: the next run is refused at once."""
    pack = open_pack(str(checkpoints), -1, SMALL, "int8")
    monkeypatch.setitem(int8.LIMITS, "faces", int8.Limits(0, 1.01))
    for items in (real_pictures(testdata), []):
        with pytest.raises(PrecisionError, match=r"mnet25-symbol\.json: in int8 it is too far from itself in float32"):
            pack.calibrate("detector", given(items, "a"))
    with pytest.raises(PrecisionError, match="before it is used"):
        pack.detect(np.zeros((50, 50, 3), np.uint8))


def test_too_few_readable_pictures_are_refused(checkpoints: Path, testdata: Path, cache: Path) -> None:
    pack = open_pack(str(checkpoints), -1, SMALL, "int8")
    with pytest.raises(PrecisionError, match=r"^int8: 18 pictures that can be read are too few"):
        pack.calibrate("detector", given(real_pictures(testdata)[:18], "few"))


def test_pictures_without_a_face_tell_nothing(checkpoints: Path, cache: Path) -> None:
    pack = open_pack(str(checkpoints), -1, SMALL, "int8")
    walls = [np.full((120, 60, 3), n, np.uint8) for n in range(100, 124)]
    with pytest.raises(PrecisionError, match=r"^int8: no face was found in 8 pictures"):
        pack.calibrate("detector", given(walls, "walls"))


def test_scrfd_in_int8(testdata: Path, tmp_path: Path, cache: Path, checkpoints: Path) -> None:
    """Through the library's code, whose inputs are noted."""
    shutil.copyfile(testdata / "models/scrfd/scrfd_500m_kps.onnx", tmp_path / "scrfd.onnx")
    for file in (checkpoints / "mobilefacenet_y1").glob("model*"):
        shutil.copyfile(file, tmp_path / file.name)
    pack = open_pack(str(tmp_path), -1, precision="int8")
    agreement = pack.calibrate("detector", given(real_pictures(testdata), "a"))
    assert agreement.mean > 0.9 and agreement.calibrated == 16
    assert pack.ran("detector") is None and len(pack.detect_many(real_pictures(testdata)[16:18])) == 2
    assert pack.ran("detector").precision == "int8"


def test_dlib_has_float32_only() -> None:
    with pytest.raises(PackError, match="the pack dlib runs in float32 only"):
        open_pack("dlib").calibrate("detector", given([], "a"))
