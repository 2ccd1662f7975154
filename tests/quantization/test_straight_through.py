"""The float twin of rounding equals the integer definition, and its gradient the real-valued formula."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.ops.integer import fixed_point
from hatlite.quantization.straight_through import quantize, requantize


@given(
    st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=40),
    st.integers(2**13, 2**14 - 1).map(lambda half: 2 * half + 1),
    st.integers(1, 46),
    st.sampled_from([(-128, 127), (0, 255), (-32768, 32767), (0, 32767)]),
)
def test_requantize_equals_the_definition(acc: list[int], multiplier: int, shift: int, clamp: tuple[int, int]) -> None:
    expected = fixed_point.requantize(np.array(acc), multiplier, shift, *clamp)
    m = torch.ldexp(torch.tensor([multiplier], dtype=torch.float64), torch.tensor(-shift))
    got = requantize(*clamp, torch.tensor(acc, dtype=torch.float32), m)
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), expected)


@given(
    st.integers(-(2**37), 2**37),
    st.integers(2**13, 2**14 - 1).map(lambda half: 2 * half + 1),
    st.integers(1, 46),
)
def test_sixteen_bit_accumulators_stay_exact_in_float64(acc: int, multiplier: int, shift: int) -> None:
    expected = fixed_point.requantize(np.array([acc]), multiplier, shift, -32768, 32767)
    m = torch.ldexp(torch.tensor([multiplier], dtype=torch.float64), torch.tensor(-shift))
    got = requantize(-32768, 32767, torch.tensor([acc], dtype=torch.float64), m)
    assert int(got) == int(expected[0])


@given(st.integers(-128, 255), st.integers(-128, 255), st.integers(1, 2**20), st.integers(1, 2**20), st.integers(1, 30))
def test_addition_equals_the_definition(a: int, b: int, ma: int, mb: int, shift: int) -> None:
    expected = min(max((a * ma + b * mb + (1 << (shift - 1))) >> shift, -128), 127)
    factors = torch.ldexp(torch.tensor([ma, mb], dtype=torch.float64), torch.tensor(-shift))
    got = requantize(-128, 127, torch.tensor([float(a)]), factors[0], torch.tensor([float(b)]), factors[1])
    assert int(got) == expected


def test_the_gradient_is_the_multiplier_inside_and_zero_where_it_saturates() -> None:
    acc = torch.tensor([-4000.0, 10.0, 50.0, 4000.0], requires_grad=True)
    requantize(0, 255, acc, torch.tensor([0.25], dtype=torch.float64)).sum().backward()
    assert acc.grad.tolist() == [0.0, 0.25, 0.25, 0.0]


def test_an_addition_passes_each_side_its_own_factor() -> None:
    a, b = torch.tensor([4.0], requires_grad=True), torch.tensor([8.0], requires_grad=True)
    factors = torch.tensor([0.5, 0.25], dtype=torch.float64)
    requantize(-128, 127, a, factors[0], b, factors[1]).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (0.5, 0.25)


def test_quantize_rounds_to_even_clamps_and_passes_the_gradient_inside() -> None:
    x = torch.tensor([-200.0, 0.5, 1.5, 126.7, 130.0], requires_grad=True)
    q = quantize(x, -127, 127)
    q.sum().backward()
    assert q.tolist() == [-127.0, 0.0, 2.0, 127.0, 127.0]
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
