"""Splits in parts: what is joined has the bytes of one run through all movies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.identifiers import movie_fault
from castsearch.ranking.joining import join_results
from castsearch.results import Places, ResultError, write_result
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split, StageFileError
from castsearch.stagefiles.joining import join_body, join_features, join_metadata, join_retina, movie_key, movie_keys

NAMES = ("tt1", "L'été {1}", "日本 *?")


def pictures(name: str, number: int) -> MoviePictures:
    faces = Faces(
        np.float32([[1, 2, 30, 40], [5, 6, 7, 8]]), np.float32([0.9, 0.8]), np.full((2, 5, 2), number, np.float32)
    )
    cast = (Picture(f"m{number}_nm1", f"{name}/cast/nm1.jpg", "nm1", faces),)
    files = [f"{name}/candidates/shot0001img0_{x}_2_30_40.jpg" for x in range(2)]
    labels = ("others", "nm1")
    candidates = [Picture(f"m{number}_{x}", file, labels[x], faces if x else None) for x, file in enumerate(files)]
    return MoviePictures(name, cast, tuple(candidates))


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    """A folder a movie, and in ``whole/`` what one run through all of them would have written."""
    rng = np.random.default_rng(0)
    movies = [pictures(name, number) for number, name in enumerate(NAMES)]
    features = {movie.name: rng.normal(size=(len(movie), 8)).astype(np.float32) for movie in movies}
    folders = {name: tmp_path / movie_key(name) for name in NAMES}
    told = {"model": "dlib", "ran": [{"device": "CPU"}]}
    for names, folder in [(NAMES, tmp_path / "whole"), *(((name,), folder) for name, folder in folders.items())]:
        split = Split(movie for movie in movies if movie.name in names)
        stamps = {"sources": {name: f"stamp of {name}" for name in names}}
        stagefiles.write_body(folder / "body_val.pkl", split, {"quality": 75, **stamps})
        doubts = {"doubts": {movie.cast[0].id: "blurred" for movie in split.values()}}
        stagefiles.write_retina(folder / "retina_val.pkl", split, told | doubts)
        stagefiles.write(folder / "face_val.pkl", {name: features[name] for name in names}, told | stamps)
        rank(folder / "val_result.txt", names)
    return folders


def rank(target: Path, names: tuple[str, ...], recipe: str = "best") -> None:
    with write_result(target, mode="val", recipe=recipe, settings={"time": True}, versions={"numpy": "2"}) as writer:
        for name in names:
            number = NAMES.index(name)
            ids = [f"m{number}_{x}" for x in (1, 0)]
            numbers = np.float32([0.123456, np.nan]), ["face", "body"], np.float32([0.9, 1 / 3])
            evidence = {"face": np.float32([-0.000001, 2.0])}
            writer.add(name, [f"m{number}_nm1"], Places(ids, *numbers, evidence))


def within(parts: dict[str, Path], name: str) -> dict[str, Path]:
    return {movie: folder / name for movie, folder in parts.items()}


@pytest.mark.parametrize(
    ("join", "name"), [(join_body, "body_val.pkl"), (join_retina, "retina_val.pkl"), (join_features, "face_val.pkl")]
)
def test_joined_stage_files_have_the_bytes_of_one_run(parts, tmp_path, join, name):
    join(within(parts, name), tmp_path / "joined" / name)
    for file in (name, f"{name}.json"):
        assert (tmp_path / "joined" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_joined_result_has_the_bytes_of_one_run(parts, tmp_path):
    target = tmp_path / "joined/val_result.txt"
    assert join_results(within(parts, "val_result.txt"), target) == len(NAMES)
    for file in ("val_result.txt", "val_result.json"):
        assert (target.parent / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_the_order_is_that_of_the_parts(parts, tmp_path):
    split = join_body(dict(reversed(within(parts, "body_val.pkl").items())), tmp_path / "body_val.pkl")
    assert list(split) == list(reversed(NAMES))


def test_a_part_that_holds_another_movie_is_refused(parts, tmp_path):
    files = within(parts, "face_val.pkl")
    files["tt1"] = files[NAMES[1]]
    with pytest.raises(StageFileError, match=r"expected movie tt1 alone, found \"L'été \{1\}\"; run its stage again"):
        join_features(files, tmp_path / "face_val.pkl")
    assert not (tmp_path / "face_val.pkl").exists()


def test_a_missing_part_is_named(parts, tmp_path):
    (parts["tt1"] / "body_val.pkl").unlink()
    with pytest.raises(StageFileError, match=r"tt1/body_val\.pkl: .*run crop_body\.py first"):
        join_body(within(parts, "body_val.pkl"), tmp_path / "body_val.pkl")


def test_parts_of_different_settings_are_refused(parts, tmp_path):
    path = parts[NAMES[1]] / "body_val.pkl"
    stagefiles.write_body(path, stagefiles.read_body(path), {"quality": 95})
    with pytest.raises(StageFileError, match=r"quality is not that of .*/tt1/body_val\.pkl; run its stage again"):
        join_body(within(parts, "body_val.pkl"), tmp_path / "body_val.pkl")


def test_what_only_some_parts_tell_is_told_of_the_whole(tmp_path):
    """A movie without candidates was searched for portraits alone."""
    split, some = Split([pictures("tt1", 0)]), {"close_ups": True, "ran": [{"device": "CPU"}]}
    for name, told in (("a.pkl", {}), ("b.pkl", some | {"made_from": "b"}), ("c.pkl", some | {"made_from": "c"})):
        stagefiles.write_body(tmp_path / name, split, told)
    assert join_metadata(tmp_path / name for name in ("a.pkl", "b.pkl", "c.pkl")) == some


def test_rankings_by_different_recipes_are_refused(parts, tmp_path):
    rank(parts[NAMES[1]] / "val_result.txt", NAMES[1:2], recipe="original")
    with pytest.raises(ResultError, match=r"ranked with other recipe than .*; rank one of them again"):
        join_results(within(parts, "val_result.txt"), tmp_path / "val_result.txt")
    assert not (tmp_path / "val_result.txt").exists()


def test_a_ranking_that_was_changed_is_refused(parts, tmp_path):
    (parts["tt1"] / "val_result.txt").write_text("m0_nm1 m0_0,m0_1\n")
    with pytest.raises(ResultError, match="is of another run than"):
        join_results(within(parts, "val_result.txt"), tmp_path / "val_result.txt")


def test_a_ranking_of_another_movie_is_refused(parts, tmp_path):
    files = within(parts, "val_result.txt")
    files["tt1"] = files[NAMES[1]]
    with pytest.raises(ResultError, match="expected movie tt1 alone"):
        join_results(files, tmp_path / "val_result.txt")


def test_nothing_to_rank_is_told(tmp_path):
    with pytest.raises(ResultError, match="no movie has both a cast and candidates"):
        join_results({}, tmp_path / "val_result.txt")


def test_keys_are_words_that_nothing_takes_for_anything_else():
    names = ["tt1", "Tt1", "-rf", ".hidden", "a b", "a\\b", "a%b", "日本", "x" * 200, "{movie}", "a..b", "L'été", "__"]
    keys = [movie_key(name) for name in names]
    assert keys[:2] == ["tt1", "Tt1"]
    assert len({*keys}) == len(names)
    for name, key in zip(names, keys, strict=True):
        assert key.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert key.isascii()
        assert key[0].isalnum()
        assert len(key) <= 80
        assert movie_fault(key) is None, name


def test_movies_that_would_share_a_folder_are_refused():
    name = "a b"
    with pytest.raises(StageFileError, match="would share a folder; rename one"):
        movie_keys([name, movie_key(name)])


def test_the_script_splits_what_the_challenge_wrote(script, movie, tmp_path):
    content = json.loads((movie / "val.json").read_text())
    content["été 1"] = {"cast": [], "candidates": [content["tt1"]["candidates"][0] | {"id": "x"}]}
    (movie / "val.json").write_text(json.dumps(content))
    script("scripts/split_movies.py", "--annotations", movie, "--mode", "val", "--out", tmp_path / "out")
    table = json.loads((tmp_path / "out/val_movies.json").read_text())
    assert [(row["movie"], row["cast"], row["candidates"]) for row in table] == [("tt1", 1, 3), ("été 1", 0, 1)]
    for row in table:
        part = json.loads((tmp_path / "out/movies" / row["folder"] / "val.json").read_text())
        assert part == {row["movie"]: content[row["movie"]]}


@pytest.mark.parametrize("table", ["{", "null", "[1]", '[{"movie": "tt1"}]'])
def test_a_damaged_table_of_movies_is_told(script, tmp_path, table):
    (tmp_path / "val_movies.json").write_text(table)
    where = ("--out", tmp_path, "--submission", tmp_path / "val_result.txt")
    told = script("scripts/join_movies.py", *where, "--mode", "val", "--reid", "triplet_x", code=2).stderr
    assert told == f"error: {tmp_path / 'val_movies.json'}: is damaged; run scripts/split_movies.py again\n"
