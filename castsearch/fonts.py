"""Fonts for captions and names in any script.

Pillow's own font has the letters of English. For a text with others, the system is asked for one font that has them
all, and failing that, for one for each run of letters that Pillow's own lacks; of a run that no font has whole, each
letter is drawn in the first font that has it.
"""

from __future__ import annotations

import os
import subprocess
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from unicodedata import category

from PIL import ImageDraw, ImageFont

FONT_SIZE = 13  # pixels, of captions
SUFFIXES = (".ttf", ".otf", ".ttc")
# Where systems without fontconfig keep their fonts.
FOLDERS = ("/usr/share/fonts", "~/.local/share/fonts", "/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts")
_NO_LETTER = "\U0010ffff"  # what fonts draw for it, they draw for every letter that they lack
_UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf")  # categories of blanks and marks of format
_PATIENCE = 20  # seconds that fontconfig may take, which reads all fonts at its first call
_MOST_TRIED = 50  # fonts that fontconfig thinks best

Run = tuple[str, ImageFont.FreeTypeFont]


@dataclass(frozen=True)
class Line:
    """A line of text, in runs of letters of one font each.

    Attributes:
        runs: in order.
        missing: letters that no font has; they show as boxes.
        size: of its letters, in pixels.
    """

    runs: tuple[Run, ...]
    missing: str
    size: int

    @property
    def text(self) -> str:
        """What it shows."""
        return "".join(text for text, _ in self.runs)

    @property
    def width(self) -> float:
        """In pixels."""
        return sum(_length(run) for run in self.runs)

    def foot(self, middle: float) -> float:
        """Where its foot is if its middle is at ``middle``; all lines of one size stand alike, whatever their fonts."""
        above, below = _own(self.size).getmetrics()
        return middle + (above - below) / 2

    def draw(self, draw: ImageDraw.ImageDraw, left: float, foot: float, colour: str = "black") -> None:
        """Draw it, its left end and its foot at these pixels."""
        for text, font in self.runs:
            draw.text((left, foot), text, colour, font, anchor="ls", direction=_direction(font))
            left += _length((text, font))


def _length(run: Run) -> float:
    text, font = run
    return font.getlength(text, direction=_direction(font))


def _direction(font: ImageFont.FreeTypeFont) -> str | None:
    """Captions begin at the left, whichever way their letters run; only with raqm does Pillow know directions."""
    return "ltr" if font.layout_engine == ImageFont.Layout.RAQM else None


def fit(text: str, width: float, size: int = FONT_SIZE) -> Line:
    """The line of a text in letters of ``size`` pixels, its end cut off where it is wider than ``width`` pixels."""
    fonts = _fonts(text, size)
    line = whole = _line(text, fonts, size)
    if whole.width > width:
        fitting = bisect_right(range(len(text)), width, key=lambda n: _line(text[:n] + "…", fonts, size).width)
        line = _line(text[: max(1, fitting - 1)] + "…", fonts, size)
    return Line(line.runs, whole.missing, size)


def _line(text: str, fonts: dict[str, ImageFont.FreeTypeFont], size: int) -> Line:
    own = _own(size)
    runs = tuple(("".join(letters), font) for font, letters in groupby(text, key=lambda letter: fonts.get(letter, own)))
    missing = "".join(letter for letter in dict.fromkeys(text) if not _has(fonts.get(letter, own), letter))
    return Line(runs, missing, size)


def _fonts(text: str, size: int) -> dict[str, ImageFont.FreeTypeFont]:
    """The font of each letter that is not drawn in Pillow's own."""
    own = _own(size)
    whole = _fonts_with(frozenset(text), size)
    if len(set(whole.values())) == 1 and len(whole) == len(set(text)):
        return whole
    foreign = (frozenset(run) for has, run in groupby(text, key=lambda letter: _has(own, letter)) if not has)
    return {letter: font for run in foreign for letter, font in _fonts_with(run, size).items()}


@lru_cache(maxsize=16)
def _own(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]


@lru_cache(maxsize=256)
def _fonts_with(letters: frozenset[str], size: int) -> dict[str, ImageFont.FreeTypeFont]:
    """The first font that has all the letters: Pillow's own, then the system's; or else the first that has each."""
    first: dict[str, ImageFont.FreeTypeFont] = {}
    for font in _open_fonts(letters, size):
        if all(_has(font, letter) for letter in letters):
            return dict.fromkeys(letters, font)
        first |= {letter: font for letter in letters - first.keys() if _has(font, letter)}
    return first


def _open_fonts(letters: Iterable[str], size: int) -> Iterator[ImageFont.FreeTypeFont]:
    yield _own(size)
    for path, index in _system_fonts(letters):
        with suppress(OSError):  # it has pictures of one size, or is damaged
            yield ImageFont.truetype(path, size, index)


def _system_fonts(letters: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Files of fonts, and the numbers of the fonts in them, the likeliest first."""
    wanted = " ".join(f"{ord(letter):x}" for letter in sorted(letters))
    command = ["fc-match", "--sort", "--format", "%{file}\t%{index}\n", f"sans:charset={wanted}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        windows = Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")
        for folder in (*(Path(name).expanduser() for name in FOLDERS), windows):
            yield from ((str(path), 0) for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
        return
    for line in found.splitlines()[:_MOST_TRIED]:
        path, _, index = line.partition("\t")
        yield path, int(index)


@lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether a font has a letter; of blanks and marks of format nothing is to be seen."""
    if category(letter) in _UNSEEN:
        return True
    return _drawn(font, letter) != _box(font)


@lru_cache(maxsize=256)
def _box(font: ImageFont.FreeTypeFont) -> tuple[tuple[int, int], bytes]:
    return _drawn(font, _NO_LETTER)


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
