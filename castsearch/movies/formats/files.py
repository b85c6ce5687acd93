"""All formats at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from castsearch.identifiers import shown
from castsearch.movies.appearances import FilmCast
from castsearch.movies.errors import MovieError
from castsearch.movies.formats.coco import write_coco
from castsearch.movies.formats.editing import write_edl, write_otio
from castsearch.movies.formats.elan import write_elan
from castsearch.movies.formats.records import write_json
from castsearch.movies.formats.table import write_csv
from castsearch.movies.formats.webvtt import write_webvtt

# What holds all films, and what holds one.
_OF_ALL = {"appearances.csv": write_csv, "appearances.json": write_json, "boxes.json": write_coco}
_OF_ONE = {".vtt": write_webvtt, ".otio": write_otio, ".edl": write_edl, ".eaf": write_elan}


def write_formats(casts: Sequence[FilmCast], folder: Path) -> list[Path]:
    """Write who appears when in every format, into a folder that is made if absent.

    Args:
        casts: a film each, of different names.
        folder: for ``appearances.csv``, ``appearances.json`` and ``boxes.json``, and for each film ``NAME.vtt``,
            ``NAME.otio``, ``NAME.edl`` and ``NAME.eaf``.

    Returns:
        The files, in that order.

    Raises:
        MovieError: two films have one name.
        StageFileError: there is no writing there.
    """
    twice = [name for name, times in Counter(cast.film.name for cast in casts).items() if times > 1]
    if twice:
        raise MovieError(f"two films are named {shown(twice[0])}, which names their files; rename one of them")
    written = []
    for name, write in _OF_ALL.items():
        write(casts, folder / name)
        written.append(folder / name)
    for cast in casts:
        for suffix, write_one in _OF_ONE.items():
            path = folder / f"{cast.film.name}{suffix}"
            write_one(cast, path)
            written.append(path)
    return written
