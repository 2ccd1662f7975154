"""The float twin of rounding equals the integer definition, and its gradient the real-valued formula."""

import math

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hatlite.ops.integer import fixed_point
from hatlite.ops.integer.engine_rules import CONV_RULES
from hatlite.ops.integer.snap import Addition, snap, snap_add
from hatlite.quantization.straight_through import requantize

ODD = st.integers(2**13, 2**14 - 1).map(lambda half: 2 * half + 1)
SCALES = st.floats(2**-10, 2**-2).map(lambda scale: float(np.float32(scale)))


@given(
    st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=40),
    ODD,
    st.integers(1, 46),
    st.sampled_from([(-128, 127), (0, 255), (-32768, 32767), (0, 32767)]),
)
def test_requantize_equals_the_definition(acc: list[int], multiplier: int, shift: int, clamp: tuple[int, int]) -> None:
    expected = fixed_point.requantize(np.array(acc), multiplier, shift, *clamp)
    got = requantize(*clamp, (math.ldexp(multiplier, -shift),), torch.tensor(acc, dtype=torch.float32))
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), expected)


@given(st.integers(-(2**37), 2**37), ODD, st.integers(1, 46))
def test_sixteen_bit_accumulators_stay_exact_in_float64(acc: int, multiplier: int, shift: int) -> None:
    expected = fixed_point.requantize(np.array([acc]), multiplier, shift, -32768, 32767)
    got = requantize(-32768, 32767, (math.ldexp(multiplier, -shift),), torch.tensor([acc], dtype=torch.float64))
    assert int(got) == int(expected[0])


@given(
    st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=40),
    SCALES,
    SCALES,
    SCALES,
    st.sampled_from([(-128, 127), (0, 255)]),
)
def test_float32_equals_the_definition_where_it_is_proven(
    acc: list[int], scale_in: float, scale_out: float, weight_scale: float, clamp: tuple[int, int]
) -> None:
    found = snap([weight_scale], scale_in, scale_out, clamp, CONV_RULES[:1])
    assume(found.rank[0] >= 1)
    m = math.ldexp(int(found.multiplier[0]), -int(found.shift[0]))
    expected = fixed_point.requantize(np.array(acc), found.multiplier, found.shift, *clamp)
    got = requantize(*clamp, (m,), torch.tensor(acc, dtype=torch.float32), dtype=torch.float32)
    np.testing.assert_array_equal(got.numpy(), expected)


@given(st.integers(-128, 255), st.integers(-128, 255), st.integers(1, 2**20), st.integers(1, 2**20), st.integers(1, 30))
def test_addition_equals_the_definition(a: int, b: int, ma: int, mb: int, shift: int) -> None:
    expected = min(max((a * ma + b * mb + (1 << (shift - 1))) >> shift, -128), 127)
    factors = (math.ldexp(ma, -shift), math.ldexp(mb, -shift))
    got = requantize(-128, 127, factors, torch.tensor([float(a)]), torch.tensor([float(b)]))
    assert int(got) == expected


@given(SCALES, SCALES, st.floats(0.5, 2.0))
def test_float32_addition_of_all_pairs_equals_the_definition_where_it_is_proven(
    scale_a: float, scale_b: float, headroom: float
) -> None:
    scale = (scale_a + scale_b) * headroom
    found = snap_add((scale_a, scale_b), scale, Addition(((-128, 127), (0, 255)), (-128, 127)), candidates=2**12)
    assume(found.rank >= 2)
    a, b = (grid.flatten() for grid in np.meshgrid(np.arange(-128, 128), np.arange(256)))
    total = a * found.multipliers[0] + b * found.multipliers[1]
    expected = fixed_point.requantize(total, 1, found.shift, -128, 127)
    factors = tuple(math.ldexp(m, -found.shift) for m in found.multipliers)
    values = (torch.tensor(side, dtype=torch.float32) for side in (a, b))
    got = requantize(-128, 127, factors, *values, dtype=torch.float32)
    np.testing.assert_array_equal(got.numpy(), expected)


def test_the_gradient_is_the_multiplier_inside_and_zero_where_it_saturates() -> None:
    for dtype in (torch.float32, torch.float64):
        acc = torch.tensor([-4000.0, 10.0, 50.0, 4000.0], requires_grad=True)
        requantize(0, 255, (0.25,), acc, dtype=dtype).sum().backward()
        assert acc.grad.tolist() == [0.0, 0.25, 0.25, 0.0]


def test_an_addition_passes_each_side_its_own_factor() -> None:
    a, b = torch.tensor([4.0], requires_grad=True), torch.tensor([8.0], requires_grad=True)
    requantize(-128, 127, (0.5, 0.25), a, b).sum().backward()
    assert (a.grad.item(), b.grad.item()) == (0.5, 0.25)


def test_a_side_without_gradient_gets_none() -> None:
    a, b = torch.tensor([4.0], requires_grad=True), torch.tensor([8.0])
    requantize(-128, 127, (0.5, 0.25), a, b).sum().backward()
    assert a.grad.item() == 0.5 and b.grad is None
