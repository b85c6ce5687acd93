"""The compiled loops against their twins in NumPy, equal bit for bit; and what they refuse to be handed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from castsearch.ranking.unit import _kernel, unit_rows

I32, F32, F64 = np.int32, np.float32, np.float64
SIZES = [(1, 1), (7, 4), (60, 9), (300, 21)]


def random_csr(rng: np.random.Generator, shape: tuple[int, int], bits: int = 20) -> sparse.csr_array:
    weights = rng.integers(0, 1 << bits, size=shape) / float(1 << bits) * (rng.random(shape) < 0.2)
    return sparse.csr_array(weights)


# ---------------------------------------------------------------------------- side by side


@pytest.mark.parametrize("width", [1, 7, 8, 100])
def test_pair_dots(width: int) -> None:
    rng = np.random.default_rng(width)
    a, b = (unit_rows(rng.normal(size=(n, width))) for n in (20, 30))
    rows, columns = rng.integers(20, size=200).astype(I32), rng.integers(30, size=200).astype(I32)
    expected = (a.astype(F64) @ b.astype(F64).T)[rows, columns]
    np.testing.assert_array_equal(_kernel.pair_dots(a, rows, b, columns), expected)


def test_pair_dots_are_alike_wherever_the_rows_stand() -> None:
    """Of any features: the order of summation is fixed."""
    features = np.random.default_rng(0).normal(size=(40, 203)).astype(F32)
    some, others = (np.random.default_rng(i).integers(40, size=500).astype(I32) for i in (1, 2))
    dots = _kernel.pair_dots(features, some, features, others)
    order = np.random.default_rng(3).permutation(40)
    place = np.argsort(order).astype(I32)
    shuffled = np.ascontiguousarray(features[order])
    np.testing.assert_array_equal(_kernel.pair_dots(shuffled, place[some], shuffled, place[others]), dots)
    np.testing.assert_array_equal(_kernel.pair_dots(features, others, features, some), dots)


def test_no_pair_and_no_width() -> None:
    none = np.zeros(0, I32)
    assert _kernel.pair_dots(np.ones((2, 3), F32), none, np.ones((2, 3), F32), none).shape == (0,)
    assert not _kernel.pair_dots(np.ones((2, 0), F32), np.zeros(4, I32), np.ones((1, 0), F32), np.zeros(4, I32)).any()


def test_weighted_sums() -> None:
    rng = np.random.default_rng(0)
    features, index = rng.normal(size=(40, 13)).astype(F32), rng.integers(40, size=(50, 9)).astype(I32)
    weight = rng.random((50, 9))
    expected = sum(weight[:, j, None] * features[index[:, j]].astype(F64) for j in range(9))
    np.testing.assert_array_equal(_kernel.weighted_sums(features, index, weight), expected)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("n_rows", "n"), [(1, 1), (5, 31), (40, 33), (70, 1000)])
@pytest.mark.parametrize("k", [1, 9])
def test_shortlist_holds_the_largest_and_all_within_the_margin(n_rows: int, n: int, k: int, transposed: bool) -> None:
    products = np.random.default_rng(n).normal(size=(n_rows, n)).astype(F32)
    shortlist = _kernel.Shortlist(n_rows, k, 0.01)
    for first in range(0, n, 37):
        block = np.ascontiguousarray(products[:, first : first + 37])
        if transposed:
            shortlist.scan_transposed(np.ascontiguousarray(block.T), 0, first)
        else:
            shortlist.scan(block, 0, first)
    columns, crowded = shortlist.columns(0, n_rows)
    assert not crowded.any()
    limits = -np.sort(-products, axis=1)[:, min(k, n) - 1] - F32(0.01)
    for row, limit, listed in zip(products, limits, columns, strict=True):
        expected = np.flatnonzero(row >= limit) if n >= k else np.arange(n)
        np.testing.assert_array_equal(listed[listed >= 0], expected)
        np.testing.assert_array_equal(listed[len(expected) :], -1)


def test_shortlist_says_which_rows_are_crowded() -> None:
    products = np.random.default_rng(0).normal(size=(3, 500)).astype(F32)
    products[1] = 1
    shortlist = _kernel.Shortlist(3, 2, 0.0)
    shortlist.scan(products, 0, 0)
    columns, crowded = shortlist.columns(0, 3)
    np.testing.assert_array_equal(crowded, [False, True, False])
    assert (columns[1] == -1).all()
    assert columns.shape == (3, 2)


@pytest.mark.parametrize(("n", "q"), [(1, 1), (60, 9), (300, 21)])
def test_mix_jaccard(n: int, q: int) -> None:
    rng = np.random.default_rng(n)
    queries, gallery = random_csr(rng, (q, n)), random_csr(rng, (n // 2 + 1, n))
    dist = rng.random((q, n // 2 + 1)).astype(F32)
    shared = np.minimum(queries.toarray()[:, None], gallery.toarray()).sum(axis=2)
    expected = (1 - 0.3) * (1 - shared / (2 - shared)) + 0.3 * dist.astype(F64)
    by_column = gallery.tocsc()
    encodings = [queries.indptr, queries.indices, queries.data, by_column.indptr, by_column.indices, by_column.data]
    _kernel.mix_jaccard(*encodings, 0.3, dist)
    np.testing.assert_array_equal(dist, expected.astype(F32))


def test_fixed_dist() -> None:
    rng = np.random.default_rng(0)
    a, b = (unit_rows(rng.normal(size=(n, 11))).astype(F64) for n in (20, 30))
    b[7] = a[3]
    squares = [(some**2).sum(axis=1) for some in (a, b)]
    dist = _kernel.fixed_dist(a @ b.T, *squares, 2.0**22)
    products = a @ b.T
    expected = np.sqrt((squares[0][:, None] - products) + (squares[1] - products)) * 2.0**22
    np.testing.assert_array_equal(dist, np.floor(expected + 0.5))
    assert dist[3, 7] == 0
    # Rounding may leave a negative square behind.
    assert _kernel.fixed_dist(np.array([[1.0]]), np.array([1 - 1e-16]), np.array([1 - 1e-16]), 8.0)[0, 0] == 0


def test_add_products() -> None:
    rng = np.random.default_rng(1)
    counts = sparse.csr_array(rng.integers(0, 4, size=(6, 9)).astype(I32))
    tile = rng.integers(0, 1 << 20, size=(9, 37)).astype(I32)
    total = np.ones((6, 50), I32)
    _kernel.add_products(counts.indptr, counts.indices, counts.data, tile, total, 5)
    expected = np.ones((6, 50), I32)
    expected[:, 5:42] += counts.toarray() @ tile
    np.testing.assert_array_equal(total, expected)


# ---------------------------------------------------------------------------- what is refused


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, F32)


def doubles(*shape: int) -> np.ndarray:
    return np.ones(shape)


def ints(*values: int) -> np.ndarray:
    return np.array(values, I32)


def jaccard(**change: object) -> None:
    good = {
        "start": ints(0, 1, 2),
        "column": ints(0, 2),
        "weight": doubles(2),
        "by_column": ints(0, 1, 1, 2),
        "position": ints(0, 1),
        "gallery_weight": doubles(2),
        "lam": 0.3,
        "dist": floats(2, 2),
    }
    _kernel.mix_jaccard(*(good | change).values())


def add(**change: object) -> None:
    good = {"start": ints(0, 1, 2), "column": ints(0, 2), "weight": ints(1, 1), "tile": np.ones((3, 4), I32)}
    good |= {"total": np.ones((2, 9), I32), "first": 5}
    _kernel.add_products(*(good | change).values())


SHORTLIST = _kernel.Shortlist(4, 2, 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: _kernel.pair_dots(floats(2, 3), ints(0), floats(2, 4), ints(0)),
        lambda: _kernel.pair_dots(floats(2, 3), ints(0, 1), floats(2, 3), ints(0)),
        lambda: _kernel.pair_dots(floats(2, 3), ints(2), floats(3, 3), ints(0)),
        lambda: _kernel.pair_dots(floats(2, 3), ints(0), floats(2, 3), ints(-1)),
        lambda: _kernel.pair_dots(doubles(2, 3), ints(0), floats(2, 3), ints(0)),
        lambda: _kernel.pair_dots(floats(3, 2).T, ints(0), floats(2, 3), ints(0)),
        lambda: _kernel.pair_dots(floats(2, 3), np.zeros(1, np.int64), floats(2, 3), ints(0)),
        lambda: _kernel.weighted_sums(floats(2, 3), np.full((1, 2), 2, I32), doubles(1, 2)),
        lambda: _kernel.weighted_sums(floats(2, 3), np.full((1, 2), -1, I32), doubles(1, 2)),
        lambda: _kernel.weighted_sums(floats(2, 3), np.zeros((1, 2), I32), doubles(1, 3)),
        lambda: _kernel.weighted_sums(floats(2, 3), np.zeros((1, 2), I32), doubles(2, 2)),
        lambda: _kernel.Shortlist(-1, 1, 0.0),
        lambda: _kernel.Shortlist(4, 0, 0.0),
        lambda: _kernel.Shortlist(4, 1, -1.0),
        lambda: _kernel.Shortlist(4, 1, np.nan),
        lambda: SHORTLIST.scan(floats(5, 2), 0, 0),
        lambda: SHORTLIST.scan(floats(2, 2), 3, 0),
        lambda: SHORTLIST.scan(floats(2, 2), -1, 0),
        lambda: SHORTLIST.scan(floats(2, 2), 0, -1),
        lambda: SHORTLIST.scan_transposed(floats(2, 5), 0, 0),
        lambda: SHORTLIST.scan_transposed(floats(2, 2), 3, 0),
        lambda: SHORTLIST.scan_transposed(floats(2, 2), -1, 0),
        lambda: SHORTLIST.scan_transposed(floats(2, 2), 0, -1),
        lambda: SHORTLIST.columns(0, 5),
        lambda: SHORTLIST.columns(-1, 2),
        lambda: SHORTLIST.columns(3, 2),
        lambda: jaccard(start=ints(0, 2)),
        lambda: jaccard(start=ints(1, 1, 2)),
        lambda: jaccard(start=ints(0, 1, 3)),
        lambda: jaccard(start=ints(0, 3, 2)),
        lambda: jaccard(column=ints(0, 3)),
        lambda: jaccard(column=ints(0, -1)),
        lambda: jaccard(weight=doubles(1)),
        lambda: jaccard(by_column=ints(0, 1, 1, 3)),
        lambda: jaccard(by_column=np.zeros(0, I32), column=np.zeros(0, I32), start=ints(0, 0, 0), weight=doubles(0)),
        lambda: jaccard(position=ints(0, 2)),
        lambda: jaccard(gallery_weight=doubles(3)),
        lambda: jaccard(dist=floats(3, 2)),
        lambda: jaccard(dist=floats(4, 2)[::2]),
        lambda: add(start=ints(0, 2)),
        lambda: add(column=ints(0, 3)),
        lambda: add(weight=ints(1)),
        lambda: add(first=6),
        lambda: add(first=-1),
        lambda: add(total=np.ones((2, 3), I32), first=0),
        lambda: _kernel.fixed_dist(doubles(2, 3), doubles(3), doubles(3), 1.0),
        lambda: _kernel.fixed_dist(doubles(2, 3), doubles(2), doubles(2), 1.0),
        lambda: _kernel.fixed_dist(doubles(2, 3), doubles(2), doubles(3), 0.0),
        lambda: _kernel.fixed_dist(doubles(2, 3), doubles(2), doubles(3), 2.0**30),
    ],
)
def test_what_does_not_fit_is_refused_before_a_pointer_moves(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"kernel was handed|Buffer|ndarray is not|buffer"):
        call()


def test_what_fits_is_taken() -> None:
    jaccard()
    add()


def test_a_shortlist_is_made_once_and_whole() -> None:
    with pytest.raises(TypeError):
        _kernel.Shortlist.__new__(_kernel.Shortlist)
    shortlist = _kernel.Shortlist(4, 2, 0.0)
    with pytest.raises((TypeError, ValueError, MemoryError)):
        shortlist.__init__(2, 2**58, 0.0)
        raise TypeError  # object's own __init__ may take what __cinit__ took, and does nothing
    shortlist.scan(np.random.default_rng(0).random((4, 500)).astype(F32), 0, 0)
    assert shortlist.columns(0, 4)[0].shape == (4, 2)
