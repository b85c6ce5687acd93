"""How alike the faces of different people are: known by the embedder, given, or estimated."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import fusion
from castsearch import stagefiles
from castsearch.ranking import Impostors, RankingError, RankingWarning, across, read_movies
from castsearch.ranking.impostors import KNOWN, USUAL_SD, USUAL_WEIGHT, estimated, known
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split

DLIB, MOBILE = KNOWN


@pytest.mark.parametrize(
    ("mean", "sd"),
    [(np.nan, 0.1), (0.1, np.nan), (1.0, 0.1), (-1.0, 0.1), (0.1, 0.0), (0.1, -0.1), (0.1, 1.01), (np.inf, 0.1)],
)
def test_limits(mean: float, sd: float) -> None:
    with pytest.raises(
        RankingError, match=r"impostors of mean .* expected a mean between -1 and 1 and a deviation from 1e-06"
    ):
        Impostors(mean, sd)


def test_within_the_limits() -> None:
    assert Impostors(-0.999, 1.0).sd == 1
    assert Impostors(0.999, 1e-6).mean == 0.999


def test_known_embedders() -> None:
    assert known([DLIB]) == KNOWN[DLIB] != KNOWN[MOBILE] == known(["0" * 64, MOBILE])
    assert known(["0" * 64, None, 7, ["list"], {"a": 1}]) is None
    assert known([]) is None
    assert all(abs(some.mean) < 0.2 and 0.05 < some.sd < 0.25 for some in KNOWN.values())
    assert len({DLIB, MOBILE}) == 2 and all(len(word) == 64 for word in KNOWN)


# ---------------------------------------------------------------------------- estimated


def test_estimated_by_hand() -> None:
    """Of 50 negative cosines the squares are .04 and .16: a fifth of their mean, four fifths of the usual."""
    assert USUAL_WEIGHT == 200
    cosines = np.concatenate([np.full(25, -0.2), np.full(25, -0.4), np.full(500, 0.7)]).reshape(2, -1)
    found = estimated(cosines)
    assert found.mean == 0
    assert found.sd == pytest.approx(np.sqrt(0.2 * 0.1 + 0.8 * USUAL_SD**2))


def test_without_cosines_the_usual() -> None:
    for cosines in (np.zeros((2, 0)), np.full((2, 9), 0.3), np.zeros((1, 5))):
        found = estimated(cosines)
        assert (found.mean, found.sd) == (0, pytest.approx(USUAL_SD))


def test_estimated_of_many() -> None:
    """Half of them are negative, and a tenth that are the person's do not matter."""
    rng = np.random.default_rng(0)
    cosines = np.concatenate([rng.normal(0, 0.13, 20_000), rng.normal(0.6, 0.1, 2000)])
    assert estimated(cosines[None]).sd == pytest.approx(0.13, rel=0.02)


def test_estimated_of_float32() -> None:
    cosines = np.random.default_rng(1).normal(0, 0.2, (3, 500)).astype(np.float32)
    assert estimated(cosines).sd == pytest.approx(estimated(cosines.astype(np.float64)).sd, rel=1e-6)


# ---------------------------------------------------------------------------- from the stage files


def stage_files(folder: Path, metadata: dict | None) -> None:
    """A split of two movies with a portrait and a box each."""
    face = Faces(np.zeros((1, 4), np.float32), np.ones(1, np.float32), None)
    movies = [
        MoviePictures(
            name,
            (Picture(f"{name}_a", f"{name}/a.jpg", None, face),),
            (Picture(f"{name}_0", f"{name}/x_1_2_3_4.jpg", None, face),),
        )
        for name in ("tt1", "tt2")
    ]
    stagefiles.write_retina(folder / "retina_val.pkl", Split(movies))
    rows = {name: np.eye(2, 4, dtype=np.float32) for name in ("tt1", "tt2")}
    stagefiles.write(folder / "face_val.pkl", rows, metadata)
    stagefiles.write(folder / "reid_val.pkl", rows)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"embedder": {"sha256": {"y1.params": MOBILE, "y1-symbol.json": "0" * 64}}}, KNOWN[MOBILE]),
        ({"embedder": {"sha256": {"a": DLIB}}}, KNOWN[DLIB]),
        ({"embedder": {"sha256": {"a": "0" * 64}}}, None),
        ({"embedder": {"sha256": {"a": ["list"], "b": {}}}}, None),
        ({"embedder": {"sha256": MOBILE}}, None),
        ({"embedder": {"sha256": None}}, None),
        ({"embedder": MOBILE}, None),
        ({"embedder": None}, None),
        ({"detector": {"sha256": {"y1.params": MOBILE}}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_embedder_is_known_by_the_metadata(
    tmp_path: Path, metadata: dict | None, expected: Impostors | None
) -> None:
    stage_files(tmp_path, metadata)
    movies = read_movies(tmp_path, "val", ["reid"])
    assert [movie.impostors for movie in movies] == [expected] * 2
    assert across(movies, "all").impostors == expected


def test_metadata_of_another_file_do_not_count(tmp_path: Path) -> None:
    stage_files(tmp_path, {"embedder": {"sha256": {"a": DLIB}}})
    path = tmp_path / "face_val.pkl"
    told = stagefiles.metadata_path(path).read_bytes()
    stagefiles.write(path, {name: 2 * np.eye(2, 4, dtype=np.float32) for name in ("tt1", "tt2")})
    stagefiles.metadata_path(path).write_bytes(told)
    assert read_movies(tmp_path, "val", ["reid"])[0].impostors is None


def test_damaged_metadata_are_told_and_stop_nothing(tmp_path: Path) -> None:
    stage_files(tmp_path, {"embedder": {"sha256": {"a": DLIB}}})
    stagefiles.metadata_path(tmp_path / "face_val.pkl").write_text("{")
    with pytest.warns(RankingWarning, match=r"face_val\.pkl\.json: .*; of which network the faces are is not known"):
        assert read_movies(tmp_path, "val", ["reid"])[0].impostors is None


def test_on_bodies_alone_no_faces_are_read(tmp_path: Path) -> None:
    stage_files(tmp_path, {"embedder": {"sha256": {"a": DLIB}}})
    (tmp_path / "face_val.pkl").unlink()
    split = stagefiles.read_retina(tmp_path / "retina_val.pkl")
    stagefiles.write_body(tmp_path / "body_val.pkl", split)
    assert read_movies(tmp_path, "val", ["reid"], body_only=True)[0].impostors is None


def test_the_flag_overrides_the_metadata(tmp_path: Path) -> None:
    stage_files(tmp_path, {"embedder": {"sha256": {"a": DLIB}}})
    (movie, _) = read_movies(tmp_path, "val", ["reid"])
    given = fusion.with_flags(movie, Namespace(no_time=False, impostors=[0.3, 0.25]))
    assert given.impostors == Impostors(0.3, 0.25)
    assert fusion.with_flags(movie, Namespace(no_time=False, impostors=None)).impostors == KNOWN[DLIB]
