"""The sample is the same for every batch, layout and order, and passes over no channel, row or column."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.quantization.sampling import SAMPLE, STRIDE, in_memory_order, magnitudes, pixel_stride

SIDES = st.integers(1, 80)


def drawn(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(height * 99 + width))


def test_by_hand() -> None:
    assert pixel_stride(3, 32, 32) == 1, "3,072 values are taken whole"
    assert pixel_stride(64, 64, 64) == 17, "16 would meet the same four columns in every row"
    assert pixel_stride(64, 60, 51) == 16 and pixel_stride(64, 60, 34) == 19
    x = torch.arange(2.0 * 64 * 64 * 64).reshape(2, 64, 64, 64)
    taken = {int(value) for value in magnitudes(-x)}
    pixels = range(8, 64 * 64, 17)
    assert taken == {(n * 64 + c) * 64 * 64 + pixel for n in range(2) for c in range(64) for pixel in pixels}
    assert len(magnitudes(torch.ones(5, 7))) == 35


@given(st.integers(1, 600), SIDES, SIDES)
def test_the_stride_fits_the_picture(channels: int, height: int, width: int) -> None:
    stride = pixel_stride(channels, height, width)
    pixels = height * width
    taken = range(stride // 2, pixels, stride)
    assert len(taken) >= 1
    assert len(taken) * channels >= min(SAMPLE / 3, channels * pixels)
    assert stride == 1 or math.gcd(stride, width) == 1
    if channels * pixels >= STRIDE * SAMPLE and pixels >= STRIDE * max(width, STRIDE):
        assert STRIDE <= stride < 2 * STRIDE
        assert {pixel % width for pixel in taken} >= set(range(width)) or pixels < (width + 1) * stride
        assert width < stride or {pixel // width for pixel in taken} == set(range(height))


@given(st.integers(1, 3), st.integers(1, 40), SIDES, SIDES)
def test_layout_and_batch_do_not_matter(count: int, channels: int, height: int, width: int) -> None:
    x = drawn(count, channels, height, width)
    expected = magnitudes(x).sort().values
    assert torch.equal(magnitudes(x.contiguous(memory_format=torch.channels_last)).sort().values, expected)
    one_by_one = torch.cat([magnitudes(image[None]) for image in x])
    assert torch.equal(one_by_one.sort().values, expected)


@given(st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_memory_order_is_a_dense_view(order: list[int], shape: list[int]) -> None:
    x = torch.randn(shape).permute(order)
    view = in_memory_order(x)
    assert view.is_contiguous() and view.data_ptr() == x.data_ptr()


def test_the_sample_of_half_precision_is_float32() -> None:
    assert magnitudes(torch.ones(1, 2, 3, 3, dtype=torch.bfloat16)).dtype == torch.float32
