"""Evaluations as text tables, JSON and CSV. Tables show percent; files hold fractions, unrounded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from castsearch.identifiers import shown
from castsearch.metrics.differences import Difference
from castsearch.metrics.oddities import Oddities
from castsearch.metrics.ranked import RANKS, RECALLS, CastScore, Evaluation, Missing, figures_by_movie

FORMAT, VERSION = "castsearch evaluation", 1
CSV_COLUMNS = (
    "submission", "movie", "cast", "true", "ranked", "found", "ap", "first_hit", *(f"recall_{k}" for k in RECALLS)
)  # fmt: skip

JSON_START, CSV_START = f'{{\n "format": "{FORMAT} ', "submission,movie,cast,"  # what tells such files from others

_RANK_NAMES = [f"Rank@{k}" for k in RANKS]


@dataclass(frozen=True)
class Scored:
    """A submission and all that is known of it.

    Attributes:
        name: of the submission.
        evaluation: over the same casts as those that it stands beside.
        oddities: what is odd about it.
        beyond_first: how much better it is than the first one; None of the first, and where there is no interval.
    """

    name: str
    evaluation: Evaluation
    oddities: Oddities = field(default_factory=Oddities)
    beyond_first: Difference | None = None


# ---------------------------------------------------------------------------- text


def summary(scored: Sequence[Scored]) -> str:
    """The challenge's table of one submission; of several, a row each and how much better it is than the first."""
    if len(scored) == 1:
        return str(scored[0].evaluation)
    first = scored[0].evaluation
    rows = [
        [shown(one.name), *_percents(one.evaluation.mean_ap, one.evaluation.rank), _beside(one, first)]
        for one in scored
    ]
    return _table(["submission", "mAP", *_RANK_NAMES, "beside the first"], rows, 1)


def _beside(one: Scored, first: Evaluation) -> str:
    if one.evaluation is first:
        return ""
    return str(one.beyond_first or f"{100 * (one.evaluation.mean_ap - first.mean_ap):+.1f}")


def movie_table(scored: Sequence[Scored], movies: Mapping[str, str]) -> str:
    """A row a movie, and of several submissions a row each, with the difference of its mAP to the first one's.

    Args:
        scored: the submissions.
        movies: the movie of each cast.
    """
    by_name = [(one.name, figures_by_movie(one.evaluation, movies)) for one in scored]
    rows = []
    for movie, first in by_name[0][1].items():
        for name, of in by_name:
            own = of[movie]
            row = [movie or "?", shown(name), str(own.n_casts), *_percents(own.mean_ap, own.rank)]
            rows.append([*row, f"{100 * (own.mean_ap - first.mean_ap):+.2f}" if own is not first else ""])
    return _of_several(["movie", "submission", "casts", "mAP", *_RANK_NAMES, "beside"], rows, len(scored))


def cast_table(scored: Sequence[Scored]) -> str:
    """A row a cast, and of several submissions a row each, with the difference of its AP to the first one's.

    Args:
        scored: the submissions.
    """
    rows = []
    for cast, first in scored[0].evaluation.casts.items():
        for one in scored:
            own = one.evaluation.casts[cast]
            recalls = (f"{100 * own.recall(k):.2f}" for k in RECALLS)
            row = [cast, shown(one.name), str(own.n_true), f"{100 * own.ap:.2f}", str(own.first_hit or "-"), *recalls]
            rows.append([*row, f"{100 * (own.ap - first.ap):+.2f}" if own is not first else ""])
    header = ["cast", "submission", "true", "AP", "first hit", *(f"recall@{k}" for k in RECALLS), "beside"]
    return _of_several(header, rows, len(scored))


def _percents(mean_ap: float, rank: Mapping[int, float]) -> list[str]:
    return [f"{100 * figure:.2f}" for figure in (mean_ap, *rank.values())]


def _of_several(header: list[str], rows: list[list[str]], n_submissions: int) -> str:
    """A table; of a single submission without its name and the column of differences."""
    if n_submissions > 1:
        return _table(header, rows, 2)
    return _table([header[0], *header[2:-1]], [[row[0], *row[2:-1]] for row in rows], 1)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], n_words: int) -> str:
    """Columns two blanks apart: the first ``n_words`` and what is at the end of differences to the left, numbers right.

    >>> print(_table(["cast", "AP"], [["ann", "7.00"], ["benjamin", "100.00"]], 1))
    cast          AP
    ann         7.00
    benjamin  100.00
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if at < n_words or header[at].startswith("beside") else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (header, *rows)
    )
    return "\n".join(lines)


# ---------------------------------------------------------------------------- files


def as_csv(scored: Sequence[Scored], movies: Mapping[str, str]) -> str:
    """A row a submission and cast, with ``CSV_COLUMNS``; a movie that is not known and a first hit that is not there
    are empty.

    Args:
        scored: the submissions.
        movies: the movie of each cast, as far as it is known.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in scored:
        for cast, own in one.evaluation.casts.items():
            writer.writerow([one.name, movies.get(cast), cast, *_columns(own).values()])
    return text.getvalue()


def _columns(cast: CastScore) -> dict[str, float | None]:
    return {
        "true": cast.n_true,
        "ranked": cast.n_ranked,
        "found": len(cast.hits),
        "ap": cast.ap,
        "first_hit": cast.first_hit,
        **{f"recall_{k}": cast.recall(k) for k in RECALLS},
    }


def as_json(scored: Sequence[Scored], movies: Mapping[str, str], missing: Missing) -> str:
    """All that is known of the submissions.

    Args:
        scored: the submissions.
        movies: the movie of each cast, as far as it is known.
        missing: what casts without a line counted.
    """
    content = {
        "format": f"{FORMAT} {VERSION}",
        "missing": missing,
        "submissions": [_submission(one, movies) for one in scored],
    }
    return json.dumps(content, indent=1) + "\n"


def _submission(one: Scored, movies: Mapping[str, str]) -> dict[str, Any]:
    found, odd = one.evaluation, one.oddities
    by_movie = figures_by_movie(found, movies) if movies else {}
    return {
        "file": one.name,
        "casts": len(found.casts),
        **_means(found.mean_ap, found.rank),
        "beyond_first": None if one.beyond_first is None else asdict(one.beyond_first),
        "absent": found.absent,
        "unranked": found.unranked,
        "repeated": found.repeated,
        "lines_of_strangers": odd.strangers,
        "unknown": odd.unknown,
        "of_other_movies": odd.elsewhere,
        "short": odd.short,
        "per_movie": [
            {"movie": movie, "casts": own.n_casts, **_means(own.mean_ap, own.rank)} for movie, own in by_movie.items()
        ],
        "per_cast": [{"cast": cast, "movie": movies.get(cast), **_columns(own)} for cast, own in found.casts.items()],
    }


def _means(mean_ap: float, rank: Mapping[int, float]) -> dict[str, float]:
    return {"mAP": mean_ap, **dict(zip(_RANK_NAMES, rank.values(), strict=True))}
