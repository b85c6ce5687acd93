"""A gallery of made-up people: any number of boxes, drawn pictures, names that would be markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from castsearch.decisions import Decisions
from castsearch.gallery.site.content import (
    Appearing,
    Box,
    Frame,
    MovieContent,
    Overview,
    Person,
    RankedBoxes,
    Score,
)  # fmt: skip
from castsearch.gallery.site.render import write_site
from castsearch.metrics import Difference, average_precision

HOSTILE = "<script>window.hacked = 1</script>"
FRAME = (640, 360)  # pixels
N_PICTURES = 120  # that are drawn; more boxes show them again under other names


@dataclass(frozen=True)
class Made:
    """A gallery, and what is in it."""

    index: Path
    overview: Overview
    movies: tuple[MovieContent, ...]

    @property
    def folder(self) -> Path:
        return self.index.parent

    def page(self, movie: int = 1, person: int | None = 1) -> str:
        """The address of a person's page, or of a movie's."""
        return (self.folder / f"movies/{movie}" / ("index.html" if person is None else f"{person}.html")).as_uri()


def make_site(
    folder: Path, sizes: tuple[int, ...] = (60, 40, 24), results: int = 2, decisions: Decisions | None = None
) -> Made:
    """Write a gallery.

    Args:
        folder: for it.
        sizes: boxes of each movie.
        results: 1 or 2.
        decisions: that the ranking was given.
    """
    movies = tuple(_movie(folder, number, n, results) for number, n in enumerate(sizes))
    scores = (
        Score(0.912, {1: 0.9, 5: 0.95, 10: 1.0}),
        Score(0.941, {1: 1.0, 5: 1.0, 10: 1.0}, Difference(0.029, 0.012, 0.044)),
    )
    overview = Overview(
        "Made-up movies & <b>people</b>", ("plain", "best")[:results], scores[:results], decisions or Decisions()
    )
    return Made(write_site(folder, overview, movies), overview, movies)


def _movie(folder: Path, number: int, n: int, results: int) -> MovieContent:
    rng = np.random.default_rng(number)
    truth = rng.integers(0, 5, n)  # 0 to 2: the cast; 3 and 4: strangers
    in_frame = _frames_of(n)
    boxes = tuple(_box(folder, number, place, int(truth[place]), in_frame[place]) for place in range(n))
    frames = tuple(_frame(folder, number, place, boxes) for place in range(max(in_frame, default=-1) + 1))
    timed = number != 1
    frames = tuple(
        Frame(frame.name, frame.picture, frame.size, 2.5 * place if timed else None)
        for place, frame in enumerate(frames)
    )
    people = [_person(folder, number, who, truth, rng, results, timed) for who in range(3)]
    if number != 1:
        group = np.flatnonzero(truth == 3)[:12]
        ranked = RankedBoxes(group, ["face"] * len(group), np.linspace(0.95, 0.55, len(group), dtype=np.float32))
        of_track = {int(box): place // 2 for place, box in enumerate(group)}  # two boxes each
        boxes = tuple(replace(box, track=of_track.get(place)) for place, box in enumerate(boxes))
        people.append(Person("unknown-1", "unknown-1", (), (ranked,) + (None,) * (results - 1), group=True))
    name = ("Titanic <script>alert(1)<script>", "tt0000002", "Großer Film #3 100%?")[number % 3]
    return MovieContent(
        name, people, boxes, frames, _timeline(folder, number) if timed else None, 2.5 * len(frames) if timed else None
    )


def _frames_of(n: int) -> list[int]:
    """Two boxes in the first frame, one in the second, and so on."""
    return [2 * (place // 3) + (place % 3 == 2) for place in range(n)]


def _box(folder: Path, movie: int, place: int, who: int, frame: int) -> Box:
    drawn = place % N_PICTURES
    thumbnail = f"pictures/m{movie} box%{drawn}.jpg"
    if place == drawn:
        _draw(folder / thumbnail, (120, 180), who, str(place))
    left = 60 if place % 3 != 1 else 380
    return Box(
        f"m{movie}_{place}", f"m{movie}/shot{frame:04d}_{left}_60_160_240.jpg", thumbnail, frame, (left, 60, 160, 240)
    )


def _frame(folder: Path, movie: int, place: int, boxes: tuple[Box, ...]) -> Frame:
    if movie == 1:
        return Frame(f"m1/shot{place:04d}.jpg", None, None)
    drawn = place % N_PICTURES
    picture = f"pictures/m{movie}-frame{drawn}.jpg"
    if place == drawn:
        _draw(folder / picture, FRAME, 5 + place, f"frame {place}")
    return Frame(f"m{movie}/shot{place:04d}.jpg", picture, FRAME)


def _person(
    folder: Path, movie: int, who: int, truth: np.ndarray, rng: np.random.Generator, results: int, timed: bool
) -> Person:
    portrait = f"pictures/m{movie}-portrait{who}.jpg"
    _draw(folder / portrait, (160, 200), who, "ABC"[who])
    hits = frozenset(map(int, np.flatnonzero(truth == who)))
    ranked = [_ranked(hits, len(truth), rng, 0.25 - 0.12 * result) for result in range(results)]
    name = (f"Ann {HOSTILE}", "Bob & Co.", "Émile 王")[who]
    appearances = [Appearing(10.0 * k, 10.0 * k + 4.25, 0.9, "face") for k in range(3)] if timed else []
    return Person(f"m{movie}_nm{who}", name, (portrait,), ranked, hits, False, 0.97 - 0.4 * who, appearances)


def _ranked(hits: frozenset[int], n: int, rng: np.random.Generator, noise: float) -> RankedBoxes:
    is_hit = np.array([place in hits for place in range(n)], dtype=bool)
    probability = np.clip(0.15 + 0.7 * is_hit + rng.normal(0, noise, n), 0.001, 0.999)
    order = np.argsort(-probability, kind="stable")
    words = np.array(["face", "body", "look-alike"])
    found_by = [str(word) for word in words[rng.integers(0, 3, n)]]
    asking = np.argsort(np.abs(probability - 0.5), kind="stable")
    return RankedBoxes(order, found_by, probability[order].astype(np.float32), average_precision(is_hit[order]), asking)


def _timeline(folder: Path, movie: int) -> str:
    name = f"pictures/m{movie}-timeline.svg"
    bars = "".join(f'<rect x="{60 * k}" y="{20 * (k % 3)}" width="40" height="12" fill="#4a90d9"/>' for k in range(10))
    (folder / name).write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 60">{bars}</svg>')
    return name


_COLOURS = ("#7a9e9f", "#b8860b", "#8e6c8a", "#607d8b", "#a0522d")


def _draw(path: Path, size: tuple[int, int], who: int, text: str) -> None:
    """A picture of somebody: head and shoulders in their colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    picture = Image.new("RGB", size, ("#d9d4c7", "#39424e", "#c2cdd6")[who % 3])
    draw = ImageDraw.Draw(picture)
    for middle in _middles(size):
        scale = min(width, height) / 6
        draw.ellipse((middle - 2 * scale, height * 0.62, middle + 2 * scale, height * 1.5), fill=_COLOURS[who % 5])
        draw.ellipse((middle - scale, height * 0.62 - 2.2 * scale, middle + scale, height * 0.66), fill="#e0b89a")
    draw.text((6, 4), text, fill="#ffffff" if who % 3 == 1 else "#222222")
    picture.save(path, quality=80)


def _middles(size: tuple[int, int]) -> Iterator[float]:
    yield from ([size[0] / 2] if size[0] < size[1] else [140.0, 460.0])
