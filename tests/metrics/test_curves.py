"""Precision over recall and histograms of ranks, by their definitions and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castsearch.metrics import PrecisionRecall, RankHistogram, evaluate, precision_recall, rank_histograms


def evaluated(*casts: tuple[list[int], int, int]):
    """An evaluation of casts whose hits stand at given ranks, of so many true ones, of lines so long."""
    labels, ranking = {}, {}
    for n, (hits, n_true, length) in enumerate(casts):
        line = [f"{rank}" for rank in range(1, length + 1)]
        labels[f"c{n}"] = [f"{rank}" for rank in hits] + [f"missed{i}" for i in range(n_true - len(hits))]
        ranking[f"c{n}"] = line
    return evaluate(labels, ranking)


def test_a_curve_by_hand():
    """Hits at ranks 1, 3 and 4 of four true ones: precisions 1, 2/3 and 3/4, of which the last lifts the one before."""
    curve = precision_recall(evaluated(([1, 3, 4], 4, 9)))
    assert curve.recall == pytest.approx(np.linspace(0, 1, 101))
    assert curve.precision[:26] == pytest.approx([1] * 26)
    assert curve.precision[26:76] == pytest.approx([0.75] * 50)
    assert curve.precision[76:] == pytest.approx([0] * 25)


def test_casts_count_alike():
    curve = precision_recall(evaluated(([1], 1, 9), ([2], 1, 9), ([], 7, 9), ([4], 2, 9)))
    assert curve.precision[[0, 50, 51, 100]] == pytest.approx([(1 + 1 / 2 + 1 / 4) / 4] * 2 + [(1 + 1 / 2) / 4] * 2)


@given(st.sets(st.integers(1, 120), min_size=1, max_size=30), st.integers(0, 90))
def test_interpolated_precision_is_its_definition(ranks, missed):
    n_true = len(ranks) + missed
    curve = precision_recall(evaluated((sorted(ranks), n_true, 120)))
    points = [(Fraction(i, n_true), i / rank) for i, rank in enumerate(sorted(ranks), 1)]
    for at in range(101):
        reached = [precision for recall, precision in points if recall >= Fraction(at, 100)]
        assert curve.precision[at] == pytest.approx(max(reached, default=0), abs=1e-12)
    assert (np.diff(curve.precision) <= 1e-12).all()


def test_histograms_by_hand():
    found = evaluated(([1, 3, 11], 5, 30), ([2], 1, 30), ([], 2, 30), ([6, 10, 20, 21], 4, 30))
    other = evaluated(([30], 5, 30), ([], 1, 30), ([], 2, 30), ([], 4, 30))
    (first, other_first), (every, other_every) = rank_histograms([found, other])
    assert first.names == ["1", "2", "3–5", "6–10", "11–20", "21–50"] == every.names
    assert (first.count.tolist(), first.never) == ([1, 1, 0, 1, 0, 0], 1)
    assert (every.count.tolist(), every.never) == ([1, 1, 1, 2, 2, 1], 4)
    assert (other_first.count.tolist(), other_first.never) == ([0, 0, 0, 0, 0, 1], 3)
    assert (other_every.count.tolist(), other_every.never) == ([0, 0, 0, 0, 0, 1], 11)


@pytest.mark.parametrize(
    ("rank", "last"), [(1, 10), (10, 10), (11, 20), (50, 50), (51, 100), (501, 1000), (2001, 5000)]
)
def test_bins_reach_the_last_rank(rank, last):
    (found,), _ = rank_histograms([evaluated(([rank], 1, rank))])
    assert found.last[-1] == last and found.count.sum() == 1 and (np.diff(found.last) > 0).all()


def test_no_hit_at_all():
    (first,), (every,) = rank_histograms([evaluate({"a": ["9"], "b": ["1"]}, {"a": ["1"], "b": ["9"]})])
    assert first.last.tolist() == [1, 2, 5, 10] and not first.count.any() and first.never == every.never == 2


def test_columns_have_one_length():
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        PrecisionRecall(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"got \(1,\) and \(2,\)"):
        RankHistogram(np.zeros(1, np.int64), np.zeros(2, np.int64), 0)
