/* Convolution: tiles of P pixels × 16·B channels in registers, vpdpbusd on 4 inputs at a time.

One row of the window is one piece of memory (kernel_x · pixel bytes) where nothing is dilated, else every tap is. The
last 4 inputs of a piece may reach beyond it; their weights are 0.
Weights lie as they are read: (group of B·16 channels, row of the window, 4 inputs, B, 16, 4). */

#include "step.h"

#define MOST_PIXELS 16
#define FAST_BYTES (16 * 1024)    /* half of a first-level cache; the other half holds the weights, if they fit */
#define CACHED_BYTES (256 * 1024) /* of input and result of a chunk, which stays in a core's cache over all channels */

typedef struct {
    const uint8_t *x[MOST_PIXELS];
    uint8_t *y[MOST_PIXELS];
    const uint8_t *other[MOST_PIXELS];
} pixels;

/* Where the next output pixel lies, and its window and what is added to it. */
typedef struct {
    int64_t left; /* pixels from here on */
    int32_t column;
    const uint8_t *x, *other;
    uint8_t *y;
} cursor;

INLINE cursor start(const step *s, int64_t image, int64_t first, int64_t end) {
    const tensor *x = &s->x, *y = &s->y, *other = &s->other;
    int32_t row = first / y->width, column = first % y->width;
    return (cursor){end - first, column,
                    x->data + image * x->image + (row * s->stride_y - s->pad_y) * x->row
                        + (column * s->stride_x - s->pad_x) * (int64_t)x->pixel,
                    other->data + image * other->image + row * other->row + column * (int64_t)other->pixel,
                    y->data + image * y->image + row * y->row + column * (int64_t)y->pixel};
}

/* Take the next P pixels; where none is left the last one is repeated. */
INLINE void take(const step *s, cursor *at, pixels *p, const int P) {
    int64_t width = s->y.width, step_x = (int64_t)s->stride_x * s->x.pixel;
    for (int i = 0; i < P; i++) {
        p->x[i] = at->x, p->y[i] = at->y, p->other[i] = at->other;
        if (--at->left <= 0) continue;
        at->x += step_x, at->y += s->y.pixel, at->other += s->other.pixel;
        if (++at->column < width) continue;
        at->column = 0;
        at->x += s->stride_y * s->x.row - width * step_x;
        at->y += s->y.row - width * s->y.pixel;
        at->other += s->other.row - width * s->other.pixel;
    }
}

/* Return 16 bytes of a vector as int32. Some compilers want the number of a lane as a literal, before any unrolling. */
INLINE __m512i lane_of(__m512i bytes, const int lane) {
    switch (lane) {
    case 0: return _mm512_cvtepu8_epi32(_mm512_castsi512_si128(bytes));
    case 1: return _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(bytes, 1));
    case 2: return _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(bytes, 2));
    default: return _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(bytes, 3));
    }
}

/* Round B vectors of each of P pixels in 32 bits, add what is fused, store bytes. Packing works in 128-bit lanes, so
   that vector b's four channels of lane l lie in group 4·l + b; `order` brings them back. */
INLINE void store(const step *s, __m512i acc[][4], const pixels *p, int channel, const int B, const int P, const int fused,
                  const int shifts) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low = _mm512_set1_epi32(s->low), high = _mm512_set1_epi32(s->high);
    const __m512i ma = _mm512_set1_epi32(s->multiplier_x), mb = _mm512_set1_epi32(s->multiplier_other);
    const __m512i half = _mm512_set1_epi32(s->add_half - s->other.zero * s->multiplier_other);
    const __m128i shift = _mm_cvtsi32_si128(s->add_shift);
    const __m512i zero = _mm512_set1_epi16(s->y.zero), none = _mm512_setzero_si512();
    const __m512i least = _mm512_set1_epi8((fused ? s->add_low : s->low) + s->y.zero);
    const __m512i most = _mm512_set1_epi8((fused ? s->add_high : s->high) + s->y.zero);
    const float *factors = s->factor + channel;
    int left = s->y.channels - channel, count = left < 16 * B ? left : 16 * B;
    __mmask64 mask = count == 64 ? ~0ull : (1ull << count) - 1;
#pragma GCC unroll 16
    for (int i = 0; i < P; i++) {
        __m512i v[4] = {none, none, none, none};
        __m512i other = none;
        if (fused && B == 4 && count == 64) other = _mm512_loadu_si512(p->other[i] + channel);
        else if (fused) other = _mm512_maskz_loadu_epi8(mask, p->other[i] + channel);
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) {
            if (shifts) v[b] = shifted(s, acc[i][b], channel + 16 * b);
            else v[b] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][b]), _mm512_loadu_ps(factors + 16 * b)));
            if (fused) {
                v[b] = _mm512_mullo_epi32(_mm512_min_epi32(_mm512_max_epi32(v[b], low), high), ma);
                __m512i y = _mm512_mullo_epi32(lane_of(other, b), mb);
                v[b] = _mm512_sra_epi32(_mm512_add_epi32(_mm512_add_epi32(v[b], half), y), shift);
            }
        }
        __m512i first = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), zero);
        __m512i second = B > 2 ? _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), zero) : none;
        __m512i bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(first, second), least), most);
        bytes = _mm512_permutexvar_epi32(order, bytes);
        if (count == 16 * B) store_first(p->y[i] + channel, bytes, 16 * B);
        else store_first(p->y[i] + channel, bytes, count);
    }
}

INLINE void tile(const step *s, const pixels *p, const int8_t *weight, int channel, const int B, const int P) {
    __m512i acc[MOST_PIXELS][4];
#pragma GCC unroll 4
    for (int b = 0; b < B; b++) {
        __m512i bias = _mm512_loadu_si512(s->bias + channel + 16 * b);
#pragma GCC unroll 16
        for (int i = 0; i < P; i++) acc[i][b] = bias;
    }
    int pieces = s->dilation_x == 1 ? 1 : s->kernel_x;
    for (int ky = 0; ky < s->kernel_y; ky++)
        for (int kx = 0; kx < pieces; kx++) {
            int64_t at = ky * s->dilation_y * s->x.row + kx * s->dilation_x * (int64_t)s->x.pixel;
            for (int64_t end = at + 4 * s->run; at < end; at += 4, weight += 64 * B) {
                __m512i w[4];
#pragma GCC unroll 4
                for (int b = 0; b < B; b++) w[b] = _mm512_loadu_si512(weight + 64 * b);
#pragma GCC unroll 16
                for (int i = 0; i < P; i++) {
                    int32_t four;
                    memcpy(&four, p->x[i] + at, 4);
                    __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 4
                    for (int b = 0; b < B; b++) acc[i][b] = _mm512_dpbusd_epi32(acc[i][b], x, w[b]);
                }
            }
        }
    if (s->stores == BYTES && s->rounds == FLOAT32) {
        if (s->fused) store(s, acc, p, channel, B, P, 1, 0);
        else store(s, acc, p, channel, B, P, 0, 0);
        return;
    }
    if (s->stores == BYTES && s->rounds == SHIFT) {
        if (s->fused) store(s, acc, p, channel, B, P, 1, 1);
        else store(s, acc, p, channel, B, P, 0, 1);
        return;
    }
    __m512i stored[MOST_PIXELS][4]; /* a copy, so that `acc` itself never has to lie in memory */
#pragma GCC unroll 16
    for (int i = 0; i < P; i++)
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) stored[i][b] = acc[i][b];
    for (int b = 0; b < B; b++)
        for (int i = 0; i < P; i++) finish(s, stored[i][b], channel + 16 * b, p->y[i], p->other[i]);
}

#define TILES(B, P)                                                                                                   \
    static void tiles_##B(const step *s, const int8_t *weight, int channel, int64_t image, int64_t first, int64_t end) { \
        pixels p;                                                                                                     \
        for (cursor at = start(s, image, first, end); at.left > 0;) {                                                 \
            take(s, &at, &p, P);                                                                                      \
            tile(s, &p, weight, channel, B, P);                                                                       \
        }                                                                                                             \
    }
TILES(1, 16)
TILES(2, 12)
TILES(3, 8)
TILES(4, 6)

typedef void tiler(const step *, const int8_t *, int, int64_t, int64_t, int64_t);
static tiler *const TILERS[] = {0, tiles_1, tiles_2, tiles_3, tiles_4};

void convolution(const step *s, int thread, int threads) {
    int blocks = (s->y.channels + 15) / 16, groups = (blocks + 3) / 4;
    int64_t count = (int64_t)s->y.height * s->y.width, first = 0, end = count;
    int by_pixels = count >= 24 * threads;
    if (by_pixels) first = share(count, thread, threads), end = share(count, thread + 1, threads);
    int pieces = s->kernel_y * (s->dilation_x == 1 ? 1 : s->kernel_x);
    int64_t block_bytes = (int64_t)pieces * s->run * 64;
    int64_t touched = (int64_t)s->x.pixel * s->stride_y * s->stride_x + s->y.pixel; /* by one pixel of the result */
    int64_t chunk = (blocks * block_bytes <= FAST_BYTES ? FAST_BYTES : CACHED_BYTES) / touched / 48 * 48;
    if (chunk < 48) chunk = 48; /* a multiple of every P */
    for (int64_t image = 0; image < s->batch; image++)
        for (int64_t at = first; at < end; at += chunk)
            for (int group = 0; group < groups; group++) {
                if (!by_pixels && group % threads != thread) continue;
                int block = share(blocks, group, groups), size = share(blocks, group + 1, groups) - block;
                TILERS[size](s, s->weight + block * block_bytes, 16 * block, image, at, at + chunk < end ? at + chunk : end);
            }
}
