"""What a labelled split teaches, and that no movie is judged by what it taught."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from castsearch import tuning
from castsearch.metrics import EvaluationError, cllr
from castsearch.ranking import MovieFeatures, Settings, fuse
from castsearch.ranking.best import Recipe
from castsearch.ranking.best.faces import evidence
from castsearch.ranking.impostors import Impostors
from castsearch.tuning import (
    BEST,
    BEST_FITTED,
    CHOSEN,
    FLAGS,
    MIN_GENUINE,
    PLAIN,
    LabelledMovie,
    Pairs,
    TuningError,
    label_movies,
)

MEAN, SD = 0.2, 0.1  # of the simulated impostors' cosines


def simulated(seed: int, name: str = "", n: int = 60) -> LabelledMovie:
    """Three people and strangers, seen by face or not, all of whose faces share a part."""
    rng, width = np.random.default_rng(seed), 100
    common = np.sqrt(MEAN) * np.eye(width)[0]

    def unit(*shape: int) -> np.ndarray:
        rows = rng.normal(size=(*shape, width)) * (np.arange(width) > 0)
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    who, has_face = rng.integers(6, size=n), rng.random(n) < 0.8
    people, outfits = unit(6), rng.normal(size=(6, 32))
    faces = common + np.sqrt(1 - MEAN) * (0.6 * people[[0, 1, 2, *who]] + 0.8 * unit(n + 3))
    name = name or f"m{seed}"
    movie = MovieFeatures(
        name=name,
        cast=[f"{name}_nm{i}" for i in range(3)],
        candidates=[f"{name}_{i}" for i in range(n)],
        frames=[f"shot{i}" for i in range(n)],
        faces=faces.astype(np.float32),
        has_face=np.concatenate([[True] * 3, has_face]),
        bodies=[(outfits[who] + rng.normal(size=(n, 32))).astype(np.float32)],
    )
    return LabelledMovie(movie, who == np.arange(3)[:, None])


def by_hand(has_face: Sequence[bool] = (True,) * 6) -> LabelledMovie:
    """Two people and four boxes; faces in the plane, at angles whose cosines are plain."""
    angles = np.radians([0, 90, 0, 60, 90, 120])
    return LabelledMovie(
        MovieFeatures(
            name="m",
            cast=["a", "b"],
            candidates=["0", "1", "2", "3"],
            frames=list("0123"),
            faces=np.float32(7 * np.stack([np.cos(angles), np.sin(angles)], axis=1)),
            has_face=np.array(has_face),
            bodies=[np.eye(4, dtype=np.float32)],
        ),
        np.array([[True, False, False, False], [False, False, True, False]]),
    )


def test_labels_of_all_portraits_of_a_person_count() -> None:
    movie = replace(by_hand().movie, persons=["somebody", "somebody"])
    (labelled,) = label_movies([movie], {"a": ["0"], "b": ["2", "3"]})
    assert labelled.truth.tolist() == [[True, False, True, True]]
    assert labelled.queries == ["a"]


def test_movies_without_labels_are_left_out() -> None:
    movies = [simulated(1, "m1").movie, simulated(2, "m2").movie]
    (labelled,) = label_movies(movies, {"m2_nm1": ["m2_5"], "m1_nm0": []})
    assert labelled.movie is movies[1]
    assert np.argwhere(labelled.truth).tolist() == [[1, 5]]
    assert labelled.queries == ["m2_nm1"]
    with pytest.raises(EvaluationError, match="no cast in common"):
        label_movies(movies, {"m3_nm1": ["m3_5"]})


def test_truth_has_a_row_a_person() -> None:
    with pytest.raises(ValueError, match=r"truth must be \(2, 4\), got \(4, 2\)"):
        LabelledMovie(by_hand().movie, by_hand().truth.T)


def test_average_precisions_by_hand() -> None:
    labelled = by_hand()
    ranking = fuse(labelled.movie)
    assert ranking == {"a": ["0", "1", "2", "3"], "b": ["2", "1", "3", "0"]}
    labelled = replace(labelled, truth=np.array([[False, True, False, True], [False] * 4]))
    assert labelled.queries == ["a"]
    assert labelled.average_precisions(tuning.by(Settings())) == pytest.approx([(1 / 2 + 2 / 4) / 2])


def test_pairs_are_all_of_a_portrait_and_a_face() -> None:
    pairs = tuning.face_pairs(by_hand())
    root = np.sqrt(0.75)
    assert pairs.impostor == pytest.approx([0.5, 0, -0.5, 0, root, root], abs=1e-6)
    assert pairs.genuine == pytest.approx([1, 1], abs=1e-6)
    assert pairs.people == 2


def test_no_pairs_without_a_face_or_a_label() -> None:
    root = np.sqrt(0.75)
    seen = tuning.face_pairs(by_hand((True, True, True, False, True, True)))
    assert seen.impostor == pytest.approx([0, -0.5, 0, root], abs=1e-6)
    unseen = tuning.face_pairs(by_hand((False, True, True, True, True, True)))
    assert unseen.impostor == pytest.approx([0, root, root], abs=1e-6)
    assert unseen.genuine == pytest.approx([1], abs=1e-6) and unseen.people == 1
    turned = tuning.face_pairs(by_hand((True, True, True, True, False, True)))
    assert turned.genuine == pytest.approx([1], abs=1e-6) and turned.people == 1
    unlabelled = by_hand()
    unlabelled.truth[0] = False  # a may be anywhere
    assert tuning.face_pairs(unlabelled).impostor == pytest.approx([0, root, root], abs=1e-6)
    with pytest.raises(TuningError, match="movie m: it has no face features"):
        tuning.face_pairs(replace(by_hand(), movie=replace(by_hand().movie, faces=None, bodies=[np.eye(6)])))


def normal_pairs(genuine: float, spread: float, people: int, count: int = 4000, seed: int = 0) -> Pairs:
    """Cosines of impostors of mean 0.1 and spread 0.1, and of people whose mean is ``genuine``."""
    rng = np.random.default_rng(seed)
    return Pairs(rng.normal(genuine, spread, count), rng.normal(0.1, 0.1, count), people)


def test_the_impostors_themselves_are_told() -> None:
    found = tuning.fit([tuning.face_pairs(simulated(seed)) for seed in range(10)])
    assert found.themselves.mean == pytest.approx(MEAN, abs=0.02)
    assert found.themselves.sd == pytest.approx(0.8 * SD, abs=0.02)  # what 99 dimensions leave of them: 0.8 / sqrt(99)
    assert found.people == 30 and found.genuine > MIN_GENUINE


def test_the_fit_is_where_faces_cost_least() -> None:
    pairs = normal_pairs(0.35, 0.1, people=10**9)
    found = tuning.fit([pairs])

    def cost(mean: float, sd: float) -> float:
        return cllr(*(evidence(some, Impostors(mean, sd), Recipe()) for some in (pairs.genuine, pairs.impostor)))

    least = cost(found.impostors.mean, found.impostors.sd)
    assert found.cllr == pytest.approx(least, abs=1e-4) and least < found.cllr_of_themselves - 0.01
    assert found.cllr_of_themselves == pytest.approx(cost(found.themselves.mean, found.themselves.sd), abs=1e-4)
    for mean, sd in itertools.product(np.linspace(-0.2, 0.4, 25), np.geomspace(0.03, 0.4, 25)):
        assert cost(mean, sd) > least - 1e-4


def test_few_people_calibrate_less_than_many() -> None:
    """Where the pairs of one person lie far from impostors, nearly any choice will do; it stays near what is known."""
    far = [tuning.fit([normal_pairs(0.6, 0.02, people)]) for people in (1, 10, 10**9)]
    away = [abs(np.log(found.impostors.sd / found.themselves.sd)) for found in far]
    away = [a + abs(f.impostors.mean - f.themselves.mean) / f.themselves.sd for a, f in zip(away, far, strict=True)]
    assert away[0] < away[1] < away[2] and away[0] < 0.2
    assert far[0].cllr > far[1].cllr > far[2].cllr


def test_movies_count_alike() -> None:
    long, short = normal_pairs(0.35, 0.1, 50, 8000), normal_pairs(0.5, 0.1, 50, 100, seed=1)
    again = Pairs(np.tile(short.genuine, 80), np.tile(short.impostor, 80), 50)
    alike, weighed = tuning.fit([long, short]), tuning.fit([long, again])
    for name in ("mean", "sd"):  # but for the order of sums
        assert getattr(alike.impostors, name) == pytest.approx(getattr(weighed.impostors, name), abs=1e-6)
    assert alike.genuine == 8100
    assert alike.themselves.mean == pytest.approx((long.impostor.mean() + short.impostor.mean()) / 2, abs=1e-4)
    without = Pairs(np.zeros(0), np.zeros(0), 0)
    assert tuning.fit([long, without]).impostors == tuning.fit([long]).impostors


def test_too_few_pairs_are_refused() -> None:
    def pairs(genuine: int, impostor: int) -> Pairs:
        return Pairs(np.linspace(0.5, 0.6, genuine), np.linspace(0, 0.1, impostor), 1)

    with pytest.raises(TuningError, match="29 pairs of a portrait and somebody else's face, where 30 are the least"):
        tuning.fit([pairs(5, 10), pairs(5, 19)])
    with pytest.raises(TuningError, match="9 pairs of a portrait and its person's face, where 10 are the least"):
        tuning.fit([pairs(5, 30), pairs(4, 30)])
    with pytest.raises(TuningError, match="0 pairs"):
        tuning.fit([])
    assert tuning.fit([pairs(5, 11), pairs(5, 19)]).impostors.sd > 0
    with pytest.raises(TuningError, match="without movie m1 there are 2 pairs"):
        tuning.compare([by_hand(), simulated(1)])


def test_flags_are_chosen_by_the_other_movies() -> None:
    rows = [
        {"x": np.array([1.0, 1.0]), "y": np.array([0.0, 0.0])},  # two casts, for x
        {"x": np.array([0.0]), "y": np.array([1.0])},
        {"x": np.array([0.0]), "y": np.array([0.5])},
    ]
    assert tuning.choose_without(rows, ["x", "y"]) == ["y", "x", "x"]
    assert tuning.choose_without([rows[0], rows[0]], ["y", "x"]) == ["x", "x"]
    even = [{"x": np.array([0.1 * k]), "y": np.array([0.1 * k])} for k in range(4)]
    assert tuning.choose_without(even, ["y", "x"]) == ["y"] * 4  # of equals the first


@pytest.mark.parametrize("left_out", range(3))
def test_no_movie_is_judged_by_what_it_taught(left_out: int) -> None:
    """With other labels, a movie gets other figures, but the same impostors and the same flags."""
    movies = [simulated(seed) for seed in range(3)]
    before = tuning.compare(movies)
    wrong = replace(movies[left_out], truth=np.roll(movies[left_out].truth, 7, axis=1))
    after = tuning.compare([wrong if index == left_out else movie for index, movie in enumerate(movies)])
    for index, movie in enumerate(movies):
        name = movie.movie.name
        assert (before.impostors[name] == after.impostors[name]) == (index == left_out)
        own = [index for index, of in enumerate(before.movies) if of == name]
        assert np.array_equal(before.ap[PLAIN][own], after.ap[PLAIN][own]) == (index != left_out)
    assert before.chosen[movies[left_out].movie.name] == after.chosen[movies[left_out].movie.name]


def test_the_comparison_holds_what_each_recipe_reaches() -> None:
    movies = [simulated(seed) for seed in range(3)]
    seen = []

    def progress(items: Sequence[LabelledMovie]) -> Iterator[LabelledMovie]:
        for item in items:
            seen.append(item.movie.name)
            yield item

    found = tuning.compare(movies, progress)
    assert seen == ["m0", "m1", "m2"]
    assert set(found.ap) == {*FLAGS, CHOSEN, BEST, BEST_FITTED}
    assert found.movies == [name for name in seen for _ in range(3)]
    for index, movie in enumerate(movies):
        own = slice(3 * index, 3 * index + 3)
        for name, settings in {**FLAGS, BEST: Settings(recipe="best")}.items():
            assert found.ap[name][own].tolist() == movie.average_precisions(tuning.by(settings)).tolist()
        fitted = replace(movie, movie=replace(movie.movie, impostors=found.impostors[movie.movie.name]))
        expected = fitted.average_precisions(tuning.by(Settings(recipe="best")))
        assert found.ap[BEST_FITTED][own].tolist() == expected.tolist()
        assert found.ap[CHOSEN][own].tolist() == found.ap[found.chosen[movie.movie.name]][own].tolist()
        assert isinstance(found.impostors[movie.movie.name], Impostors)


def test_one_movie_is_nothing_to_report_on() -> None:
    with pytest.raises(TuningError, match="1 labelled movie: with nothing left out to report on"):
        tuning.compare([simulated(0)])
