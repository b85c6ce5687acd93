"""``appearances.csv``: a row an appearance."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from castsearch.movies.appearances import FilmCast
from castsearch.movies.timecodes import Clock
from castsearch.stagefiles import atomic_write

COLUMNS = (
    "movie", "cast", "start", "end", "shot", "probability", "found_by", "start_timecode", "end_timecode",
)  # fmt: skip
DECIMALS = 6  # of seconds: a microsecond, less than any two pictures lie apart
_FORMULA = tuple("=+-@＝＋－＠")  # what spreadsheets run as formulas, in full width too


def write_csv(casts: Sequence[FilmCast], path: Path) -> None:
    """Write the appearances in films as a table in UTF-8; seconds have six decimals.

    A cell that a spreadsheet would run as a formula begins with an apostrophe.

    Raises:
        StageFileError: there is no writing there.
    """
    table = io.StringIO(newline="")
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for cast in casts:
        rows.writerows(_rows(cast))
    with atomic_write(path) as file:
        file.write(table.getvalue().encode(errors="replace"))


def _rows(cast: FilmCast) -> Iterator[tuple[str, ...]]:
    clock = Clock(cast.film)
    for one in cast.appearances:
        yield (
            _cell(cast.film.name),
            _cell(one.cast),
            f"{one.stretch.start:.{DECIMALS}f}",
            f"{one.stretch.end:.{DECIMALS}f}",
            str(one.shot),
            f"{one.probability:.5f}",
            one.found_by,
            *clock.codes(one.stretch),
        )


def _cell(name: str) -> str:
    """A name as the text that it is; csv's own quotes do not keep a spreadsheet from running it."""
    return f"'{name}" if name.lstrip().startswith(_FORMULA) else name
