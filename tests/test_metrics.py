"""mAP and Rank@k against scikit-learn and against the challenge's own figures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from castsearch.annotations import read_labels, read_ranking
from castsearch.metrics import (
    EvaluationError,
    average_precision,
    check_labels,
    cllr,
    error_by_group,
    evaluate,
    paired_bootstrap,
    reliability,
    that_matter,
)


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


RANKING = {"tt1_nm1": ["tt1_0", "tt1_1"], "tt1_nm2": ["tt1_1", "tt1_0"]}


@pytest.mark.parametrize(
    ("labels", "ranking", "message"),
    [
        ({}, RANKING, "the labels name no true candidate of any cast"),
        ({"tt1_nm1": []}, RANKING, "the labels name no true candidate of any cast"),
        ({"tt1_nm1": ["tt1_0"]}, {}, "the ranking has no cast"),
        ({"tt2_nm9": ["tt2_0"]}, RANKING, "no cast in common: tt2_nm9 stands in the labels, tt1_nm1 in the ranking; "
                                          "they seem to be of different splits"),
        ({"nm1": ["tt1_0"]}, RANKING, "no cast in common: nm1 stands in the labels, tt1_nm1 in the ranking; "
                                      "one lacks the movie before it"),
        ({"tt1_NM2": ["tt1_0"]}, RANKING, "tt1_NM2 stands in the labels, tt1_nm2 in the ranking; upper and lower case"),
        ({"tt1_nm2.jpg": ["tt1_0"]}, RANKING, "tt1_nm2 in the ranking; one has a path or an extension in it"),
        ({"tt1_nm1": ["x", "tt1_1.jpg"]}, RANKING, "no candidate in common: tt1_1.jpg stands in the labels"),
        ({"tt1_nm1": ["val/tt1_1"]}, RANKING, "val/tt1_1 stands in the labels, tt1_1 in the ranking; one has a path"),
        ({"Ame\u0301": ["1"]}, {"Am\u00e9": ["1"]}, "the letters with accents are composed otherwise"),
        ({'"tt1_nm1"': ["tt1_0"]}, RANKING, "one stands in quotes or brackets, or beside other signs"),
        ({"tt1_0": ["tt1_nm1"]}, RANKING, "tt1_0 is a cast in the labels and a candidate in the ranking"),
    ],
)  # fmt: skip
def test_labels_and_rankings_that_do_not_belong_together(labels, ranking, message):
    with pytest.raises(EvaluationError) as error:
        evaluate(labels, ranking)
    assert message in str(error.value)


def test_casts_and_candidates_may_be_numbered_alike():
    assert evaluate({"0": ["1"], "1": ["0"]}, {"0": ["1", "0"], "1": ["2", "0"]}).mean_ap == 0.75


def test_a_ranking_that_is_only_bad_scores_nothing():
    found = evaluate({"a": ["1"], "b": ["2"]}, {"a": ["2"], "b": ["3"]})
    assert found.mean_ap == 0 and found.rank == {1: 0, 5: 0, 10: 0}
    assert found.absent == () and found.unranked == ("1",)


def test_what_is_not_shared_or_named_twice_is_counted():
    labels = {"a": ["1", "2", "9"], "b": ["3", "8"], "c": ["1"], "empty": []}
    found = evaluate(labels, {"a": ["1", "2", "2", "1", "1"], "b": ["3", "9"], "empty": ["1", "1"]})
    assert found.unranked == ("8",)
    assert found.repeated == {"a": 3}
    assert found.absent == ("c",)
    assert found.ap == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 0})


def test_labels_are_held_against_a_split_before_it_is_ranked():
    check_labels({"a": ["1"], "x": ["y"]}, ["a"], ["1", "2"], "split")
    with pytest.raises(EvaluationError, match="the split has no candidate"):
        check_labels({"a": ["1"]}, ["a"], [], "split")
    with pytest.raises(
        EvaluationError, match="labels and split have no cast in common: a stands in the labels, c in the split"
    ):
        check_labels({"a": ["1"]}, ["d", "c"], ["1"], "split")


def test_the_table():
    found = evaluate({"a": ["1", "2"], "b": ["3"]}, {"a": ["1", "4", "2"], "b": ["4"] * 9 + ["3"]})
    assert str(found) == "      mAP   Rank@1   Rank@5  Rank@10\n    66.67    50.00   100.00   100.00"


def test_a_real_submission_scores_as_the_challenge_said(testdata):
    folder = testdata / "data/wider_person_search_2018"
    found = evaluate(read_labels(folder / "val_label.json"), read_ranking(folder / "val_rank.txt"))
    figures = [found.mean_ap, *found.rank.values()]
    assert [round(100 * figure, 2) for figure in figures] == [71.29, 87.07, 90.48, 91.16]


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
