"""What scripts that score a ranking share: which labels are its, and what is said of both."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from castsearch.annotations import labels_of_persons, read_labels
from castsearch.metrics import Evaluation, EvaluationError, Missing, Oddities, check_labels
from castsearch.stagefiles import MoviePictures
from scripts.cli import first_few, warn


def fitting_labels(
    gt: Path | None, default: Path, movies: Collection[MoviePictures], without: str
) -> dict[str, list[str]] | None:
    """The labels that ``--gt`` names, or those that lie where labels are looked for, one entry a person under the first
    portrait's id; None where there are none.

    Args:
        gt: what ``--gt`` says; such labels must be of these movies.
        default: where labels are looked for without it; those of others are warned of, and None is returned.
        movies: whose casts and candidates the labels must share.
        without: what is done without labels, for that warning.

    Raises:
        EvaluationError: the labels that were asked for are of others.
    """
    if gt is None and not default.exists():
        return None
    file = gt or default
    labels = read_labels(file)
    casts = {picture.id for movie in movies for picture in movie.cast}
    candidates = {picture.id for movie in movies for picture in movie.candidates}
    try:
        check_labels(labels, casts, candidates, "split")
    except EvaluationError as error:
        if gt is not None:
            raise EvaluationError(f"{file}: {error}") from None
        warn(f"{file}: {error}; {without}")
        return None
    return labels_of_persons(labels, movies)


def report_evaluation(evaluation: Evaluation) -> None:
    """Print the table, and warn of what labels and ranking do not share, or name twice."""
    print(evaluation)
    warn_of_evaluation(evaluation)


def warn_of_evaluation(evaluation: Evaluation, missing: Missing = "zero", which: str = "") -> None:
    """Warn of what labels and ranking do not share, or name twice.

    Args:
        evaluation: of one submission.
        missing: what its absent casts count.
        which: what to put before each warning, where there are several submissions.
    """
    counts = "each counts 0" if missing == "zero" else "left out of the means"
    if evaluation.absent:
        warn(f"{which}absent from the ranking, {counts}: {first_few(evaluation.absent)}")
    if evaluation.unranked:
        warn(f"{which}true candidates that no line ranks, each counts as missed: {first_few(evaluation.unranked)}")
    if evaluation.repeated:
        times = sum(evaluation.repeated.values())
        names = first_few([*evaluation.repeated])
        warn(f"{which}ranked again {times} times, where the first place counts, for {names}")


def warn_of_oddities(odd: Oddities, split_known: bool, which: str = "") -> None:
    """Warn of what else is odd about a submission.

    Args:
        odd: what was found.
        split_known: whether movies and candidates are known, or only what ids tell.
        which: what to put before each warning, where there are several submissions.
    """
    told = "" if split_known else ", as ids tell"
    if odd.strangers:
        count = _counted(len(odd.strangers), "line counts", "lines count")
        known = "neither in the labels nor a person's first portrait" if split_known else "not in the labels"
        warn(f"{which}{count} for nothing, whose cast is {known}: {first_few(odd.strangers)}")
    if odd.unknown:
        count = _counted(len(odd.unknown), "id is", "ids are")
        warn(f"{which}{count} no candidate of the split, each counts as a miss: {first_few(odd.unknown)}")
    if odd.elsewhere:
        count = _counted(sum(odd.elsewhere.values()), "candidate", "candidates")
        warn(f"{which}{count} of another movie{told}, each counts as a miss, for {first_few([*odd.elsewhere])}")
    if odd.short:
        count = _counted(len(odd.short), "line lacks", "lines lack")
        names = [f"{cast} ({has} of {whole})" for cast, (has, whole) in odd.short.items()]
        others = "of the split" if split_known else "that others of the movie have"
        warn(f"{which}{count} candidates {others}: {first_few(names)}")


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
