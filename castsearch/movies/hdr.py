"""Pictures of high dynamic range brought to what every network was trained on: 8 bits, BT.709."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

Transfer = Literal["pq", "hlg"]

_CODES = 4096  # 12 bits are as fine as either curve needs
_WHITE = 203.0  # candelas per square metre of what is white in a picture, not in a lamp (ITU-R BT.2408)
_KNEE = 0.7  # of that white: what is darker stays as it is
_PEAK = 1000.0  # candelas per square metre of the screen that HLG is looked at on (ITU-R BT.2100)
_GAMMA = 2.4  # ITU-R BT.1886
# ITU-R BT.2087: light of BT.2020's primaries as light of BT.709's.
_PRIMARIES = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_BAND = 256  # rows worked on at once, so that floats of a picture of 8K take little room


def to_sdr(picture: np.ndarray, transfer: Transfer) -> np.ndarray:
    """Tone-map a picture.

    Light up to 0.7 of white stays, what is brighter is bent towards white without reaching it, by the largest of the
    three colours, so that hues stay. The codes become light by ITU-R BT.2100, white is 203 cd/m2 (ITU-R BT.2408).

    Args:
        picture: (h, w, 3) uint16, RGB of full range with BT.2020's primaries.
        transfer: how its codes stand for light: PQ (SMPTE ST 2084) or HLG.

    Returns:
        (h, w, 3) uint8 RGB, BT.709.
    """
    result = np.empty(picture.shape, dtype=np.uint8)
    for top in range(0, len(picture), _BAND):
        result[top : top + _BAND] = _band(picture[top : top + _BAND], transfer)
    return result


def _band(picture: np.ndarray, transfer: Transfer) -> np.ndarray:
    light = _light(transfer)[picture >> 4]
    if transfer == "hlg":  # the screen's own contrast goes by brightness, BT.2100, table 5
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light *= (_PEAK / _WHITE) * luminance[..., None] ** 0.2
    light = np.maximum(light @ _PRIMARIES.T, 0)
    largest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    bent = np.where(largest > _KNEE, 1 - (1 - _KNEE) * np.exp((_KNEE - largest) / (1 - _KNEE)), largest)
    codes = np.rint(light * (bent / largest) * (_CODES - 1)).astype(np.uint16)
    return _display()[np.minimum(codes, _CODES - 1)]


@lru_cache
def _light(transfer: Transfer) -> np.ndarray:
    """(4096,) float32: light of each code, of PQ in units of white, of HLG the scene's, 0 to 1."""
    code = np.arange(_CODES) / (_CODES - 1)
    if transfer == "pq":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        light = 10000 / _WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return light.astype(np.float32)


@lru_cache
def _display() -> np.ndarray:
    """(4096,) uint8: the code of each light from 0 to 1."""
    return np.rint(255 * (np.arange(_CODES) / (_CODES - 1)) ** (1 / _GAMMA)).astype(np.uint8)
