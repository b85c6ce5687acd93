"""Who trains, in which batches, and what the network sees of them."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch import stagefiles
from castsearch.bodies import data
from castsearch.bodies.body_model import resize
from castsearch.bodies.data import (
    Augmentation,
    Batches,
    Pictures,
    Sample,
    TrainingDataError,
    erase,
    identities,
)
from castsearch.images import ImageError, ImageReader
from castsearch.stagefiles import MoviePictures, Picture, Split


def movie(name: str, cast: dict, candidates: dict) -> MoviePictures:
    """Pictures by file, with their labels; ids are made of both."""
    groups = [
        tuple(Picture(f"{name}_{file}", file, label) for file, label in some.items()) for some in (cast, candidates)
    ]
    return MoviePictures(name, *groups)


def test_labels_of_different_movies_are_different_people_and_others_never_train() -> None:
    first = movie("tt1", {"p": "nm1"}, {"a": "nm1", "b": "others"})
    second = movie("tt2", {}, {"c": "nm1", "d": "not_others", "e": "nm1"})
    assert identities({"train": Split([first, second]), "val": Split([movie("tt2", {}, {"f": "nm1"})])}) == {
        ("tt1", "nm1"): ["train/a"],
        ("tt2", "nm1"): ["train/c", "train/e", "val/f"],
        ("tt2", "not_others"): ["train/d"],
    }


def test_identities_come_sorted_whatever_the_order_of_the_split() -> None:
    """Their order is their number in training, which a resumed run must find again."""
    movies = [movie(name, {}, {"b": "nm2", "a": "nm1"}) for name in ("tt2", "tt1")]
    assert list(identities({"train": Split(movies)})) == [
        (name, label) for name in ("tt1", "tt2") for label in ("nm1", "nm2")
    ]


@pytest.mark.parametrize(
    "candidates, message",
    [
        ({}, r"body_train\.pkl: no labelled candidate to train on"),
        ({"a": "others"}, r"body_train\.pkl: no labelled candidate to train on"),
        ({"a": None}, r"body_train\.pkl: movie tt1: tt1_a has no label to train on"),
    ],
)
def test_a_split_that_cannot_train(candidates: dict, message: str) -> None:
    with pytest.raises(TrainingDataError, match=message):
        identities({"train": Split([movie("tt1", {"p": "nm1"}, candidates)])})


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    p=st.integers(1, 8),
    k=st.integers(1, 6),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
def test_batches_hold_p_identities_of_k_pictures(counts: list[int], p: int, k: int, seed: int, epoch: int) -> None:
    if p > len(counts):
        with pytest.raises(TrainingDataError, match="give a smaller batch_size"):
            Batches(counts, p, k, seed)
        return
    batches = Batches(counts, p, k, seed)
    shown = list(batches.epoch(epoch))
    assert len(shown) == batches.per_epoch == len(counts) // p
    assert shown == list(batches.epoch(epoch))
    people = Counter()
    for batch in shown:
        labels = Counter(sample.label for sample in batch)
        assert len(labels) == p and set(labels.values()) == {k}
        people.update(labels.keys())
        for label in labels:
            uses = Counter(sample.picture for sample in batch if sample.label == label)
            assert len(uses) == min(k, counts[label]) and max(uses.values()) - min(uses.values()) <= 1
    assert set(people.values()) == {1}
    assert [sample.place for batch in shown for sample in batch] == list(range(len(shown) * p * k))


def test_epochs_differ_and_leave_nobody_out_for_good() -> None:
    batches = Batches([1] * 7, 3, 2, seed=0)
    seen = [frozenset(s.label for batch in batches.epoch(epoch) for s in batch) for epoch in range(20)]
    assert len(set(seen)) > 1
    assert frozenset.union(*seen) == frozenset(range(7))


# ---------------------------------------------------------------------------- augmentation


def test_erased_rectangles_are_as_published() -> None:
    area, ratio = [], []
    for i in range(300):
        picture = np.zeros((256, 128, 3), dtype=np.uint8)
        erase(picture, np.random.default_rng(i))
        rows, columns = (np.flatnonzero(picture[:, :, 0].any(axis)) for axis in (1, 0))
        h, w = len(rows), len(columns)
        assert (picture[rows[0] : rows[0] + h, columns[0] : columns[0] + w] == (124, 116, 104)).all()
        assert np.count_nonzero(picture[:, :, 0]) == h * w
        area.append(h * w / (256 * 128))
        ratio.append(h / w)
    assert 0.019 < min(area) < 0.04 and 0.36 < max(area) < 0.401
    assert 0.29 < min(ratio) < 0.4 and 2.9 < max(ratio) < 3.4


def test_half_of_the_pictures_is_mirrored_and_half_erased_and_all_are_shifted() -> None:
    """One column is marked: where it lands tells mirror and shift; grey is ImageNet's mean."""
    picture = np.full((64, 32, 3), 200, dtype=np.uint8)
    picture[:, 4] = 255
    augmentation = Augmentation(64, 32)
    erased = 0
    places = []
    for i in range(600):
        seen = augmentation(picture, np.random.default_rng(i))
        assert seen.shape == (64, 32, 3) and seen.dtype == np.uint8
        erased += bool((seen == (124, 116, 104)).all(2).any())
        places += np.flatnonzero((seen[:, :, 0] > 240).any(0)).tolist()
    assert 0.42 < erased / 600 < 0.58
    # The column at 4 ends at 4 +- 10, or at 27 +- 10 when mirrored, of which some lie outside.
    assert set(places) == set(range(15)) | set(range(17, 32))
    assert 0.4 < np.mean(np.array(places) > 15) < 0.6


def plain_seeds(height: int, width: int, n: int) -> list[int]:
    """Seeds with which nothing is mirrored or erased."""
    grey = np.full((height, width, 3), 200, dtype=np.uint8)
    grey[:, 0] = 255
    same = (seed for seed in range(1000) if (Augmentation(height, width, pad=0)(grey, rng(seed)) == grey).all())
    return list(itertools.islice(same, n))


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_colour_jitter_changes_brightness_then_contrast_then_saturation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a blend: with black, with the mean grey, with the grey of each pixel."""
    monkeypatch.setattr(data, "erase", lambda picture, draw: None)
    picture = rng(0).integers(60, 160, (8, 8, 3)).astype(np.uint8)
    grey = (0.299, 0.587, 0.114)
    for seed in range(20):
        draw = rng(seed)
        seen = picture[:, ::-1] if draw.random() < 0.5 else picture
        brightness, contrast, saturation = 1 + draw.uniform(-0.3, 0.3, size=3)
        bright = seen * brightness
        strong = (bright @ grey).mean() * (1 - contrast) + bright * contrast
        expected = (strong @ grey)[:, :, None] * (1 - saturation) + strong * saturation
        found = Augmentation(8, 8, 0.3, pad=0)(picture, rng(seed))
        np.testing.assert_allclose(found, expected.clip(0, 255), atol=4)  # Pillow cuts the fractions off, three times


def test_pictures_are_resized_as_for_extraction() -> None:
    picture = rng(0).integers(0, 255, (50, 31, 3)).astype(np.uint8)
    for seed in plain_seeds(64, 32, 3):
        np.testing.assert_array_equal(Augmentation(64, 32, pad=0)(picture, rng(seed)), resize(picture, 64, 32))


# ---------------------------------------------------------------------------- reading


def test_pictures_depend_on_seed_epoch_and_place_alone(small: Path) -> None:
    people = list(identities({"train": stagefiles.read_body(small / "data/body_train.pkl")}).values())

    def picture(seed: int, epoch: int, place: int) -> np.ndarray:
        pictures = Pictures(people, ImageReader(small / "body"), Augmentation(64, 32), seed)
        return pictures(Sample(label=1, picture=2, epoch=epoch, place=place))

    np.testing.assert_array_equal(picture(0, 3, 5), picture(0, 3, 5))
    for other in ((1, 3, 5), (0, 4, 5), (0, 3, 6)):
        assert (picture(0, 3, 5) != picture(*other)).any()


class Counting(ImageReader):
    """Knows what it was asked for."""

    def __init__(self, root: Path, skip_bad: bool) -> None:
        super().__init__(root, skip_bad)
        self.reads: list[str] = []

    def __call__(self, file: str) -> np.ndarray:
        self.reads.append(file)
        return super().__call__(file)


def test_a_bad_picture_is_named_or_replaced_by_another_of_that_person(small: Path, tmp_path: Path) -> None:
    good = next((small / "body/train").rglob("*.jpg"))
    (tmp_path / "train").mkdir()
    for name, content in (("a.jpg", good.read_bytes()), ("b.jpg", b"no picture")):
        (tmp_path / "train" / name).write_bytes(content)
    people = [["train/a.jpg", "train/b.jpg"], ["train/b.jpg"]]
    bad = Sample(label=0, picture=1, epoch=0, place=0)
    with pytest.raises(ImageError, match=r"train/b\.jpg"):
        Pictures(people, ImageReader(tmp_path), Augmentation(64, 32), 0)(bad)
    reader = Counting(tmp_path, skip_bad=True)
    pictures = Pictures(people, reader, Augmentation(64, 32), 0)
    np.testing.assert_array_equal(pictures(bad), pictures(Sample(label=0, picture=0, epoch=0, place=0)))
    assert list(reader.bad) == ["train/b.jpg"]
    pictures(bad)
    expected = ["train/b.jpg", "train/a.jpg", "train/a.jpg", "train/a.jpg"]
    assert reader.reads == expected, "what is known as bad is not read again"
    with pytest.raises(TrainingDataError, match=r"train/b\.jpg: cannot be read, nor any other picture of that person"):
        pictures(Sample(label=1, picture=0, epoch=0, place=0))
