"""Tone mapping by tables, held to the formulas in doubles."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.movies.hdr import Transfer, to_sdr

WHITE, KNEE = 203, 0.7


def light_of(code: np.ndarray, transfer: Transfer) -> np.ndarray:
    """ITU-R BT.2100, tables 4 and 5, in units of white on a screen of 1000 cd/m2."""
    if transfer == "pq":
        power = code ** (32 / 2523)
        fraction = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        return 10000 / WHITE * fraction ** (16384 / 2610)
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return 1000 / WHITE * scene * (scene @ [0.2627, 0.678, 0.0593])[..., None] ** 0.2


def by_formula(picture: np.ndarray, transfer: Transfer) -> np.ndarray:
    to_bt709 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    light = np.maximum(light_of(picture / 65535, transfer) @ np.transpose(to_bt709), 0)
    largest = np.maximum(light.max(axis=2, keepdims=True), KNEE)
    bent = 1 - (1 - KNEE) * np.exp((KNEE - largest) / (1 - KNEE))
    return 255 * (light * bent / largest) ** (1 / 2.4)


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
@pytest.mark.parametrize("shape", [(200, 90), (1, 1), (4, 1), (1, 4)])
def test_tables_give_what_the_formulas_give(transfer: Transfer, shape: tuple[int, int]) -> None:
    """Of codes of 12 bits; rounding takes half a step, and where it is almost black, a little more."""
    codes = np.random.default_rng(7).integers(0, 4096, (*shape, 3)) * 65535 / 4095
    picture = np.rint(codes).astype(np.uint16)
    expected, found = by_formula(codes, transfer), to_sdr(picture, transfer)
    assert found.shape == picture.shape and found.dtype == np.uint8
    off = np.abs(found - expected)
    assert off[expected > 10].max(initial=0) <= 0.7
    assert off.max() <= 2
