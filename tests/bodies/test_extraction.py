"""Feature files: which rows, where a killed run goes on, and when old features no longer count."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.bodies.body_model import BodyModel
from castsearch.bodies.extraction import Extractor, FeatureError, extract_split, files_of
from castsearch.images import ImageError, ImageReader
from castsearch.networks import Ran
from castsearch.stagefiles import MoviePictures, Picture, Split


@pytest.fixture(scope="module")
def split(small: Path) -> Split:
    return stagefiles.read_body(small / "data/body_val.pkl")


@pytest.fixture
def body(small: Path, tmp_path: Path) -> Path:
    """Crops of one's own, to change."""
    return shutil.copytree(small / "body", tmp_path / "body")


class Pixels:
    """Stands in for a network: the mean colour and one corner. Counts the pictures of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        self.calls.append(len(pictures))
        return pixels(pictures)


def pixels(pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([pictures.mean((1, 2)), pictures[:, 0, 0]], axis=1)


def test_casts_come_first(split: Split) -> None:
    plain, with_cast = (files_of(split, "val", flag)["tt2"] for flag in (False, True))
    assert len(plain) == 18 and plain[0] == "val/tt2/candidates/shot0img0_0_0_32_64.jpg"
    assert with_cast == ["val/tt2/cast/nm0.jpg", *plain]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_rows_follow_the_files_whatever_the_batch(small: Path, split: Split, batch_size: int) -> None:
    files = files_of(split, "val", True)["tt1"]
    reader, engine = ImageReader(small / "body"), Pixels()
    features = Extractor(BodyModel(engine, 64, 32), reader, batch_size=batch_size, workers=3)(files)
    assert features.dtype == np.float32 and features.shape == (19, 6)
    assert max(engine.calls) <= batch_size and len(engine.calls) == -(-19 // batch_size)
    np.testing.assert_allclose(features[1:], pixels(np.stack([reader(file) for file in files[1:]])), rtol=1e-6)


def test_a_split_with_and_without_casts(small: Path, split: Split, tmp_path: Path) -> None:
    ran = Ran("pencil 1", "paper", "int8", "almost")
    model = BodyModel(Pixels(), depends={"cnn": "a"}, weights=Path("some/best.pt"), ran=ran)
    extractor, out = Extractor(model, ImageReader(small / "body")), tmp_path / "f.pkl"
    assert extract_split(extractor, split, "val", out) == 36
    plain = stagefiles.read_features(out, split)["tt2"]
    assert extract_split(extractor, split, "val", out, with_cast=True) == 38
    both = stagefiles.read_features(out, split)["tt2"]
    assert plain.cast is None and both.cast is not None
    np.testing.assert_array_equal(plain.candidates, both.candidates)
    np.testing.assert_array_equal(both.cast, extractor(["val/tt2/cast/nm0.jpg"]))
    found = stagefiles.read_metadata(out)
    assert (found["cnn"], found["weights"], found["with_cast"]) == ("a", "best.pt", True)
    assert found["root"] == str((small / "body").resolve())
    assert found["ran"] == [{"engine": "pencil 1", "device": "paper", "precision": "int8", "agreement": "almost"}]


def test_progress_counts_what_is_left_to_do(small: Path, split: Split, tmp_path: Path) -> None:
    shown: list = []

    def progress(items, *, total, unit):
        shown.append((list(items), total, unit))
        return items

    extractor = Extractor(BodyModel(Pixels()), ImageReader(small / "body"))
    for _ in range(2):
        extract_split(extractor, split, "val", tmp_path / "f.pkl", progress=progress)
    files = files_of(split, "val", False)
    assert shown == [([*files["tt1"], *files["tt2"]], 36, "picture"), ([], 0, "picture")]


def test_a_killed_run_goes_on_with_the_movie_it_was_in(small: Path, split: Split, tmp_path: Path) -> None:
    out, reader = tmp_path / "features.pkl", ImageReader(small / "body")
    engine = Pixels()

    def dies_in_the_second_movie(pictures: np.ndarray) -> np.ndarray:
        if len(engine.calls) == 1:
            engine.calls.append(0)
            raise KeyboardInterrupt
        return engine(pictures)

    extractor = Extractor(BodyModel(dies_in_the_second_movie, depends={"cnn": "a"}), reader, batch_size=32)
    with pytest.raises(KeyboardInterrupt):
        extract_split(extractor, split, "val", out)
    assert not out.exists()
    extract_split(extractor, split, "val", out)
    assert engine.calls == [18, 0, 18]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.pkl", "features.pkl.json"]
    features = stagefiles.read_features(out, split)
    for movie, files in files_of(split, "val", False).items():
        np.testing.assert_array_equal(features[movie].candidates, Extractor(BodyModel(pixels), reader)(files))


# ---------------------------------------------------------------------------- what no longer counts


class Run:
    """One extraction after the other to one file; tells which pictures each computed anew."""

    def __init__(self, split: Split, body: Path) -> None:
        self.split, self.out = split, body.parent / "features.pkl"
        self.engine = Pixels()
        self.extractor = Extractor(BodyModel(self.engine, depends={"cnn": "a"}), ImageReader(body), batch_size=64)

    def __call__(self, **change: object) -> list[int]:
        """Pictures of each movie that was done."""
        self.engine.calls.clear()
        extract_split(replace(self.extractor, **change), self.split, "val", self.out)
        return list(self.engine.calls)

    def row(self, movie: str, index: int) -> np.ndarray:
        return stagefiles.read_features(self.out, self.split)[movie].candidates[index]


@pytest.fixture
def run(split: Split, body: Path) -> Run:
    run = Run(split, body)
    assert run() == [18, 18]
    return run


def test_nothing_changed_nothing_to_do(run: Run) -> None:
    assert run() == []


def test_another_model_does_all(run: Run) -> None:
    assert run(model=BodyModel(run.engine, depends={"cnn": "b"})) == [18, 18]


def test_a_file_of_weights_may_be_called_otherwise(run: Run) -> None:
    assert run(model=replace(run.extractor.model, weights=Path("renamed.pt"))) == []


def test_pictures_below_another_root_do_all(run: Run, body: Path) -> None:
    """Even copies as large and as old: whose features they were is not to be guessed."""
    copy = shutil.copytree(body, body.with_name("copy"))
    assert run(reader=ImageReader(copy)) == [18, 18]
    link = body.with_name("link")
    link.symlink_to(copy)
    assert run(reader=ImageReader(link)) == []
    link.unlink()
    link.symlink_to(body)
    assert run(reader=ImageReader(link)) == [18, 18]


def replace_picture(path: Path, seconds: int) -> None:
    """Put another picture in the place of ``path``, changed that many seconds after it."""
    before = path.stat()
    path.write_bytes(path.with_name("shot5img2_0_0_32_64.jpg").read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + seconds * 10**9))


@pytest.mark.parametrize("seconds", [-86400, 0, 86400])
def test_a_picture_replaced_by_another_is_done_again_however_old(run: Run, body: Path, seconds: int) -> None:
    path = body / "val/tt2/candidates/shot1img0_0_0_32_64.jpg"
    replace_picture(path, seconds)
    assert run() == [18]
    np.testing.assert_array_equal(run.row("tt2", 3), run.row("tt2", 17))
    assert run() == []


def test_a_picture_of_another_time_is_done_again(run: Run, body: Path) -> None:
    path = body / "val/tt1/candidates/shot1img0_0_0_32_64.jpg"
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 1000))
    assert run() == [18]
    assert run() == []


@pytest.mark.parametrize("killed", [False, True])
def test_a_picture_replaced_in_mid_run_is_done_again_by_the_next(
    split: Split, body: Path, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced after its movie was read, and while the other one is."""
    run = Run(split, body)
    path = body / "val/tt1/candidates/shot1img0_0_0_32_64.jpg"

    def engine(pictures: np.ndarray) -> np.ndarray:
        if len(run.engine.calls) == 1:
            replace_picture(path, seconds=-60)
            if killed:
                raise KeyboardInterrupt
        return run.engine(pictures)

    model = BodyModel(engine, depends={"cnn": "a"})
    if killed:
        with pytest.raises(KeyboardInterrupt):
            run(model=model)
        assert run() == [18, 18]
    else:
        assert run(model=model) == [18, 18]
        assert (run.row("tt1", 3) != run.row("tt1", 17)).any()
        assert run() == [18]
    np.testing.assert_array_equal(run.row("tt1", 3), run.row("tt1", 17))


@pytest.mark.parametrize("damaged", [False, True], ids=["absent", "damaged"])
def test_a_bad_picture_stops_the_run_or_keeps_its_row_and_is_tried_again(body: Path, damaged: bool) -> None:
    files = [*(f"tt1/candidates/shot0img{i}_0_0_32_64.jpg" for i in range(2)), "bad.jpg"]
    candidates = tuple(Picture(f"c{i}", file) for i, file in enumerate(files))
    split = Split([MoviePictures("tt1", (), candidates), MoviePictures("tt2", (), ())])
    if damaged:
        (body / "val/bad.jpg").write_bytes(b"no picture")
    engine, out = Pixels(), body.with_name("a.pkl")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        extract_split(Extractor(BodyModel(engine), ImageReader(body)), split, "val", out)
    assert not out.exists()
    for _ in range(2):
        reader = ImageReader(body, skip_bad=True)
        assert extract_split(Extractor(BodyModel(engine), reader), split, "val", out) == 3
        assert list(reader.bad) == ["val/bad.jpg"]
    assert engine.calls == [3, 3]
    features = stagefiles.read_features(out, split)
    np.testing.assert_array_equal(features["tt1"].candidates[2], np.full(6, 127))
    assert len(features["tt2"].candidates) == 0


@pytest.mark.parametrize(("value", "what"), [(np.nan, "not finite"), (np.inf, "not finite"), (0, "all zero")])
def test_a_feature_that_says_nothing_is_never_written(body: Path, split: Split, value: float, what: str) -> None:
    """The 21st picture, of the second movie; the first movie is kept for the next run."""
    engine, out = Pixels(), body.with_name("a.pkl")

    def diverged(pictures: np.ndarray) -> np.ndarray:
        rows = engine(pictures)
        if sum(engine.calls) > 18:
            rows[2] = value
        return rows

    model = BodyModel(diverged, weights=Path("run/best.pt"))
    words = rf"^movie tt2: val/tt2/candidates/shot0img2_0_0_32_64\.jpg: its feature is {what}; run/best\.pt: "
    with pytest.raises(FeatureError, match=words):
        extract_split(Extractor(model, ImageReader(body), batch_size=32), split, "val", out)
    assert not out.exists()
    extract_split(Extractor(BodyModel(engine), ImageReader(body), batch_size=32), split, "val", out)
    assert engine.calls == [18, 18, 18]
