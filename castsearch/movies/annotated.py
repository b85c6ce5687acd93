"""Films that show what was found: with boxes and names drawn, or cut to what one person appears in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from castsearch.fonts import Line, fit
from castsearch.movies.appearances import Appearance, FilmCast
from castsearch.movies.encoding import film_writer
from castsearch.movies.footage import Footage
from castsearch.movies.formats.text import plain
from castsearch.movies.timecodes import Clock
from castsearch.movies.times import Stretch
from castsearch.progress import Progress, silent

Colour = tuple[int, int, int]

# Far apart from each other, and from most of what films show.
_COLOURS: tuple[Colour, ...] = (
    (230, 25, 75), (60, 180, 75), (30, 130, 255), (245, 130, 48), (165, 60, 210), (70, 225, 225),
    (240, 50, 230), (205, 235, 60), (250, 190, 212), (0, 145, 145), (185, 120, 50), (255, 225, 25),
)  # fmt: skip
_GREY: Colour = (170, 170, 170)
_SLACK = 1e-4  # seconds that times may differ by rounding
_LONGEST_LABEL = 15  # times the height of its letters
_BRIGHT = 140  # of 255: from there on colours take black letters
_LONGEST_NAME = 80  # bytes of a file's name
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')  # by some system in file names
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # which Windows takes for no files


def annotated(
    footage: Footage, cast: FilmCast, unknown: Sequence[Appearance], out: Path, progress: Progress = silent
) -> str:
    """Write the film as an MP4 with a box and a name round everybody, at the footage's own times and with its sound.

    Between the moments at which a box was seen, it moves evenly.

    Args:
        footage: the film.
        cast: who appears in it; a colour a person.
        unknown: appearances of people who were not looked for, in grey; their ``cast`` may be empty.
        out: the MP4.
        progress: told of each picture.

    Returns:
        The letters of names that no font here has.

    Raises:
        MovieError: the film cannot be decoded.
        StageFileError: there is no writing there.
    """
    film = cast.film
    boxes = _Boxes(cast, unknown)
    with film_writer(out, film.rate, film.size, footage.path, [Stretch(0, film.duration)]) as writer:
        for frame in progress(footage.frames(), total=len(film.times), unit="frame"):
            picture = np.array(frame.rgb())
            boxes.draw(picture, frame.seconds)
            writer.add(picture, frame.seconds)
    return boxes.missing


def highlights(footage: Footage, cast: FilmCast, folder: Path, progress: Progress = silent) -> list[Path]:
    """Write an MP4 for each person who appears: their appearances one after the other, cut at pictures, with sound.

    Args:
        footage: the film.
        cast: who appears in it.
        folder: for the MP4s, named as the people are.
        progress: told of each person.

    Returns:
        The MP4s, in the order of people.

    Raises:
        MovieError: the film cannot be decoded.
        StageFileError: there is no writing there.
    """
    film, clock, written = cast.film, Clock(cast.film), []
    names = file_names(cast.people)
    there = [name for name in cast.people if any(one.cast == name for one in cast.appearances)]
    for name in progress(there, total=len(there), unit="person"):
        stretches = _joined([clock.shown(one.stretch) for one in cast.appearances if one.cast == name])
        path = folder / f"{names[name]}.mp4"
        with film_writer(path, film.rate, film.size, footage.path, stretches) as writer:
            before = 0.0
            for stretch in stretches:
                for picture, seconds in _pictures(footage, stretch):
                    writer.add(picture, before + seconds)
                before += stretch.duration
        written.append(path)
    return written


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches in the order of time, those that touch made one."""
    joined: list[Stretch] = []
    for stretch in sorted(stretches):
        if joined and stretch.start <= joined[-1].end + _SLACK:
            joined[-1] |= stretch
        else:
            joined.append(stretch)
    return joined


def _pictures(footage: Footage, stretch: Stretch) -> Iterator[tuple[np.ndarray, float]]:
    """The pictures of a stretch, and their seconds from its start."""
    for frame in footage.frames(max(0.0, stretch.start - _SLACK)):
        if frame.seconds >= stretch.end - _SLACK:
            return
        yield frame.rgb(), max(0.0, frame.seconds - stretch.start)


def file_names(names: Sequence[str]) -> dict[str, str]:
    """Names of people as names of files that any system takes, each once.

    >>> list(file_names(["Joey", "a/b", "A:B", "..", "con"]).values())
    ['Joey', 'a_b', 'A_B (2)', '_', 'con_']
    """
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        safe = _FORBIDDEN.sub("_", plain(name)).encode()[:_LONGEST_NAME].decode(errors="ignore").strip(" .") or "_"
        safe = f"{safe}_" if _DEVICES.fullmatch(safe) else safe
        unique, number = safe, 2
        while unique.casefold() in taken:
            unique, number = f"{safe} ({number})", number + 1
        taken.add(unique.casefold())
        given[name] = unique
    return given


class _Path:
    """Where the box of an appearance is at any of its moments."""

    def __init__(self, one: Appearance, colour: Colour) -> None:
        self.stretch, self.name, self.colour = one.stretch, one.cast, colour
        self._seconds = np.array([box.seconds for box in one.boxes])
        self._sides = np.array([box.bbox for box in one.boxes], dtype=float)

    def at(self, seconds: float) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels; outside the moments seen, as at the nearest."""
        x, y, wide, high = (float(np.interp(seconds, self._seconds, side)) for side in self._sides.T)
        return round(x), round(y), round(x + wide), round(y + high)


class _Boxes:
    """Draws the boxes and names of a film on one picture after the other."""

    def __init__(self, cast: FilmCast, unknown: Sequence[Appearance]) -> None:
        colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(cast.people)}
        paths = [_Path(one, _GREY) for one in unknown if one.boxes]
        paths += [_Path(one, colours[one.cast]) for one in cast.appearances if one.boxes]
        self._coming = sorted(paths, key=lambda path: path.stretch.start, reverse=True)
        self._shown: list[_Path] = []
        self._line = max(2, cast.film.size[1] // 240)
        self._letters = min(40, max(11, cast.film.size[1] // 28))
        self._labels: dict[tuple[str, Colour], np.ndarray] = {}
        self.missing = ""  # letters of the names drawn that no font has

    def draw(self, picture: np.ndarray, seconds: float) -> None:
        """Draw on ``picture``, (h, w, 3) uint8 RGB, what is seen at a time; times ascend from call to call."""
        while self._coming and self._coming[-1].stretch.start <= seconds + _SLACK:
            self._shown.append(self._coming.pop())
        self._shown = [path for path in self._shown if path.stretch.end > seconds + _SLACK]
        for path in sorted(self._shown, key=lambda path: path.colour != _GREY):
            self._draw_one(picture, path, seconds)

    def _draw_one(self, picture: np.ndarray, path: _Path, seconds: float) -> None:
        rows_end, columns_end = picture.shape[:2]
        left, top, right, bottom = path.at(seconds)
        # To even numbers: films tell colours for squares of two pixels.
        left, right = (min(columns_end, max(0, side)) // 2 * 2 for side in (left, right))
        top, bottom = (min(rows_end, max(0, side)) // 2 * 2 for side in (top, bottom))
        line = self._line
        for rows, columns in (
            (slice(top, top + line), slice(left, right)),
            (slice(max(top, bottom - line), bottom), slice(left, right)),
            (slice(top, bottom), slice(left, left + line)),
            (slice(top, bottom), slice(max(left, right - line), right)),
        ):
            picture[rows, columns] = path.colour
        if path.name:
            self._paste(picture, self._label(path.name, path.colour), left, top)

    def _paste(self, picture: np.ndarray, label: np.ndarray, left: int, top: int) -> None:
        """Above the box, or where there is no room within its top; whole, if the picture has room for it."""
        y = top - label.shape[0] if top >= label.shape[0] else top
        x = max(0, min(left, picture.shape[1] - label.shape[1]))
        room = picture[y : y + label.shape[0], x : x + label.shape[1]]
        room[:] = label[: room.shape[0], : room.shape[1]]

    def _label(self, name: str, colour: Colour) -> np.ndarray:
        """(h, w, 3) uint8: the name on its colour; made once for each."""
        if (name, colour) not in self._labels:
            line = fit(plain(name), _LONGEST_LABEL * self._letters, self._letters)
            self._labels[name, colour] = _label(line, colour)
            self.missing = "".join(dict.fromkeys(self.missing + line.missing))
        return self._labels[name, colour]


def _label(line: Line, colour: Colour) -> np.ndarray:
    rim = line.size // 4
    label = Image.new("RGB", (round(line.width) + 2 * rim, round(1.5 * line.size)), colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > _BRIGHT
    line.draw(ImageDraw.Draw(label), rim, line.foot(0.75 * line.size), "black" if bright else "white")
    return np.asarray(label)
