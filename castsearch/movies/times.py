"""Stretches of time, half-open, in seconds from the film's first picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Stretch:
    """The time from ``start`` up to, not including, ``end``, in seconds.

    Raises:
        ValueError: it ends before it starts, or is not finite.

    >>> shot = Stretch(2.0, 5.0)
    >>> 2.0 in shot, 5.0 in shot, shot.duration
    (True, False, 3.0)
    >>> shot & Stretch(4.0, 9.0)
    Stretch(start=4.0, end=5.0)
    >>> bool(shot & Stretch(5.0, 9.0))
    False
    >>> shot | Stretch(4.0, 9.0)
    Stretch(start=2.0, end=9.0)
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        if not -float("inf") < self.start <= self.end < float("inf"):
            raise ValueError(f"a stretch from {self.start} to {self.end}: expected finite seconds, the end not first")

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    def __bool__(self) -> bool:
        return self.end > self.start

    def __contains__(self, seconds: float) -> bool:
        return self.start <= seconds < self.end

    def __and__(self, other: Stretch) -> Stretch:
        """What both cover; an empty stretch where that is nothing."""
        start = max(self.start, other.start)
        return Stretch(start, max(start, min(self.end, other.end)))

    def __or__(self, other: Stretch) -> Stretch:
        """The shortest that covers both."""
        return Stretch(min(self.start, other.start), max(self.end, other.end))
