"""The better recipe against the plain one of the benchmark, and what must hold of any movie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from castsearch.ranking import Impostors, MovieFeatures, RankingError, Settings, fuse, rank
from castsearch.ranking.best import EVIDENCE, LEAST, REST, Recipe, believe
from castsearch.ranking.best import rank as rank_by
from castsearch.ranking.impostors import estimated
from castsearch.ranking.ranked import Ranked
from castsearch.ranking.threads import Resources

RESOURCES = Resources(1 << 30, 1)
BEST = Settings(recipe="best")


def make(
    seed: int,
    n: int,
    people: int = 4,
    portraits: int = 1,
    models: int = 1,
    faceless: float = 0.3,
    crowd: float = 2,
    shots: bool = True,
    noise: float = 0.5,
) -> MovieFeatures:
    """A movie of so many boxes of people and of two others, ``crowd`` a frame; the persons' portraits alternate."""
    rng = np.random.default_rng(seed)
    own, outfits = rng.normal(size=(people + 2, 16)), rng.normal(size=(models, people + 2, 12))
    who = rng.integers(people + 2, size=n)
    of_portrait = np.tile(np.arange(people), portraits)
    faces = own[np.concatenate([of_portrait, who])]
    return MovieFeatures(
        name="m",
        cast=[f"portrait{i}" for i in range(len(of_portrait))],
        candidates=[f"box{i}" for i in range(n)],
        frames=[f"frame{i}" for i in rng.integers(int(n / crowd) + 1, size=n)],
        faces=(faces + noise * rng.normal(size=faces.shape)).astype(np.float32),
        has_face=np.concatenate([rng.random(len(of_portrait)) < 0.8, rng.random(n) >= faceless]),
        bodies=[(some[who] + 0.6 * rng.normal(size=(n, 12))).astype(np.float32) for some in outfits],
        persons=[f"person{i}" for i in of_portrait],
        shots=np.where(rng.random(n) < 0.8, rng.integers(60, size=n), np.nan) if shots else None,
    )


def ranked_by(movie: MovieFeatures, recipe: Recipe | None = None, resources: Resources = RESOURCES) -> list[Ranked]:
    return list(rank_by(movie, BEST, resources, recipe or Recipe()))


def in_order_of_boxes(ranked: Sequence[Ranked], column: str) -> np.ndarray:
    """(p, n) score, probability or evidence of that name."""
    out = np.empty((len(ranked), len(ranked[0])))
    for row, some in zip(out, ranked, strict=True):
        row[some.order] = some.evidence[column] if column in some.evidence else getattr(some, column)
    return out


def cosines_of_templates(movie: MovieFeatures) -> np.ndarray:
    """(p, m) cosines of the mean portrait of each person and the candidates that have a face."""
    assert movie.faces is not None
    unit = movie.faces / np.linalg.norm(movie.faces.astype(np.float64), axis=1, keepdims=True)
    mean = np.stack([unit[own].sum(axis=0) for own in movie.telling_portraits])
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return mean @ unit[len(movie.cast) :][movie.has_face[len(movie.cast) :]].T


def plainly(reference: ModuleType, movie: MovieFeatures, recipe: Recipe) -> dict[str, np.ndarray]:
    impostors = movie.impostors or estimated(cosines_of_templates(movie))
    return reference.best(
        [own.tolist() for own in movie.telling_portraits],
        movie.faces,
        movie.has_face[len(movie.cast) :],
        movie.bodies,
        movie.frames,
        movie.shots,
        (impostors.mean, impostors.sd),
        recipe,
    )


def check_as_plainly(
    reference: ModuleType, movie: MovieFeatures, recipe: Recipe | None = None, atol: float = 1e-5
) -> list[Ranked]:
    """Ranks, and compares all with the plain recipe."""
    recipe = recipe or Recipe()
    ranked, expected = ranked_by(movie, recipe), plainly(reference, movie, recipe)
    score = in_order_of_boxes(ranked, "score")
    np.testing.assert_allclose(score, expected["log_odds"], rtol=1e-6, atol=atol)
    for kind in EVIDENCE:
        np.testing.assert_allclose(in_order_of_boxes(ranked, kind), expected[kind], rtol=1e-6, atol=atol)
    for some, true in zip(ranked, expected["log_odds"], strict=True):
        assert sorted(some.order) == list(range(len(movie.candidates)))
        assert (np.diff(true[some.order]) < 2 * atol).all()  # equal but for near ties
    probability = in_order_of_boxes(ranked, "probability")
    np.testing.assert_allclose(probability, expected["probability"], atol=atol)
    return ranked


MOVIES = {
    "plain": make(0, 40),
    "no shots": make(1, 40, shots=False),
    "everyone has a face": make(2, 40, faceless=0),
    "hardly a face": make(3, 40, faceless=0.95),
    "crowds": make(4, 50, crowd=8),
    "nobody shares a frame": replace(make(5, 40), frames=[str(i) for i in range(40)]),
    "three portraits": make(6, 40, people=3, portraits=3),
    "three body models": make(7, 40, models=3),
    "one person": make(8, 30, people=1),
    "many people": make(9, 60, people=12),
    "one box": make(10, 1),
    "two boxes": make(11, 2, crowd=0.1),
    "three boxes": make(12, 3),
    "fewer boxes than neighbours": make(13, 11),
    "more than a shortlist holds": make(14, 130, crowd=3),
    "faces like portraits": make(15, 40, noise=0),
    "known impostors": replace(make(16, 40), impostors=Impostors(0.2, 0.15)),
    "no face at all": make(17, 30, faceless=1),
    "equal bodies": replace(make(18, 90), bodies=[np.ones((90, 5), np.float32)]),
    "one frame": replace(make(19, 30), frames=["frame"] * 30),
    "one shot": replace(make(20, 30), shots=np.full(30, 7.0)),
}


@pytest.mark.parametrize("name", MOVIES)
def test_as_written_down_plainly(reference: ModuleType, name: str) -> None:
    # The only pair of two bodies deviates by nothing from the mean, which is rounded, of the least deviation.
    check_as_plainly(reference, MOVIES[name], atol=2e-3 if name == "two boxes" else 1e-5)


PIECES = {
    "faces alone": {"template_rounds": 0, "vote_power": 0.0, "frame_sweeps": 0},
    "faces and frames": {"vote_power": 0.0},
    "no template": {"template_rounds": 0},
    "two in a frame": {"frame_sweeps": 0},
    "no time": {"time_most": 0.0},
    "no links of faces": {"link_slope": 0.0},
    "one choice": {"unlike": (-3.0,), "body_slopes": (1.5,)},
    "two choices": {"unlike": (-3.0, -1.0), "body_slopes": (1.5,), "caution": 0.0},
    "few neighbours": {"neighbours": 2},
    "all neighbours": {"neighbours": 1000},
    "one round": {"vote_rounds": 1, "vote_power": 1.0},
    "calibrated": {"scale": 0.6, "shift": -1.3},
    "everything sure": {"sure": 0.1, "others": 0.2, "portrait_weight": 0.5},
}


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("movie", ["plain", "crowds", "three portraits"])
def test_pieces_as_written_down_plainly(reference: ModuleType, movie: str, name: str) -> None:
    check_as_plainly(reference, MOVIES[movie], replace(Recipe(), **PIECES[name]))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- what a ranking is


@pytest.mark.parametrize("name", MOVIES)
def test_evidence_and_prior_make_the_log_odds(name: str) -> None:
    movie, recipe = MOVIES[name], Recipe()
    ranked = ranked_by(movie, recipe)
    prior = np.log((1 - recipe.others) / len(ranked))
    logit = prior + sum(in_order_of_boxes(ranked, kind) for kind in EVIDENCE)
    weight, nobody = np.exp(recipe.scale * logit), recipe.others**recipe.scale * np.exp(recipe.shift)
    rest = weight.sum(axis=0) - weight + nobody
    np.testing.assert_allclose(in_order_of_boxes(ranked, "score"), np.log(weight / rest), atol=1e-4)


@pytest.mark.parametrize("calibration", [(1.0, 0.0), (0.3, -4.0), (2.5, 1.0)])
@pytest.mark.parametrize("name", MOVIES)
def test_one_person_a_box(name: str, calibration: tuple[float, float]) -> None:
    scale, shift = calibration
    probability = in_order_of_boxes(ranked_by(MOVIES[name], Recipe(scale=scale, shift=shift)), "probability")
    assert (probability >= 0).all() and (probability <= 1).all()
    assert (probability.sum(axis=0) <= 1 + 1e-6).all()


def test_columns_and_their_kinds() -> None:
    for person, some in rank(MOVIES["plain"], BEST):
        assert person in MOVIES["plain"].people
        assert (some.order.dtype, some.score.dtype) == (np.int64, np.float32)
        assert some.probability is not None and some.probability.dtype == np.float32
        assert list(some.evidence) == list(EVIDENCE)
        assert all(column.dtype == np.float32 and len(column) == len(some) for column in some.evidence.values())
        assert (np.diff(some.score) <= 0).all()
        assert (np.diff(some.order)[np.diff(some.score) == 0] > 0).all()


@pytest.mark.parametrize("name", ["crowds", "hardly a face"])
def test_what_found_a_box_is_the_largest_evidence(name: str) -> None:
    kinds: set[str] = set()
    for some in ranked_by(MOVIES[name]):
        columns = np.stack([np.full(len(some), LEAST), *(some.evidence[kind] for kind in EVIDENCE)])
        found = columns[[[REST, *EVIDENCE].index(kind) for kind in some.found_by], np.arange(len(some))]
        np.testing.assert_array_equal(found, columns.max(axis=0))
        kinds |= set(some.found_by)
    assert {REST, "body"} <= kinds


# ---------------------------------------------------------------------------- what changes nothing


def columns(ranked: Sequence[Ranked]) -> list[np.ndarray]:
    return [
        column
        for some in ranked
        for column in (some.order, some.score, some.found_by, some.probability, *some.evidence.values())
        if column is not None
    ]


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def cut(rows: int) -> None:
        for place in ("nearest", "best.links", "best.votes"):
            monkeypatch.setattr(f"castsearch.ranking.{place}.TILE", rows)
        for place in ("unit", "best.links", "best.faces", "best.whitening"):
            monkeypatch.setattr(f"castsearch.ranking.{place}.tile_rows", lambda _: rows)
        monkeypatch.setattr("castsearch.ranking.best.links.EXACT_PAIRS", 100 * rows)

    return cut


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("name", ["crowds", "equal bodies", "more than a shortlist holds", "one frame"])
def test_blocks_threads_and_memory_change_nothing(name: str, rows: int, small_tiles: Callable[[int], None]) -> None:
    one = ranked_by(MOVIES[name])
    small_tiles(rows)
    for resources in (Resources(0, 1), Resources(1 << 40, 3)):
        for some, same in zip(columns(one), columns(ranked_by(MOVIES[name], None, resources)), strict=True):
            np.testing.assert_array_equal(some, same)


def taken(movie: MovieFeatures, order: np.ndarray) -> MovieFeatures:
    """The candidates in another order."""
    assert movie.faces is not None
    q = len(movie.cast)
    rows = np.concatenate([np.arange(q), q + order])
    return replace(
        movie,
        candidates=[movie.candidates[i] for i in order],
        frames=[movie.frames[i] for i in order],
        faces=movie.faces[rows],
        has_face=movie.has_face[rows],
        bodies=[some[order] for some in movie.bodies],
        shots=None if movie.shots is None else movie.shots[order],
    )


@pytest.mark.parametrize("name", ["plain", "crowds", "three body models", "more than a shortlist holds"])
def test_the_order_of_the_candidates_changes_nothing(name: str) -> None:
    movie = MOVIES[name]
    order = np.random.default_rng(0).permutation(len(movie.candidates))
    one, other = ranked_by(movie), ranked_by(taken(movie, order))
    for column in ("score", *EVIDENCE):
        np.testing.assert_allclose(
            in_order_of_boxes(other, column), in_order_of_boxes(one, column)[:, order], rtol=1e-6, atol=1e-5
        )


def test_the_order_of_people_and_of_their_portraits_changes_nothing() -> None:
    movie = MOVIES["three portraits"]
    assert movie.faces is not None and movie.persons is not None
    q = len(movie.cast)
    rows = np.concatenate([np.arange(q)[::-1], np.arange(q, len(movie.faces))])
    turned = replace(
        movie,
        cast=movie.cast[::-1],
        persons=movie.persons[::-1],
        faces=movie.faces[rows],
        has_face=movie.has_face[rows],
    )
    one, other = dict(rank(movie, BEST)), dict(rank(turned, BEST))
    person = dict(zip(movie.cast, movie.persons, strict=True))
    by_name = {person[cast]: some for cast, some in other.items()}
    for cast, some in one.items():
        score = in_order_of_boxes([some, by_name[person[cast]]], "score")
        np.testing.assert_allclose(score[1], score[0], rtol=1e-6, atol=1e-5)


def test_a_ranking_is_the_same_again() -> None:
    for some, same in zip(columns(ranked_by(MOVIES["plain"])), columns(ranked_by(MOVIES["plain"])), strict=True):
        np.testing.assert_array_equal(some, same)


def test_scales_of_features_change_nothing() -> None:
    movie = MOVIES["plain"]
    assert movie.faces is not None
    scaled = replace(movie, faces=1e-18 * movie.faces, bodies=[1e15 * some for some in movie.bodies])
    one, other = (in_order_of_boxes(ranked_by(some), "score") for some in (movie, scaled))
    np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-5)


def test_what_candidates_without_a_face_have_in_its_place_counts_for_nothing() -> None:
    movie = MOVIES["plain"]
    assert movie.faces is not None
    q, faces = len(movie.cast), movie.faces.copy()
    blind = q + np.flatnonzero(~movie.has_face[q:])
    faces[blind] = faces[0]  # a portrait's
    for some, same in zip(columns(ranked_by(movie)), columns(ranked_by(replace(movie, faces=faces))), strict=True):
        np.testing.assert_array_equal(some, same)


# ---------------------------------------------------------------------------- movies out of the ordinary


def test_where_nobody_has_a_face_the_movie_tells_nothing() -> None:
    """All are as likely everywhere, as the prior has it: a vote that knows nothing leaves it."""
    movie, recipe = MOVIES["no face at all"], Recipe(scale=1.0, shift=0.0, vote_rounds=1)
    probability = in_order_of_boxes(ranked_by(replace(movie, frames=movie.candidates), recipe), "probability")
    prior = (1 - recipe.others) / len(probability)
    odds = prior / (1 - prior)
    present = 1 / (1 + np.exp(-recipe.presence_odds - recipe.presence_backing * np.log(odds)))
    assert present < 0.5
    np.testing.assert_allclose(probability, present * odds / (1 + odds), atol=1e-6)


def test_who_is_probably_absent_has_no_box_above_a_half_and_others_keep_their_probabilities() -> None:
    movie = MOVIES["plain"]
    for odds in (-50.0, -3.0, 50.0):
        recipe = Recipe(presence_odds=odds)
        found = believe(movie, recipe, Resources(1 << 30, 1))
        given = 1 / (1 + np.exp(-found.log_odds))
        told = in_order_of_boxes(ranked_by(movie, recipe), "probability")
        for person, present in enumerate(found.present):
            expected = given[person] * (present if present < 0.5 else 1)
            np.testing.assert_allclose(told[person], expected, rtol=1e-6, atol=1e-7)
            assert present >= 0.5 or told[person].max() < 0.5


def test_in_one_frame_nobody_votes() -> None:
    ranked = ranked_by(MOVIES["one frame"])
    assert not in_order_of_boxes(ranked, "time").any()
    np.testing.assert_allclose(in_order_of_boxes(ranked, "body"), 0, atol=1e-6)


def test_nobody_is_twice_in_a_frame() -> None:
    """Also where two boxes show one and the same face and body."""
    movie = make(30, 40, faceless=0, crowd=1, noise=0.3)
    assert movie.faces is not None
    q = len(movie.cast)
    faces = movie.faces.copy()
    faces[q + 1] = faces[q] = faces[0]
    bodies = [some.copy() for some in movie.bodies]
    for some in bodies:
        some[1] = some[0]
    frames = ["both", "both", *(f"frame{i}" for i in range(38))]
    alone = replace(movie, faces=faces, bodies=bodies, frames=["one", "two", *frames[2:]])
    assert (in_order_of_boxes(ranked_by(alone), "probability")[0, :2] > 0.9).all()
    twice = in_order_of_boxes(ranked_by(replace(alone, frames=frames)), "probability")
    assert (twice[:, :2] > 0.5).sum(axis=1).max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_of_random_crowds_hardly_anybody_is_twice_in_a_frame(seed: int) -> None:
    movie = make(40 + seed, 120, faceless=0.1, crowd=6)
    probability = in_order_of_boxes(ranked_by(movie), "probability")
    for frame in set(movie.frames):
        boxes = [i for i, own in enumerate(movie.frames) if own == frame]
        assert ((probability[:, boxes] > 0.5).sum(axis=1) <= 1).all()


def test_a_portrait_more_leaves_everybody_there() -> None:
    movie = MOVIES["three portraits"]
    assert movie.faces is not None and movie.persons is not None
    fewer = replace(
        movie,
        cast=movie.cast[:-1],
        persons=movie.persons[:-1],
        faces=np.delete(movie.faces, len(movie.cast) - 1, axis=0),
        has_face=np.delete(movie.has_face, len(movie.cast) - 1),
    )
    assert list(fuse(movie, BEST)) == list(fuse(fewer, BEST)) == movie.people
    assert {len(found) for found in fuse(movie, BEST).values()} == {40}


def test_a_second_portrait_finds_what_the_first_does_not() -> None:
    """Two faces of one person that are nothing like each other."""
    rng = np.random.default_rng(3)
    sides = rng.normal(size=(3, 32))
    faces = np.concatenate([sides, sides[np.arange(30) % 3] + 0.3 * rng.normal(size=(30, 32))]).astype(np.float32)
    movie = MovieFeatures(
        name="m",
        cast=["left", "other", "right"],
        candidates=[str(i) for i in range(30)],
        frames=[str(i) for i in range(30)],
        faces=faces[[0, 1, 2, *range(3, 33)]],
        has_face=np.ones(33, bool),
        bodies=[rng.normal(size=(30, 24)).astype(np.float32)],
        persons=["ann", "bob", "ann"],
    )
    one = dict(rank(movie, BEST))["left"]
    assert set(one.order[:20]) == {i for i in range(30) if i % 3 != 1}
    assert one.probability is not None and one.probability[19] > 0.9 > 0.1 > one.probability[20]


def test_equal_bodies_are_linked_by_time_and_faces(reference: ModuleType) -> None:
    """Every pair of bodies lies within the margin, so that all pairs are computed exactly."""
    movie = replace(make(31, 110, crowd=1), bodies=[np.ones((110, 40), np.float32)])
    check_as_plainly(reference, movie)


def test_shots_may_have_large_numbers(reference: ModuleType) -> None:
    """As those of the last of many movies, which float32 does not hold."""
    movie = MOVIES["more than a shortlist holds"]
    assert movie.shots is not None
    ranked = ranked_by(movie)
    later = ranked_by(replace(movie, shots=movie.shots + 900_000_001.0))
    for some, same in zip(columns(ranked), columns(later), strict=True):
        np.testing.assert_array_equal(some, same)


def test_candidates_but_no_cast_with_a_face_still_rank() -> None:
    movie = MOVIES["plain"]
    blind = replace(movie, has_face=np.concatenate([np.zeros(4, bool), movie.has_face[4:]]))
    with pytest.warns(UserWarning, match="shows no face"):
        assert len(fuse(blind, BEST)) == 4


def test_without_features_of_faces_it_says_so() -> None:
    bodies = np.eye(3, dtype=np.float32)
    movie = MovieFeatures("tt1", ["a"], ["b", "c"], ["x", "y"], None, np.ones(3, bool), [bodies])
    with pytest.raises(RankingError, match="movie tt1 has no features of faces, by which the recipe 'best' ranks"):
        fuse(movie, BEST)
