import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hatlite.march import get_march
from hatlite.ops.integer import reference
from hatlite.program import Add, Conv2d, Requantize, Weight
from hatlite.program.bounds import accumulator_peak, accumulator_range, add_peak, register_bits
from hatlite.qparams import int_range


def conv(weights, bias):
    return Conv2d(name="c", inputs=("x",), output="y", weight=Weight(weights), bias=bias, requantize=None)


def test_accumulator_peak_by_hand():
    op = conv(np.array([[1, -2], [0, 0]]).reshape(2, 1, 1, 2), [-10, 0])
    assert accumulator_peak(op, int_range("int8")).tolist() == [3 * 128 + 10, 0]
    assert accumulator_peak(op, int_range("uint8")).tolist() == [3 * 255 + 10, 0]


def test_16_bit_weights_need_wide_registers():
    op = conv(np.array([[2**15 - 1, -(2**15)]], np.int16).reshape(1, 1, 1, 2), [7])
    assert accumulator_peak(op, int_range("uint8")).tolist() == [(2**16 - 1) * 255 + 7]
    low, high = accumulator_range(op.weight.values, op.bias, int_range("uint8"))
    assert (low.tolist(), high.tolist()) == ([-(2**15) * 255 + 7], [(2**15 - 1) * 255 + 7])
    tidl = get_march("tidl").arithmetic
    rounded = dataclasses.replace(op, requantize=Requantize([1], [9], -128, 127))
    assert (register_bits(op, "uint8", tidl), register_bits(rounded, "uint8", tidl)) == (32, 64)


@given(st.integers(0, 2**32))
def test_the_peak_is_reached_by_the_worst_input_and_never_passed(seed):
    rng = np.random.default_rng(seed)
    op = conv(rng.integers(-127, 128, (1, 1, 1, 5)), rng.integers(0, 1000, 1))
    peak = accumulator_peak(op, int_range("int16"))[0]
    worst = np.where(op.weight.values > 0, 32767, -32768)
    below = op.weight.values.clip(min=0).sum()  # +32767 misses the magnitude 32768 by one
    assert reference.conv2d(worst, op.weight.values, op.bias).item() == peak - below
    x = rng.integers(-32768, 32768, (1, 1, 1, 5))
    assert abs(reference.conv2d(x, op.weight.values, op.bias).item()) <= peak


def test_add_peak_by_hand():
    op = Add(name="a", inputs=("x", "y"), output="z", multipliers=(3, 5), requantize=Requantize([1], [1], 0, 1))
    assert add_peak(op, int_range("int8"), int_range("uint8")) == 3 * 128 + 5 * 255


@given(st.integers(0, 2**32), st.sampled_from(["int8", "uint8", "int16"]))
def test_the_range_is_reached_at_both_ends_and_never_left(seed, dtype):
    rng = np.random.default_rng(seed)
    weight, bias = rng.integers(-127, 128, (1, 1, 1, 5)), rng.integers(-1000, 1000, 1)
    low, high = accumulator_range(weight, bias, int_range(dtype))
    ends = int_range(dtype)
    for bound, one, other in ((low, *ends), (high, *ends[::-1])):
        assert reference.conv2d(np.where(weight > 0, one, other), weight, bias).item() == bound[0]
    x = rng.integers(ends[0], ends[1] + 1, (1, 1, 1, 5))
    assert low[0] <= reference.conv2d(x, weight, bias).item() <= high[0]
