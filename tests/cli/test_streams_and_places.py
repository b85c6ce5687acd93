"""Where results go, and where the output goes: said before the work, not after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch import stagefiles
from castsearch.annotations import read_annotations
from castsearch.crops import Cropping
from castsearch.faces import open_pack
from castsearch.stagefiles import MoviePictures, Split
from tests.cli.table import Case, check

ROOT = Path(__file__).resolve().parents[2]
CAST, BOXES = "Zoë", ["盒0", "盒1", "盒2"]


def split(folder: Path) -> None:
    """A split of one movie with all of its stage files, and in ``file`` no folder, in ``folder`` no file."""
    noise = np.random.default_rng(0)
    origin = folder / "origin/val/m"
    origin.mkdir(parents=True)
    for name in ("cast.jpg", "frame.jpg"):
        Image.fromarray(noise.integers(0, 255, (80, 60, 3), dtype=np.uint8)).save(origin / name)
    boxes = [{"id": box, "img": "m/frame.jpg", "bbox": [10 * i, 0, 20, 70]} for i, box in enumerate(BOXES)]
    movie = {"cast": [{"id": CAST, "img": "m/cast.jpg", "label": CAST}], "candidates": boxes}
    (folder / "val.json").write_text(json.dumps({"m": movie}))
    (folder / "val_label.json").write_text(json.dumps({CAST: BOXES[:1]}))
    (folder / "val_result.txt").write_text(f"{CAST} {','.join(BOXES)}\n")
    movies = read_annotations(folder / "val.json")
    cropping = Cropping(movies, folder / "origin/val", folder / "body/val", folder / "data/body_val.pkl")
    cropping.run()
    made = cropping.finish()
    stagefiles.write_retina(
        folder / "data/retina_val.pkl",
        Split(MoviePictures(m.name, m.cast, m.candidates) for m in made.values()),
        {"detector": open_pack("dlib").identity("detector")},
    )
    for name, rows in (("face", 4), ("triplet_tiny", 3)):
        stagefiles.write(folder / f"data/{name}_val.pkl", {"m": noise.normal(size=(rows, 8)).astype(np.float32)})
    (folder / "list_cast.txt").write_text("val/m/cast.jpg\n")
    (folder / "file").write_text("no folder")
    (folder / "circle").symlink_to("circle")
    (folder / "folder.jpg").mkdir()
    (folder / "folder.pkl").mkdir()
    (folder / "folder.pkl/kept").write_text("")


A_FILE = "is a file, where a folder was expected; choose another place"
A_FOLDER = "{tmp}/folder.pkl: is a folder; choose another name, or remove it"
LONG = "x" * 300
BODY, DATA, FILE, FOLDER = "{tmp}/body", "--data {tmp}/data", "{tmp}/file", "{tmp}/folder.pkl"
CROP = "crop_body.py --origin {tmp}/origin --annotations {tmp} --mode val"
LIST = f"RetinaFace/datalist.py --root {BODY} --mode val {DATA}"
DETECT = f"RetinaFace/deploy.py --model dlib --txt_file {{tmp}}/list_cast.txt --image_root {BODY}"
ALIGN = f"RetinaFace/face_det.py --model dlib --image_root {BODY} --mode val {DATA}"
TRAIN = f"reid/triplet.py --cnn mobilenet_v2 --image_root {BODY} {DATA}"
EXTRACT = f"{TRAIN} --eval --checkpoint imagenet --ckpt {{tmp}}/none"
FUSE = f"fusion.py --mode val {DATA} --reid triplet_tiny"
SHOW = f"demo.py --movcast {CAST} {DATA} --submission {{tmp}}/val_result.txt"

PLACES = [
    Case("crops into a file", split, f"{CROP} --body {FILE} --data {{tmp}}/new", (A_FILE,)),
    Case("crops below a file", split, f"{CROP} --body {FILE}/body --data {{tmp}}/new", (A_FILE,)),
    Case("stage files below a file", split, f"{CROP} --body {{tmp}}/new --data {FILE}", (A_FILE,)),
    Case("lists into a file", split, f"{LIST} --out {FILE}", (A_FILE,)),
    Case("faces into a folder", split, f"{DETECT} --pkl_file {FOLDER}", (A_FOLDER,)),
    Case("faces below a file", split, f"{DETECT} --pkl_file {FILE}/list.pkl", (A_FILE,)),
    Case("faces of another name", split, f"{DETECT} --pkl_file {{tmp}}/a.txt", ("a stage file's name ends in .pkl",)),
    Case(
        "faces in place of crops", split, f"{DETECT} --pkl_file {{tmp}}/data/body_val.pkl",
        ("data/body_val.pkl: is the name of a file that crop_body.py writes; choose another",),
    ),
    Case(
        "bodies in place of faces", split, f"{EXTRACT} --out {{tmp}}/data/face_val.pkl",
        ("data/face_val.pkl: is the name of a file that RetinaFace/face_feat.py writes; choose another",),
    ),
    Case(
        "faces for bodies", split, f"{FUSE.replace('triplet_tiny', 'face')} --submission {{tmp}}/new.txt",
        ("face_val.pkl holds no features of bodies; name the file of a body model",),
    ),
    Case("chips into a file", split, f"{ALIGN} --out {FILE}", (A_FILE,)),
    Case("body features into a folder", split, f"{EXTRACT} --out {FOLDER}", (A_FOLDER,)),
    Case("a training into a file", split, f"{TRAIN} --save_dir {FILE}", (A_FILE,)),
    Case(
        "a ranking into a folder",
        split,
        f"{FUSE} --submission {BODY}",
        ("{tmp}/body: is a folder; choose another name",),
    ),
    Case("a ranking below a file", split, f"{FUSE} --submission {FILE}/r.txt", (A_FILE,)),
    Case(
        "a picture into a folder", split, f"{SHOW} --out {{tmp}}/folder.jpg", ("{tmp}/folder.jpg: is a folder; choose",)
    ),
    Case("a picture over the result", split, f"{SHOW} --out {{tmp}}/val_result.txt", ("whose name ends in .jpg",)),
    Case(
        "a picture over a portrait",
        split,
        f"{SHOW} --out {{tmp}}/body/val/m/cast.jpg",
        ("m/cast.jpg: would lie among the crops; choose another place",),
    ),
    Case(
        "a ranking over features",
        split,
        f"{FUSE} --submission {{tmp}}/data/face_val.pkl",
        ("face_val.pkl: a result is text, and such names are other files'",),
    ),
    Case("a ranking over labels", split, f"{FUSE} --submission {{tmp}}/val_label.json", ("a result is text",)),
    *(
        Case(f"a {what} as {flag}", split, f"{command} {flag} {path}", (words,))
        for what, path, words in (
            ("name too long", LONG, "name too long"),
            ("link in a circle", "{tmp}/circle", "{tmp}/circle"),
        )
        for flag, command in (
            ("--body", f"{CROP} --data {{tmp}}/new"),
            ("--out", LIST),
            ("--out", "scripts/make_demo_data.py"),
            ("--root", LIST.replace(f"--root {BODY}", "")),
            ("--image_root", SHOW),
        )
    ),
    Case("a long path", split, f"{FUSE} --submission /{'x' * 250}{f'/{LONG}' * 20}", ("xxx…xxx",)),
    Case(
        "a demo movie over one's own",
        split,
        "scripts/make_demo_data.py --out {tmp}",
        ("{tmp}/val.json: holds other movies, which this would replace; choose another folder",),
    ),
    Case(
        "annotations that are no folder",
        split,
        f"{CROP} --annotations {{tmp}}/val.json --body {{tmp}}/new",
        ("{tmp}/val.json is a file, where a folder was expected; name the folder",),
    ),
    Case("a demo movie into a file", split, f"scripts/make_demo_data.py --out {FILE}", (A_FILE,)),
]  # fmt: skip


@pytest.mark.parametrize("case", PLACES, ids=str)
def test_a_place_that_takes_no_result_is_one_line(case, script, tmp_path):
    check(case, script, tmp_path)


def test_a_result_that_is_a_link_is_followed(script, tmp_path):
    split(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked.txt").symlink_to(tmp_path / "elsewhere/result.txt")
    flags = f"--mode val --data {tmp_path}/data --reid triplet_tiny --submission {tmp_path}/linked.txt"
    for _ in range(2):  # the link leads nowhere, then to a file
        script("fusion.py", *flags.split())
        assert (tmp_path / "linked.txt").is_symlink()
        assert (tmp_path / "elsewhere/result.txt").read_text().startswith(f"{CAST} ")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["result.txt"]


def test_links_in_a_circle_are_one_line(script, tmp_path):
    split(tmp_path)
    flags = f"--mode val --data {tmp_path}/data --reid triplet_tiny --submission {tmp_path}/circle"
    done = script("fusion.py", *flags.split(), code=2)
    assert done.stderr == f"error: {tmp_path}/circle: is a link that leads in a circle; choose another name\n"


def run_in_shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess:
    """A script on such a split, redirected by the shell."""
    split(folder)
    command = f"{sys.executable} {command}".replace("{tmp}", str(folder))
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


EVAL = "eval.py --gt {tmp}/val_label.json --submission {tmp}/val_result.txt"


@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">&-", "the standard output is closed; send it to a file or to /dev/null"),
        (">/dev/full", "standard output: there is no room left on the disk; make room"),
    ],
)
def test_an_output_that_takes_nothing_is_one_line(tmp_path, redirection, words):
    done = run_in_shell(tmp_path, f"{EVAL} {redirection}")
    assert (done.returncode, done.stderr) == (2, f"error: {words}\n")


def test_a_closed_output_stops_before_the_work(tmp_path):
    assert run_in_shell(tmp_path, f"{FUSE} --submission {{tmp}}/new.txt >&-").returncode == 2
    assert not (tmp_path / "new.txt").exists()


def test_a_closed_error_stream_hides_nothing_but_warnings(tmp_path):
    done = run_in_shell(tmp_path, f"{EVAL} 2>&-")
    assert done.returncode == 0
    assert "100.00" in done.stdout


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2> >(exec true)"])
def test_warnings_that_nobody_can_read_stop_no_work(tmp_path, redirection):
    done = run_in_shell(tmp_path, f"{FUSE} --submission {{tmp}}/new.txt {redirection}")
    assert done.returncode == 0
    assert (tmp_path / "new.txt").read_text().startswith(f"{CAST} ")
    assert run_in_shell(tmp_path / "again", f"{EVAL}.gone {redirection}").returncode == 2


def test_warnings_are_printed_whatever_python_is_told_of_them(tmp_path):
    for word in ("error", "ignore"):
        done = run_in_shell(tmp_path / word, f"{FUSE} --submission {{tmp}}/new.txt", PYTHONWARNINGS=word)
        assert done.returncode == 0
        assert done.stderr == f"warning: movie m: the portrait of {CAST} shows no face; its stored feature is used\n"


def test_a_reader_that_left_is_one_line(tmp_path):
    done = run_in_shell(tmp_path, f"{EVAL} | sleep 0; exit ${{PIPESTATUS[0]}}")
    assert done.returncode in (0, 2)  # whichever was faster
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (done.returncode == 2)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_of_any_script_are_shown_by_any_terminal(tmp_path, encoding):
    command = f"{FUSE} --submission {{tmp}}/Žižek.txt --gt {{tmp}}/val_label.json 2>{{tmp}}/told"
    assert run_in_shell(tmp_path, command, PYTHONIOENCODING=encoding, PYTHONUTF8="0").returncode == 0
    name = CAST.encode(encoding, "backslashreplace").decode(encoding)
    assert f"the portrait of {name} shows no face" in (tmp_path / "told").read_text(encoding=encoding)
    assert (tmp_path / "Žižek.txt").read_text(encoding="utf-8").startswith(f"{CAST} ")
