"""Several portraits of one person: one ranking, by the portrait that is nearest to each candidate; and from the stage
files who is on which, and which shots the candidates are from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.ranking import MovieFeatures, RankingWarning, Settings, across, fuse, rank, read_movies
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split

FACE = Faces(np.zeros((1, 4), np.float32), np.ones(1, np.float32), None)
Ask = Callable[..., MovieFeatures]


@pytest.fixture
def make() -> Ask:
    """Makes a movie of 40 boxes: ann stands in the first 8 from the left, in the next 8 from the right, bob in 8.

    ``make("ann", "bob")`` has these portraits: ``ann``, ``ann_right`` and ``bob``, whose names but for the side are the
    persons.
    """
    rng = np.random.default_rng(5)
    faces = {name: rng.normal(size=32) for name in ("ann", "ann_right", "bob")}
    strangers = rng.normal(size=(16, 32))
    boxes = np.concatenate([*(np.tile(face, (8, 1)) for face in faces.values()), strangers])
    boxes += rng.uniform(0.2, 0.8, (40, 1)) * rng.normal(size=boxes.shape)
    portraits = {name: face + 0.3 * rng.normal(size=32) for name, face in faces.items()}
    bodies = rng.normal(size=(40, 24)).astype(np.float32)

    def movie(*cast: str) -> MovieFeatures:
        return MovieFeatures(
            name="m",
            cast=cast,
            candidates=[f"box{i:02d}" for i in range(40)],
            frames=[f"frame{i}" for i in range(40)],
            faces=np.concatenate([[portraits[name] for name in cast], boxes]).astype(np.float32),
            has_face=np.ones(len(cast) + 40, bool),
            bodies=[bodies],
            persons=[name.partition("_")[0] for name in cast],
        )

    return movie


def cosines(features: np.ndarray, n_casts: int) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit[:n_casts] @ unit[n_casts:].T


def on_bodies(movie: MovieFeatures) -> MovieFeatures:
    """The same with the faces as bodies."""
    assert movie.faces is not None
    return replace(movie, faces=None, bodies=[movie.faces])


@pytest.mark.parametrize("bodies_alone", [False, True])
def test_a_candidate_is_as_near_as_its_nearest_portrait(make: Ask, bodies_alone: bool) -> None:
    movie = make("ann", "bob", "ann_right")
    assert movie.faces is not None
    sim = cosines(movie.faces, 3)[[0, 2]]
    assert not (sim[0] > 0.5)[8:16].any() and not (sim[1] > 0.5)[:8].any()  # neither portrait finds what the other does
    nearest = sim.max(axis=0)
    people = dict(rank(on_bodies(movie) if bodies_alone else movie, Settings(thresholds=(0.5,))))
    assert list(people) == ["ann", "bob"]
    ann = people["ann"]
    assert set(ann.order[:16]) == set(range(16))
    hits = ann.order[ann.found_by == "face"] if not bodies_alone else ann.order[:16]
    assert hits.tolist() == np.argsort(-nearest, kind="stable")[:16].tolist()
    np.testing.assert_allclose(ann.score[:16], nearest[hits], atol=1e-6)
    assert set(people["bob"].order[:8]) == set(range(16, 24))


@pytest.mark.parametrize("rerank", [None, "k_reciprocal", "ecn"])
def test_the_order_of_portraits_changes_only_the_id(make: Ask, rerank: str | None) -> None:
    settings = Settings(face_rerank=rerank)  # type: ignore[arg-type]
    one = fuse(make("ann", "bob", "ann_right"), settings)
    other = fuse(make("ann_right", "ann", "bob"), settings)
    assert list(other) == ["ann_right", "bob"]
    assert list(other.values()) == list(one.values())


def test_two_portraits_alike_are_as_good_as_one(make: Ask) -> None:
    movie = make("ann", "bob")
    twice = make("ann", "bob", "ann_right")
    assert movie.faces is not None and twice.faces is not None
    faces = twice.faces.copy()
    faces[2] = faces[0]
    assert fuse(replace(twice, faces=faces)) == fuse(movie)


def test_a_portrait_without_a_face_is_left_out_beside_one_with(make: Ask) -> None:
    movie = make("ann_right", "ann", "bob")
    blind = replace(movie, has_face=np.concatenate([[False], movie.has_face[1:]]))
    alone = fuse(make("ann", "bob"))
    assert fuse(blind) == {"ann_right": alone["ann"], "bob": alone["bob"]}  # and nothing warns of it


def test_a_person_without_a_face_goes_by_all_portraits(make: Ask) -> None:
    movie = make("ann", "bob", "ann_right")
    blind = replace(movie, has_face=np.concatenate([[False, True, False], movie.has_face[3:]]))
    with pytest.warns(RankingWarning, match="the portrait of ann shows no face") as caught:
        assert fuse(blind) == fuse(movie)
    assert len(caught) == 1


# ---------------------------------------------------------------------------- from the stage files


def write(folder: Path, movies: dict[str, tuple[Sequence[Picture], Sequence[str]]]) -> None:
    """Stage files of movies with these portraits and crops' files."""
    rng = np.random.default_rng(1)
    split, rows = [], {}
    for name, (cast, files) in movies.items():
        boxes = tuple(Picture(f"{name}_{i}", file, faces=FACE) for i, file in enumerate(files))
        split.append(MoviePictures(name, tuple(cast), boxes))
        rows[name] = rng.normal(size=(len(cast) + len(files), 4)).astype(np.float32)
    stagefiles.write_retina(folder / "retina_val.pkl", Split(split))
    stagefiles.write(folder / "face_val.pkl", rows)
    stagefiles.write(folder / "reid_val.pkl", rows)


def portrait(identity: str, label: str | None) -> Picture:
    return Picture(identity, f"{identity}.jpg", label, FACE)


def crops(*frames: str) -> list[str]:
    return [f"tt/shot9999img0/{frame}_{i}_2_3_4.jpg" for i, frame in enumerate(frames)]


def test_persons_are_those_who_share_a_label_in_a_movie(tmp_path: Path) -> None:
    labels = ["ann", None, "bob", "ann", None, "others", "others", "a0"]
    cast = [portrait(f"a{i}", label) for i, label in enumerate(labels)]
    write(tmp_path, {"tt1": (cast, crops("x")), "tt2": ([portrait("b0", "ann")], crops("y"))})
    one, two = read_movies(tmp_path, "val", ["reid"])
    assert one.people == ["a0", "a1", "a2", "a4", "a5", "a6", "a7"]
    assert [own.tolist() for own in one.telling_portraits] == [[0, 3], [1], [2], [4], [5], [6], [7]]
    assert two.people == ["b0"]
    assert across([one, two], "all").people == [*one.people, "b0"]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("shot0012img3", 12),
        ("shot0000img0", 0),
        ("shot12345img67", 12345),
        ("shot0007img1_b", 7),
        ("xshot0012img3", np.nan),
        ("shot0012", np.nan),
        ("shot12frame3", np.nan),
        ("frame0012", np.nan),
        ("shot1234567890img0", np.nan),  # a time stamp, not a number
        ("shot٣img0", np.nan),
    ],
)
def test_the_shot_stands_in_the_frames_name(tmp_path: Path, name: str, number: float) -> None:
    write(tmp_path, {"tt1": ([portrait("a", "ann")], crops(name, "shot0001img0"))})
    (movie,) = read_movies(tmp_path, "val", ["reid"])
    assert movie.shots is not None
    np.testing.assert_array_equal(movie.shots, [number, 1])


# ---------------------------------------------------------------------------- across movies


def test_across_movies_shots_lie_far_apart_and_persons_too(make: Ask) -> None:
    def movie(name: str, shots: Sequence[float] | None) -> MovieFeatures:
        made = make("ann", "ann_right")
        known = None if shots is None else np.resize(np.array(shots, np.float64), 40)
        named = {"cast": [f"{name}_{c}" for c in made.cast], "candidates": [f"{name}_{c}" for c in made.candidates]}
        return replace(made, name=name, shots=known, **named)

    movies = [movie("a", [3, 3, 5, np.nan]), movie("b", None), movie("c", [np.nan]), movie("d", [1, 4_000_000])]
    movies.append(replace(movie("e", [2]), persons=None))
    all_together = across(movies, "all")
    assert all_together.people == ["a_ann", "b_ann", "c_ann", "d_ann", "e_ann", "e_ann_right"]
    assert all_together.shots is not None
    a, b, c, d, e = np.split(all_together.shots, 5)
    np.testing.assert_array_equal(np.diff(a[:3]), [0, 2])
    assert np.isnan(a[3]) and np.isnan(b).all() and np.isnan(c).all()
    np.testing.assert_array_equal(np.diff(d[:2]), [3_999_999])
    np.testing.assert_array_equal([d.min() - np.nanmax(a), e.min() - d.max()], [1e6, 1e6])
    assert across([movie("a", None), movie("b", None)], "all").shots is None
