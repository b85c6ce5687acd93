"""From a name to a pack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from castsearch.faces import PackError, open_pack


def test_importing_faces_loads_no_heavy_library():
    heavy = "{'torch', 'onnx', 'onnxruntime', 'cv2', 'dlib', 'insightface'}"
    program = f"import sys, castsearch.faces; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_folder_is_one_pack_however_it_is_written(checkpoints: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkpoints)
    packs = [open_pack(name, -1) for name in (str(checkpoints), f"../{checkpoints.name}", ".")]
    assert [pack.name for pack in packs] == [str(checkpoints), f"../{checkpoints.name}", "."]
    for task in ("detector", "embedder"):
        assert packs[0].identity(task) == packs[1].identity(task) == packs[2].identity(task)
        assert len(packs[0].identity(task)["sha256"]) == 2
    assert packs[0].search.scales == (500, 800)


def test_an_unknown_name_lists_those_known():
    with pytest.raises(PackError, match=r"^nonsense: no such face pack; choose one of dlib, r50-r100, buffalo_l, "):
        open_pack("nonsense")


def test_what_was_meant_is_shown(tmp_path: Path):
    (tmp_path / "Packs").mkdir()
    (tmp_path / "det.onnx").touch()
    with pytest.raises(PackError, match=r"packs: no such face pack, but there is \S*/Packs; write it as it is there"):
        open_pack(str(tmp_path / "packs"))
    with pytest.raises(PackError, match=r"det\.onnx: is a file; name the folder that holds it"):
        open_pack(str(tmp_path / "det.onnx"))
