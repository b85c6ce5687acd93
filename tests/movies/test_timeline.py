"""The timeline picture: bars where the appearances are, in both forms."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from castsearch import fonts
from castsearch.movies import timeline
from castsearch.movies.appearances import Appearance, Film, FilmCast
from castsearch.movies.timeline import timeline_picture, timeline_svg, write_timeline
from castsearch.movies.times import Stretch

SVG = "{http://www.w3.org/2000/svg}"


def example(
    duration: float = 15.0, shots: int = 3, people: tuple[str, ...] = ("Joey", "<Ann & Co>"), **more: object
) -> FilmCast:
    edges = np.linspace(0, duration, shots + 1)
    film = Film(
        "friends", Path("f.mp4"), Fraction(30), duration, (640, 360), tuple(map(Stretch, edges, edges[1:])), [0.0]
    )  # fmt: skip
    appearances = (
        Appearance(people[0], Stretch(0, duration / 3), 1, 0.99, "face", ()),
        Appearance(people[1], Stretch(duration / 2, duration / 2 + 0.1), 2, 0.75, "track", ()),
        Appearance(people[0], Stretch(2 * duration / 3, duration), 3, 0.8, "body", ()),
    )
    presence = {**dict.fromkeys(people, 0.99), "Nobody": 0.02}
    return FilmCast(film, (*people, "Nobody"), more.get("appearances", appearances), presence, ("Nobody",))  # type: ignore[arg-type]


def marks(cast: FilmCast, tag: str, kind: str) -> list[ElementTree.Element]:
    return [
        mark for mark in ElementTree.fromstring(timeline_svg(cast)).iter(f"{SVG}{tag}") if mark.get("class") == kind
    ]


def bars(cast: FilmCast, kind: str) -> list[tuple[float, float]]:
    """Where the film's bars of a kind begin and end, as shares of its length; the legend's left out."""
    (lane, *_) = marks(cast, "rect", "lane")
    left, span = float(lane.get("x")), float(lane.get("width"))
    found = [mark for mark in marks(cast, "rect", kind) if mark.find(f"{SVG}title") is not None]
    return [
        ((float(m.get("x")) - left) / span, (float(m.get("x")) + float(m.get("width")) - left) / span) for m in found
    ]


def test_bars_lie_where_people_appear() -> None:
    cast = example()
    assert bars(cast, "face") == [pytest.approx((0, 1 / 3), abs=1e-3)]
    assert bars(cast, "body") == [pytest.approx((2 / 3, 1), abs=1e-3)]
    assert bars(cast, "track") == [pytest.approx((0.5, 0.5 + 0.1 / 15), abs=1e-3)]


def test_bars_of_a_long_film_are_seen() -> None:
    ((start, end),) = bars(example(duration=10800), "track")
    (lane, *_) = marks(example(duration=10800), "rect", "lane")
    assert start == pytest.approx(0.5)
    assert (end - start) * float(lane.get("width")) == pytest.approx(1.0, abs=0.01)


def test_what_the_rows_say() -> None:
    cast = example(people=("Joey", "<Ann & Co>\n"))
    assert [mark.text for mark in marks(cast, "text", "name")] == ["Joey", "<Ann & Co>"]
    assert [mark.text for mark in marks(cast, "text", "absent")] == ["Nobody", "probably not in the film (2 %)"]
    small = [mark.text for mark in marks(cast, "text", "small")]
    assert small[:8] == [f"0:{second:02}" for second in range(0, 16, 2)]
    assert small[8:] == ["0:15 · 2 of 3 people · 3 shots", "by face", "by body", "by track", "10.0 s", "0.1 s"]
    told = ElementTree.fromstring(timeline_svg(cast)).findall(f".//{SVG}rect/{SVG}title")
    assert told[0].text == "Joey, 0:00.00 to 0:05.00, shot 1, 99 %, by face"


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(10, 1), (60, 10), (600, 60), (7200, 900), (10800, 1800), (86400, 14400)],
)
def test_labels_of_the_axis(duration: float, expected: int) -> None:
    labels = [mark.text for mark in marks(example(duration), "text", "small") if mark.get("text-anchor") == "middle"]
    assert labels[1] == timeline._clock(expected)
    assert len(labels) == duration // expected + 1


def test_shots_are_lines_while_they_are_few() -> None:
    heights = {
        shots: {float(mark.get("height")) for mark in marks(example(shots=shots), "rect", "shot")} for shots in (4, 900)
    }
    (line,), (tick,) = heights[4], heights[900]
    assert line > 3 * timeline._ROW
    assert tick == timeline._STRIP
    assert len(marks(example(shots=4), "rect", "shot")) == 3
    assert len(marks(example(shots=9000), "rect", "shot")) <= 1000


def test_long_names_are_cut_and_told_whole() -> None:
    name = "Maximiliane Konstantinopolitanskaja-Hohenzollern"
    first = marks(example(people=(name, "王" * 30)), "text", "name")
    assert [mark.text for mark in first][1] == "王" * 10 + "…"
    assert first[0].text.startswith("Maximiliane") and first[0].text.endswith("…")
    assert first[0].find(f"{SVG}title").text == name


def test_svg_has_colours_for_the_dark() -> None:
    style = ElementTree.fromstring(timeline_svg(example())).find(f"{SVG}style").text
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    assert ".ground { fill: #ffffff; }" in light
    assert ".ground { fill: #0d1117; }" in dark
    assert all(
        f".{kind} {{" in light and f".{kind} {{" in dark for kind in ("lane", "face", "body", "track", "name", "absent")
    )


def test_png_shows_the_same(tmp_path: Path) -> None:
    cast = example()
    write_timeline(cast, tmp_path / "t.png")
    write_timeline(cast, tmp_path / "t.svg")
    assert (tmp_path / "t.svg").read_text(encoding="utf-8") == timeline_svg(cast)
    picture = np.asarray(Image.open(tmp_path / "t.png").convert("RGB"))
    root = ElementTree.fromstring(timeline_svg(cast))
    assert picture.shape[:2] == (2 * int(root.get("height")), 2 * int(root.get("width")))
    for kind, colour in (("face", (0x12, 0x47, 0x7F)), ("body", (0x4A, 0x90, 0xD9)), ("track", (0xA9, 0xCD, 0xF0))):
        bar = next(mark for mark in marks(cast, "rect", kind) if mark.find(f"{SVG}title") is not None)
        x, y, width, height = (2 * float(bar.get(side)) for side in ("x", "y", "width", "height"))
        inside = picture[int(y) + 1 : int(y + height) - 1, round(x) + 1 : round(x + width) - 1]
        assert (inside == colour).all()


def test_letters_that_no_font_has_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_system_fonts", lambda letters: iter(()))
    cast = example(people=("王菲", "王 Joey"))
    fonts._fonts_with.cache_clear()
    assert write_timeline(cast, tmp_path / "t.png") == "王菲"
    fonts._fonts_with.cache_clear()
    assert write_timeline(cast, tmp_path / "t.svg") == ""
    assert write_timeline(example(), tmp_path / "t.png") == ""


def test_nothing_to_show() -> None:
    film = Film("none", Path("f"), Fraction(25), 0.0, (2, 2), (), [])
    empty = FilmCast(film, (), (), {})
    assert "0:00 · 0 of 0 people · 0 shots" in timeline_svg(empty)
    assert timeline_picture(empty).image.width == 2 * timeline._WIDTH
