"""Rank-k and mAP of features: by hand, with strangers, between cameras, of casts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.bodies.scoring import (
    Retrieval,
    ScoringError,
    Search,
    cosine_dist,
    joined,
    read_searches,
    retrieve,
    score,
    within,
)
from castsearch.stagefiles import MoviePictures, Picture, Split, StageFileError


def test_average_precision_and_first_hit_by_hand() -> None:
    dist = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.0, 0.0, 0.0, 0.0]])
    found = retrieve(dist, ["a", "b", "a"], ["a", "b", "a", "c"])
    # a: hits at 1 and 3; b: its hit is third; a again: equal distances in order of their index.
    np.testing.assert_allclose(found.ap, [(1 + 2 / 3) / 2, 1 / 3, (1 + 2 / 3) / 2])
    assert found.first_hit.tolist() == [0, 2, 0]
    assert found.mean_ap == pytest.approx((5 / 6 + 1 / 3 + 5 / 6) / 3)
    assert [found.rank(k) for k in (1, 2, 3)] == pytest.approx([2 / 3, 2 / 3, 1])


def test_ignored_pairs_are_neither_hit_nor_miss() -> None:
    ignored = np.array([[True, False, True, False]])
    found = retrieve(np.array([[0.1, 0.2, 0.3, 0.4]]), ["a"], ["a", "b", "c", "a"], ignored)
    assert found.ap.tolist() == [0.5] and found.first_hit.tolist() == [1]


def test_unknown_people_look_for_nobody_and_are_found_by_nobody() -> None:
    found = retrieve(np.array([[0.1, 0.2], [0.1, 0.2]]), [None, "a"], [None, "a"])
    assert found.ap.tolist() == [0.5]


def test_no_query_scores_nothing() -> None:
    nothing = retrieve(np.zeros((1, 1)), ["a"], ["b"])
    assert (nothing.mean_ap, nothing.rank(1)) == (0.0, 0.0)


def test_retrievals_are_joined_query_by_query() -> None:
    parts = [Retrieval(np.array([1.0, 0.5]), np.array([0, 1])), Retrieval(np.array([0.0]), np.array([12]))]
    assert joined(parts).ap.tolist() == [1.0, 0.5, 0.0] and joined(parts).rank(10) == pytest.approx(2 / 3)
    assert joined([]).mean_ap == 0


def test_within_leaves_out_the_picture_itself() -> None:
    features = np.array([[1, 0], [2, 0.2], [1, 0.3], [0, 1]], dtype=np.float32)
    found = within(features, ["a", "a", "b", None])
    # Each a finds the other first, whatever the length of the features; b has nobody to find.
    assert found.ap.tolist() == [1, 1]
    found = within(features, ["a", "b", "a", None])
    assert found.ap.tolist() == [0.5, 0.5]


def test_cosine_distances_do_not_see_lengths() -> None:
    features = np.array([[3, 0], [0, 0], [0.5, 0], [0, 2], [-1, 0]])
    np.testing.assert_allclose(cosine_dist(features, 2), [[0, 1, 2], [1, 1, 1]], atol=1e-12)


# ---------------------------------------------------------------------------- feature files


def write(folder: Path, labels: list, features: np.ndarray, casts: list = []) -> tuple[Path, Split]:  # noqa: B006
    """A split of one movie with its features; the last digit of an id is the camera, 1 or 3 in turns."""
    cast = tuple(Picture(f"cast{i}", f"p{i}.jpg", label) for i, label in enumerate(casts))
    crops = tuple(Picture(f"c{i}{(1, 3)[i % 2]}", f"{i}.jpg", label) for i, label in enumerate(labels))
    stagefiles.write(folder / "f.pkl", {"tt1": features.astype(np.float32), "empty": np.zeros((0, 0), np.float32)})
    return folder / "f.pkl", Split([MoviePictures("tt1", cast, crops), MoviePictures("empty", (), ())])


def test_searches_between_cameras(tmp_path: Path) -> None:
    path, split = write(tmp_path, ["a", "b", "b", "a", "others", "others"], np.eye(6))
    (search,) = read_searches(path, split, ("1", "3"))
    assert (search.query_people, search.gallery_people) == (["a", "b", None], ["b", "a", None])
    np.testing.assert_array_equal(search.features, np.eye(6)[[0, 2, 4, 1, 3, 5]])


def test_searches_between_cameras_leave_casts_aside(tmp_path: Path) -> None:
    path, split = write(tmp_path, ["a", "a"], np.eye(3), casts=["b"])
    (search,) = read_searches(path, split, ("1", "3"))
    np.testing.assert_array_equal(search.features, np.eye(3)[1:])


def test_searches_of_casts(tmp_path: Path) -> None:
    path, split = write(tmp_path, ["a", None], np.eye(4), casts=["a", "b"])
    (search,) = read_searches(path, split)
    assert (search.query_people, search.gallery_people) == (["a", "b"], ["a", None])
    np.testing.assert_array_equal(search.features, np.eye(4))


def test_casts_need_their_features(tmp_path: Path) -> None:
    path, split = write(tmp_path, ["a", "a"], np.eye(2), casts=["a"])
    with pytest.raises(StageFileError, match="tt1"):
        read_searches(path, split)


def test_nobody_to_find_is_an_error(tmp_path: Path) -> None:
    path, split = write(tmp_path, ["a", "others", None, "others", None, None], np.eye(6))
    with pytest.raises(ScoringError, match="nobody to find of the casts among the candidates"):
        read_searches(path, split)
    with pytest.raises(ScoringError, match="nobody to find of camera 1 at camera 3"):
        read_searches(path, split, ("1", "3"))


def test_scores_by_any_distance() -> None:
    search = Search(np.array([[1.0, 0], [1, 0.1], [0, 1]]), ["a"], ["a", "b"])
    assert score([search, search]).ap.tolist() == [1, 1]
    assert score([search], lambda features, n: -cosine_dist(features, n)).ap.tolist() == [0.5]


def test_a_camera_looked_for_at_itself_finds_other_pictures_only(tmp_path: Path) -> None:
    """Pictures 0 and 2 are of one person, 4 of another who is seen once; 0 finds 4 before 2."""
    features = np.array([[1, 0], [0, 0], [1, 1], [0, 0], [1, 0.1], [0, 0]])
    path, split = write(tmp_path, ["a", "x", "a", "x", "b", "x"], features)
    (search,) = read_searches(path, split, ("1", "1"))
    found = score([search])
    assert found.ap.tolist() == [0.5, 0.5] and found.first_hit.tolist() == [1, 1]


def test_strangers_and_others_are_distractors(tmp_path: Path) -> None:
    """In the gallery they stand before the hit, as misses; they ask for nobody and are nobody's hit."""
    features = np.array([[1, 0], [1, 0], [1, 0], [1, 0.1], [0, 1], [1, 0.5]])
    path, split = write(tmp_path, ["a", None, None, "others", "others", "a"], features)
    (search,) = read_searches(path, split, ("1", "3"))
    found = score([search])
    assert found.ap.tolist() == pytest.approx([1 / 3]) and found.first_hit.tolist() == [2]


@pytest.mark.parametrize("cameras", [("7", "3"), ("3", "7"), ("", "3"), ("1", "")])
def test_a_camera_without_pictures_is_an_error_that_shows_those_that_there_are(tmp_path: Path, cameras: tuple) -> None:
    path, split = write(tmp_path, ["a", "a"], np.eye(2))
    with pytest.raises(ScoringError, match=r"at camera .*; ids end with their camera, here in 1, 3"):
        read_searches(path, split, cameras)


def test_one_picture_seen_once_finds_nobody(tmp_path: Path) -> None:
    path, split = write(tmp_path, ["a", "b"], np.eye(2))
    with pytest.raises(ScoringError, match="nobody to find of camera 1 at camera 1"):
        read_searches(path, split, ("1", "1"))
