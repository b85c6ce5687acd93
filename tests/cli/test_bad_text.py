"""Annotations, labels, rankings, lists and paths as people have them, given to the scripts."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.images import write_jpeg
from castsearch.stagefiles import MoviePictures, Picture, Split
from tests.cli.table import Case, check
from tests.conftest import ROOT

Content = bytes | str | dict[str, Any]


def files(**contents: Content) -> Callable[[Path], None]:
    """Puts files into the folder: ``val_json="{}"`` is val.json; text is written as UTF-8, a dict as JSON."""

    def prepare(folder: Path) -> None:
        for name, content in contents.items():
            data = json.dumps(content) if isinstance(content, dict) else content
            stem, _, suffix = name.rpartition("_")
            (folder / f"{stem}.{suffix}").write_bytes(data if isinstance(data, bytes) else data.encode())

    return prepare


# ---------------------------------------------------------------------------- annotations

CAST = {"id": "tt1_nm1", "img": "tt1/cast/nm1.jpg", "label": "nm1"}
BOX = {"id": "tt1_0", "img": "tt1/candidates/shot1.jpg", "bbox": [1, 2, 30, 40], "label": "nm1"}
MOVIE = {"cast": [CAST], "candidates": [BOX]}
CROP = "crop_body.py --origin {tmp}/origin --body {tmp}/body --annotations {tmp} --data {tmp}/data --mode val"


def with_box(**changes: object) -> dict[str, Any]:
    return {"tt1": {"cast": [CAST], "candidates": [BOX | changes]}}


def with_pictures(encode: Callable[[str], bytes]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        for item in (CAST, BOX):
            write_jpeg(folder / "origin/val" / str(item["img"]), np.full((80, 60, 3), 99, np.uint8))
        (folder / "val.json").write_bytes(encode(json.dumps({"tt1": MOVIE}, indent=1)))

    return prepare


def annotated(prepare: Callable[[Path], object]) -> Callable[[Path], None]:
    """With a folder of frames, which crop_body.py looks for first."""

    def both(folder: Path) -> None:
        (folder / "origin/val").mkdir(parents=True)
        prepare(folder)

    return both


def annotations(name: str, content: Content, *says: str) -> Case:
    return Case(name, annotated(files(val_json=content)), CROP, ("{tmp}/val.json: ", *says))


CROPPED = {"code": 0, "writes": ("body/*", "data/*"), "leaves": ("body/val/tt1/candidates/shot1_1_2_30_40.jpg",)}
ITEM = "movie tt1, candidate 0 (tt1_0): "

ANNOTATIONS = [
    Case("a mark", with_pictures(lambda t: b"\xef\xbb\xbf" + t.encode()), CROP, ("1 movies, 1 portraits",), **CROPPED),
    Case("old line ends", with_pictures(lambda t: t.replace("\n", "\r").encode()), CROP, ("1 crops",), **CROPPED),
    annotations(
        "UTF-16", json.dumps({"tt1": MOVIE}).encode("utf-16"), "seems to be UTF-16 text", "save it as text in UTF-8"
    ),
    annotations("Latin-1", b'{"tt1":\n"\xe9"}', "line 2: the byte 0xe9 is not UTF-8, but may be Latin-1"),
    annotations("gzip", gzip.compress(b"{}"), "seems to be packed by gzip"),
    annotations("Excel", b"PK\x03\x04...", "seems to be a zip archive, as Excel's .xlsx is too"),
    annotations("nothing", "", "is empty; JSON was expected"),
    annotations("no movie", {}, "names no movie"),
    annotations("no picture", {"tt1": {"cast": [], "candidates": []}}, "movie tt1: has no cast and no candidates"),
    annotations("a movie twice", f'{{"tt1": {json.dumps(MOVIE)}, "tt1": {{}}}}', "tt1 stands twice in one object"),
    annotations(
        "a bbox twice",
        '{"tt1": {"cast": [], "candidates": [{"id": "p", "bbox": 1, "bbox": 2}]}}',
        "bbox stands twice in the object with id p; rename or remove one of them",
    ),
    annotations("a comma too many", '{"tt1": {},\n}', "not valid JSON: line ", "omma"),
    annotations("comments", '{\n// mine\n"tt1": {}}', "line 2, column 1: ", "JSON has no comments"),
    annotations("depth", '{"a":' * 100_000, "nested too deep"),
    annotations("labels", {"tt1_nm1": ["tt1_0"]}, "seems to hold labels, where annotations were expected"),
    annotations("one movie alone", MOVIE, "seems to hold one movie without its name"),
    annotations(
        "a cast called others",
        {"tt1": {"cast": [CAST | {"label": "others"}], "candidates": []}},
        "movie tt1, cast 0: the label others is that of candidates who are none of the cast",
    ),
    Case(
        "labels that are nearly right",
        with_pictures(
            lambda t: (
                t.replace('"label": "nm1"', '"label": "NM1 "').replace('"label": "NM1 "', '"label": "nm1"', 1).encode()
            )
        ),
        CROP,
        ("warning: 1 labels look mistyped", "first: movie tt1, candidate tt1_0: 'NM1 ', where there is 'nm1'"),
        **CROPPED,
    ),
    annotations("a list", "[1]", "expected a JSON object, keyed by name, found a list"),
    annotations("a box of 1e300", with_box(bbox=[1e300, 0, 1, 1]), ITEM + "bbox", "is larger than any frame"),
    annotations("a box of NaN", with_box(bbox=[float("nan"), 0, 1, 1]), ITEM + "bbox must be four whole numbers"),
    annotations("a box of 1.5", with_box(bbox=[1.5, 0, 1, 1]), ITEM + "bbox must be four whole numbers"),
    annotations("a box of 10**30", with_box(bbox=[0, 0, 10**30, 1]), ITEM + "bbox", "over 100,000 pixels"),
    annotations("a long id", with_box(id="x" * 20_000), "movie tt1, candidate 0: id 'xxx", "is longer than 255 bytes"),
    annotations("a long path", with_box(img="x" * 20_000), ITEM + "img 'xxx", "more than the 255 bytes"),
    annotations("a long crop", with_box(img=f"{'x' * 245}.jpg"), ITEM + "the path of its crop", "a shorter name"),
    annotations("a long movie", {"x" * 20_000: MOVIE}, "is longer than the 200 bytes"),
    annotations("backslashes", with_box(img="tt1\\a.jpg"), "parts its folders by backslashes; write tt1/a.jpg"),
    Case(
        "a pipe",
        annotated(lambda folder: os.mkfifo(folder / "val.json")),
        CROP,
        ("{tmp}/val.json: is a pipe or a device",),
    ),
    Case("a folder", annotated(lambda folder: (folder / "val.json").mkdir()), CROP, ("{tmp}/val.json: is a folder",)),
    Case("upper case", annotated(files(Val_JSON={})), CROP, ("val.json: no such file, but there is {tmp}/Val.JSON",)),
]

# ---------------------------------------------------------------------------- labels and rankings

LABELS = {"tt1_nm1": ["tt1_0", "tt1_1"]}
RANKING = "tt1_nm1 tt1_0,tt1_2,tt1_1\n"
EVAL = "eval.py --gt {tmp}/gt.json --submission {tmp}/r.txt"


def scored(name: str, gt: Content, ranking: Content, *says: str, code: int = 2) -> Case:
    return Case(name, files(gt_json=gt, r_txt=ranking), EVAL, says, code, silent_on=("0.00",) if code else ())


EVALUATIONS = [
    scored("marks", b"\xef\xbb\xbf" + json.dumps(LABELS).encode(), "\ufeff" + RANKING, " 83.33   100.00", code=0),
    scored(
        "line ends of Windows",
        json.dumps(LABELS, indent=1).replace("\n", "\r\n"),
        RANKING.strip() + "\r\n",
        "83.33",
        code=0,
    ),
    scored("line ends of old Macs", LABELS, "x tt1_9\r" + RANKING.strip() + "\r", "83.33", code=0),
    scored("no query", {}, RANKING, "{tmp}/gt.json, {tmp}/r.txt: the labels name no true candidate of any cast"),
    scored("empty queries", {"tt1_nm1": []}, RANKING, "nothing to score"),
    scored("an empty result", LABELS, "", "the ranking has no cast"),
    scored(
        "another split",
        LABELS,
        "tt9_nm9 tt9_0\n",
        "tt1_nm1 stands in the labels, tt9_nm9 in the ranking; they seem to be of diff",
    ),
    scored(
        "extensions",
        LABELS,
        "tt1_nm1.jpg tt1_0.jpg\n",
        "tt1_nm1 stands in the labels, tt1_nm1.jpg in the ranking; one has a path or",
    ),
    scored(
        "extensions of candidates",
        LABELS,
        "tt1_nm1 tt1_0.jpg\n",
        "no candidate in common: tt1_0 stands in the labels, tt1_0.jpg in the",
    ),
    scored("paths", LABELS, "val/tt1_nm1 x\n", "one has a path in it"),
    scored(
        "case",
        {"TT1_NM1": ["x"]},
        RANKING,
        "TT1_NM1 stands in the labels, tt1_nm1 in the ranking; upper and lower case differ",
    ),
    scored("no movie before ids", {"nm1": ["tt1_0"]}, RANKING, "one lacks the movie before it"),
    scored("accents", {normalize("NFD", "é"): ["x"]}, "é x\n", "the letters with accents are composed otherwise"),
    scored(
        "two columns",
        LABELS,
        "tt1_nm1,tt1_0\ntt1_nm1,tt1_1\n",
        "r.txt: line 1: expected 'castid id,id,...', found comma-separated values",
    ),
    scored(
        "tabs",
        LABELS,
        "tt1_nm1\ttt1_0\ntt1_nm1\ttt1_1\n",
        "line 2: cast tt1_nm1 has a line already; keep one, with all its candidates",
    ),
    scored("blanks", LABELS, "tt1_nm1 tt1_0, tt1_1\n", "found 3 words; part candidates by commas, without blanks"),
    scored(
        "quotes of a spreadsheet", LABELS, 'tt1_nm1\t"tt1_0,tt1_1"\n', 'line 1: the candidates stand between " and "'
    ),
    scored(
        "a list of Python", LABELS, "tt1_nm1 [tt1_0,tt1_1,tt1_2]\n", "the candidates stand between [ and ]; take both"
    ),
    scored("a colon", LABELS, "tt1_nm1: tt1_0\n", "'tt1_nm1:' in the ranking; one stands in quotes or brackets, or"),
    scored("JSON as result", LABELS, LABELS, "{tmp}/r.txt: seems to be JSON, where a ranking was expected"),
    scored("both swapped", RANKING, LABELS, "{tmp}/gt.json: seems to be a ranking, where labels were expected"),
    scored(
        "annotations as labels",
        {"tt1": MOVIE},
        RANKING,
        "{tmp}/gt.json: seems to hold annotations, where labels were expected",
    ),
    scored(
        "labels turned round",
        {"tt1_0": ["tt1_nm1"]},
        RANKING,
        "tt1_0 is a cast in the labels and a candidate in the ranking",
    ),
    scored("a pickle as result", LABELS, b"\x80\x04}.", "{tmp}/r.txt: seems to be a pickle"),
    scored("a long id", LABELS, f"tt1_nm1 {'x' * 20_000}\n", "line 1: id 'xxx", "is longer than 255 bytes"),
    scored(
        "a bad ranking",
        {"tt1_nm1": ["tt1_0"], "tt1_nm2": ["tt1_1"]},
        "tt1_nm1 tt1_1\ntt1_nm2 tt1_0\n",
        "     0.00     0.00",
        code=0,
    ),
    scored(
        "strangers in labels",
        {"tt1_nm1": ["tt1_0", "tt1_7", "tt1_8"], "tt1_nm9": ["tt1_1"]},
        RANKING,
        "absent from the ranking, each counts 0: tt1_nm9",
        "no line ranks, each counts as missed: tt1_7, tt1_8",
        code=0,
    ),
    scored(
        "many strangers",
        {"tt1_nm1": ["tt1_0", *(f"x{i}" for i in range(10, 30))]},
        RANKING,
        "x18, x19 and 10 more",
        code=0,
    ),
    scored(
        "candidates twice",
        LABELS,
        "tt1_nm1 tt1_0,tt1_0,tt1_1,tt1_1\n",
        "ranked again 2 times, where the first place counts, for tt1_nm1",
        "100.00",
        code=0,
    ),
    Case(
        "a pipe as result",
        lambda f: (files(gt_json=LABELS)(f), os.mkfifo(f / "r.txt")),
        EVAL,
        ("r.txt: is a pipe or a device",),
    ),
]

# ---------------------------------------------------------------------------- lists and stage files


def split(folder: Path) -> None:
    for place in ("body/val/tt1/a.jpg", "list.txt"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("")
    pictures = Split([MoviePictures("tt1", (Picture("c", "tt1/a.jpg", "c"),), (Picture("p", "tt1/b.jpg", "c"),))])
    stagefiles.write_body(folder / "body_val.pkl", pictures)


LIST = "RetinaFace/datalist.py --mode val --data {tmp} --out {tmp}/lists --root {tmp}/body"
DETECT = "RetinaFace/deploy.py --model dlib --image_root {tmp} --pkl_file {tmp}/r.pkl --txt_file {tmp}/list.txt"
FUSE = "fusion.py --mode val --data {tmp} --submission {tmp}/r.txt"
ELSEWHERE = "val/tt1/a.jpg is not there but below {tmp}/body; name that folder"
MINE = ("lists/val_candidates_7b.txt", "lists/val_candidates_old.txt", "lists/train_candidates_7.txt")


def old_lists(folder: Path) -> None:
    split(folder)
    (folder / "lists").mkdir()
    for name in (*MINE, "lists/val_candidates_7.txt"):
        (folder / name).write_text("mine\n")


def listed(name: str, content: Content, *says: str) -> Case:
    return Case(name, files(list_txt=content), DETECT, ("{tmp}/list.txt: ", *says))


LISTS = [
    Case("a root too deep", split, f"{LIST}/val", ("{tmp}/body/val: " + ELSEWHERE,)),
    Case("a root too high", split, LIST.replace("/body", ""), ("{tmp}: " + ELSEWHERE,)),
    Case(
        "a root of nothing",
        split,
        LIST.replace("val", "test", 1).replace("{tmp} ", "{tmp}/t ", 1),
        ("{tmp}/t/body_test.pkl: no such file; run crop_body.py first",),
    ),
    Case("lists of one's own", old_lists, LIST, (), 0, ("lists/val_cast.txt", "lists/val_candidates_[07].txt"), MINE),
    Case(
        "a split of no movie", lambda f: (split(f), stagefiles.write(f / "body_val.pkl", {})), LIST, ("holds no movie",)
    ),
    listed("an empty list", "\n\n", "names no picture"),
    listed("a list in UTF-16", "val/a.jpg\n".encode("utf-16"), "seems to be UTF-16 text"),
    listed("a stage file as list", b"\x80\x04}.", "seems to be a pickle"),
    listed("a list of Windows", "val\\a.jpg\r\n", "line 1: ", "parts its folders by backslashes; write val/a.jpg"),
    listed("a list that leaves its folder", "a.jpg\n../b.jpg\n", "line 2: ../b.jpg must stay below its folder"),
    listed("a name of 20,000 characters", "x" * 20_000, "line 1: 'xxx", "more than the 255 bytes"),
    Case("a pipe as list", lambda folder: os.mkfifo(folder / "list.txt"), DETECT, ("list.txt: is a pipe or a device",)),
    Case("a list of another case", files(List_TXT="a.jpg"), DETECT, ("no such file, but there is {tmp}/List.TXT",)),
    Case(
        "a pipe as stage file",
        lambda f: os.mkfifo(f / "retina_val.pkl"),
        FUSE,
        ("retina_val.pkl: is a pipe or a device",),
    ),
    Case(
        "a stage file of another case",
        files(Retina_val_pkl=b""),
        FUSE,
        ("but there is {tmp}/Retina_val.pkl; write it as",),
    ),
]


@pytest.mark.parametrize("case", [*ANNOTATIONS, *EVALUATIONS, *LISTS], ids=str)
def test_text_as_people_have_it(case, script, tmp_path):
    check(case, script, tmp_path)


def test_a_result_through_a_pipe_of_the_shell(tmp_path):
    files(gt_json=LABELS)(tmp_path)
    command = f"{sys.executable} eval.py --gt {tmp_path}/gt.json --submission <(echo '{RANKING.strip()}')"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert "83.33" in done.stdout
