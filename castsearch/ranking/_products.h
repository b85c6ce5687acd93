/* Products of all rows of one matrix with all rows of another, float32 in, float32 or float64 out.
 *
 * BLAS would do, but for its threads: they and OpenMP's, which run everything between two products, wait for each
 * other on the same cores. This is the usual blocked product (Goto and van de Geijn, "Anatomy of High-Performance
 * Matrix Multiplication", 2008): panels of both matrices are packed so that the innermost loop reads them in order and
 * keeps a small tile of the result in registers.
 */
#include <stdlib.h>
#include <string.h>

#define MC 384     /* rows of a that stay in the second cache; a multiple of every tile's rows */
#define KC 256     /* columns of both at a time */
#define NC 512     /* rows of b that one task takes; a multiple of every tile's columns */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_AVX512 __attribute__((target("avx512f"), optimize("fp-contract=fast")))
#define FOR_AVX2 __attribute__((target("avx2,fma"), optimize("fp-contract=fast")))
#define HAS(isa) __builtin_cpu_supports(isa)
#else
#define FOR_AVX512
#define FOR_AVX2
#define HAS(isa) 0
#endif

/* A tile of ROWS x (two vectors) of the result: c += or = sum over k of a[k][row] * b[k][column]. */
#define DEFINE_TILE(NAME, TARGET, TYPE, BYTES, ROWS)                                                               \
    TARGET static void NAME(const TYPE *a, const TYPE *b, Py_ssize_t k, TYPE *c, Py_ssize_t stride, int fresh)     \
    {                                                                                                              \
        typedef TYPE vector __attribute__((vector_size(BYTES), aligned(sizeof(TYPE)), may_alias));                 \
        enum { LANES = BYTES / sizeof(TYPE) };                                                                      \
        vector sum[ROWS][2];                                                                                       \
        _Pragma("GCC unroll 16") for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = (vector){0};               \
        for (Py_ssize_t p = 0; p < k; p++, a += ROWS, b += 2 * LANES) {                                             \
            vector left = *(const vector *)b, right = *(const vector *)(b + LANES);                                 \
            _Pragma("GCC unroll 16") for (int r = 0; r < ROWS; r++) {                                              \
                sum[r][0] += a[r] * left;                                                                          \
                sum[r][1] += a[r] * right;                                                                         \
            }                                                                                                      \
        }                                                                                                          \
        _Pragma("GCC unroll 16") for (int r = 0; r < ROWS; r++, c += stride) {                                     \
            vector *out = (vector *)c, *next = (vector *)(c + LANES);                                               \
            if (!fresh) sum[r][0] += *out, sum[r][1] += *next;                                                     \
            *out = sum[r][0];                                                                                      \
            *next = sum[r][1];                                                                                     \
        }                                                                                                          \
    }

#define DEFINE_PRODUCT(TYPE)                                                                                       \
    DEFINE_TILE(tile_512_##TYPE, FOR_AVX512, TYPE, 64, 12)                                                         \
    DEFINE_TILE(tile_256_##TYPE, FOR_AVX2, TYPE, 32, 6)                                                            \
    DEFINE_TILE(tile_128_##TYPE, , TYPE, 16, 4)                                                                    \
                                                                                                                   \
    /* Rows first.. of x, columns k0.. as panels of `group` rows, interleaved and filled up with zeros. */         \
    static void pack_##TYPE(const float *x, Py_ssize_t d, Py_ssize_t rows, Py_ssize_t k, int group, TYPE *out)     \
    {                                                                                                              \
        for (Py_ssize_t first = 0; first < rows; first += group, out += group * k)                                 \
            for (int r = 0; r < group; r++) {                                                                      \
                const float *row = x + (first + r) * d;                                                            \
                if (first + r < rows)                                                                              \
                    for (Py_ssize_t p = 0; p < k; p++) out[p * group + r] = row[p];                                \
                else                                                                                               \
                    for (Py_ssize_t p = 0; p < k; p++) out[p * group + r] = 0;                                     \
            }                                                                                                      \
    }                                                                                                              \
                                                                                                                   \
    /* c (m, n; rows `stride` apart) = a (m, d) times b (n, d) transposed, for m <= MC and n <= NC. */             \
    static int product_##TYPE(const float *a, Py_ssize_t m, const float *b, Py_ssize_t n, Py_ssize_t d, TYPE *c,   \
                              Py_ssize_t stride)                                                                   \
    {                                                                                                              \
        int bytes = HAS("avx512f") ? 64 : HAS("avx2") && HAS("fma") ? 32 : 16;                                     \
        int rows = bytes == 64 ? 12 : bytes == 32 ? 6 : 4, columns = 2 * bytes / (int)sizeof(TYPE);                \
        TYPE edge[12 * 32];                                                                                        \
        TYPE *left = malloc((MC + NC) * KC * sizeof(TYPE)), *right = left + MC * KC;                               \
        if (!left) return -1;                                                                                      \
        for (Py_ssize_t k0 = 0; k0 < d || !k0; k0 += KC) {                                                         \
            Py_ssize_t k = d - k0 < KC ? d - k0 : KC;                                                              \
            pack_##TYPE(a + k0, d, m, k, rows, left);                                                              \
            pack_##TYPE(b + k0, d, n, k, columns, right);                                                          \
            for (Py_ssize_t j = 0; j < n; j += columns)                                                            \
                for (Py_ssize_t i = 0; i < m; i += rows) {                                                         \
                    int whole = i + rows <= m && j + columns <= n;                                                 \
                    TYPE *out = whole ? c + i * stride + j : edge;                                                 \
                    Py_ssize_t apart = whole ? stride : columns;                                                   \
                    int fresh = !whole || !k0;                                                                     \
                    (bytes == 64 ? tile_512_##TYPE : bytes == 32 ? tile_256_##TYPE : tile_128_##TYPE)(             \
                        left + i * k, right + j * k, k, out, apart, fresh);                                        \
                    if (!whole)                                                                                    \
                        for (Py_ssize_t r = 0; r < rows && i + r < m; r++)                                         \
                            for (Py_ssize_t q = 0; q < columns && j + q < n; q++) {                                \
                                TYPE *to = c + (i + r) * stride + j + q;                                           \
                                *to = k0 ? *to + edge[r * columns + q] : edge[r * columns + q];                    \
                            }                                                                                      \
                }                                                                                                  \
        }                                                                                                          \
        free(left);                                                                                                \
        return 0;                                                                                                  \
    }

DEFINE_PRODUCT(float)
DEFINE_PRODUCT(double)
