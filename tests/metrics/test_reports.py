"""Evaluations as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from castsearch.metrics import (
    CSV_START,
    JSON_START,
    Difference,
    Oddities,
    Scored,
    as_csv,
    as_json,
    cast_table,
    evaluate_alike,
    movie_table,
    summary,
)

LABELS = {"m_ann": ["m_1", "m_2"], "m_ben": ["m_3"], "n_cat": ["n_1"]}
MOVIES = {"m_ann": "m", "m_ben": "m", "n_cat": "n"}
RANKINGS = {
    "a.txt": {"m_ann": ["m_1", "m_3", "m_2"], "m_ben": ["m_1", "m_3"], "n_cat": ["n_1"]},
    "<b>.txt": {"m_ann": ["m_1", "m_2", "m_3", "m_3"], "m_ben": ["m_1"], "who": ["n_1"]},
}


def both() -> list[Scored]:
    first, other = evaluate_alike(LABELS, RANKINGS).values()
    odd = Oddities(strangers=("who",), short={"m_ben": (1, 3)})
    return [Scored("a.txt", first), Scored("<b>.txt", other, odd, Difference(-0.4444, -0.6, -0.2))]


def test_one_submission_has_the_challenges_table():
    first = both()[:1]
    assert summary(first) == str(first[0].evaluation)
    assert summary(first).splitlines()[1].split() == ["77.78", "66.67", "100.00", "100.00"]


def test_several_stand_below_each_other():
    scored = both()
    assert summary(scored).splitlines() == [
        "submission    mAP  Rank@1  Rank@5  Rank@10  beside the first",
        "a.txt       77.78   66.67  100.00   100.00",
        "'<b>.txt'   33.33   33.33   33.33    33.33  -44.4 [-60.0, -20.0]",
    ]
    without = [scored[0], Scored("<b>.txt", scored[1].evaluation)]
    assert summary(without).splitlines()[2].endswith("33.33  -44.4")


def test_a_table_of_movies():
    assert movie_table(both()[:1], MOVIES).splitlines() == [
        "movie  casts     mAP  Rank@1  Rank@5  Rank@10",
        "m          2   66.67   50.00  100.00   100.00",
        "n          1  100.00  100.00  100.00   100.00",
    ]
    lines = [line.split() for line in movie_table(both(), {"m_ann": "m", "m_ben": "m"}).splitlines()]
    assert lines[1][:4] == ["m", "a.txt", "2", "66.67"] and len(lines[1]) == 7
    assert lines[2][:4] == ["m", "'<b>.txt'", "2", "50.00"] and lines[2][-1] == "-16.67"
    assert lines[3][0] == lines[4][0] == "?" and lines[4][-1] == "-100.00"


def test_a_table_of_casts():
    assert cast_table(both()[:1]).splitlines() == [
        "cast   true      AP  first hit  recall@50  recall@100",
        "m_ann     2   83.33          1     100.00      100.00",
        "m_ben     1   50.00          2     100.00      100.00",
        "n_cat     1  100.00          1     100.00      100.00",
    ]
    lines = [line.split() for line in cast_table(both()).splitlines()]
    assert lines[2] == ["m_ann", "'<b>.txt'", "2", "100.00", "1", "100.00", "100.00", "+16.67"]
    assert lines[4] == ["m_ben", "'<b>.txt'", "1", "0.00", "-", "0.00", "0.00", "-50.00"]


def test_csv_has_a_row_a_submission_and_cast():
    text = as_csv(both(), {"m_ann": "m", "m_ben": "m"})
    assert text.startswith(CSV_START)
    rows = [*csv.DictReader(io.StringIO(text))]
    assert [(row["submission"], row["cast"]) for row in rows] == [(name, cast) for name in RANKINGS for cast in LABELS]
    row = rows[0]
    assert float(row.pop("ap")) == pytest.approx(5 / 6)
    assert row == {
        "submission": "a.txt", "movie": "m", "cast": "m_ann", "true": "2", "ranked": "3", "found": "2",
        "first_hit": "1", "recall_50": "1.0", "recall_100": "1.0",
    }  # fmt: skip
    assert (rows[5]["movie"], rows[5]["ranked"], rows[5]["found"], rows[5]["first_hit"]) == ("", "0", "0", "")
    assert rows[3]["ranked"] == "3"  # one is named twice


def test_json_has_all():
    text = as_json(both(), MOVIES, "zero")
    assert text.startswith(JSON_START) and text.endswith("}\n")
    found = json.loads(text)
    assert (found["format"], found["missing"]) == ("castsearch evaluation 1", "zero")
    first, other = found["submissions"]
    assert (first["file"], first["casts"], first["beyond_first"]) == ("a.txt", 3, None)
    assert first["mAP"] == pytest.approx(7 / 9) and first["Rank@1"] == pytest.approx(2 / 3)
    assert other["beyond_first"] == {"mean": -0.4444, "low": -0.6, "high": -0.2}
    assert (other["absent"], other["unranked"], other["repeated"]) == (["n_cat"], [], {"m_ann": 1})
    assert (other["lines_of_strangers"], other["short"], other["unknown"]) == (["who"], {"m_ben": [1, 3]}, [])
    assert other["of_other_movies"] == {}
    assert first["per_movie"][0] == {
        "movie": "m", "casts": 2, "mAP": pytest.approx(2 / 3), "Rank@1": 0.5, "Rank@5": 1, "Rank@10": 1
    }  # fmt: skip
    assert first["per_cast"][1] == {
        "cast": "m_ben", "movie": "m", "true": 1, "ranked": 2, "found": 1, "ap": 0.5, "first_hit": 2,
        "recall_50": 1, "recall_100": 1,
    }  # fmt: skip
    assert json.loads(as_json(both(), {}, "skip"))["submissions"][0]["per_movie"] == []
