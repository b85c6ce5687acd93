"""WebVTT: names as subtitles, in any player. The format: https://www.w3.org/TR/webvtt1/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from castsearch.movies.appearances import FilmCast
from castsearch.movies.formats.text import plain
from castsearch.stagefiles import atomic_write

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write_webvtt(cast: FilmCast, path: Path) -> None:
    """Write a cue an appearance: the person's name, as the speaker too.

    Raises:
        StageFileError: there is no writing there.
    """
    with atomic_write(path) as file:
        file.write("\n\n".join(_blocks(cast)).encode() + b"\n")


def _blocks(cast: FilmCast) -> Iterator[str]:
    yield "WEBVTT"
    for number, one in enumerate(cast.appearances, start=1):
        name = plain(one.cast).translate(_ESCAPES)
        yield f"{number}\n{_time(one.stretch.start)} --> {_time(one.stretch.end)}\n<v {name}>{name}</v>"


def _time(seconds: float) -> str:
    """
    >>> _time(7199.9996)
    '02:00:00.000'
    """
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{thousandths:03}"
