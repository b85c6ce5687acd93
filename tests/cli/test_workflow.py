"""scripts/Snakefile: a job a movie, the bytes of run_split.sh, killed runs, one line for what is wrong."""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from castsearch.demo_movie import render_split
from castsearch.stagefiles import read_body, read_retina

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("crop", "detect", "align", "embed", "bodies", "rank")  # a job a movie each
NAMES = ("tt1", "L'été {1} $HOME")
KILLS = int(os.environ.get("CASTSEARCH_KILLS", "2"))

pytest.importorskip("snakemake", reason="snakemake is not installed: pip install -r requirements-dev.txt")


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    """Two movies of a frame each, one of a name that shells and patterns take apart."""
    folder = tmp_path_factory.mktemp("it's a split")
    movies, labels = {}, {}
    for number, name in enumerate(NAMES):
        render_split(folder, "val", f"m{number}", n_frames=1, seed=(number,))
        (movies[name],) = json.loads((folder / "val.json").read_text()).values()
        labels |= json.loads((folder / "val_label.json").read_text())
    (folder / "val.json").write_text(json.dumps(movies))
    (folder / "val_label.json").write_text(json.dumps(labels))
    return folder


def command(split: Path, *flags: str, **config: object) -> list[str]:
    found = {"origin": split / "origin", "annotations": split, "mode": "val", "model": "dlib", "cnn": "mobilenet_v2"}
    told = [f"{name}={value}" for name, value in {**found, **config}.items() if value is not None]
    return [sys.executable, "-m", "snakemake", "-s", str(ROOT / "scripts/Snakefile"), *flags, "--config", *told]


def run(command: list[str], cwd: Path, code: int = 0) -> str:
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def jobs(said: str) -> dict[str, int]:
    """How many jobs of each rule a run announces."""
    table = said.partition("Job stats:")[2].partition("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


@pytest.mark.parametrize(("profile", "gpus"), [("local", False), ("slurm", True), ("kubernetes", True)])
def test_each_profile_runs_a_job_a_movie(split, tmp_path, profile, gpus):
    flags = ("-n", "--profile", str(ROOT / "scripts/profiles" / profile))
    if profile != "local":
        pytest.importorskip(f"snakemake_executor_plugin_{profile}")
    if profile == "kubernetes":
        pytest.importorskip("snakemake_storage_plugin_fs")
    said = run(command(split, *flags, out="out", gpus=gpus), tmp_path)
    split_too = {"split": 1} if profile == "kubernetes" else {}
    assert jobs(said) == {**split_too, **dict.fromkeys(STAGES, len(NAMES)), "join": 1, "show": 1, "all": 1}
    for rule in STAGES:
        told = re.findall(rf"^(?:local)?rule {rule}:\n((?: .*\n)+)", said, re.MULTILINE)
        assert len(told) == len(NAMES)
        assert all(("gpu=1" in job) == (gpus and rule in ("detect", "embed", "bodies")) for job in told), rule
        assert all("mem_mb=" in job and "runtime=" in job for job in told), rule


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"out": None}, "--config lacks out=...; docs/cluster.md has the settings"),
        ({"orign": "x"}, "unknown setting orign; there are origin, annotations, mode"),
        ({"precision": "int8"}, "int8 is calibrated on the whole split"),
        ({"no_time": True}, "--config no_time=true belongs to recipe=best"),
        ({"recipe": "bets"}, "--config recipe=bets: expected original or best"),
        ({"gpus": "some"}, "--config gpus=some: expected true or false"),
        ({"hours_per_1000_boxes": "two"}, "--config hours_per_1000_boxes=two: expected a number"),
        ({"out": "{out}"}, "Snakemake cannot work in a folder with braces in its name"),
    ],
)
def test_settings_are_checked(monkeypatch, config, message):
    head = (ROOT / "scripts/Snakefile").read_text().partition("\nSET = ")[0]  # so far plain Python
    said = []
    told = {"origin": "in", "annotations": "in", "mode": "val", "out": "out", **config}
    space = {"config": told, "workflow": SimpleNamespace(basedir=str(ROOT / "scripts"))}
    exec(head, space)

    def fail(line):
        said.append(line)
        raise SystemExit(2)

    space["fail"] = fail
    with pytest.raises(SystemExit):
        space["read_settings"]()
    assert message in said[0] and "\n" not in said[0]


def test_what_is_wrong_is_one_line(split, tmp_path):
    said = run(command(split, "--cores", "1", out="out", annotations="nowhere"), tmp_path, code=2)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "nowhere/val.json: no such file" in errors[0]
    assert said.endswith(f"{errors[0]}\n")
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*out*")), "no work has begun"


def test_one_workflow_at_a_time_works_in_a_folder(split, tmp_path):
    state = tmp_path / "out/.snakemake"
    state.mkdir(parents=True)
    with (state / "workflow.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = run(command(split, "--cores", "1", out="out"), tmp_path, code=2)
    assert f"error: {tmp_path / 'out'}: another workflow is at work there; wait until that has ended" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".snakemake"], "no work has begun"


def test_where_one_movie_has_changed_only_its_jobs_start_again(split, tmp_path):
    cropping = command(split, "--cores", "1", "--until", "crop", annotations=tmp_path, out="out")
    movies = json.loads((split / "val.json").read_text())
    (tmp_path / "val.json").write_text(json.dumps(movies))
    assert jobs(run(cropping, tmp_path)) == {"crop": 2}
    assert jobs(run(cropping, tmp_path)) == {}
    movies[NAMES[1]]["candidates"].pop()
    (tmp_path / "val.json").write_text(json.dumps(movies))
    assert jobs(run(cropping, tmp_path)) == {"crop": 1}
    sizes = [
        len(movie.candidates)
        for path in (tmp_path / "out/movies").glob("*/data/body_val.pkl")
        for movie in read_body(path).values()
    ]
    assert sorted(sizes) == sorted(len(movie["candidates"]) for movie in movies.values())
    assert jobs(run(cropping, tmp_path)) == {}


def test_where_movies_change_places_they_are_joined_again(split, tmp_path):
    def workflow(*flags):
        return run(command(split, "--cores", "1", *flags, annotations=tmp_path, out="out"), tmp_path)

    movies = json.loads((split / "val.json").read_text())
    (tmp_path / "val.json").write_text(json.dumps(movies))
    for files in re.findall(r"output: (.*)", workflow("-n")):
        for name in files.replace(" (update)", "").split(", "):
            (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / name).touch()
    workflow("--touch", "--forceall")  # as if all had been done
    assert jobs(workflow("-n")) == {}
    (tmp_path / "val.json").write_text(json.dumps(dict(reversed(movies.items()))))
    assert jobs(workflow("-n")) == {"join": 1, "show": 1, "all": 1}


def test_what_failed_and_what_follows_is_done_in_the_next_run(split, tmp_path):
    """Though files of an earlier run are there."""

    def until(rule, *flags, code=0):
        return run(
            command(split, "--cores", "1", "--until", rule, *flags, annotations=tmp_path, out="out"), tmp_path, code
        )

    movie = json.loads((split / "val.json").read_text())[NAMES[0]]
    (tmp_path / "val.json").write_text(json.dumps({NAMES[0]: movie}))
    folder = tmp_path / "out/movies" / NAMES[0]
    assert jobs(until("align")) == {"crop": 1, "detect": 1, "align": 1}
    movie["candidates"].pop()
    (tmp_path / "val.json").write_text(json.dumps({NAMES[0]: movie}))
    (folder / "lists/val_own.txt").touch()
    assert "val_own.txt: names no picture" in until("detect", code=1)
    (folder / "lists/val_own.txt").unlink()
    assert jobs(until("detect")) == {"detect": 1}
    (found,) = read_retina(folder / "data/retina_val.pkl").values()
    assert len(found.candidates) == len(movie["candidates"])
    assert jobs(until("align", "-n")) == {"align": 1}


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a run and all that it started, at once, as when a machine goes down."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_run_goes_on_and_ends_with_the_bytes_of_run_split(split, script, tmp_path):
    names = NAMES if KILLS > 2 else NAMES[1:]
    whole = split
    split = tmp_path / "some"
    split.mkdir()
    movies = json.loads((whole / "val.json").read_text())
    labels = json.loads((whole / "val_label.json").read_text())
    (split / "val.json").write_text(json.dumps({name: movies[name] for name in names}))
    people = {person["id"] for name in names for person in movies[name]["cast"]}
    (split / "val_label.json").write_text(json.dumps({person: labels[person] for person in labels if person in people}))
    (split / "origin").symlink_to(whole / "origin")
    flags = ("--mode", "val", "--model", "dlib", "--cnn", "mobilenet_v2", "--recipe", "best")
    script(
        "scripts/run_split.sh", "--origin", split / "origin", "--annotations", split, *flags, "--out", tmp_path / "a"
    )
    cores = command(split, "--cores", "2", "--rerun-incomplete", out="b", recipe="best")
    out = tmp_path / "b"
    killed(cores, tmp_path)
    said = run(cores, tmp_path)
    assert jobs(said)["rank"] == len(names)
    assert "mAP" in said
    data = [f"data/{name}_val.pkl" for name in ("body", "retina", "face", "triplet_mobilenet_v2")]
    for name in (*data, "val_result.txt", "val_result.json", "demo.jpg"):
        assert (out / name).read_bytes() == (tmp_path / "a" / name).read_bytes(), name
    assert "Nothing to be done" in run(cores, tmp_path)


def killed(command: list[str], cwd: Path) -> None:
    """Begin a run and kill it, first when a movie's crops are there, then at random moments."""
    draw, environment = random.Random(0), {**os.environ, "PYTHON": sys.executable}
    for number in range(KILLS):
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not any(cwd.glob("b/movies/*/data/body_val.pkl")) and process.poll() is None:
                time.sleep(0.05)
            time.sleep(draw.uniform(3, 8) if number else 0)
        finally:
            kill(process)
