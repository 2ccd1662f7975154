/* Everything that is no convolution, row by row; threads share the rows of all pictures. */

#include "step.h"

#define ROWS(at, image, row)                                                                                       \
    for (int64_t lines_ = (int64_t)s->batch * s->y.height, at = share(lines_, thread, threads),                    \
                 end_ = share(lines_, thread + 1, threads), image, row;                                            \
         at < end_ && (image = at / s->y.height, row = at % s->y.height, 1); at++)

INLINE uint8_t *place(const tensor *t, int64_t image, int64_t row, int64_t column) {
    return t->data + image * t->image + row * t->row + column * t->pixel;
}

INLINE __mmask16 mask_of(int left) { return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1); }

void addition(const step *s, int thread, int threads) {
    ROWS(at, image, row)
        for (int column = 0; column < s->y.width; column++) {
            const uint8_t *a = place(&s->x, image, row, column), *b = place(&s->other, image, row, column);
            uint8_t *y = place(&s->y, image, row, column);
            for (int c = 0; c < s->y.channels; c += 16) {
                __mmask16 mask = mask_of(s->y.channels - c);
                __m512i total = add(s, load_bytes(a + c, mask, s->x.zero), load_bytes(b + c, mask, s->other.zero));
                store_bytes(y + c, mask, total, s->y.zero);
            }
        }
}

INLINE int at_least(int a, int b) { return a > b ? a : b; }
INLINE int at_most(int a, int b) { return a < b ? a : b; }

void max_pool(const step *s, int thread, int threads) {
    ROWS(at, image, row) {
        int top = row * s->stride_y - s->pad_y, bottom = at_most(top + s->kernel_y, s->x.height);
        for (int column = 0; column < s->y.width; column++) {
            int left = column * s->stride_x - s->pad_x, right = at_most(left + s->kernel_x, s->x.width);
            uint8_t *y = place(&s->y, image, row, column);
            for (int c = 0; c < s->y.channels; c += 64) {
                __mmask64 mask = s->y.channels - c >= 64 ? ~0ull : (1ull << (s->y.channels - c)) - 1;
                __m512i best = _mm512_setzero_si512(); /* the lowest value of both types */
                for (int i = at_least(top, 0); i < bottom; i++)
                    for (int j = at_least(left, 0); j < right; j++)
                        best = _mm512_max_epu8(best, _mm512_maskz_loadu_epi8(mask, place(&s->x, image, i, j) + c));
                _mm512_mask_storeu_epi8(y + c, mask, best);
            }
        }
    }
}

void repeat(const step *s, int thread, int threads) {
    ROWS(at, image, row)
        for (int column = 0; column < s->y.width; column++)
            memcpy(place(&s->y, image, row, column), place(&s->x, image, row / s->stride_y, column / s->stride_x), s->y.channels);
}

/* Weights 9, 3, 3, 1 on the four nearest pixels, edges repeated: twice nearest, smoothed by [1 2 1] ⊗ [1 2 1]. */
void bilinear(const step *s, int thread, int threads) {
    ROWS(at, image, row) {
        int near_y = row / 2, far_y = at_most(at_least(near_y + (row % 2 ? 1 : -1), 0), s->x.height - 1);
        for (int column = 0; column < s->y.width; column++) {
            int near_x = column / 2, far_x = at_most(at_least(near_x + (column % 2 ? 1 : -1), 0), s->x.width - 1);
            const uint8_t *corners[4] = {place(&s->x, image, near_y, near_x), place(&s->x, image, near_y, far_x),
                                         place(&s->x, image, far_y, near_x), place(&s->x, image, far_y, far_x)};
            uint8_t *y = place(&s->y, image, row, column);
            for (int c = 0; c < s->y.channels; c += 16) {
                __mmask16 mask = mask_of(s->y.channels - c);
                __m512i v[4];
                for (int i = 0; i < 4; i++) v[i] = load_bytes(corners[i] + c, mask, s->x.zero);
                __m512i three = _mm512_set1_epi32(3), near = _mm512_add_epi32(_mm512_mullo_epi32(v[0], three), v[1]);
                __m512i far = _mm512_add_epi32(_mm512_mullo_epi32(v[2], three), v[3]);
                __m512i acc = _mm512_add_epi32(_mm512_mullo_epi32(near, three), far);
                store_bytes(y + c, mask, clamp(requantize(s, acc, c), s->low, s->high), s->y.zero);
            }
        }
    }
}

void table(const step *s, int thread, int threads) {
    ROWS(at, image, row)
        for (int column = 0; column < s->y.width; column++) {
            const uint8_t *x = place(&s->x, image, row, column);
            uint8_t *y = place(&s->y, image, row, column);
            for (int c = 0; c < s->y.channels; c++) y[c] = s->table[x[c]];
        }
}

/* Copy x into a part of y; `table` holds one byte to combine each with by exclusive or. Rows are those of x. */
void copy(const step *s, int thread, int threads) {
    int64_t lines = (int64_t)s->batch * s->x.height, end = share(lines, thread + 1, threads);
    int channels = s->x.channels, width = s->x.width, dense = channels == s->x.pixel && channels == s->y.pixel;
    uint8_t flip = *s->table;
    if (dense) channels *= width, width = 1; /* a row is one piece */
    for (int64_t at = share(lines, thread, threads); at < end; at++) {
        const uint8_t *x = place(&s->x, at / s->x.height, at % s->x.height, 0);
        uint8_t *y = place(&s->y, at / s->x.height, at % s->x.height + s->offset_y, s->offset_x) + s->offset_channel;
        for (int column = 0; column < width; column++, x += s->x.pixel, y += s->y.pixel)
            for (int c = 0; c < channels; c++) y[c] = x[c] ^ flip;
    }
}
