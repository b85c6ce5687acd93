"""Writing: portable, atomic, and metadata that can be nobody else's file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import StageFileError, writing

CONTENT = {"tt1": {"faces": np.arange(8, dtype=np.float32).reshape(2, 4), "scores": None, "id": "a"}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip_keeps_dtypes_and_values(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", CONTENT, {"pack": "p"})
    found = stagefiles.read(tmp_path / "x.pkl")
    assert found["tt1"]["faces"].dtype == np.float32
    np.testing.assert_array_equal(found["tt1"]["faces"], CONTENT["tt1"]["faces"])
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {"pack": "p"}
    lines = (tmp_path / "x.pkl.json").read_text().splitlines()
    assert lines[:2] == ["{", '  "pack": "p",']
    assert re.fullmatch(r'  "pickle": "\d+ bytes, [0-9a-f]{32}"', lines[2])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4), np.float32),
        np.asfortranarray(np.eye(3)[:2]),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.array(["a", "bc"]),
        np.bool_(True),
        np.float32(1.5),
    ],
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
    assert data[:2] == b"\x80\x04"


def test_a_plain_pickle_load_reads_it_with_only_numpy(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", CONTENT)
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))['tt1']['faces'].sum())"
    command = [sys.executable, "-I", "-c", code, tmp_path / "x.pkl"]
    assert float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) == 28


def test_metadata_is_nobody_elses_file(tmp_path):
    """Results named after a split must not overwrite its annotations."""
    (tmp_path / "val.json").write_text("annotations")
    stagefiles.write(tmp_path / "val.pkl", CONTENT, {"pack": "p"})
    stagefiles.write(tmp_path / "val.pkl", CONTENT)
    assert (tmp_path / "val.json").read_text() == "annotations"
    assert stagefiles.metadata_path("data/val.pkl") == Path("data/val.pkl.json")
    assert stagefiles.read_metadata(tmp_path / "val.pkl") == {}


class Full(dict):
    """Has no room for its second item."""

    def __reduce__(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("content", "metadata", "error"),
    [
        ({"new": (i for i in ())}, {"pack": "new"}, TypeError),
        ({"new": 1}, {"pack": object()}, TypeError),
        ({"new": 1}, {"pack": b"new"}, TypeError),
        ({"new": Full()}, {"pack": "new"}, StageFileError),
    ],
)
def test_a_write_that_fails_leaves_the_old_pair(tmp_path, content, metadata, error):
    target = tmp_path / "x.pkl"
    stagefiles.write(target, {"old": 1}, {"pack": "old"})
    with pytest.raises(error):
        stagefiles.write(target, content, metadata)
    assert stagefiles.read(target) == {"old": 1}
    assert stagefiles.read_metadata(target) == {"pack": "old"}
    assert names(tmp_path) == ["x.pkl", "x.pkl.json"]


@pytest.mark.parametrize("step", range(1, 3))
def test_a_kill_between_the_two_never_leaves_wrong_metadata(tmp_path, monkeypatch, step):
    """Stopped before each step: the pickle takes its place, the json does."""
    target = tmp_path / "x.pkl"
    stagefiles.write(target, {"old": 1}, {"pack": "old"})
    steps = iter(range(1, 9))

    def stopping(function):
        def wrapped(*args, **kwargs):
            if next(steps) == step:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(writing._Replacement, "take_place", stopping(writing._Replacement.take_place))
    with pytest.raises(KeyboardInterrupt):
        stagefiles.write(target, {"new": 1}, {"pack": "new"})
    found = stagefiles.read(target), stagefiles.read_metadata(target)
    assert found == [({"old": 1}, {"pack": "old"}), ({"new": 1}, {})][step - 1]
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_both_are_on_the_disk_before_either_takes_its_place(tmp_path, monkeypatch):
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("sync" if os.fstat(file).st_size else "") or fsync(file))
    monkeypatch.setattr(Path, "replace", lambda old, new: done.append(new.name) or replace(old, new))
    stagefiles.write(tmp_path / "x.pkl", CONTENT, {})
    assert done == ["sync", "sync", "x.pkl", "x.pkl.json"]
    done.clear()
    with stagefiles.atomic_write(tmp_path / "y") as file:
        file.write(b"y")
    with stagefiles.atomic_write(tmp_path / "z", sync=False) as file:
        file.write(b"z")
    assert done == ["sync", "y", "z"]


def test_a_reader_sees_the_old_file_or_the_whole_new_one(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with stagefiles.atomic_write(tmp_path / "x") as file:
        file.write(b"new" * 10**6)
        assert (tmp_path / "x").read_bytes() == b"old"
    assert (tmp_path / "x").read_bytes() == b"new" * 10**6
    assert names(tmp_path) == ["x"]


def test_metadata_never_stands_beside_content_it_does_not_describe(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", {"a": 1}, {"pack": "old"})
    stagefiles.write(tmp_path / "x.pkl", {"a": 2})
    assert names(tmp_path) == ["x.pkl"]


def test_others_may_read_what_is_written(tmp_path):
    stagefiles.write(tmp_path / "folder/below/x.pkl", {}, {})
    umask = os.umask(0)
    os.umask(umask)
    for path in (tmp_path / "folder/below").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        StageFileError, match=r"x\.pkl: .*file is a file, where a folder was expected; choose another place"
    ):
        stagefiles.write(tmp_path / "file" / "x.pkl", {})
    (tmp_path / "folder.pkl/inside").mkdir(parents=True)
    with pytest.raises(StageFileError, match=r"folder\.pkl: is a folder; choose another name"):
        stagefiles.write(tmp_path / "folder.pkl", {})
    (tmp_path / "y.pkl.json").mkdir()
    with pytest.raises(StageFileError, match=r"y\.pkl\.json: is a folder; choose another name"):
        stagefiles.write(tmp_path / "y.pkl", {})
    assert not (tmp_path / "y.pkl").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, number):
    with pytest.raises(StageFileError, match=r"x\.pkl: .*; make room"), stagefiles.atomic_write(tmp_path / "x.pkl"):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_errors_of_others_pass(tmp_path):
    with pytest.raises(FileNotFoundError), stagefiles.atomic_write(tmp_path / "x.pkl") as file:
        file.write((tmp_path / "absent").read_bytes())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", r"x\.pkl\.json: not valid JSON: .*; delete it or run the stage again"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff", "line 1: the byte 0xff is not UTF-8"),
        (b"[1]", "expected a JSON object, keyed by name, found a list; delete it or run the stage again"),
        (None, "is a folder, where a file was expected"),
    ],
)
def test_metadata_that_is_none(tmp_path, text, message):
    beside = tmp_path / "x.pkl.json"
    beside.mkdir() if text is None else beside.write_bytes(text)
    with pytest.raises(StageFileError, match=message) as error:
        stagefiles.read_metadata(tmp_path / "x.pkl")
    assert str(error.value).isprintable()


def test_metadata_with_a_byte_order_mark(tmp_path):
    """As an editor of Windows saves them."""
    stagefiles.write(tmp_path / "x.pkl", {}, {"pack": "p"})
    beside = tmp_path / "x.pkl.json"
    beside.write_bytes(b"\xef\xbb\xbf" + beside.read_bytes())
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {"pack": "p"}


def test_sha256(tmp_path):
    data = bytes(range(256)) * 9000
    (tmp_path / "x").write_bytes(data)
    assert stagefiles.file_sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
    with pytest.raises(StageFileError, match="y: no such file; put the file there"):
        stagefiles.file_sha256(tmp_path / "y")


def test_metadata_is_json_that_others_read(tmp_path):
    stagefiles.write(tmp_path / "x.pkl", {}, {"b": "é", "a": (1, 2)})
    text = (tmp_path / "x.pkl.json").read_text()
    found = json.loads(text)
    assert len(found.pop("pickle")) == len("5 bytes, ") + 32
    assert found == {"a": [1, 2], "b": "é"}
    assert text.index('"a"') < text.index('"b"') and text.count("\n") == 8


def test_metadata_of_another_pickle_do_not_count(tmp_path):
    """A file of the original put in the place of ours, of the same length too."""
    target = tmp_path / "x.pkl"
    for content in ({"a": np.zeros(9)}, {"a": np.ones(9)}):
        stagefiles.write(target, {"a": np.full(9, 7.0)}, {"pack": "p"})
        other = tmp_path / "other.pkl"
        stagefiles.write(other, content)
        assert other.stat().st_size == target.stat().st_size
        other.replace(target)
        assert stagefiles.read_metadata(target) == {}
    target.unlink()
    assert stagefiles.read_metadata(target) == {}


@pytest.mark.parametrize("name", ["val", "val.json", "val.pkl.json", "."])
def test_a_stage_file_ends_in_pkl(tmp_path, name):
    (tmp_path / "val.json").write_text("annotations")
    with pytest.raises(StageFileError, match=r"a stage file's name ends in \.pkl; choose such a name"):
        stagefiles.write(tmp_path / name, {}, {"pack": "p"})
    assert (tmp_path / "val.json").read_text() == "annotations"


def test_a_failed_replacement_leaves_the_old_pair(tmp_path, monkeypatch):
    target = tmp_path / "x.pkl"
    stagefiles.write(target, {"old": 1}, {"pack": "old"})

    def busy(*_):
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(StageFileError, match=r"x\.pkl: cannot be written \(busy\)"):
        stagefiles.write(target, {"new": 1}, {"pack": "new"})
    assert (stagefiles.read(target), stagefiles.read_metadata(target)) == ({"old": 1}, {"pack": "old"})


def test_a_disk_that_refuses_at_the_end_is_named(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StageFileError, match=r"x\.pkl: cannot be written \(not permitted\)"):
        stagefiles.write(tmp_path / "x.pkl", {}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("letter", ["x", "é", "映", "😀"])
def test_a_name_may_be_as_long_as_file_systems_take(tmp_path, letter):
    """That of the temporary file, which is longer, must not be too long."""
    path = tmp_path / f"{letter * (251 // len(letter.encode()))}.jpg"
    with stagefiles.atomic_write(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_places_are_checked_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    assert writing.check_folder(tmp_path / "a/b") == tmp_path / "a/b"
    assert writing.check_output(tmp_path / "a/b") == tmp_path / "a/b"
    assert names(tmp_path) == ["circle", "file"], "nothing is made"
    for check in (writing.check_folder, writing.check_output):
        with pytest.raises(StageFileError, match=rf"file/x: {tmp_path}/file is a file, where a folder was expected"):
            check(tmp_path / "file/x")
        for place in ("circle", "circle/x", "circle/../circle/x/y"):
            with pytest.raises(StageFileError, match=f"{place}: is a link that leads in a circle; choose another"):
                check(tmp_path / place)
        with pytest.raises(StageFileError, match=r"xxx…/y/.+/x: cannot be written \(File name too long"):
            check(tmp_path / f"{'x' * 300}/{'y/' * 3000}x")
    with pytest.raises(StageFileError, match="file: is a file, where a folder was expected"):
        writing.check_folder(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(StageFileError, match=f"^{tmp_path}: is not to be written to; choose another place"):
        writing.check_folder(tmp_path)
    with pytest.raises(StageFileError, match=f"^{tmp_path}/x: {tmp_path} is not to be written to; choose another"):
        writing.check_output(tmp_path / "x")


def test_leftovers_of_others_stay(tmp_path):
    """Neither a lock's name nor that of a long-named neighbour's temporary file is taken for one's own."""
    long = "the-film-of-a-name-that-is-as-long-as-names-of-films-are-now-and-then-part-"
    names = ["val", f"{long}1.pkl", f"{long}2.pkl"]
    with stagefiles.atomic_write(tmp_path / names[2]) as file:
        (tmp_path / ".val.txt.lock").touch()
        (tmp_path / ".val.abcd_123").touch()
        writing.remove_leftovers(tmp_path / "val", tmp_path / names[1])
        (tmp_path / "val").touch()
        writing.sweep(tmp_path)
        assert (tmp_path / ".val.txt.lock").exists() and not (tmp_path / ".val.abcd_123").exists()
        file.write(b"whole")


def test_a_kill_between_the_two_leaves_no_metadata_of_another_pickle(tmp_path, monkeypatch):
    """Though the two pickles are of one length, and begin and end alike."""
    old, new = np.zeros(300_000, np.uint8), np.zeros(300_000, np.uint8)
    new[150_000] = 1
    stagefiles.write(tmp_path / "x.pkl", {"tt1": old}, {"made": "old"})
    take_place = writing._Replacement.take_place

    def killed(replacement: writing._Replacement) -> None:
        if replacement.path.suffix == ".json":
            raise KeyboardInterrupt
        take_place(replacement)

    monkeypatch.setattr(writing._Replacement, "take_place", killed)
    with pytest.raises(KeyboardInterrupt):
        stagefiles.write(tmp_path / "x.pkl", {"tt1": new}, {"made": "new"})
    assert stagefiles.read(tmp_path / "x.pkl")["tt1"].any()
    assert stagefiles.read_metadata(tmp_path / "x.pkl") == {}
