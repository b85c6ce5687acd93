"""What is current: each input of a stage is changed in turn, and what does not matter."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from castsearch.stagefiles import (
    Faces,
    current,
    detection_entry,
    is_current,
    is_recorded,
    made_from,
    metadata_path,
    read_body,
    stamp,
    write,
    write_record,
)

STILL = "nothing is done again"


def test_what_a_file_is_made_from(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text(name)
    a, b, c = (tmp_path / name for name in "abc")
    made = made_from([a, b], {"x": (1, 2), "y": 3})
    shutil.copy(a, tmp_path / "copy")
    assert made_from([tmp_path / "copy", str(b)], {"y": 3, "x": [1, 2]}) == made
    others = made_from([b, a], {"x": (1, 2), "y": 3}), made_from([a], {"x": (1, 2), "y": 3})
    others += made_from([a, c], {"x": (1, 2), "y": 3}), made_from([a, b], {"x": (2, 1), "y": 3})
    assert made not in others and len({*others}) == 4
    monkeypatch.setattr(current, "__version__", "0")
    assert made_from([a, b], {"x": (1, 2), "y": 3}) != made


def test_a_stage_file_is_current_while_it_is_the_one_that_its_metadata_tell_of(tmp_path):
    path = tmp_path / "x.pkl"
    write(path, {"a": np.arange(3)}, {"made_from": "1"})
    assert is_current(path, "1") and not is_current(path, "2")
    other = tmp_path / "y.pkl"
    write(other, {"a": np.arange(1, 4)}, {"made_from": "1"})
    shutil.copy(other, path)
    assert not is_current(path, "1")
    shutil.copy(metadata_path(other), metadata_path(path))
    assert is_current(path, "1")
    for damaged in (b"{", b"[]", b""):
        metadata_path(path).write_bytes(damaged)
        assert not is_current(path, "1")


def test_an_account_of_several_files(tmp_path):
    record, one, two = tmp_path / ".r.json", tmp_path / "one", tmp_path / "ä/two"
    two.parent.mkdir()
    one.write_text("1")
    two.write_text("2")
    write_record(record, "m", [one, two])
    assert is_recorded(record, "m") and not is_recorded(record, "n")
    os.utime(two, ns=(0, two.stat().st_mtime_ns - 1))
    assert not is_recorded(record, "m")
    write_record(record, "m", [one, two])
    one.unlink()
    assert not is_recorded(record, "m")
    for damaged in ("", ', "outputs": []', ', "outputs": {"a": 1}', ', "outputs": {'):
        record.write_text(f'{{"made_from": "m"{damaged}}}')
        assert not is_recorded(record, "m")


def test_stamps_tell_place_size_time_and_detail(tmp_path):
    file = tmp_path / "a"
    file.write_text("a")
    first = stamp([file])
    (tmp_path / "link").symlink_to(tmp_path)
    assert stamp([tmp_path / "link/a"]) == first
    assert stamp([file], "detail") != first != stamp([file, file])
    shutil.copy2(file, tmp_path / "b")
    assert stamp([tmp_path / "b"]) != first
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert stamp([file]) != first
    file.write_text("longer")
    os.utime(file, ns=(0, (tmp_path / "b").stat().st_mtime_ns))
    assert stamp([file]) != first
    assert stamp([tmp_path / "absent"]) is None


# ---------------------------------------------------------------------------- stages


@pytest.fixture
def crop(movie, script):
    """Runs stage 1; tells whether all was current."""

    def run(*flags: object) -> bool:
        given = "--origin", movie / "origin", "--annotations", movie, "--body", movie / "body", "--mode", "val"
        return STILL in script("crop_body.py", *given, "--data", movie / "data", *flags).stdout

    assert not run()
    assert run()
    return run


def edit(path: Path, change: bool = False) -> None:
    """Change an annotation's box by a pixel, or only how the file is written."""
    told = json.loads(path.read_text())
    if change:
        told["tt1"]["candidates"][0]["bbox"][0] += 1
    path.write_text(json.dumps(told, indent=3, sort_keys=True))


def touch(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 1))


def test_crops_are_made_again_for_each_of_their_inputs_and_not_for_others(movie, crop):
    edit(movie / "val.json")
    (movie / "origin/val/tt1/candidates/another.jpg").write_bytes(b"")
    touch(movie / "val.json")
    assert crop()
    frame = movie / "origin/val/tt1/candidates/shot0002img0.jpg"
    made = next((movie / "body/val/tt1/candidates").glob("shot0002*"))
    for change in (
        lambda: edit(movie / "val.json", change=True),
        lambda: touch(frame),
        lambda: touch(movie / "origin/val/tt1/cast/nm1.jpg"),
        lambda: made.write_bytes(b"x"),
        made.unlink,
        lambda: metadata_path(movie / "data/body_val.pkl").unlink(),
        lambda: write(movie / "data/body_val.pkl", {}),
    ):
        change()
        assert not crop()
    assert crop()
    assert not crop("--quality", 90)
    assert not crop("--body", movie / "elsewhere")
    assert not crop("--overwrite")


@pytest.fixture
def ranked(movie, crop, script):
    """Writes faces and features beside crops; gives what runs merge.py and fusion.py and tells what was current."""
    data, results = movie / "data", movie / "results"
    split = read_body(data / "body_val.pkl")["tt1"]
    face = Faces(np.array([[1, 2, 30, 40]], np.float32), np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))

    def detect(name: str, score: float = 1) -> None:
        files = [f"val/{picture.file}" for picture in (split.cast if name == "cast" else split.candidates)]
        found = Faces(face.boxes, face.scores * np.float32(score), face.landmarks)
        write(results / f"val_{name}.pkl", {file: detection_entry(file, found) for file in files}, {"detector": {}})

    def feature(name: str, rows: int, seed: int = 0, **metadata: object) -> None:
        vectors = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
        write(data / f"{name}_val.pkl", {"tt1": vectors}, metadata)

    def run(*flags: object) -> tuple[bool, bool]:
        merged = script("RetinaFace/merge.py", "--mode", "val", "--data", data, "--results", results)
        where = "--mode", "val", "--data", data, "--submission", movie / "val_result.txt", "--reid", "b"
        return STILL in merged.stdout, STILL in script("fusion.py", *where, *flags).stdout

    for name in ("cast", "candidates_0"):
        detect(name)
    feature("face", 4)
    feature("b", 3)
    assert run() == (False, False)
    assert run("--memory", 1) == (True, True)
    return detect, feature, run


def test_faces_and_rankings_are_made_again_for_each_of_their_inputs_and_not_for_others(movie, ranked):
    detect, feature, run = ranked
    for file in ("data/body_val.pkl", "results/val_cast.pkl", "data/b_val.pkl", "data/face_val.pkl", "val.json"):
        os.utime(movie / file)  # content is compared
    metadata_path(movie / "data/b_val.pkl").unlink()
    shutil.copy(movie / "val_result.txt", movie / "val_copy.txt")
    run()  # another order of the results, perhaps
    assert run() == (True, True)
    for change, expected in (
        (lambda: detect("candidates_0", score=0.5), (False, False)),
        ((movie / "data/retina_val.pkl").unlink, (False, True)),
        (lambda: feature("b", 3, seed=1), (True, False)),
        (lambda: feature("face", 4, seed=1), (True, False)),
        (lambda: feature("face", 4, seed=1, embedder={"sha256": {"net": "0"}}), (True, False)),
        ((movie / "val_result.json").unlink, (True, False)),
        (lambda: shutil.copy(movie / "val.json", movie / "val_result.txt"), (True, False)),
    ):
        change()
        assert run() == expected
    assert run() == (True, True)


def test_damaged_faces_are_gathered_again(movie, crop, script):
    """Though their file begins and ends as it did."""
    split, target = read_body(movie / "data/body_val.pkl")["tt1"], movie / "data/retina_val.pkl"
    many = Faces(np.zeros((9_000, 4), np.float32), np.ones(9_000, np.float32), None)
    files = [f"val/{picture.file}" for picture in split.pictures]
    write(movie / "results/val_all.pkl", {file: detection_entry(file, many) for file in files}, {"detector": {}})
    merge = "RetinaFace/merge.py", "--mode", "val", "--data", movie / "data", "--results", movie / "results"
    script(*merge)
    whole = target.read_bytes()
    damaged = whole.replace(split.candidates[0].id.encode(), b"tt1\xff0")
    assert len(damaged) == len(whole) > 1 << 18 and damaged[: 1 << 16] == whole[: 1 << 16]
    target.write_bytes(damaged)
    script(*merge)
    assert target.read_bytes() == whole


@pytest.mark.slow
def test_rankings_of_other_flags_are_others(ranked):
    run = ranked[-1]
    body, best = (["--body_rerank"], ["--body_rerank_ecn"]), ["--recipe", "best"]
    others = ["--face_rerank"], ["--face_rerank_ecn"], *body, ["--thres", 0.9], ["--across"], best, [*best, "--no_time"]
    for flags in (*others, [*best, "--impostors", 0.1, 0.1], [*best, "--across"]):
        assert run(*flags) == (True, False), flags
    assert run(*best, "--across") == (True, True)
    assert run(*best, "--across", "--overwrite") == (True, False)
