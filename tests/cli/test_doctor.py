"""doctor.py tells what is here and what can run, whatever is missing or broken."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from castsearch import doctor
from castsearch.doctor import packages as rooms_packages
from castsearch.doctor.weights import PACKAGED, PERSONS
from castsearch.faces import catalogue

ROOT = Path(__file__).resolve().parents[2]


def run(*flags: str, path: Path | None = None) -> subprocess.CompletedProcess:
    """doctor.py, with modules of ``path`` in the place of installed ones."""
    code = (
        f"import sys, runpy; sys.argv = ['doctor.py', *{list(flags)!r}]; "
        f"runpy.run_path({str(ROOT / 'scripts/doctor.py')!r}, run_name='__main__')"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(path or "")}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def here() -> tuple[list[doctor.Package], doctor.Extension, list[doctor.Weights]]:
    """What the tests' environment has, without loading it: all that is installed works."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms_packages, "_load", lambda modules: ({}, ()))
        return *doctor.look_at_packages(), doctor.look_for_weights()


def test_tells_what_is_here_for_programs_and_goes_on_after_broken_packages(tmp_path):
    # One raises, the other ends the process that loads it.
    (tmp_path / "jinja2.py").write_text("raise RuntimeError('half\\nof it is missing')")
    (tmp_path / "timm.py").write_text("import os; print('{'); os._exit(3)")
    done = run("--json", path=tmp_path)
    assert done.returncode == 1, done.stderr  # the quickstart ends with a gallery
    told = json.loads(done.stdout)
    found = {package["name"]: package for package in told["packages"]}
    assert found["Jinja2"]["fault"] == "is broken: RuntimeError: half of it is missing"
    assert found["timm"]["fault"] == "is broken: ends the process that loads it (exit code 3)"
    assert found["numpy"] == {
        "name": "numpy",
        "least": found["numpy"]["least"],
        "extras": [],
        "found": numpy.__version__,
        "fault": "",
    }
    assert told["kernel_fault"] == "" and told["machine"]["precisions"]["float32"] == ""
    state = {command["name"]: command for command in told["commands"]}
    assert state["fusion.py"]["lacks"] == "" and state["RetinaFace/deploy.py --model dlib"]["lacks"] == ""
    for name in ("demo.py --gallery", doctor.QUICKSTART, "scripts/find_cast.py"):
        assert state[name]["lacks"] == "Jinja2: is broken: RuntimeError: half of it is missing"
        assert state[name]["mend"] == "pip install --force-reinstall --no-deps 'Jinja2>=3.1'"


def test_tells_what_it_can_without_numpy_and_from_any_folder(tmp_path):
    (tmp_path / "json.py").write_text("raise RuntimeError('not the one of Python')")
    command = [sys.executable, "-S", str(ROOT / "scripts/doctor.py"), "--json", "--sha256"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    assert next(one["fault"] for one in told["packages"] if one["name"] == "numpy") == "not installed"
    assert told["kernel_fault"] == ""
    assert not any(command["lacks"] == "" for command in told["commands"])


def test_what_broken_packages_do_stays_with_them(tmp_path):
    """They end the process that asks them about the machine, and print."""
    (tmp_path / "scipy.py").write_text("import os; os._exit(3)")
    (tmp_path / "onnxruntime.py").write_text("print('old driver'); raise SystemExit('none')")
    done = run("--json", path=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    machine = json.loads(done.stdout)["machine"]
    assert machine["blas"] == ["not known (ends the process that loads it (exit code 3))"]
    assert machine["precisions"] == {"float32": "not known (SystemExit: none)"} and machine["gpu"].startswith("not ")


def test_a_user_without_a_home(monkeypatch, tmp_path):
    def nowhere(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", nowhere)
    found = {one.name: one for one in doctor.look_for_weights()}
    assert found["buffalo_l"].files == () and found["dlib"].here


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads pyproject.toml from Python 3.11 on")
def test_what_is_needed_is_never_out_of_date(monkeypatch):
    monkeypatch.setattr(rooms_packages, "_load", lambda modules: ({}, ()))
    monkeypatch.setattr(rooms_packages.metadata, "requires", lambda name: ["numpy>=1.0"])
    found = {one.name: (one.least, one.extras) for one in doctor.look_at_packages()[0]}
    assert found["numpy"] == ("1.24", ())
    assert found["openvino"] == ("2025.0", ("movies", "precision")) and found["snakemake"] == ("9", ("workflow",))


def test_the_least_version_is_found_behind_the_greatest(monkeypatch):
    monkeypatch.setattr(rooms_packages, "_load", lambda modules: ({}, ()))
    monkeypatch.setattr(rooms_packages, "_requirements", lambda: ["av<19,>=17; extra == 'movies'"])
    found = {one.name: (one.least, one.extras) for one in doctor.look_at_packages()[0]}
    assert found["av"] == ("17", ("movies",))


def test_the_quickstart_runs_where_all_is_here(here):
    packages, extension, weights = here
    state = {command.name: command for command in doctor.commands(packages, extension, weights)}
    assert state[doctor.QUICKSTART].runs and state["scripts/find_cast.py"].runs
    assert {name for name in state if "--model" in name} == {
        f"RetinaFace/deploy.py --model {name}" for name in catalogue.NAMES
    }


@pytest.mark.parametrize(
    ("package", "lacking"),
    [
        ("numpy", {"fusion.py", "crop_body.py", "make demo"}),
        ("torch", {"reid/triplet.py", "scripts/find_cast.py", "make demo"}),
        ("dlib-bin", {"RetinaFace/deploy.py --model dlib", "RetinaFace/deploy.py --model open", "make demo"}),
        ("av", {"scripts/find_cast.py"}),
        ("opentimelineio", {"scripts/find_cast.py"}),
        ("tensorboard", {"reid/triplet.py", "make demo"}),
        ("opencv-python", {"demo.py --gallery", "scripts/library.py"}),
    ],
)
def test_a_missing_package_stops_what_needs_it(here, package, lacking):
    packages, extension, weights = here
    packages = [replace(one, found=None, fault="not installed") if one.name == package else one for one in packages]
    ran = {command.name for command in doctor.commands(*here) if command.runs}
    state = {command.name: command for command in doctor.commands(packages, extension, weights)}
    stopped = {name for name in ran if not state[name].runs}
    assert lacking <= stopped
    assert all(state[name].lacks == f"{package}: not installed" for name in lacking)
    assert "eval.py" in stopped or package != "numpy"
    assert "fusion.py" not in stopped or package == "numpy"


def test_a_kernel_that_does_not_load_is_built(here):
    packages, _, weights = here
    state = doctor.commands(packages, doctor.Extension("ImportError: no such file", ()), weights)
    fusion = next(command for command in state if command.name == "fusion.py")
    assert fusion.lacks == "the compiled kernel: ImportError: no such file" and fusion.mend == "make -C RetinaFace"


def test_an_old_package_is_told_with_what_is_needed(monkeypatch):
    monkeypatch.setattr(rooms_packages, "_load", lambda modules: ({}, ()))
    version = rooms_packages._version
    old = {"numpy": "1.9.3", "onnxruntime": "1.17", "openvino": "2024.6.0"}
    monkeypatch.setattr(rooms_packages, "_version", lambda name: old.get(name) or version(name))
    found = {package.name: package for package in doctor.look_at_packages()[0]}
    assert found["numpy"].fault == f"is too old: {found['numpy'].least} or later is needed"
    assert found["openvino"].fault == "is too old: 2025.0 or later is needed"
    assert found["onnxruntime"].works


def test_nothing_but_python_is_no_reason_to_fail(monkeypatch):
    monkeypatch.setattr(rooms_packages, "_load", lambda modules: (dict.fromkeys(modules, "ImportError: no"), ()))
    monkeypatch.setattr(rooms_packages, "_version", lambda name: None)
    packages, extension = doctor.look_at_packages()
    state = doctor.commands(packages, extension, [replace(one, files=(), mend="get it") for one in _weights()])
    assert not any(command.runs for command in state)
    assert {command.mend for command in state} == {
        "pip install -r requirements.txt",
        "pip install -e '.[archive]'",
        "pip install -e '.[workflow]'",
    }


def _weights() -> list[doctor.Weights]:
    return doctor.look_for_weights()


def test_weights_are_told_with_size_hash_and_terms():
    from castsearch.faces.centerface_pack import OpenPack
    from castsearch.faces.dlib_pack import DlibPack
    from castsearch.movies.persons import SsdLite

    found = {one.name: one for one in doctor.look_for_weights(hashed=True)}
    assert set(found) == {*catalogue.NAMES, *PACKAGED}
    for one in found["open"].files:
        content = Path(one.path).read_bytes()
        assert (one.size, one.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert [Path(one.path).name for one in found["open"].files] == [
        "centerface.onnx",
        "shape_predictor_5_face_landmarks.dat",
        "dlib_face_recognition_resnet_model_v1.dat",
    ]
    assert "MIT" in OpenPack.licence and "CC0" in OpenPack.licence and "CC0" in DlibPack.licence
    assert found["dlib"].licence == "public domain (CC0)" and found["open"].licence.startswith("detector MIT")
    assert SsdLite.licence.endswith(found[PERSONS].licence)
    assert found["buffalo_l"].mend in ("", "python3 scripts/download_models.py buffalo_l")


def test_people_read_a_table():
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "Machine",
        "Packages",
        "Weights",
        "Commands",
    ]
    assert any(line.split() == ["compiled", "kernel", "loads"] for line in lines)
    assert any(line.startswith("  yes make demo ") for line in lines)
    assert "is broken" not in done.stdout
