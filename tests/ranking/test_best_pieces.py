"""The pieces of the better recipe, by hand and by brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from types import ModuleType

import numpy as np
import pytest

from castsearch.ranking.best.faces import Templates, evidence, presence
from castsearch.ranking.best.links import LEAST_SD, Boxes, Links, _Kernel, _mean_and_sd, linked
from castsearch.ranking.best.people import MOST_ODDS, Frames, Posterior, _log_rest, posterior
from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.best.votes import Fit, Votes, fitted
from castsearch.ranking.best.whitening import _leading, whitened
from castsearch.ranking.impostors import Impostors
from castsearch.ranking.nearest import margin
from castsearch.ranking.threads import Resources
from castsearch.ranking.unit import UnitRows

RESOURCES = Resources(1 << 30, 1)
RECIPE = Recipe()


# ---------------------------------------------------------------------------- people


def test_bayes_by_hand() -> None:
    """Weights .25 * 3, .25 and .5: they add up to 1.5."""
    found = posterior(np.log([[3.0, 1.0], [1.0, 1.0]]), others=0.5)
    np.testing.assert_allclose(found.probability, [[0.5, 0.25], [1 / 6, 0.25]])
    np.testing.assert_allclose(found.log_odds(), np.log([[1, 1 / 3], [1 / 5, 1 / 3]]), atol=1e-12)
    assert not found.frame_evidence.any()


def test_log_odds_are_scaled_and_shifted() -> None:
    """Two people weigh .3 * 4 = 1.2 and .3, nobody .4; at twice the scale 1.44, .09 and .16 * e."""
    found = posterior(np.log([[4.0], [1.0]]), others=0.4)
    nobody = 0.16 * np.e
    expected = np.log([[1.44 / (0.09 + nobody)], [0.09 / (1.44 + nobody)]])
    np.testing.assert_allclose(found.log_odds(scale=2, shift=1), expected)
    np.testing.assert_allclose(found.log_odds(), np.log([[1.2 / 0.7], [0.3 / 1.6]]))


def test_one_person_alone_is_measured_by_nobody() -> None:
    found = posterior(np.log([[4.0]]), others=0.2)
    np.testing.assert_allclose(found.log_odds(), np.log([[16.0]]))


@pytest.mark.parametrize("size", [500.0, -500.0, 800.0])
def test_odds_of_extreme_evidence(size: float) -> None:
    """exp(800) is no float; what the others of a box weigh is summed, not what is left of a sum."""
    logit = np.array([[size, 0.0, size], [1.0, size, size], [2.0, 0.0, -size]])
    rest = _log_rest(logit, -0.5)
    for person in range(3):
        others = np.vstack([np.delete(logit, person, axis=0), np.full((1, 3), -0.5)])
        np.testing.assert_allclose(rest[person], np.logaddexp.reduce(others, axis=0), rtol=1e-12)
    found = posterior(logit, others=0.5)
    assert np.isfinite(found.probability).all() and np.isfinite(found.log_odds()).all()
    odds = found.probability / (1 - np.minimum(found.probability, 1 - 1e-9))
    moderate = (found.probability > 1e-9) & (found.probability < 1 - 1e-6)
    np.testing.assert_allclose(np.log(odds[moderate]), found.log_odds()[moderate], atol=1e-6)


def test_small_odds_beside_large_ones_are_not_lost() -> None:
    """Beside a person at e^60 another's odds are e^-60, and nobody's share is within them."""
    found = posterior(np.array([[60.0], [0.0]]), others=0.5)
    np.testing.assert_allclose(found.log_odds(), [[60 + np.log(1 / 3)], [-60 - np.log1p(2 * np.exp(-60))]], rtol=1e-12)


def test_two_boxes_of_a_frame_by_hand() -> None:
    """One person at odds 3 and 2: a sixth for each alternative; alone, 3 of 4 and 2 of 3."""
    found = np.log([[3.0, 2.0, 2.0]])
    frames = Frames(np.array([5, 5, 0]))
    told = posterior(found, 0.5, frames, sweeps=1)
    np.testing.assert_allclose(told.probability, [[3 / 6, 2 / 6, 2 / 3]])
    np.testing.assert_allclose(told.frame_evidence, [[-np.log(3), -np.log(4), 0]])
    np.testing.assert_allclose(told.log_odds(), np.log([[1, 1 / 2, 2]]), atol=1e-12)
    np.testing.assert_allclose(posterior(found, 0.5, frames, sweeps=0).probability, [[3 / 4, 2 / 3, 2 / 3]])
    np.testing.assert_allclose(posterior(found, 0.5, frames).probability, [[3 / 4, 2 / 3, 2 / 3]])
    np.testing.assert_allclose(posterior(found, 0.5, None, sweeps=4).probability, [[3 / 4, 2 / 3, 2 / 3]])


def test_boxes_alike_share_a_person() -> None:
    """However sure each is by itself."""
    found = np.array([[14.0, 14.0, 14.0], [0.0, 0.0, 0.0]])
    told = posterior(found, 0.7, Frames(np.zeros(3, np.int64)), RECIPE.frame_sweeps)
    np.testing.assert_allclose(told.probability[0], 1 / 3, atol=1e-3)


def test_evidence_of_frames_stays_finite() -> None:
    told = posterior(np.array([[500.0, 900.0]]), 0.5, Frames(np.zeros(2, np.int64)), sweeps=3)
    assert MOST_ODDS == 1e6
    np.testing.assert_allclose(told.frame_evidence, -np.log1p(1e6))
    assert (told.probability > 1 - 1e-9).all()


@pytest.mark.parametrize("seed", range(6))
def test_frames_about_as_all_assignments(seed: int) -> None:
    """Beside the sum over all ways to put 3 people, or nobody of them, into 3 boxes; nobody twice."""
    rng = np.random.default_rng(seed)
    found, others = rng.normal(0, 3, (3, 3)), 0.4
    weight = np.vstack([(1 - others) / 3 * np.exp(found), np.full((1, 3), others)])
    true = np.zeros((4, 3))
    for who in product(range(4), repeat=3):
        people = [person for person in who if person < 3]
        if len(set(people)) == len(people):
            true[who, range(3)] += weight[who, range(3)].prod()
    true /= true.sum(axis=0)
    told = posterior(found, others, Frames(np.zeros(3, np.int64)), RECIPE.frame_sweeps)
    np.testing.assert_allclose(told.probability, true[:3], atol=0.06)
    assert (told.probability.sum(axis=1) < 1 + 1e-3).all()


@pytest.mark.parametrize("frames", [5, 20, 1000])
def test_sums_beside(frames: int) -> None:
    rng = np.random.default_rng(frames)
    numbers, values = rng.integers(frames, size=60), rng.normal(size=(3, 60))
    expected = np.zeros_like(values)
    for box in range(60):
        beside = [other for other in range(60) if other != box and numbers[other] == numbers[box]]
        expected[:, box] = values[:, beside].sum(axis=1)
    found = Frames(numbers).sums_beside(values)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    alone = np.bincount(numbers)[numbers] == 1
    assert not found[:, alone].any()


def test_evidence_of_frames_is_never_for_anybody() -> None:
    rng = np.random.default_rng(0)
    told = posterior(rng.normal(0, 9, (4, 200)), 0.7, Frames(rng.integers(40, size=200)), 3)
    assert (told.frame_evidence <= 0).all()
    assert (told.probability.sum(axis=0) <= 1).all()
    rest = np.log1p(-told.probability.sum(axis=0).clip(max=1 - 1e-12))
    logit = np.log(told.probability) - rest + told.log_others
    clear = told.probability.sum(axis=0) < 0.999
    np.testing.assert_allclose(logit[:, clear], told.logit[:, clear], atol=1e-6)


def test_log_odds_leave_what_they_are_made_of() -> None:
    found = Posterior(np.ones((1, 1)), np.ones((1, 1)), -1.0, np.zeros((1, 1)))
    found.log_odds(3, 2)
    assert found.logit == 1


# ---------------------------------------------------------------------------- faces


def test_evidence_of_a_face_by_hand() -> None:
    recipe = Recipe(face_slope=2.0, face_middle=1.5, face_most=4.0, useless=0.25)
    z = np.array([1.5, 2.0, 3.5, 5.0, 1.0, -30.0])
    exponent = np.array([0.0, 1.0, 4.0, 4.0, -1.0, -63.0])
    found = evidence(0.1 + 0.2 * z, Impostors(0.1, 0.2), recipe)
    np.testing.assert_allclose(found, np.log(0.75 * np.exp(exponent) + 0.25), atol=1e-12)
    np.testing.assert_allclose(found[[0, -1]], [0, np.log(0.25)], atol=1e-12)


def direction(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


@pytest.fixture
def turned() -> Templates:
    """A portrait at 0 degrees, of another length; candidates at 20, 50, 90; the one at 50 shows no face."""
    faces = np.array([3 * direction(0), direction(20), 5 * direction(50), 2 * direction(90)], np.float32)
    has_face = np.array([True, False, True])
    return Templates(UnitRows(faces), [np.array([0])], has_face, Recipe(portrait_weight=2.0, sure=0.6))


def cosine(a: np.ndarray, degrees: float) -> float:
    return float(a @ direction(degrees) / np.linalg.norm(a))


def test_without_probabilities_the_template_is_the_portrait(turned: Templates) -> None:
    np.testing.assert_allclose(turned.cosines(), [[cosine(direction(0), 20), cosine(direction(0), 90)]], atol=1e-7)


def test_a_template_never_rests_on_the_face_itself(turned: Templates) -> None:
    """Both are sure, and each is held to the portrait and the other one."""
    beside_20, beside_90 = 2 * direction(0) + 0.7 * direction(90), 2 * direction(0) + 0.9 * direction(20)
    found = turned.cosines(np.array([[0.9, 1.0, 0.7]]))
    np.testing.assert_allclose(found, [[cosine(beside_20, 20), cosine(beside_90, 90)]], atol=1e-7)


def test_who_is_not_sure_does_not_join(turned: Templates) -> None:
    found = turned.cosines(np.array([[0.6, 1.0, 0.5999]]))
    beside_90 = 2 * direction(0) + 0.6 * direction(20)
    np.testing.assert_allclose(found, [[cosine(direction(0), 20), cosine(beside_90, 90)]], atol=1e-7)


def test_portraits_add_up() -> None:
    faces = np.array([direction(0), 7 * direction(40), direction(80), direction(10)], np.float32)
    recipe = Recipe(portrait_weight=2.0)
    found = Templates(UnitRows(faces), [np.array([0, 1]), np.array([2])], np.array([True]), recipe).cosines()
    np.testing.assert_allclose(found, [[cosine(direction(20), 10)], [cosine(direction(80), 10)]], atol=1e-7)
    weighted = Templates(UnitRows(faces), [np.array([0, 1])], np.array([True, True]), recipe)
    template = 2 * (direction(0) + direction(40)) + direction(80)
    np.testing.assert_allclose(weighted.cosines(np.array([[1.0, 0.5]]))[0, 1], cosine(template, 10), atol=1e-7)


def test_portraits_that_cancel_out_are_like_nobody() -> None:
    faces = np.array([direction(30), -direction(30), direction(30), direction(120)], np.float32)
    found = Templates(UnitRows(faces), [np.array([0, 1])], np.ones(2, bool), RECIPE).cosines()
    assert (abs(found) <= 1).all()


def test_nobody_has_a_face() -> None:
    faces = np.array([direction(30), direction(120)], np.float32)
    templates = Templates(UnitRows(faces), [np.array([0])], np.array([False]), RECIPE)
    assert templates.cosines().shape == templates.cosines(np.ones((1, 1))).shape == (1, 0)


def test_who_is_present_by_hand() -> None:
    """Of 4 faces the best impostor lies near sqrt(2 log 4); the likeliest face counts, not the most alike."""
    z = np.array([[5.0, 1.0, 0.0, 3.0], [0.0, 0.5, -1.0, 9.0]])
    log_odds = np.array([[-2.0, -3.0, 7.0, -3.0, 1.0], [0.5, 2.0, -1.0, -9.0, 0.0]])  # the third: faceless
    has_face = np.array([True, True, False, True, True])
    recipe = Recipe(presence_odds=0.5, presence_slope=2.0, presence_backing=0.25)
    best = np.sqrt(2 * np.log(4))
    expected = 1 / (1 + np.exp(-0.5 - 2 * (np.array([3.0, 0.5]) - best) - 0.25 * np.array([7.0, 2.0])))
    np.testing.assert_allclose(presence(z, log_odds, has_face, recipe), expected)
    one = presence(z[:, :1], log_odds[:, :1], has_face[:1], recipe)
    np.testing.assert_allclose(one, 1 / (1 + np.exp([-0.5 - 10 + 0.5, -0.5 - 0.125])))
    none = presence(z[:, :0], log_odds, np.zeros(5, bool), recipe)
    np.testing.assert_allclose(none, 1 / (1 + np.exp([-0.5 - 1.75, -0.5 - 0.5])))


# ---------------------------------------------------------------------------- bodies


def scattered_bodies(n: int, width: int, seed: int = 0) -> UnitRows:
    """Bodies with few long directions and many short ones, as networks' features have."""
    rng = np.random.default_rng(seed)
    length = 1 / (1 + np.arange(min(n, width)))
    rows = rng.normal(size=(n, len(length))) * length @ np.linalg.qr(rng.normal(size=(width, len(length))))[0].T
    return UnitRows((rows + 0.3 * length[0]).astype(np.float32))


SIZES = [(300, 200), (300, 40), (50, 300), (20, 300), (2, 5), (65, 64), (300, 1)]


@pytest.mark.parametrize(("n", "width"), SIZES)
@pytest.mark.parametrize("change", [{}, {"directions": 5}, {"whitening": 1.0, "shrinkage": 0.1}])
def test_whitened_as_by_all_directions(reference: ModuleType, n: int, width: int, change: dict) -> None:
    bodies, recipe = scattered_bodies(n, width), replace(RECIPE, **change)
    expected = reference.whitened(reference.unit(bodies.rows), recipe)
    found = whitened(bodies, recipe, RESOURCES)
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found.rows @ found.rows.T, expected @ expected.T, atol=1e-3)
    if not min(n, width) - 80 > 0:  # found all
        np.testing.assert_allclose(found.rows, expected, atol=1e-6)


def test_leading_directions() -> None:
    bodies = scattered_bodies(400, 150)
    found, variance = _leading(bodies, 10, RESOURCES)
    rows = bodies.rows.astype(np.float64)
    true, directions = np.linalg.eigh(rows.T @ rows / 400)
    np.testing.assert_allclose(variance, true[::-1][:10], rtol=1e-4)
    np.testing.assert_allclose(abs((found * directions[:, ::-1][:, :10]).sum(axis=0)), 1, atol=1e-4)
    np.testing.assert_allclose(found.T @ found, np.eye(10), atol=1e-9)


def test_bodies_that_are_left_as_they_are() -> None:
    bodies = scattered_bodies(30, 8)
    assert whitened(bodies, Recipe(whitening=0.0), RESOURCES) is bodies
    assert whitened(bodies, Recipe(directions=0), RESOURCES) is bodies
    one = scattered_bodies(1, 8)
    assert whitened(one, RECIPE, RESOURCES) is one


def test_equal_bodies_stay_equal_and_even_ones_stay_as_they_are() -> None:
    same = whitened(UnitRows(np.tile(np.float32([3, 4, 0, 1]), (300, 1))), RECIPE, RESOURCES).rows
    np.testing.assert_array_equal(same, same[:1].repeat(300, axis=0))
    even = UnitRows(np.eye(6, dtype=np.float32))
    np.testing.assert_allclose(whitened(even, RECIPE, RESOURCES).rows, even.rows, atol=1e-7)


@pytest.mark.parametrize("rows", [1, 7])
def test_whitened_in_blocks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = scattered_bodies(100, 120)
    one = whitened(bodies, RECIPE, RESOURCES).rows
    monkeypatch.setattr("castsearch.ranking.best.whitening.tile_rows", lambda _: rows)
    np.testing.assert_allclose(whitened(bodies, RECIPE, Resources(0, 3)).rows, one, atol=1e-7)


# ---------------------------------------------------------------------------- links


def boxes_of(seed: int, n: int, width: int = 6, frames: int = 30, faceless: float = 0.3) -> Boxes:
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(6, width))
    bodies, faces = ((people[rng.integers(6, size=n)] + 0.6 * rng.normal(size=(n, width))) for _ in range(2))
    return Boxes(
        bodies=UnitRows(bodies.astype(np.float32)),
        frames=rng.integers(frames, size=n),
        shots=np.where(rng.random(n) < 0.8, rng.integers(90, size=n), np.nan),
        faces=UnitRows(faces.astype(np.float32)),
        has_face=rng.random(n) >= faceless,
        impostors=Impostors(0.02, 0.3),
    )


def check_links(reference: ModuleType, boxes: Boxes, recipe: Recipe) -> Links:
    links = linked(boxes, recipe, RESOURCES)
    n = len(boxes.frames)
    faces = reference.unit(boxes.faces.features) if boxes.faces else np.zeros((n, 1))
    expected = reference.links_of(
        faces,
        boxes.has_face if boxes.faces else np.zeros(n, bool),
        [boxes.bodies.features],
        boxes.frames.tolist(),
        boxes.shots,
        (boxes.impostors.mean, boxes.impostors.sd),
        replace(recipe, whitening=0.0),  # which comes before
    )
    for box, to in enumerate(expected):
        assert links.index[box, : len(to)].tolist() == list(to)
        for part in ("body", "time", "face"):
            found = getattr(links, part)[box, : len(to)]
            # The deviation of bodies is rounded, here and there.
            np.testing.assert_allclose(found, [link[part] for link in to.values()], rtol=1e-5, atol=1e-5)
        assert (links.body[box, len(to) :] == -np.inf).all()
    return links


@pytest.mark.parametrize("n", [2, 15, 16, 40, 150])
def test_links_as_by_brute_force(reference: ModuleType, n: int) -> None:
    links = check_links(reference, boxes_of(n, n), RECIPE)
    assert links.index.shape == (n, min(RECIPE.neighbours, n - 1))
    assert links.index.dtype == np.int32


@pytest.mark.parametrize(
    "change", [{"shots": None}, {"faces": None}, {"frames": np.zeros(60, np.int64)}, {"frames": np.arange(60)}]
)
def test_links_without_a_part(reference: ModuleType, change: dict) -> None:
    check_links(reference, replace(boxes_of(1, 60), **change), RECIPE)


def test_links_where_every_shortlist_is_crowded(reference: ModuleType) -> None:
    """All bodies lie within the error of a float32 product, so that time and faces decide, and the index."""
    boxes = boxes_of(2, 100)
    bodies = np.ones((100, 6), np.float32)
    check_links(reference, replace(boxes, bodies=UnitRows(bodies)), RECIPE)
    check_links(reference, replace(boxes, bodies=UnitRows(bodies), shots=None, faces=None), RECIPE)


def test_links_where_some_shortlists_are_crowded(reference: ModuleType) -> None:
    boxes = boxes_of(3, 160, frames=1000)
    bodies = boxes.bodies.features.copy()
    bodies[:90] = bodies[0]
    check_links(reference, replace(boxes, bodies=UnitRows(bodies)), RECIPE)


def test_of_crowded_shortlists_few_pairs_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, sizes, pairs = boxes_of(2, 100), [], _Kernel.pairs

    def noting(self: _Kernel, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        sizes.append(len(some))
        return pairs(self, some, others)

    monkeypatch.setattr("castsearch.ranking.best.links.EXACT_PAIRS", 550)
    monkeypatch.setattr(_Kernel, "pairs", noting)
    linked(replace(boxes, bodies=UnitRows(np.ones((100, 6), np.float32)), shots=None, faces=None), RECIPE, RESOURCES)
    assert sum(sizes) == 100 * 100 and max(sizes) == 5 * 100


def test_boxes_of_one_frame_are_not_linked() -> None:
    boxes = boxes_of(4, 12, frames=2)
    links = linked(boxes, RECIPE, RESOURCES)
    for box in range(12):
        to = links.index[box][np.isfinite(links.body[box])]
        assert set(to) == set(np.flatnonzero(boxes.frames != boxes.frames[box]))


def test_links_of_one_box_and_of_no_neighbours() -> None:
    assert linked(boxes_of(5, 1), RECIPE, RESOURCES).index.shape == (1, 0)
    assert linked(boxes_of(5, 9), Recipe(neighbours=0), RESOURCES).body.shape == (9, 0)


def test_time_by_hand() -> None:
    """Shots 0, 10, 10 and unknown: e to -10 shots over 20 of the most."""
    boxes = replace(boxes_of(6, 4), frames=np.arange(4), shots=np.array([0, 10, 10, np.nan]), faces=None)
    links = linked(boxes, Recipe(time_most=2.0, time_shots=20.0), RESOURCES)
    time = np.zeros((4, 4))
    np.put_along_axis(time, links.index.astype(np.int64), links.time, axis=1)
    near = 2 * np.exp(-0.5)
    np.testing.assert_allclose(time, [[0, near, near, 0], [near, 0, 2, 0], [near, 2, 0, 0], [0, 0, 0, 0]])


def test_faces_link_by_hand() -> None:
    """Cosines 1, cos 60 and 0 with the first, at an impostors' deviation of .1; the last box shows no face."""
    faces = np.array([direction(0), direction(0), direction(60), direction(90), direction(0)], np.float32)
    boxes = replace(
        boxes_of(7, 5),
        frames=np.arange(5),
        shots=None,
        faces=UnitRows(faces),
        has_face=np.array([True, True, True, True, False]),
        impostors=Impostors(0.1, 0.1),
    )
    links = linked(boxes, Recipe(link_slope=0.5, link_middle=2.0, link_most=3.0), RESOURCES)
    face = np.zeros((5, 5))
    np.put_along_axis(face, links.index.astype(np.int64), links.face, axis=1)
    np.testing.assert_allclose(face[0], [0, 3, 0.5 * (4 - 2), 0, 0], atol=1e-5)
    assert not face[4].any() and not face[:, 4].any()


@pytest.mark.parametrize("parts", ["all", "bodies", "bodies and faces"])
def test_a_sifting_tile_is_within_the_margin(parts: str) -> None:
    """But for one constant for all, and by far; each part has its share in the margin."""
    boxes = replace(boxes_of(8, 60, width=40), shots=boxes_of(8, 60).shots + 1e9)
    boxes = boxes if parts == "all" else replace(boxes, shots=None)
    boxes = replace(boxes, faces=None) if parts == "bodies" else boxes
    recipe = Recipe(body_slope=30.0, link_slope=300.0, link_most=1e3)
    kernel = _Kernel(boxes, recipe, RESOURCES)
    (tile,) = kernel.tiles(slice(0, 60), slice(0, 60))
    some, others = np.nonzero(boxes.frames[:, None] != boxes.frames)
    body, time, face = kernel.pairs(some, others)
    off = tile[some, others] - (30 * body + time + face)
    slopes = 30 / _mean_and_sd(boxes.bodies, RESOURCES)[1] + 300 / 0.3 * (parts != "bodies")
    assert kernel.margin == pytest.approx(slopes * margin(40) + 1e-5, rel=1e-12)
    assert np.ptp(off) < 0.5 * kernel.margin
    assert np.isneginf(tile[boxes.frames[:, None] == boxes.frames]).all()


@pytest.mark.parametrize(("n", "width"), [(40, 6), (6, 40), (2, 3), (30, 30), (31, 30)])
def test_mean_and_deviation_of_bodies(n: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = boxes_of(n, n, width).bodies
    cosines = bodies.rows.astype(np.float64) @ bodies.rows.T.astype(np.float64)
    pairs = cosines[~np.eye(n, dtype=bool)]
    expected = pairs.mean(), max(pairs.std(), LEAST_SD)
    np.testing.assert_allclose(_mean_and_sd(bodies, RESOURCES), expected, atol=2e-6)
    monkeypatch.setattr("castsearch.ranking.best.links.TILE", 4)
    np.testing.assert_allclose(_mean_and_sd(bodies, RESOURCES), expected, atol=2e-6)


def test_mean_and_deviation_where_there_is_none() -> None:
    assert _mean_and_sd(UnitRows(np.ones((30, 4), np.float32)), RESOURCES) == (1.0, LEAST_SD)
    assert _mean_and_sd(UnitRows(np.ones((1, 4), np.float32)), RESOURCES) == (0.0, LEAST_SD)


# ---------------------------------------------------------------------------- votes


def some_links(reference: ModuleType, n: int = 50, **recipe: object) -> tuple[Links, list, Recipe]:
    """Links, and the same as the plain recipe has them."""
    changed = replace(RECIPE, **recipe)  # type: ignore[arg-type]
    links = check_links(reference, boxes_of(n, n), changed)
    plain = [
        {int(i): dict(zip(("body", "time", "face"), parts, strict=True)) for i, *parts in zip(*row, strict=True)}
        for row in zip(links.index, links.body, links.time, links.face, strict=True)
    ]
    return links, plain, changed


def random_beliefs(n: int, people: int = 3) -> np.ndarray:
    """(p, n) float32 probabilities, as float64: what the kernel adds up."""
    share = np.random.default_rng(n).dirichlet(np.ones(people + 1), size=n)[:, :people]
    return np.ascontiguousarray(share.T.astype(np.float32).astype(np.float64))


@pytest.mark.parametrize("unlike", [-9.0, 0.0, 40.0])
@pytest.mark.parametrize(("time", "face"), [(True, True), (False, True), (True, False)])
def test_votes_as_by_brute_force(reference: ModuleType, time: bool, face: bool, unlike: float) -> None:
    links, plain, recipe = some_links(reference, unknown_share=0.3)
    believed = random_beliefs(50)
    found = Votes(links, Fit(1.3, unlike), recipe, time=time, face=face).log_ratio(believed, 0.6, RESOURCES)
    counting = "body" + time * " time" + face * " face"
    expected = reference.votes(plain, counting, 1.3, unlike, believed, replace(recipe, others=0.6))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_votes_of_some_boxes(reference: ModuleType) -> None:
    links, _, recipe = some_links(reference)
    votes, believed = Votes(links, Fit(2.0, -3.0), recipe), random_beliefs(50)
    among = np.array([7, 3, 44])
    np.testing.assert_array_equal(
        votes.log_ratio(believed, 0.7, RESOURCES, among), votes.log_ratio(believed, 0.7, RESOURCES)[:, among]
    )
    assert votes.log_ratio(believed, 0.7, RESOURCES, among[:0]).shape == (3, 0)


def test_a_vote_by_hand() -> None:
    """A box linked to one other at log weight 2 * 3 + 1, of 2 boxes; nobody weighs 2 exp(2 + unlike)."""
    links = Links(
        np.array([[1], [0]], np.int32), np.array([[3.0], [3.0]]), np.array([[1.0], [1.0]]), np.array([[0.0], [0.0]])
    )
    believed, recipe = np.array([[0.25, 0.5]]), Recipe(unknown_share=0.2)
    weight, nobody = np.exp(7), 2 * np.exp(2 + 4)
    vote = 0.8 * (weight * np.array([[0.5, 0.25]]) + nobody * 0.4) / (weight + nobody) + 0.2 * 0.4
    found = Votes(links, Fit(2.0, 4.0), recipe).log_ratio(believed, 0.6, RESOURCES)
    np.testing.assert_allclose(found, np.log(vote / 0.4), rtol=1e-12)


def test_who_has_no_link_knows_nothing() -> None:
    nowhere = np.full((3, 2), -np.inf)
    links = Links(np.zeros((3, 2), np.int32), nowhere, np.ones((3, 2)), np.ones((3, 2)))
    found = Votes(links, Fit(2.0, -9.0), RECIPE).log_ratio(random_beliefs(3), 0.7, RESOURCES)
    np.testing.assert_allclose(found, 0, atol=1e-12)
    alone = Votes(linked(boxes_of(0, 1), RECIPE, RESOURCES), Fit(2.0, -9.0), RECIPE)
    np.testing.assert_allclose(alone.log_ratio(np.ones((1, 1)), 0.7, RESOURCES), 0, atol=1e-12)


# ---------------------------------------------------------------------------- what the movie chooses


def dressed(outfit: np.ndarray, who: np.ndarray, recipe: Recipe) -> Fit:
    """The choice for boxes of two people in these outfits, whose faces are all sure."""
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(outfit.max() + 1, 60))[outfit] + 0.3 * rng.normal(size=(len(who), 60))
    everyone = np.ones(len(who), bool)
    boxes = Boxes(UnitRows(bodies.astype(np.float32)), np.arange(len(who)), None, None, everyone, Impostors(0.0, 0.1))
    probability = np.stack([np.where(who == person, 0.97, 0.01) for person in (0, 1)])
    sure = [np.flatnonzero(who == person) for person in (0, 1)]
    return fitted(linked(boxes, recipe, RESOURCES), probability, sure, recipe, RESOURCES)


def test_bodies_that_tell_are_believed_and_others_not() -> None:
    """Ten outfits of each person, or each worn once by either: whoever resembles a box is the other one then."""
    recipe = Recipe(unlike=(-9.0, -3.0, 3.0), body_slopes=(1.5,), caution=0.0, surprise=0.0)
    box = np.arange(60)
    assert dressed(box // 3, box // 3 % 2, recipe) == Fit(1.5, -9.0)
    assert dressed(box // 2, box % 2, recipe) == Fit(1.5, 3.0)
    assert dressed(box // 3, box // 3 % 2, replace(recipe, unlike=(3.0, -3.0, -9.0))) == Fit(1.5, -9.0)


def test_slopes_are_chosen_too() -> None:
    """Where only the nearest tell, a sharper kernel predicts better; where these are of the other person, a flatter."""
    recipe = Recipe(unlike=(-40.0,), body_slopes=(0.5, 3.0), caution=0.0, surprise=0.0, neighbours=59)
    box = np.arange(60)
    assert dressed(box // 3, box // 3 % 2, recipe) == Fit(3.0, -40.0)
    assert dressed(box // 2, box % 2, recipe) == Fit(0.5, -40.0)


def test_a_choice_must_be_worth_its_surprise() -> None:
    box = np.arange(60)
    recipe = Recipe(unlike=(-40.0,), body_slopes=(0.5, 3.0), caution=0.0, surprise=1000.0, neighbours=59)
    assert dressed(box // 3, box // 3 % 2, recipe).slope == 0.5
    recipe = Recipe(unlike=(-1.0, -9.0), body_slopes=(1.5,), caution=0.0, surprise=1000.0)
    assert dressed(box // 3, box // 3 % 2, recipe).unlike == -1.0


def test_caution_is_for_larger_odds() -> None:
    box = np.arange(60)
    recipe = Recipe(unlike=(-9.0, 3.0), body_slopes=(1.5,), caution=1000.0, surprise=0.0)
    assert dressed(box // 3, box // 3 % 2, recipe).unlike == 3.0


def chosen_by_hand(right: int, wrong: int, recipe: Recipe) -> float:
    """The odds for a person with so many sure boxes, each linked to one box that is surely theirs, or another's.

    Believed, a right vote predicts them at 1 of 1.7, a wrong one at 0; not believed, each at .15.
    """
    n = right + wrong + 2
    index = np.array([n - 2] * right + [n - 1] * wrong + [0, 0], np.int32)[:, None]
    nothing = np.zeros((n, 1))
    probability = np.zeros((2, n))
    probability[0, n - 2] = probability[1, n - 1] = 1
    sure = [np.arange(right + wrong), np.zeros(0, np.int64)]
    recipe = replace(recipe, others=0.7, body_slopes=(1.0,), unknown_share=1e-12, caution=0.0)
    return fitted(Links(index, nothing, nothing, nothing), probability, sure, recipe, RESOURCES).unlike


def test_a_vote_that_is_wrong_costs_so_much() -> None:
    """Three right ones gain 3 log(3.9) = 4.1; a wrong one costs log(.15) - log(.001) = 5.0."""
    recipe = Recipe(unlike=(-40.0, 40.0), surprise=0.0)
    assert chosen_by_hand(3, 1, recipe) == 40
    assert chosen_by_hand(4, 1, recipe) == -40  # 5.4


@pytest.mark.parametrize(("boxes", "weight"), [(1, 1.0), (2, 2**0.5), (9, 3.0)])
def test_a_person_counts_as_the_root_of_their_boxes(boxes: int, weight: float) -> None:
    gain = weight * np.log(1 / 1.7 / 0.15)
    for surprise, chosen in ((0.95 * gain / 80, -40), (1.05 * gain / 80, 40)):
        assert chosen_by_hand(boxes, 0, Recipe(unlike=(40.0, -40.0), surprise=surprise)) == chosen


def test_strong_links_are_weighed_without_overflow() -> None:
    body = np.array([[500.0, 499.9], [500.0, -500.0], [0.0, 0.0]])
    links = Links(np.array([[1, 2], [0, 2], [0, 1]], np.int32), body, np.zeros((3, 2)), np.zeros((3, 2)))
    recipe = Recipe(unknown_share=0.0, body_most=np.inf)
    found = Votes(links, Fit(3.0, 0.0), recipe).log_ratio(np.array([[0.5, 0.25, 1.0]]), 0.5, RESOURCES)
    first = 1 / (1 + np.exp(-0.3))
    np.testing.assert_allclose(found[0, :2], np.log([(0.25 * first + 1.0 * (1 - first)) / 0.5, 1.0]), atol=1e-9)


def test_beyond_a_limit_no_body_is_more_alike() -> None:
    """A box's copy in the next frame, 9 deviations up, counts no more than another at the limit."""
    body = np.array([[9.0, 3.0, 1.0]] * 4)
    links = Links(np.array([[1, 2, 3]] * 4, np.int32), body, np.zeros((4, 3)), np.zeros((4, 3)))
    believed = np.array([[0.0, 0.9, 0.5, 0.1]])
    low = np.exp(2.0 * (1 - 3))
    expected = {3.0: (0.9 + 0.5 + low * 0.1) / (2 + low), np.inf: 0.9}
    for most, vote in expected.items():
        votes = Votes(links, Fit(2.0, -50.0), Recipe(unknown_share=0.0, body_most=most))
        found = votes.log_ratio(believed, 0.5, RESOURCES)[0, 0]
        np.testing.assert_allclose(found, np.log(vote / 0.5), atol=1e-5)


def test_without_sure_faces_the_first_choice_stands() -> None:
    links, probability = linked(boxes_of(0, 20), RECIPE, RESOURCES), random_beliefs(20, 2)
    nobody = [np.zeros(0, np.int64)] * 2
    choices = Recipe(unlike=(-5.0, -9.0, -1.0), body_slopes=(1.5, 1.0, 2.0))
    assert fitted(links, probability, nobody, choices, RESOURCES) == Fit(1.5, -5.0)
    assert fitted(links, probability, nobody, Recipe(unlike=(-2.0,), body_slopes=(3.0,)), RESOURCES) == Fit(3.0, -2.0)


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_as_by_brute_force(reference: ModuleType, seed: int) -> None:
    links, plain, recipe = some_links(reference, 40 + seed, body_slopes=(1.0, 0.5, 2.0))
    probability = random_beliefs(40 + seed)
    sure = probability > 0.5
    expected = reference.fitted_kernel(plain, probability, sure, recipe)
    assert fitted(links, probability, [np.flatnonzero(row) for row in sure], recipe, RESOURCES) == expected
