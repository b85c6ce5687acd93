"""Films and portraits that cannot be used, and flags that name something else: one line, and the mend."""

from __future__ import annotations

import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from castsearch.bodies import offline
from castsearch.demo_movie import GROUP, SINGLE, package_picture
from castsearch.movies import models
from castsearch.movies.persons import SSDLITE, PersonDetector, open_persons
from tests.cli.here import Run, runs_here
from tests.cli.table import Case, check
from tests.movies.clips import numbered, write_video
from tests.movies.drawn import Bodies


@cache
def ssdlite() -> PersonDetector:
    """It takes seconds to load: once for all cases."""
    return open_persons()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    known = lambda name, gpu: ssdlite() if name == SSDLITE else open_persons(name, gpu)  # noqa: E731
    monkeypatch.setattr(models, "open_persons", known)
    monkeypatch.setattr(offline, "open_offline", Bodies)  # no case gets so far
    return runs_here(monkeypatch, capfd)


def film(folder: Path) -> None:
    """A video in which nobody is."""
    (folder / "film.mp4").write_bytes(write_video(folder / "rendered.mp4", numbered(30)).read_bytes())
    (folder / "rendered.mp4").unlink()


def single() -> Image.Image:
    return Image.fromarray(package_picture(*SINGLE)).crop((120, 0, 330, 256))


def portraits(folder: Path, **pictures: Image.Image) -> None:
    """A film and a portrait a person, by default of one."""
    film(folder)
    (folder / "portraits").mkdir()
    for name, picture in (pictures or {"Joey": single()}).items():
        picture.save(folder / f"portraits/{name}.png")


def sound_only(folder: Path) -> None:
    portraits(folder)
    with wave.open(str(folder / "film.mp4"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))


def of(content: bytes) -> Callable[[Path], None]:
    """In the film's place something else."""

    def prepare(folder: Path) -> None:
        portraits(folder)
        (folder / "film.mp4").write_bytes(content)

    return prepare


def notes(folder: Path) -> None:
    """In the film's place a folder of notes."""
    portraits(folder)
    (folder / "stills").mkdir()
    (folder / "stills/notes.txt").write_text("bring pictures")


def two_films(folder: Path) -> None:
    portraits(folder)
    (folder / "Other").mkdir()
    (folder / "Other/FILM.mkv").write_bytes((folder / "film.mp4").read_bytes())


def empty(folder: Path) -> None:
    film(folder)
    (folder / "portraits").mkdir()


def faceless(folder: Path) -> None:
    portraits(folder, Joey=single(), Ross=GREY)


def group(folder: Path) -> None:
    portraits(folder, Joey=GROUPED)


def unreadable(folder: Path) -> None:
    portraits(folder)
    (folder / "portraits/Ross.jpg").write_bytes(b"\xff\xd8\xff no picture")


def twice(folder: Path) -> None:
    portraits(folder)
    (folder / "portraits/Joey").mkdir()
    single().resize((300, 360)).save(folder / "portraits/Joey/1.png")


def same(folder: Path) -> None:
    portraits(folder, Joey=single(), Ross=single())


def out_is_a_file(folder: Path) -> None:
    portraits(folder)
    (folder / "out").write_text("mine")


def no_network(folder: Path) -> None:
    portraits(folder)
    (folder / "b.onnx").write_bytes(b"no network")


FIND = "scripts/find_cast.py --video {tmp}/film.mp4 --portraits {tmp}/portraits --out {tmp}/out --model dlib"
GREY = Image.new("RGB", (160, 200), "grey")
GROUPED = Image.fromarray(package_picture(*GROUP)).resize((640, 443))


def bad(name: str, prepare: Callable[[Path], object], says: str, *more: str, **changed: str) -> Case:
    """A film that cannot be used: what the error line holds besides; flags that are added, words that are changed."""
    command = " ".join([FIND, *more])
    for word, other in changed.items():
        command = command.replace(FIELDS[word], other)
    return Case(name, prepare, command, tuple(says.split(" ... ")), writes=("out/checkpoints/*",))


FIELDS = {"video": "{tmp}/film.mp4", "out": "{tmp}/out", "model": "dlib"}
FILM, PEOPLE = "{tmp}/film.mp4: ", "{tmp}/portraits"
CASES = [
    bad("a film that is not there", lambda folder: None, f"{FILM}no such file; name the video"),
    bad("sound only", sound_only, f"{FILM}has no video stream (only audio); name a video"),
    bad("a text", of(b"a film\n" * 99), f"{FILM}is no video that FFmpeg can read ... check the file"),
    bad("an empty film", of(b""), f"{FILM}is empty; copy it again"),
    bad("a folder without pictures", notes, "{tmp}/stills: holds no picture; name", video="{tmp}/stills"),
    bad("a film without people", portraits, f"{FILM}shows nobody, as far as ssdlite sees; choose another detector"),
    bad("no portraits", film, f"{PEOPLE}: no such file; name the folder of the portraits"),
    bad("no portrait", empty, f"{PEOPLE}: holds no portrait; put a picture a person there, named as the person"),
    bad("no face", faceless, f"{PEOPLE}/Ross.png: no face; take a portrait that shows one; nothing else shows Ross"),
    bad("a group", group, f"{PEOPLE}/Joey.png: shows faces of like size, at 3 ... crop it to the person"),
    bad("no picture", unreadable, f"{PEOPLE}/Ross.jpg: cannot be read ... replace it"),
    bad("a name twice", twice, f"{PEOPLE}/Joey.png: the name is that of Joey already; rename one of them"),
    bad("a picture for two", same, f"{PEOPLE}/Ross.png: is the same picture as {PEOPLE}/Joey.png; give Ross and Joey"),
    bad("a file as --out", out_is_a_file, "{tmp}/out: is a file, where a folder was expected; choose another place"),
    bad("nobody may write to --out", portraits, "/proc/out ... cannot be written ... choose another", out="/proc/out"),
    bad("--annotated below a file", portraits, "{tmp}/film.mp4", "--annotated {tmp}/film.mp4/a.mp4"),
    bad("--annotated of another kind", portraits, "--annotated names one .mp4", "--annotated {tmp}/a.avi"),
    bad("--annotated the film", portraits, "--annotated names the film itself", "--annotated {tmp}/film.mp4"),
    bad("--annotated of two films", portraits, "for one film", "--annotated {tmp}/a.mp4", video="{tmp}/a {tmp}/b"),
    bad("--bodies that is not there", portraits, "{tmp}/no.onnx: no such file; name an", "--bodies {tmp}/no.onnx"),
    bad("--bodies no network", no_network, "{tmp}/b.onnx: not a usable network ... get it", "--bodies {tmp}/b.onnx"),
    bad("--persons unknown", portraits, "yolo: no such detector of persons; choose ssdlite, ", "--persons yolo"),
    bad("--shots unknown", portraits, "--shots ... 'cuts' ... transnetv2", "--shots cuts"),
    bad("--rate in words", portraits, "--rate: fast: expected pictures a second, as 25 or 30000/1001", "--rate fast"),
    bad("--rate of nothing", portraits, "--rate: 25/0: expected pictures a second", "--rate 25/0"),
    bad("--rate backwards", portraits, "--rate: -5: expected pictures a second", "--rate=-5"),
    bad("--model unknown", portraits, "arcface99: no such face pack; choose one of dlib, open, ", model="arcface99"),
    bad(
        "two films of one name",
        two_films,
        "{tmp}/Other/FILM.mkv: its results would have the names of those of {tmp}/film.mp4; rename one of the films",
        video="{tmp}/film.mp4 {tmp}/Other/FILM.mkv",
    ),
    bad("the second film", portraits, "{tmp}/no.mp4: no such file; name the", video="{tmp}/film.mp4 {tmp}/no.mp4"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_films(case: Case, script: Run, tmp_path: Path) -> None:
    check(case, script, tmp_path)
