"""The kernels against the plainest loops there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.ops.integer import reference

drawn = settings(max_examples=40, derandomize=True)


def looped_conv2d(x, w, bias, *, stride, padding, dilation, groups):
    batch, height, width, _ = x.shape
    out, kh, kw, per_group = w.shape
    rows = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    acc = np.empty((batch, rows, columns, out), dtype=object)
    for n, y, x0, o in np.ndindex(*acc.shape):
        total = int(bias[o])
        first = o // (out // groups) * per_group
        for i, j, c in np.ndindex(kh, kw, per_group):
            row = y * stride[0] + i * dilation[0] - padding[0]
            column = x0 * stride[1] + j * dilation[1] - padding[1]
            if 0 <= row < height and 0 <= column < width:
                total += int(x[n, row, column, first + c]) * int(w[o, i, j, c])
        acc[n, y, x0, o] = total
    return acc.astype(np.int64)


@st.composite
def convolutions(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups, per_group, out_per_group = (draw(st.integers(1, 3)) for _ in range(3))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    window = {
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
    }
    sides = [draw(st.integers(d * (k - 1) + 1, 6)) for k, d in zip(kernel, window["dilation"], strict=True)]
    x = rng.integers(-128, 128, (draw(st.integers(1, 2)), *sides, groups * per_group), dtype=np.int8)
    w = rng.integers(-127, 128, (groups * out_per_group, *kernel, per_group), dtype=np.int8)
    bias = rng.integers(-(2**31), 2**31, groups * out_per_group).astype(np.int32)
    return x, w, bias, {**window, "groups": groups}


@drawn
@given(convolutions())
def test_conv2d_equals_nested_loops(case):
    x, w, bias, options = case
    np.testing.assert_array_equal(reference.conv2d(x, w, bias, **options), looped_conv2d(x, w, bias, **options))


def test_conv2d_by_hand():
    x = np.array([1, 2, 3, 4]).reshape(1, 2, 2, 1)
    w = np.array([1, 10, 100, 1000]).reshape(1, 2, 2, 1)
    assert reference.conv2d(x, w, np.array([5])).item() == 4321 + 5
    padded = reference.conv2d(x, w, np.array([0]), padding=(1, 1))
    assert padded[0, :, :, 0].tolist() == [[1000, 2100, 200], [3010, 4321, 402], [30, 43, 4]]


def test_sums_are_not_cut_to_the_dtype_of_the_input():
    x = np.full((1, 1, 1, 200), -128, np.int8)
    w = np.full((1, 1, 1, 200), -127, np.int8)
    assert reference.conv2d(x, w, np.zeros(1, np.int32)).item() == 200 * 128 * 127


def test_linear_is_a_matrix_at_every_pixel():
    rng = np.random.default_rng(0)
    x, w, bias = rng.integers(-9, 9, (2, 3, 1, 5)), rng.integers(-9, 9, (4, 1, 1, 5)), rng.integers(-9, 9, 4)
    np.testing.assert_array_equal(reference.linear(x, w, bias), x @ w[:, 0, 0].T + bias)


def test_add_by_hand():
    a, b = np.array([100, -128, 127], np.int8), np.array([1, -128, 127], np.int8)
    # (100 · 3 + 1 · 1 + 1) >> 1 = 151; the others saturate
    assert reference.add(a, b, (3, 1), 1, quant_min=-128, quant_max=255).tolist() == [151, -128, 254]


@drawn
@given(st.integers(0, 2**32), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 3))
def test_max_pool2d_equals_nested_loops(seed, kernel, stride):
    rng = np.random.default_rng(seed)
    padding = tuple(k // 2 for k in kernel)
    x = rng.integers(-128, -100, (2, 5, 4, 3), dtype=np.int8)
    y = reference.max_pool2d(x, kernel=kernel, stride=(stride, stride), padding=padding, lowest=-128)
    for n, row, column, c in np.ndindex(*y.shape):
        top, left = row * stride - padding[0], column * stride - padding[1]
        window = x[n, max(top, 0) : top + kernel[0], max(left, 0) : left + kernel[1], c]
        assert y[n, row, column, c] == window.max()


def test_resize_nearest_by_hand():
    x = np.array([[1, 2]]).reshape(1, 1, 2, 1)
    assert reference.resize_nearest(x, 3)[0, :, :, 0].tolist() == [[1, 1, 1, 2, 2, 2]] * 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 5)])
def test_bilinear_is_half_pixel_interpolation(shape):
    x = np.random.default_rng(0).integers(-128, 128, (2, *shape, 3))
    acc = reference.bilinear2x_accumulate(x)
    for n, row, column, c in np.ndindex(*acc.shape):
        expected = 0
        for (y, wy), (x0, wx) in itertools.product(taps(row, shape[0]), taps(column, shape[1])):
            expected += wy * wx * x[n, y, x0, c]
        assert acc[n, row, column, c] == expected


def taps(position, side):
    """Quarters of the two source pixels around (position + 1/2) / 2, the edge repeated."""
    below = (position + 1) // 2 - 1
    quarters = (1, 3) if position % 2 == 0 else (3, 1)
    return [(min(max(below + i, 0), side - 1), quarter) for i, quarter in enumerate(quarters)]


@pytest.mark.parametrize(("side", "options", "expected"), [(5, {"stride": 2}, 2), (5, {"padding": 1}, 5), (2, {}, 0)])
def test_output_side(side, options, expected):
    assert reference.output_side(side, 3, **options) == expected


def test_concat_by_hand():
    a, b = np.array([[[[1, 2]]]], np.int8), np.array([[[[3]]]], np.uint8)
    joined = reference.concat(a, b, a)
    assert joined.tolist() == [[[[1, 2, 3, 1, 2]]]] and joined.dtype == np.int64


def test_differences_and_products_by_hand():
    a, b = np.array([[[[100, -128]]]], np.int8), np.array([[[[3, 255]]]], np.uint8)
    assert reference.add(a, b, (8, -4), 3, quant_min=-128, quant_max=127).tolist() == [[[[99, -128]]]]  # 98.5, −255.5
    assert reference.mul(a, b).tolist() == [[[[300, -32640]]]]
    assert reference.mul(np.tile(a, (1, 2, 2, 1)), b)[0, 1, 1].tolist() == [300, -32640]


def test_a_lookup_by_hand():
    table = np.arange(256)[::-1].astype(np.int32)
    assert reference.lookup(np.array([[[[-128, 0, 127]]]], np.int8), table, -128).tolist() == [[[[255, 127, 0]]]]
    assert reference.lookup(np.array([[[[0, 255]]]], np.uint8), table, 0).tolist() == [[[[255, 0]]]]


def test_pad_by_hand():
    padded = reference.pad(np.array([[[[5]]]], np.uint8), (0, 1, 2, 0))
    assert padded[0, :, :, 0].tolist() == [[0, 0, 5], [0, 0, 0]]


def test_a_slice_by_hand():
    x = np.arange(24).reshape(1, 2, 4, 3).astype(np.int8)
    part = reference.slice_of(x, (1, 0, 1), (2, 4, 3), (1, 2, 1))
    assert part.tolist() == [[[[13, 14], [19, 20]]]] and part.dtype == np.int64


@pytest.mark.parametrize("block", [(2, 2), (1, 3), (3, 1)])
def test_depth_to_space_by_its_definition(block):
    height, width = block
    x = np.random.default_rng(0).integers(-128, 128, (2, 3, 2, 2 * height * width), dtype=np.int8)
    y = reference.depth_to_space(x, block)
    assert y.shape == (2, 3 * height, 2 * width, 2)
    for n, row, column, c in np.ndindex(*y.shape):
        channel = (c * height + row % height) * width + column % width
        assert y[n, row, column, c] == x[n, row // height, column // width, channel]
