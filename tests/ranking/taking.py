"""Movies with some of their candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from castsearch.ranking import MovieFeatures


def take(movie: MovieFeatures, order: np.ndarray) -> MovieFeatures:
    """The movie with its candidates in another order, or with some of them; nothing is decided about it."""
    q = len(movie.cast)
    rows = np.concatenate([np.arange(q), q + order])
    assert movie.faces is not None
    return replace(
        movie,
        candidates=[movie.candidates[i] for i in order],
        frames=[movie.frames[i] for i in order],
        faces=movie.faces[rows],
        has_face=movie.has_face[rows],
        bodies=[some[order] for some in movie.bodies],
        shots=None if movie.shots is None else movie.shots[order],
        decided=None,
    )
