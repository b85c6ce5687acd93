"""Samples of more than 8 bits: what they become in the 8 that everything else works with.

A file does not say which of its numbers is white. Integers are of 8, 10, 12, 14, 16 or 32 bits, whatever they are
stored in, as cameras put 10 to 14 into 16: 0 up to the least such range that holds the largest becomes 0 to 255. Floats
become it from 0 to 1 where all lie there, and from 0 to 255 where all lie there, unless they pass 1 by a little only.
Everything else, numbers below 0 among it, becomes 0 to 255 from its least to its largest.
"""

from __future__ import annotations

import numpy as np

BITS = (8, 10, 12, 14, 16, 32, 64)  # that integers may be of
OVERSHOOT = 2.0  # floats up to this are meant to be 0 to 1, and left it when they were sharpened or scaled
_CHUNK = 1 << 22  # samples that are worked on at once; bounds memory


def eight_bit(samples: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Bring samples to 0 to 255.

    Args:
        samples: integers or floats, (height, width) or (height, width, channels).

    Returns:
        The same as uint8, and what was done in words; None where the numbers are what they were.

    Raises:
        ValueError: one is not finite.
    """
    least, largest = float(samples.min()), float(samples.max())
    if not np.isfinite(largest - least):
        raise ValueError("it holds samples that are not finite")
    low, high = _range(least, largest, samples.dtype.kind == "f")
    if samples.dtype == np.uint16:
        eight = _scaled(np.arange(1 << 16), low, high)[samples]
    else:
        eight = np.empty(samples.shape, dtype=np.uint8)
        step = max(1, _CHUNK // (samples.size // len(samples)))
        for top in range(0, len(samples), step):
            eight[top : top + step] = _scaled(samples[top : top + step], low, high)
    return eight, None if (low, high) == (0, 255) else f"samples of {low:g} to {high:g} became 0 to 255"


def _scaled(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint((samples.astype(np.float64) - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)


def _range(least: float, largest: float, floats: bool) -> tuple[float, float]:
    """The numbers that become 0 and 255."""
    if least >= 0 and not floats:
        return 0, next(2.0**bits - 1 for bits in BITS if largest <= 2.0**bits - 1)
    if least >= 0 and largest <= 1:
        return 0, 1
    if least >= 0 and OVERSHOOT < largest <= 255:
        return 0, 255
    return least, max(largest, np.nextafter(least, np.inf))
