"""crop_body.py as a user runs it."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from castsearch import stagefiles
from castsearch.images import read_image
from castsearch.stagefiles import Picture


def crop(script, movie, *flags, code=0):
    return script(
        "crop_body.py",
        "--origin",
        movie / "origin",
        "--body",
        movie / "body",
        "--mode",
        "val",
        "--data",
        movie,
        *flags,
        code=code,
    )


def change(movie, edit):
    content = json.loads((movie / "val.json").read_text())
    edit(content["tt1"])
    (movie / "val.json").write_text(json.dumps(content))


def test_crops_are_the_boxes_and_portraits_are_copies(script, movie):
    crop(script, movie)
    body = stagefiles.read_body(movie / "body_val.pkl")["tt1"]
    assert [picture.id for picture in body.candidates] == ["tt1_0", "tt1_1", "tt1_2"]
    assert body.candidates[0] == Picture("tt1_0", "tt1/candidates/shot0001img0_10_20_50_60.jpg", "nm1")
    assert body.cast == (Picture("tt1_nm1", "tt1/cast/nm1.jpg", "nm1"),)
    sizes = [read_image(movie / "body/val" / picture.file).shape for picture in body.candidates]
    assert sizes == [(60, 50, 3), (30, 60, 3), (120, 160, 3)]
    portrait = "val/tt1/cast/nm1.jpg"
    assert (movie / "body" / portrait).read_bytes() == (movie / "origin" / portrait).read_bytes()


def test_golden_split(script, testdata, tmp_path):
    folder = testdata / "data/jurassic"
    script(
        "crop_body.py",
        "--origin",
        folder / "origin",
        "--body",
        tmp_path,
        "--annotations",
        folder / "data",
        "--data",
        tmp_path,
        "--mode",
        "val",
    )
    assert stagefiles.read(tmp_path / "body_val.pkl") == stagefiles.read(testdata / "golden/jurassic/body_val.pkl")


def test_paths_are_taken_from_the_current_directory(script, movie):
    script("crop_body.py", "--origin", "origin", "--body", "body", "--mode", "val", "--data", ".", cwd=movie)
    assert (movie / "body_val.pkl").exists()


def test_the_test_split_has_no_labels(script, movie):
    change(movie, lambda entry: [candidate.pop("label") for candidate in entry["candidates"]])
    crop(script, movie)
    assert "label" not in stagefiles.read(movie / "body_val.pkl")["tt1"]["candidates"][0]


def truncate(movie):
    path = movie / "origin/val/tt1/candidates/shot0001img0.jpg"
    path.write_bytes(path.read_bytes()[:1500])


BAD = {
    "missing frame": (
        lambda movie: (movie / "origin/val/tt1/candidates/shot0002img0.jpg").unlink(),
        "movie tt1, candidate tt1_2: .*shot0002img0.jpg: no such file",
        ["tt1_0", "tt1_1"],
    ),
    "truncated frame": (
        truncate,
        r"movie tt1, candidate tt1_0: .*shot0001img0.jpg: cannot be read .*\(1 more are bad",
        ["tt1_2"],
    ),
    "portrait missing": (
        lambda movie: change(
            movie, lambda entry: entry["cast"].append({"id": "c2", "img": "tt1/cast/nm2.jpg", "label": "nm2"})
        ),
        "movie tt1, cast c2: .*no such file",
        ["tt1_0", "tt1_1", "tt1_2"],
    ),
    "box outside": (
        lambda movie: change(movie, lambda entry: entry["candidates"][1].update(bbox=[500, 0, 9, 9])),
        "candidate tt1_1: .*outside the frame of 160 x 120; mend its bbox",
        ["tt1_0", "tt1_2"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_picture_stops_or_is_left_out(script, movie, case):
    spoil, message, left = BAD[case]
    spoil(movie)
    stopped = crop(script, movie, code=2)
    assert len(stopped.stderr.splitlines()) == 1
    assert not (movie / "body_val.pkl").exists()
    # What is not there is seen before anything is cropped.
    assert (movie / "body").exists() == ("missing" not in case)
    assert re.search(message, stopped.stderr)
    went_on = crop(script, movie, "--skip_bad")
    assert "went on without" in went_on.stderr
    body = stagefiles.read_body(movie / "body_val.pkl")["tt1"]
    assert [picture.id for picture in body.candidates] == left and len(body.cast) == 1


@pytest.mark.parametrize("bad", [0, 1])
def test_a_person_keeps_the_id_whichever_portrait_is_left(script, movie, bad):
    """By it results and labels know the person."""
    portraits = [f"tt1/cast/{name}.jpg" for name in ("nm1", "nm1_b", "nm1_c")]
    for portrait in portraits[1:]:
        shutil.copy(movie / "origin/val" / portraits[0], movie / "origin/val" / portrait)
    change(movie, lambda entry: entry["cast"][0].update(img=portraits))
    assert "3 portraits" in crop(script, movie).stdout
    (movie / "origin/val" / portraits.pop(bad)).unlink()
    crop(script, movie, "--skip_bad")
    cast = stagefiles.read_body(movie / "body_val.pkl")["tt1"].cast
    assert [picture.file for picture in cast] == portraits
    assert [picture.id for picture in cast] == ["tt1_nm1", "tt1_nm1#3"]
    assert {picture.label for picture in cast} == {"nm1"}


def test_bad_annotations_are_one_line(script, movie):
    change(movie, lambda entry: entry["candidates"][1].update(id="tt1_0"))
    done = crop(script, movie, code=2)
    assert "id tt1_0 stands already at movie tt1, candidate 0" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (movie / "body").exists()


def test_two_frames_may_not_meet_in_one_crop(script, movie):
    other = movie / "origin/val/tt1/candidates/shot0001img0.png"
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(other)
    change(
        movie, lambda entry: entry["candidates"][1].update(img="tt1/candidates/shot0001img0.png", bbox=[10, 20, 50, 60])
    )
    assert "would overwrite" in crop(script, movie, code=2).stderr


def test_the_same_pictures_again_stay_as_they_are(script, movie):
    """What later stages made of them then counts still."""
    crop(script, movie)
    files = [file for file in (movie / "body").rglob("*.jpg")]
    times = [file.stat().st_mtime_ns for file in files]
    crop(script, movie)
    assert [file.stat().st_mtime_ns for file in files] == times
    crop(script, movie, "--quality", 95)
    changed = [file.name for file, time in zip(files, times, strict=True) if file.stat().st_mtime_ns != time]
    assert len(changed) == 3  # the crops, not the portrait


def test_crops_do_not_lie_among_the_frames(script, movie):
    (movie / "body").symlink_to(movie / "origin")
    assert "crops would lie among the frames; choose another folder" in crop(script, movie, code=2).stderr


def test_a_movie_named_twice_is_refused(script, movie):
    text = (movie / "val.json").read_text()
    (movie / "val.json").write_text(text[:-1] + ', "tt1": {"cast": [], "candidates": []}}')
    assert (
        "val.json: tt1 stands twice in one object; rename or remove one of them" in crop(script, movie, code=2).stderr
    )


@pytest.mark.parametrize("img", ["tt1//cast/nm1.jpg", "./tt1/cast/nm1.jpg", "tt1/./cast/nm1.jpg"])
def test_a_path_has_one_spelling(script, movie, img):
    change(movie, lambda content: content["cast"][0].update(img=img))
    assert "is a roundabout way to write tt1/cast/nm1.jpg" in crop(script, movie, code=2).stderr


def test_folders_that_lead_among_the_frames_are_refused(script, movie):
    (movie / "body/val").mkdir(parents=True)
    (movie / "body/val/tt1").symlink_to(movie / "origin/val/tt1")
    frames = sorted((movie / "origin").rglob("*"))
    stopped = crop(script, movie, code=2)
    assert f"{movie}/body/val/tt1/candidates: crops would lie among the frames" in stopped.stderr
    assert sorted((movie / "origin").rglob("*")) == frames


def test_a_link_in_the_place_of_a_crop_is_replaced_and_what_it_leads_to_stays(script, movie):
    crop(script, movie)
    original = movie / "original.jpg"
    for name in ("cast/nm1.jpg", "candidates/shot0001img0_10_20_50_60.jpg"):
        place = movie / "body/val/tt1" / name
        cropped = place.read_bytes()
        original.write_bytes(b"somebody's")
        place.unlink()
        place.symlink_to(original)
        crop(script, movie)
        assert original.read_bytes() == b"somebody's"
        assert not place.is_symlink() and place.read_bytes() == cropped
