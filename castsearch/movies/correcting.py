"""Films whose cast is found anew, with what people decided about their boxes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from castsearch.annotations import read_annotations
from castsearch.decisions import Decisions
from castsearch.images import write_jpeg
from castsearch.movies.decided import Told, fit_decisions, told_of
from castsearch.movies.finding import MODE, Scanned
from castsearch.movies.layout import frames_folder, write_layout
from castsearch.movies.looks import QUALITY, portrait
from castsearch.movies.portraits import Cast, Person

NAMED = "named"  # folder of the portraits of people whom decisions named


def correct(
    scans: Sequence[Scanned], cast: Cast, decisions: Decisions, out: Path
) -> tuple[Sequence[Told | None], Sequence[str]]:
    """What decisions tell of films that were looked through.

    Of each group that was given a new name a portrait is written, and the layout knows the person; those of earlier
    decisions are removed.

    Args:
        scans: the films.
        cast: who has portraits.
        decisions: on their boxes.
        out: folder of the layout.

    Returns:
        What to give to ``name_people`` for each film, None without decisions; and a few words on each id that is not
        there.

    Raises:
        DecisionError: decisions contradict each other, or a group has a name that nobody can have.
        CastSearchError: the layout is broken, or cannot be written.
    """
    if not decisions:
        for one in scans:
            _remove_stale(out, one.movie, cast.people, ())
        return [None] * len(scans), []
    fit = fit_decisions(decisions, read_annotations(out / f"{MODE}.json"))
    found = []
    for one in scans:
        told = told_of(one.scan, one.candidates, cast.people, one.movie, fit, out / NAMED / one.movie)
        for path, seen in told.portraits.items():
            write_jpeg(path, portrait(told.scan, seen, frames_folder(out, MODE, one.movie)), QUALITY)
        if told.portraits:  # of the tracks as they were found, by which the candidates are numbered
            film = one.footage
            write_layout(one.scan, one.survey, film.name, MODE, out, told.people, film.rate, film.time_base)
        _remove_stale(out, one.movie, told.people, told.portraits)
        found.append(told)
    return found, fit.strange


def _remove_stale(out: Path, movie: str, people: Sequence[Person], written: Collection[Path]) -> None:
    """Remove the portraits, and their copies in the layout, of people whom earlier decisions named."""
    ids = {person.id for person in people}
    for path in sorted((out / NAMED / movie).glob("*.jpg")):
        if path not in written:
            if path.stem not in ids:
                (frames_folder(out, MODE, movie).parent / "cast" / path.name).unlink(missing_ok=True)
            path.unlink()
