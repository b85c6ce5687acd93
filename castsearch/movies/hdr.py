"""Pictures of high dynamic range brought to what every network was trained on: 8 bits, BT.709."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

Transfer = Literal["pq", "hlg"]

_CODES = 4096  # 12 bits are as fine as either curve needs
_LIGHTS = 65536  # of light itself, which the display's curve spreads where it is dark
_WHITE = 203.0  # candelas per square metre of what is white in a picture, not in a lamp (ITU-R BT.2408)
_KNEE = 0.7  # of that white: what is darker stays as it is
_PEAK = 1000.0  # candelas per square metre of the screen that HLG is looked at on (ITU-R BT.2100)
_GAMMA = 2.4  # ITU-R BT.1886
# ITU-R BT.2087: light of BT.2020's primaries as light of BT.709's.
_PRIMARIES = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], dtype=np.float32)  # of BT.2020's primaries
_BAND = 64  # rows worked on at once, so that their floats stay near the processor
_LEAST = -20  # exponent, below which nothing changes and floats become so small that processors stumble


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
    scene = _light(transfer).take(picture >> 4, mode="clip")
    light = cv2.transform(scene, _PRIMARIES)
    largest: np.ndarray = cv2.max(cv2.max(light[..., 0], light[..., 1]), light[..., 2])
    if transfer == "hlg":  # the screen's own contrast goes by brightness, BT.2100, table 5
        contrast: np.ndarray = _PEAK / _WHITE * cv2.pow(cv2.transform(scene, _LUMINANCE), 0.2)
        largest *= contrast
    bright = np.maximum(largest, _KNEE)
    bent = 1 - (1 - _KNEE) * cv2.exp(np.maximum((_KNEE - bright) / (1 - _KNEE), _LEAST))
    gain = (_LIGHTS - 1) * bent / bright
    if transfer == "hlg":
        gain *= contrast
    # Rounded; what is below 0 becomes 0.
    codes: np.ndarray = cv2.multiply(light, cv2.merge([gain] * 3), dtype=cv2.CV_16U)
    return _display().take(codes, mode="clip")


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
    """(65536,) uint8: the code of each light from 0 to 1."""
    return np.rint(255 * (np.arange(_LIGHTS) / (_LIGHTS - 1)) ** (1 / _GAMMA)).astype(np.uint8)
