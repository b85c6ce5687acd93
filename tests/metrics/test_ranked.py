"""mAP, Rank@k and recall against scikit-learn, definitions, other programs, and the challenge's own figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from castsearch.annotations import read_labels, read_ranking
from castsearch.metrics import (
    CastScore,
    EvaluationError,
    average_precision,
    check_labels,
    evaluate,
    evaluate_alike,
    figures_by_movie,
)

LISTS = st.lists(st.booleans(), min_size=1, max_size=60)


@given(LISTS.filter(any))
def test_average_precision_is_scikit_learns(hits):
    assert average_precision(hits) == pytest.approx(average_precision_score(hits, -np.arange(len(hits))), abs=1e-12)


def test_scikit_learn_takes_ties_as_one_step():
    """Of two boxes with one score it gives 0.5, whichever is the hit; here the order decides."""
    assert average_precision_score([True, False], [0.3, 0.3]) == 0.5
    assert average_precision([True, False]) == 1.0 and average_precision([False, True]) == 0.5


def test_scikit_learn_does_not_know_what_was_not_ranked():
    """Of four true boxes two are ranked, first and third: 5/12. At the end the others would have counted."""
    assert average_precision([True, False, True], n_relevant=4) == pytest.approx(5 / 12)
    assert average_precision_score([True, False, True], [3, 2, 1]) == pytest.approx(5 / 6)
    appended = [True, False, True, True, True]
    assert average_precision_score(appended, [5, 4, 3, 2, 1]) == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 5) / 4)


def oxford(hits: list[bool]) -> float:
    """compute_ap of the Oxford buildings' program: the area by trapezoids."""
    ap = recall = 0.0
    precision, found = 1.0, 0
    for rank, hit in enumerate(hits, 1):
        found += hit
        now = found / sum(hits)
        ap += (now - recall) * (precision + found / rank) / 2
        recall, precision = now, found / rank
    return ap


@given(LISTS.filter(any))
def test_trapezoids_are_never_more(hits):
    assert oxford([True, False, True]) == pytest.approx(19 / 24) and average_precision([1, 0, 1]) == pytest.approx(
        20 / 24
    )
    assert oxford(hits) <= average_precision(hits) + 1e-12
    whole = sum(hits)
    if all(hits[:whole]):
        assert oxford(hits) == pytest.approx(average_precision(hits)) == 1


def torchreid(lists: list[list[bool]], junk: list[list[bool]]) -> tuple[float, float]:
    """mAP and Rank@1 as eval_market1501 computes them from matches in ranked order, junk taken away."""
    aps, first = [], []
    for matches, removed in zip(lists, junk, strict=True):
        kept = np.array(matches)[~np.array(removed)]
        if not kept.any():
            continue
        first.append(kept[0])
        precision = kept.cumsum() / np.arange(1, len(kept) + 1)
        aps.append((precision * kept).sum() / kept.sum())
    return float(np.mean(aps)), float(np.mean(first))


def scored(lists: list[list[bool]]) -> tuple[float, float]:
    labels = {f"c{n}": [f"{i}" for i, hit in enumerate(hits) if hit] for n, hits in enumerate(lists)}
    found = evaluate(labels, {f"c{n}": [f"{i}" for i in range(len(hits))] for n, hits in enumerate(lists)})
    return found.mean_ap, found.rank[1]


@given(st.lists(LISTS.filter(any), min_size=1, max_size=5))
def test_torchreid_without_junk_is_the_same(lists):
    assert scored(lists) == pytest.approx(torchreid(lists, [[False] * len(hits) for hits in lists]))


def test_torchreid_leaves_out_junk():
    """The hit at the first place is of the same camera: there it is not asked for, here it is a hit like others."""
    assert torchreid([[True, False, True]], [[True, False, False]]) == (0.5, 0.0)
    assert scored([[True, False, True]]) == (pytest.approx(5 / 6), 1.0)


def test_fewer_relevant_than_hits_cannot_be():
    with pytest.raises(ValueError, match="2 hits, where 1 items are relevant"):
        average_precision([True, True], n_relevant=1)


IDS = st.integers(0, 8).map(str)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(IDS, max_size=6, unique=True)),
    st.dictionaries(st.sampled_from("abcde"), st.lists(IDS, max_size=12), min_size=1),
)
def test_figures_are_their_definitions(labels, ranking):
    """Precision at every rank, rank by rank, of the line without what it repeats."""
    try:
        found = evaluate(labels, ranking)
    except EvaluationError:
        return
    queries = [cast for cast in labels if labels[cast]]
    assert [*found.casts] == queries
    for cast in queries:
        line = [one for at, one in enumerate(ranking.get(cast, [])) if one not in ranking[cast][:at]]
        precision = [
            sum(one in labels[cast] for one in line[: k + 1]) / (k + 1)
            for k in range(len(line))
            if line[k] in labels[cast]
        ]
        own = found.casts[cast]
        assert own.ap == pytest.approx(sum(precision) / len(labels[cast]))
        assert (own.n_ranked, own.n_true) == (len(line), len(labels[cast]))
        assert own.recall(3) == sum(one in labels[cast] for one in line[:3]) / len(labels[cast])
        assert own.first_hit == next((k for k, one in enumerate(line, 1) if one in labels[cast]), None)
    for k in (1, 5, 10):
        within = [(found.casts[cast].first_hit or 99) <= k for cast in queries]
        assert found.rank[k] == pytest.approx(sum(within) / len(within))
    assert found.mean_ap == pytest.approx(np.mean([found.ap[cast] for cast in queries]))


@pytest.mark.parametrize(
    ("line", "ap", "first", "recalls"),
    [
        ([], 0, None, (0, 0)),  # nothing is ranked
        (["x"], 0, None, (0, 0)),
        (["1"], 1 / 4, 1, (1 / 4, 1 / 4)),  # fewer are ranked than are true
        (["x", "x", "x", "1", "1", "2"], (1 / 2 + 2 / 3) / 4, 2, (1 / 2, 1 / 2)),  # first places count
        ([*map(str, range(100, 149)), "1", "2"], (1 / 50 + 2 / 51) / 4, 50, (1 / 4, 1 / 2)),
        ([*map(str, range(100, 199)), "1", "2"], (1 / 100 + 2 / 101) / 4, 100, (0, 1 / 4)),
        (["4", "3", "2", "1"], 1, 1, (1, 1)),
    ],
)
def test_traps_of_a_line(line, ap, first, recalls):
    found = evaluate({"a": ["1", "2", "3", "4"], "b": ["5"]}, {"a": line, "b": ["5"]})
    own = found.casts["a"]
    assert own.ap == pytest.approx(ap) and own.first_hit == first
    assert (own.recall(50), own.recall(100)) == recalls
    assert found.mean_ap == pytest.approx((ap + 1) / 2)
    assert found.rank[1] == ((first == 1) + 1) / 2


def test_rank_at_k_counts_the_kth_place_and_none_behind():
    for k in (1, 5, 10):
        labels = {"in": ["hit"], "behind": ["hit"]}
        filled = {"in": [*map(str, range(k - 1)), "hit"], "behind": [*map(str, range(k)), "hit"]}
        assert evaluate(labels, filled).rank[k] == 0.5


def test_labels_that_name_a_candidate_twice_ask_for_it_once():
    assert evaluate({"a": ["1", "1", "2"]}, {"a": ["1", "2"]}).mean_ap == 1


def test_a_cast_without_a_line_counts_nothing_or_not_at_all():
    labels, ranking = {"a": ["1"], "b": ["2"], "none": []}, {"a": ["x", "1"], "stranger": ["1"]}
    zero, skip = evaluate(labels, ranking), evaluate(labels, ranking, "skip")
    assert (zero.mean_ap, zero.rank[5], zero.absent, zero.unranked) == (0.25, 0.5, ("b",), ("2",))
    assert (skip.mean_ap, skip.rank[5], skip.absent, skip.unranked) == (0.5, 1.0, ("b",), ())
    assert [*zero.casts] == ["a", "b"] and [*skip.casts] == ["a"]
    assert zero.casts["b"] == CastScore((), 1, 0)
    with pytest.raises(ValueError, match="one of zero, skip, got 'ignore'"):
        evaluate(labels, ranking, "ignore")


def test_submissions_are_compared_over_the_same_casts():
    """Who skips a hard cast must not look better beside one who does not."""
    labels = {"easy": ["1"], "hard": ["2"], "lost": ["3"]}
    rankings = {"whole": {"easy": ["1"], "hard": ["x", "2"]}, "part": {"easy": ["x", "x2", "1"], "lost": ["3"]}}
    zero = evaluate_alike(labels, rankings)
    assert [one.mean_ap for one in zero.values()] == pytest.approx([0.5, (1 / 3 + 1) / 3])
    skip = evaluate_alike(labels, rankings, "skip")
    assert {name: [*one.casts] for name, one in skip.items()} == {"whole": ["easy"], "part": ["easy"]}
    assert [one.mean_ap for one in skip.values()] == pytest.approx([1, 1 / 3])
    assert [one.absent for one in skip.values()] == [("lost",), ("hard",)]
    alone = evaluate_alike(labels, {"whole": rankings["whole"]}, "skip")
    assert [*alone["whole"].casts] == ["easy", "hard"]


def test_nothing_left_to_compare():
    with pytest.raises(EvaluationError, match="r, s: no cast has a line in each"):
        evaluate_alike({"a": ["1"], "b": ["2"]}, {"r": {"a": ["1"]}, "s": {"b": ["2"]}}, "skip")
    with pytest.raises(EvaluationError, match="s: labels and ranking have no cast in common"):
        evaluate_alike({"a": ["1"]}, {"r": {"a": ["1"]}, "s": {"b": ["2"]}})


def test_movies_have_means_of_their_casts():
    labels = {"m_a": ["1"], "m_b": ["1"], "n_a": ["1"], "free": ["1"]}
    found = evaluate(labels, {"m_a": ["1"], "m_b": ["x", "1"], "n_a": ["1"], "free": []})
    of = figures_by_movie(found, {"m_a": "m", "m_b": "m", "n_a": "n"})
    assert {movie: (own.n_casts, own.mean_ap, own.rank[1]) for movie, own in of.items()} == {
        "m": (2, 0.75, 0.5),
        "n": (1, 1.0, 1.0),
        None: (1, 0.0, 0.0),
    }


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
