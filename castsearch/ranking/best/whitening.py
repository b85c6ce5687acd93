"""Bodies, so that what many boxes of a movie share tells less: its light, the size of the shots, uniforms."""

from __future__ import annotations

import numpy as np

from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.threads import Resources, slices, tile_rows
from castsearch.ranking.unit import F64, UnitRows, write_unit_rows

SPARE = 16  # directions beyond those that are asked for, and
ROUNDS = 4  # rounds of power iteration: so found directions are as good as exact ones
AT_ONCE = 8  # products of parts that are kept at a time: threads are done in any order, and added up in one


def whitened(bodies: UnitRows, recipe: Recipe, resources: Resources) -> UnitRows:
    """Rows whose leading directions are shortened, as unit rows again.

    Half of whitening by principal components (Jegou and Chum, "Negative evidences and co-occurences in image retrieval:
    the benefit of PCA and whitening", ECCV 2012): a direction is divided by a power of its variance, which is shrunk
    towards the mean of all (Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 2004). The directions beyond the leading ones count as equally long.
    """
    count = min(recipe.directions, bodies.width, len(bodies) - 1)
    if count < 1 or not recipe.whitening:
        return bodies
    directions, variance = _leading(bodies, count, resources)
    mean = 1 / bodies.width  # of all variances: rows are unit vectors
    rest = max(1 - variance.sum(), 0) / max(bodies.width - count, 1)
    shrunk = (1 - recipe.shrinkage) * np.append(variance, rest) + recipe.shrinkage * mean
    factor = (shrunk[:-1] / shrunk[-1]) ** (-recipe.whitening / 2) - 1
    out = np.empty_like(bodies.rows)

    def fill(some: slice) -> None:
        rows = bodies.rows[some].astype(np.float64)
        rows += (rows @ directions * factor) @ directions.T
        write_unit_rows(rows.astype(np.float32), out[some], "whitened bodies")

    resources.each(fill, slices(len(bodies), tile_rows(bodies.width)))
    return UnitRows(out, out)


def _leading(bodies: UnitRows, count: int, resources: Resources) -> tuple[F64, F64]:
    """(d, count) leading principal directions, and (count,) the variances along them, about the origin.

    By power iteration of a random subspace (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM
    Review 2011, algorithm 4.4), the same one each time.
    """
    parts = slices(len(bodies), tile_rows(bodies.width))
    subspace = np.random.default_rng(0).normal(size=(bodies.width, min(count + SPARE, bodies.width)))

    def scattered(basis: F64) -> F64:
        total, products = np.zeros_like(basis), np.empty((min(AT_ONCE, len(parts)), *basis.shape))

        def fill(place: int) -> None:
            rows = bodies.rows[parts[place]].astype(np.float64)
            products[place % AT_ONCE] = rows.T @ (rows @ basis)

        for some in slices(len(parts), AT_ONCE):
            resources.each(fill, range(some.start, some.stop))
            total += products[: some.stop - some.start].sum(axis=0)
        return total / len(bodies)

    for _ in range(ROUNDS):
        subspace = np.linalg.qr(scattered(np.linalg.qr(subspace)[0]))[0]
    variance, rotation = np.linalg.eigh(subspace.T @ scattered(subspace))
    return (subspace @ rotation)[:, ::-1][:, :count], np.maximum(variance[::-1][:count], 0)
