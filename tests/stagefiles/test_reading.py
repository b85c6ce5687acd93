"""Reading: files of every writer, hostile files, and what an error says."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import StageFileError

CONTENT = {
    "tt1": {
        "cast": [{"id": "a", "file": "a.jpg", "label": "x"}],
        "candidates": [
            {"id": "b", "file": "b.jpg", "faces": np.arange(8, dtype=np.float32).reshape(2, 4), "scores": None}
        ],
    }
}


def read(tmp_path: Path, data: bytes) -> dict[Any, Any]:
    (tmp_path / "x.pkl").write_bytes(data)
    return stagefiles.read(tmp_path / "x.pkl")


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list | tuple) else a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_files_of_other_writers_are_read(tmp_path, protocol):
    assert same(read(tmp_path, pickle.dumps(CONTENT, protocol)), CONTENT)


def test_real_files_are_read_as_python_reads_them(testdata):
    paths = [path for folder in ("golden", "data") for path in (testdata / folder).rglob("*.pkl")]
    assert len(paths) >= 11
    for path in paths:
        assert same(stagefiles.read(path), pickle.loads(path.read_bytes())), path


# In the form of Python 2's pickle and cPickle: {"tt1": numpy.arange(3, dtype="f4"), "l": [1, -2L, True], "u": u"\xe9"}.
PYTHON_2 = {
    0: (
        b"(dp0\nS'tt1'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        b"(I1\n(I3\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\x80?\\x00\\x00\\x00@'\np15\ntp16\nbsS'l'\np17\n(lp18\nI1\naL-2L\naI01\nas"
        b"S'u'\np19\nV\xe9\np20\ns."
    ),
    2: (
        b"\x80\x02}q\x01(U\x03tt1q\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05"
        b"U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x03\x85q\tcnumpy\ndtype\nq\nU\x02f4q\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U\x01<q\x0e"
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89T\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@"
        b"q\x10tq\x11bU\x01lq\x12]q\x13(K\x01\x8a\x01\xfe\x88eU\x01uq\x14X\x02\x00\x00\x00\xc3\xa9q\x15u."
    ),
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_files_of_python_2_are_read(tmp_path, protocol):
    content = {"tt1": np.arange(3, dtype=np.float32), "l": [1, -2, True], "u": "é"}
    assert same(read(tmp_path, PYTHON_2[protocol]), content)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps({"a": Hostile()}), r"it asks for posix\.system, which no stage file needs"),
        (b"\x80\x04}\x8c\x01acbuiltins\neval\n\x8c\x011\x85Rs.", r"it asks for builtins\.eval"),
        (b"}\x8c\x01ac" + b"m" * 150 + b"\nn\n)Rs.", r"it asks for m{80}, which"),
        (pickle.dumps(CONTENT)[:-40], "it is cut short"),
        (b"", "it is cut short"),
        (b"\x80\x04not a pickle", "opcode b'n', which no stage file needs"),
        (pickle.dumps([1, 2]), "expected a dict, found list"),
    ],
    ids=["runs code", "eval", "long name", "truncated", "empty", "garbage", "a list"],
)
def test_bad_files_are_one_error_and_run_nothing(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageFileError, match=message) as error:
        read(tmp_path, data)
    assert str(error.value).startswith(str(tmp_path / "x.pkl"))
    assert str(error.value).endswith("; run its stage again")
    assert str(error.value).isprintable()
    assert not (tmp_path / "pwned").exists()


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(StageFileError, match=r"no such file; run RetinaFace/merge\.py first"):
        stagefiles.read(tmp_path / "retina_val.pkl")
    with pytest.raises(StageFileError, match="no such file; run the stage that writes it first"):
        stagefiles.read(tmp_path / "x.pkl")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(StageFileError, match="is a folder, where a file was expected; name the file"):
        stagefiles.read(tmp_path)


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "body_val.pkl")
    with pytest.raises(StageFileError, match=r"body_val\.pkl: is a pipe or a device, where a file was expected"):
        stagefiles.read(tmp_path / "body_val.pkl")


def test_the_near_name_is_told(tmp_path):
    (tmp_path / "Body_val.pkl").write_bytes(b"")
    with pytest.raises(StageFileError, match=r"body_val\.pkl: no such file, but there is .*Body_val\.pkl"):
        stagefiles.read(tmp_path / "body_val.pkl")


def test_too_little_memory_is_told(tmp_path, monkeypatch):
    def too_much(machine):
        raise MemoryError

    monkeypatch.setattr("castsearch.stagefiles.reading.load", too_much)
    with pytest.raises(StageFileError, match=r"x\.pkl: there is too little memory for it"):
        read(tmp_path, b"")


def test_last_change(tmp_path):
    for name, time in (("old", 10**9), ("new", 10**9 + 0.5)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    assert stagefiles.last_change(tmp_path / "old") == 10**9
    names = sorted(("absent", "new", "old"), key=lambda name: stagefiles.last_change(tmp_path / name))
    assert names == ["old", "new", "absent"]


READ_ALL = """
import re, sys, time
from castsearch.stagefiles import StageFileError, read
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        read(path)
    except StageFileError as error:
        print(str(error))
    assert time.process_time() - start < 5
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""

# What would grow without limit, or take the interpreter down: a short run of opcodes many times over.
GROWING = {
    "sets": b"\x8f" * 1_000_000,
    "dicts": b"}" * 1_000_000,
    "marks": b"(" * 1_000_000,
    "tuples": b"N" + b"\x85" * 1_000_000,
    "lists": b"]" * 500_000 + b"a" * 499_999,
    "doubled tuples": b")" + b"".join(b"\x94h%c\x86" % place for place in range(60)),
    "a long integer": b"L" + b"9" * 1_000_000 + b"L\n",
    "a long number": b"\x8b\xff\xff\x00\x00" + b"\x7f" * 65535,
    "a long text": b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx",
    "long bytes": b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00x",
    "a far place": b"N" + b"r\xff\xff\xff\xff",
    "a frame": b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN",
    "arrays of one text": b"]\x8c\xffX" + b"x" * 254 + b"\x94(" + b"h\x00" * 2_000_000 + b"e",
}


def test_hostile_files_take_neither_memory_nor_time(tmp_path, testdata):
    paths = sorted((testdata / "cases/pickles").glob("*.pkl"))
    assert len(paths) >= 6
    for name, data in GROWING.items():
        paths.append(tmp_path / f"{name}.pkl")
        paths[-1].write_bytes(b"\x80\x04}\x8c\x01a" + data + b"s.")
    command = [sys.executable, "-c", READ_ALL, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *errors, peak = done.stdout.splitlines()
    assert len(errors) == len(paths)
    for path, error in zip(paths, errors, strict=True):
        assert error.startswith(str(path))
        assert len(error) < len(str(path)) + 200
    assert int(peak) < 300
