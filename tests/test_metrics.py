"""mAP and Rank@k against scikit-learn and against the challenge's own figures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from castsearch.annotations import read_labels, read_ranking
from castsearch.metrics import average_precision, evaluate


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    hits = rng.random(rng.integers(1, 200)) < rng.random()
    hits[rng.integers(len(hits))] = True
    assert average_precision(hits) == pytest.approx(average_precision_score(hits, -np.arange(len(hits))), abs=1e-12)


def test_figures_by_hand():
    labels = {"a": ["1", "2"], "b": ["3"], "c": ["9"], "none": []}
    ranking = {"a": ["1", "5", "2", "2"], "b": ["4", "1", "2", "5", "6", "3"], "none": ["1"], "stranger": ["1"]}
    found = evaluate(labels, ranking)
    assert found.ap == pytest.approx({"a": (1 + 2 / 3) / 2, "b": 1 / 6, "c": 0})
    assert found.mean_ap == pytest.approx(1 / 3)
    assert found.rank == pytest.approx({1: 1 / 3, 5: 1 / 3, 10: 2 / 3})
    assert found.absent == ("c",)


def test_nothing_to_score():
    assert average_precision([False, False]) == average_precision([]) == average_precision([False], 0) == 0
    found = evaluate({}, {"a": ["1"]})
    assert found.mean_ap == 0 and found.rank == {1: 0, 5: 0, 10: 0} and found.absent == ()


def test_the_table():
    found = evaluate({"a": ["1", "2"], "b": ["3"]}, {"a": ["1", "4", "2"], "b": ["4"] * 9 + ["3"]})
    assert str(found) == "      mAP   Rank@1   Rank@5  Rank@10\n    66.67    50.00   100.00   100.00"


def test_a_real_submission_scores_as_the_challenge_said(testdata):
    folder = testdata / "data/wider_person_search_2018"
    found = evaluate(read_labels(folder / "val_label.json"), read_ranking(folder / "val_rank.txt"))
    figures = [found.mean_ap, *found.rank.values()]
    assert [round(100 * figure, 2) for figure in figures] == [71.29, 87.07, 90.48, 91.16]
