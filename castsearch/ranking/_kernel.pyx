# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: language = c++
"""What NumPy, SciPy and BLAS have no fast word for: sifting products, dots of chosen pairs, sums over sparse rows.

Every function checks what it is handed (dtype and contiguity by its signature, shapes and index ranges by hand) before
a pointer moves, raises ValueError otherwise, and works without the interpreter's lock: threads share a job by calling a
function with rows of their own. Sums are in one fixed order, or over numbers on a grid that float64 or int32 holds
exactly (see ``unit.py``), so that nothing depends on blocks and threads.
"""

import numpy as np

from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int32_t, uint8_t

cdef extern from *:
    """
    #include <algorithm>
    #include <cstdint>
    #if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
    #define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
    #else
    #define WIDE
    #endif
    #define CHUNK 32

    struct Entry { float value; int32_t index; };

    /* Eight sums at once let the compiler use vector registers; in which order is the same for all rows. */
    WIDE static double ordered_dot(const float *a, const float *b, Py_ssize_t d)
    {
        double s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        Py_ssize_t k = 0;
        for (; k + 8 <= d; k += 8)
            for (int j = 0; j < 8; j++)
                s[j] += (double)a[k + j] * (double)b[k + j];
        for (; k < d; k++)
            s[0] += (double)a[k] * (double)b[k];
        return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }

    /* Whether any of CHUNK values lies above its limit, or above the one limit of all. */
    WIDE static int any_above(const float *values, const float *limits)
    {
        int found = 0;
        for (int j = 0; j < CHUNK; j++) found |= values[j] > limits[j];
        return found;
    }
    WIDE static int any_above_one(const float *values, float limit)
    {
        int found = 0;
        for (int j = 0; j < CHUNK; j++) found |= values[j] > limit;
        return found;
    }

    /* total += weight * row */
    WIDE static void add_scaled(int32_t *total, const int32_t *row, int32_t weight, Py_ssize_t n)
    {
        for (Py_ssize_t j = 0; j < n; j++) total[j] += weight * row[j];
    }

    static bool larger(const Entry &a, const Entry &b) { return a.value > b.value; }
    static bool earlier(const Entry &a, const Entry &b) { return a.index < b.index; }

    /* Of `count` entries keep the k largest and those within `margin` of the smallest of these; how many, and that limit. */
    static Py_ssize_t prune(Entry *entries, Py_ssize_t count, Py_ssize_t k, float margin, float *limit)
    {
        if (count < k) return count;
        std::nth_element(entries, entries + k - 1, entries + count, larger);
        const float least = *limit = entries[k - 1].value - margin;
        return std::partition(entries + k, entries + count, [least](const Entry &e) { return e.value >= least; }) - entries;
    }
    static void by_index(Entry *entries, Py_ssize_t count) { std::sort(entries, entries + count, earlier); }
    """
    enum: CHUNK
    ctypedef struct Entry:
        float value
        int32_t index
    double ordered_dot(const float *a, const float *b, Py_ssize_t d) noexcept nogil
    int any_above(const float *values, const float *limits) noexcept nogil
    int any_above_one(const float *values, float limit) noexcept nogil
    void add_scaled(int32_t *total, const int32_t *row, int32_t weight, Py_ssize_t n) noexcept nogil
    Py_ssize_t prune(Entry *entries, Py_ssize_t count, Py_ssize_t k, float margin, float *limit) noexcept nogil
    void by_index(Entry *entries, Py_ssize_t count) noexcept nogil


cdef int require(bint holds, str what) except -1:
    if not holds:
        raise ValueError(f"the ranking's kernel was handed {what}")
    return 0


cdef int require_within(const int32_t[::1] index, Py_ssize_t n, str what) except -1:
    cdef Py_ssize_t i
    cdef bint fits = True
    with nogil:
        for i in range(index.shape[0]):
            fits &= 0 <= index[i] < n
    return require(fits, what)


cdef int require_csr(const int32_t[::1] start, const int32_t[::1] column, Py_ssize_t n_columns) except -1:
    cdef Py_ssize_t i
    require(start.shape[0] >= 1 and start[0] == 0 and start[start.shape[0] - 1] == column.shape[0], "CSR ends that do not fit")
    for i in range(start.shape[0] - 1):
        require(start[i] <= start[i + 1], "CSR rows that run backwards")
    return require_within(column, n_columns, "CSR columns out of range")


# ---------------------------------------------------------------------------- products


def pair_dots(const float[:, ::1] a, const int32_t[::1] a_row, const float[:, ::1] b, const int32_t[::1] b_row):
    """(P,) float64 products of row ``a_row[i]`` of (A, d) with row ``b_row[i]`` of (B, d), summed in one fixed order."""
    cdef Py_ssize_t i, d = a.shape[1]
    require(b.shape[1] == d and a_row.shape[0] == b_row.shape[0], "rows of two widths, or pairs without a partner")
    require_within(a_row, a.shape[0], "rows of a out of range")
    require_within(b_row, b.shape[0], "rows of b out of range")
    out = np.zeros(a_row.shape[0])
    cdef double[::1] dots = out
    if d:
        with nogil:
            for i in range(a_row.shape[0]):
                dots[i] = ordered_dot(&a[a_row[i], 0], &b[b_row[i], 0], d)
    return out


def weighted_sums(const float[:, ::1] features, const int32_t[:, ::1] index, const double[:, ::1] weight):
    """(R, d) float64 sums of the rows ``index[i]`` of (N, d) ``features``, each times its ``weight``."""
    cdef Py_ssize_t i, j, k, d = features.shape[1]
    require(weight.shape[0] == index.shape[0] and weight.shape[1] == index.shape[1], "weights that are no index's")
    require_within(np.asarray(index).reshape(-1), features.shape[0], "rows to add out of range")
    out = np.zeros((index.shape[0], d))
    cdef double[:, ::1] total = out
    cdef double factor
    with nogil:
        for i in range(index.shape[0]):
            for j in range(index.shape[1]):
                factor = weight[i, j]
                for k in range(d):
                    total[i, k] += factor * features[index[i, j], k]
    return out


cdef class Shortlist:
    """For each of N rows, the columns that may hold its k largest products, told by products in float32.

    A float32 product of unit rows is off by less than half a ``margin``, so whatever lies a margin below the k-th
    largest cannot be among the k largest exact ones. A row where more columns than fit lie within the margin is
    crowded, and must be computed exactly. Threads may scan at once, but not the same rows.
    """

    cdef Py_ssize_t k, room
    cdef float margin
    cdef object memory
    cdef Entry[:, ::1] entries
    cdef int32_t[::1] count
    cdef float[::1] above
    cdef uint8_t[::1] full

    def __cinit__(self, Py_ssize_t n_rows, Py_ssize_t k, double margin):
        require(n_rows >= 0 and k >= 1 and margin >= 0, "a shortlist without length")
        self.k = k
        self.room = 2 * k + 40
        self.margin = margin
        self.entries = np.empty((n_rows, self.room), dtype=np.dtype([("value", "f4"), ("index", "i4")]))
        self.count = np.zeros(n_rows, dtype=np.int32)
        self.above = np.full(n_rows, -np.inf, dtype=np.float32)
        self.full = np.zeros(n_rows, dtype=np.uint8)

    cdef void push(self, Py_ssize_t row, float value, Py_ssize_t column) noexcept nogil:
        if not value > self.above[row]:
            return
        if self.count[row] == self.room:
            self.count[row] = <int32_t>prune(&self.entries[row, 0], self.room, self.k, self.margin, &self.above[row])
            if self.count[row] == self.room:
                self.full[row] = 1
                self.above[row] = INFINITY
            if not value > self.above[row]:
                return
        self.entries[row, self.count[row]].value = value
        self.entries[row, self.count[row]].index = <int32_t>column
        self.count[row] += 1

    def scan(self, const float[:, ::1] products, Py_ssize_t first_row, Py_ssize_t first_column):
        """Take in products of the rows from ``first_row`` on with the columns from ``first_column`` on."""
        cdef Py_ssize_t i, block, c, j, n = products.shape[1]
        require(0 <= first_row <= self.count.shape[0] - products.shape[0] and first_column >= 0, "rows out of range")
        with nogil:
            for i in range(products.shape[0]):
                for block in range((n + CHUNK - 1) // CHUNK):
                    c = block * CHUNK
                    if c + CHUNK > n or any_above_one(&products[i, c], self.above[first_row + i]):
                        for j in range(c, min(n, c + CHUNK)):
                            self.push(first_row + i, products[i, j], first_column + j)

    def scan_transposed(self, const float[:, ::1] products, Py_ssize_t first_row, Py_ssize_t first_column):
        """The same of the transposed products: row i of ``products`` holds the column ``first_column + i``."""
        cdef Py_ssize_t i, block, c, j, n = products.shape[1]
        require(0 <= first_row <= self.count.shape[0] - n and first_column >= 0, "rows out of range")
        with nogil:
            for i in range(products.shape[0]):
                for block in range((n + CHUNK - 1) // CHUNK):
                    c = block * CHUNK
                    if c + CHUNK > n or any_above(&products[i, c], &self.above[first_row + c]):
                        for j in range(c, min(n, c + CHUNK)):
                            self.push(first_row + j, products[i, j], first_column + i)

    def columns(self, Py_ssize_t first, Py_ssize_t last):
        """(R, w) int32 columns listed for rows ``first`` to ``last``, ascending, then -1; (R,) bool, which are crowded."""
        cdef Py_ssize_t row, j
        require(0 <= first <= last <= self.count.shape[0], "rows out of range")
        with nogil:
            for row in range(first, last):
                self.count[row] = <int32_t>prune(
                    &self.entries[row, 0], self.count[row], self.k, self.margin, &self.above[row]
                )
                by_index(&self.entries[row, 0], self.count[row])
        crowded = np.asarray(self.full[first:last]).astype(bool)
        counts = np.where(crowded, 0, self.count[first:last])
        out = np.full((last - first, counts.max(initial=0)), -1, dtype=np.int32)
        cdef int32_t[:, ::1] listed = out
        for row in range(first, last):
            if not self.full[row]:
                for j in range(self.count[row]):
                    listed[row - first, j] = self.entries[row, j].index
        return out, crowded


# ---------------------------------------------------------------------------- re-ranking


def mix_jaccard(
    const int32_t[::1] start,
    const int32_t[::1] column,
    const double[::1] weight,
    const int32_t[::1] by_column,
    const int32_t[::1] position,
    const double[::1] gallery_weight,
    double lam,
    float[:, ::1] dist,
):
    """Put (1 - lam) * Jaccard distance + lam * ``dist`` in the place of (Q, G) ``dist``.

    Args:
        start, column, weight: the queries' encodings, CSR (Q, N).
        by_column, position, gallery_weight: the gallery's encodings by column, CSR (N, G).
    """
    cdef Py_ssize_t i, e, f, g, n = dist.shape[1]
    cdef double own
    require(start.shape[0] == dist.shape[0] + 1 and weight.shape[0] == column.shape[0], "encodings of other queries")
    require(gallery_weight.shape[0] == position.shape[0], "positions without a weight")
    require_csr(start, column, by_column.shape[0] - 1)
    require_csr(by_column, position, n)
    cdef double[::1] shared = np.empty(n)
    with nogil:
        for i in range(dist.shape[0]):
            shared[:] = 0
            for e in range(start[i], start[i + 1]):
                own = weight[e]
                for f in range(by_column[column[e]], by_column[column[e] + 1]):
                    shared[position[f]] += min(own, gallery_weight[f])
            for g in range(n):
                dist[i, g] = <float>((1 - lam) * (1 - shared[g] / (2 - shared[g])) + lam * <double>dist[i, g])


def fixed_dist(const double[:, ::1] products, const double[::1] row_square, const double[::1] column_square, double scale):
    """(R, C) int32 distances, times ``scale`` and rounded, of unit rows of these products and squared lengths."""
    cdef Py_ssize_t i, j, n = products.shape[1]
    require(row_square.shape[0] == products.shape[0] and column_square.shape[0] == n, "squares of other rows")
    require(0 < scale < 2.0**29, "a scale that int32 cannot hold")
    out = np.empty((products.shape[0], n), dtype=np.int32)
    cdef int32_t[:, ::1] dist = out
    cdef double square
    with nogil:
        for i in range(products.shape[0]):
            for j in range(n):
                square = (row_square[i] - products[i, j]) + (column_square[j] - products[i, j])
                dist[i, j] = <int32_t>(sqrt(square if square > 0 else 0) * scale + 0.5)
    return out


def add_products(
    const int32_t[::1] start,
    const int32_t[::1] column,
    const int32_t[::1] weight,
    const int32_t[:, ::1] tile,
    int32_t[:, ::1] total,
    Py_ssize_t first,
):
    """Add the product of a CSR matrix (R, M) and a ``tile`` (M, C) to ``total`` (R, ...) from column ``first`` on."""
    cdef Py_ssize_t i, e, n = tile.shape[1]
    require(start.shape[0] == total.shape[0] + 1 and weight.shape[0] == column.shape[0], "coefficients of other rows")
    require(0 <= first <= total.shape[1] - n, "columns out of range")
    require_csr(start, column, tile.shape[0])
    if n == 0:
        return
    with nogil:
        for i in range(total.shape[0]):
            for e in range(start[i], start[i + 1]):
                add_scaled(&total[i, first], &tile[column[e], 0], weight[e], n)
