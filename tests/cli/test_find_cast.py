"""find_cast.py and import_movie.py from end to end: drawn films whose truth is known, and a piece of a real one."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from castsearch.annotations import read_annotations
from castsearch.movies.finding import look_through
from castsearch.movies.habits import HABITS
from castsearch.movies.layout import read_times
from castsearch.movies.models import Models
from scripts import films
from tests.cli.here import Run, runs_here
from tests.conftest import ROOT
from tests.movies.clips import write_video
from tests.movies.drawn import Actor, models, painted, still

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 40), (40, 40, 200)  # clothes
ANN, BOB, CAT = (240, 200, 160), (160, 220, 240), (250, 250, 120)  # faces
DAN = (250, 150, 250)
RATE = 25


def drawn_models() -> Models:
    return models([RED, GREEN, BLUE], [ANN, BOB, CAT, DAN])[0]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs scripts with models that see what is drawn."""
    monkeypatch.setattr(films, "open_models", lambda *_: drawn_models())
    return runs_here(monkeypatch, capfd)


SHOTS = (
    (2.0, (90, 90, 90), [Actor(RED, ANN, still(40)), Actor(GREEN, BOB, still(200))]),
    (2.0, (140, 130, 110), [Actor(BLUE, CAT, still(120))]),
    (3.0, (70, 90, 110), [Actor(RED, ANN, lambda seconds: None if 5 <= seconds < 6.5 else (100, 40))]),
    (1.0, (120, 140, 140), [Actor(GREEN, None, still(150))]),
)
VISIBLE = {"Ann": [(0, 2), (4, 5), (6.5, 7)], "Bob": [(0, 2), (7, 8)], "unknown-1": [(2, 4)]}


def pictures() -> Iterator[np.ndarray]:
    """Of the film, one after the other."""
    start = 0.0
    for lasts, backdrop, actors in SHOTS:
        for number in range(round(lasts * RATE)):
            yield painted(actors, start + number / RATE, backdrop)
        start += lasts


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "drawn film.mp4", pictures(), crf="10", g="25")


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Of Ann, Bob, and Dan who is not in the film."""
    for name, face in (("Ann", ANN), ("Bob", BOB), ("Dan", DAN)):
        (tmp_path / "portraits").mkdir(exist_ok=True)
        Image.fromarray(painted([Actor(None, face, still(40))], 0)).save(tmp_path / f"portraits/{name}.png")
    return tmp_path / "portraits"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "appearances.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lasts(path: Path) -> float:
    """Seconds of a video's pictures."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0)) / RATE


def test_everything_of_a_drawn_film(script: Run, film: Path, portraits: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "out", tmp_path / "drawn.mp4"
    find = ("--video", film, "--portraits", portraits, "--out", out)
    done = script("scripts/find_cast.py", *find, "--cluster", "--annotated", drawn, "--highlights")
    assert done.stderr == ""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows(out):
        found.setdefault(row["cast"], []).append((float(row["start"]), float(row["end"])))
    assert found.keys() == VISIBLE.keys()
    for name, stretches in VISIBLE.items():
        assert np.array(found[name]) == pytest.approx(np.array(stretches), abs=0.1 + 1 / RATE)
    assert [row["found_by"] for row in rows(out)] == ["face", "face", "track", "face", "face", "body"]
    assert "drawn_film: 8.0 s, 4 shots, 6 tracks" in done.stdout
    assert "  Bob: 3.0 s in 2 appearances, first at 0.0 s" in done.stdout
    assert "  Dan: probably not in it (" in done.stdout and "  unknown-1: 2.0 s in 1 appearance, first" in done.stdout
    check_layout(out)
    assert lasts(drawn) == 8
    cuts = {path.stem: lasts(path) for path in (out / "highlights/drawn_film").iterdir()}
    assert cuts == pytest.approx({"Ann": 3.5, "Bob": 3, "unknown-1": 2}, abs=0.3)
    strips = {path.stem for path in (out / "strips/drawn_film").iterdir()}
    assert strips == found.keys() == {path.stem for path in (out / "unknown/drawn_film").iterdir()} | {"Ann", "Bob"}
    assert all(name in (out / "drawn_film.svg").read_text() for name in found)
    said = {path for path in done.stdout.splitlines() if path.startswith(str(tmp_path))}
    assert all(Path(path).exists() for path in said) and str(drawn) in said

    shutil.copy(out / "unknown/drawn_film/unknown-1.jpg", portraits / "Cat.jpg")
    again = script("scripts/find_cast.py", *find, "--cluster")
    assert "  Cat: 2.0 s in 1 appearance, first at 2.0 s" in again.stdout and "unknown" not in again.stdout
    assert not list((out / "unknown").rglob("*.jpg"))


def check_layout(out: Path) -> None:
    """Appearances, ``test.json``, times and pictures tell the same."""
    (movie,) = json.loads((out / "appearances.json").read_text())["movies"]
    annotations, times = read_annotations(out / "test.json")[movie["name"]], read_times(out / "test_times.json")
    timed = times[movie["name"]]
    assert np.array([(shot.start, shot.end) for shot in timed.shots]) == pytest.approx(
        np.array(movie["shots"]), abs=1e-6
    )
    candidates = {one.id: one for one in annotations.candidates}
    assert timed.tracks.keys() == candidates.keys()
    assert {one.img for one in annotations.candidates} == {f"drawn_film/candidates/{name}.jpg" for name in timed.frames}
    kept = 0
    for one in movie["appearances"]:
        for box in one["boxes"]:
            assert (box["candidate"] is None) == (box["frame"] is None)
            if box["candidate"] is not None:
                kept += 1
                candidate = candidates[box["candidate"]]
                assert (list(candidate.bbox), candidate.img) == (box["bbox"], box["frame"])
                assert timed.frames[Path(box["frame"]).stem] == pytest.approx(box["seconds"], abs=1e-6)
    assert kept == len(candidates)
    assert {one.label for one in annotations.cast} == {"Ann", "Bob", "Dan"}


def test_import_movie_writes_the_layout(script: Run, film: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    done = script("scripts/import_movie.py", "--video", film, "--out", tmp_path / "out", "--log_file", log)
    movie = read_annotations(tmp_path / "out/test.json")["drawn_film"]
    assert f"drawn_film: 4 shots, 6 tracks, {len(movie.candidates)} boxes\n" in done.stdout
    counts = json.loads(log.read_text().splitlines()[-1])["counts"]
    assert counts == {"films": 1, "boxes": len(movie.candidates)}
    assert movie.cast == [] or movie.cast == ()


def test_of_several_films_one_that_cannot_be_used_costs_the_others_nothing(
    script: Run, film: Path, portraits: Path, tmp_path: Path
) -> None:
    nobody = write_video(tmp_path / "nobody.mp4", [painted([], 0)] * 25)
    second = shutil.copy(film, tmp_path / "second.mp4")
    done = script(
        "scripts/find_cast.py",
        *("--video", film, nobody, second, "--portraits", portraits, "--out", tmp_path / "out"),
        code=2,
    )
    warning, error = done.stderr.splitlines()
    assert warning.startswith(f"warning: {nobody}: shows nobody, as far as drawn sees; ")
    assert error == "error: 1 of 3 films cannot be used, as told above; the results of the others are written"
    assert {row["movie"] for row in rows(tmp_path / "out")} == {"drawn_film", "second"}


def test_stills(script: Run, portraits: Path, tmp_path: Path) -> None:
    """Each picture is a shot of its own, of a second."""
    (tmp_path / "stills").mkdir()
    for number, picture in enumerate(pictures()):
        if number % 25 == 10:
            Image.fromarray(picture).save(tmp_path / f"stills/{number}.png")
    script("scripts/find_cast.py", "--video", tmp_path / "stills", "--portraits", portraits, "--out", tmp_path / "out")
    assert [(row["cast"], float(row["start"]), float(row["end"]), row["shot"]) for row in rows(tmp_path / "out")] == [
        *(("Ann", 0, 1, "1"), ("Bob", 0, 1, "1"), ("Ann", 1, 2, "2"), ("Bob", 1, 2, "2")),
        *(("Ann", 4, 5, "5"), ("Bob", 7, 8, "8")),
    ]


# ---------------------------------------------------------------------------- damage


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def zeroed(data: bytes, begin: float = 0.4, end: float = 0.5) -> bytes:
    first, last = int(len(data) * begin), int(len(data) * end)
    return data[:first] + bytes(last - first) + data[last:]


def scratched(data: bytes) -> bytes:
    return zeroed(data, 0.5, 0.51)


def gap(data: bytes) -> bytes:
    return data[: len(data) * 2 // 5] + data[len(data) // 2 :]


def noise(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + np.random.default_rng(1).bytes(len(data) // 10) + data[middle + len(data) // 10 :]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The film with grain, so that each second of it has its bytes, in four containers."""
    folder, grain = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0).integers(0, 8, (180, 320, 3), np.uint8)
    grainy = [np.minimum(picture, 247) + np.roll(grain, 7 * n, 1) for n, picture in enumerate(pictures())]
    how: dict[str, dict[str, Any]] = {"mp4": {"container": {"movflags": "faststart"}}, "mkv": {}, "ts": {}}
    return {
        end: write_video(folder / f"a.{end}", grainy, g="25", preset="veryfast", **more).read_bytes()
        for end, more in how.items()
    }


DAMAGED: list[tuple[str, Callable[[bytes], bytes]]] = [
    *(("mp4", harm) for harm in (cut, zeroed, scratched, noise)),
    *(("mkv", harm) for harm in (cut, zeroed, gap, noise)),
    *(("ts", harm) for harm in (gap, zeroed)),
]


@pytest.mark.parametrize(("end", "harm"), DAMAGED, ids=[f"{harm.__name__}.{end}" for end, harm in DAMAGED])
def test_a_damaged_film_gives_what_can_be_decoded_and_a_line(
    script: Run, noisy: dict[str, bytes], portraits: Path, tmp_path: Path, end: str, harm: Callable[[bytes], bytes]
) -> None:
    film = tmp_path / f"film.{end}"
    film.write_bytes(harm(noisy[end]))
    done = script("scripts/find_cast.py", "--video", film, "--portraits", portraits, "--out", tmp_path / "out")
    (line,) = done.stderr.splitlines()
    told = re.fullmatch(rf"warning: {film}: (\d+\.\d) to (\d+\.\d) s cannot be decoded: [a-z ]+", line)
    assert told is not None, line
    start, stop = map(float, told.groups())
    assert (4 < start < 6 and stop == 8) if harm is cut else (2 <= start <= stop <= 6)
    assert {("Ann", "1"), ("Bob", "1")} <= {(row["cast"], row["shot"]) for row in rows(tmp_path / "out")}


# ---------------------------------------------------------------------------- stopped

SMALL_UNITS = replace(HABITS, unit=1, longest=1)
IN_SMALL_UNITS = """
import runpy, signal, sys
from functools import partial
from castsearch.movies.finding import look_through
from scripts import films
from tests.cli.test_find_cast import SMALL_UNITS, drawn_models

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background have it ignored
films.open_models = lambda *_: drawn_models()
films.look_through = partial(look_through, habits=SMALL_UNITS)
sys.argv = ["find_cast.py", *sys.argv[1:]]
runpy.run_path("scripts/find_cast.py", run_name="__main__")
"""


def flags(film: Path, portraits: Path, out: Path) -> list[object]:
    return ["--video", film, "--portraits", portraits, "--out", out, "--cluster"]


def started(film: Path, portraits: Path, out: Path) -> subprocess.Popen[str]:
    """The program in a process of its own, which keeps its results every second of film."""
    command = [sys.executable, "-c", IN_SMALL_UNITS, *map(str, flags(film, portraits, out))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stopped(running: subprocess.Popen[str], by: signal.Signals, once: Path) -> tuple[int, str]:
    """Send a signal once a file is there; exit code and standard error."""
    deadline = time.monotonic() + 60
    while not once.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    running.send_signal(by)
    _, told = running.communicate(timeout=60)
    return running.returncode, told


def contents(out: Path) -> dict[str, bytes]:
    """What lies in a folder of results, but for the account of when it was written."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != ".search.json")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_killed_at_any_stage_it_ends_with_the_same_bytes(
    script: Run, film: Path, portraits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films, "look_through", partial(look_through, habits=SMALL_UNITS))
    script("scripts/find_cast.py", *flags(film, portraits, tmp_path / "once"))
    out = tmp_path / "often"
    for stage in ("checkpoints/drawn_film/00002.npz", "appearances.csv"):
        code, _ = stopped(started(film, portraits, out), signal.SIGKILL, out / stage)
        assert code == -signal.SIGKILL, "it was done before"
    assert started(film, portraits, out).wait(timeout=60) == 0
    expected, found = contents(tmp_path / "once"), contents(out)
    assert {name: found[name] for name in expected} == expected
    # What was being written when it was killed has a hidden name.
    assert all(Path(name).name.startswith(".") for name in found.keys() - expected.keys())


def test_an_interrupt_is_a_line(film: Path, portraits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, told = stopped(started(film, portraits, out), signal.SIGINT, out / "checkpoints/drawn_film/00001.npz")
    assert (code, told) == (130, "interrupted\n")
    assert not (out / "appearances.csv").exists()


# ---------------------------------------------------------------------------- real


@pytest.fixture
def four_seconds(testdata: Path, tmp_path: Path) -> Path:
    """The first ones of the clip of friends, with their sound."""
    path = tmp_path / "friends.mp4"
    with av.open(str(testdata / "data/clips/friends/friends.mp4")) as whole, av.open(str(path), "w") as piece:
        streams = {stream.index: piece.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.pts is not None and packet.pts * packet.time_base < 4:
                packet.stream = streams[packet.stream.index]
                piece.mux(packet)
    return path


def test_four_seconds_of_a_real_film(testdata: Path, four_seconds: Path, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        for file in (testdata / "models" / name).iterdir():
            shutil.copy(file, tmp_path / "pack")
    out, portraits = tmp_path / "out", testdata / "data/clips/friends/portraits"
    models = ["--model", tmp_path / "pack", "--bodies", testdata / "models/osnet/osnet_x0_25_msmt17.onnx", "--gpu", -1]
    command = [sys.executable, ROOT / "scripts/find_cast.py", *flags(four_seconds, portraits, out), *models]
    command += ["--annotated", tmp_path / "drawn.mp4", "--highlights"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows(out):
        found.setdefault(row["cast"], []).append((float(row["start"]), float(row["end"])))
    named = {name: stretches for name, stretches in found.items() if not name.startswith("unknown-")}
    end = max(stretch[-1][1] for stretch in named.values())
    assert end == pytest.approx(4, abs=0.1)
    both = [(0, 2.2), (2.2, end)]
    expected = {"Joey": both[:1], "Phoebe": both[1:], "Rachel": both, "Ross": both}
    assert named.keys() == expected.keys()
    for name, stretches in expected.items():
        assert np.array(named[name]) == pytest.approx(np.array(stretches), abs=0.25)
    with av.open(str(tmp_path / "drawn.mp4")) as drawn:
        assert {stream.type for stream in drawn.streams} == {"video", "audio"}
        assert sum(1 for _ in drawn.decode(video=0)) == pytest.approx(end * 30, abs=1)
    assert {path.stem for path in (out / "highlights/friends").iterdir()} == found.keys()
