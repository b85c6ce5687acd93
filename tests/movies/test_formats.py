"""Formats of appearances: each is read back by its own library, to the frame, whatever the names."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pympi
import pytest
import webvtt
from pycocotools.coco import COCO

from castsearch.movies.appearances import Appearance, Film, FilmCast, SeenBox
from castsearch.movies.errors import MovieError
from castsearch.movies.formats import read_appearances, write_formats
from castsearch.movies.formats.table import COLUMNS
from castsearch.movies.timecodes import Clock, frame_of
from castsearch.movies.times import Stretch

NAMES = ("Joey", 'A <b>&"c"</b> --> d', "Line\nbreak", "שלום עולם", "😀 Ann", "=HYPERLINK(1)", " -dash", "'quoted'")
RATES = {"23.976": "24000/1001", "25": "25", "29.97": "30000/1001", "variable": "30000/1001"}


def times_of(kind: str, seconds: int) -> np.ndarray:
    rate = Fraction(RATES[kind])
    times = np.arange(int(seconds * rate)) * float(1 / rate)
    if kind == "variable":  # a third of the pictures is missing, the others are late by up to 5 ms
        rng = np.random.default_rng(1)
        times = times[np.sort(rng.choice(len(times), 2 * len(times) // 3, replace=False))]
        times = times + rng.uniform(0, 0.005, len(times))
        times -= times[0]
    return times


def example(
    kind: str = "23.976", seconds: int = 60, count: int = 20, names: tuple[str, ...] = NAMES, movie: str = "film"
) -> FilmCast:
    """Appearances in turn, each of as many pictures as its place, with two boxes."""
    times, rate = times_of(kind, seconds), Fraction(RATES[kind])
    starts = np.linspace(0, len(times) - 40, count).astype(int)
    appearances = []
    for number, start in enumerate(starts):
        stretch = Stretch(float(times[start]), float(times[start + 1 + number % 30]))
        boxes = (
            SeenBox(
                stretch.start, (1, 2, 30, 40 + number % 9), f"{movie}/candidates/img{number}.jpg", f"c{number}", "face"
            ),
            SeenBox(stretch.start + 0.01, (2, 2, 30, 40), None, None, "track"),
        )
        found_by = ("face", "body", "track")[number % 3]
        appearances.append(Appearance(names[number % len(names)], stretch, 1, 0.5 + number % 50 / 100, found_by, boxes))
    duration = float(times[-1] + 1 / rate)
    film = Film(movie, Path("/films/a b") / f"{movie}.mp4", rate, duration, (640, 360), (Stretch(0, duration),), times)
    presence = {**dict.fromkeys(names, 0.97531), "Nobody": 0.02}
    return FilmCast(film, (*names, "Nobody"), tuple(appearances), presence, ("Nobody",))


def one_line(name: str) -> str:
    return name.replace("\n", " ").strip()


def expected_frames(cast: FilmCast) -> list[tuple[int, int]]:
    """By counting, or for pictures that come when they will, by the nearest tick of the clock."""
    rate = float(cast.film.rate)
    return [(round(one.stretch.start * rate), round(one.stretch.end * rate)) for one in cast.appearances]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=RATES)
def two_hours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[FilmCast, Path]:
    folder = tmp_path_factory.mktemp("formats")
    cast = example(request.param, seconds=7200, count=300)
    write_formats([cast], folder)
    return cast, folder


class TestNoDrift:
    """Two hours at each rate: what a format's own library reads is the same to a frame."""

    def test_csv(self, two_hours: tuple[FilmCast, Path]) -> None:
        cast, folder = two_hours
        clock, found = Clock(cast.film), rows(folder / "appearances.csv")
        stretches = [Stretch(float(row["start"]), float(row["end"])) for row in found]
        assert [clock.frames(stretch) for stretch in stretches] == expected_frames(cast)
        codes = [
            (frame_of(row["start_timecode"], clock.rate), frame_of(row["end_timecode"], clock.rate)) for row in found
        ]
        assert codes == expected_frames(cast)
        assert max(abs(a.start - b.stretch.start) for a, b in zip(stretches, cast.appearances, strict=True)) < 1e-6

    def test_webvtt(self, two_hours: tuple[FilmCast, Path]) -> None:
        cast, folder = two_hours
        clock, cues = Clock(cast.film), webvtt.read(str(folder / "film.vtt")).captions
        stretches = [
            Stretch(cue.start_time.in_milliseconds() / 1000, cue.end_time.in_milliseconds() / 1000) for cue in cues
        ]
        assert [clock.frames(stretch) for stretch in stretches] == expected_frames(cast)

    def test_otio(self, two_hours: tuple[FilmCast, Path]) -> None:
        cast, folder = two_hours
        (clip,) = otio.adapters.read_from_file(str(folder / "film.otio")).find_clips()
        ranges = [marker.marked_range for marker in clip.markers]
        assert [(r.start_time.to_frames(), r.end_time_exclusive().to_frames()) for r in ranges] == expected_frames(cast)
        assert {r.start_time.rate for r in ranges} == {float(Clock(cast.film).rate)}

    def test_edl(self, two_hours: tuple[FilmCast, Path]) -> None:
        """The adapter reads no marker whose timecode is drop-frame; those are read here as it reads the others."""
        cast, folder = two_hours
        rate, path = Clock(cast.film).rate, folder / "film.edl"
        (clip,) = otio.adapters.read_from_file(str(path), rate=float(rate)).find_clips()
        assert clip.source_range.duration.to_frames() == round(cast.film.duration * float(rate))
        marks = re.findall(r"^\* LOC: (\S+) .*\(TO (\S+)\)$", path.read_text(), re.MULTILINE)
        assert [tuple(frame_of(code, rate) for code in mark) for mark in marks] == expected_frames(cast)
        dropped = rate == Fraction(30000, 1001)
        assert path.read_text().splitlines()[1] == f"FCM: {'DROP' if dropped else 'NON-DROP'} FRAME"
        starts = [] if dropped else [start for start, _ in expected_frames(cast)]
        assert [marker.marked_range.start_time.to_frames() for marker in clip.markers] == starts

    def test_elan(self, two_hours: tuple[FilmCast, Path]) -> None:
        cast, folder = two_hours
        clock, eaf = Clock(cast.film), pympi.Elan.Eaf(str(folder / "film.eaf"))
        found = {name: eaf.get_annotation_data_for_tier(one_line(name)) for name in cast.people}
        read = [
            (name, clock.frames(Stretch(start / 1000, end / 1000)), value)
            for name, annotations in found.items()
            for start, end, value, *_ in annotations
        ]
        told = zip(cast.appearances, expected_frames(cast), strict=True)
        assert sorted(read) == sorted((one.cast, frames, f"{100 * one.probability:.0f} %") for one, frames in told)

    def test_json(self, two_hours: tuple[FilmCast, Path]) -> None:
        cast, folder = two_hours
        (read,) = read_appearances(folder / "appearances.json")
        clock = Clock(read.film)
        assert [clock.frames(one.stretch) for one in read.appearances] == expected_frames(cast)
        assert np.abs(np.array(read.film.times) - cast.film.times).max() < 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    write_formats([example()], folder)
    return folder


class TestNames:
    def test_csv_runs_no_formula(self, folder: Path) -> None:
        found = rows(folder / "appearances.csv")
        assert tuple(found[0]) == COLUMNS
        expected = [f"'{name}" if name.strip()[0] in "=-" else name for name in NAMES]
        assert [row["cast"] for row in found[: len(NAMES)]] == expected

    def test_csv_is_scored(self, folder: Path, testdata: Path, tmp_path: Path) -> None:
        """The scorer of the test data knows the people by the letters of their names."""
        visible: dict[str, list[list[float]]] = {}
        for one in example().appearances:
            visible.setdefault(one.cast, []).append([one.stretch.start, one.stretch.end])
        truth = {
            "duration": 60,
            "cuts": [],
            "visible": {n: visible[n] for n in (" -dash", "=HYPERLINK(1)")},
            "unclear": {},
        }
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        command = [
            sys.executable,
            testdata / "tools/score_appearances.py",
            folder / "appearances.csv",
            tmp_path / "truth.json",
        ]
        told = subprocess.run(
            [*map(str, command), "--tolerance", "0"], capture_output=True, text=True, check=True
        ).stdout
        assert told.count("F1 1.000") == 3

    def test_webvtt(self, folder: Path) -> None:
        cues = webvtt.read(str(folder / "film.vtt")).captions[: len(NAMES)]
        names = [one_line(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for name in NAMES]
        assert [cue.text for cue in cues] == names
        assert [cue.voice for cue in cues] == names

    def test_otio(self, folder: Path) -> None:
        (clip,) = otio.adapters.read_from_file(str(folder / "film.otio")).find_clips()
        assert [marker.name for marker in clip.markers[: len(NAMES)]] == [one_line(name) for name in NAMES]
        assert clip.media_reference.target_url == "file:///films/a%20b/film.mp4"
        assert len({marker.color for marker in clip.markers}) == len(NAMES)
        assert clip.markers[1].metadata["castsearch"] == {"shot": 1, "probability": 0.51, "found_by": "body"}

    def test_edl_keeps_names_in_capitals_and_colours(self, folder: Path) -> None:
        (clip,) = otio.adapters.read_from_file(str(folder / "film.edl"), rate=24000 / 1001).find_clips()
        read = [marker.name.rpartition(" (TO")[0] for marker in clip.markers[: len(NAMES)]]
        assert read == [one_line(name).upper() for name in NAMES]
        assert [marker.color for marker in clip.markers[:2]] == ["RED", "GREEN"]

    def test_elan(self, folder: Path) -> None:
        eaf = pympi.Elan.Eaf(str(folder / "film.eaf"))
        assert list(eaf.get_tier_names()) == [*map(one_line, NAMES), "Nobody"]
        assert eaf.media_descriptors[0]["MEDIA_URL"] == "file:///films/a%20b/film.mp4"
        assert eaf.media_descriptors[0]["MIME_TYPE"] == "video/mp4"

    def test_coco(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        coco = COCO(str(folder / "boxes.json"))
        assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [*NAMES, "Nobody"]
        (image,) = coco.loadImgs([2])
        assert image == {
            "id": 2,
            "file_name": "film/candidates/img1.jpg",
            "width": 640,
            "height": 360,
            "seconds": image["seconds"],
        }
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
        assert (annotation["bbox"], annotation["area"], annotation["category_id"]) == ([1, 2, 30, 41], 1230, 2)
        assert len(coco.getAnnIds()) == 20  # boxes without a picture are none

    def test_names_alike_on_one_line_are_two_tiers(self, tmp_path: Path) -> None:
        write_formats([example(names=("a b", "a\nb", "default"))], tmp_path)
        assert list(pympi.Elan.Eaf(str(tmp_path / "film.eaf")).get_tier_names()) == [
            "a b",
            "a b (2)",
            "default",
            "Nobody",
        ]

    def test_control_characters_leave_xml_whole(self, tmp_path: Path) -> None:
        write_formats([example(names=("a\x00\x1bb", "half\udcff"))], tmp_path)
        assert list(pympi.Elan.Eaf(str(tmp_path / "film.eaf")).get_tier_names()) == ["a b", "half?", "Nobody"]


def test_json_comes_back_whole(tmp_path: Path) -> None:
    casts = [example("25"), example("variable", movie="second", names=("Joey",))]
    written = write_formats(casts, tmp_path)
    assert [path.name for path in written] == [
        *("appearances.csv", "appearances.json", "boxes.json", "film.vtt", "film.otio", "film.edl", "film.eaf"),
        *("second.vtt", "second.otio", "second.edl", "second.eaf"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    for read, cast in zip(read_appearances(tmp_path / "appearances.json"), casts, strict=True):
        assert rounded(read) == rounded(cast)


def rounded(value: Any) -> Any:
    """Floats to the decimals that the file has."""
    if dataclasses.is_dataclass(value):
        return {field.name: rounded(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [rounded(item) for item in value]
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value


def test_the_same_search_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_formats([example()], tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_nobody_appears(tmp_path: Path) -> None:
    nobody = dataclasses.replace(example(), appearances=())
    write_formats([nobody], tmp_path)
    assert rows(tmp_path / "appearances.csv") == []
    assert len(webvtt.read(str(tmp_path / "film.vtt")).captions) == 0
    for suffix in ("otio", "edl"):
        told = otio.adapters.read_from_file(str(tmp_path / f"film.{suffix}"))
        (clip,) = told.find_clips()
        assert (len(clip.markers), clip.name) == (0, "film")
        assert clip.source_range.duration.to_frames() == len(nobody.film.times)
    eaf = pympi.Elan.Eaf(str(tmp_path / "film.eaf"))
    assert [eaf.get_annotation_data_for_tier(tier) for tier in eaf.get_tier_names()] == [[]] * (len(NAMES) + 1)
    assert len(COCO(str(tmp_path / "boxes.json")).getImgIds()) == 0
    assert read_appearances(tmp_path / "appearances.json")[0].absent == ("Nobody",)
    write_formats([], tmp_path / "none")
    assert read_appearances(tmp_path / "none/appearances.json") == []


def test_ten_thousand_appearances(tmp_path: Path) -> None:
    cast = example("29.97", seconds=7200, count=10_000)
    write_formats([cast], tmp_path)
    assert len(rows(tmp_path / "appearances.csv")) == 10_000
    assert len(webvtt.read(str(tmp_path / "film.vtt")).captions) == 10_000
    assert len(read_appearances(tmp_path / "appearances.json")[0].appearances) == 10_000
    (clip,) = otio.adapters.read_from_file(str(tmp_path / "film.otio")).find_clips()
    assert len(clip.markers) == 10_000
    assert (tmp_path / "film.edl").read_text().count("* LOC:") == 10_000
    elan = (tmp_path / "film.eaf").read_text()
    assert elan.count("<ALIGNABLE_ANNOTATION") == 10_000
    slots = [int(slot) for slot in re.findall(r'TIME_VALUE="(\d+)"', elan)]
    assert slots == sorted(slots) and len(slots) == 20_000  # though appearances overlap
    assert len(json.loads((tmp_path / "boxes.json").read_text())["annotations"]) == 10_000


def test_a_film_of_a_rate_that_editing_programs_lack(tmp_path: Path) -> None:
    """Fifteen pictures a second are every second frame of thirty."""
    cast = example("25")
    times = np.arange(900) / 15
    film = dataclasses.replace(cast.film, rate=Fraction(15), times=times, start=10.0)
    one = dataclasses.replace(cast.appearances[0], stretch=Stretch(times[3], times[7]))
    write_formats([dataclasses.replace(cast, film=film, appearances=(one,))], tmp_path)
    row = rows(tmp_path / "appearances.csv")[0]
    assert (row["start_timecode"], row["end_timecode"]) == ("00:00:10:06", "00:00:10:14")
    (clip,) = otio.adapters.read_from_file(str(tmp_path / "film.edl"), rate=30).find_clips()
    assert clip.markers[0].marked_range.start_time.to_timecode() == "00:00:10:06"
    assert clip.source_range.start_time.to_timecode() == "00:00:10:00"


def test_two_films_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match="two films are named film, which names their files; rename one"):
        write_formats([example(), example()], tmp_path)
    assert list(tmp_path.iterdir()) == []


DAMAGES = [
    (("format",), "castsearch result", "expected 'castsearch appearances' of version 1"),
    (("version",), 2, "expected 'castsearch appearances' of version 1"),
    (("movies",), {}, "'movies' is a dict: expected a list"),
    (("movies", 0), 5, "movie 1: expected an object, found 5"),
    (("movies", 0, "name"), "a/b", "'name' is a/b, which holds a path"),
    (("movies", 0, "rate"), "30/0", "movie film: 'rate' is 30/0: expected pictures a second"),
    (("movies", 0, "rate"), "1e999999999", "movie film: 'rate' is 1e999999999: expected pictures a second"),
    (("movies", 0, "duration"), 10**400, "'duration' is .*: expected a number from 0 to"),
    (("movies", 0, "appearances", 2, "boxes", 0, "bbox"), [1, 2, 3, 10**400], "box 1: 'bbox' is"),
    (("movies", 0, "duration"), -1, "'duration' is -1: expected a number from 0 to"),
    (("movies", 0, "duration"), float("nan"), "'duration' is nan: expected a number"),
    (("movies", 0, "size"), [640], "'size': expected two sides"),
    (("movies", 0, "pictures"), 10**12, "'pictures' is 1000000000000: expected a whole number from 0 to"),
    (("movies", 0, "times"), [0.0, 1.0], "expected 1438 'times', as many as 'pictures', found 2"),
    (("movies", 0, "shots", 0), [1], "shot 1: expected its start and end in seconds"),
    (("movies", 0, "shots", 0), [5, 1], "a stretch from 5 to 1: expected the start first"),
    (("movies", 0, "people", 1, "name"), "Joey", "one name stands twice among the people"),
    (("movies", 0, "people", 1, "presence"), 1.5, "'presence' is 1.5: expected a number from 0 to 1"),
    (("movies", 0, "people", 0, "absent"), True, "appearance 1: Joey is none of the movie's people, or said"),
    (("movies", 0, "people", 0, "absent"), 0, "person Joey: 'absent' is 0: expected true or false"),
    (("movies", 0, "appearances", 2, "cast"), "Rachel", "film: appearance 3: Rachel is none of the movie's people"),
    (("movies", 0, "appearances", 2, "end"), 1e6, "appearance 3: a stretch to 1e\\+06: the movie ends at"),
    (("movies", 0, "appearances", 2, "start"), True, "appearance 3: 'start' is True: expected a number"),
    (("movies", 0, "appearances", 2, "shot"), 2, "'shot' is 2: expected a whole number from 1 to 1"),
    (("movies", 0, "appearances", 2, "probability"), 2, "'probability' is 2: expected a number from 0 to 1"),
    (("movies", 0, "appearances", 2, "found_by"), "luck", "'found_by' is luck: expected face or body or track"),
    (("movies", 0, "appearances", 2, "boxes", 0, "bbox"), [1, 2, 0, 4], "box 1: 'bbox' is \\[1, 2, 0, 4\\]: expected"),
    (("movies", 0, "appearances", 2, "boxes", 0, "frame"), "../x.jpg", "'frame' is ../x.jpg, which must stay below"),
    (("movies", 0, "appearances", 2, "boxes", 1, "candidate"), 7, "box 2: 'candidate' is 7: expected a word or null"),
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("json")
    write_formats([example()], folder)
    return json.loads((folder / "appearances.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("place", "value", "message"), DAMAGES, ids=lambda value: str(value)[-30:])
def test_damaged_json_is_told_in_one_line(
    written: dict[str, Any], tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    content = json.loads(json.dumps(written))
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    (tmp_path / "appearances.json").write_text(json.dumps(content))
    with pytest.raises(MovieError, match=message) as told:
        read_appearances(tmp_path / "appearances.json")
    assert "\n" not in str(told.value)
    assert "appearances.json" in str(told.value)


@pytest.mark.parametrize("name", ["name", "path", "times", "shots", "people", "appearances"])
def test_json_that_lacks_something(written: dict[str, Any], tmp_path: Path, name: str) -> None:
    movie = {key: value for key, value in written["movies"][0].items() if key != name}
    (tmp_path / "a.json").write_text(json.dumps({**written, "movies": [movie]}))
    with pytest.raises(MovieError, match=f"'{name}' is missing"):
        read_appearances(tmp_path / "a.json")
