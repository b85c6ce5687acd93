"""A picture of who appears when: a row a person, a bar an appearance, as SVG and as PNG.

Both draw the same marks, which are laid out once. The SVG takes light or dark colours from whoever shows it, and tells
each bar's details where the pointer rests on it.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from pathlib import Path
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw

from castsearch.fonts import fit
from castsearch.movies.appearances import FilmCast, FoundBy
from castsearch.movies.formats.text import plain
from castsearch.stagefiles import atomic_write

SCALE = 2  # pixels of the PNG a unit of the SVG, so that it is sharp on screens of today

_WIDTH, _MARGIN, _NAMES, _TOTALS, _GAP = 1000, 20, 150, 62, 12  # units: the whole, and the columns beside the bars
_HEADER, _ROW, _BAR, _STRIP, _AXIS = 58, 26, 16, 6, 30  # units: heights
_LEFT = _MARGIN + _NAMES + _TOTALS + _GAP
_SPAN = _WIDTH - _MARGIN - 14 - _LEFT  # of the whole film
_NEAREST_LINES = 12  # units between shots, below which they are told in the strip alone
_LABELS_APART = 70  # units between labels of the axis
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds

# What each kind of mark looks like: in the light, in the dark; of text also its size.
_COLOURS = {
    "ground": ("#ffffff", "#0d1117"),
    "lane": ("#f1f3f5", "#1a2029"),
    "grid": ("#d8dce0", "#343b44"),
    "shot": ("#9aa2ab", "#6b747e"),
    "face": ("#12477f", "#9bcbff"),
    "body": ("#4a90d9", "#4a8bd0"),
    "track": ("#a9cdf0", "#28527f"),
    "title": ("#1f2328", "#e6edf3"),
    "name": ("#1f2328", "#e6edf3"),
    "small": ("#59636e", "#9198a1"),
    "absent": ("#7d858e", "#848d97"),
}
_SIZES = {"title": 17, "name": 13, "small": 12, "absent": 12}
_BEFORE = {"start": 0.0, "middle": 0.5, "end": 1.0}  # by an anchor, the share of a text that lies before it
_FOUND_BY: tuple[tuple[FoundBy, str], ...] = (("face", "by face"), ("body", "by body"), ("track", "by track"))


@dataclass(frozen=True)
class _Bar:
    x: float
    y: float
    width: float
    height: float
    kind: str
    about: str = ""


@dataclass(frozen=True)
class _Words:
    """Text on a line whose middle is at ``y``; ``anchor`` is what of it lies at ``x``."""

    x: float
    y: float
    text: str
    kind: str
    anchor: str = "start"
    about: str = ""


@dataclass(frozen=True)
class Drawn:
    """The timeline as a picture, and the letters of its text that no font here has."""

    image: Image.Image
    missing: str


def write_timeline(cast: FilmCast, path: Path) -> str:
    """Write the timeline, as a PNG or, of any other suffix, as SVG.

    Returns:
        The letters that no font has; of an SVG none, since whoever shows it has fonts of their own.

    Raises:
        StageFileError: there is no writing there.
    """
    missing = ""
    if path.suffix.lower() == ".png":
        data, drawn = io.BytesIO(), timeline_picture(cast)
        drawn.image.save(data, "PNG", optimize=True)
        content, missing = data.getvalue(), drawn.missing
    else:
        content = timeline_svg(cast).encode()
    with atomic_write(path) as file:
        file.write(content)
    return missing


def timeline_svg(cast: FilmCast) -> str:
    """The timeline as an SVG document."""
    height = _height(cast)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" dominant-baseline="central">'
    )
    marks = "\n".join(_drawn(mark) for mark in _marks(cast))
    title = f"<title>{escape(_about(cast))}</title>"
    return f"{head}\n{title}\n<style>{_style()}</style>\n{marks}\n</svg>\n"


def _style() -> str:
    light, dark = (" ".join(f".{kind} {{ fill: {both[n]}; }}" for kind, both in _COLOURS.items()) for n in (0, 1))
    sizes = " ".join(f"text.{kind} {{ font-size: {size}px; }}" for kind, size in _SIZES.items())
    looks = "text.title { font-weight: 600; } text.absent { font-style: italic; }"
    return f"{light} {sizes} {looks} @media (prefers-color-scheme: dark) {{ {dark} }}"


def _drawn(mark: _Bar | _Words) -> str:
    """
    >>> _drawn(_Words(1, 2, "<A>", "name"))
    '<text class="name" x="1" y="2" text-anchor="start">&lt;A&gt;</text>'
    """
    about = f"<title>{escape(mark.about)}</title>" if mark.about else ""
    at = f'class="{mark.kind}" x="{mark.x:.6g}" y="{mark.y:.6g}"'
    if isinstance(mark, _Words):
        return f'<text {at} text-anchor="{mark.anchor}">{escape(mark.text)}{about}</text>'
    sides = f'width="{mark.width:.5g}" height="{mark.height:g}"'
    return f"<rect {at} {sides}>{about}</rect>" if about else f"<rect {at} {sides}/>"


def timeline_picture(cast: FilmCast) -> Drawn:
    """The timeline as a picture, in light colours, ``SCALE`` times the size of the SVG."""
    picture = Image.new("RGB", (_WIDTH * SCALE, _height(cast) * SCALE), _COLOURS["ground"][0])
    draw, missing = ImageDraw.Draw(picture), ""
    for mark in _marks(cast):
        colour = _COLOURS[mark.kind][0]
        x, y = mark.x * SCALE, mark.y * SCALE
        if isinstance(mark, _Words):
            line = fit(mark.text, inf, _SIZES[mark.kind] * SCALE)
            line.draw(draw, x - _BEFORE[mark.anchor] * line.width, line.foot(y), colour)
            missing += line.missing
        else:
            left, right = round(x), round(x + mark.width * SCALE)
            draw.rectangle((left, round(y), max(left, right - 1), round(y + mark.height * SCALE) - 1), colour)
    return Drawn(picture, "".join(dict.fromkeys(missing)))


def _height(cast: FilmCast) -> int:
    return _HEADER + max(1, len(cast.people)) * _ROW + _STRIP + _AXIS + _MARGIN


def _marks(cast: FilmCast) -> Iterator[_Bar | _Words]:
    """All marks, those below first."""
    seen = [name for name in cast.people if name not in cast.absent]
    yield _Bar(0, 0, _WIDTH, _height(cast), "ground")
    for place in range(len(seen)):
        yield _Bar(_LEFT, _row(place) - _BAR / 2, _SPAN, _BAR, "lane")
    yield from _axis(cast)
    yield from _header(cast)
    for place, name in enumerate(seen):
        yield from _person(cast, name, place)
    for place, name in enumerate(cast.absent, start=len(seen)):
        told = f"probably not in the film ({100 * cast.presence[name]:.0f} %)"
        yield _name(name, place, "absent")
        yield _Bar(_LEFT, _row(place) - _ROW / 2, fit(told, inf, _SIZES["absent"]).width + 12, _ROW, "ground")
        yield _Words(_LEFT + 6, _row(place), told, "absent")


def _row(place: int) -> float:
    """The middle of a row."""
    return _HEADER + (place + 0.5) * _ROW


def _header(cast: FilmCast) -> Iterator[_Bar | _Words]:
    legend = _WIDTH - _MARGIN - 290
    yield _Words(_MARGIN, 22, _cut(plain(cast.film.name), _SIZES["title"], legend - _MARGIN - 20), "title")
    yield _Words(_MARGIN, 43, _about(cast), "small")
    for place, (kind, told) in enumerate(_FOUND_BY):
        x = legend + 100 * place
        yield _Bar(x, 16, 14, 12, kind)
        yield _Words(x + 20, 22, told, "small")


def _about(cast: FilmCast) -> str:
    wanted, shots = len(cast.people), len(cast.film.shots)
    people = f"{wanted - len(cast.absent)} of {wanted} {'person' if wanted == 1 else 'people'}"
    return f"{_clock(cast.film.duration)} · {people} · {shots:,} {'shot' if shots == 1 else 'shots'}"


def _name(name: str, place: int, kind: str) -> _Words:
    whole = plain(name)
    shown = _cut(whole, _SIZES[kind], _NAMES)
    return _Words(_MARGIN, _row(place), shown, kind, about=whole if shown != whole else "")


def _cut(text: str, size: int, room: float) -> str:
    """The text, its end cut off where it is wider than ``room`` pixels.

    Letters of East Asia count as wide as they are high, for whoever shows the SVG may have fonts that are not here.
    """
    ends = list(
        accumulate(
            size if east_asian_width(letter) in "WF" else font.getlength(letter)
            for run, font in fit(text, inf, size).runs
            for letter in run
        )
    )
    if not ends or ends[-1] <= room:
        return text
    return f"{text[: bisect_right(ends, room - fit('…', inf, size).width)].rstrip()}…"


def _person(cast: FilmCast, name: str, place: int) -> Iterator[_Bar | _Words]:
    own = [one for one in cast.appearances if one.cast == name]
    total = sum(one.stretch.duration for one in own)
    yield _name(name, place, "name")
    yield _Words(_LEFT - _GAP, _row(place), _total(total), "small", "end")
    for one in own:
        x, end = (_x(cast, seconds) for seconds in (one.stretch.start, one.stretch.end))
        about = f"{plain(name)}, {_clock(one.stretch.start, 2)} to {_clock(one.stretch.end, 2)}, shot {one.shot}"
        about += f", {100 * one.probability:.0f} %, by {one.found_by}"
        yield _Bar(x, _row(place) - _BAR / 2, max(1.0, end - x), _BAR, one.found_by, about)


def _axis(cast: FilmCast) -> Iterator[_Bar | _Words]:
    """Labels of the time, and where shots begin: as lines through all rows, or where those are too many below the rows.

    Only one of both, time or shots, has lines through the rows.
    """
    duration, foot = cast.film.duration, _HEADER + max(1, len(cast.people)) * _ROW
    edges = sorted({round(_x(cast, shot.start)) for shot in cast.film.shots if shot.start > 0})
    few = len(edges) * _NEAREST_LINES <= _SPAN
    for edge in edges:
        top = _HEADER if few else foot
        yield _Bar(edge, top, 0.5, foot + _STRIP - top, "shot")
    step = next((step for step in _STEPS if step * _SPAN >= _LABELS_APART * duration), _STEPS[-1])
    for number in range(int(duration / step) + 1):
        x = _x(cast, number * step)
        top = foot + _STRIP if few else _HEADER
        yield _Bar(x - 0.5, top, 1, foot + _STRIP + 6 - top, "grid")
        yield _Words(x, foot + _STRIP + 17, _clock(number * step), "small", "middle")


def _x(cast: FilmCast, seconds: float) -> float:
    return _LEFT + _SPAN * min(1.0, seconds / (cast.film.duration or 1.0))


def _clock(seconds: float, decimals: int = 0) -> str:
    """
    >>> _clock(65), _clock(3725.5, 2), _clock(59.999, 2)
    ('1:05', '1:02:05.50', '1:00.00')
    """
    ticks = round(seconds * 10**decimals)
    whole, rest = divmod(ticks, 10**decimals)
    hours, minutes = divmod(whole // 60, 60)
    told = f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
    return f"{told}.{rest:0{decimals}}" if decimals else told


def _total(seconds: float) -> str:
    """
    >>> _total(9.96), _total(125.4), _total(3725)
    ('10.0 s', '2:05', '1:02:05')
    """
    return f"{seconds:.1f} s" if seconds < 60 else _clock(seconds)
