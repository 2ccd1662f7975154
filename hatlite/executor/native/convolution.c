/* Convolution: tiles of P pixels × 16·B channels in registers, vpdpbusd on 4 inputs at a time.

One row of the window is one piece of memory (kernel_x · pixel bytes) where nothing is dilated, else every tap is.
Weights lie as they are read: (group of B·16 channels, row of the window, 4 inputs, B, 16, 4). */

#include "step.h"

#define MOST_PIXELS 16
#define CACHED_BYTES (192 * 1024) /* of a chunk of input, so that it stays in a core's cache over all channels */

typedef struct {
    const uint8_t *x[MOST_PIXELS];
    uint8_t *y[MOST_PIXELS];
    const uint8_t *other[MOST_PIXELS];
} pixels;

/* Fill in where `count` output pixels from `first` on lie; beyond `end` the last one is repeated. */
INLINE void locate(const step *s, pixels *p, int count, int64_t image, int64_t first, int64_t end) {
    const tensor *x = &s->x, *y = &s->y, *other = &s->other;
    int32_t row = first / y->width, column = first % y->width;
    const uint8_t *origin = x->data + image * x->image - s->pad_y * x->row - s->pad_x * (int64_t)x->pixel;
    for (int i = 0; i < count; i++) {
        p->x[i] = origin + row * s->stride_y * x->row + column * s->stride_x * (int64_t)x->pixel;
        p->y[i] = y->data + image * y->image + row * y->row + column * (int64_t)y->pixel;
        p->other[i] = other->data + image * other->image + row * other->row + column * (int64_t)other->pixel;
        if (first + i + 1 < end && ++column == y->width) column = 0, row++;
    }
}

INLINE void tile(const step *s, const pixels *p, const int8_t *weight, int channel, const int B, const int P) {
    __m512i acc[MOST_PIXELS][4];
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
    if (s->stores == BYTES && s->rounds == FLOAT32 && !s->fused && channel + 16 * B <= s->y.channels) {
        __m512i zero = _mm512_set1_epi32(s->y.zero);
        __m128i low = _mm_set1_epi8(s->low + s->y.zero), high = _mm_set1_epi8(s->high + s->y.zero);
#pragma GCC unroll 4
        for (int b = 0; b < B; b++) {
            __m512 factor = _mm512_loadu_ps(s->factor + channel + 16 * b);
#pragma GCC unroll 16
            for (int i = 0; i < P; i++) {
                __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][b]), factor));
                v = _mm512_max_epi32(_mm512_add_epi32(v, zero), _mm512_setzero_si512());
                __m128i bytes = _mm_min_epu8(_mm_max_epu8(_mm512_cvtusepi32_epi8(v), low), high);
                _mm_storeu_si128((__m128i *)(p->y[i] + channel + 16 * b), bytes);
            }
        }
        return;
    }
    for (int b = 0; b < B; b++)
        for (int i = 0; i < P; i++) finish(s, acc[i][b], channel + 16 * b, p->y[i], p->other[i]);
}

#define TILES(B, P)                                                                                                   \
    static void tiles_##B(const step *s, const int8_t *weight, int channel, int64_t image, int64_t first, int64_t end) { \
        pixels p;                                                                                                     \
        for (; first < end; first += P) {                                                                             \
            locate(s, &p, P, image, first, end);                                                                      \
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
    int64_t fed = (int64_t)s->x.pixel * s->stride_y * s->stride_x, chunk = CACHED_BYTES / fed / 48 * 48;
    if (chunk < 48) chunk = 48;
    int pieces = s->kernel_y * (s->dilation_x == 1 ? 1 : s->kernel_x);
    int64_t block_bytes = (int64_t)pieces * s->run * 64;
    for (int64_t image = 0; image < s->batch; image++)
        for (int64_t at = first; at < end; at += chunk)
            for (int group = 0; group < groups; group++) {
                if (!by_pixels && group % threads != thread) continue;
                int block = share(blocks, group, groups), size = share(blocks, group + 1, groups) - block;
                TILERS[size](s, s->weight + block * block_bytes, 16 * block, image, at, at + chunk < end ? at + chunk : end);
            }
}
