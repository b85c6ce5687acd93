"""Whole runs: one split of real film stills, and the quickstart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from castsearch.annotations import read_annotations, read_labels, read_ranking
from castsearch.demo_movie import render_split
from castsearch.metrics import evaluate
from castsearch.results import read_result

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_one_split_of_real_film_stills(script, testdata, tmp_path):
    folder = testdata / "data/jurassic"
    flags = ("--mode", "val", "--model", "dlib", "--cnn", "mobilenet_v2", "--out", "out")
    where = ("--origin", folder / "origin", "--annotations", folder / "data")
    done = script("scripts/run_split.sh", *where, *flags, cwd=tmp_path)
    found = evaluate(read_labels(folder / "data/val_label.json"), read_ranking(tmp_path / "out/val_result.txt"))
    assert str(found) in done.stdout
    assert found.mean_ap >= 0.93
    assert found.rank[1] >= 0.83
    assert (tmp_path / "out/demo.jpg").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

    # Again by the better recipe: what networks computed is there already.
    done = script("scripts/run_split.sh", *where, *flags, "--recipe", "best", "--no_time", cwd=tmp_path)
    result = read_result(tmp_path / "out/val_result.json")
    assert (result.recipe, result.settings["time"], result.settings["impostors"]) == ("best", False, [0.0, 0.145])
    corrected = read_labels(folder / "data/val_label_corrected.json")
    assert evaluate(corrected, read_ranking(tmp_path / "out/val_result.txt")).mean_ap >= 0.98


@pytest.mark.slow
def test_the_quickstart_runs_every_stage(quickstart):
    folder, done = quickstart
    shown = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("$ python3 ")]
    assert shown == [
        "scripts/make_demo_data.py",
        "crop_body.py",
        "reid/triplet.py",
        "crop_body.py",
        "RetinaFace/datalist.py",
        "RetinaFace/deploy.py",
        "RetinaFace/deploy.py",
        "RetinaFace/merge.py",
        "RetinaFace/face_det.py",
        "RetinaFace/face_feat.py",
        "reid/triplet.py",
        "fusion.py",
        "demo.py",
        "demo.py",
    ]
    movies = read_annotations(folder / "val.json")
    ranking = read_ranking(folder / "val_result.txt")
    for movie in movies.values():
        for cast in movie.cast:
            assert sorted(ranking[cast.id]) == sorted(candidate.id for candidate in movie.candidates)
    found = evaluate(read_labels(folder / "val_label.json"), ranking)
    assert str(found) in done.stdout
    assert found.mean_ap > 0.8


@pytest.mark.slow
def test_a_person_of_two_portraits_written_both_ways(script, tmp_path):
    """The same ranking, in one line; and the second way finds all work done, for the pictures are the same."""
    render_split(tmp_path, "val", "tt1", n_frames=6, seed=(7,))
    content = json.loads((tmp_path / "val.json").read_text())
    labels = json.loads((tmp_path / "val_label.json").read_text())
    first, *others = content["tt1"]["cast"]
    second = first["img"].replace(".jpg", "_b.jpg")
    with Image.open(tmp_path / "origin/val" / first["img"]) as portrait:
        ImageOps.mirror(portrait).save(tmp_path / "origin/val" / second)
    ways = {
        "list": [first | {"img": [first["img"], second]}],
        "label": [first, first | {"id": "another", "img": second}],
    }
    flags = ("--mode", "val", "--model", "dlib", "--cnn", "mobilenet_v2", "--out", tmp_path / "out")
    found = {}
    for way, portraits in ways.items():
        (tmp_path / way).mkdir()
        content["tt1"]["cast"] = [*portraits, *others]
        (tmp_path / way / "val.json").write_text(json.dumps(content))
        named = {portraits[-1]["id"]: labels[first["id"]]} | {other["id"]: labels[other["id"]] for other in others}
        (tmp_path / way / "val_label.json").write_text(json.dumps(named))
        where = ("--origin", tmp_path / "origin", "--annotations", tmp_path / way)
        done = script("scripts/run_split.sh", *where, *flags)
        assert f"{len(others) + 2} portraits" in done.stdout
        assert "absent" not in done.stderr
        table = done.stdout[done.stdout.index("mAP") :].splitlines()[1]
        found[way] = (read_ranking(tmp_path / "out/val_result.txt"), table)
    ranking, _ = found["list"]
    assert found["label"] == found["list"]
    assert list(ranking) == [first["id"], *(other["id"] for other in others)]
    assert str(evaluate(labels, ranking)).splitlines()[1] == found["list"][1]


def test_commands_are_shown_as_a_shell_takes_them(script, tmp_path):
    where = ("--origin", "it's mine", "--annotations", "$HOME", "--mode", "val", "--out", tmp_path)
    done = script("scripts/run_split.sh", *where, code=2)
    assert "crop_body.py --origin 'it'\\''s mine' --annotations '$HOME' --body " in done.stdout
    assert done.stderr == "error: it's mine/val: no such folder; check --origin\n"


def test_flags_reach_the_commands_that_take_them(movie, tmp_path):
    """Told by an interpreter that runs the first two steps alone and lets the others be."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase $1 in *crop_body.py | *datalist.py) exec {sys.executable} "$@" ;; *fusion.py)\n'
        f'    while [ "$1" != --submission ]; do shift; done; echo "tt1_nm1 tt1_0" > "$2" ;; esac\n'
    )
    python.chmod(0o755)
    flags = ("--origin", movie / "origin", "--annotations", movie, "--mode", "val", "--out", tmp_path / "out")
    environment = {**os.environ, "PYTHON": str(python)}

    def commands(*more):
        command = ["bash", ROOT / "scripts/run_split.sh", *flags, *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return {line.split()[2]: line for line in done.stdout.splitlines() if line.startswith("$ ")}

    plain = commands()
    assert not any("--precision" in line or "--frames" in line for line in plain.values())
    given = commands("--precision", "bfloat16", "--frames", "--skip_bad")
    assert list(given) == list(plain)
    taking = {name for name, line in given.items() if "--precision bfloat16" in line}
    assert taking == {"RetinaFace/deploy.py", "RetinaFace/face_feat.py", "reid/triplet.py"}
    assert {name for name, line in given.items() if f"--frames {movie / 'origin'}" in line} == {"RetinaFace/deploy.py"}


def test_the_scripts_of_several_stages_tell_their_options(script):
    assert "--annotations DIR" in script("scripts/run_split.sh", "--help").stdout
    assert script("scripts/quickstart.sh", "--help").stdout.startswith("The quickstart (make demo)")


GIVEN = ("--origin", "nowhere", "--annotations", "nowhere", "--mode", "val", "--out", "nowhere")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--origin is missing"),
        (("--origin",), "--origin needs a value"),
        (("--orign", "x"), "unknown option --orign"),
        ((*GIVEN, "--recipe", "bets"), "unknown recipe bets: original or best"),
        ((*GIVEN, "--no_time"), "--no_time is a flag of --recipe best"),
        ((*GIVEN, "--no_time", "--recipe", "original"), "--no_time is a flag of --recipe best"),
    ],
)
def test_run_split_refuses(script, flags, message):
    done = script("scripts/run_split.sh", *flags, code=2)
    assert message in done.stderr
    assert not done.stdout, "no stage has begun"
