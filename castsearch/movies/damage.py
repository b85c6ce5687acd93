"""What of a film cannot be decoded, told as stretches of time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from castsearch.movies.footage import Damage, Tell
from castsearch.movies.times import Stretch

_PATIENCE = 64  # pictures; decoders' threads tell of an error so much later, or earlier, than its gap shows
_NEAR = 1.0  # seconds between damage that is told as one, or without a picture where one is expected
_STEADY = 50  # pictures, of which at most one may be late where they come steadily


class Account:
    """Puts a decoder's errors and the gaps between pictures together.

    Args:
        tell: is told of each stretch.
        step: seconds from a picture to the next.
        begin: seconds before which nothing is missing.
    """

    def __init__(self, tell: Tell, step: float, begin: float = 0.0) -> None:
        self._tell, self._step = tell, step
        self.end = begin
        self._why: str | None = None
        self._at = begin
        self._since = 0

    def error(self, why: str) -> None:
        """Something could not be decoded, somewhere hereabouts."""
        if self._why is None:
            self._why, self._at, self._since = why, self.end, 0

    def picture(self, seconds: float) -> None:
        """A picture came, to be shown at ``seconds``."""
        if self._why is not None:
            self._since += 1
            if seconds - self.end > self._step / 2:
                self._told(self.end, seconds)
            elif self._since > _PATIENCE:  # what was lost was made up from the pictures around it
                self._told(self._at, self._at + self._step)
        self.end = seconds + self._step

    def finish(self, claimed: float) -> None:
        """No more pictures come, though the container claimed so many seconds of them."""
        if claimed > self.end + max(_NEAR, self._step):
            self._why = "the file ends early" if self._why is None else self._why
            self._told(self.end, claimed)
        elif self._why is not None:
            self._told(self._at, max(self.end, self._at + self._step))

    def _told(self, start: float, end: float) -> None:
        assert self._why is not None
        self._tell(Damage(Stretch(start, end), self._why))
        self._why = None


def joined(damage: Iterable[Damage]) -> tuple[Damage, ...]:
    """Damage in the order of time, what lies within a second of each other for the same reason as one stretch."""
    result: list[Damage] = []
    for each in sorted(damage, key=lambda damage: damage.stretch):
        if result and result[-1].why == each.why and each.stretch.start - result[-1].stretch.end <= _NEAR:
            result[-1] = Damage(result[-1].stretch | each.stretch, each.why)
        else:
            result.append(each)
    return tuple(result)


def holes(times: np.ndarray, damage: Iterable[Damage]) -> list[Damage]:
    """Stretches without pictures in a film whose pictures otherwise come steadily: some containers lose them silently.

    Args:
        times: (n,) seconds of each picture, ascending.
        damage: that is known, and not told again.
    """
    steps = np.diff(times)
    if len(steps) < _STEADY:
        return []
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) > usual / 5) > 1 / _STEADY:
        return []
    ends = [(float(times[place]) + usual, float(times[place + 1])) for place in np.flatnonzero(steps > _NEAR + usual)]
    known = [each.stretch for each in damage]
    found = [Stretch(start, end) for start, end in ends]
    return [Damage(hole, "pictures are missing") for hole in found if not any(hole & other for other in known)]
