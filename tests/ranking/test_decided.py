"""Decisions in the better recipe: what must hold of any movie and any decisions, and how they spread."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.decisions import Verdicts
from castsearch.ranking import (
    Decided,
    Impostors,
    MovieFeatures,
    RankingError,
    RankingWarning,
    Settings,
    across,
    decide,
    rank,
)
from castsearch.ranking.best import Recipe
from castsearch.ranking.best import rank as rank_by
from castsearch.ranking.ranked import Ranked
from castsearch.ranking.threads import Resources
from tests.ranking.taking import take

RESOURCES = Resources(1 << 30, 1)
BEST = Settings(recipe="best")
FACES_ALONE = Recipe(template_rounds=0, vote_power=0.0, frame_sweeps=0)
STEADY = Recipe(body_slopes=(2.0,), unlike=(-5.0,))  # the movie chooses nothing that decisions could change


def make(seed: int, n: int, people: int, portraits: int = 1, crowd: float = 2, plain: bool = False) -> MovieFeatures:
    """A movie of so many boxes of people and two others, ``crowd`` a frame; ``plain`` features have many equals."""
    rng = np.random.default_rng(seed)
    own, outfits = rng.normal(size=(people + 2, 12)), rng.normal(size=(people + 2, 8))
    who = rng.integers(people + 2, size=n)
    of_portrait = np.tile(np.arange(people), portraits)
    noise = 0.0 if plain else 0.6
    faces = own[np.concatenate([of_portrait, who])]
    return MovieFeatures(
        name="m",
        cast=[f"portrait{i}" for i in range(len(of_portrait))],
        candidates=[f"box{i}" for i in range(n)],
        frames=[f"frame{i}" for i in rng.integers(int(n / crowd) + 1, size=n)],
        faces=(faces + noise * rng.normal(size=faces.shape)).astype(np.float32),
        has_face=np.concatenate([rng.random(len(of_portrait)) < 0.8, rng.random(n) < 0.7]),
        bodies=[(outfits[who] + noise * rng.normal(size=(n, 8))).astype(np.float32)],
        persons=[f"person{i}" for i in of_portrait],
        shots=np.where(rng.random(n) < 0.8, rng.integers(60, size=n), np.nan) if seed % 2 else None,
    )


@st.composite
def movies(draw: st.DrawFn, plain: bool | None = None) -> MovieFeatures:
    return make(
        seed=draw(st.integers(0, 1 << 30)),
        n=draw(st.integers(1, 14)),
        people=draw(st.integers(1, 4)),
        portraits=draw(st.integers(1, 3)),
        crowd=draw(st.sampled_from([0.3, 2, 6])),
        plain=draw(st.booleans()) if plain is None else plain,
    )


@st.composite
def decided(draw: st.DrawFn, plain: bool | None = None) -> MovieFeatures:
    """A movie and any decisions on it that do not contradict each other."""
    movie = draw(movies(plain))
    p, n = len(movie.people), len(movie.candidates)
    shows = draw(st.lists(st.integers(-2 * p, p - 1), min_size=n, max_size=n))  # below 0: nobody's
    said = np.zeros((p, n), np.int8)
    said[:] = np.array(draw(st.lists(st.integers(-1, 0), min_size=p * n, max_size=p * n))).reshape(p, n)
    for box, person in enumerate(shows):
        if person >= 0:
            said[person, box] = 1
    portraits = [draw(subsets(np.flatnonzero(row > 0))) for row in said]
    replaced = np.array(draw(st.lists(st.booleans(), min_size=p, max_size=p)))
    return replace(movie, decided=Decided(said, portraits, replaced))


@st.composite
def subsets(draw: st.DrawFn, boxes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return boxes[np.array(draw(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes))), bool)]


def ranked_by(movie: MovieFeatures, recipe: Recipe | None = None) -> list[Ranked]:
    return list(rank_by(movie, BEST, RESOURCES, recipe or Recipe()))


def by_box(ranked: Sequence[Ranked], column: str) -> np.ndarray:
    """(p, n) of a column or a kind of evidence."""
    rows = []
    for some in ranked:
        values = some.evidence[column] if column in some.evidence else getattr(some, column)
        rows.append(values[np.argsort(some.order)])
    return np.stack(rows)


def check_same(one: Sequence[Ranked], other: Sequence[Ranked]) -> None:
    """Bit by bit."""
    for a, b in zip(one, other, strict=True):
        for column in ("order", "score", "found_by", "probability"):
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
        for kind in a.evidence:
            np.testing.assert_array_equal(a.evidence[kind], b.evidence[kind])


def saying(movie: MovieFeatures, said: dict[tuple[int, int], int], **more: object) -> MovieFeatures:
    """The same with what was said of (person, box), and no portraits."""
    p, n = len(movie.people), len(movie.candidates)
    table = np.zeros((p, n), np.int8)
    for place, verdict in said.items():
        table[place] = verdict
    given = {"portraits": [np.zeros(0, np.int64)] * p, "replaced": np.zeros(p, bool), **more}
    return replace(movie, decided=Decided(table, **given))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- of any movie


@settings(max_examples=80, deadline=None)
@given(decided(), st.sampled_from([Recipe(), FACES_ALONE]))
def test_confirmed_boxes_come_first_and_rejected_ones_last(movie: MovieFeatures, recipe: Recipe) -> None:
    assert movie.decided is not None
    all_said = movie.decided.said
    for said, ranked in zip(all_said, ranked_by(movie, recipe), strict=True):
        assert sorted(ranked.order) == list(range(len(said)))
        confirmed, rejected = np.flatnonzero(said > 0), np.flatnonzero(said < 0)
        somebody_elses = np.flatnonzero((all_said > 0).any(axis=0) & (said == 0))
        place = np.argsort(ranked.order)
        assert sorted(place[confirmed]) == list(range(len(confirmed)))
        assert sorted(place[rejected]) == list(range(len(said) - len(rejected), len(said)))
        open_ones = np.setdiff1d(np.flatnonzero(said == 0), somebody_elses)
        if len(open_ones) and len(somebody_elses):
            assert place[open_ones].max() < place[somebody_elses].min()
        assert ranked.probability is not None
        assert (ranked.probability[place[confirmed]] == 1).all()
        assert (ranked.probability[place[rejected]] == 0).all()
        assert (ranked.probability[place[somebody_elses]] == 0).all()
        words = ranked.found_by[place]
        np.testing.assert_array_equal(words == "confirmed", said > 0)
        np.testing.assert_array_equal(words == "rejected", said < 0)
        assert np.isfinite(ranked.score).all() and (np.diff(ranked.score) <= 0).all()
        assert list(ranked.evidence) == ["face", "body", "time", "frame"]
        assert all(np.isfinite(part).all() for part in ranked.evidence.values())


@settings(max_examples=40, deadline=None)
@given(movies())
def test_nothing_decided_is_as_nobody_looked(movie: MovieFeatures) -> None:
    plain = ranked_by(movie)
    check_same(ranked_by(saying(movie, {})), plain)
    check_same(ranked_by(saying(movie, {}, replaced=np.ones(len(movie.people), bool))), plain)
    check_same(ranked_by(decide(movie, {"elsewhere": Verdicts({"box0": "a.jpg"})})), plain)


@settings(max_examples=30, deadline=None)
@given(decided(plain=False), st.randoms(use_true_random=False))
def test_the_order_of_boxes_does_not_matter(movie: MovieFeatures, random) -> None:
    assert movie.decided is not None and movie.faces is not None
    n = len(movie.candidates)
    order = np.array(random.sample(range(n), n))
    place = np.argsort(order)
    shuffled = replace(
        take(movie, order),
        decided=Decided(
            movie.decided.said[:, order],
            [place[own] for own in movie.decided.portraits],
            movie.decided.replaced,
        ),
    )
    was, now = ranked_by(movie), ranked_by(shuffled)
    for column in ("score", "probability", "face", "body", "time", "frame"):
        np.testing.assert_allclose(by_box(now, column), by_box(was, column)[:, order], atol=2e-3)


@settings(max_examples=30, deadline=None)
@given(decided())
def test_portraits_without_a_face_are_no_more_than_confirmed(movie: MovieFeatures) -> None:
    assert movie.decided is not None
    n = len(movie.candidates)
    faceless = [own[~movie.has_face[-n:][own]] for own in movie.decided.portraits]
    nobody = [np.zeros(0, np.int64) for _ in faceless]
    check_same(
        ranked_by(replace(movie, decided=replace(movie.decided, portraits=faceless))),
        ranked_by(replace(movie, decided=replace(movie.decided, portraits=nobody))),
    )


@settings(max_examples=30, deadline=None)
@given(movies(), st.data())
def test_a_replaced_portrait_does_not_count(movie: MovieFeatures, data: st.DataObject) -> None:
    """As if the movie had the box's face for portrait."""
    assert movie.faces is not None
    q, n = len(movie.cast), len(movie.candidates)
    person = data.draw(st.integers(0, len(movie.people) - 1))
    box = data.draw(st.integers(0, n - 1))
    movie = replace(movie, has_face=np.where(np.arange(q + n) == q + box, True, movie.has_face))
    replaced = np.arange(len(movie.people)) == person
    portraits = [np.array([box] if i == person else [], np.int64) for i in range(len(movie.people))]
    new = saying(movie, {(person, box): 1}, portraits=portraits, replaced=replaced)
    assert movie.persons is not None
    own = [i for i, name in enumerate(movie.persons) if name == f"person{person}"]
    faces, has_face = movie.faces.copy(), movie.has_face.copy()
    faces[own], has_face[own] = faces[q + box], False
    has_face[own[0]] = True
    check_same(ranked_by(new), ranked_by(saying(replace(movie, faces=faces, has_face=has_face), {(person, box): 1})))


# ---------------------------------------------------------------------------- how they spread


@settings(max_examples=40, deadline=None)
@given(movies(plain=False), st.data())
def test_frame_mates_of_a_confirmed_box_lose(movie: MovieFeatures, data: st.DataObject) -> None:
    """Beside a box that surely shows the person, every other speaks against it; by far where the frame held two."""
    n, p = len(movie.candidates), len(movie.people)
    person, box = data.draw(st.integers(0, p - 1)), data.draw(st.integers(0, n - 1))
    frames = np.array(movie.frames)
    mates = np.flatnonzero((frames == frames[box]) & (np.arange(n) != box))
    found = ranked_by(saying(movie, {(person, box): 1}))
    frame = by_box(found, "frame")
    assert (frame[person, mates] < -13).all()
    assert (by_box(found, "probability")[person, mates] < 0.01).all()
    alone = ranked_by(saying(replace(movie, frames=[str(i) for i in range(n)]), {(person, box): 1}))
    assert (by_box(alone, "frame") == 0).all()


def scene(twin_face: bool, twin_body: bool) -> MovieFeatures:
    """Box 0 and box 1, alike in face or body, among 20 boxes; of neither do the portraits tell."""
    rng = np.random.default_rng(4)
    faces, bodies = rng.normal(size=(22, 64)).astype(np.float32), rng.normal(size=(20, 32)).astype(np.float32)
    if twin_face:
        faces[3] = faces[2] + 0.3 * rng.normal(size=64)
    if twin_body:
        bodies[1] = bodies[0] + 0.3 * rng.normal(size=32)
    return MovieFeatures(
        name="m",
        cast=["ann", "bob"],
        candidates=[f"box{i}" for i in range(20)],
        frames=[f"frame{i}" for i in range(20)],
        faces=faces,
        has_face=np.array([True] * 2 + [twin_face] * 2 + [True] * 18),
        bodies=[bodies],
    )


@pytest.mark.parametrize(("face", "body", "kind"), [(True, False, "face"), (False, True, "body")])
def test_a_confirmed_box_speaks_for_its_look_alike(face: bool, body: bool, kind: str) -> None:
    movie = scene(face, body)
    before, after = (ranked_by(saying(movie, said)) for said in ({}, {(0, 0): 1}))
    assert (by_box(after, kind) - by_box(before, kind))[0, 1] > 5
    gain = (by_box(after, "score") - by_box(before, "score"))[:, 1]
    assert gain[0] > 8 and gain[1] < -5  # for ann, and against bob
    assert by_box(before, "probability")[0, 1] < 0.05 and by_box(after, "probability")[0, 1] > 0.9
    assert after[0].order[1] == 1
    assert by_box(after, "probability")[:, 2:].max() < 0.5  # nobody else gains much


@pytest.mark.parametrize("seed", range(40))
def test_confirming_raises_and_rejecting_lowers_the_same_box_elsewhere(seed: int) -> None:
    """A copy of a box in a frame of its own, at the same time: by faces and bodies the two are one."""
    movie = make(seed, 4 + seed % 11, 1 + seed % 4, 1 + seed % 3, crowd=(0.3, 2, 6)[seed % 3])
    assert movie.faces is not None
    q, n, box = len(movie.cast), len(movie.candidates), seed % 4
    rows = [*range(q + n), q + box]
    movie = replace(
        movie,
        candidates=[*movie.candidates, "twin"],
        frames=[*movie.frames, "own frame"],
        faces=movie.faces[rows],
        has_face=movie.has_face[rows],
        bodies=[some[[*range(n), box]] for some in movie.bodies],
        shots=None if movie.shots is None else movie.shots[[*range(n), box]],
    )
    for person in range(len(movie.people)):
        rejected, undecided, confirmed = (
            by_box(ranked_by(saying(movie, {(person, box): verdict}), STEADY), "score")[person, n]
            for verdict in (-1, 0, 1)
        )
        assert confirmed > undecided - 1e-3 and confirmed > rejected + 1
        if undecided > 0:  # what nobody believed can hardly fall
            assert rejected < undecided


def test_a_rejected_face_takes_its_look_alike_along() -> None:
    """Two boxes of one stranger, of whom the portrait reminds: each would be a template for the other."""
    movie = scene(twin_face=True, twin_body=True)
    assert movie.faces is not None
    faces = movie.faces.copy()
    faces[0] = faces[2] + 0.3 * np.random.default_rng(0).normal(size=64)
    movie = replace(movie, faces=faces, impostors=Impostors(0.0, 0.25))
    before, after = (ranked_by(saying(movie, said), STEADY) for said in ({}, {(0, 0): -1}))
    for column, least in (("face", 0.1), ("body", 7), ("score", 11)):
        assert by_box(before, column)[0, 1] - by_box(after, column)[0, 1] > least, column
    assert by_box(before, "probability")[0, 1] > 0.99 and by_box(after, "probability")[0, 1] < 0.01


def test_rejected_clothes_take_their_look_alike_along() -> None:
    """A sure face wears what two boxes without a face wear; then one of these is somebody else."""
    movie = scene(twin_face=False, twin_body=True)
    assert movie.faces is not None
    faces, bodies = movie.faces.copy(), movie.bodies[0].copy()
    faces[4] = faces[0]
    bodies[2] = bodies[0] + 0.6 * np.random.default_rng(0).normal(size=32)
    movie = replace(movie, faces=faces, bodies=[bodies])
    before, after = (ranked_by(saying(movie, said), STEADY) for said in ({}, {(0, 0): -1}))
    for column, least in (("body", 0.5), ("score", 0.8), ("probability", 0.1)):
        assert by_box(before, column)[0, 1] - by_box(after, column)[0, 1] > least, column


def test_a_rejected_box_leaves_the_person_to_its_frame_mate() -> None:
    """Two faces in one frame are equally like the portrait; with one out, the other is it."""
    movie = scene(twin_face=True, twin_body=False)
    assert movie.faces is not None
    faces = movie.faces.copy()
    faces[2] = faces[3] = faces[0]
    movie = replace(movie, faces=faces, frames=["both", "both", *movie.frames[2:]])
    before, after = (ranked_by(saying(movie, said)) for said in ({}, {(0, 0): -1}))
    np.testing.assert_allclose(by_box(before, "probability")[0, :2], 0.45, atol=0.15)
    assert by_box(after, "probability")[0, 1] > 0.95
    assert by_box(before, "frame")[0, 1] < -4 and by_box(after, "frame")[0, 1] > -1e-3


def chance(ranked: Ranked) -> np.ndarray:
    """(n,) what the score says, if the person is there."""
    return 1 / (1 + np.exp(-ranked.score.astype(float)))


def test_whoever_was_confirmed_is_there() -> None:
    """However little the faces are like the portrait; whoever was only rejected may be absent as before."""
    movie = replace(scene(twin_face=False, twin_body=True), impostors=Impostors(0.9, 0.01))
    (_, before), (_, rejected), (_, confirmed) = (
        ranked_by(saying(movie, said), STEADY) for said in ({}, {(1, 0): -1}, {(1, 0): 1})
    )
    for absent in (before, rejected):
        assert absent.probability is not None
        assert (absent.probability < 1e-6 * chance(absent)).all()
    assert confirmed.probability is not None and confirmed.probability[1] > 0.5
    np.testing.assert_allclose(confirmed.probability, chance(confirmed), atol=1e-5)


def test_two_confirmed_boxes_of_one_frame_both_stay() -> None:
    """As in a mirror."""
    movie = replace(scene(True, True), frames=["mirror"] * 20)
    said = dict.fromkeys([(0, box) for box in range(19)], 1)
    ann, _ = ranked_by(saying(movie, said))
    probability = by_box([ann], "probability")[0]
    assert (probability[:19] == 1).all() and probability[19] < 1e-3
    assert sorted(ann.order[:19]) == list(range(19))


# ---------------------------------------------------------------------------- portraits


def test_added_portraits_weigh_as_portraits_do() -> None:
    """Twice a face: the box counts once as confirmed, and as a portrait twice more."""
    movie = replace(scene(twin_face=True, twin_body=False), impostors=Impostors(0.0, 0.25))
    more = [np.array([0]), np.zeros(0, np.int64)]
    confirmed, added, replacing = (
        by_box(ranked_by(movie), "face")[0, 1]
        for movie in (
            saying(movie, {(0, 0): 1}),
            saying(movie, {(0, 0): 1}, portraits=more),
            saying(movie, {(0, 0): 1}, portraits=more, replaced=np.array([True, False])),
        )
    )
    assert confirmed + 0.5 < added < replacing


def test_templates_are_telling_portraits_and_decided_faces() -> None:
    movie = make(6, 12, people=2, portraits=2)
    has_face = np.array([True, False, True, False, *[True] * 12])
    has_face[4 + 5] = False

    def rows(has_face: np.ndarray, *boxes: int, gone: bool = False) -> list[int]:
        said = {(0, box): 1 for box in boxes}
        portraits = [np.array(boxes, np.int64), np.zeros(0, np.int64)]
        some = saying(replace(movie, has_face=has_face), said, portraits=portraits, replaced=np.array([gone, gone]))
        assert some.templates[1].tolist() == [1, 3]  # nobody decided about the other
        return some.templates[0].tolist()

    assert rows(has_face) == [0, 2] == rows(has_face, gone=True)
    assert rows(has_face, 3, 5, 7) == [0, 2, 4 + 3, 4 + 7]
    assert rows(has_face, 3, 5, 7, gone=True) == [4 + 3, 4 + 7]
    assert rows(has_face, 5, gone=True) == [0, 2]  # without a face it is no portrait
    blind = np.where(np.arange(16) < 4, False, has_face)
    assert rows(blind, 5) == [0, 2]
    assert rows(blind, 5, 7) == [4 + 7]  # what shows no face tells nothing beside one that does


def test_a_face_for_portrait_ends_the_warning_of_a_portrait_without() -> None:
    movie = scene(True, False)
    movie = replace(movie, has_face=np.array([False, *[True] * 21]))
    with pytest.warns(RankingWarning, match="the portrait of ann shows no face"):
        list(rank(saying(movie, {(0, 0): 1}), BEST))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(rank(saying(movie, {(0, 0): 1}, portraits=[np.array([0]), np.zeros(0, np.int64)]), BEST))


# ---------------------------------------------------------------------------- from verdicts


def verdicts() -> dict[str, Verdicts]:
    return {
        "portrait0": Verdicts({"box3": "c.jpg", "box1": "a.jpg"}, {"box2": "b.jpg"}, ("box3", "box1")),
        "portrait1": Verdicts({"box0": "d.jpg"}, {"box1": "a.jpg", "box9": "e.jpg"}, ("box0",), replace=True),
        "elsewhere": Verdicts({"box4": "f.jpg"}),
    }


def test_verdicts_become_a_table() -> None:
    movie = decide(make(1, 6, people=3, portraits=2), verdicts())
    assert movie.decided is not None
    assert movie.decided.said.tolist() == [[0, 1, -1, 1, 0, 0], [1, -1, 0, 0, 0, 0], [0] * 6]
    assert movie.decided.said.dtype == np.int8
    assert [own.tolist() for own in movie.decided.portraits] == [[1, 3], [0], []]
    assert movie.decided.replaced.tolist() == [False, True, False]


def test_across_movies_a_box_of_another_movie_counts() -> None:
    def part(name: str, seed: int) -> MovieFeatures:
        movie = make(seed, 8, people=2)
        return replace(
            movie,
            name=name,
            cast=[f"{name}_{one}" for one in movie.cast],
            has_face=np.ones(10, bool),
            candidates=[f"{name}_{one}" for one in movie.candidates],
        )

    movie = across([part("a", 1), part("b", 3)], "all")
    movie = decide(movie, {"b_portrait1": Verdicts({"a_box2": "a.jpg"}, {"b_box0": "b.jpg"})})
    found = dict(rank(movie, BEST))
    assert list(found) == ["a_portrait0", "a_portrait1", "b_portrait0", "b_portrait1"]
    order = [movie.candidates[i] for i in found["b_portrait1"].order]
    assert order[0] == "a_box2" and order[-1] == "b_box0"
    assert found["b_portrait1"].found_by[[0, -1]].tolist() == ["confirmed", "rejected"]
    assert not {"confirmed", "rejected"} & set(found["a_portrait1"].found_by)


def test_the_order_of_verdicts_does_not_matter() -> None:
    movie = make(1, 12, people=3)
    turned = {
        person: Verdicts(
            dict(reversed(one.confirmed.items())),
            dict(reversed(one.rejected.items())),
            one.portraits[::-1],
            one.replace,
        )
        for person, one in reversed(verdicts().items())
    }
    check_same(ranked_by(decide(movie, turned)), ranked_by(decide(movie, verdicts())))


def test_the_original_recipe_knows_no_decisions() -> None:
    with pytest.raises(RankingError, match="movie m: the recipe 'original' knows no decisions; rank by 'best'"):
        list(rank(decide(make(1, 6, people=2), verdicts()), Settings()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"said": np.zeros((2, 3))}, r"said must be \(p, n\) int8 of -1, 0 and 1, got \(2, 3\) float64"),
        ({"said": np.full((2, 3), 2, np.int8)}, "said must be"),
        ({"said": np.zeros(3, np.int8)}, "said must be"),
        ({"portraits": [np.zeros(0, np.int64)]}, "expected 2 portraits and replaced, got 1 and 2"),
        ({"replaced": np.zeros(3, bool)}, "expected 2 portraits and replaced, got 2 and 3"),
        ({"said": np.array([[0, 1, 0], [0, 1, 0]], np.int8)}, "candidate number 1 shows two people"),
        ({"portraits": [np.array([2]), np.zeros(0, np.int64)]}, "counts as a portrait must show the person"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    fitting = {
        "said": np.zeros((2, 3), np.int8),
        "portraits": [np.zeros(0, np.int64)] * 2,
        "replaced": np.zeros(2, bool),
    }
    with pytest.raises(RankingError, match=message):
        Decided(**{**fitting, **change})


def test_decisions_on_another_number_of_boxes_are_refused() -> None:
    movie = decide(make(1, 6, people=2), verdicts())
    with pytest.raises(RankingError, match=r"movie m: decided must be of 2 people and 7 candidates, got \(2, 6\)"):
        replace(make(1, 7, people=2), decided=movie.decided)
