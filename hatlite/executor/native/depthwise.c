/* Depthwise convolution: 64 channels at a time, 4 rows of the window in one vpdpbusd.

Bytes of four rows are interleaved by unpacking them in each 128-bit lane; packing the results undoes that order, so
vector g of a block of 64 channels holds the channels 16·lane + 4·g … + 3. Weights and constants lie in that order:
(block, column of the window, four rows, g, 16, 4). */

#include "step.h"

typedef struct { __m512i of[4]; } block; /* g → vector */

/* Load the first `count` channels, zeros behind them. */
INLINE __m512i load_first(const uint8_t *x, int count) {
    if (count == 64) return _mm512_loadu_si512(x);
    if (count == 32) return _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)x));
    if (count == 16) return _mm512_zextsi128_si512(_mm_loadu_si128((const __m128i *)x));
    return _mm512_maskz_loadu_epi8((1ull << count) - 1, x);
}

/* Interleave one column of up to four rows. */
INLINE block column(const uint8_t *x, int64_t row, const int rows, const int count) {
    __m512i r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) r[i] = i < rows ? load_first(x + i * row, count) : _mm512_setzero_si512();
    __m512i a = _mm512_unpacklo_epi8(r[0], r[1]), b = _mm512_unpackhi_epi8(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi8(r[2], r[3]), d = _mm512_unpackhi_epi8(r[2], r[3]);
    return (block){{_mm512_unpacklo_epi16(a, c), _mm512_unpackhi_epi16(a, c), _mm512_unpacklo_epi16(b, d),
                    _mm512_unpackhi_epi16(b, d)}};
}

INLINE void multiply(block *acc, block x, const int8_t *weight) {
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) acc->of[g] = _mm512_dpbusd_epi32(acc->of[g], x.of[g], _mm512_loadu_si512(weight + 64 * g));
}

INLINE block begin(const step *s, int channel) {
    block acc;
    for (int g = 0; g < 4; g++) acc.of[g] = _mm512_loadu_si512(s->bias + channel + 16 * g);
    return acc;
}

INLINE void end(const step *s, block acc, int channel, uint8_t *y, const int count) {
    __m512i zero = _mm512_set1_epi32(s->y.zero);
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) acc.of[g] = _mm512_add_epi32(requantize(s, acc.of[g], channel + 16 * g), zero);
    __m512i v = _mm512_packus_epi16(_mm512_packs_epi32(acc.of[0], acc.of[1]), _mm512_packs_epi32(acc.of[2], acc.of[3]));
    v = _mm512_max_epu8(v, _mm512_set1_epi8(s->low + s->y.zero));
    v = _mm512_min_epu8(v, _mm512_set1_epi8(s->high + s->y.zero));
    store_first(y, v, count);
}

typedef struct { const uint8_t *x; uint8_t *y; const int8_t *weight; int channel; } line;

/* Any window: every output pixel gathers its own columns. */
INLINE void any_line(const step *s, const line *l, const int count) {
    int fours = (s->kernel_y + 3) / 4;
    int64_t row = s->x.row * s->dilation_y;
    for (int column_y = 0; column_y < s->y.width; column_y++) {
        const uint8_t *x = l->x + column_y * s->stride_x * (int64_t)s->x.pixel;
        const int8_t *weight = l->weight;
        block acc = begin(s, l->channel);
        for (int kx = 0; kx < s->kernel_x; kx++)
            for (int four = 0; four < fours; four++, weight += 256) {
                const uint8_t *from = x + kx * s->dilation_x * (int64_t)s->x.pixel + 4 * four * row;
                int rows = s->kernel_y - 4 * four;
                if (rows >= 4) multiply(&acc, column(from, row, 4, count), weight);
                else if (rows == 3) multiply(&acc, column(from, row, 3, count), weight);
                else if (rows == 2) multiply(&acc, column(from, row, 2, count), weight);
                else multiply(&acc, column(from, row, 1, count), weight);
            }
        end(s, acc, l->channel, l->y + column_y * (int64_t)s->y.pixel, count);
    }
}

/* 3×3, stride 1: each column is interleaved once and used three times. */
INLINE void line_3x3(const step *s, const line *l, const int count) {
    int64_t pixel = s->x.pixel, row = s->x.row;
    block v[3] = {column(l->x, row, 3, count), column(l->x + pixel, row, 3, count)};
    for (int at = 0; at < s->y.width; at += 3)
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            if (at + i >= s->y.width) break;
            v[(i + 2) % 3] = column(l->x + (at + i + 2) * pixel, row, 3, count);
            block acc = begin(s, l->channel);
#pragma GCC unroll 3
            for (int kx = 0; kx < 3; kx++) multiply(&acc, v[(i + kx) % 3], l->weight + 256 * kx);
            end(s, acc, l->channel, l->y + (at + i) * (int64_t)s->y.pixel, count);
        }
}

/* 5×5, stride 1: each column is interleaved once and added to the five pixels that see it. */
INLINE void line_5x5(const step *s, const line *l, const int count) {
    int64_t pixel = s->x.pixel, row = s->x.row;
    block acc[5];
    for (int i = 0; i < 5; i++) acc[i] = begin(s, l->channel);
    for (int at = 0; at < s->y.width + 4; at += 5)
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++) {
            if (at + i >= s->y.width + 4) break;
            const uint8_t *x = l->x + (at + i) * pixel;
            block high = column(x, row, 4, count), low = column(x + 4 * row, row, 1, count);
#pragma GCC unroll 5
            for (int kx = 0; kx < 5; kx++) { /* column at + i is the kx-th of pixel at + i − kx */
                multiply(&acc[(i + 5 - kx) % 5], high, l->weight + 512 * kx);
                multiply(&acc[(i + 5 - kx) % 5], low, l->weight + 512 * kx + 256);
            }
            if (at + i >= 4) end(s, acc[(i + 1) % 5], l->channel, l->y + (at + i - 4) * (int64_t)s->y.pixel, count);
            acc[(i + 1) % 5] = begin(s, l->channel);
        }
}

INLINE void any_window(const step *s, const line *l, const int count) {
    int plain = s->stride_x == 1 && s->dilation_x == 1 && s->dilation_y == 1;
    if (plain && s->kernel_y == 3 && s->kernel_x == 3) line_3x3(s, l, count);
    else if (plain && s->kernel_y == 5 && s->kernel_x == 5) line_5x5(s, l, count);
    else any_line(s, l, count);
}

void depthwise(const step *s, int thread, int threads) {
    int blocks = (s->y.channels + 63) / 64;
    int64_t weights = (int64_t)s->kernel_x * ((s->kernel_y + 3) / 4) * 256, lines = (int64_t)s->batch * s->y.height;
    for (int64_t at = share(lines, thread, threads); at < share(lines, thread + 1, threads); at++) {
        int64_t image = at / s->y.height, row = at % s->y.height;
        const uint8_t *x = s->x.data + image * s->x.image + (row * s->stride_y - s->pad_y) * s->x.row;
        for (int b = 0; b < blocks; b++) {
            int left = s->y.channels - 64 * b;
            line l = {x - s->pad_x * (int64_t)s->x.pixel + 64 * b,
                      s->y.data + image * s->y.image + row * s->y.row + 64 * b, s->weight + b * weights, 64 * b};
            if (left >= 64) any_window(s, &l, 64); /* each with loads and stores of its own */
            else if (left == 32) any_window(s, &l, 32);
            else if (left == 16) any_window(s, &l, 16);
            else any_window(s, &l, left);
        }
    }
}
