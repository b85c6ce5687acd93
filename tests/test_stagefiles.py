"""Stage files: portable, safe to read, atomic, resumable."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import Resumable, StageFileError

CONTENT = {
    "tt1": {
        "cast": [{"id": "a", "file": "a.jpg", "label": "x"}],
        "candidates": [
            {"id": "b", "file": "b.jpg", "faces": np.arange(8, dtype=np.float32).reshape(2, 4), "scores": None}
        ],
    }
}


def test_round_trip_keeps_dtypes_and_values(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", CONTENT, {"pack": "p"})
    found = stagefiles.read(tmp_path / "x.pkl")
    faces = found["tt1"]["candidates"][0]["faces"]
    assert faces.dtype == np.float32
    np.testing.assert_array_equal(faces, CONTENT["tt1"]["candidates"][0]["faces"])
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {"pack": "p"}


@pytest.mark.parametrize(
    "array", [np.zeros((0, 4), np.float32), np.asfortranarray(np.eye(3)), np.array(["a", "bc"]), np.bool_(True)]
)
def test_unusual_arrays_survive(tmp_path, array):
    stagefiles.write(tmp_path / "x.pkl", {"k": array})
    np.testing.assert_array_equal(stagefiles.read(tmp_path / "x.pkl")["k"], array)


def test_any_numpy_can_read_it(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", CONTENT | {"scalar": np.float32(1.5)})
    data = (tmp_path / "x.pkl").read_bytes()
    # numpy 2 names numpy._core where numpy 1 has numpy.core; what both have is numpy itself.
    assert b"numpy" in data
    assert b"numpy.core" not in data and b"numpy._core" not in data


def test_a_plain_pickle_load_reads_it_with_only_numpy(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", CONTENT)
    code = (
        "import pickle, sys; d = pickle.load(open(sys.argv[1], 'rb')); print(d['tt1']['candidates'][0]['faces'].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, tmp_path / "x.pkl"], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == 28


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_files_of_other_writers_are_read(tmp_path, protocol):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(CONTENT, protocol))
    assert stagefiles.read(tmp_path / "x.pkl")["tt1"]["candidates"][0]["faces"][1, 3] == 7


class Hostile:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps({"a": Hostile()}),
        pickle.dumps(CONTENT)[:-40],
        b"",
        b"\x80\x04not a pickle",
        pickle.dumps([1, 2]),
    ],
    ids=["runs code", "truncated", "empty", "garbage", "a list"],
)
def test_bad_files_are_one_error_and_run_nothing(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(StageFileError, match=r"x\.pkl") as error:
        stagefiles.read_body(tmp_path / "x.pkl")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists()


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(StageFileError, match=r"no such file; run RetinaFace/merge\.py first"):
        stagefiles.read(tmp_path / "retina_val.pkl")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StageFileError, match=r"cannot be written .*; choose another place"):
        stagefiles.write(tmp_path / "file" / "x.pkl", {})


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    with pytest.raises(StageFileError, match="make room"), stagefiles.atomic_write(tmp_path / "x.pkl"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    target = tmp_path / "x.pkl"
    stagefiles.write(target, {"old": 1})
    with pytest.raises(TypeError):
        stagefiles.write(target, {"new": (i for i in ())})
    assert stagefiles.read(target) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


def test_metadata_never_stands_beside_content_it_does_not_describe(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", {"a": 1}, {"pack": "old"})
    stagefiles.write(tmp_path / "x.pkl", {"a": 2})
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "movie tt1 is missing"),
        ({"tt1": np.zeros((3, 4), np.float32)}, r"expected \(2, d\) features, got \(3, 4\)"),
        ({"tt1": [1, 2]}, r"expected \(2, d\) features"),
    ],
)
def test_features_of_another_split_are_refused(tmp_path, features, message):
    stagefiles.write(tmp_path / "face_val.pkl", features)
    with pytest.raises(StageFileError, match=message):
        stagefiles.read_features(tmp_path / "face_val.pkl", {"tt1": 2})


class TestResumable:
    @pytest.fixture
    def target(self, tmp_path) -> Path:
        return tmp_path / "x.pkl"

    def open(self, target, metadata=None, changed=lambda key: 0.0) -> Resumable:
        return Resumable(target, metadata or {"pack": "p"}, ["a", "b", "c"], changed)

    def test_goes_on_where_it_was(self, target):
        first = self.open(target)
        first.add("b", np.ones(2))
        del first  # as if killed
        again = self.open(target)
        assert again.todo == ["a", "c"]
        again.add("c", 3)
        again.add("a", 1)
        again.finish()
        assert list(stagefiles.read(target)) == ["a", "b", "c"]
        assert sorted(path.name for path in target.parent.iterdir()) == ["x.json", "x.pkl"]

    def test_an_entry_cut_short_is_done_again(self, target):
        first = self.open(target)
        first.add("a", np.ones(100))
        first.add("b", np.ones(100))
        log = target.with_name("x.pkl.partial")
        log.write_bytes(log.read_bytes()[:-50])
        assert self.open(target).todo == ["b", "c"]

    def test_other_settings_start_anew(self, target):
        self.open(target).add("a", 1)
        assert self.open(target, {"pack": "other"}).todo == ["a", "b", "c"]

    def test_a_changed_source_is_done_again_and_its_old_entry_never_returns(self, target):
        self.open(target).add("a", "old")
        later = time.time() + 60
        stale = self.open(target, changed=lambda key: later if key == "a" else 0.0)
        assert stale.todo == ["a", "b", "c"]
        stale.add("b", 2)
        assert self.open(target).todo == ["a", "c"]

    def test_a_finished_file_counts_but_for_its_bad_sources(self, target):
        first = self.open(target)
        for key in "abc":
            first.add(key, key, "truncated" if key == "b" else None)
        first.finish()
        assert stagefiles.read(target) == {"a": "a", "b": "b", "c": "c"}
        assert stagefiles.read_metadata(target)["bad"] == {"b": "truncated"}
        assert self.open(target).todo == ["b"]

    def test_a_killed_run_tries_bad_sources_again(self, target):
        first = self.open(target)
        first.add("a", "blank", "truncated")
        first.add("b", 2)
        assert self.open(target).todo == ["a", "c"]
