import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.errors import QuantizationError
from hatlite.ops.integer.fixed_point import (
    check_headroom,
    dequantize,
    half_of,
    quantize,
    quantize_add_multipliers,
    quantize_add_shifts,
    quantize_multiplier,
    quantize_shift,
    requantize,
)

odd_multipliers = st.integers(2**13, 2**14 - 1).map(lambda n: 2 * n + 1)
shifts = st.integers(1, 46)
accumulators = st.integers(-(2**31), 2**31 - 1)


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def test_halves_go_up_by_hand():
    # −4/2 … 4/2 with the exact halves −1.5, −0.5, 0.5, 1.5
    acc = np.array([[-4], [-3], [-2], [-1], [0], [1], [2], [3], [4]])
    assert requantize(acc, 1, 1, -128, 127).ravel().tolist() == [-2, -1, -1, 0, 0, 1, 1, 2, 2]


def test_a_shift_of_zero_rounds_nothing():
    acc = np.array([[-200], [-3], [0], [3], [200]])
    assert requantize(acc, 1, 0, -128, 127).ravel().tolist() == [-128, -3, 0, 3, 127]
    assert requantize(acc, 4, 0, -128, 127).ravel().tolist() == [-128, -12, 0, 12, 127], "a shift to the left"
    assert half_of(np.array([0, 1, 2, 9])).tolist() == [0, 1, 2, 256]


@given(accumulators, st.integers(0, 31))
def test_shifting_alone_is_rounding_of_the_exact_quotient(acc, shift):
    expected = min(max(half_up(Fraction(acc, 2**shift)), -128), 127)
    assert requantize(np.array([acc]), 1, shift, -128, 127).tolist() == [expected]


def test_channels_have_their_own_rule_and_clamp():
    acc = np.array([[[100, 100, -100]], [[1000, -1000, 10**6]]])
    y = requantize(acc, [16385, 32767, 16385], [14, 20, 15], 0, 255)
    assert y.tolist() == [[[100, 3, 0]], [[255, 0, 255]]]


@given(accumulators, odd_multipliers, shifts)
def test_requantize_is_rounding_of_the_exact_product(acc, multiplier, shift):
    expected = min(max(half_up(Fraction(acc * multiplier, 2**shift)), -128), 127)
    assert requantize(np.array([acc]), multiplier, shift, -128, 127).tolist() == [expected]


@given(odd_multipliers, shifts, st.lists(accumulators, min_size=2, max_size=50))
def test_requantize_never_decreases(multiplier, shift, acc):
    y = requantize(np.sort(np.array(acc))[:, None], multiplier, shift, -(2**15), 2**15 - 1)
    assert (np.diff(y[:, 0]) >= 0).all()


@pytest.mark.parametrize(("multiplier", "ties"), [(2**14 + 1, 0), (24577, 0), (2**15 - 1, 0), (2**14, 512)])
def test_only_an_even_multiplier_ties_inside_8_bits(multiplier, ties):
    limit = (256 << 20) // multiplier
    remainders = (np.arange(-limit, limit + 1) * multiplier) % 2**20
    assert (remainders == 2**19).sum() == ties


def test_64_bits_are_enough_or_refused():
    edge = (2**63 - 2**45 - 1) // 32767
    assert requantize(np.array([[edge, 1]]), [32767, 1], [46, 1], -128, 127).tolist() == [[127, 1]]
    with pytest.raises(QuantizationError, match=r"channel 1: .* reaches \d+, but must stay below 2\^63"):
        requantize(np.array([[1, -(edge + 1)]]), [32767, 32767], [46, 46], -128, 127)
    with pytest.raises(QuantizationError, match="channel 0"):
        check_headroom(2**63, 1, 1)


def test_requantize_takes_empty_batches_and_numbers():
    assert requantize(np.zeros((0, 2, 2, 3), np.int32), [1, 1, 1], [1, 1, 1], 0, 1).shape == (0, 2, 2, 3)
    assert requantize(np.int32(3), 1, 1, 0, 9) == 2


@pytest.mark.parametrize(
    ("real", "multiplier", "shift"),
    [
        (0.3, 19661, 16),  # 0.3 · 2^16 = 19660.8
        (0.5, 2**14 + 1, 15),
        (1 - 2**-40, 2**15 - 1, 15),
        (100.0, 25601, 8),
        (2**14 - 1e-3, 32767, 1),
        (2.0**-33, 2**14 + 1, 46),  # too small: the smallest there is
        (1e-300, 2**14 + 1, 46),
    ],
)
def test_multipliers_by_hand(real, multiplier, shift):
    assert tuple(int(n) for n in quantize_multiplier(real)) == (multiplier, shift)


@given(st.floats(2.0**-31, 2.0**13))
def test_the_multiplier_is_the_nearest_odd_one(real):
    multiplier, shift = (int(n) for n in quantize_multiplier(real))
    assert multiplier % 2 == 1
    assert 2**14 < multiplier < 2**15
    assert abs(Fraction(real) * 2**shift - multiplier) <= 1


def test_multipliers_of_many_channels_at_once():
    real = np.geomspace(1e-6, 100, 17).reshape(17, 1)
    multipliers, shifts = quantize_multiplier(real)
    assert multipliers.shape == shifts.shape == (17, 1)
    assert [(m, s) for m, s in zip(multipliers.flat, shifts.flat, strict=True)] == [
        tuple(quantize_multiplier(r)) for r in real.flat
    ]


@pytest.mark.parametrize("real", [0.0, -1.0, math.nan, math.inf])
def test_multipliers_must_be_positive(real):
    with pytest.raises(QuantizationError, match=f"a real multiplier is {real}; expected a finite number above 0"):
        quantize_multiplier([1.0, real])
    with pytest.raises(QuantizationError, match=f"a real multiplier is {real}; expected a finite number above 0"):
        quantize_add_multipliers(1.0, real)


def test_multipliers_that_would_shift_left_are_refused():
    with pytest.raises(QuantizationError, match="a real multiplier is 16384, too large for a right shift of 1"):
        quantize_multiplier(2.0**14)
    with pytest.raises(QuantizationError, match="a real multiplier is 524288, too large for a right shift of 1"):
        quantize_add_multipliers(1.0, 2.0**19)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1.0, 0.25), (2**19, 2**17, 19)),
        ((1 - 2**-30, 0.5), (2**19, 2**18, 19)),  # rounds up into the next power of two
        ((0.3, 3.0), (78643, 786432, 18)),
        ((1.0, 1e-9), (2**19, 0, 19)),
        ((2.0**-40, 2.0**-41), (64, 32, 46)),
    ],
)
def test_add_multipliers_by_hand(ratios, expected):
    assert quantize_add_multipliers(*ratios) == expected


@given(st.floats(2.0**-20, 2.0**17), st.floats(2.0**-20, 2.0**17))
def test_the_larger_add_multiplier_uses_all_bits(ratio_a, ratio_b):
    a, b, shift = quantize_add_multipliers(ratio_a, ratio_b)
    assert 2**19 <= max(a, b) < 2**20
    assert 1 <= shift <= 46
    for ratio, multiplier in ((ratio_a, a), (ratio_b, b)):
        assert abs(Fraction(ratio) * 2**shift - multiplier) <= Fraction(1, 2)


def test_shifts_by_hand():
    multiplier, shift = quantize_shift([1.0, 0.5, 0.3, 2.0**-31, 1e-12, 8.0, 5.0], 3, 31)
    assert multiplier.tolist() == [1, 1, 1, 1, 1, 8, 8]
    assert shift.tolist() == [0, 1, 1, 31, 31, 0, 0], "the next power of two upwards, and none below 2^-31"
    with pytest.raises(
        QuantizationError, match="a result has 16 steps for one of its accumulator, more than a shift to"
    ):
        quantize_shift(16.0, 3, 31)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1.0, 1.0), (1, 1, 0)),
        ((1.0, 0.25), (4, 1, 2)),
        ((0.25, 0.125), (2, 1, 3)),
        ((4.0, 2.0), (4, 2, 0)),  # both coarser than the sum
        ((0.5, 2.0), (1, 4, 1)),
        ((1.0, 2.0**-19), (2**19, 1, 19)),
        ((1.0, 2.0**-20), (2**19, 0, 19)),  # too fine to count
        ((2.0**-40, 2.0**-41), (0, 0, 31)),
    ],
)
def test_add_shifts_by_hand(ratios, expected):
    assert quantize_add_shifts(*ratios, 20, 31) == expected


def test_a_sum_far_finer_than_its_inputs_is_refused():
    with pytest.raises(QuantizationError, match="a real multiplier is 1.04858e\\+06, too large"):
        quantize_add_shifts(2.0**20, 1.0, 20, 31)


def test_quantize_by_hand():
    values = np.array([-0.3, -0.25, 0.0, 0.24, 0.25, 0.75, 1e9, -np.inf], np.float32)
    q = quantize(values, 0.5, "int8")
    assert q.tolist() == [-1, 0, 0, 0, 1, 2, 127, -128]  # halves go up
    assert q.dtype == np.int8


def test_centred_pixels_are_exact():
    pixels = np.arange(256)
    normalised = ((pixels - 128) / 128).astype(np.float32)
    assert quantize(normalised, 1 / 128, "int8").tolist() == (pixels - 128).tolist()


def test_quantize_refuses_nan():
    with pytest.raises(QuantizationError, match="a value to quantise is NaN"):
        quantize([0.0, np.nan], 1.0, "int8")


@given(st.integers(-(2**15), 2**15 - 1), st.floats(1e-6, 1e3))
def test_dequantize_is_undone_by_quantize(q, scale):
    real = dequantize(np.array([q]), scale)
    assert real.dtype == np.float32
    assert quantize(real, scale, "int16").tolist() == [q]


def test_dequantize_takes_a_scale_per_channel():
    assert dequantize(np.array([[2, 2]], np.int32), [0.5, 0.25]).tolist() == [[1.0, 0.5]]
