"""SMPTE timecode: what editing programs call a picture of a film, at the film's own rate.

Frames are numbered by the time at which their pictures are shown, not by counting pictures: so numbers of a film of
variable rate do not drift away from its clock, and of a constant rate both are the same.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor

import numpy as np

from castsearch.movies.appearances import Film
from castsearch.movies.errors import MovieError
from castsearch.movies.times import Stretch

# SMPTE ST 12-1 and ST 12-3 as editing programs have them.
RATES = tuple(
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1))
)
_NEAR = Fraction(1, 200)  # of a rate: averages of a variable rate, and 29.97 for 30000/1001
# Dropped numbers a minute, but for each tenth: they keep hours of 29.97 frames a second in step with the clock.
_DROPPED = {Fraction(30000, 1001): 2, Fraction(60000, 1001): 4}
_SLACK = 0.0006  # seconds: what whole milliseconds, in which some formats tell times, may be off
_TIMECODE = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)[:;.,](\d\d)")


def timecode_rate(rate: Fraction) -> Fraction:
    """The rate of timecode that a film of any rate is told in: its own, or else a multiple, or the next above it.

    >>> timecode_rate(Fraction("29.97")), timecode_rate(Fraction(25, 2)), timecode_rate(Fraction(18))
    (Fraction(30000, 1001), Fraction(25, 1), Fraction(24000, 1001))
    """
    nearest = min(RATES, key=lambda known: abs(known - rate))
    if abs(nearest - rate) <= rate * _NEAR:
        return nearest
    multiple = next((known for known in RATES if known % rate == 0), None)
    return multiple or next((known for known in RATES if known > rate), RATES[-1])


def timecode(frame: int, rate: Fraction) -> str:
    """The timecode of a frame's number, counted from 00:00:00:00; it begins anew after a day.

    29.97 and 59.94 frames a second are told drop-frame, with a semicolon before the frames.

    Args:
        frame: its number, 0 or more.
        rate: one of ``RATES``.

    >>> timecode(86400, Fraction(24000, 1001)), timecode(1800, Fraction(30000, 1001))
    ('01:00:00:00', '00:01:00;02')
    """
    nominal, dropped = round(rate), _DROPPED.get(rate, 0)
    minute = 60 * nominal - dropped
    tens, rest = divmod(frame, 10 * minute + dropped)
    number = frame + dropped * (9 * tens + max(0, (rest - dropped) // minute))
    seconds, frames = divmod(number, nominal)
    sign = ";" if dropped else ":"
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{sign}{frames:02}"


def frame_of(code: str, rate: Fraction) -> int:
    """The number of the frame with a timecode: ``timecode`` the other way round.

    Raises:
        MovieError: it is no timecode, or its number is none of the rate, or dropped.

    >>> frame_of("00:01:00;02", Fraction(30000, 1001))
    1800
    """
    found, nominal, dropped = _TIMECODE.fullmatch(code), round(rate), _DROPPED.get(rate, 0)
    if found:
        hours, minutes, seconds, frames = map(int, found.groups())
        minutes += 60 * hours
        skipped = dropped and minutes % 10 and not seconds and frames < dropped
        if frames < nominal and not skipped:
            return (60 * minutes + seconds) * nominal + frames - dropped * (minutes - minutes // 10)
    form = "HH:MM:SS;FF, drop-frame" if dropped else "HH:MM:SS:FF"
    raise MovieError(f"{code!r} is no timecode at {float(rate):.6g} frames a second: expected {form}")


class Clock:
    """The seconds of a film as numbers of its frames and as timecode, and back.

    Attributes:
        rate: of the timecode, in frames a second.
        first: number of the film's first frame by its own timecode; other numbers count from the first frame.
    """

    def __init__(self, film: Film) -> None:
        self.rate = timecode_rate(film.rate)
        self.first = self._number(film.start)
        self._times = np.asarray(film.times, dtype=float)

    def _number(self, seconds: float) -> int:
        return floor(seconds * float(self.rate) + 0.5)

    def frame(self, seconds: float) -> int:
        """The number of the picture that is shown at a time."""
        if not len(self._times):
            return self._number(seconds)
        after = int(np.searchsorted(self._times, seconds + _SLACK, side="right"))
        return self._number(self._times[max(0, after - 1)])

    def shown(self, stretch: Stretch) -> Stretch:
        """When the pictures of a stretch of time are shown: from the first one's beginning to the last one's end."""
        if not len(self._times):
            return stretch
        first = int(np.searchsorted(self._times, stretch.start + _SLACK, side="right")) - 1
        after = int(np.searchsorted(self._times, stretch.end - _SLACK, side="left"))
        start = float(self._times[max(0, first)])
        end = float(self._times[after]) if after < len(self._times) else stretch.end
        return Stretch(start, max(start, end))

    def frames(self, stretch: Stretch) -> tuple[int, int]:
        """The first frame shown in a stretch of time, and the first one after it: at least one frame."""
        shown = self.shown(stretch)
        first = self._number(shown.start)
        return first, max(first + 1, self._number(shown.end))

    def seconds(self, frame: int) -> float:
        """When the picture of that number is shown; without such a picture, when it would be."""
        told = frame / float(self.rate)
        if len(self._times):
            after = int(np.searchsorted(self._times, told))
            near = self._times[max(0, after - 1) : after + 1]
            nearest = float(near[np.abs(near - told).argmin()])
            if self._number(nearest) == frame:
                return nearest
        return told

    def code(self, frame: int) -> str:
        """The timecode of a frame, by the film's own clock."""
        return timecode(self.first + frame, self.rate)

    def codes(self, stretch: Stretch) -> tuple[str, str]:
        """The timecodes of the first frame in a stretch, and of the first one after it."""
        first, end = self.frames(stretch)
        return self.code(first), self.code(end)
