"""The scripts of stage 2, from file lists to embeddings, with the dlib pack on the demo's faces."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace

import dlib
import numpy as np
import pytest
from PIL import Image

from castsearch import stagefiles
from castsearch.demo_movie import PEOPLE, SINGLE, package_picture
from castsearch.stagefiles import MoviePictures, Picture, Split

DLIB = ("--model", "dlib")


@pytest.fixture
def split(tmp_path):
    """A split after stage 1: a portrait, two candidates with a face and one without."""
    pictures = [Image.fromarray(package_picture(*person.source)).crop(person.body) for person in PEOPLE[:3]]
    pictures.append(Image.new("RGB", (60, 150), "grey"))
    names = ["tt1/cast/nm1.jpg", *(f"tt1/candidates/shot000{n}img0_0_0_9_9.jpg" for n in (1, 2, 3))]
    for name, picture in zip(names, pictures, strict=True):
        path = tmp_path / "body/val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    items = tuple(Picture(f"i{n}", name, "x") for n, name in enumerate(names))
    stagefiles.write_body(tmp_path / "body_val.pkl", Split([MoviePictures("tt1", items[:1], items[1:])]))
    return tmp_path


class Stages:
    """The five commands, each with the flags that keep it inside ``folder``."""

    def __init__(self, script, folder):
        self.script, self.folder = script, folder

    def datalist(self, **kw):
        return self.run(
            "datalist",
            "--root",
            self.folder / "body",
            "--mode",
            "val",
            "--data",
            self.folder,
            "--out",
            self.folder / "lists",
            **kw,
        )

    def deploy(self, name, *flags, **kw):
        target = self.folder / "results" / f"{name}.pkl"
        source = self.folder / "lists" / f"{name}.txt"
        return self.run(
            "deploy",
            "--txt_file",
            source,
            "--pkl_file",
            target,
            "--image_root",
            self.folder / "body",
            *DLIB,
            *flags,
            **kw,
        )

    def merge(self, **kw):
        return self.run("merge", "--mode", "val", "--data", self.folder, "--results", self.folder / "results", **kw)

    def face_det(self, *flags, **kw):
        where = ("--data", self.folder, "--out", self.folder)
        return self.run("face_det", "--image_root", self.folder / "body", "--mode", "val", *DLIB, *where, *flags, **kw)

    def face_feat(self, *flags, **kw):
        return self.run(
            "face_feat", "--mode", "val", *DLIB, "--data", self.folder, "--images", self.folder, *flags, **kw
        )

    def run(self, name, *args, code=0):
        done = self.script(f"RetinaFace/{name}.py", *args, code=code)
        if code:
            assert len(done.stderr.splitlines()) == 1, done.stderr
        return done

    def all(self):
        self.datalist()
        for name in ("val_cast", "val_candidates_0"):
            self.deploy(name)
        self.merge()
        self.face_det()
        self.face_feat()


@pytest.fixture
def stages(script, split):
    return Stages(script, split)


def test_from_crops_to_embeddings(stages, split):
    stages.all()
    assert (split / "lists/val_cast.txt").read_text() == "val/tt1/cast/nm1.jpg\n"
    found = stagefiles.read(split / "results/val_candidates_0.pkl")
    first = found["val/tt1/candidates/shot0001img0_0_0_9_9.jpg"]
    assert set(first) == {"file", "faces", "landmarks"}
    assert first["faces"].shape == (1, 5)
    assert first["landmarks"].shape == (1, 5, 2)

    retina = stagefiles.read_retina(split / "retina_val.pkl")["tt1"]
    assert retina.candidates[2].faces is None
    np.testing.assert_array_equal(retina.candidates[0].faces.landmarks, first["landmarks"])
    np.testing.assert_array_equal(retina.candidates[0].faces.scores, first["faces"][:, 4])

    assert stagefiles.read(split / "val_img/tt1.pkl")["tt1"].shape == (4, 3, 150, 150)
    features = stagefiles.read(split / "face_val.pkl")["tt1"]
    assert features.shape == (4, 128)
    assert features.dtype == np.float32
    for name in ("results/val_cast.pkl", "retina_val.pkl", "val_img/tt1.pkl", "face_val.pkl"):
        metadata = stagefiles.read_metadata(split / name)
        task, files = ("embedder", 1) if name == "face_val.pkl" else ("detector", 2)
        assert (metadata["model"], len(metadata[task]["sha256"])) == ("dlib", files), name
        ran = {"engine": f"dlib {dlib.__version__}", "device": "CPU", "precision": "float32"}
        assert (metadata["ran"], "device" in metadata) == ([ran], False), name

    # All faces in one file, and any batch size, come to the same.
    stages.face_det("--single")
    (split / "face_val.pkl").unlink()
    stages.face_feat("--num", 3)
    np.testing.assert_allclose(stagefiles.read(split / "face_val.pkl")["tt1"], features, atol=1e-5)


def test_a_list_that_is_done_is_not_done_again_until_a_picture_changes(stages, split):
    """A picture of the same size and time stands for the same; any other time, an earlier one too, does not."""
    portrait = split / "body/val/tt1/cast/nm1.jpg"
    Image.open(portrait).save(portrait, format="BMP")
    stages.datalist()
    stages.deploy("val_cast")
    before = portrait.stat()
    Image.new("RGB", Image.open(portrait).size).save(portrait, format="BMP")
    for seconds, found in ((0, 1), (-1000, 0)):
        os.utime(portrait, ns=(before.st_atime_ns, before.st_mtime_ns + seconds * 10**9))
        done = stages.deploy("val_cast")
        assert len(stagefiles.read_detections(split / "results/val_cast.pkl")["val/tt1/cast/nm1.jpg"]) == found
        assert ("  val/tt1/cast/nm1.jpg: no face; " in done.stderr) == (found == 0)


def test_portraits_are_searched_harder_than_candidates(stages, split):
    """A face that fills its picture: found in the list of casts, which looks again with a border, and in no other."""
    close = Image.fromarray(package_picture(*SINGLE)).crop((199, 96, 255, 152))
    for name in ("cast/nm1.jpg", "candidates/shot0001img0_0_0_9_9.jpg"):
        close.save(split / "body/val/tt1" / name, format="PNG")
    stages.datalist()
    assert "1 pictures, 1 with a face" in stages.deploy("val_cast").stdout
    assert "3 pictures, 1 with a face" in stages.deploy("val_candidates_0").stdout


def test_bad_pictures_stop_or_count_as_faceless(stages, split):
    (split / "body/val/tt1/candidates/shot0001img0_0_0_9_9.jpg").write_bytes(b"\xff\xd8 not a picture")
    stages.datalist()
    stages.deploy("val_cast")
    stopped = stages.deploy("val_candidates_0", code=2)
    assert re.search(r"shot0001img0_0_0_9_9.jpg: cannot be read .*--skip_bad", stopped.stderr)
    assert not (split / "results/val_candidates_0.pkl").exists()
    assert "went on without 1 bad picture" in stages.deploy("val_candidates_0", "--skip_bad").stderr
    stages.merge()
    assert "went on without 1 bad picture" in stages.face_det("--skip_bad").stderr
    stages.face_feat()
    retina = stagefiles.read_retina(split / "retina_val.pkl")["tt1"].candidates
    assert [picture.faces is None for picture in retina] == [True, False, True]


def test_what_is_missing_is_named(stages, split):
    assert "datalist.py writes it" in stages.deploy("val_cast", code=2).stderr
    assert "no such file; run RetinaFace/merge.py first" in stages.face_det(code=2).stderr
    assert "val_img: no such folder" in stages.face_feat(code=2).stderr
    stages.datalist()
    stages.deploy("val_cast")
    assert "no detection of val/tt1/candidates/shot0001img0_0_0_9_9.jpg in 1 files" in stages.merge(code=2).stderr


def test_files_of_another_split_are_refused(stages, split):
    stages.all()
    movie = stagefiles.read_body(split / "body_val.pkl")["tt1"]
    fewer = Split([replace(movie, candidates=movie.candidates[:-1])])
    stagefiles.write_body(split / "body_val.pkl", fewer)
    assert "its rows are of other pictures" in stages.face_feat(code=2).stderr
    for told in split.rglob("val_img/*.json"):
        told.write_text(
            json.dumps({field: of for field, of in json.loads(told.read_text()).items() if field != "rows"})
        )
    assert "4 features for 3 pictures; the chips belong to another split" in stages.face_feat(code=2).stderr
    (split / "face_val.pkl").unlink()
    assert "expected chips (3, 3, 150, 150) of uint8, got (4, 3, 150, 150)" in stages.face_feat(code=2).stderr


def test_another_pack_than_the_recorded_one_is_refused(stages, split):
    stages.all()
    metadata = stagefiles.read_metadata(split / "retina_val.pkl")
    metadata["detector"]["sha256"] = {"other": "0"}
    metadata["model"] = "other"
    stagefiles.write(split / "retina_val.pkl", stagefiles.read(split / "retina_val.pkl"), metadata)
    assert "made with the face pack other, which has another detector than dlib" in stages.face_det(code=2).stderr


def test_chips_never_leave_their_folder(stages, split):
    """A movie's name serves as a file name; one that is a path is refused before anything is written."""
    stages.all()
    retina = stagefiles.read(split / "retina_val.pkl")
    stagefiles.write(split / "retina_val.pkl", {"../../escaped": retina["tt1"]})
    assert "holds a path" in stages.face_det(code=2).stderr
    assert not list(split.rglob("escaped*")) + list(split.parent.glob("escaped*"))


def test_results_of_the_original_are_merged(stages, split, testdata):
    """The original's float64 results, without metadata, in its own folder."""
    golden = testdata / "golden/jurassic"
    target = split / "results/val_cast.pkl"
    target.parent.mkdir()
    target.write_bytes((golden / "results_val_cast.pkl").read_bytes())
    body = stagefiles.read_body(golden / "body_val.pkl")
    stagefiles.write_body(split / "body_val.pkl", Split(replace(movie, candidates=()) for movie in body.values()))
    stages.merge()
    expected = stagefiles.read_retina(golden / "retina_val.pkl")
    merged = stagefiles.read_retina(split / "retina_val.pkl")
    assert sum(len(movie.cast) for movie in merged.values()) == 6
    for name, movie in merged.items():
        for ours, theirs in zip(movie.cast, expected[name].cast, strict=True):
            for field in ("boxes", "landmarks", "scores"):
                np.testing.assert_array_equal(getattr(ours.faces, field), getattr(theirs.faces, field))
