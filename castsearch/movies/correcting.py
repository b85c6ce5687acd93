"""Films whose cast is found anew, with what people decided about their boxes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from castsearch.annotations import read_annotations
from castsearch.decisions import Decisions
from castsearch.images import write_changed, write_jpeg
from castsearch.movies.decided import Told, fit_decisions, told_of
from castsearch.movies.errors import MovieError
from castsearch.movies.finding import MODE, Scanned
from castsearch.movies.layout import frames_folder, write_layout
from castsearch.movies.looks import QUALITY, portrait
from castsearch.movies.portraits import Cast
from castsearch.paths import shortened

NAMED = "named"  # folder of the portraits of people whom decisions named
LISTS = ".named"  # folder of lists, a film each, of those that a search wrote


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
            _Named(out, one.movie).write({}, keep={person.id for person in cast.people})
        return [None] * len(scans), []
    fit = fit_decisions(decisions, read_annotations(out / f"{MODE}.json"))
    found = []
    for one in scans:
        told = told_of(one.scan, one.candidates, cast.people, one.movie, fit, out / NAMED / one.movie)
        pictures = frames_folder(out, MODE, one.movie)
        _Named(out, one.movie).write(
            {path.name: portrait(told.scan, seen, pictures) for path, seen in told.portraits.items()},
            keep={person.id for person in told.people},
        )
        if told.portraits:  # of the tracks as they were found, by which the candidates are numbered
            film = one.footage
            write_layout(one.scan, one.survey, film.name, MODE, out, told.people, film.rate, film.time_base)
        found.append(told)
    return found, fit.strange


class _Named:
    """The portraits of those whom decisions named, of one film.

    A list tells which are ours: what else lies in their folder is somebody's own.
    """

    def __init__(self, out: Path, movie: str) -> None:
        self._folder, self._list = out / NAMED / movie, out / LISTS / f"{movie}.txt"
        self._copies = frames_folder(out, MODE, movie).parent / "cast"

    def write(self, portraits: Mapping[str, np.ndarray], keep: Collection[str]) -> None:
        """Write these, by the names of their files, and remove those of earlier decisions with their copies in the
        layout, but for those of people with ids to ``keep``.

        Raises:
            MovieError: a picture that is not ours has the name of one of them.
        """
        before = set(self._list.read_text().splitlines()) if self._list.is_file() else set()
        for name in sorted(portraits.keys() - before):
            if (self._folder / name).exists():
                raise MovieError(
                    f"{shortened(self._folder / name)}: is a picture that no search wrote, where a portrait belongs; "
                    "move it elsewhere"
                )
        if portraits:
            self._keep(before | portraits.keys())  # before they are written: a run that is killed leaves none unknown
        for name, image in portraits.items():
            write_jpeg(self._folder / name, image, QUALITY)
        for name in sorted(before - portraits.keys()):
            if Path(name).stem not in keep:
                (self._copies / name).unlink(missing_ok=True)
            (self._folder / name).unlink(missing_ok=True)
        if portraits:
            self._keep(portraits.keys())
        else:
            self._list.unlink(missing_ok=True)

    def _keep(self, names: Collection[str]) -> None:
        write_changed(self._list, "".join(f"{name}\n" for name in sorted(names)).encode())
