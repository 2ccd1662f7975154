/* One step of a prepared program; plan.py fills the same structures through ctypes.

8-bit values are unsigned bytes, signed ones with 128 added ("zero" stands for the integer 0). A tensor may have a border
of `border` pixels around each picture, which holds `zero`, so that a convolution never asks where it is.
Legend: acc accumulator, M · 2^-s the multiplier of one channel, a vector holds 16 int32. */

#ifndef HATLITE_STEP_H
#define HATLITE_STEP_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    uint8_t *data;      /* pixel (0, 0) of the first picture */
    int64_t row, image; /* bytes from one row, one picture to the next */
    int32_t height, width, channels;
    int32_t pixel;  /* bytes from one pixel to the next */
    int32_t border; /* pixels on every side */
    int32_t zero;
} tensor;

enum { CONVOLUTION, DEPTHWISE, ADDITION, MAX_POOL, REPEAT, BILINEAR, TABLE, COPY };
enum { BYTES, WORDS, RAW };     /* what a convolution stores */
enum { FLOAT32, WHOLE, SHIFT }; /* how it rounds: proven in float32, in 64-bit integers, or by a shift of 32 bits */

typedef struct {
    int32_t kind, stores, rounds, fused; /* fused: `other` is added to the rounded result */
    tensor x, other, y;
    int32_t batch, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;
    int32_t low, high;          /* clamp of the result; low alone for raw ones */
    int32_t run;                /* groups of 4 bytes that one row of the window reads in a piece */
    const int8_t *weight;
    const int32_t *bias;        /* less zero of the input · sum of the weights */
    const float *factor;        /* M · 2^-s */
    const int64_t *multiplier, *shift;
    const int32_t *half, *right; /* SHIFT: (acc + half) >> right */
    int32_t multiplier_x, multiplier_other, add_half, add_shift, add_low, add_high;
    const uint8_t *table;       /* TABLE: 256 entries */
    int32_t offset_y, offset_x, offset_channel; /* COPY: where the copy begins */
} step;

/* Split `count` into shares; return where share `index` of `shares` begins. */
INLINE int64_t share(int64_t count, int index, int shares) { return count * index / shares; }

INLINE __m512i whole_requantize(const step *s, __m512i acc, int channel) {
    __m512i halves[2] = {_mm512_cvtepi32_epi64(_mm512_castsi512_si256(acc)),
                         _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(acc, 1))};
    __m256i narrow[2];
    for (int i = 0; i < 2; i++) {
        __m512i shift = _mm512_loadu_si512(s->shift + channel + 8 * i);
        __m512i half = _mm512_sllv_epi64(_mm512_set1_epi64(1), _mm512_sub_epi64(shift, _mm512_set1_epi64(1)));
        __m512i product = _mm512_mullo_epi64(halves[i], _mm512_loadu_si512(s->multiplier + channel + 8 * i));
        __m512i rounded = _mm512_srav_epi64(_mm512_add_epi64(product, half), shift);
        rounded = _mm512_max_epi64(rounded, _mm512_set1_epi64(s->low));
        narrow[i] = _mm512_cvtepi64_epi32(_mm512_min_epi64(rounded, _mm512_set1_epi64(s->high)));
    }
    return _mm512_inserti64x4(_mm512_castsi256_si512(narrow[0]), narrow[1], 1);
}

INLINE __m512i shifted(const step *s, __m512i acc, int channel) {
    __m512i total = _mm512_add_epi32(acc, _mm512_loadu_si512(s->half + channel));
    return _mm512_srav_epi32(total, _mm512_loadu_si512(s->right + channel));
}

/* Return the rounded accumulators of channel…channel + 15, not yet clamped unless rounded in 64 bits. */
INLINE __m512i requantize(const step *s, __m512i acc, int channel) {
    if (s->rounds == SHIFT) return shifted(s, acc, channel);
    if (s->rounds == WHOLE) return whole_requantize(s, acc, channel);
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(s->factor + channel)));
}

INLINE __m512i clamp(__m512i v, int32_t low, int32_t high) {
    return _mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
}

/* (a · Ma + b · Mb + half) >> shift, clamped. */
INLINE __m512i add(const step *s, __m512i a, __m512i b) {
    __m512i total = _mm512_add_epi32(_mm512_mullo_epi32(a, _mm512_set1_epi32(s->multiplier_x)),
                                     _mm512_mullo_epi32(b, _mm512_set1_epi32(s->multiplier_other)));
    total = _mm512_sra_epi32(_mm512_add_epi32(total, _mm512_set1_epi32(s->add_half)), _mm_cvtsi32_si128(s->add_shift));
    return clamp(total, s->add_low, s->add_high);
}

INLINE __m512i load_bytes(const uint8_t *from, __mmask16 mask, int32_t zero) {
    return _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from)), _mm512_set1_epi32(zero));
}

INLINE void store_bytes(uint8_t *to, __mmask16 mask, __m512i v, int32_t zero) {
    _mm_mask_storeu_epi8(to, mask, _mm512_cvtepi32_epi8(_mm512_add_epi32(v, _mm512_set1_epi32(zero))));
}

/* Store the first `count` bytes; masked stores are slow, so that whole lanes go without. */
INLINE void store_first(uint8_t *to, __m512i v, int count) {
    if (count >= 64) _mm512_storeu_si512(to, v);
    else if (count == 32) _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(v));
    else if (count == 16) _mm_storeu_si128((__m128i *)to, _mm512_castsi512_si128(v));
    else if (count == 48) {
        _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(v));
        _mm_storeu_si128((__m128i *)(to + 32), _mm512_extracti32x4_epi32(v, 2));
    } else _mm512_mask_storeu_epi8(to, (1ull << count) - 1, v);
}

/* Round, add what is fused, and store 16 channels of one pixel. */
INLINE void finish(const step *s, __m512i acc, int channel, uint8_t *y, const uint8_t *other) {
    int left = s->y.channels - channel;
    __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    if (s->stores == RAW) {
        _mm512_mask_storeu_epi32((int32_t *)y + channel, mask, _mm512_max_epi32(acc, _mm512_set1_epi32(s->low)));
        return;
    }
    __m512i v = clamp(requantize(s, acc, channel), s->low, s->high);
    if (s->stores == WORDS) {
        _mm256_mask_storeu_epi16((int16_t *)y + channel, mask, _mm512_cvtepi32_epi16(v));
        return;
    }
    if (s->fused) v = add(s, v, load_bytes(other + channel, mask, s->other.zero));
    store_bytes(y + channel, mask, v, s->y.zero);
}

void convolution(const step *s, int thread, int threads);
void depthwise(const step *s, int thread, int threads);
void addition(const step *s, int thread, int threads);
void max_pool(const step *s, int thread, int threads);
void repeat(const step *s, int thread, int threads);
void bilinear(const step *s, int thread, int threads);
void table(const step *s, int thread, int threads);
void copy(const step *s, int thread, int threads);

#endif
