"""Letters in pictures of films: how wide they are, and the font that they are drawn in."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import east_asian_width

from PIL import ImageFont

# Fonts of many scripts that systems have, by the names under which Pillow looks for them; its own has English alone.
_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "Arial.ttf", "arial.ttf")


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font of ``size`` pixels that has most scripts of those that are here."""
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)  # type: ignore[return-value]


def width(text: str, size: int) -> float:
    """Pixels that a text takes, about; letters as wide as they are high count so, whether the font has them or not."""
    wide = [letter for letter in text if east_asian_width(letter) in "WF"]
    rest = "".join(letter for letter in text if letter not in wide)
    return font(size).getlength(rest) + size * len(wide)


def cut(text: str, size: int, room: float) -> str:
    """The text, its end cut off where it is wider than ``room`` pixels."""
    if width(text, size) <= room:
        return text
    kept = text
    while kept and width(f"{kept}…", size) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"
