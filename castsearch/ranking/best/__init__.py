"""A better ranking than the original's: probabilities from faces, bodies, time and frames.

1. Faces: the cosine with a person's template is evidence for the person (``faces``).
2. People: evidence becomes probabilities of each person and of nobody of the cast; nobody is in a frame twice
   (``people``). Surely found faces join the template, and so on for some rounds.
3. Links: boxes with like bodies, near in time, with like faces speak for each other (``links``).
4. Votes: what is believed of a box passes on along the links (``votes``), and is evidence beside the face at last.
5. What somebody decided about boxes is certain all the while: confirmed faces are templates, and all decisions spread.
6. The list is ranked by the log odds of the person against everybody else.

>>> import numpy as np
>>> from castsearch.ranking import MovieFeatures, Settings, rank
>>> rng = np.random.default_rng(0)
>>> people = rng.normal(size=(2, 64))
>>> who = np.array([0, 1, 0, 1, 1])
>>> movie = MovieFeatures(
...     name="tt0107290",
...     cast=["grant", "sattler"],
...     candidates=["box0", "box1", "box2", "box3", "box4"],
...     frames=["shot1", "shot1", "shot2", "shot3", "shot4"],
...     faces=np.float32([*people, *(people[who] + 0.3 * rng.normal(size=(5, 64)))]),
...     has_face=np.array([True] * 7),
...     bodies=[rng.normal(size=(5, 8)).astype(np.float32)],
... )
>>> for person, ranked in rank(movie, Settings(recipe="best")):
...     print(person, ranked.order.tolist(), ranked.probability.round(2).tolist(), ranked.found_by[0])
grant [0, 2, 3, 4, 1] [1.0, 1.0, 0.0, 0.0, 0.0] face
sattler [1, 4, 3, 2, 0] [1.0, 1.0, 1.0, 0.0, 0.0] face
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from castsearch.ranking.best.faces import Templates, evidence, presence
from castsearch.ranking.best.links import Boxes, linked
from castsearch.ranking.best.people import CERTAIN, Frames, Posterior, logistic, posterior
from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.best.votes import Votes, fitted
from castsearch.ranking.best.whitening import whitened
from castsearch.ranking.errors import RankingError
from castsearch.ranking.impostors import Impostors, estimated
from castsearch.ranking.movie import MovieFeatures
from castsearch.ranking.propagation import best_first
from castsearch.ranking.ranked import CONFIRMED, REJECTED, Ranked
from castsearch.ranking.settings import Settings
from castsearch.ranking.threads import THREAD_MEMORY, Resources, single_blas
from castsearch.ranking.unit import F64, UnitRows, side_by_side

__all__ = ["Recipe", "needed_memory", "rank"]

EVIDENCE = ("face", "body", "time", "frame")
REST, LEAST = "rest", 0.01  # what no evidence speaks for: none has as much log odds
ABSENT = 0.5  # who is less probably in the movie is taken to be absent: no box is then above it
DEFAULT = Recipe()
BOX_BYTES = 5000  # of a box: shortlist, links and votes
WIDTH_BYTES = 10_000  # of a number of a body: products with the leading directions
CELL_BYTES = 144  # of a person and a box: what is believed, and the evidence for it


def needed_memory(movie: MovieFeatures, settings: Settings) -> int:
    """Bytes that ranking the movie takes at least, beyond its features; an estimate from the sizes of the arrays."""
    q, n = len(movie.cast), len(movie.candidates)
    faces = 0 if movie.faces is None else 4 * movie.faces.shape[1]
    bodies = sum(4 * some.shape[1] for some in movie.bodies)
    threads = Resources.within(settings.memory).threads
    # Bodies as unit rows, and whitened ones; sums of faces, cut into parts.
    rows = (q + n) * (faces + BOX_BYTES) + 2 * n * bodies + 16 * q * faces
    return rows + WIDTH_BYTES * bodies // 4 + CELL_BYTES * q * n + THREAD_MEMORY * threads


def rank(movie: MovieFeatures, settings: Settings, resources: Resources, recipe: Recipe = DEFAULT) -> Iterator[Ranked]:
    """Rank the candidates of a movie, which has some, for each of its people.

    Raises:
        RankingError: the movie has no features of faces.
    """
    if movie.faces is None:
        raise RankingError(f"movie {movie.name} has no features of faces, by which the recipe 'best' ranks")
    with single_blas():
        log_odds, parts, present = believe(movie, recipe, resources)
    for person, score in enumerate(log_odds.astype(np.float32)):
        order = best_first(score)
        shares = {name: part[person, order].astype(np.float32) for name, part in zip(EVIDENCE, parts, strict=True)}
        every = np.stack([np.full(len(order), LEAST), *shares.values()])
        probability = logistic(log_odds[person, order])
        if present[person] < ABSENT:
            probability *= present[person]
        found_by = np.array([REST, *EVIDENCE, CONFIRMED, REJECTED])[every.argmax(axis=0)]
        if movie.decided is not None:
            said = movie.decided.said[person, order]
            found_by[said > 0], found_by[said < 0] = CONFIRMED, REJECTED
        yield Ranked(order, score[order], found_by, probability.astype(np.float32), shares)


class Belief(NamedTuple):
    """What a movie tells.

    Attributes:
        log_odds: (p, n) of each person in each box against everybody else.
        parts: the evidence of each kind, (p, n).
        present: (p,) probability that a person is in the movie at all.
    """

    log_odds: F64
    parts: tuple[F64, F64, F64, F64]
    present: F64


def believe(movie: MovieFeatures, recipe: Recipe, resources: Resources) -> Belief:
    """Steps 1 to 4."""
    assert movie.faces is not None
    n = len(movie.candidates)
    has_face, frames = movie.has_face[-n:], Frames(movie.frame_numbers)
    faces = UnitRows(movie.faces)
    said = np.zeros((len(movie.people), n), np.int8) if movie.decided is None else movie.decided.said
    certain = CERTAIN * np.where(said < 0, -2.0, said)  # rejected ones stand behind those confirmed for somebody else
    templates = Templates(faces, movie.templates, has_face, recipe)
    portrait_cosines = templates.cosines()
    impostors = movie.impostors or estimated(portrait_cosines)

    def by_face(cosines: F64) -> F64:
        found = np.zeros((len(cosines), n))
        found[:, has_face] = evidence(cosines, impostors, recipe)
        return found

    def weighed(found: F64) -> Posterior:
        return posterior(found + certain, recipe.others, frames, recipe.frame_sweeps)

    face = by_face(portrait_cosines)
    believed = weighed(face)
    for _ in range(recipe.template_rounds):
        face = by_face(templates.cosines(believed.probability))
        believed = weighed(face)
    body = time = np.zeros_like(face)
    if recipe.vote_power:
        seen = has_face | (said > 0)
        sure = [np.flatnonzero(row) for row in (believed.probability >= recipe.sure) & seen]
        links = linked(_boxes(movie, faces, impostors, recipe, resources), recipe, resources)
        fit = fitted(links, believed.probability, sure, recipe, resources)
        votes, timeless = Votes(links, fit, recipe), Votes(links, fit, recipe, time=False)
        for _ in range(recipe.vote_rounds - 1):
            believed = weighed(face + votes.log_ratio(believed.probability, recipe.others, resources))
            if recipe.template_rounds:
                face = by_face(templates.cosines(believed.probability))
        vote = recipe.vote_power * votes.log_ratio(believed.probability, recipe.others, resources)
        body = recipe.vote_power * timeless.log_ratio(believed.probability, recipe.others, resources)
        time = vote - body
        believed = weighed(face + vote)
    log_odds = believed.log_odds(recipe.scale, recipe.shift)
    present = presence(impostors.standardised(portrait_cosines), log_odds, has_face, recipe)
    present[(said > 0).any(axis=1)] = 1
    return Belief(log_odds, (face, body, time, believed.frame_evidence), present)


def _boxes(movie: MovieFeatures, faces: UnitRows, impostors: Impostors, recipe: Recipe, resources: Resources) -> Boxes:
    n = len(movie.candidates)
    return Boxes(
        bodies=whitened(side_by_side([some[-n:] for some in movie.bodies]), recipe, resources),
        frames=movie.frame_numbers,
        shots=movie.shots if recipe.time_most else None,
        faces=UnitRows(faces.features[-n:], faces.rows[-n:]) if recipe.link_slope else None,
        has_face=movie.has_face[-n:],
        impostors=impostors,
    )
