"""The whole ranking of a movie, against the plain one, and where the original stopped with an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.ranking import MovieFeatures, RankingError, RankingWarning, Settings, TooLittleMemory, across, fuse
from castsearch.ranking.threads import Resources
from tests.ranking.taking import take

RERANKS = (None, "k_reciprocal", "ecn")
few_points = pytest.mark.filterwarnings("ignore:.*fewer points")
MakeMovie = Callable[..., MovieFeatures]


@pytest.fixture(scope="session")
def make_movie() -> MakeMovie:
    """Makes a movie of people with a face and three outfits each, in frames of one to three."""

    def make(seed: int, q: int, n: int, seen: float = 0.7, name: str = "m") -> MovieFeatures:
        rng = np.random.default_rng(seed)
        faces, outfits = rng.normal(size=(q + 3, 32)), rng.normal(size=(q + 3, 3, 40))
        who, has_face = rng.integers(q + 3, size=n), rng.random(n) < seen
        spread = rng.uniform(0.6, 1.5, (n, 1))
        shown = np.where(has_face[:, None], faces[who] + spread * rng.normal(size=(n, 32)), rng.normal(size=(n, 32)))
        bodies = outfits[who, rng.integers(3, size=n)] + rng.uniform(0.4, 1.2, (n, 1)) * rng.normal(size=(n, 40))
        return MovieFeatures(
            name=name,
            cast=[f"{name}_nm{i}" for i in range(q)],
            candidates=[f"{name}_{i:04d}" for i in range(n)],
            frames=[f"shot{i}" for i in np.cumsum(rng.random(n) < 0.7)],
            faces=np.concatenate([faces[:q] + 0.8 * rng.normal(size=(q, 32)), shown]).astype(np.float32),
            has_face=np.concatenate([np.ones(q, bool), has_face]),
            bodies=[bodies.astype(np.float32)],
        )

    return make


def plain(reference: ModuleType, movie: MovieFeatures, **options: object) -> dict[str, list[str]]:
    """What the plain implementation ranks."""
    q = len(movie.cast)
    ranked = reference.fuse(q, movie.faces, movie.has_face[q:], movie.bodies[0], movie.frames, **options)
    return {cast: [movie.candidates[i] for i in order] for cast, order in zip(movie.cast, ranked, strict=True)}


@pytest.mark.parametrize("face_rerank", RERANKS)
@pytest.mark.parametrize("body_rerank", RERANKS)
@pytest.mark.parametrize(("q", "n"), [(4, 250), (1, 90)])
def test_ranking_is_the_plain_one(
    reference: ModuleType, make_movie: MakeMovie, q: int, n: int, face_rerank: str | None, body_rerank: str | None
) -> None:
    movie = make_movie(n, q, n)
    options = {"face_rerank": face_rerank, "body_rerank": body_rerank}
    assert fuse(movie, Settings(**options)) == plain(reference, movie, **options)  # type: ignore[arg-type]


@few_points
@pytest.mark.parametrize("rerank", RERANKS)
@pytest.mark.parametrize("n", [*range(1, 12), 19])
def test_few_candidates(reference: ModuleType, make_movie: MakeMovie, n: int, rerank: str | None) -> None:
    movie = make_movie(n, 2, n)
    options = {"face_rerank": rerank, "body_rerank": rerank}
    assert fuse(movie, Settings(**options)) == plain(reference, movie, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rerank", RERANKS)
def test_nobody_with_a_face(reference: ModuleType, make_movie: MakeMovie, rerank: str | None) -> None:
    movie = make_movie(0, 3, 60, seen=0)
    ranking = fuse(movie, Settings(face_rerank=rerank, body_rerank=rerank))  # type: ignore[arg-type]
    assert ranking == plain(reference, movie, face_rerank=rerank, body_rerank=rerank)
    assert ranking["m_nm0"][:5] == movie.candidates[:5]


@pytest.mark.parametrize("rerank", RERANKS)
def test_nobody_unknown(reference: ModuleType, make_movie: MakeMovie, rerank: str | None) -> None:
    movie, thresholds = make_movie(1, 2, 60), (-1.5, -1.6)
    movie = replace(movie, has_face=np.ones_like(movie.has_face))
    ranking = fuse(movie, Settings(thresholds, body_rerank=rerank))  # type: ignore[arg-type]
    assert ranking == plain(reference, movie, body_rerank=rerank, thresholds=thresholds)


def test_no_cast_no_line(make_movie: MakeMovie) -> None:
    assert fuse(make_movie(2, 0, 30)) == {}


def test_no_candidate_no_line_and_a_warning(make_movie: MakeMovie) -> None:
    with pytest.warns(RankingWarning, match="movie m has no candidates: no line for its casts"):
        assert fuse(make_movie(3, 2, 0)) == {}


def test_portrait_without_face_is_used_and_named(make_movie: MakeMovie) -> None:
    movie = make_movie(4, 2, 80)
    blind = replace(movie, has_face=np.concatenate([[True, False], movie.has_face[2:]]))
    with pytest.warns(RankingWarning, match="movie m: the portrait of m_nm1 shows no face") as caught:
        ranking = fuse(blind)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fuse(movie) == ranking


@pytest.mark.parametrize("value", [0.0, np.nan, -np.inf])
@pytest.mark.parametrize(("part", "row", "item"), [("face", 1, "m_nm1"), ("face", 12, "m_0010"), ("body", 7, "m_0007")])
def test_bad_features_are_named(make_movie: MakeMovie, value: float, part: str, row: int, item: str) -> None:
    movie = make_movie(5, 2, 30)
    features = movie.faces if part == "face" else movie.bodies[0]
    assert features is not None
    features = features.copy()
    features[row] = value
    why = "all zero" if value == 0 else "not finite"
    with pytest.raises(RankingError, match=f"movie m: {item}: its {part} feature is {why}"):
        replace(movie, **({"faces": features} if part == "face" else {"bodies": [features]}))


def test_bodies_may_hold_the_casts(make_movie: MakeMovie) -> None:
    movie = make_movie(6, 3, 70)
    with_casts = replace(movie, bodies=[np.concatenate([np.ones((3, 40), np.float32), movie.bodies[0]])])
    assert fuse(with_casts) == fuse(movie)


def test_several_body_models_are_joined_as_unit_rows(make_movie: MakeMovie) -> None:
    movie = make_movie(7, 3, 150)
    first, second = movie.bodies[0][:, :25], 100 * movie.bodies[0][:, 25:]
    unit = [some / np.linalg.norm(some, axis=1, keepdims=True) for some in (first, second)]
    joined = replace(movie, bodies=[np.concatenate(unit, axis=1)])
    assert fuse(replace(movie, bodies=[first, second])) == fuse(joined)


@pytest.mark.parametrize("rerank", RERANKS)
def test_bodies_alone(reference: ModuleType, make_movie: MakeMovie, rerank: str | None) -> None:
    movie = make_movie(8, 3, 120)
    features = np.concatenate([movie.bodies[0][:3] + 0.1, movie.bodies[0]])
    alone = replace(movie, faces=None, has_face=np.zeros_like(movie.has_face), bodies=[features])
    ranking = fuse(alone, Settings(body_rerank=rerank))  # type: ignore[arg-type]

    unit = reference.unit(features)
    sim = unit[:3] @ unit[3:].T
    if rerank:
        sim = 1 - getattr(reference, rerank)(features, 3)
    for row, cast in zip(sim, movie.cast, strict=True):
        order = [i for i in np.argsort(-row, kind="stable") if row[i] > 0.5]
        order = order if len(order) >= 5 else list(np.argsort(-row, kind="stable")[:5])
        for threshold in (0.4, 0.3, 0.25):
            mean = (unit[3:] @ unit[3:].T)[order].mean(axis=0)
            best = np.argsort(-mean, kind="stable")
            order += [i for i in best if mean[i] > threshold and i not in order]
        order += [i for i in best if i not in order]
        assert ranking[cast] == [movie.candidates[i] for i in order]


@few_points
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(6, 80), st.sampled_from(RERANKS))
def test_permuted_candidates_are_ranked_the_same(make_movie: MakeMovie, seed: int, n: int, rerank: str | None) -> None:
    movie = make_movie(seed, 2, n, seen=1)
    # Boxes that share a frame with a match are ranked by their index: every box has a frame of its own here.
    movie = replace(movie, frames=movie.candidates)
    order = np.random.default_rng(seed).permutation(n)
    how = Settings(face_rerank=rerank, body_rerank=rerank)  # type: ignore[arg-type]
    assert fuse(take(movie, order), how) == fuse(movie, how)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(30, 80))
def test_a_far_candidate_comes_last(make_movie: MakeMovie, seed: int, n: int) -> None:
    movie = make_movie(seed, 2, n)
    movie = replace(movie, bodies=[np.abs(movie.bodies[0])])
    assert movie.faces is not None
    more = replace(
        movie,
        candidates=[*movie.candidates, "far"],
        frames=[*movie.frames, "elsewhere"],
        faces=np.concatenate([movie.faces, movie.faces[:1]]),
        has_face=np.concatenate([movie.has_face, [False]]),
        bodies=[np.concatenate([movie.bodies[0], -np.ones((1, 40), np.float32)])],
    )
    for cast, ranked in fuse(more).items():
        before = fuse(movie)[cast]
        at = ranked.index("far")
        assert ranked[:at] == before[:at]
        assert ranked[:at] + ranked[at + 1 :] == before


@pytest.mark.parametrize("rerank", RERANKS)
def test_threads_blocks_and_memory_change_nothing(
    make_movie: MakeMovie, rerank: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = make_movie(9, 6, 900)
    how = Settings(face_rerank=rerank, body_rerank=rerank)  # type: ignore[arg-type]
    ranking = fuse(movie, how)
    for threads, memory in ((1, 1 << 30), (3, 1 << 20), (2, 0)):  # no tables, some casts at a time, some rows
        resources = Resources(memory, threads)
        monkeypatch.setattr("castsearch.ranking.fusion._resources", lambda *_, given=resources: given)
        assert fuse(movie, how) == ranking
    monkeypatch.setattr("castsearch.ranking.unit.tile_rows", lambda width: 57)
    monkeypatch.setattr("castsearch.ranking.nearest.tile_rows", lambda width: 61)
    monkeypatch.setattr("castsearch.ranking.completion.tile_rows", lambda width: 59)
    monkeypatch.setattr("castsearch.ranking.propagation.tile_rows", lambda width: 67)
    monkeypatch.setattr("castsearch.ranking.nearest.TILE", 83)
    assert fuse(movie, how) == ranking


def test_too_little_memory_is_told_before_the_work(make_movie: MakeMovie) -> None:
    with pytest.raises(TooLittleMemory, match=r"movie m needs about 0\.\d GB .* may take 0\.0 GB"):
        fuse(make_movie(10, 2, 50), Settings(memory=1 << 20))


def test_across_movies_ranks_one_gallery(reference: ModuleType, make_movie: MakeMovie) -> None:
    movies = [make_movie(11, 2, 60, name="a"), make_movie(12, 3, 40, name="b")]
    casts = np.full((2, 40), 7, np.float32)
    with_casts = replace(movies[0], bodies=[np.concatenate([casts, movies[0].bodies[0]])])
    merged = across([with_casts, movies[1]], "all")
    assert merged.cast == ["a_nm0", "a_nm1", "b_nm0", "b_nm1", "b_nm2"]
    assert merged.candidates == [*movies[0].candidates, *movies[1].candidates]
    assert merged.frames[:1] + merged.frames[60:61] == ["a/" + movies[0].frames[0], "b/" + movies[1].frames[0]]
    a, b = (movie.faces for movie in movies)
    assert a is not None
    assert b is not None
    np.testing.assert_array_equal(merged.faces, np.concatenate([a[:2], b[:3], a[2:], b[3:]]))
    np.testing.assert_array_equal(merged.bodies[0], np.concatenate([movies[0].bodies[0], movies[1].bodies[0]]))
    assert fuse(merged) == plain(reference, merged)


def test_across_movies_needs_one_width(make_movie: MakeMovie) -> None:
    narrow = make_movie(13, 2, 30, name="b")
    narrow = replace(narrow, bodies=[narrow.bodies[0][:, :20]])
    with pytest.raises(RankingError, match="movie b: features are 20 wide, those of a 40"):
        across([make_movie(14, 2, 30, name="a"), narrow], "all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": ["x"]}, "movie m: expected 30 frames, got 1"),
        ({"bodies": []}, "movie m: expected the features of at least one body model"),
        ({"bodies": [np.ones((31, 4), np.float32)]}, r"body features must be \(30, d\) or \(32, d\), got \(31, 4\)"),
        ({"faces": np.ones((30, 4), np.float32)}, r"face features must be \(32, d\), got \(30, 4\)"),
        ({"faces": None}, r"body features must be \(32, d\), got \(30, 40\)"),
        ({"has_face": np.ones(30, bool)}, r"has_face must be \(32,\) bool, got \(30,\) bool"),
        ({"has_face": np.ones(32, int)}, r"has_face must be \(32,\) bool, got \(32,\) int64"),
    ],
)
def test_movies_are_checked(make_movie: MakeMovie, change: dict, message: str) -> None:
    with pytest.raises(RankingError, match=message):
        replace(make_movie(15, 2, 30), **change)


def test_thresholds_are_checked() -> None:
    with pytest.raises(RankingError, match="expected at least one number, all finite"):
        Settings(thresholds=())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_thresholds_are_numbers(value: float) -> None:
    with pytest.raises(RankingError, match="expected at least one number, all finite"):
        Settings(thresholds=(0.5, value))


@pytest.mark.parametrize("thresholds", [(50, 40), (0.5, -1.5)])
def test_thresholds_that_no_similarity_reaches_are_doubted(thresholds: tuple[float, ...]) -> None:
    with pytest.warns(RankingWarning, match="similarities lie within -1 to 1; is one of them a percentage"):
        Settings(thresholds=thresholds)


@pytest.mark.parametrize("part", ["face_rerank", "body_rerank"])
@pytest.mark.parametrize("name", ["k-reciprocal", "", True])
def test_an_unknown_reranker_is_refused(part: str, name: object) -> None:
    with pytest.raises(RankingError, match=f"{part} {name!r}: expected None, 'k_reciprocal' or 'ecn'"):
        Settings(**{part: name})  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["face_rerank", "body_rerank"])
def test_short_lists_are_said_with_the_movie(make_movie: MakeMovie, part: str) -> None:
    with pytest.warns(RankingWarning, match="movie m: fewer points than a neighbour list of 21 needs"):
        fuse(make_movie(16, 2, 8), Settings(**{part: "k_reciprocal"}))  # type: ignore[arg-type]


def test_a_threshold_must_be_passed_not_met() -> None:
    """Of a cosine that is 1/2 exactly, and of a mean that is."""
    half, one = np.full(4, 0.5), np.eye(4)
    faces = np.float32([one[0], *[one[0]] * 5, half, half, one[1]])
    movie = MovieFeatures(
        name="m",
        cast=["nm"],
        candidates=list("abcdefgh"),
        frames=list("12345678"),
        faces=faces,
        has_face=np.ones(9, bool),
        bodies=[np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)],
    )
    from castsearch.ranking.propagation import propagate
    from castsearch.ranking.unit import UnitRows

    unit = UnitRows(faces)
    sim = (faces[:1] @ faces[1:].T).astype(np.float32)
    for thresholds, expected in (((0.5, 0.5), 5), ((0.5, 0.499), 7), ((0.499,), 7), ((0.5,), 5)):
        found = propagate(sim, unit.tile(slice(1, None)), movie.has_face[1:], thresholds)
        assert len(found.matches[0]) == expected


@few_points
@pytest.mark.parametrize("face_rerank", RERANKS)
@pytest.mark.parametrize("body_rerank", RERANKS)
@pytest.mark.parametrize("seed", range(8))
def test_copies_tie_through_every_step(
    reference: ModuleType, seed: int, face_rerank: str | None, body_rerank: str | None
) -> None:
    """Few looks worn by many boxes: equal candidates, copies of different matches, equal frames' worth of them."""
    rng = np.random.default_rng(seed)
    q, n, looks = 3, int(rng.integers(8, 60)), int(rng.integers(2, 9))
    faces = rng.normal(size=(looks, 16)).astype(np.float32)
    bodies = [rng.normal(size=(looks, width)).astype(np.float32) for width in (24, 10)]
    worn = rng.integers(looks, size=n)
    movie = MovieFeatures(
        name="m",
        cast=[f"nm{i}" for i in range(q)],
        candidates=[f"{i:03d}" for i in range(n)],
        frames=[str(i) for i in np.cumsum(rng.random(n) < 0.6)],
        faces=faces[rng.integers(looks, size=q + n)],
        has_face=np.concatenate([np.ones(q, bool), rng.random(n) < 0.5]),
        bodies=[bodies[0][worn]],
    )
    options = {"face_rerank": face_rerank, "body_rerank": body_rerank}
    assert fuse(movie, Settings(**options)) == plain(reference, movie, **options)  # type: ignore[arg-type]

    both = replace(movie, bodies=[part[worn] for part in bodies])
    joined = np.concatenate([reference.unit(part[worn]) for part in bodies], axis=1).astype(np.float32)
    expected = plain(reference, replace(movie, bodies=[joined]), **options)
    assert fuse(both, Settings(**options)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("thresholds", [0.5, "0.5", [None], [[0.5]]])
def test_thresholds_are_a_list_of_numbers(thresholds: object) -> None:
    with pytest.raises(RankingError, match="expected at least one number, all finite"):
        Settings(thresholds=thresholds)  # type: ignore[arg-type]


def test_whatever_is_an_array_will_do(make_movie: MakeMovie) -> None:
    movie = make_movie(17, 2, 60)
    ranking = fuse(movie, Settings(np.array([0.5, 0.3])))  # type: ignore[arg-type]
    assert movie.faces is not None
    other = replace(
        movie,
        faces=np.asfortranarray(movie.faces.astype(">f8")),
        has_face=movie.has_face.tolist(),
        bodies=[movie.bodies[0].tolist()],
    )
    assert fuse(other, Settings((0.5, 0.3))) == ranking


@pytest.mark.parametrize("group", ["cast", "candidates"])
def test_ids_stand_once(make_movie: MakeMovie, group: str) -> None:
    movie = make_movie(18, 3, 9)
    ids = [*getattr(movie, group)[:-1], getattr(movie, group)[0]]
    with pytest.raises(RankingError, match=f"movie m: id {ids[0]} stands among its {group} twice"):
        replace(movie, **{group: ids})


def test_a_threshold_of_any_type_is_the_same_number() -> None:
    given = [Settings(thresholds=some).thresholds for some in ((0.4,), np.array([0.4]), [np.float64(0.4)])]
    assert given == [(0.4,)] * 3
    assert all(type(threshold) is float for some in given for threshold in some)


def test_frames_are_told_apart_by_any_name(make_movie: MakeMovie) -> None:
    """However long, and whatever it is: no array of words is made of them."""
    movie = make_movie(19, 2, 40)
    named = {name: (f"{'x' * 5000}{name}", name) for name in movie.frames}
    other = replace(movie, frames=[named[name] for name in movie.frames])  # type: ignore[misc]
    assert fuse(other) == fuse(movie)
