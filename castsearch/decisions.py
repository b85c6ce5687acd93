"""What people decided about boxes: ``decisions.json``, which the gallery writes and rankings take.

A box is confirmed for somebody, or rejected. It is known by its id and by the crop it was cut as, so that a file of
another run, whose ids were dealt anew, is told from this one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from castsearch.errors import CastSearchError

FORMAT, VERSION = "castsearch decisions", 1

Boxes = Mapping[str, str]  # the crop's path of each candidate, by id


class DecisionError(CastSearchError):
    """Decisions of the wrong shape, or that contradict each other."""


@dataclass(frozen=True)
class Verdicts:
    """What was decided for one person.

    Attributes:
        confirmed: boxes that show the person.
        rejected: boxes that do not.
        portraits: ids of confirmed boxes that count as portraits.
        replace: whether they take the place of the portraits that there were.
    """

    confirmed: Boxes = field(default_factory=dict)
    rejected: Boxes = field(default_factory=dict)
    portraits: tuple[str, ...] = ()
    replace: bool = False


@dataclass(frozen=True)
class Decisions:
    """All decisions on a split.

    Attributes:
        people: by the id of a person's portrait.
        named: by movie and name, the boxes of a group of unknown people that was given that name.
    """

    people: Mapping[str, Verdicts] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, Boxes]] = field(default_factory=dict)
