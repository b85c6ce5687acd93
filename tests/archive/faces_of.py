"""Films of simulated people, each seen in several films and several tracks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from castsearch.archive import Embedder, FilmFaces

WIDTH = 48
EMBEDDER = Embedder("dlib", ("0123",))


def unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Rows of unit length."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(count: int = 60) -> npt.NDArray[np.float64]:
    """(count, WIDTH), what each looks like; some numbers are larger than others, as embedders' are."""
    return np.random.default_rng(1).normal(size=(count, WIDTH)) * np.arange(1, WIDTH + 1) ** -0.3


def film(number: int, faces: int = 300, source: str = "/work") -> FilmFaces:
    """A film of ten people in tracks of five faces, one a second."""
    rng, who = np.random.default_rng(number), people()
    cast = rng.choice(len(who), 10, replace=False)[rng.integers(0, 10, faces // 5).repeat(5)]
    return FilmFaces(
        name=f"film{number:03d}",
        source=source,
        features=unit(who[cast] + 0.2 * rng.normal(size=(faces, WIDTH))),
        seconds=np.arange(faces, dtype=np.float64),
        boxes=rng.integers(0, 500, (faces, 4)).astype(np.float32),
        tracks=np.arange(faces) // 5,
        frames=tuple(f"shot{row // 50:04d}img{row % 50}" for row in range(faces)),
    )


def films(count: int = 8) -> Iterator[FilmFaces]:
    """Several."""
    return map(film, range(count))
