"""Portraits that leave it in doubt whose face they show, and pictures that are not where they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from castsearch import stagefiles
from castsearch.demo_movie import GROUP, SINGLE, package_picture
from castsearch.faces import open_pack
from castsearch.faces.detection import detect_files
from castsearch.images import ImageReader
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split
from tests.cli.table import Case, check

DEPLOY = (
    "RetinaFace/deploy.py --txt_file {tmp}/val_cast.txt --pkl_file {tmp}/results/val_cast.pkl --image_root {tmp}/body "
    "--model dlib"
)
RESULTS = ("results/val_cast.pkl", "results/val_cast.pkl.json")
NAMES = ("group", "single", "nobody")


def portraits(folder: Path) -> None:
    """A group, one person, and nobody."""
    pictures = {
        "group": Image.fromarray(package_picture(*GROUP)).resize((640, 443)),
        "single": Image.fromarray(package_picture(*SINGLE)).crop((120, 0, 330, 256)),
        "nobody": Image.new("RGB", (160, 200), "grey"),
    }
    (folder / "body/val/m").mkdir(parents=True)
    for name, picture in pictures.items():
        picture.save(folder / f"body/val/m/{name}.jpg", format="PNG")
    (folder / "val_cast.txt").write_text("".join(f"val/m/{name}.jpg\n" for name in NAMES))


def blurred(folder: Path) -> None:
    """Two faces out of focus: found, and neither of them sure."""
    portraits(folder)
    picture = Image.fromarray(package_picture(*GROUP)).crop((440, 180, 1000, 480)).filter(ImageFilter.GaussianBlur(4))
    picture.save(folder / "body/val/m/group.jpg", format="PNG")


def detected(folder: Path) -> None:
    """The same, searched by an earlier run."""
    portraits(folder)
    files = [f"val/m/{name}.jpg" for name in NAMES]
    detect_files(files, ImageReader(folder / "body"), open_pack("dlib"), folder / RESULTS[0], portraits=True)


def all_bad(folder: Path) -> None:
    portraits(folder)
    for name in NAMES:
        (folder / f"body/val/m/{name}.jpg").write_bytes(b"\xff\xd8\xff no picture")


def retina(folder: Path) -> None:
    """The split that dlib searched."""
    stagefiles.write_retina(folder / "retina_val.pkl", SPLIT, {"detector": open_pack("dlib").identity("detector")})


def faces(*sides: int, score: float = 0.99) -> Faces:
    boxes = np.array([[10 + 100 * n, 10, 10 + 100 * n + side, 10 + side] for n, side in enumerate(sides)], np.float32)
    return Faces(boxes, np.full(len(sides), score, np.float32), np.zeros((len(sides), 5, 2), np.float32))


def ranked(folder: Path, metadata: dict[str, Any] | None) -> None:
    """A split before the ranking: a portrait with two sure faces, one with three unsure ones, one with none."""
    rng = np.random.default_rng(0)
    found = {"two": faces(50, 50), "unsure": faces(50, 50, 50, score=0.5), "none": None}
    cast = tuple(Picture(f"id_{name}", f"m/{name}.jpg", name, face) for name, face in found.items())
    boxes = tuple(Picture(f"b{n}", f"m/shot{n}_0_0_9_9.jpg", "others", faces(20)) for n in range(6))
    stagefiles.write_retina(folder / "retina_val.pkl", Split([MoviePictures("m", cast, boxes)]), metadata)
    for name, rows in (("face", 9), ("triplet_tiny", 6)):
        stagefiles.write(folder / f"{name}_val.pkl", {"m": rng.normal(size=(rows, 8)).astype(np.float32)})


LIKE_SIZE = "2 faces of like size; the one at 10,10 (50 x 50 pixels) was taken: crop the portrait to the person"
TOLD = {"doubts": {"id_two": LIKE_SIZE, "id_none": "no face; take another"}}
FUSION = "fusion.py --mode val --data {tmp} --reid triplet_tiny --submission {tmp}/result.txt"

CASES = [
    Case(
        "doubts of a first run",
        portraits,
        DEPLOY,
        (
            "3 pictures, 2 with a face",
            "portraits in doubt:",
            "  val/m/group.jpg: 5 faces of like size; the one at ",
            " pixels) was taken: crop the portrait to the person",
            "  val/m/nobody.jpg: no face; its features will say little, take a portrait that shows one",
        ),
        code=0,
        writes=RESULTS,
        leaves=RESULTS,
        silent_on=("single.jpg",),
    ),
    Case(
        "doubts of a run that has nothing to do",
        detected,
        DEPLOY,
        ("  val/m/group.jpg: 5 faces of like size", "  val/m/nobody.jpg: no face"),
        code=0,
        writes=RESULTS,
    ),
    Case(
        "faces of which none is sure",
        blurred,
        DEPLOY,
        (
            "  val/m/group.jpg: 2 faces, none sure enough (the best scores 0.93, above 0.95 counts)",
            "the middle of the picture was taken",
        ),
        code=0,
        writes=RESULTS,
    ),
    Case(
        "portraits none of which can be read",
        all_bad,
        f"{DEPLOY} --skip_bad",
        ("{tmp}/body: none of the 3 pictures can be read; the first: {tmp}/body/val/m/group.jpg",),
        silent_on=("or go on without",),
    ),
    Case(
        "BODY/val in place of BODY",
        portraits,
        DEPLOY.replace("{tmp}/body", "{tmp}/body/val"),
        ("{tmp}/body/val: val/m/group.jpg is not there but below {tmp}/body; name that folder",),
    ),
    Case(
        "what lies above BODY in place of BODY",
        portraits,
        DEPLOY.replace("{tmp}/body", "{tmp}") + " --skip_bad",
        ("{tmp}: val/m/group.jpg is not there but below {tmp}/body; name that folder",),
    ),
    Case(
        "the same when faces are cut out",
        lambda folder: (portraits(folder), retina(folder)),
        "RetinaFace/face_det.py --image_root {tmp}/body/val --mode val --model dlib --data {tmp} --out {tmp}",
        ("{tmp}/body/val: val/m/group.jpg is not there but below {tmp}/body; name that folder",),
    ),
    Case(
        "none of the pictures whose faces are cut out can be read",
        lambda folder: (all_bad(folder), retina(folder)),
        "RetinaFace/face_det.py --image_root {tmp}/body --mode val --model dlib --data {tmp} --out {tmp} --skip_bad",
        ("{tmp}/body: none of the 3 pictures can be read",),
    ),
    Case(
        "doubts told again before the ranking",
        lambda folder: ranked(folder, TOLD),
        FUSION,
        (f"  id_two (m/two.jpg): {LIKE_SIZE}", "id_none"),
        code=0,
        writes=("result.txt", "result.json"),
        silent_on=("unsure", "take another"),
    ),
    Case(
        "doubts that a stranger's metadata tell",
        lambda folder: ranked(folder, {"doubts": {"id_two": "one\n\x1b[31mtwo\x9b", "id_unsure": 5}}),
        FUSION,
        ("  id_two (m/two.jpg): one ?[31mtwo?\n",),
        code=0,
        writes=("result.txt", "result.json"),
        silent_on=("unsure",),
    ),
    Case(
        "doubts about portraits of the original",
        lambda folder: ranked(folder, None),
        FUSION,
        ("  id_unsure (m/unsure.jpg): 3 faces, none sure enough (the best scores 0.50, above 0.95 counts)", "id_none"),
        code=0,
        writes=("result.txt", "result.json"),
        silent_on=("id_two",),
    ),
]
SPLIT = Split([MoviePictures("m", tuple(Picture(name, f"m/{name}.jpg", name) for name in NAMES), ())])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_portraits(case: Case, script: Callable[..., Any], tmp_path: Path) -> None:
    check(case, script, tmp_path)


@pytest.mark.parametrize("metadata", [TOLD, None])
def test_no_doubt_is_told_twice(script: Callable[..., Any], tmp_path: Path, metadata: dict[str, Any] | None) -> None:
    ranked(tmp_path, metadata)
    name, *flags = FUSION.replace("{tmp}", str(tmp_path)).split()
    lines = script(name, *flags).stderr.splitlines()
    for cast in ("id_two", "id_unsure", "id_none"):
        assert sum(cast in line for line in lines) <= 1
    assert sum("id_none" in line for line in lines) == 1


def test_doubts_reach_the_ranking(script: Callable[..., Any], tmp_path: Path) -> None:
    """From deploy.py through merge.py, which puts them down by the casts' ids."""
    detected(tmp_path)
    cast = SPLIT["m"].cast
    body = Split([replace(SPLIT["m"], cast=tuple(replace(p, id=f"id_{p.id}") for p in cast))])
    stagefiles.write_body(tmp_path / "body_val.pkl", body)
    script("RetinaFace/merge.py", "--mode", "val", "--data", tmp_path, "--results", tmp_path / "results")
    doubts = stagefiles.read_metadata(tmp_path / "retina_val.pkl")["doubts"]
    assert set(doubts) == {"id_group", "id_nobody"}
    assert doubts["id_group"].startswith("5 faces of like size; ")
