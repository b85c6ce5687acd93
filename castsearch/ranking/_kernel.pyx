# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of the ranking, compiled and parallel; the tests hold a NumPy twin of each.

Nothing here depends on the number of threads or on the order in which terms are added: every sum runs over numbers
that lie on a grid coarse enough for float64 (or int32) to hold the sum exactly. See ``unit.py``.
"""

import numpy as np

from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY, exp, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

# Adding and subtracting 1.5 * 2^(52 - b) rounds a small float64 to a multiple of 2^-b.
cdef double TO_24_BITS = 1.5 * 2.0**28
cdef double TO_40_BITS = 1.5 * 2.0**12

cdef enum:
    STRIP = 128  # columns that one thread takes at a time

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
    #define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
    #else
    #define WIDE
    #endif
    #define CHUNK 32

    /* Eight sums at once let the compiler use vector registers; the order is free because the sums are exact. */
    WIDE static double exact_dot(const float *a, const float *b, Py_ssize_t d)
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

    /* Whether any of CHUNK values lies below its lower or above its upper limit; or the one limit for all. */
    WIDE static int any_beyond(const float *s, const float *low, const float *high)
    {
        int found = 0;
        for (int j = 0; j < CHUNK; j++)
            found |= (s[j] > high[j]) | (s[j] < low[j]);
        return found;
    }
    WIDE static int any_beyond_one(const float *s, float low, float high)
    {
        int found = 0;
        for (int j = 0; j < CHUNK; j++)
            found |= (s[j] > high) | (s[j] < low);
        return found;
    }
    """
    enum: CHUNK
    double exact_dot(const float *a, const float *b, Py_ssize_t d) noexcept nogil
    int any_beyond(const float *s, const float *low, const float *high) noexcept nogil
    int any_beyond_one(const float *s, float low, float high) noexcept nogil


cdef extern from "_products.h":
    enum: MC
    enum: NC
    int product_float(
        const float *a, Py_ssize_t m, const float *b, Py_ssize_t n, Py_ssize_t d, float *c, Py_ssize_t stride
    ) noexcept nogil
    int product_double(
        const float *a, Py_ssize_t m, const float *b, Py_ssize_t n, Py_ssize_t d, double *c, Py_ssize_t stride
    ) noexcept nogil


ctypedef fused real:
    float
    double


cdef inline bint worth(double steps) noexcept nogil:
    """Whether a loop of so many steps is long enough to wake another thread for."""
    return steps > 1 << 20


# ---------------------------------------------------------------------------- unit rows


def unit_rows(const float[:, ::1] features, const double[::1] norm, float[:, ::1] out):
    """Rows divided by their ``norm``, rounded to multiples of 2^-24; ``out`` may be ``features``."""
    cdef Py_ssize_t i, k, n = features.shape[0], d = features.shape[1]
    for i in prange(n, nogil=True, use_threads_if=worth(n * d), schedule="static"):
        for k in range(d):
            out[i, k] = <float>((features[i, k] / norm[i] + TO_24_BITS) - TO_24_BITS)


def norms(const float[:, ::1] features):
    """(N,) float64 Euclidean lengths, every square added in the order of the columns."""
    cdef Py_ssize_t i, k, n = features.shape[0], d = features.shape[1]
    out = np.zeros(n)
    cdef double[::1] length = out
    for i in prange(n, nogil=True, use_threads_if=worth(n * d), schedule="static"):
        for k in range(d):
            length[i] += <double>features[i, k] * features[i, k]
        length[i] = sqrt(length[i])
    return out


def multiply(const float[:, ::1] a, const float[:, ::1] b, real[:, ::1] out):
    """Fill ``out`` (m, n) with the products of the rows of ``a`` (m, d) and ``b`` (n, d), in its own precision."""
    cdef Py_ssize_t task, i, j, m = a.shape[0], n = b.shape[0], d = a.shape[1]
    cdef Py_ssize_t strips = (n + NC - 1) // NC, tasks = (m + MC - 1) // MC * strips
    cdef int failed = 0
    if m == 0 or n == 0 or d == 0:
        np.asarray(out)[:] = 0
        return
    for task in prange(tasks, nogil=True, use_threads_if=worth(<double>m * n * d / 16), schedule="dynamic", chunksize=1):
        i = task // strips * MC
        j = task % strips * NC
        if real is float:
            failed |= product_float(&a[i, 0], min(MC, m - i), &b[j, 0], min(NC, n - j), d, &out[i, j], n)
        else:
            failed |= product_double(&a[i, 0], min(MC, m - i), &b[j, 0], min(NC, n - j), d, &out[i, j], n)
    if failed:
        raise MemoryError("no room for packed panels")


def row_dots(
    const float[:, ::1] a,
    const int32_t[::1] a_row,
    const int64_t[::1] start,
    const int32_t[::1] b_row,
    const float[:, ::1] b,
):
    """Exact products of pairs in CSR order: row ``a_row[i]`` of ``a`` with rows ``b_row[start[i]:start[i + 1]]``."""
    cdef Py_ssize_t i, e, n = start.shape[0] - 1, d = a.shape[1]
    out = np.zeros(b_row.shape[0])
    cdef double[::1] dots = out
    if d == 0:
        return out
    for i in prange(n, nogil=True, use_threads_if=worth(<double>b_row.shape[0] * d), schedule="dynamic", chunksize=16):
        for e in range(start[i], start[i + 1]):
            dots[e] = exact_dot(&a[a_row[i], 0], &b[b_row[e], 0], d)
    return out


def weighted_means(const float[:, ::1] features, const int32_t[:, ::1] index, const double[:, ::1] weight):
    """(N, d) float32 sums of the rows ``index[i]`` of ``features``, each times its ``weight``."""
    cdef Py_ssize_t i, j, k, n = index.shape[0], m = index.shape[1], d = features.shape[1]
    out = np.empty((n, d), dtype=np.float32)
    cdef float[:, ::1] mean = out
    cdef double *total
    with nogil, parallel(use_threads_if=worth(<double>n * m * d)):
        total = <double *>malloc(d * sizeof(double))
        for i in prange(n, schedule="static"):
            for k in range(d):
                total[k] = 0
            for j in range(m):
                for k in range(d):
                    total[k] = total[k] + weight[i, j] * features[index[i, j], k]
            for k in range(d):
                mean[i, k] = <float>total[k]
        free(total)
    return out


# ---------------------------------------------------------------------------- nearest neighbours


cdef struct List:
    # Of one row: the pairs seen so far whose value may be among the k largest.
    float *value
    int32_t *index
    int32_t *count
    float *limit  # only values above it are of interest


cdef void prune(List seen, Py_ssize_t k, float margin) noexcept nogil:
    """Keep the k largest values and those within ``margin`` of the smallest of these; raise the limit accordingly."""
    cdef Py_ssize_t count = seen.count[0], low = 0, high = count - 1, i, j, kept
    cdef float pivot, value
    cdef int32_t index
    if count <= k:
        return
    while low < high:  # quickselect, largest first
        pivot = seen.value[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while seen.value[i] > pivot:
                i += 1
            while seen.value[j] < pivot:
                j -= 1
            if i <= j:
                value = seen.value[i]
                seen.value[i] = seen.value[j]
                seen.value[j] = value
                index = seen.index[i]
                seen.index[i] = seen.index[j]
                seen.index[j] = index
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    seen.limit[0] = seen.value[k - 1] - margin
    kept = k
    for i in range(k, count):
        if seen.value[i] >= seen.limit[0]:
            seen.value[kept] = seen.value[i]
            seen.index[kept] = seen.index[i]
            kept += 1
    seen.count[0] = <int32_t>kept


cdef class Shortlist:
    """For every row, the columns that may hold its k largest products, or its smallest, by float32 products.

    A float32 product of unit rows is off by at most ``margin / 2``, so whatever is a margin below the k-th largest
    cannot be among the k largest exact ones. A row where more columns than fit lie within the margin is ``crowded``.
    """

    cdef readonly Py_ssize_t k, room, far_room
    cdef float margin
    cdef float[:, ::1] near_value, far_value
    cdef int32_t[:, ::1] near_index, far_index
    cdef int32_t[::1] near_count, far_count
    cdef float[::1] above, far_limit, below
    cdef uint8_t[::1] full
    cdef readonly object crowded

    def __init__(self, Py_ssize_t n_rows, Py_ssize_t k, double margin, bint farthest):
        self.k = k
        self.room = 2 * k + 64
        self.far_room = 32 if farthest else 0
        self.margin = margin
        self.near_value = np.empty((n_rows, self.room), dtype=np.float32)
        self.near_index = np.empty((n_rows, self.room), dtype=np.int32)
        self.near_count = np.zeros(n_rows, dtype=np.int32)
        self.above = np.full(n_rows, -np.inf, dtype=np.float32)
        self.far_value = np.empty((n_rows, self.far_room), dtype=np.float32)
        self.far_index = np.empty((n_rows, self.far_room), dtype=np.int32)
        self.far_count = np.zeros(n_rows, dtype=np.int32)
        self.far_limit = np.full(n_rows, -np.inf, dtype=np.float32)
        self.below = np.full(n_rows, np.inf if farthest else -np.inf, dtype=np.float32)
        self.crowded = np.zeros(n_rows, dtype=np.uint8)
        self.full = self.crowded

    cdef List near(self, Py_ssize_t row) noexcept nogil:
        cdef List seen
        seen.value = &self.near_value[row, 0]
        seen.index = &self.near_index[row, 0]
        seen.count = &self.near_count[row]
        seen.limit = &self.above[row]
        return seen

    cdef List far(self, Py_ssize_t row) noexcept nogil:
        cdef List seen
        seen.value = &self.far_value[row, 0]
        seen.index = &self.far_index[row, 0]
        seen.count = &self.far_count[row]
        seen.limit = &self.far_limit[row]
        return seen

    cdef void push(self, Py_ssize_t row, float value, Py_ssize_t column) noexcept nogil:
        cdef List seen
        if value > self.above[row]:
            seen = self.near(row)
            if seen.count[0] == self.room:
                prune(seen, self.k, self.margin)
            if seen.count[0] == self.room:
                self.give_up(row)
            elif value > seen.limit[0]:
                seen.value[seen.count[0]] = value
                seen.index[seen.count[0]] = <int32_t>column
                seen.count[0] += 1
        if value < self.below[row]:
            seen = self.far(row)
            if seen.count[0] == self.far_room:
                prune(seen, 1, self.margin)
                self.below[row] = -seen.limit[0]
            if seen.count[0] == self.far_room:
                self.give_up(row)
            elif -value > seen.limit[0]:
                seen.value[seen.count[0]] = -value
                seen.index[seen.count[0]] = <int32_t>column
                seen.count[0] += 1

    cdef void give_up(self, Py_ssize_t row) noexcept nogil:
        self.full[row] = 1
        self.above[row] = INFINITY
        self.below[row] = -INFINITY

    def scan_rows(self, const float[:, ::1] products, Py_ssize_t first_row, Py_ssize_t first_column):
        """Take in ``products`` of rows from ``first_row`` on and columns from ``first_column`` on."""
        cdef Py_ssize_t i, c, j, row, n = products.shape[1]
        cdef bint threads = worth(products.shape[0] * n)
        for i in prange(products.shape[0], nogil=True, use_threads_if=threads, schedule="dynamic", chunksize=8):
            row = first_row + i
            c = 0
            while c + CHUNK <= n:
                if any_beyond_one(&products[i, c], self.below[row], self.above[row]):
                    for j in range(c, c + CHUNK):
                        self.push(row, products[i, j], first_column + j)
                c = c + CHUNK
            for j in range(c, n):
                self.push(row, products[i, j], first_column + j)

    def scan_chosen(self, const float[:, :] products, const int64_t[::1] rows, const float[:, :] more):
        """Take in the chosen rows of ``products``, numbered by their places; ``more`` is added to these if it is given."""
        cdef Py_ssize_t i, j, n = products.shape[1]
        cdef bint plain = more is None, threads = worth(<double>rows.shape[0] * n)
        cdef float value
        for i in prange(rows.shape[0], nogil=True, use_threads_if=threads, schedule="dynamic", chunksize=16):
            for j in range(n):
                value = products[rows[i], j]
                if not plain:
                    value = value + more[i, j]
                if value > self.above[i]:
                    self.push(i, value, j)

    def scan_columns(
        self, const float[:, ::1] products, Py_ssize_t first_row, Py_ssize_t first_column, Py_ssize_t skip
    ):
        """The same with the roles of rows and columns exchanged, without the first ``skip`` columns."""
        cdef Py_ssize_t i, c, j, block, end, n = products.shape[1]
        cdef Py_ssize_t blocks = (max(0, n - skip) + STRIP - 1) // STRIP
        cdef bint threads = worth(products.shape[0] * n)
        for block in prange(blocks, nogil=True, use_threads_if=threads, schedule="dynamic", chunksize=1):
            end = min(n, skip + STRIP * (block + 1))
            for i in range(products.shape[0]):
                c = skip + STRIP * block
                while c + CHUNK <= end:
                    if any_beyond(&products[i, c], &self.below[first_column + c], &self.above[first_column + c]):
                        for j in range(c, c + CHUNK):
                            self.push(first_column + j, products[i, j], first_row + i)
                    c = c + CHUNK
                for j in range(c, end):
                    self.push(first_column + j, products[i, j], first_row + i)

    def nearest(
        self,
        const float[:, ::1] rows,
        const float[:, ::1] columns,
        const double[::1] row_term,
        const double[::1] column_term,
        double factor,
        int32_t[:, ::1] index,
        float[:, ::1] key,
    ):
        """Fill ``index`` and ``key`` (N, k): the smallest ``row_term + column_term + factor * product``, exact."""
        cdef Py_ssize_t i, e, at, found, column, d = rows.shape[1], n = rows.shape[0]
        cdef List seen
        cdef float value
        for i in prange(n, nogil=True, use_threads_if=worth(<double>n * self.k * d), schedule="dynamic", chunksize=16):
            if not self.full[i]:
                seen = self.near(i)
                prune(seen, self.k, self.margin)
                found = 0
                for e in range(seen.count[0]):
                    column = seen.index[e]
                    value = <float>(
                        row_term[i] + column_term[column] + factor * exact_dot(&rows[i, 0], &columns[column, 0], d)
                    )
                    if found == self.k and (
                        value > key[i, found - 1] or (value == key[i, found - 1] and column > index[i, found - 1])
                    ):
                        continue
                    at = found if found < self.k else found - 1
                    while at > 0 and (
                        value < key[i, at - 1] or (value == key[i, at - 1] and column < index[i, at - 1])
                    ):
                        key[i, at] = key[i, at - 1]
                        index[i, at] = index[i, at - 1]
                        at = at - 1
                    key[i, at] = value
                    index[i, at] = <int32_t>column
                    if found < self.k:
                        found = found + 1

    def farthest(
        self,
        const float[:, ::1] rows,
        const double[::1] square,
        float[::1] largest,
    ):
        """Fill ``largest`` (N,): the largest squared distance of each row to any, exact."""
        cdef Py_ssize_t i, e, column, d = rows.shape[1]
        cdef List seen
        cdef float value
        cdef bint threads = worth(<double>rows.shape[0] * d)
        for i in prange(rows.shape[0], nogil=True, use_threads_if=threads, schedule="dynamic", chunksize=16):
            if not self.full[i]:
                seen = self.far(i)
                prune(seen, 1, self.margin)
                largest[i] = 0
                for e in range(seen.count[0]):
                    column = seen.index[e]
                    value = <float>(square[i] + square[column] - 2 * exact_dot(&rows[i, 0], &rows[column, 0], d))
                    if value > largest[i]:
                        largest[i] = value


def largest_of_rows(const float[:, ::1] sim, const int64_t[::1] rows, Py_ssize_t k):
    """(m, k) float32: the k largest of the chosen rows of ``sim`` (n, m) in each column, largest first."""
    cdef Py_ssize_t i, j, at, strip, first, last, m = sim.shape[1]
    cdef float value
    out = np.full((m, k), -np.inf, dtype=np.float32)
    cdef float[:, ::1] best = out
    cdef bint threads = worth(<double>rows.shape[0] * m)
    for strip in prange((m + STRIP - 1) // STRIP, nogil=True, use_threads_if=threads, schedule="dynamic", chunksize=1):
        first = STRIP * strip
        last = min(m, first + STRIP)
        for i in range(rows.shape[0]):
            for j in range(first, last):
                value = sim[rows[i], j]
                if value > best[j, k - 1]:
                    at = k - 1
                    while at > 0 and value > best[j, at - 1]:
                        best[j, at] = best[j, at - 1]
                        at = at - 1
                    best[j, at] = value
    return out


# ---------------------------------------------------------------------------- k-reciprocal sets


cdef inline bint among(int32_t wanted, const int32_t *values, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if values[i] == wanted:
            return True
    return False


def reciprocal(const int32_t[:, ::1] lists, Py_ssize_t length):
    """Which of the first ``length`` neighbours of each point have the point among theirs: (N, length) uint8."""
    cdef Py_ssize_t i, j, n = lists.shape[0]
    out = np.zeros((n, length), dtype=np.uint8)
    cdef uint8_t[:, ::1] mutual = out
    for i in prange(n, nogil=True, use_threads_if=worth(<double>n * length * length), schedule="static"):
        for j in range(length):
            mutual[i, j] = among(<int32_t>i, &lists[lists[i, j], 0], length)
    return out


cdef Py_ssize_t expand(
    Py_ssize_t point,
    const int32_t[:, ::1] lists,
    const uint8_t[:, ::1] mutual,
    const uint8_t[:, ::1] half_mutual,
    int32_t *members,
    uint8_t *taken,
) noexcept nogil:
    """Write the expanded reciprocal set of ``point`` to ``members``, unsorted; return its size."""
    cdef Py_ssize_t j, m, size = 0, own, length, shared
    cdef int32_t neighbour
    for j in range(mutual.shape[1]):
        if mutual[point, j]:
            members[size] = lists[point, j]
            taken[members[size]] = 1
            size += 1
    own = size
    for j in range(own):
        neighbour = members[j]
        length = 0
        shared = 0
        for m in range(half_mutual.shape[1]):
            if half_mutual[neighbour, m]:
                length += 1
                # The set is compared with the unexpanded one: what was added on the way is marked 2.
                shared += taken[lists[neighbour, m]] == 1
        if 3 * shared > 2 * length:
            for m in range(half_mutual.shape[1]):
                if half_mutual[neighbour, m] and not taken[lists[neighbour, m]]:
                    members[size] = lists[neighbour, m]
                    taken[members[size]] = 2
                    size += 1
    for j in range(size):
        taken[members[j]] = 0
    return size


def expanded_sets(const int32_t[:, ::1] lists, const uint8_t[:, ::1] mutual, const uint8_t[:, ::1] half_mutual):
    """Each point's reciprocal set with those of its members that lie in it by more than 2/3.

    Args:
        lists: (N, K) neighbours, nearest first.
        mutual: (N, k1 + 1) which of them are reciprocal at k1.
        half_mutual: (N, round(k1 / 2) + 1) the same at half of it.

    Returns:
        CSR ``start`` (N + 1) int64 and ``member`` int32, ascending within a point.
    """
    cdef Py_ssize_t i, j, n = lists.shape[0], at, size
    cdef Py_ssize_t most = mutual.shape[1] * (1 + half_mutual.shape[1])
    starts = np.zeros(n + 1, dtype=np.int64)
    cdef int64_t[::1] start = starts
    cdef int32_t[::1] member
    cdef int32_t *members
    cdef uint8_t *taken
    cdef int32_t value
    cdef bint fill
    for fill in (False, True):
        if fill:
            np.cumsum(starts, out=starts)
            found = np.empty(starts[n], dtype=np.int32)
            member = found
        with nogil, parallel(use_threads_if=worth(<double>n * most)):
            members = <int32_t *>malloc(most * sizeof(int32_t))
            taken = <uint8_t *>calloc(n, 1)
            for i in prange(n, schedule="static"):
                size = expand(i, lists, mutual, half_mutual, members, taken)
                if not fill:
                    start[i + 1] = size
                    continue
                for j in range(size):  # insertion sort: the sets are small
                    value = members[j]
                    at = start[i] + j
                    while at > start[i] and member[at - 1] > value:
                        member[at] = member[at - 1]
                        at = at - 1
                    member[at] = value
            free(members)
            free(taken)
    return starts, found


def set_weights(const int64_t[::1] start, const float[::1] scaled_dist):
    """exp(-distance) of each member of each set, normalised to a sum of 1 within the set: float64."""
    cdef Py_ssize_t i, e, n = start.shape[0] - 1
    cdef double total
    out = np.empty(scaled_dist.shape[0])
    cdef double[::1] weight = out
    for i in prange(n, nogil=True, use_threads_if=worth(scaled_dist.shape[0] * 16.0), schedule="static"):
        total = 0
        for e in range(start[i], start[i + 1]):
            weight[e] = (exp(-<double>scaled_dist[e]) + TO_40_BITS) - TO_40_BITS
            total = total + weight[e]
        for e in range(start[i], start[i + 1]):
            weight[e] = (weight[e] / total + TO_40_BITS) - TO_40_BITS
    return out


def mean_rows(
    const int64_t[::1] start,
    const int32_t[::1] column,
    const double[::1] weight,
    const int32_t[:, ::1] lists,
    Py_ssize_t k,
):
    """Mean of the sparse rows of each point's first ``k`` neighbours (query expansion): CSR start, column, weight."""
    cdef Py_ssize_t i, j, n = lists.shape[0], size
    cdef int32_t smallest
    cdef double total
    cdef int64_t *at
    cdef int64_t *end
    cdef bint fill
    starts = np.zeros(n + 1, dtype=np.int64)
    cdef int64_t[::1] new_start = starts
    cdef int32_t[::1] new_column
    cdef double[::1] new_weight
    for fill in (False, True):
        if fill:
            np.cumsum(starts, out=starts)
            columns = np.empty(starts[n], dtype=np.int32)
            weights = np.empty(starts[n])
            new_column = columns
            new_weight = weights
        with nogil, parallel(use_threads_if=worth(<double>column.shape[0] * k * k)):
            at = <int64_t *>malloc(k * sizeof(int64_t))
            end = <int64_t *>malloc(k * sizeof(int64_t))
            for i in prange(n, schedule="static"):
                for j in range(k):
                    at[j] = start[lists[i, j]]
                    end[j] = start[lists[i, j] + 1]
                size = 0
                while True:  # merge the k ascending rows
                    smallest = 0x7fffffff
                    for j in range(k):
                        if at[j] < end[j] and column[at[j]] < smallest:
                            smallest = column[at[j]]
                    if smallest == 0x7fffffff:
                        break
                    total = 0
                    for j in range(k):
                        if at[j] < end[j] and column[at[j]] == smallest:
                            total = total + weight[at[j]]
                            at[j] = at[j] + 1
                    if fill:
                        new_column[new_start[i] + size] = smallest
                        new_weight[new_start[i] + size] = (total / k + TO_40_BITS) - TO_40_BITS
                    size = size + 1
                if not fill:
                    new_start[i + 1] = size
            free(at)
            free(end)
    return starts, columns, weights


def transpose(
    const int64_t[::1] start,
    const int32_t[::1] column,
    const double[::1] weight,
    const int32_t[::1] rows,
    Py_ssize_t n_columns,
):
    """The chosen ``rows`` of a CSR matrix by column: start, position in ``rows``, weight."""
    cdef Py_ssize_t i, e
    cdef int64_t at
    starts = np.zeros(n_columns + 2, dtype=np.int64)
    cdef int64_t[::1] next_free = starts
    for i in range(rows.shape[0]):
        for e in range(start[rows[i]], start[rows[i] + 1]):
            next_free[column[e] + 2] += 1
    np.cumsum(starts, out=starts)
    positions = np.empty(starts[n_columns + 1], dtype=np.int32)
    weights = np.empty(starts[n_columns + 1])
    cdef int32_t[::1] position = positions
    cdef double[::1] new_weight = weights
    for i in range(rows.shape[0]):
        for e in range(start[rows[i]], start[rows[i] + 1]):
            at = next_free[column[e] + 1]
            position[at] = <int32_t>i
            new_weight[at] = weight[e]
            next_free[column[e] + 1] += 1
    return starts[: n_columns + 1], positions, weights


def jaccard(
    const int64_t[::1] start,
    const int32_t[::1] column,
    const double[::1] weight,
    const int32_t[::1] queries,
    const int64_t[::1] by_column,
    const int32_t[::1] position,
    const double[::1] gallery_weight,
    double lam,
    float[:, ::1] dist,
):
    """Mix Jaccard distances into ``dist`` (q, g), in place: (1 - lam) * Jaccard + lam * dist.

    Args:
        start, column, weight: CSR rows of all points; ``queries`` names those of the result's rows.
        by_column, position, gallery_weight: the gallery's rows by column, as ``transpose`` gives them.
    """
    cdef Py_ssize_t i, e, f, g, n = dist.shape[1]
    cdef int32_t c
    cdef double own
    cdef double *shared
    cdef bint threads = worth(<double>queries.shape[0] * n)
    with nogil, parallel(use_threads_if=threads):
        shared = <double *>malloc(n * sizeof(double))
        for i in prange(queries.shape[0], schedule="dynamic", chunksize=1):
            for g in range(n):
                shared[g] = 0
            for e in range(start[queries[i]], start[queries[i] + 1]):
                c = column[e]
                own = weight[e]
                for f in range(by_column[c], by_column[c + 1]):
                    shared[position[f]] = shared[position[f]] + min(own, gallery_weight[f])
            for g in range(n):
                dist[i, g] = <float>((1 - lam) * (1 - shared[g] / (2 - shared[g])) + lam * <double>dist[i, g])
        free(shared)


# ---------------------------------------------------------------------------- expanded cross neighbourhoods


def fixed_dist(
    const double[:, ::1] products,
    const double[::1] row_square,
    const double[::1] column_square,
    double scale,
    int32_t[:, ::1] dist,
    Py_ssize_t first_row,
    Py_ssize_t first_column,
):
    """Put distances sqrt(row_square + column_square - 2 * product) * scale, rounded, into ``dist`` from there on."""
    cdef Py_ssize_t i, j
    cdef int32_t *row
    cdef bint threads = worth(products.shape[0] * products.shape[1])
    for i in prange(products.shape[0], nogil=True, use_threads_if=threads, schedule="static"):
        row = &dist[first_row + i, first_column]
        for j in range(products.shape[1]):
            row[j] = <int32_t>(sqrt(row_square[i] + column_square[j] - 2 * products[i, j]) * scale + 0.5)


def add_rows(const int32_t[:, ::1] dist, const int32_t[:, ::1] lists, int32_t[:, ::1] total):
    """Add to each row ``total[i]`` the rows ``lists[i]`` of ``dist``."""
    cdef Py_ssize_t i, j, g, row
    cdef bint threads = worth(<double>lists.shape[0] * lists.shape[1] * dist.shape[1])
    for i in prange(lists.shape[0], nogil=True, use_threads_if=threads, schedule="static"):
        for j in range(lists.shape[1]):
            row = lists[i, j]
            for g in range(dist.shape[1]):
                total[i, g] += dist[row, g]


def add_columns(const int32_t[:, ::1] dist, const int32_t[:, ::1] lists, int32_t[:, ::1] total):
    """Add to each column ``total[:, j]`` the columns ``lists[j]`` of ``dist``."""
    cdef Py_ssize_t i, j, e
    cdef int32_t found
    cdef bint threads = worth(<double>dist.shape[0] * lists.shape[0] * lists.shape[1])
    for i in prange(dist.shape[0], nogil=True, use_threads_if=threads, schedule="static"):
        for j in range(lists.shape[0]):
            found = 0
            for e in range(lists.shape[1]):
                found = found + dist[i, lists[j, e]]
            total[i, j] += found
