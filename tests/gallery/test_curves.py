"""Curves and histograms as SVG: what is drawn where, by which words, in which colours."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from castsearch.gallery.curves import first_hits_svg, hits_svg, precision_recall_svg, write_curves
from castsearch.metrics import evaluate

SVG = "{http://www.w3.org/2000/svg}"
ODD = '<script>alert("&")</script>\x07.txt'
LABELS = {"a": ["1"], "b": ["1", "2"], "c": ["9"]}
GOOD = evaluate(LABELS, {"a": ["1"], "b": ["1", "x", "2"], "c": ["x"]})
BAD = evaluate(LABELS, {"a": ["x", "1"], "b": ["x", "y", "z", "1"], "c": ["x"]})
BOTH = {"good.txt": GOOD, ODD: BAD}
DRAW = {"pr": precision_recall_svg, "first": first_hits_svg, "hits": hits_svg}


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_a_curve_goes_through_its_points():
    root = ElementTree.fromstring(precision_recall_svg(BOTH))
    good, bad = (line for line in root.iter(f"{SVG}polyline") if line.find(f"{SVG}title") is not None)
    points = [tuple(map(float, point.split(","))) for point in good.get("points").split()]
    assert len(points) == 101
    assert points[0] == (70, pytest.approx(94 + 300 * (1 - 2 / 3), abs=0.06))
    assert points[-1] == (690, pytest.approx(94 + 300 * (1 - (1 + 2 / 3) / 3), abs=0.06))
    assert good.get("class") == "line0" and bad.get("class") == "line1"
    assert good.find(f"{SVG}title").text.startswith("good.txt: mAP 61.11, precision at recall in percent: 67 at 0, ")
    assert "good.txt: mAP 61.11" in texts(root)


@pytest.mark.parametrize(
    ("draw", "counts"),
    [
        (first_hits_svg, [[2, 0, 0, 0, 1], [0, 1, 1, 0, 1]]),
        (hits_svg, [[2, 0, 1, 0, 1], [0, 1, 1, 0, 2]]),
    ],
)
def test_bars_are_as_high_as_shares(draw, counts):
    root = ElementTree.fromstring(draw(BOTH))
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    for number, own in enumerate(counts):
        drawn = [bar for bar in bars if bar.get("class") == f"bar{number}"]
        top = 1.0 if draw is first_hits_svg else 0.5
        assert [float(bar.get("height")) for bar in drawn] == pytest.approx(
            [300 * n / sum(own) / top for n in own], abs=0.1
        )
        assert all(float(bar.get("y")) + float(bar.get("height")) == pytest.approx(394) for bar in drawn)
    starts = [float(bar.get("x")) for bar in bars]
    ends = [x + float(bar.get("width")) for x, bar in zip(starts, bars, strict=True)]
    pairs = sorted(zip(starts, ends, strict=True))
    assert all(end < start for (_, end), (start, _) in pairwise(pairs))  # none covers another
    assert {"1", "2", "5", "10", "none"} <= set(texts(root))
    what = "casts" if draw is first_hits_svg else "true candidates"
    assert (
        bars[0].find(f"{SVG}title").text == f"good.txt, 1: 2 of {sum(counts[0])} {what} ({200 / sum(counts[0]):.1f} %)"
    )


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_pictures_tell_those_who_do_not_see_them(draw):
    root = ElementTree.fromstring(draw(BOTH))
    assert root.get("role") == "img"
    assert [element.tag for element in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    about = root.find(f"{SVG}desc").text
    assert "good.txt: " in about and '<script>alert("&")</script> .txt: ' in about


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_names_are_text(draw):
    text = draw(BOTH)
    assert "<script" not in text and "\x07" not in text
    assert any(line.startswith('<script>alert("&")</script> .txt') for line in texts(ElementTree.fromstring(text)))


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_pictures_are_dark_in_the_dark(draw):
    style = ElementTree.fromstring(draw(BOTH)).find(f"{SVG}style").text
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for kind in (".ground", ".grid", ".axis", "text", ".line0", ".bar5"):
        (one,) = [part.split("}")[0] for part in light.split(f"{kind} {{")[1:]]
        (other,) = [part.split("}")[0] for part in dark.split(f"{kind} {{")[1:]]
        assert one.split(";")[0] != other.split(";")[0], kind


def test_long_names_are_cut_and_many_submissions_fit():
    many = {f"{n}{'x' * 90}.txt": GOOD for n in range(9)}
    root = ElementTree.fromstring(hits_svg(many))
    rows = [text for text in root.iter(f"{SVG}text") if text.find(f"{SVG}title") is not None]
    assert len(rows) == 9 and all(len(row.text) == 48 for row in rows)
    assert [row.find(f"{SVG}title").text for row in rows] == [*many]
    assert float(rows[-1].get("y")) < float(root.get("height"))
    assert {bar.get("class") for bar in root.iter(f"{SVG}rect")} == {"ground", *(f"bar{n}" for n in range(6))}


def test_three_pictures_are_written(tmp_path):
    paths = write_curves({"a": GOOD}, tmp_path / "new")
    assert [path.name for path in paths] == ["precision_recall.svg", "first_hits.svg", "hits.svg"]
    assert [ElementTree.parse(path).getroot()[0].text for path in paths] == [
        "Precision over recall",
        "Rank of the first hit",
        "Ranks of all hits",
    ]
