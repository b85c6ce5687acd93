"""What scripts tell of their runs: --log_file, -v, --quiet, and the summary."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from castsearch.run_logs import read_stages
from scripts import cli, find_cast
from scripts.run_log import JsonLines
from tests.conftest import ROOT

FIELDS = ["time", "run", "stage", "pid", "event", "peak_memory"]
FULL = """
import resource, sys
from pathlib import Path
from scripts import cli
from scripts.run_log import JsonLines
path = Path(sys.argv[1])
lines = JsonLines(path, "x.py", cli.warn)
lines.write("note", {"message": "first"})
room = path.stat().st_size + 50
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
lines.write("note", {"message": "cut short"})
lines.write("note", {"message": "lost"})
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
lines.write("note", {"message": "again"})
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, resource.RLIM_INFINITY))
lines.write("note", {"message": "cut short"})
"""


def events(log: Path) -> list[dict]:
    found = []
    for line in log.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append({})
    return found


@pytest.fixture
def crop(movie, script):
    """Runs stage 1 on a movie of two frames."""
    given = "--origin", movie / "origin", "--annotations", movie, "--body", movie / "body", "--mode", "val"

    def run(*flags: object, code: int = 0) -> subprocess.CompletedProcess:
        return script("crop_body.py", *given, "--data", movie / "data", *flags, code=code)

    return run


def test_a_stage_tells_what_it_did(movie, crop):
    log, target = movie / "a b/ä.jsonl", movie / "data/body_val.pkl"
    crop("--log_file", log)
    begin, one, end = events(log)
    assert [*begin][:6] == [*one][:6] == [*end][:6] == FIELDS
    assert begin["stage"] == "crop_body.py" and begin["command"][-2:] == ["--log_file", str(log)]
    assert (one["movie"], one["counts"]) == ("tt1", {"frames": 2, "boxes": 3})
    assert (end["code"], end["counts"]) == (0, {"movies": 1, "portraits": 1, "boxes": 3})
    assert end["files"] == {str(target): hashlib.sha256(target.read_bytes()).hexdigest()}
    assert 0 < one["seconds"] <= end["seconds"] and end["cpu_seconds"] > 0 and end["peak_memory"] > 1e7
    crop("--log_file", log)
    assert [event["event"] for event in events(log)] == ["begin", "movie", "end", "begin", "note", "end"]
    assert events(log)[4]["file"] == str(target)


def test_how_much_is_shown(movie, crop, script):
    assert crop("-v").stdout.startswith("tt1: 2 frames, 3 boxes, ")
    assert crop().stdout.splitlines()[0].endswith("current, nothing is done again")
    assert crop("--quiet").stdout == ""


def test_what_stops_is_told(movie, crop, script):
    log = movie / "log.jsonl"
    told = crop("--log_file", log, "--quality", 96, code=2)
    assert events(log)[-1]["error"] in told.stderr and events(log)[-1]["code"] == 2
    (movie / "origin/val/tt1/cast/nm1.jpg").unlink()
    crop("--log_file", log, code=2)
    assert events(log)[-1]["error"].endswith("put it there, or go on without it by --skip_bad")
    assert "failed: movie tt1, cast tt1_nm1" in script("scripts/summary.py", log).stdout


def test_no_other_file_is_taken_for_a_log(movie, crop):
    before = (movie / "val.json").read_bytes()
    told = crop("--log_file", movie / "val.json", code=2)
    assert told.stderr == f"error: {movie / 'val.json'}: there is a file that is no log; choose another file\n"
    assert (movie / "val.json").read_bytes() == before
    assert crop("--log_file", "/dev/null/x", code=2).stderr.count("\n") == 1
    assert "warning: /dev/full: cannot be written (No space left on device)\n" in crop("--log_file", "/dev/full").stderr


def test_a_full_disk_cuts_one_line_and_no_work(tmp_path):
    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-c", FULL, str(log)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stderr == f"warning: {log}: cannot be written (No space left on device)\n"
    JsonLines(log, "y.py", cli.warn).end(0, None, {}, [])
    assert [event.get("message", event.get("stage")) for event in events(log)] == ["first", None, "again", None, "y.py"]
    assert [stage.script for stage in read_stages(log)] == ["y.py"]


def test_nobody_need_hear_that_a_log_cannot_be_written(movie):
    """Of a disk that is full for both, the work goes on."""
    command = [sys.executable, "crop_body.py", "--mode", "val", "--log_file", "/dev/full"]
    folders = {"--origin": "origin", "--annotations": ".", "--body": "body", "--data": "data"}
    command += [str(word) for flag, name in folders.items() for word in (flag, movie / name)]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, cwd=ROOT, stderr=full, check=False).returncode == 0
    assert (movie / "data/body_val.pkl").exists()


def test_a_look_at_a_log_is_no_run_in_it(movie, crop, script, monkeypatch):
    log = movie / "log.jsonl"
    monkeypatch.setenv("CASTSEARCH_LOG_FILE", str(log))
    crop()
    for _ in range(2):
        assert "1 movies" in script("scripts/summary.py", log).stdout


def test_a_full_disk_is_named_with_the_file(tmp_path):
    """An entry of a long stage, not the standard output."""
    code = (
        "import resource, sys; from castsearch.stagefiles import Resumable; from scripts import cli\n"
        "def main():\n"
        "    results = Resumable(sys.argv[1], {}, ['a'], lambda key: [])\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    results.add('a', 'x' * 5000)\n"
        "cli.run(main)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.pkl")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (
        2,
        f"error: {tmp_path}/x.pkl.partial: cannot be written (File too large); make room\n",
    )


def test_several_processes_share_a_log(tmp_path):
    code = (
        "import sys; from pathlib import Path; from scripts.run_log import JsonLines\n"
        "lines = JsonLines(Path(sys.argv[1]), 'x.py', print)\n"
        "for n in range(200): lines.write('note', {'message': 'x' * 5000, 'n': n})"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], cwd=ROOT) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    numbers = {}
    # One that begins while another writes may take that line for cut short, and leave an empty one.
    for event in filter(None, events(tmp_path / "log")):
        numbers.setdefault(event["pid"], []).append(event["n"])
    assert [*numbers.values()] == [[*range(200)]] * 3


def test_quickstarts_refuse_what_they_do_not_know(script, tmp_path):
    for name in ("quickstart", "film"):
        told = script(f"scripts/{name}.sh", tmp_path / "x", "--overwite", code=2)
        assert told.stderr == "error: unknown option --overwite; --help lists them\n"
    assert not (tmp_path / "x").exists()


def test_a_log_among_the_results_is_none_of_them(tmp_path, monkeypatch):
    """It grows, and what find_cast.py wrote would never be current."""
    (tmp_path / "appearances.csv").touch()
    monkeypatch.setattr(cli._run, "log", JsonLines(tmp_path / "run.log", "find_cast.py", cli.warn))
    found = find_cast.written(argparse.Namespace(annotated=None, out=tmp_path))
    assert [*found] == [tmp_path / "appearances.csv"]
