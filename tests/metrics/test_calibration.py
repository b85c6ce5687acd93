"""How true probabilities are, and what likelihood ratios cost."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.metrics import EvaluationError, cllr, error_by_group, reliability, that_matter


def test_probabilities_that_are_true_have_no_error():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    hit = rng.random(200_000) < p
    assert reliability(p, hit).error < 0.005
    assert reliability(p**2, hit).error == pytest.approx(1 / 6, abs=0.005)  # the integral of p - p^2


def test_bins_by_hand():
    found = reliability([0.0, 0.04, 0.5, 0.74, 1.0, 1.0], [0, 1, 1, 0, 1, 0], bins=4)
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.count.tolist() == [2, 0, 2, 2]  # an edge belongs to the bin above it, 1 to the last
    assert found.probability[[0, 2, 3]] == pytest.approx([0.02, 0.62, 1.0])
    assert found.hits[[0, 2, 3]] == pytest.approx([0.5, 0.5, 0.5])
    assert np.isnan(found.probability[1]) and np.isnan(found.hits[1])
    assert found.error == pytest.approx((2 * 0.48 + 2 * 0.12 + 2 * 0.5) / 6)
    assert str(found).splitlines()[1] == "0.00 to 0.25            2   0.020   0.500"


def test_rare_hits_hide_an_error_that_shows_among_the_boxes_that_matter():
    p = np.r_[np.zeros(9900), np.full(100, 0.5)]
    hit = p == 0.5
    assert reliability(p, hit).error == pytest.approx(0.005)
    kept = that_matter(p)
    assert reliability(p[kept], hit[kept]).error == pytest.approx(0.5)


def test_true_probabilities_show_no_error_among_those_that_matter():
    """What is kept is chosen without looking at what came true; a choice by hits, too, would show an error here."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.2, 4, 400_000)
    hit = rng.random(400_000) < p
    kept = that_matter(p)
    assert 0 < kept.mean() < 0.5 and p[kept].min() >= 0.05 > p[~kept].max() and hit[~kept].any()
    assert reliability(p[kept], hit[kept]).error < 0.005
    assert reliability(p[kept | hit], hit[kept | hit]).error > 0.01


def test_what_is_no_probability_is_refused():
    for p in ([1.1], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="within 0 and 1"):
            reliability(p, [True])
    with pytest.raises(ValueError, match="got 1 and 2"):
        reliability([0.5], [True, False])
    assert reliability([], []).error == 0


def test_errors_of_movies_do_not_cancel():
    p, hit, movie = [0.5] * 8, [True] * 4 + [False] * 4, ["a"] * 4 + ["b"] * 4
    assert reliability(p, hit).error == 0
    assert error_by_group(p, hit, movie) == {"a": 0.5, "b": 0.5}


def test_ratios_cost_what_they_mislead():
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(2, 2, 100_000), rng.normal(-2, 2, 100_000)  # their own log likelihood ratios
    told = cllr(genuine, impostor)
    assert 0 < told < 1
    for slope, offset in ((1.2, 0), (0.8, 0), (1, 0.4), (1, -0.4)):
        assert cllr(slope * genuine + offset, slope * impostor + offset) > told + 1e-3
    assert cllr([-3.0], [3.0]) == pytest.approx(np.log2(1 + np.exp(3)))
    assert cllr([800.0], [-800.0]) == 0
    assert cllr([-800.0], [-800.0]) == pytest.approx(400 / np.log(2))  # no overflow


def test_pairs_may_weigh_differently():
    few = cllr([0.0, 2.0], [1.0, -1.0], np.array([3.0, 1.0]), np.array([1.0, 2.0]))
    assert few == pytest.approx(cllr([0.0, 0.0, 0.0, 2.0], [1.0, -1.0, -1.0]))
    for pairs, kind in ((([], [0.0]), "genuine"), (([0.0], []), "impostor")):
        with pytest.raises(EvaluationError, match=f"no {kind} pair"):
            cllr(*pairs)
