"""Whether labels are of what they shall score."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from castsearch.identifiers import mismatch, shown
from castsearch.metrics.errors import EvaluationError


def check_labels(
    labels: Mapping[str, Collection[str]], casts: Collection[str], candidates: Collection[str], what: str = "ranking"
) -> None:
    """See that labels are of what they shall score.

    Args:
        labels: true candidates of each cast.
        casts: who is looked for.
        candidates: what is ranked.
        what: whose they are.

    Raises:
        EvaluationError: no cast has a true candidate, or there is no cast or no candidate in common; the message shows
            one id of each side, and the likely cause.
    """
    queries = {cast for cast, true in labels.items() if true}
    if not queries:
        raise EvaluationError("the labels name no true candidate of any cast, so that there is nothing to score")
    if queries.isdisjoint(casts) and not queries.isdisjoint(candidates):
        raise EvaluationError(
            f"{shown(min(queries.intersection(candidates)))} is a cast in the labels and a candidate in the {what}; "
            "labels are {cast: [candidate, ...]}"
        )
    true = set().union(*labels.values())
    for kind, known, found in (("cast", queries, casts), ("candidate", true, candidates)):
        if known.isdisjoint(found):
            raise EvaluationError(_nothing_in_common(kind, known, found, what))


def _nothing_in_common(kind: str, known: Collection[str], found: Collection[str], what: str) -> str:
    if not found:
        return f"the {what} has no {kind}"
    ours, theirs, cause = mismatch(sorted(known), sorted(found))
    return (
        f"labels and {what} have no {kind} in common: {shown(ours)} stands in the labels, {shown(theirs)} in the "
        f"{what}; {cause}"
    )
