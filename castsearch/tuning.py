"""A labelled split as a judge: how far to trust its face pack, and which recipe ranks its movies best.

Nothing is reported on what it was fitted to: a movie is ranked with the impostors of the other movies, and by the flags
that were best on the other movies.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from castsearch.errors import CastSearchError
from castsearch.metrics import average_precision, check_labels, cllr
from castsearch.ranking import MovieFeatures, Ranked, Settings, best, rank, unit_rows
from castsearch.ranking.best.faces import evidence
from castsearch.ranking.impostors import Impostors

F64 = npt.NDArray[np.float64]
PLAIN, BEST, BEST_FITTED, CHOSEN = "plain", "best", "best, impostors fitted", "best flag set"
FLAGS = {
    PLAIN: Settings(),
    "face k-reciprocal": Settings(face_rerank="k_reciprocal"),
    "face ECN": Settings(face_rerank="ecn"),
    "body k-reciprocal": Settings(body_rerank="k_reciprocal"),
    "body ECN": Settings(body_rerank="ecn"),
    "both k-reciprocal": Settings(face_rerank="k_reciprocal", body_rerank="k_reciprocal"),
    "both ECN": Settings(face_rerank="ecn", body_rerank="ecn"),
}
MIN_GENUINE, MIN_IMPOSTORS = 10, 30  # cosines; of 30 the spread is known to an eighth of it

Recipe = Callable[[MovieFeatures], Iterable[tuple[str, Ranked]]]


class TuningError(CastSearchError):
    """Labels that nothing can be learnt from."""


@dataclass(frozen=True)
class LabelledMovie:
    """A movie and who is in its boxes.

    Attributes:
        movie: its features.
        truth: (p, n) bool, for each of its people the boxes that show them.

    Raises:
        ValueError: ``truth`` has another shape.
    """

    movie: MovieFeatures
    truth: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        expected = len(self.movie.people), len(self.movie.candidates)
        if self.truth.shape != expected:
            raise ValueError(f"movie {self.movie.name}: truth must be {expected}, got {self.truth.shape}")

    @property
    def queries(self) -> list[str]:
        """People who are in some box; only they have an average precision."""
        return [person for person, true in zip(self.movie.people, self.truth, strict=True) if true.any()]

    def without_time(self) -> LabelledMovie:
        """The same, where the numbers of shots tell nothing."""
        return replace(self, movie=replace(self.movie, shots=None))

    def average_precisions(self, recipe: Recipe) -> F64:
        """(queries,) what a recipe reaches for each of ``queries``."""
        ranked = dict(recipe(self.movie))
        rows = zip(self.movie.people, self.truth, strict=True)
        return np.array([average_precision(true[ranked[person].order]) for person, true in rows if true.any()])


def label_movies(movies: Iterable[MovieFeatures], labels: Mapping[str, Sequence[str]]) -> list[LabelledMovie]:
    """The movies that have labels, with them.

    Args:
        movies: of one split.
        labels: true candidates of each cast; those of a person's several portraits count together.

    Raises:
        EvaluationError: labels and movies have nothing in common.
    """
    movies = list(movies)
    check_labels(
        labels,
        {cast for movie in movies for cast in movie.cast},
        {candidate for movie in movies for candidate in movie.candidates},
        "split",
    )
    labelled = [LabelledMovie(movie, _truth(movie, labels)) for movie in movies]
    return [movie for movie in labelled if movie.truth.any()]


def _truth(movie: MovieFeatures, labels: Mapping[str, Sequence[str]]) -> npt.NDArray[np.bool_]:
    names = movie.cast if movie.persons is None else movie.persons
    true: dict[str, set[str]] = {}
    for cast, name in zip(movie.cast, names, strict=True):
        true.setdefault(name, set()).update(labels.get(cast, ()))
    return np.array([[box in boxes for box in movie.candidates] for boxes in true.values()], dtype=bool).reshape(
        len(true), len(movie.candidates)
    )


# ---------------------------------------------------------------------------- impostors

DIGITS = 3  # to which cosines are rounded where a fit looks at them again and again
MEANS, SDS = (-0.9, 0.9), (0.005, 1.0)  # limits of what is fitted
GRID = np.linspace(-2, 2, 17)  # deviations of the mean, powers of e of the deviation


@dataclass(frozen=True)
class Pairs:
    """Cosines of the portraits of a movie and its faces.

    Attributes:
        genuine: (k,) of a portrait and a face of the same person.
        impostor: (m,) of a portrait and the face of somebody else, of the cast or not.
        people: whose portraits and faces the genuine ones are.
    """

    genuine: F64
    impostor: F64
    people: int


@dataclass(frozen=True)
class Fit:
    """What a labelled split teaches about a face pack.

    Attributes:
        impostors: those with which the evidence of faces is best calibrated; what to rank other movies with.
        cllr: what that evidence costs with them, see ``castsearch.metrics.cllr``.
        themselves: mean and deviation of the impostors' cosines.
        cllr_of_themselves: what the evidence would cost with these.
        genuine, impostor: how many pairs.
        people: whose the genuine ones are.
    """

    impostors: Impostors
    cllr: float
    themselves: Impostors
    cllr_of_themselves: float
    genuine: int
    impostor: int
    people: int


def face_pairs(labelled: LabelledMovie) -> Pairs:
    """All pairs of a portrait and a face, wherever both are seen.

    People without labels are left out: a box of theirs may be anywhere.

    Raises:
        TuningError: the movie has no faces.
    """
    movie = labelled.movie
    if movie.faces is None:
        raise TuningError(f"movie {movie.name}: it has no face features, and impostors are fitted to faces")
    q = len(movie.cast)
    rows = unit_rows(movie.faces).astype(np.float64)
    genuine, impostor = [np.zeros(0)], [np.zeros(0)]
    for own, true in zip(movie.telling_portraits, labelled.truth, strict=True):
        if true.any():
            portraits = rows[own[movie.has_face[own]]]
            for cosines, boxes in ((genuine, true), (impostor, ~true)):
                cosines.append((portraits @ rows[q:][movie.has_face[q:] & boxes].T).ravel())
    return Pairs(np.concatenate(genuine), np.concatenate(impostor), sum(len(some) > 0 for some in genuine))


def fit(pairs: Sequence[Pairs], recipe: best.Recipe = best.DEFAULT) -> Fit:
    """The impostors with which the evidence of faces costs the least Cllr, movies counting alike.

    The mean and deviation of the impostors themselves tell nothing of how alike the faces of one person are. Where
    these lie far off, many choices cost nearly the same, and a few people can make any of them the least: the choice is
    drawn to the impostors themselves as if one person had been seen for whom they are right, give or take a deviation
    in the mean and a factor of e in the deviation. The least of a grid is where a simplex search starts.

    Args:
        pairs: what ``face_pairs`` gave for each movie.
        recipe: what turns cosines into evidence.

    Raises:
        TuningError: there are too few.
    """
    counts = [sum(len(some.genuine) for some in pairs), sum(len(some.impostor) for some in pairs)]
    least = ((MIN_GENUINE, "its person's"), (MIN_IMPOSTORS, "somebody else's"))
    for count, (enough, whose) in zip(counts, least, strict=True):
        if count < enough:
            raise TuningError(
                f"{count} pairs of a portrait and {whose} face, where {enough} are the least that anything can be read "
                "from; label more boxes or another movie"
            )
    genuine, genuine_weight = _counted([some.genuine for some in pairs])
    impostor, impostor_weight = _counted([some.impostor for some in pairs])
    mean = float(np.average(impostor, weights=impostor_weight))
    sd = max(float(np.sqrt(np.average(np.square(impostor - mean), weights=impostor_weight))), 10.0**-DIGITS)
    themselves, people = Impostors(mean, sd), sum(some.people for some in pairs)

    def cost(impostors: Impostors) -> float:
        of_genuine, of_impostors = (evidence(cosines, impostors, recipe) for cosines in (genuine, impostor))
        return cllr(of_genuine, of_impostors, genuine_weight, impostor_weight)

    def of(point: F64) -> Impostors:
        means, log_sds = point.tolist()  # beside those of the impostors themselves
        return Impostors(float(np.clip(mean + sd * means, *MEANS)), float(np.clip(sd * np.exp(log_sds), *SDS)))

    def drawn(point: F64) -> float:
        return cost(of(point)) + float(np.square(point).sum()) / (2 * np.log(2) * people)

    start = min(map(np.array, itertools.product(GRID, GRID)), key=drawn)
    found = of(minimize(drawn, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7}).x)
    return Fit(found, cost(found), themselves, cost(themselves), counts[0], counts[1], people)


def _counted(cosines: Sequence[F64]) -> tuple[F64, F64]:
    """Rounded cosines of several movies, each once, and what each counts for; every movie counts 1."""
    rows = [some for some in cosines if len(some)]
    weight = np.concatenate([np.zeros(0), *(np.full(len(some), 1 / len(some)) for some in rows)])
    rounded = np.round(np.concatenate([np.zeros(0), *rows]), DIGITS)
    values, place = np.unique(rounded, return_inverse=True)
    return values, np.bincount(place, weight, len(values)).astype(np.float64)


# ---------------------------------------------------------------------------- comparison


@dataclass(frozen=True)
class Comparison:
    """Average precisions of each recipe, of movies that had no part in what was fitted or chosen for them.

    Attributes:
        movies: the movie of each of the m queries.
        ap: by recipe, (m,) average precisions. ``CHOSEN`` takes for each movie the flags in ``chosen``.
        chosen: for each movie the flags whose mAP was highest on the other movies.
        impostors: for each movie those that were fitted on the other movies.
    """

    movies: list[str]
    ap: dict[str, F64]
    chosen: dict[str, str]
    impostors: dict[str, Impostors]


def compare(
    labelled: Sequence[LabelledMovie],
    progress: Callable[[Iterable[LabelledMovie]], Iterable[LabelledMovie]] = iter,
) -> Comparison:
    """Rank every movie by every recipe, leaving it out of what is fitted and chosen for it.

    Args:
        labelled: at least two.
        progress: passes the movies on.

    Raises:
        TuningError: there are not two movies, or too few faces in all movies but one.
    """
    if len(labelled) < 2:
        raise TuningError(
            f"{len(labelled)} labelled movie{'s' * (len(labelled) != 1)}: with nothing left out to report on, only "
            "impostors can be fitted; label another movie"
        )
    pairs = [face_pairs(movie) for movie in labelled]
    impostors = {}
    for index, movie in enumerate(labelled):
        try:
            impostors[movie.movie.name] = fit(pairs[:index] + pairs[index + 1 :]).impostors
        except TuningError as error:
            raise TuningError(f"without movie {movie.movie.name} there are {error}") from None
    rows: list[dict[str, F64]] = []
    for one in progress(labelled):
        fitted = replace(one, movie=replace(one.movie, impostors=impostors[one.movie.name]))
        of_one = {name: one.average_precisions(by(settings)) for name, settings in FLAGS.items()}
        of_one[BEST] = one.average_precisions(by(Settings(recipe="best")))
        of_one[BEST_FITTED] = fitted.average_precisions(by(Settings(recipe="best")))
        rows.append(of_one)
    names = [one.movie.name for one in labelled]
    chosen = dict(zip(names, choose_without(rows, list(FLAGS)), strict=True))
    for name, row in zip(names, rows, strict=True):
        row[CHOSEN] = row[chosen[name]]
    movies = [name for name, row in zip(names, rows, strict=True) for _ in row[PLAIN]]
    return Comparison(
        movies, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, chosen, impostors
    )


def choose_without(rows: Sequence[Mapping[str, F64]], names: Sequence[str]) -> list[str]:
    """For each movie the recipe whose mAP is highest on all others; of equals, the first.

    Args:
        rows: for each movie, by recipe, the average precisions of its queries.
        names: the recipes to choose among.
    """
    sums = np.array([[row[name].sum() for name in names] for row in rows])
    # Each of the others' queries counts once, so that their number is the same for all recipes.
    return [names[int(np.argmax(np.round(sums.sum(axis=0) - own, 9)))] for own in sums]


def by(settings: Settings) -> Recipe:
    """The recipe of some settings."""
    return lambda movie: rank(movie, settings)
