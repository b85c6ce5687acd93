"""How sure differences are: the bootstrap over movies."""

from __future__ import annotations

import numpy as np
import pytest

from castsearch.metrics import EvaluationError, beyond, differences, evaluate, paired_bootstrap


def test_a_bootstrap_draws_movies_not_casts():
    """Ten casts of one movie are one piece of evidence: the interval is that of two movies, whatever their casts."""
    many = paired_bootstrap([0.2] * 10 + [0.0] * 10, [0.1] * 10 + [0.0] * 10, ["m1"] * 10 + ["m2"] * 10)
    few = paired_bootstrap([0.2, 0.0], [0.1, 0.0], ["m1", "m2"])
    assert [many.mean, many.low, many.high] == pytest.approx([few.mean, few.low, few.high])
    assert [many.mean, many.low, many.high] == pytest.approx([0.05, 0.0, 0.1])


def test_a_movie_counts_by_its_casts():
    found = paired_bootstrap([1, 1, 1, 0], [0, 0, 0, 0], ["m1", "m1", "m1", "m2"])
    assert found.mean == 0.75 and (found.low, found.high) == (0, 1)


def test_the_interval_is_that_of_the_means_standard_error():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 0.1, 400), rng.normal(0.45, 0.1, 400)
    found = paired_bootstrap(a, b, range(400))
    error = (a - b).std() / 20
    assert found.mean == pytest.approx((a - b).mean())
    assert [found.low, found.high] == pytest.approx([found.mean - 1.96 * error, found.mean + 1.96 * error], abs=1e-3)
    wider = paired_bootstrap(a, b, range(400), level=0.99)
    assert wider.low < found.low and wider.high > found.high
    assert found == paired_bootstrap(a, b, range(400)) != paired_bootstrap(a, b, range(400), seed=1)


def test_ten_movies_hold_the_truth_as_often_as_is_said():
    """Plain percentiles, which are not moved outwards, hold it in 90 % of such experiments."""
    rng, held = np.random.default_rng(0), 0
    for experiment in range(600):
        casts = rng.integers(5, 12, size=10)
        gains = 0.1 + np.repeat(rng.normal(0, 0.05, 10), casts) + rng.normal(0, 0.08, casts.sum())
        movies = np.repeat(np.arange(10), casts).tolist()
        found = paired_bootstrap(gains, np.zeros(len(gains)), movies, resamples=500, seed=experiment)
        held += found.low <= 0.1 <= found.high
    assert 0.925 < held / 600 < 0.975


def test_what_is_paired_cancels():
    """Movies differ much more than the two rankings do, and the interval does not see it."""
    level = np.random.default_rng(0).random(30)
    found = paired_bootstrap(level + 0.01, level, range(30))
    assert [found.mean, found.low, found.high] == pytest.approx([0.01] * 3)


def test_no_interval_of_one_movie():
    with pytest.raises(EvaluationError, match="two movies at least, and there is 1"):
        paired_bootstrap([0.1, 0.2], [0, 0], ["m", "m"])
    with pytest.raises(ValueError, match=r"expected \(1,\)"):
        paired_bootstrap([0.1, 0.2], [0, 0], ["m"])


def test_many_groups_are_drawn_in_parts(monkeypatch):
    """And the same ones as at once: 10,000 draws of 100,000 groups would take 8 GB."""
    a = np.random.default_rng(0).random(50)
    whole = paired_bootstrap(a, np.zeros(50), range(50), resamples=1000)
    monkeypatch.setattr(differences, "_AT_ONCE", 50 * 7)
    assert paired_bootstrap(a, np.zeros(50), range(50), resamples=1000) == whole
    monkeypatch.setattr(differences, "_AT_ONCE", 1)
    assert paired_bootstrap(a, np.zeros(50), range(50), resamples=1000) == whole


def test_how_much_better_a_submission_is():
    labels = {cast: ["1"] for cast in ("m_a", "m_b", "n_a")}
    first = evaluate(labels, {cast: ["x", "1"] for cast in labels})
    other = evaluate(labels, {"n_a": ["1"], "m_b": ["x", "1"], "m_a": ["x", "y", "z", "1"]})
    movies = {"m_a": "m", "m_b": "m", "n_a": "n", "more": "m"}
    found = beyond(other, first, movies)
    assert found == paired_bootstrap([0.25, 0.5, 1], [0.5, 0.5, 0.5], ["m", "m", "n"])
    assert found.mean == pytest.approx(0.25 / 3) and (found.low, found.high) == (-0.125, 0.5)
    with pytest.raises(EvaluationError, match="do not tell which movie"):
        beyond(other, first, {"m_a": "m", "m_b": "m"})
    with pytest.raises(EvaluationError, match="two movies at least, and there is 1"):
        beyond(other, first, dict.fromkeys(labels, "m"))
