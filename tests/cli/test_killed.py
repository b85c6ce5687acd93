"""Every stage, killed at any moment and run again, leaves the bytes of an undisturbed run, and nothing else.

Of two runs at once one waits for the other, and finds the work done.

``CASTSEARCH_KILLS`` says how many kills a stage gets: 100 make the long form. Training is killed in
``tests/bodies/test_training.py``, the workflow in ``test_workflow.py``, the archive in ``test_library.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from castsearch.demo_movie import render_split
from castsearch.results import read_result
from tests.cli import killed
from tests.conftest import ROOT

KILLS = int(os.environ.get("CASTSEARCH_KILLS", "20"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Script and flags of each stage; {split}: what the stages before it wrote; {out}: where it writes; {models}.
BODY, PACK, BODIES = "--image_root {split}/body --mode val", "--model {models}/pack", "--checkpoint {models}/osnet.onnx"
FRAMES = "--mode val --origin {split}/origin --annotations {split}"
LIST = "--txt_file {split}/lists/val_candidates_0.txt --pkl_file {out}/val_candidates_0.pkl --image_root {split}/body"
RANK = "--mode val --data {split}/data --reid onnx_osnet --submission {out}/val_result.txt --gt {split}/val_label.json"
SHOW = "--mode val --data {split}/data --submission {split}/val_result.txt --gt {split}/val_label.json"
STAGES = {
    "crops": f"crop_body.py {FRAMES} --body {{out}}/body --data {{out}}/data",
    "lists": "RetinaFace/datalist.py --root {split}/body --mode val --data {split}/data --out {out}",
    "detection": f"RetinaFace/deploy.py {LIST} {PACK}",
    "detection in frames": f"RetinaFace/deploy.py {LIST} {PACK} --frames {{split}}/origin",
    "merging": "RetinaFace/merge.py --mode val --results {split}/results --data {out}",
    "chips": f"RetinaFace/face_det.py {BODY} {PACK} --data {{split}}/data --out {{out}}",
    "chips in one": f"RetinaFace/face_det.py {BODY} {PACK} --data {{split}}/data --out {{out}} --single",
    "faces": f"RetinaFace/face_feat.py --mode val {PACK} --data {{out}} --images {{split}}",
    "bodies": f"reid/extract.py {BODY} {BODIES} --data {{split}}/data --out {{out}}/onnx_a_val.pkl",
    "ranking": f"fusion.py {RANK}",
    "better ranking": f"fusion.py {RANK} --recipe best",
    "strip": f"demo.py {SHOW} --movcast tt1_nm0000001 --out {{out}}/demo.jpg",
    "gallery": f"demo.py {SHOW} --gallery {{out}}/gallery",
}
GIVEN = {"merging": ["body_val.pkl", "body_val.pkl.json"], "faces": ["body_val.pkl", "body_val.pkl.json"]}


@pytest.fixture(scope="module")
def places(script, testdata, tmp_path_factory) -> dict[str, Path]:
    """Two movies, small networks, and what all stages made of them."""
    split, models = tmp_path_factory.mktemp("split"), tmp_path_factory.mktemp("models")
    annotations, labels = {}, {}
    for movie in ("tt1", "tt2"):
        render_split(split / movie, "val", movie, n_frames=4, seed=(7,))
        annotations |= json.loads((split / movie / "val.json").read_text())
        labels |= json.loads((split / movie / "val_label.json").read_text())
        shutil.copytree(split / movie / "origin", split / "origin", dirs_exist_ok=True)
    (split / "val.json").write_text(json.dumps(annotations))
    (split / "val_label.json").write_text(json.dumps(labels))
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        shutil.copytree(testdata / "models" / name, models / "pack", dirs_exist_ok=True)
    shutil.copy(next((testdata / "models/osnet").glob("*.onnx")), models / "osnet.onnx")
    made = {"split": split, "models": models}

    def stage(name: str, out: str = "", **changed: str) -> None:
        command = STAGES[name].format(out=split / out, **made)
        for old, new in changed.items():
            command = command.replace(old, new)
        script(*command.split())

    stage("crops")
    stage("lists", "lists")
    stage("detection", "results")
    stage("detection", "results", val_candidates_0="val_cast")
    stage("merging", "data")
    stage("chips")
    stage("faces", "data")
    stage("bodies", "data", onnx_a="onnx_osnet")
    stage("ranking")
    return made


@pytest.fixture
def prepared(places, tmp_path):
    """The script and flags of a stage, in a folder that has what it adds to."""

    def prepare(stage: str) -> list[str]:
        (tmp_path / "given").mkdir()
        for name in GIVEN.get(stage, ()):
            shutil.copy2(places["split"] / "data" / name, tmp_path / "given")
        return [word.format(out="{out}", **places) for word in STAGES[stage].split()]

    return prepare


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_moment(prepared, tmp_path, stage):
    command = [sys.executable, ROOT / "tests/cli/killed.py", KILLS, 1, tmp_path, *prepared(stage)]
    done = subprocess.run([*map(str, command)], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{KILLS} kills of ")


@pytest.mark.parametrize("stage", ["crops", "detection", "ranking"])
def test_two_runs_at_once_leave_one_result(prepared, tmp_path, stage):
    """Both end well; the one that waits finds the work done."""
    name, *words = prepared(stage)
    whole, both = tmp_path / "whole", tmp_path / "both"
    for out in (whole, both):
        out.mkdir()
        command = [sys.executable, str(ROOT / name), *(word.replace("{out}", str(out)) for word in words)]
        runs = [
            subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(1 if out == whole else 2)
        ]
        told = [run.communicate() for run in runs]
        assert [run.returncode for run in runs] == [0] * len(runs), told
        if out == both:
            assert sum("nothing is done again" in stdout for stdout, _ in told) == 1, told
    killed.check(killed.content(whole), both)


def test_a_ranking_of_a_kill_between_two_names_is_made_again(prepared, places, script, tmp_path):
    """The JSON of another run beside the ranking: neither is taken for current."""
    words = [word.replace("{out}", str(tmp_path)) for word in prepared("ranking")]
    script(*words)
    ranking = tmp_path / "val_result.txt"
    whole = ranking.read_bytes()
    ranking.write_bytes(whole[: len(whole) // 2])
    assert "nothing is done again" not in script(*words).stdout
    assert ranking.read_bytes() == whole
    read_result(tmp_path / "val_result.json").check_ranking(ranking)
    assert "nothing is done again" in script(*words).stdout
