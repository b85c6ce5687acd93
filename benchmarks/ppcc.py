"""Search by portrait as its first paper did it: a reference beside the recipes, no part of the product.

Huang, Liu and Lin, "Person search in videos with one portrait through visual and temporal links", ECCV 2018: labels of
portraits spread over a graph by competitive consensus, progressively. Written anew from the paper.

What is the paper's: visual links, which are cosines of faces between portraits and pictures and of bodies among
pictures; the consensus, in which a picture takes of each person the one neighbour that says most, and a softmax makes
people compete; the progress, in which the surest are frozen after the first round, more after each further one, and
only the frozen speak. Rounds and temperature are those of its authors' code, which freezes half at first; a quarter is
3 to 5 mAP better on the new simulator, seeds for choosing, and stands here.

What is missing: temporal links. The paper's pictures come in tracks, and two tracks are as alike as their most alike
pictures; boxes here have no tracks, each is one of a single picture, and nothing is left to take the most of.

What is guessed: portraits keep their label throughout; a cosine below 0, a picture without a face, and a picture
towards itself make no link; several portraits of a person make the strongest of their links. The temperature goes with
the cosines of the authors' own networks; 0.02 and 0.05 are within 1 mAP of it here. Scores are those of the face and of
the consensus added up, as the authors rank. Nobody is nobody of the cast: strangers compete as if they were.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from castsearch.ranking import MovieFeatures, Ranked, unit_rows

STEPS = 5
FROZEN_FIRST = 0.25  # share of all pictures
TEMPERATURE = 0.03
SILENT = 0.001  # probability below which a picture does not speak for a person


def ranked(movie: MovieFeatures) -> Iterator[tuple[str, Ranked]]:
    """Rank the boxes of a movie with faces for each of its people; n x n cosines are held whole."""
    face = face_links(movie)
    score = face + consensus(face, body_links(movie))
    for person, row in zip(movie.people, score, strict=True):
        order = np.argsort(-row, kind="stable")
        yield person, Ranked(order, row[order].astype(np.float32), np.full(len(order), "consensus"))


def face_links(movie: MovieFeatures) -> np.ndarray:
    """(p, n) cosines of each person's most alike portrait."""
    if movie.faces is None:
        raise ValueError(f"movie {movie.name} has no faces")
    rows, q = unit_rows(movie.faces), len(movie.cast)
    cosines = np.stack([(rows[own] @ rows[q:].T).max(axis=0) for own in movie.telling_portraits])
    return np.where(movie.has_face[q:], np.maximum(cosines, 0), 0)


def body_links(movie: MovieFeatures) -> np.ndarray:
    """(n, n) cosines of the boxes' bodies, of several models their mean."""
    n = len(movie.candidates)
    rows = [unit_rows(some[-n:]) for some in movie.bodies]
    cosines = sum((some @ some.T for some in rows[1:]), rows[0] @ rows[0].T) / len(rows)
    np.fill_diagonal(cosines, 0)
    return np.maximum(cosines, 0)


def consensus(face: np.ndarray, body: np.ndarray) -> np.ndarray:
    """(p, n) probabilities of people, each box being somebody's.

    Args:
        face: (p, n) links to portraits.
        body: (n, n) links among boxes.
    """
    n = face.shape[1]
    believed = np.zeros_like(face)
    frozen = np.zeros(n, bool)
    for share in np.linspace(FROZEN_FIRST, 1, STEPS):
        free = np.flatnonzero(~frozen)
        said = face[:, free]
        for person, row in enumerate(believed):
            speaking = np.flatnonzero(frozen & (row >= SILENT))
            if len(speaking):
                heard = (body[np.ix_(free, speaking)] * row[speaking]).max(axis=1)
                said[person] = np.maximum(said[person], heard)
        weight = np.exp((said - said.max(axis=0)) / TEMPERATURE)
        believed[:, free] = weight / weight.sum(axis=0)
        surest = np.argsort(-believed.max(axis=0), kind="stable")
        frozen[surest[: int(np.ceil(share * n))]] = True
    return believed
