"""To which movie ids belong, and what is odd about a submission: what the files do not tell is not claimed."""

from __future__ import annotations

import pytest

from castsearch.metrics import Oddities, by_ids, by_split, oddities
from castsearch.stagefiles import MoviePictures, Picture

LABELS = {"m_ann": ["m_1", "m_2"], "m_ben": ["m_3"], "n_cat": ["n_1"], "n_none": []}


def split(**movies: tuple[list[str], list[str]]) -> list[MoviePictures]:
    return [
        MoviePictures(name, *(tuple(Picture(one, f"{one}.jpg") for one in ids) for ids in both))
        for name, both in movies.items()
    ]


SPLIT = split(m=(["m_ann", "m_ben"], ["m_1", "m_2", "m_3", "m_4"]), n=(["n_cat", "n_none"], ["n_1", "n_2"]))


def test_ids_tell_movies():
    assert by_ids(LABELS).casts == {"m_ann": "m", "m_ben": "m", "n_cat": "n"}
    assert by_ids(LABELS).candidates is None
    own = by_ids({"my_film_ann_lee": ["my_film_0001", "my_film_0012"], "my_2_a": ["my_1"]}).casts
    assert own == {"my_film_ann_lee": "my_film", "my_2_a": "my"}


@pytest.mark.parametrize(
    "labels",
    [
        {"ann": ["0001"]},
        {"m_ann": ["m_1", "n_1"]},
        {"m_ann": ["m_1"], "ben": ["m_2"]},
        {"mann": ["m_1"]},
        {"_ann": ["_1"]},
        {"m_ann": ["m1_1"]},
    ],
)
def test_ids_that_tell_nothing(labels):
    assert by_ids(labels).casts == {}


def test_the_longest_name_is_the_movie_of_an_id():
    where = by_ids({"my_ann": ["my_1"], "my_film_ben": ["my_film_1"]})
    assert where.of_candidates(["my_2", "my_film_2", "my_film_x_3", "your_1", "my"]) == {
        "my_2": "my",
        "my_film_2": "my_film",
        "my_film_x_3": "my_film",
    }


def test_a_split_tells_movies_whatever_ids_are():
    where = by_split(split(one=(["a"], ["1", "2"]), two=(["b"], ["3"])))
    assert where.casts == {"a": "one", "b": "two"}
    assert where.of_candidates(["1", "3", "9"]) == {"1": "one", "3": "two"}


WHOLE = {"m_ann": ["m_1", "m_2", "m_3", "m_4"], "m_ben": ["m_4", "m_3", "m_2", "m_1"], "n_cat": ["n_2", "n_1"]}


@pytest.mark.parametrize("where", [by_ids(LABELS), by_split(SPLIT)])
def test_nothing_is_odd(where):
    assert oddities(LABELS, WHOLE | {"n_none": ["n_1", "n_2"]}, where) == Oddities()


def test_what_ids_alone_tell():
    ranking = WHOLE | {"m_ben": ["m_4", "n_1", "m_1", "n_7", "free", "m_1"], "who": ["m_1", "n_1"]}
    found = oddities(LABELS, ranking, by_ids(LABELS))
    assert found.strangers == ("who",)
    assert found.elsewhere == {"m_ben": 2}
    assert found.short == {"m_ben": (3, 4)}  # of no movie that is known, "free" may be one of this
    assert found.unknown == ()


def test_what_a_split_tells():
    ranking = WHOLE | {"m_ben": ["m_4", "n_1", "m_1", "n_7", "free", "m_1"], "n_cat": ["n_1", "n_2", "free"]}
    labels = {cast: true for cast, true in LABELS.items() if true}  # of n_none the split alone knows
    found = oddities(labels, ranking | {"who": ["m_1"], "n_none": ["n_2"]}, by_split(SPLIT))
    assert found.strangers == ("who",)
    assert found.elsewhere == {"m_ben": 1}
    assert found.unknown == ("free", "n_7")
    assert found.short == {"m_ben": (2, 4), "n_none": (1, 2)}


def test_only_one_portrait_of_a_person_has_a_line():
    where = by_split(SPLIT, {"m_ann", "n_cat"})
    assert where.casts == {"m_ann": "m", "n_cat": "n"}
    found = oddities({"m_ann": ["m_1"]}, {"m_ann": WHOLE["m_ann"], "m_ben": ["m_1"]}, where)
    assert found == Oddities(strangers=("m_ben",))


def test_lines_all_cut_alike_show_only_beside_the_split():
    cut = {cast: line[:2] for cast, line in WHOLE.items()}
    assert oddities(LABELS, cut, by_ids(LABELS)).short == {}
    assert oddities(LABELS, cut, by_split(SPLIT)).short == {"m_ann": (2, 4), "m_ben": (2, 4)}


def test_free_ids_claim_nothing():
    labels = {"ann": ["1"], "ben": ["2"]}
    found = oddities(labels, {"ann": ["1", "m_2", "x"], "ben": ["2"], "who": ["1"]}, by_ids(labels))
    assert found == Oddities(strangers=("who",))
