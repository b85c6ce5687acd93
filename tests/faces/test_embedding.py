"""Embedding a split's chips: what is written, and what a later run keeps."""

from __future__ import annotations

import os

import numpy as np
import pytest

from castsearch.faces import PackError
from castsearch.faces.chips import Chips
from castsearch.faces.embedding import embed_split
from castsearch.stagefiles import (
    MoviePictures,
    Picture,
    Split,
    StageFileError,
    pictures_digest,
    read,
    read_metadata,
    write,
)

METADATA = {"detector": {"sha256": {"detector.onnx": "a"}}, "limits": True, "model": "fake"}
SIZES = {"tt1": 5, "tt2": 0, "tt3": 3}


@pytest.fixture
def split():
    return Split(
        MoviePictures(name, (), tuple(Picture(f"{name}_{i}", f"{name}/{i}.jpg") for i in range(n)))
        for name, n in SIZES.items()
    )


@pytest.fixture
def put(tmp_path):
    """Writes the chips of a movie, as many as it has pictures, each with its number plus ``more``."""

    def write_chips(movie, more=0, time=1_000_000_000, metadata=METADATA):
        numbers = np.arange(SIZES[movie], dtype=np.uint8) + np.uint8(more)
        chips = np.broadcast_to(numbers[:, None, None, None], (len(numbers), 3, 4, 4)).copy()
        path = tmp_path / "val_img" / f"{movie}.pkl"
        write(path, {movie: chips}, metadata)
        os.utime(path, (time, time))

    return write_chips


@pytest.fixture
def embed(tmp_path, split, put, fake_pack):
    """Embeds and tells how many chips it took; the features lie in ``face_val.pkl``."""
    for movie in SIZES:
        put(movie)

    def run(pack=None, split=split, batch=2, **kw):
        pack = pack or fake_pack()
        target = tmp_path / "face_val.pkl"
        features = embed_split(split, Chips(tmp_path / "val_img"), pack, target, batch, **kw)
        assert {movie: len(rows) for movie, rows in features.items()} == SIZES
        return pack.embedded

    return run


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
def test_what_is_written(tmp_path, embed, batch):
    shown = []

    def progress(batches, *, total, unit):
        shown.append((total, unit))
        for done in batches:
            shown.append(len(done))
            yield done

    assert embed(batch=batch, progress=progress) == 8
    features = read(tmp_path / "face_val.pkl")
    assert list(features) == ["tt1", "tt2", "tt3"]
    for movie, rows in features.items():
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, np.repeat(np.arange(SIZES[movie])[:, None], 3, axis=1))
    assert features["tt2"].shape == (0, 3)
    assert shown[0] == (len(shown) - 1, "batch")
    assert max(shown[1:]) <= batch
    metadata = read_metadata(tmp_path / "face_val.pkl")
    assert metadata["embedder"] == {"sha256": {"embedder.onnx": "a"}, "versions": {"library": "1"}}
    assert (metadata["model"], metadata["licence"]) == ("fake", "none")
    assert metadata["ran"] == [{"engine": "pencil 1", "device": "paper", "precision": "float32"}]
    assert metadata["rows"] == metadata["faces"] == {}


def test_pictures_and_faces_that_chips_tell_of_are_told_of_features(tmp_path, embed, split, put):
    of = {movie: pictures_digest(split[movie].pictures) for movie in ("tt1", "tt3")}
    for movie, faces in (("tt1", "a"), ("tt3", "b")):
        put(movie, metadata=METADATA | {"rows": {movie: of[movie]}, "faces": {movie: faces}})
    embed()
    told = read_metadata(tmp_path / "face_val.pkl")
    assert told["rows"] == of and told["faces"] == {"tt1": "a", "tt3": "b"}
    put("tt3", more=1, time=1_000_000_001, metadata=METADATA | {"rows": {"tt3": of["tt3"]}, "faces": {"tt3": "c"}})
    assert embed() == 3
    assert read_metadata(tmp_path / "face_val.pkl")["faces"] == {"tt1": "a", "tt3": "c"}


def test_what_ran_stays_what_it_was_where_nothing_is_left_to_do(tmp_path, embed, put, fake_pack):
    class Elsewhere(fake_pack):
        device = "GPU 3"

    def devices():
        return [ran["device"] for ran in read_metadata(tmp_path / "face_val.pkl")["ran"]]

    embed()
    assert embed(Elsewhere()) == 0
    assert devices() == ["paper"]
    put("tt3", time=1_000_000_001)
    assert embed(Elsewhere()) == 3
    assert devices() == ["paper", "GPU 3"]
    for movie in SIZES:
        put(movie, time=1_000_000_002)
    assert embed(Elsewhere()) == 8
    assert devices() == ["GPU 3"]


def test_what_is_done_is_not_done_again_under_another_name_either(embed, fake_pack):
    assert embed() == 8
    assert embed() == 0
    assert embed(fake_pack(name="../fake")) == 0


def test_features_of_an_earlier_version_are_kept_and_the_device_asked_for_is_told_no_more(tmp_path, embed):
    embed()
    target = tmp_path / "face_val.pkl"
    earlier = {field: value for field, value in read_metadata(target).items() if field != "ran"} | {"device": "GPU 0"}
    write(target, read(target), earlier)
    assert embed() == 0
    assert not {"ran", "device"} & read_metadata(target).keys()


@pytest.mark.parametrize("time", [999_999_999, 1_000_000_001], ids=["older", "newer"])
def test_changed_chips_are_embedded_again_and_no_others(tmp_path, embed, put, time):
    embed()
    put("tt3", more=10, time=time)
    assert embed() == 3
    np.testing.assert_array_equal(read(tmp_path / "face_val.pkl")["tt3"][:, 0], [10, 11, 12])


def test_chips_replaced_in_mid_run_are_embedded_again_by_the_next(tmp_path, embed, put, fake_pack):
    class Slow(fake_pack):
        def embed(self, chips):
            put("tt1", more=10, time=1_000_000_500)
            return super().embed(chips)

    assert embed(Slow()) == 8
    assert embed() == 5
    np.testing.assert_array_equal(read(tmp_path / "face_val.pkl")["tt1"][:, 0], [10, 11, 12, 13, 14])


def test_a_killed_run_goes_on_with_the_movie_where_it_was(tmp_path, embed, fake_pack):
    class Killed(fake_pack):
        def embed(self, chips):
            if self.embedded == 7:
                raise KeyboardInterrupt
            return super().embed(chips)

    with pytest.raises(KeyboardInterrupt):
        embed(Killed(), batch=2)
    assert not (tmp_path / "face_val.pkl").exists()
    assert embed() == 3
    assert list(read(tmp_path / "face_val.pkl")) == ["tt1", "tt2", "tt3"]


def test_chips_of_another_detector_are_refused(embed, put, fake_pack):
    again = r"run deploy\.py for every list again, then merge\.py and face_det\.py"
    for pack, message in (
        (
            fake_pack(weights="b", name="second"),
            rf"tt1\.pkl: made with the face pack fake, which has another detector than second; choose that, or {again} "
            "with second",
        ),
        (fake_pack(weights="b"), rf"tt1\.pkl: the detector of fake has changed since \(detector\.onnx\); {again}"),
    ):
        with pytest.raises(PackError, match=message):
            embed(pack)
    for nonsense in ({"face_pack": "nonsense"}, {"detector": {"sha256": ["a"]}}, {"detector": {}}):
        put("tt3", metadata=nonsense | {"model": "fake"})
        with pytest.raises(PackError, match=r"tt3\.pkl: the detector of fake has changed since \(detector\.onnx\)"):
            embed()
        put("tt3", metadata=nonsense)
        with pytest.raises(PackError, match=r"tt3\.pkl: made with another face pack, which"):
            embed()
    put("tt3", metadata=None)  # the original's record nothing
    with pytest.raises(
        StageFileError, match=r"tt3\.pkl: its faces were selected within other limits than those of .*tt1"
    ):
        embed()
    for movie in SIZES:
        put(movie, metadata=None)
    assert embed() == 8


def test_chips_of_an_earlier_version_are_taken(embed, put, fake_pack):
    for movie in SIZES:
        put(movie, metadata={"face_pack": {"sha256": {"detector.onnx": "a", "embedder.onnx": "x"}}, "model": "fake"})
    assert embed() == 8
    with pytest.raises(PackError, match="the detector of fake has changed since"):
        embed(fake_pack(weights="b"))


def test_the_same_detector_in_another_folder_is_the_same(embed, put):
    put("tt1", metadata=METADATA | {"detector": {"sha256": {"sub/detector.onnx": "a"}}})
    assert embed() == 8


def test_another_embedder_does_the_features_again_and_nothing_else(embed, fake_pack):
    assert embed() == 8
    assert embed(fake_pack(embedder="b")) == 8
    assert embed(fake_pack(embedder="b")) == 0


def test_chips_of_two_selections_are_refused(embed, put, tmp_path):
    put("tt3", metadata=METADATA | {"limits": False})
    with pytest.raises(
        StageFileError, match=r"tt3\.pkl: .* other limits than those of \S*tt1\.pkl, .*; run face_det\.py again"
    ):
        embed()
    assert not (tmp_path / "face_val.pkl").exists()


@pytest.mark.parametrize("metadata", [METADATA, None])
def test_chips_that_are_missing_are_told_of_before_the_work(embed, put, tmp_path, metadata):
    for movie in ("tt1", "tt2", "tt3"):
        put(movie, metadata=metadata)
    (tmp_path / "val_img/tt3.pkl").unlink()
    with pytest.raises(StageFileError, match=r"tt3\.pkl: no such file; run face_det\.py again"):
        embed()
    assert not list(tmp_path.glob("face_val*"))


def test_features_that_are_not_finite_are_never_written(embed, fake_pack, tmp_path):
    class Broken(fake_pack):
        def embed(self, chips):
            rows = super().embed(chips)
            rows[rows[:, 0] == 4, 0] = np.nan  # one number of many
            return rows

    with pytest.raises(PackError, match=r"movie tt1: the embedder of fake gives numbers .* not finite for picture 4"):
        embed(Broken())
    assert not (tmp_path / "face_val.pkl").exists()


def test_features_kept_of_another_split_are_refused(embed, split):
    """The movie lost a picture; the chips, which nobody made again, still fit what was embedded from them."""
    embed()
    first = split["tt1"]
    fewer = Split([MoviePictures("tt1", (), first.candidates[1:]), split["tt2"], split["tt3"]])
    with pytest.raises(StageFileError, match=r"face_val\.pkl: movie tt1: 5 features for 4 pictures; .* face_det\.py"):
        embed(split=fewer)


def test_chips_of_the_same_pictures_in_another_order_are_refused(embed, split, put):
    told = {"rows": {movie: pictures_digest(split[movie].pictures) for movie in SIZES}}
    for movie in SIZES:
        put(movie, metadata=METADATA | told)
    assert embed() == 8
    turned = Split(MoviePictures(movie.name, (), movie.candidates[::-1]) for movie in split.values())
    with pytest.raises(
        StageFileError, match=r"tt1\.pkl: movie tt1: its rows are of other pictures.*; run face_det\.py again"
    ):
        embed(split=turned)
